"""Catalogued cores on a prediction: positions, the distance, two media, intervals, errors by column density."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from polaris_lab.observations import Observation, Prediction, cores
from polaris_lab.observations.cores.catalogue import finished
from polaris_lab.observations.cores.density import background_at, blurred_background
from polaris_lab.observations.cores.errors import GAUSSIAN_PROFILE
from polaris_lab.observations.prediction import Quality
from tests.observations.cores.test_catalogues import derived_rows

SHAPE = (64, 64)


def sky(*, galactic: bool = False, rotation: float = 0.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"] if galactic else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [160.0, -18.0] if galactic else [52.0, 31.0]
    wcs.wcs.crpix = [32.5, 32.5]
    angle = np.radians(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = turn @ np.diag([-0.01, 0.01])
    return wcs


def core_on_a_flat_cloud(
    wcs: WCS, *, distance: u.Quantity = 300 * u.pc, **more
) -> tuple[Observation, Prediction]:
    """One pixel of twice the column density, on whose line of sight lies <n>_M = 1000."""
    column, density = np.full(SHAPE, 1e22), np.full(SHAPE, 100.0)
    column[20, 40], density[20, 40] = 2e22, 1000.0
    quality = np.zeros(SHAPE, np.int16)
    quality[20, 40] = int(Quality.UNCERTAIN | Quality.RESAMPLED)
    seen = Observation(column, wcs=wcs, distance=distance, species="H", name="flat")
    ends = {"lower68": density / 2, "upper68": density * 2, "lower95": density / 5, "upper95": density * 5}
    return seen, Prediction(density, quality, np.ones(SHAPE, np.int16), wcs, **ends, **more)


def catalogue(wcs: WCS, x=(40.0,), y=(20.0,), density=(1e3,)) -> Table:
    where = wcs.pixel_to_world(np.array(x), np.array(y)).icrs
    table = Table({"name": [f"core {i}" for i in range(len(x))]})
    table["ra"], table["dec"] = where.ra.deg * u.deg, where.dec.deg * u.deg
    table["mean_density"] = np.array(density) * u.cm**-3
    return finished(table, 300.0, source="test")


@pytest.mark.parametrize("wcs", [sky(), sky(rotation=37.0), sky(galactic=True)])
def test_the_diffuse_gas_is_taken_off_and_the_interval_goes_along(wcs):
    """N = 2 N_bg: half of the column is the core, which is twice as dense as the mean."""
    seen, found = core_on_a_flat_cloud(wcs)
    cores_here = cores.cores_on_map(seen, found, catalogue(wcs))
    row = cores_here.table[0]
    assert (row["x"], row["y"]) == pytest.approx((40, 20), abs=1e-6)
    assert row["mean_density"] == pytest.approx(1000)
    assert row["core_density"] == pytest.approx(2000, rel=5e-3)  # the core itself is in the blurred map
    assert [
        row[n] / row["core_density"] for n in ("lower68", "upper68", "lower95", "upper95")
    ] == pytest.approx([0.5, 2, 0.2, 5])
    assert row["catalogue_density"] == pytest.approx(2e3)
    assert row["error_dex"] == pytest.approx(np.log10(2000 / (2e3 * GAUSSIAN_PROFILE)), abs=2e-3)
    assert row["flags"] == "95 % interval wider than a factor of 100"
    assert cores_here.errors.flagged.tolist() == [True]
    assert cores_here.table["core_density"].unit == u.cm**-3


def test_the_catalogue_is_moved_to_the_distance_of_the_map_and_it_is_said():
    seen, found = core_on_a_flat_cloud(sky(), distance=150 * u.pc)
    moved = cores.cores_on_map(seen, found, catalogue(sky()))
    assert moved.table["catalogue_density"][0] == pytest.approx(2 * 2e3)  # n as 1/d
    assert any("moved from 300 to 150 pc" in note for note in moved.notes)


def test_a_core_that_does_not_rise_above_its_surroundings_keeps_the_mean():
    seen, found = core_on_a_flat_cloud(sky())
    flat = cores.cores_on_map(seen, found, catalogue(sky(), (10.0,), (50.0,)))
    assert flat.table["core_density"][0] == pytest.approx(100)
    assert any("1 of 1 do not rise above" in note for note in flat.notes)


def test_rows_outside_and_on_blanks_are_counted_and_none_left_is_refused():
    seen, found = core_on_a_flat_cloud(sky())
    blank = found.density.copy()
    blank[50, 10] = np.nan
    found = Prediction(blank, found.quality, found.coverage, found.wcs)
    with pytest.warns(cores.CatalogueWarning, match="1 of 3 cores lie outside"):
        some = cores.cores_on_map(seen, found, catalogue(sky(), (40, 10, 500), (20, 50, 20), (1e3,) * 3))
    assert len(some) == 1
    assert any("1 of 3 cores lie outside" in note for note in some.notes)
    assert any("1 cores lie on pixels that are not observed" in note for note in some.notes)
    assert "lower68" not in some.table.colnames  # the prediction states none
    with pytest.raises(ValueError, match="all lie on blank ones"):
        cores.cores_on_map(seen, found, catalogue(sky(), (10,), (50,)))
    with pytest.raises(ValueError, match="equatorial, not galactic"):
        cores.cores_on_map(seen, found, catalogue(sky(), (500,), (50,)))
    with pytest.raises(ValueError, match="expected the shape of the map"):
        cores.cores_on_map(seen.with_map(np.ones((3, 3)), wcs=sky()), found, catalogue(sky()))
    with pytest.raises(ValueError, match="column: expected a density of the catalogue"):
        cores.cores_on_map(seen, found, catalogue(sky()), column="peak_density")
    with pytest.raises(TypeError, match="expected a Prediction of the map, got ndarray"):
        cores.cores_on_map(seen, found.density, catalogue(sky()))
    with pytest.raises(TypeError, match="background_fwhm"):
        cores.cores_on_map(seen, found, catalogue(sky()), background_fwhm=455.0)


def test_without_a_density_in_the_catalogue_there_is_no_error():
    table = catalogue(sky())
    table.remove_column("mean_density")
    seen, found = core_on_a_flat_cloud(sky())
    only = cores.cores_on_map(seen, found, table)
    assert only.errors is None
    assert np.isnan(only.table["error_dex"][0])
    assert any("states no density" in note for note in only.notes)


def test_another_target_than_the_mass_weighted_density_is_not_corrected():
    seen, found = core_on_a_flat_cloud(sky(), provenance={"target": "max_density"})
    as_it_is = cores.cores_on_map(seen, found, catalogue(sky()))
    assert as_it_is.table["core_density"][0] == pytest.approx(1000)
    assert any("max density itself" in note for note in as_it_is.notes)


def test_the_background_at_some_pixels_is_that_of_the_whole_map():
    rng = np.random.default_rng(1)
    column = 10 ** rng.normal(21, 0.3, (60, 90))
    column[20:30, 40:60] = np.nan
    x, y = np.array([3, 45, 88, 70]), np.array([2, 12, 58, 30])
    for fwhm, window in ((25.0, 11), (6.0, 4)):
        whole = blurred_background(column, fwhm_pixels=fwhm, median_pixels=window)
        found = background_at(column, x, y, fwhm_pixels=fwhm, median_pixels=window)
        np.testing.assert_allclose(found, whole[y, x], rtol=1e-10)


def some_errors(log_column, error, flagged=None) -> cores.CoreErrors:
    n = len(log_column)
    names = np.array([f"core {i}" for i in range(n)])
    column, error = np.array(log_column, float), np.array(error, float)
    return cores.CoreErrors(names, column, column, column, np.ones(n), np.ones(n), error, "test", flagged)


def test_errors_in_bins_of_column_density():
    found = some_errors([21.0, 21.1, 21.2, 22.3], [-1, -2, -1.5, 0.5], np.array([True, False, False, True]))
    table = found.by_column(0.25)
    assert list(table["low"]) == [21.0, 22.25]
    assert list(table["cores"]) == [3, 1]
    assert list(table["median_dex"]) == [-1.5, 0.5]
    assert list(table["flagged"]) == pytest.approx([1 / 3, 1])
    assert table["scatter_dex"][0] == pytest.approx(0.34)
    assert np.isnan(table["scatter_dex"][1])
    assert "flagged" not in some_errors([21.0], [0.0]).by_column().colnames
    with pytest.raises(ValueError, match="positive width"):
        found.by_column(0.0)


def test_the_moving_median_is_not_drawn_away_by_one_core():
    found = some_errors(np.linspace(21, 22, 9), [-1.0] * 4 + [40.0] + [-1.0] * 4)
    _, median, scatter = found.moving_median(9)
    assert median == pytest.approx([-1.0])
    assert scatter == pytest.approx([0.0])
    assert found.moving_mean(9)[1][0] > 3
    with pytest.raises(ValueError, match="1 to 9"):
        found.moving_median(10)


# -- a catalogue in any layout ----------------------------------------------------------------------


def test_every_layout_is_opened_by_its_content(tmp_path, shared_data):
    text = tmp_path / "HGBS_orionB_derived.txt"
    text.write_text(derived_rows(exchanged=False, coded=True))
    assert cores.open_catalogue(text).meta["distance_pc"] == 400
    subset = shared_data / "cores" / "perseus_hgbs_derived_subset.csv"
    assert len(cores.open_catalogue(subset, distance=300 * u.pc)) == 146
    with pytest.raises(ValueError, match=r'--core-distance "300 pc"'):
        cores.open_catalogue(subset)
    table = catalogue(sky())
    table.meta["notes"] = []
    table.write(tmp_path / "own.ecsv")
    bare = table.copy()
    bare.meta.clear()
    bare.write(tmp_path / "own.fits")
    for name, distance in (("own.ecsv", None), ("own.fits", 300 * u.pc)):
        again = cores.open_catalogue(tmp_path / name, distance=distance)
        assert again.meta["distance_pc"] == 300
        assert again["mean_density"][0] == pytest.approx(1e3)
    with pytest.raises(ValueError, match="columns are known"):
        cores.open_catalogue(text, columns={"ra": "lon"})


def test_what_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing there"):
        cores.open_catalogue(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="got a folder"):
        cores.open_catalogue(tmp_path)
    for content in (b"", b"\x00\xff\x13" * 50, b"<html>moved</html>"):
        path = tmp_path / "bad.csv"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="expected"):
            cores.open_catalogue(path, distance=300 * u.pc)


def test_galactic_positions_become_equatorial_and_it_is_said(tmp_path):
    path = tmp_path / "galactic.csv"
    Table({"GLON": [160.0, 159.9], "GLAT": [-18.0, -18.1], "mean_density": [1e3, 2e3]}).write(path)
    table = cores.open_catalogue(path, distance=300 * u.pc)
    assert any("converted from galactic" in note for note in table.meta["notes"])
    wcs = sky(galactic=True)
    seen, found = core_on_a_flat_cloud(wcs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placed = cores.cores_on_map(seen, found, table)
    np.testing.assert_allclose(placed.table["x"][0], 31.5, atol=1e-6)
    assert list(placed.table["name"]) == ["core 1", "core 2"]


def test_capitals_do_not_matter_and_a_table_without_rows_is_refused(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("Name,RA,DEC\nmine,52.0,31.0\n")
    table = cores.open_catalogue(path, distance=300 * u.pc)
    assert (table["name"][0], table["ra"][0], table["dec"][0]) == ("mine", 52.0, 31.0)
    path.write_text("Name,RA,DEC\n")
    with pytest.raises(ValueError, match="expected"):
        cores.open_catalogue(path, distance=300 * u.pc)


def test_positions_in_words_are_refused_by_column(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("ra,dec\n03:25:00,31\n")
    with pytest.raises(ValueError, match="expected numbers in the column 'ra'"):
        cores.open_catalogue(path, distance=300 * u.pc)
