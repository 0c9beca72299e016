"""Core catalogues: the layouts of HGBS, tables of others, another distance."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from polaris_lab.observations import cores
from polaris_lab.observations.cores.catalogue import finished, pixel_positions
from polaris_lab.observations.cores.hgbs import mean_density

RNG = np.random.default_rng(5)


def derived_rows(*, exchanged: bool, coded: bool, count: int = 12) -> str:
    """Rows as HGBS writes them: mean values follow from mass and radii, in one order or the other."""
    lines = ["| TABLE A.2: Derived properties of the dense cores of the Orion B region"]
    for number in range(1, count + 1):
        radius, mass = RNG.uniform(0.02, 0.04), RNG.uniform(0.5, 5)
        observed = 1.6 * radius
        area = 2.8 * 1.6735328e-24 * np.pi * (3.0857e18) ** 2 / 1.98841e33  # Msun of 1 H2 cm^-2 over pi pc^2
        columns = [mass / area / r**2 / 1e21 for r in (observed, radius)]
        densities = [float(mean_density(mass, r)) / 1e4 for r in (observed, radius)]
        if exchanged:
            columns, densities = columns[::-1], densities[::-1]
        kind = "2" if coded else "prestellar"
        gap = "\t" if coded else "   "
        lines.append(
            f"  {number}   0537{number:02d}.8-013942   05:37:58.88   -01:39:42.5   {radius:.1e}  {observed:.1e}{gap}"
            f"{mass:.2f}  0.02{gap}17.6  1.3{gap} 10.0{gap} {columns[0]:.1f} {columns[1]:.1f}{gap} 8.9{gap}"
            f"{densities[0]:.2f} {densities[1]:.2f}{gap} 0.3{gap} {kind}  {gap} tentative bound"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("coded", [True, False])
def test_both_layouts_of_a_derived_catalogue_are_read(tmp_path, coded):
    path = tmp_path / "catalogue.txt"
    path.write_text(derived_rows(exchanged=False, coded=coded))
    table = cores.read_hgbs(path)
    assert len(table) == 12
    assert set(table["type"]) == {"prestellar"}
    assert set(table["comment"]) == {"tentative bound"}
    assert table["ra"][0] == pytest.approx(15 * (5 + 37 / 60 + 58.88 / 3600))
    assert table["dec"][0] == pytest.approx(-(1 + 39 / 60 + 42.5 / 3600))
    assert table["peak_column_density"].unit == u.cm**-2
    assert table["peak_column_density"][0] == pytest.approx(1e22)
    assert table.meta["distance_pc"] == 400
    assert (table["mean_density"] > table["mean_density_observed"]).all()


def test_exchanged_columns_are_put_in_order_with_a_warning(tmp_path):
    path = tmp_path / "catalogue.txt"
    path.write_text(derived_rows(exchanged=True, coded=False))
    with pytest.warns(cores.CatalogueWarning, match="exchanged against the header"):
        table = cores.read_hgbs(path)
    assert (table["mean_density"] > table["mean_density_observed"]).all()
    expected = mean_density(np.asarray(table["mass"]), np.asarray(table["radius"]))
    assert np.abs(np.log10(table["mean_density"] / expected)).max() < 0.05  # radii have two digits
    assert any("exchanged" in note for note in table.meta["notes"])


def test_densities_that_fit_neither_radius_are_refused(tmp_path):
    text = derived_rows(exchanged=False, coded=False).splitlines()
    words = [line.split() for line in text[1:]]
    for row in words:
        row[6] = f"{50 * float(row[6]):.2f}"  # masses in another unit
    path = tmp_path / "catalogue.txt"
    path.write_text("\n".join([text[0], *("   ".join(row) for row in words)]))
    with pytest.raises(ValueError, match="times off for both"):
        cores.read_hgbs(path)


def test_the_rows_of_orion_b_are_read_as_their_header_says(shared_data):
    table = cores.read_hgbs(shared_data / "cores" / "hgbs_orionB_format_sample.txt")
    assert len(table) == 17
    assert set(table["type"]) == {"starless", "prestellar", "protostellar"}
    assert table["mean_density"][1] == pytest.approx(11.1e4)
    assert table["mean_density_observed"][1] == pytest.approx(3.9e4)
    assert table.meta["notes"] == []


def test_the_rows_of_perseus_follow_from_mass_and_radius(shared_data):
    path = shared_data / "cores" / "perseus_hgbs_derived_subset.csv"
    table = cores.read_catalogue(path, distance=300 * u.pc)
    assert len(table) == 146
    fitted = (
        (table["mass"] > 0.1) & (table["radius"] > 0.01) & (table["mean_density"] > 0)
    )  # 0: below one digit
    expected = mean_density(np.asarray(table["mass"][fitted]), np.asarray(table["radius"][fitted]))
    assert np.median(np.abs(np.log10(table["mean_density"][fitted] / expected))) < 0.03


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("nothing of the kind\n1 2 3\n", "expected rows of an HGBS catalogue"),
        ("  1  053758.8-013942  05:37:58.88  -01:39:42.5  3.7e-02  5.2e-02  0.08\n", "cut off"),
    ],
)
def test_what_is_no_catalogue_is_refused(tmp_path, text, match):
    path = tmp_path / "orion.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        cores.read_hgbs(path)


def test_a_word_where_a_number_belongs_is_named(tmp_path):
    path = tmp_path / "orion.txt"
    path.write_text(derived_rows(exchanged=False, coded=False).replace("10.0", "n.a."))
    with pytest.raises(ValueError, match=r"expected a number in the row of core 1, got 'n\.a\.'"):
        cores.read_hgbs(path)


def test_an_unknown_cloud_needs_its_distance(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(derived_rows(exchanged=False, coded=False).splitlines()[1:]))
    with pytest.raises(ValueError, match=r"distance=140 \* u\.pc"):
        cores.read_hgbs(path)
    assert cores.read_hgbs(path, distance=0.5 * u.kpc).meta["distance_pc"] == 500


def test_an_observed_catalogue_gives_sizes_and_columns(tmp_path):
    numbers = [f"{value}.0" for value in range(5, 63)]
    path = tmp_path / "HGBS_orionB_observed_core_catalog.txt"
    row = (
        "   1   053758.8-013942   05:37:58.88   -01:39:42.5  " + "  ".join(numbers) + "  3  0   NAME Ori 1-2"
    )
    path.write_text(row)
    table = cores.read_hgbs(path)
    assert table["peak_column_density_hires"][0] == pytest.approx(55e21)
    assert table["major_fwhm"][0] == 59
    assert table["major_fwhm"].unit == u.arcsec
    assert table["type"][0] == "protostellar"
    path.write_text(row.replace("  62.0  3  0   NAME Ori 1-2", ""))
    with pytest.raises(ValueError, match="cut off"):
        cores.read_hgbs(path)


def test_a_table_of_ones_own_names_its_columns(tmp_path):
    path = tmp_path / "mine.csv"
    Table({"lon": [52.0], "lat": [31.0], "n": [2.5]}).write(path)
    columns = {"ra": "lon", "dec": "lat", "mean_density": "n"}
    table = cores.read_catalogue(
        path, distance=300 * u.pc, columns=columns, units={"mean_density": "1e4 cm-3"}
    )
    assert table["mean_density"][0] == pytest.approx(2.5e4)
    with pytest.raises(ValueError, match="expected positions"):
        cores.read_catalogue(path, distance=300 * u.pc)
    with pytest.raises(ValueError, match="expected a column 'nn'"):
        cores.read_catalogue(path, distance=300 * u.pc, columns=columns | {"mass": "nn"})
    with pytest.raises(ValueError, match="did you mean 'mean_density'"):
        cores.read_catalogue(path, distance=300 * u.pc, columns={"mean_densty": "n"})
    with pytest.raises(TypeError, match="distance: expected a Quantity"):
        cores.read_catalogue(path, distance=300, columns=columns)
    with pytest.raises(FileNotFoundError):
        cores.read_catalogue(tmp_path / "none.csv", distance=300 * u.pc)


def test_another_distance_moves_what_depends_on_it():
    table = Table(
        {
            "ra": [52.0] * u.deg,
            "dec": [31.0] * u.deg,
            "radius": [0.1] * u.pc,
            "mass": [4.0] * u.Msun,
            "mean_density": [1e4] * u.cm**-3,
            "mean_column_density": [1e22] * u.cm**-2,
        }
    )
    moved = cores.at_distance(finished(table, 300.0, source="test"), 150 * u.pc)
    assert moved["radius"][0] == pytest.approx(0.05)
    assert moved["mass"][0] == pytest.approx(1.0)
    assert moved["mean_density"][0] == pytest.approx(2e4)
    assert moved["mean_column_density"][0] == 1e22
    # M / R^3 is the density: one symmetry, told in three columns
    assert moved["mass"][0] / moved["radius"][0] ** 3 == pytest.approx(2 * 4.0 / 0.1**3)
    assert "moved from 300 to 150 pc" in moved.meta["notes"][-1]
    with pytest.raises(ValueError, match="expected meta"):
        cores.at_distance(Table({"mass": [1.0]}), 100 * u.pc)


def test_types_are_selected(shared_data):
    table = cores.read_catalogue(
        shared_data / "cores" / "perseus_hgbs_derived_subset.csv", distance=300 * u.pc
    )
    assert set(cores.select(table, types=("prestellar",))["type"]) == {"prestellar"}
    assert not any("no SED" in str(c) for c in cores.select(table, sed_fit=True)["comment"])
    with pytest.raises(ValueError, match="did you mean 'prestellar'"):
        cores.select(table, types=("prestelar",))


def small_wcs(galactic: bool = False) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"] if galactic else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [160.0, -18.0] if galactic else [52.0, 31.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [16.5, 16.5], [-0.01, 0.01]
    return wcs


def test_cores_outside_the_map_are_counted_and_all_outside_refused():
    table = finished(Table({"ra": [52.0, 80.0] * u.deg, "dec": [31.0, 31.0] * u.deg}), 300.0, source="")
    with pytest.warns(cores.CatalogueWarning, match="1 of 2 cores lie outside"):
        x, y, inside = pixel_positions(table, small_wcs(), (32, 32))
    assert inside.tolist() == [True, False]
    assert (x[0], y[0]) == pytest.approx((15.5, 15.5))
    with pytest.raises(ValueError, match="equatorial, not galactic"):
        pixel_positions(table[1:], small_wcs(), (32, 32))


def test_a_galactic_map_takes_equatorial_cores():
    wcs = small_wcs(galactic=True)
    sky = wcs.pixel_to_world(4.0, 9.0).icrs
    table = finished(Table({"ra": [sky.ra.deg] * u.deg, "dec": [sky.dec.deg] * u.deg}), 300.0, source="")
    x, y, _ = pixel_positions(table, wcs, (32, 32))
    assert (x[0], y[0]) == pytest.approx((4.0, 9.0), abs=1e-6)


def test_positions_that_are_none_are_refused():
    with pytest.raises(ValueError, match="right ascensions and declinations in degrees"):
        finished(Table({"ra": [52.0], "dec": [310.0]}), 300.0, source="")


def test_vizier_is_asked_by_identifier_and_its_silence_is_said(monkeypatch):
    import requests
    from astroquery.vizier import VizierClass

    answer = Table({"_RAJ2000": [52.0], "_DEJ2000": [31.0], "Mcore": [2.0]})
    monkeypatch.setattr(VizierClass, "get_catalogs", lambda self, identifier: [answer])
    columns = {"ra": "_RAJ2000", "dec": "_DEJ2000", "mass": "Mcore"}
    table = cores.read_vizier("J/A+A/645/A55", distance=300 * u.pc, columns=columns)
    assert table["mass"][0] * table["mass"].unit == 2 * u.Msun
    assert table.meta["source"] == "VizieR J/A+A/645/A55"
    with pytest.raises(ValueError, match="expected table 3, got 1"):
        cores.read_vizier("J/A+A/645/A55", distance=300 * u.pc, columns=columns, table=3)

    def silent(self, identifier):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(VizierClass, "get_catalogs", silent)
    with pytest.raises(ConnectionError, match="read_catalogue"):
        cores.read_vizier("J/A+A/645/A55", distance=300 * u.pc, columns=columns)
