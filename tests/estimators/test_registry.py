"""What all estimators share: signature, symmetries, blanks, limits, and the errors of bad maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.clouds import synthetic_cloud
from polaris_lab.clouds.projection import column_density
from polaris_lab.estimators import ESTIMATORS, WITHOUT_TARGET, estimate_density, fit_estimator
from polaris_lab.units import PARSEC
from tests.estimators.conftest import PIXEL_PC, rms

NAMES = list(ESTIMATORS)
SPATIAL = [n for n in NAMES if n.startswith(("multi", "constrained", "aviator", "inverse"))]
PIXELWISE = [n for n in NAMES if n not in SPATIAL]


def test_the_names_that_others_ask_for():
    assert set(NAMES) == {
        *("thickness", "power_law", "power_law_2", "power_law_3", "multi_scale", "multi_scale_8"),
        *("constrained_diffusion", "constrained_diffusion_3d", "aviator", "aviator_background"),
        *("turbulent_gravitational", "inverse_modelling"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_one_signature(fitted, pairs, name):
    """A map or a stack in, a density of the same shape out: finite, positive; a stack is its maps one by one."""
    stack = pairs[0][4:]
    density = fitted[name](stack, pixel_size_pc=PIXEL_PC)
    assert density.shape == stack.shape
    assert np.isfinite(density).all()
    assert (density > 0).all()
    np.testing.assert_allclose(density[1], fitted[name](stack[1], pixel_size_pc=PIXEL_PC), rtol=1e-12)
    single = fitted[name](stack[0].astype(np.float32), pixel_size_pc=PIXEL_PC)
    assert single.dtype == np.float32
    assert np.median(abs(np.log10(single / density[0]))) < 1e-5
    json.dumps(fitted[name].to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_constants_round_trip(fitted, name):
    estimate = fitted[name]
    assert type(estimate).from_dict(json.loads(json.dumps(estimate.to_dict()))) == estimate


@pytest.mark.parametrize("name", [*WITHOUT_TARGET, "thickness"])
@pytest.mark.parametrize("factor", [0.25, 3.7, 1e3])
def test_density_goes_with_the_column(fitted, pairs, name, factor):
    """n -> lambda n makes N -> lambda N: exact for every estimator without absolute constants."""
    column = pairs[0][4]
    density, scaled = (fitted[name](values, pixel_size_pc=PIXEL_PC) for values in (column, factor * column))
    np.testing.assert_allclose(scaled, factor * density, rtol=1e-6)


@pytest.mark.parametrize("name", SPATIAL)
def test_density_goes_inversely_with_the_pixel(fitted, pairs, name):
    """The same map with all lengths mu times as long is 1/mu as dense: so n goes as 1/distance."""
    near, far = (fitted[name](pairs[0][4], pixel_size_pc=size) for size in (PIXEL_PC, 2.5 * PIXEL_PC))
    np.testing.assert_allclose(far, near / 2.5, rtol=1e-12)


@pytest.mark.parametrize("name", PIXELWISE)
def test_pixel_by_pixel_the_size_does_not_enter(fitted, pairs, name):
    one, other = (fitted[name](pairs[0][4], pixel_size_pc=size) for size in (PIXEL_PC, 1.0))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize(
    "turn",
    [np.flipud, np.fliplr, np.rot90, np.transpose],
    ids=["mirror y", "mirror x", "quarter turn", "diagonal"],
)
def test_turned_maps_give_turned_densities(fitted, pairs, name, turn):
    column = pairs[0][4][:48, :]  # not square
    density = fitted[name](column, pixel_size_pc=PIXEL_PC)
    turned = fitted[name](turn(column).copy(), pixel_size_pc=PIXEL_PC)
    np.testing.assert_allclose(turned, turn(density), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_blanks_stay_blank_and_spoil_no_neighbour(fitted, pairs, name):
    """A hole and a blank edge: elsewhere the density is that of the whole map, nearly."""
    column = pairs[0][4].copy()
    column[20:24, 30:34] = np.nan
    column[:, :6] = np.nan
    whole = fitted[name](pairs[0][4], pixel_size_pc=PIXEL_PC)
    density = fitted[name](column, pixel_size_pc=PIXEL_PC)
    blank = np.isnan(column)
    assert np.isnan(density[blank]).all()
    assert (density[~blank] > 0).all()
    assert rms(np.log10(density / whole)[~blank]) < 0.06


@pytest.mark.parametrize("name", SPATIAL)
def test_hostile_maps_give_no_infinity(fitted, name):
    """A uniform map, one spike of ten decades, and white noise over eight."""
    rng = np.random.default_rng(1)
    spike = np.full((16, 24), 1e20)
    spike[7, 9] = 1e26
    for column in (np.full((16, 24), 1e21), spike, 10 ** rng.uniform(16, 24, (24, 16))):
        density = fitted[name](column, pixel_size_pc=PIXEL_PC)
        assert np.isfinite(density).all()
        assert (density > 0).all()


@pytest.mark.parametrize("name", WITHOUT_TARGET)
def test_never_below_column_over_depth(fitted, pairs, name):
    """N/L with L the longer side of the map (1.06 of it for the widest Gaussian) is the least density there is."""
    column = pairs[0][5]
    density = fitted[name](column, pixel_size_pc=PIXEL_PC)
    assert (density >= 0.93 * column / (65 * PIXEL_PC * PARSEC)).all()


def test_ranking_on_unseen_clouds(fitted, pairs):
    """Science, 4.2: several scales beat one pixel, a bend beats a straight line at the dense end, inversion beats all there."""
    columns, truth = (values[4:] for values in pairs)
    error = {n: np.log10(fitted[n](columns, pixel_size_pc=PIXEL_PC) / truth) for n in NAMES}
    densest = truth > np.quantile(truth, 0.99)
    overall = {n: rms(values) for n, values in error.items()}
    dense = {n: rms(values[densest]) for n, values in error.items()}
    assert overall["multi_scale"] < 0.93 * overall["power_law"]
    assert overall["multi_scale"] < overall["power_law_3"]
    assert overall["power_law"] < overall["thickness"]
    assert overall["aviator_background"] < overall["aviator"]
    assert dense["power_law_2"] < dense["power_law"] < dense["thickness"]
    assert dense["aviator"] < 0.7 * dense["power_law"]
    assert error["thickness"][densest].mean() < -0.4  # the dense gas is where one thickness fails
    assert error["constrained_diffusion"].mean() > error["constrained_diffusion_3d"].mean()


def test_a_cube_brings_its_pixel():
    cloud = synthetic_cloud(32, seed=2, kind="fbm", box_size=3.2 * u.pc)
    for axis in ("z", "x"):
        density = estimate_density(cloud, "constrained_diffusion", axis=axis)
        expected = estimate_density(column_density(cloud, axis=axis), pixel_size=0.1 * u.pc)
        np.testing.assert_allclose(density, expected, rtol=1e-12)


def test_a_fitted_estimator_through_the_door(fitted, pairs):
    density = estimate_density(pairs[0][4], fitted["multi_scale"], pixel_size=0.1 * u.pc)
    np.testing.assert_array_equal(density, fitted["multi_scale"](pairs[0][4], pixel_size_pc=0.1))


# -- bad input ---------------------------------------------------------------------------------------

STRICT = [n for n in NAMES if n != "power_law"]  # the power law gives NaN where there is no logarithm


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("bad", [0.0, -1e21, np.inf])
def test_pixels_without_logarithm(fitted, pairs, name, bad):
    column = pairs[0][4].copy()
    column[3, 4] = bad
    with pytest.raises(
        ValueError, match=r"positive and finite \(or NaN where blank\), got 1 of 4096 .* set blanks to NaN"
    ):
        fitted[name](column, pixel_size_pc=PIXEL_PC)


@pytest.mark.parametrize("name", STRICT)
def test_a_log_map(fitted, pairs, name):
    with pytest.raises(ValueError, match=r"look like log10 N; give 10\*\*map"):
        fitted[name](np.log10(pairs[0][4]), pixel_size_pc=PIXEL_PC)


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("factor", [1e-15, 1e12])
def test_a_map_in_another_unit(fitted, pairs, name, factor):
    with pytest.raises(ValueError, match="convert the unit first"):
        fitted[name](factor * pairs[0][4], pixel_size_pc=PIXEL_PC)


@pytest.mark.parametrize("name", STRICT)
def test_a_map_of_blanks(fitted, name):
    with pytest.raises(ValueError, match=r"at least one valid pixel, got .* NaN in all 256"):
        fitted[name](np.full((16, 16), np.nan), pixel_size_pc=PIXEL_PC)


@pytest.mark.parametrize("name", STRICT)
def test_text_and_quantities(fitted, pairs, name):
    with pytest.raises(TypeError, match="array of real numbers"):
        fitted[name](np.full((16, 16), "a"), pixel_size_pc=PIXEL_PC)
    with pytest.raises(TypeError, match=r"plain array in cm\^-2, got a Quantity in .*to_value\('cm-2'\)"):
        fitted[name](pairs[0][4] * u.cm**-2, pixel_size_pc=PIXEL_PC)


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("shape", [(7, 64), (64,), (2, 3, 16, 16)])
def test_maps_without_scales(fitted, name, shape):
    with pytest.raises(ValueError, match=r"at least 8 pixels a side, got shape .*use 'power_law'"):
        fitted[name](np.full(shape, 1e21), pixel_size_pc=PIXEL_PC)


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        (0.1 * u.pc, TypeError, "plain number in pc.*to_value"),
        (None, TypeError, "number in pc"),
        (0.0, ValueError, "positive and finite"),
        (np.nan, ValueError, "positive and finite"),
    ],
)
def test_pixel_sizes(fitted, pairs, name, size, error, words):
    with pytest.raises(error, match=words):
        fitted[name](pairs[0][4], pixel_size_pc=size)
    with pytest.raises(TypeError, match="pixel_size_pc"):
        fitted[name](pairs[0][4])


def test_the_door_wants_a_quantity(pairs):
    with pytest.raises(TypeError, match="pixel_size: expected a Quantity"):
        estimate_density(pairs[0][0], pixel_size=0.1)
    with pytest.raises(TypeError, match="pixel_size: expected the side of a pixel, got nothing"):
        estimate_density(pairs[0][0])
    with pytest.raises(u.UnitsError, match="pixel_size"):
        estimate_density(pairs[0][0], pixel_size=3 * u.arcsec)
    with pytest.raises(ValueError, match="expected nothing with a cube"):
        estimate_density(synthetic_cloud(16, kind="fbm"), pixel_size=1 * u.pc)


def test_names_and_targets(pairs):
    columns, densities = pairs
    with pytest.raises(ValueError, match="did you mean 'aviator'"):
        fit_estimator("aviatr", columns, densities, pixel_size_pc=PIXEL_PC)
    with pytest.raises(ValueError, match=r"power_law: expected densities .*without a target use one of"):
        fit_estimator("power_law", columns, pixel_size_pc=PIXEL_PC)
    for name in ("thickness", "power_law_2", "multi_scale", "turbulent_gravitational"):
        with pytest.raises(ValueError, match="same shape"):
            fit_estimator(name, columns, densities[:3], pixel_size_pc=PIXEL_PC)
        with pytest.raises(ValueError, match="density positive and finite"):
            fit_estimator(name, columns, -densities, pixel_size_pc=PIXEL_PC)
        with pytest.raises(ValueError, match="at least 2 pixels valid in both arrays, got 0"):
            fit_estimator(name, columns, np.full_like(densities, np.nan), pixel_size_pc=PIXEL_PC)
