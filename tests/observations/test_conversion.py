"""What a map counts becomes N_H: laws by name, older molecular weights, errors, masks, spikes, known clouds."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab import Observation
from polaris_lab.observations import BlankPixelWarning
from polaris_lab.observations.blanks import find_spikes
from polaris_lab.observations.species import LAWS, conversion


def sky() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [60.0, 28.0], [-0.005, 0.005]
    return wcs


def observe(values: np.ndarray, **choices) -> Observation:
    return Observation(values, wcs=sky(), **{"distance": 140 * u.pc, "species": "H2"} | choices)


def test_laws_of_extinction_differ_by_what_they_say():
    extinction = np.full((20, 20), 5.0)
    for name, law in LAWS["A_V"].items():
        found = observe(extinction, species="A_V", law=name)
        assert found.column_density == pytest.approx(5 * law.factor)
        assert found.conversion_law == law.law
    assert observe(extinction, species="A_V").column_density == pytest.approx(5 * 1.87e21)
    ratio = (
        observe(extinction, species="A_K").column_density / observe(extinction, species="A_V").column_density
    )
    assert ratio == pytest.approx(1 / 0.112)


def test_an_optical_depth_needs_its_law_and_says_it():
    depth = np.full((20, 20), 1e-4)
    with pytest.raises(ValueError, match=r"law=1.2e-26 \* u.cm\*\*2"):
        observe(depth, species="tau")
    named = observe(depth, species="tau", law="planck2014")
    given = observe(depth, species="tau", law=1.2e-26 * u.cm**2)
    assert named.column_density == pytest.approx(1e-4 / 1.2e-26)
    assert given.column_density == pytest.approx(named.column_density)
    assert "1.2e-26 cm^2" in repr(given)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_optical_depth_survives_single_precision(dtype):
    found = observe(np.full((20, 20), 1e-5, dtype), species="tau", law="planck2014")
    assert found.column_density == pytest.approx(1e-5 / 1.2e-26, rel=1e-5)


def test_an_older_molecular_weight_keeps_the_mass():
    """2.33 m_H a molecule: 0.08 dex less than 2.8."""
    values = np.full((20, 20), 1e21)
    new, old = observe(values), observe(values, mu=2.33)
    assert np.log10(new.column_density / old.column_density) == pytest.approx(0.08, abs=0.001)
    assert observe(values, mu=2.8).column_density == pytest.approx(new.column_density)


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        ({"species": "A_V", "law": "bohlin"}, "did you mean 'bohlin1978'"),
        ({"species": "A_V", "law": 1e-26 * u.cm**2}, "expected a name"),
        ({"species": "H2", "law": "bohlin1978"}, "counts particles"),
        ({"species": "H", "mu": 2.33}, 'expected it with species="H2"'),
        ({"species": "H2", "mu": 1.4}, "2 to 3 m_H"),
    ],
)
def test_a_law_that_says_nothing_about_the_map_is_refused(choices, match):
    with pytest.raises(ValueError, match=match):
        conversion(**choices)


def test_a_map_of_extinction_is_not_doubled():
    with pytest.raises(ValueError, match='species="H2" expects a map in cm-2'):
        observe(np.full((20, 20), 5.0), species="H2", unit="mag")


def test_failed_fits_are_blank_with_a_count_and_can_be_kept():
    values = 1e22 * np.random.default_rng(0).lognormal(0, 0.3, (40, 40))
    values[10, 10] = values[20, 21] = values[20, 22] = 1e25
    with pytest.warns(BlankPixelWarning, match=r"3 of 1600 pixels .* spikes=False"):
        found = observe(values)
    assert np.isnan(found.column_density[[10, 20, 20], [10, 21, 22]]).all()
    assert found.spikes.sum() == 3
    assert np.isfinite(found.column_density).sum() == 1597
    kept = observe(values, spikes=False)
    assert np.isfinite(kept.column_density).all()


def test_a_resolved_core_is_no_spike():
    """A Gaussian of the narrowest beam that a map samples (2 pixels) rises by 3 orders and stays."""
    yy, xx = np.indices((41, 41)) - 20
    core = 1e21 * (1 + 1e3 * np.exp(-(xx**2 + yy**2) / (2 * (2.0 / 2.355) ** 2)))
    assert not find_spikes(core, factor=1e3).any()
    wide = 1e21 * (1 + 1e3 * np.exp(-(xx**2 + yy**2) / (2 * (4.0 / 2.355) ** 2)))
    assert not find_spikes(wide).any()


def test_the_factor_of_a_spike_is_checked():
    with pytest.raises(ValueError, match="factor above 1"):
        observe(np.full((20, 20), 1e21), spikes=0.5)


def test_errors_go_with_their_map():
    values, error = np.full((20, 20), 5.0), np.full((20, 20), 0.5)
    found = observe(values, species="A_V", error=error)
    assert found.error / found.column_density == pytest.approx(0.1)
    logs = observe(np.full((20, 20), 21.0), unit="dex(cm-2)", error=np.full((20, 20), 0.1))
    assert logs.error / logs.column_density == pytest.approx(0.1 * np.log(10))
    scaled = observe(np.full((20, 20), 5.0), unit="1e21 cm-2", error=error)
    assert scaled.error == pytest.approx(0.5e21 * 2)
    assert observe(np.full((20, 20), 1e21)).error is None
    with pytest.raises(ValueError, match="error: expected the shape"):
        observe(values, species="A_V", error=error[1:])


def test_masked_pixels_are_blank():
    mask = np.zeros((20, 20), bool)
    mask[:5] = True
    found = observe(np.full((20, 20), 1e21), mask=mask)
    assert np.isnan(found.column_density[:5]).all()
    assert np.isfinite(found.column_density[5:]).all()
    with pytest.raises(ValueError, match="mask: expected True and False"):
        observe(np.full((20, 20), 1e21), mask=mask.astype(int))


def test_error_and_mask_come_from_extensions(tmp_path):
    path = tmp_path / "map.fits"
    header = sky().to_header()
    header["BUNIT"] = "cm-2"
    mask = np.zeros((20, 20), np.int16)
    mask[0] = 1
    hdus = [
        fits.PrimaryHDU(np.full((20, 20), 1e21), header),
        fits.ImageHDU(np.full((20, 20), 1e20), name="ERROR"),
        fits.ImageHDU(mask, name="MASK"),
        fits.ImageHDU(np.zeros((3, 3)), name="OTHER"),
    ]
    fits.HDUList(hdus).writeto(path)
    found = Observation.from_fits(
        path, distance="Taurus L1495", species="H2", error_hdu="ERROR", mask_hdu="MASK"
    )
    assert found.distance_pc == 129.9
    assert found.error[1:] == pytest.approx(2e20)
    assert np.isnan(found.column_density[0]).all()
    with pytest.raises(ValueError, match=r"expected the shape of the map \(20, 20\), got \(3, 3\)"):
        Observation.from_fits(path, distance=140 * u.pc, species="H2", error_hdu="OTHER")
    with pytest.raises(ValueError, match="expected an extension"):
        Observation.from_fits(path, distance=140 * u.pc, species="H2", error_hdu="ERRORS")


def test_the_error_of_a_survey_map_is_read(shared_data):
    found = Observation.from_fits(
        shared_data / "column" / "higal_fil10_NH2.fits", distance=3 * u.kpc, species="H2", error_hdu=1
    )
    ratio = found.error / found.column_density
    assert 0 < np.nanmedian(ratio) < 1


def test_a_cloud_is_as_far_as_its_name_says():
    assert observe(np.full((20, 20), 1e21), distance="Polaris Flare (report)").distance_pc == 150
    with pytest.raises(ValueError, match="unknown cloud"):
        observe(np.full((20, 20), 1e21), distance="Atlantis")


# -- what an unfriendly reader tried ----------------------------------------------------------------


def column() -> np.ndarray:
    return 10 ** np.random.default_rng(2).normal(21.3, 0.2, (30, 30))


def written(path, values, **cards):
    header = sky().to_header()
    header.update({"BUNIT": "cm-2"} | cards)
    fits.PrimaryHDU(values, header).writeto(path, overwrite=True)
    return {"path": path, "distance": 140 * u.pc}


@pytest.mark.parametrize("said", ["H cm-2", "N(HI) [cm^-2]", "N_H (cm^-2)", "atoms cm-2"])
def test_a_map_of_nuclei_is_not_doubled_as_h2(tmp_path, said):
    opened = written(tmp_path / "n.fits", column(), BUNIT=said)
    with pytest.raises(ValueError, match=r"expected a map of H2.*double it to N_H = 2 N\(H2\)"):
        Observation.from_fits(**opened, species="H2")
    assert Observation.from_fits(**opened, species="H").column_density == pytest.approx(column())
    assert Observation.from_fits(**opened, species="H2", unit="cm-2").column_density == pytest.approx(
        2 * column()
    )


@pytest.mark.parametrize(("card", "wrong"), [("H2", "H"), ("H", "H2")])
def test_the_card_species_of_our_own_maps_is_heeded(tmp_path, card, wrong):
    path = observe(column(), species=card).write_fits(tmp_path / "own.fits")
    with pytest.raises(ValueError, match=f'expected species="{card}".*factor of 2'):
        Observation.from_fits(path, distance=140 * u.pc, species=wrong)
    again = Observation.from_fits(path, distance=140 * u.pc, species=card)
    assert again.column_density == pytest.approx(observe(column(), species=card).column_density)


def test_the_unit_of_a_quantity_is_not_lost():
    by_unit = observe((column() / u.cm**2).to(u.m**-2), species="H", error=column() / 10 / u.cm**2)
    assert by_unit.column_density == pytest.approx(column())
    assert by_unit.error == pytest.approx(column() / 10)
    with pytest.raises(ValueError, match="expected none beside values with the unit"):
        observe(column() / u.m**2, unit="cm-2")
    with pytest.raises(ValueError, match="cm-2, got"):
        observe(column() * u.K)


def test_an_error_map_in_another_unit_than_the_map(tmp_path):
    opened = written(tmp_path / "error.fits", column())
    for unit, scale in (("1e21 cm-2", 1e-21), ("cm-2", 1.0), ("", 1.0)):
        extension = fits.ImageHDU(0.1 * column() * scale, name="ERROR")
        extension.header["BUNIT"] = unit
        fits.HDUList([fits.PrimaryHDU(column(), fits.getheader(opened["path"])), extension]).writeto(
            tmp_path / "both.fits", overwrite=True
        )
        found = Observation.from_fits(
            tmp_path / "both.fits", distance=140 * u.pc, species="H2", error_hdu="ERROR"
        )
        assert found.error / found.column_density == pytest.approx(0.1)
    extension.header["BUNIT"] = "K"
    fits.HDUList([fits.PrimaryHDU(column(), fits.getheader(opened["path"])), extension]).writeto(
        tmp_path / "both.fits", overwrite=True
    )
    with pytest.raises(ValueError, match="expected an error in the unit of the map"):
        Observation.from_fits(tmp_path / "both.fits", distance=140 * u.pc, species="H2", error_hdu="ERROR")


@pytest.mark.parametrize("said", ["log10(cm^-2)", "log(N/cm^-2)", "log10(N [cm^-2])", "dex(cm-2)"])
def test_logarithms_as_headers_write_them(tmp_path, said):
    opened = written(tmp_path / "log.fits", np.log10(column()), BUNIT=said)
    assert Observation.from_fits(**opened, species="H").column_density == pytest.approx(column())
    opened = written(tmp_path / "lies.fits", column().astype(np.float32), BUNIT=said)  # it is none
    with pytest.raises(ValueError, match='they look like a column density: if so, write unit="cm-2"'):
        Observation.from_fits(**opened, species="H")


def test_an_optical_depth_may_be_a_logarithm(tmp_path):
    opened = written(tmp_path / "tau.fits", np.log10(column() * 1.2e-26), BUNIT="")
    found = Observation.from_fits(**opened, species="tau", law="planck2014", unit="dex")
    assert found.column_density == pytest.approx(column())
    with pytest.raises(ValueError, match="expects a map in plain numbers"):
        Observation.from_fits(**opened, species="tau", law="planck2014", unit="cm-2")


def test_a_beam_wider_than_the_map_is_not_believed(tmp_path):
    opened = written(tmp_path / "beam.fits", column(), BMAJ=36.0, BMIN=36.0)  # arcsec where degrees belong
    with pytest.warns(UserWarning, match="BMAJ = 36 is ignored"):
        assert Observation.from_fits(**opened, species="H2").beam_arcsec is None


@pytest.mark.parametrize("text", ["140 pc", "300"])
def test_a_distance_in_words_is_told_how_to_be_written(text):
    with pytest.raises(TypeError, match=r"got the text .*; write for example distance=140 \* u\.pc"):
        observe(column(), distance=text)
