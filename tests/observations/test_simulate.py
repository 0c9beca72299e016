"""Simulated observations: mass behind the beam, noise of the stated size, coordinates and files."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import polaris_lab as lab
from polaris_lab.clouds import SimulationCube, project
from polaris_lab.observations import BlankPixelWarning, Observation, observe_cube

FAR = {"distance": 300 * u.pc}


@pytest.fixture(scope="module")
def cube() -> SimulationCube:
    field = np.random.default_rng(0).lognormal(6, 1, (24, 30, 36))
    return SimulationCube(field, cell_size=0.05 * u.pc, name="box")


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_without_telescope_it_is_the_projection(cube, axis):
    seen, truth = observe_cube(cube, axis=axis, **FAR), project(cube, axis=axis)
    np.testing.assert_allclose(seen.observation.column_density, truth.column_density, rtol=1e-12)
    np.testing.assert_allclose(seen.density, truth.mass_weighted_density, rtol=1e-12)
    assert seen.observation.pixel_size_pc == pytest.approx(0.05, rel=1e-5)


def test_the_beam_conserves_mass_and_averages_density_by_mass(cube):
    sharp = observe_cube(cube, **FAR)
    blurred = observe_cube(cube, beam_fwhm=0.2 * u.pc, **FAR)
    assert blurred.column_density.sum() == pytest.approx(sharp.column_density.sum(), rel=1e-9)
    moments = [(seen.column_density * seen.density).sum() for seen in (sharp, blurred)]
    assert moments[1] == pytest.approx(moments[0], rel=1e-9)
    assert blurred.density.max() < sharp.density.max()
    assert blurred.observation.beam_arcsec == pytest.approx(0.2 / 300 * 206264.806, rel=1e-6)


def test_an_angle_and_a_length_are_the_same_beam(cube):
    angle = observe_cube(cube, beam_fwhm=np.degrees(0.2 / 300) * u.deg, **FAR)
    length = observe_cube(cube, beam_fwhm=0.2 * u.pc, **FAR)
    np.testing.assert_allclose(angle.column_density, length.column_density, rtol=1e-12)


def test_larger_pixels_conserve_mass(cube):
    sharp, coarse = observe_cube(cube, **FAR), observe_cube(cube, pixel_size=0.1 * u.pc, **FAR)
    assert coarse.observation.shape == (15, 18)
    assert 4 * coarse.column_density.sum() == pytest.approx(sharp.column_density.sum(), rel=1e-12)
    assert 4 * (coarse.column_density * coarse.density).sum() == pytest.approx(
        (sharp.column_density * sharp.density).sum(), rel=1e-12
    )


def test_noise_has_the_stated_size_and_follows_the_seed():
    cube = SimulationCube(np.full((8, 200, 200), 100.0), cell_size=0.05 * u.pc)
    clean = observe_cube(cube, **FAR).observation.column_density
    noisy = [
        observe_cube(cube, noise=0.05, seed=seed, **FAR).observation.column_density for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    assert np.std(noisy[0] / clean - 1) == pytest.approx(0.05, rel=0.03)
    relative = observe_cube(cube, relative_noise=0.1, **FAR).observation.column_density
    assert np.std(relative / clean - 1) == pytest.approx(0.1, rel=0.03)
    raised = observe_cube(cube, zero_level=0.2, **FAR)
    np.testing.assert_allclose(raised.observation.column_density, 1.2 * clean)
    np.testing.assert_allclose(raised.column_density, clean)


def test_the_corner_is_blank_in_the_map_and_known_in_truth(cube):
    seen = observe_cube(cube, blank_corner=0.3, **FAR)
    blank = np.isnan(seen.observation.column_density)
    assert blank[0, 0]
    assert not blank[-1, -1]
    assert blank.mean() == pytest.approx(0.3**2 / 2, abs=0.01)
    assert np.isfinite(seen.density).all()


def test_what_noise_makes_negative_is_blank_aloud(cube):
    with pytest.warns(BlankPixelWarning, match="no logarithm"):
        observe_cube(cube, zero_level=-1.0, **FAR)


@pytest.mark.parametrize("species", ["H2", "H"])
def test_it_goes_through_a_file(cube, tmp_path, species):
    centre = SkyCoord(83.8, -5.4, unit="deg")
    seen = observe_cube(
        cube, blank_corner=0.2, beam_fwhm=60 * u.arcsec, species=species, centre=centre, **FAR
    )
    path = seen.observation.write_fits(tmp_path / "seen.fits")
    again = Observation.from_fits(path, species=species, **FAR)
    np.testing.assert_allclose(again.column_density, seen.observation.column_density, rtol=1e-12)
    assert again.pixel_size_pc == pytest.approx(seen.observation.pixel_size_pc)
    assert again.wcs.pixel_to_world(17.5, 14.5).separation(centre) < 0.01 * u.arcsec


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"pixel_size": 0.01 * u.pc}, ValueError, "a cell of the cube"),
        ({"pixel_size": 9 * u.pc}, ValueError, "at most a side"),
        ({"beam_fwhm": 36}, TypeError, "Quantity"),
        ({"noise": -0.1}, ValueError, "noise: expected a fraction"),
        ({"blank_corner": 1.0}, ValueError, "blank_corner"),
        ({"species": "A_V"}, ValueError, '"H2" or "H"'),
        ({"axis": "w"}, ValueError, "axis"),
        ({"distance": 300}, TypeError, "Quantity"),
    ],
)
def test_choices_out_of_range(cube, choices, error, message):
    with pytest.raises(error, match=message):
        observe_cube(cube, **{**FAR, **choices})


def test_an_observation_of_a_cube_holds_its_truth(cube):
    """Without beam and noise the map is the projection, and the truth the mass-weighted density."""
    seen = lab.Observation.from_cube(cube, distance=300 * u.pc, species="H")
    np.testing.assert_allclose(seen.column_density, lab.column_density(cube), rtol=1e-5)
    np.testing.assert_allclose(seen.truth, lab.mass_weighted_density(cube), rtol=1e-5)


def test_a_real_map_lends_its_blank_pixels(cube):
    shape = lab.column_density(cube).shape
    real = lab.Observation.from_cube(cube, distance=300 * u.pc, blank_corner=0.5)
    seen = lab.Observation.from_cube(cube, distance=300 * u.pc, seed=1, mask=real)
    assert np.array_equal(np.isnan(seen.column_density), np.isnan(real.column_density))
    stretched = lab.Observation.from_cube(
        cube, distance=300 * u.pc, axis="y", mask=real
    )  # 24 x 36 for 30 x 36
    assert np.isnan(stretched.column_density).mean() == pytest.approx(0.125, abs=0.03)
    mask = np.zeros(shape, bool)
    mask[3] = True
    assert np.isnan(lab.Observation.from_cube(cube, distance=300 * u.pc, mask=mask).column_density[3]).all()
    with pytest.raises(ValueError, match="mask: expected True and False"):
        lab.Observation.from_cube(cube, distance=300 * u.pc, mask=mask[1:])
