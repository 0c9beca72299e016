"""`Observation`: real maps with their traps, generated traps, and what each error says."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations import BlankPixelWarning, Observation
from tests.observations.conftest import sky_wcs, smooth_column

AT = {"distance": 140 * u.pc, "species": "H2"}


# -- real maps ---------------------------------------------------------------------------------------


def test_barnard_5_opens_and_is_doubled(shared_data):
    path = shared_data / "column" / "perseus_b5_herschel_NH2.fits"
    observation = Observation.from_fits(path, distance=300 * u.pc, species="H2")
    raw = fits.getdata(path)
    np.testing.assert_array_equal(observation.column_density, 2 * raw)
    assert observation.pixel_size_arcsec == pytest.approx(14.0, rel=1e-3)
    assert observation.pixel_size_pc == pytest.approx(14 / 206265 * 300, rel=1e-3)
    assert np.isnan(observation.column_density).sum() == 477


def test_ic348_lies_about_its_unit_and_blanks_with_zeros(shared_data):
    path = shared_data / "column" / "perseus_ic348_NH2.fits"
    with (
        pytest.raises(ValueError, match=r"BUNIT = 'K km s-1'.*unit=\"cm-2\""),
        pytest.warns(BlankPixelWarning),
    ):
        Observation.from_fits(path, distance=300 * u.pc, species="H2")
    with pytest.warns(BlankPixelWarning, match="9137 of 20000 pixels .*9137 of value 0"):
        observation = Observation.from_fits(path, distance=300 * u.pc, species="H2", unit="cm-2")
    assert np.isnan(observation.column_density).sum() == 9137
    assert np.nanmax(observation.column_density) == pytest.approx(1.0e23, rel=0.01)
    assert observation.pixel_size_arcsec == pytest.approx(23.0, rel=1e-3)  # SFL, 32 degrees from its centre


def test_taurus_is_a_log_map_that_does_not_say_so(shared_data):
    path = shared_data / "column" / "taurus_planck_logNH.fits"
    with pytest.raises(ValueError, match=r'empty BUNIT.*unit="dex\(cm-2\)"'):
        Observation.from_fits(path, distance=140 * u.pc, species="H")
    observation = Observation.from_fits(path, distance=140 * u.pc, species="H", unit="dex(cm-2)")
    np.testing.assert_allclose(np.log10(observation.column_density), fits.getdata(path), atol=1e-5)
    with pytest.raises(ValueError, match=r"dex\(cm-2\)"):
        Observation.from_fits(path, distance=140 * u.pc, species="H", unit="cm-2")


def test_higal_takes_its_beam_and_its_first_image(shared_data):
    path = shared_data / "column" / "higal_fil10_NH2.fits"
    observation = Observation.from_fits(path, distance=3 * u.kpc, species="H2")
    assert observation.beam_arcsec == pytest.approx(43.8)
    assert np.nanmax(observation.column_density) == pytest.approx(2 * 8.915783057042e22)
    assert Observation.from_fits(path, distance=3 * u.kpc, species="H2", beam=30 * u.arcsec).beam_arcsec == 30


@pytest.mark.parametrize(("name", "distance"), [("orion_AV", 400), ("perseus_2mass_AV_galactic", 300)])
def test_extinction_becomes_hydrogen_nuclei_and_is_not_n_h2(shared_data, name, distance):
    path = shared_data / "extinction" / f"{name}.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlankPixelWarning)
        with pytest.raises(ValueError, match='species="A_V"'):
            Observation.from_fits(path, distance=distance * u.pc, species="H2")
        observation = Observation.from_fits(path, distance=distance * u.pc, species="A_V")
    raw = fits.getdata(path)
    np.testing.assert_allclose(observation.column_density[raw > 0], 1.87e21 * raw[raw > 0], rtol=1e-6)
    assert np.isnan(observation.column_density[raw <= 0]).all()


def test_a_line_intensity_is_no_column_density(shared_data):
    path = shared_data / "ppv" / "perseus_ngc1333_13co10_integrated.fits"
    with pytest.raises(ValueError, match="no column density"):
        Observation.from_fits(path, distance=300 * u.pc, species="H2")


def test_a_cube_is_refused(shared_data):
    with pytest.raises(ValueError, match=r"2 axes, got none .*105 x 105 x 53 pixels.*cube"):
        Observation.from_fits(shared_data / "ppv" / "perseus_l1448_13co10.fits", **AT)


def test_a_table_is_refused(shared_data):
    with pytest.raises(ValueError, match="a table"):
        Observation.from_fits(shared_data / "ppv" / "perseus_l1448_dendro_catalog.fits", **AT)


def test_a_map_without_wcs_is_refused(shared_data):
    with pytest.raises(ValueError, match="celestial WCS"):
        Observation.from_fits(shared_data / "simulations" / "aviator_toy_map_50x50.fits", **AT)


# -- what must be said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"species": "H2"}, TypeError, "distance: .*got nothing; .*140 \\* u.pc"),
        ({"species": "H2", "distance": 140}, TypeError, r"distance=140 \* u.pc"),
        ({"species": "H2", "distance": "140 pc"}, TypeError, "Quantity"),
        ({"species": "H2", "distance": -140 * u.pc}, ValueError, "positive"),
        ({"species": "H2", "distance": np.nan * u.pc}, ValueError, "finite"),
        ({"species": "H2", "distance": 140 * u.K}, u.UnitsError, "converts to pc"),
        ({"distance": 140 * u.pc}, TypeError, "species: .*got nothing.*factor of 2"),
        ({"distance": 140 * u.pc, "species": "h2"}, ValueError, "did you mean 'H2'"),
        ({"distance": 140 * u.pc, "species": "tau"}, ValueError, "opacity"),
    ],
)
def test_distance_and_species_must_be_given(make_fits, choices, error, message):
    with pytest.raises(error, match=message):
        Observation.from_fits(make_fits(), **choices)


# -- files that are no maps --------------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        Observation.from_fits(tmp_path / "absent.fits", **AT)


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.fits"
    path.touch()
    with pytest.raises(ValueError, match="0 bytes"):
        Observation.from_fits(path, **AT)


def test_a_web_page_named_fits(tmp_path):
    path = tmp_path / "page.fits"
    path.write_text("<!DOCTYPE html><html>moved</html>")
    with pytest.raises(ValueError, match="web page"):
        Observation.from_fits(path, **AT)


def test_a_file_without_data(tmp_path):
    path = tmp_path / "nothing.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(ValueError, match=r"got none .*no data"):
        Observation.from_fits(path, **AT)


@pytest.mark.parametrize("keep", [100, 2879, 2880, 3000, 6000])
def test_a_truncated_file(make_fits, keep):
    path = make_fits(smooth_column((24, 40)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="cut off"):
        Observation.from_fits(path, **AT)


def test_a_truncated_compressed_file(make_fits):
    path = make_fits(name="map.fits.gz")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="cut off"):
        Observation.from_fits(path, **AT)


def test_compressed_files_open(make_fits, tmp_path):
    plain, packed = make_fits(), make_fits(name="packed.fits.gz")
    tiled = tmp_path / "tiled.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(fits.getdata(plain), fits.getheader(plain))]).writeto(
        tiled
    )
    expected = Observation.from_fits(plain, **AT).column_density
    np.testing.assert_array_equal(Observation.from_fits(packed, **AT).column_density, expected)
    np.testing.assert_allclose(Observation.from_fits(tiled, **AT).column_density, expected, rtol=0.05)


def test_three_axes_are_refused_and_degenerate_ones_dropped(make_fits):
    values = smooth_column((24, 40))
    flat = Observation.from_fits(make_fits(values), **AT)
    with pytest.raises(ValueError, match="40 x 24 x 3"):
        Observation.from_fits(make_fits(np.stack([values] * 3), name="cube.fits"), **AT)
    squeezed = Observation.from_fits(
        make_fits(values[None, None], name="deep.fits", CTYPE3="VELO-LSR", CTYPE4="STOKES"), **AT
    )
    np.testing.assert_array_equal(squeezed.column_density, flat.column_density)
    assert squeezed.wcs.naxis == 2
    assert squeezed.pixel_size_pc == pytest.approx(flat.pixel_size_pc)


def test_extensions_by_number_and_name(tmp_path):
    values = smooth_column((24, 40))
    header = sky_wcs(values.shape).to_header()
    header["BUNIT"] = "cm-2"
    path = tmp_path / "many.fits"
    images = [fits.ImageHDU(values * factor, header, name=f"N{factor}") for factor in (1, 3)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    for hdu, factor in ((None, 1), (1, 1), ("N3", 3), ("n3", 3), (2, 3)):
        observation = Observation.from_fits(path, hdu=hdu, **AT)
        np.testing.assert_array_equal(observation.column_density, 2 * factor * values)
    with pytest.raises(ValueError, match=r"got 'N5'; it holds .*N1"):
        Observation.from_fits(path, hdu="N5", **AT)
    with pytest.raises(ValueError, match="no data"):
        Observation.from_fits(path, hdu=0, **AT)


# -- units -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bunit", ["cm-2", "cm^-2", "cm^(-2)", "cm**-2", "1/cm^2", "H2 cm-2"])
def test_spellings_of_the_unit(make_fits, bunit):
    values = smooth_column((24, 40))
    observation = Observation.from_fits(make_fits(values, BUNIT=bunit), **AT)
    np.testing.assert_array_equal(observation.column_density, 2 * values)


@pytest.mark.parametrize(
    ("values", "bunit"),
    [(1e-21, "10^21 cm^-2"), (1e4, "m-2"), (None, "log10(cm^-2)"), (None, "dex(cm-2)"), (None, "log cm-2")],
)
def test_scaled_and_logarithmic_units(make_fits, values, bunit):
    column = smooth_column((24, 40))
    stored = np.log10(column) if values is None else column * values
    observation = Observation.from_fits(make_fits(stored, BUNIT=bunit), distance=140 * u.pc, species="H")
    np.testing.assert_allclose(observation.column_density, column, rtol=1e-10)


@pytest.mark.parametrize(
    ("values", "bunit", "message"),
    [
        (1.0, None, 'empty BUNIT.*unit="cm-2"'),
        (1.0, "unknown", "BUNIT = 'unknown'.*unit=\"cm-2\""),
        (1.0, "cm-3", 'in cm-2, got .*cm-3.*unit="cm-2"'),
        (1e-21, "cm-2", "median is .*expected 1e"),
        (1e-21, None, 'species="A_V"'),
        (1.0, "dex(cm-2)", "median is inf|median is nan"),
        ("log", "cm-2", r'unit="dex\(cm-2\)"'),
        ("log", None, r'unit="dex\(cm-2\)"'),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_unit_that_is_missing_or_lies_is_never_guessed(make_fits, values, bunit, message):
    column = smooth_column((24, 40))
    stored = np.log10(column) if values == "log" else column * values
    with pytest.raises(ValueError, match=message):
        Observation.from_fits(make_fits(stored, BUNIT=bunit), **AT)


def test_a_header_that_says_h2_contradicts_species_h(make_fits):
    path = make_fits(BUNIT="H2 cm-2")
    with pytest.raises(ValueError, match='species="H2" doubles it'):
        Observation.from_fits(path, distance=140 * u.pc, species="H")
    single = Observation.from_fits(path, distance=140 * u.pc, species="H", unit="cm-2")
    double = Observation.from_fits(path, **AT)
    np.testing.assert_array_equal(double.column_density, 2 * single.column_density)


def test_a_unit_that_is_no_unit(make_fits):
    with pytest.raises(ValueError, match="unit: expected"):
        Observation.from_fits(make_fits(), unit="bananas", **AT)


def test_a_unit_object_is_taken(make_fits):
    observation = Observation.from_fits(make_fits(BUNIT=None), unit=u.cm**-2, **AT)
    np.testing.assert_array_equal(observation.column_density, 2 * smooth_column((24, 40)))


# -- blanks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_usual_blanks_are_counted_and_blank_overrides(make_fits, value):
    column = smooth_column((24, 40))
    column[:3] = value
    column[5, 5] = np.nan
    path = make_fits(column)
    with pytest.warns(BlankPixelWarning, match="120 of 960 pixels"):
        observation = Observation.from_fits(path, **AT)
    assert np.isnan(observation.column_density).sum() == 121
    chosen = Observation.from_fits(path, blank=value, **AT)  # chosen, so nothing to warn of
    np.testing.assert_array_equal(chosen.column_density, observation.column_density)


def test_without_blanks_a_zero_still_has_no_logarithm(make_fits):
    column = smooth_column((24, 40))
    column[0, :7] = 0
    with pytest.warns(BlankPixelWarning, match="7 of 960 pixels have no logarithm"):
        observation = Observation.from_fits(make_fits(column), blank=(), **AT)
    assert np.isnan(observation.column_density).sum() == 7


@pytest.mark.parametrize("kind", [np.int32, np.float64])
def test_the_blank_card_counts_in_integer_and_float_images(make_fits, kind):
    values = (smooth_column((24, 40)) / 1e18).astype(kind)
    values[:2] = -999
    with pytest.warns(BlankPixelWarning, match="80 of 960 .*80 of value -999"):
        observation = Observation.from_fits(make_fits(values, BLANK=-999, BUNIT="1e18 cm-2"), **AT)
    assert np.isnan(observation.column_density[:2]).all()
    assert np.isfinite(observation.column_density[2:]).all()


@pytest.mark.parametrize("value", [np.nan, 0.0])
@pytest.mark.filterwarnings("ignore::polaris_lab.observations.BlankPixelWarning")
def test_a_map_that_is_blank_everywhere(make_fits, value):
    with pytest.raises(ValueError, match="blank everywhere"):
        Observation.from_fits(make_fits(np.full((24, 40), value)), **AT)


def test_infinity_is_blank(make_fits):
    column = smooth_column((24, 40))
    column[3, 4] = np.inf
    assert np.isnan(Observation.from_fits(make_fits(column), **AT).column_density[3, 4])


def test_a_blank_that_is_no_number(make_fits):
    with pytest.raises(TypeError, match="blank: expected a number"):
        Observation.from_fits(make_fits(), blank="zero", **AT)


# -- arrays, words, files ----------------------------------------------------------------------------


def test_density_units_follow_species_for_arrays():
    column = smooth_column((24, 40))
    wcs = sky_wcs((24, 40))
    for species, factor in (("H", 1.0), ("H2", 2.0)):
        observation = Observation(column, wcs=wcs, distance=140 * u.pc, species=species)
        np.testing.assert_array_equal(observation.column_density, factor * column)


@pytest.mark.parametrize(
    ("values", "wcs", "message"),
    [
        (np.ones((3, 4, 5)), sky_wcs((4, 5)), "2D"),
        (np.full((4, 5), "a"), sky_wcs((4, 5)), "real numbers"),
        (smooth_column((24, 40)), "TAN", "celestial astropy WCS"),
        (smooth_column((24, 40)), WCS(naxis=2), "celestial astropy WCS"),
        (smooth_column((24, 40)), WCS(naxis=3), "use wcs.celestial"),
    ],
)
def test_arrays_that_are_no_maps(values, wcs, message):
    with pytest.raises(ValueError, match=message):
        Observation(values, wcs=wcs, **AT)


def test_it_says_what_it_is(make_fits):
    observation = Observation.from_fits(make_fits(OBJECT="B5 <east>"), **AT)
    for word in ("B5", "24 x 40 pixels", '20"', "140 pc", "N_H = 2 N(H2)", "0 blank"):
        assert word in repr(observation)
    assert "B5 &lt;east&gt;" in observation._repr_html_()


@pytest.mark.parametrize("species", ["H2", "H", "A_V"])
def test_round_trip_through_fits(tmp_path: Path, species):
    column = smooth_column((24, 40)) / (1e21 if species == "A_V" else 1)
    column[2, 3] = np.nan
    wcs = sky_wcs((24, 40), rotation=30)
    first = Observation(
        column, wcs=wcs, distance=140 * u.pc, species=species, beam=36 * u.arcsec, name="test"
    )
    path = first.write_fits(tmp_path / "out.fits")
    counted = "H2" if species == "H2" else "H"
    second = Observation.from_fits(path, distance=140 * u.pc, species=counted)
    np.testing.assert_allclose(second.column_density, first.column_density, rtol=1e-12)
    assert second.beam_arcsec == pytest.approx(36)
    assert second.name == "test"
    np.testing.assert_allclose(
        second.wcs.all_pix2world([[0, 0], [39, 23]], 0), wcs.all_pix2world([[0, 0], [39, 23]], 0), atol=1e-9
    )
    with pytest.raises(FileExistsError, match="overwrite=True"):
        first.write_fits(path)
    first.write_fits(path, overwrite=True)
