"""The power law: closed forms, invariances, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polaris_lab.estimators import PowerLaw, fit_power_law
from polaris_lab.estimators import power_law as module


@pytest.fixture
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Maps about n = 10^-28.3 N^1.5 with a scatter of 0.1 dex."""
    rng = np.random.default_rng(3)
    log_column = rng.normal(21.5, 0.4, (5, 32, 32))
    log_density = 1.5 * log_column - 28.3 + rng.normal(0, 0.1, log_column.shape)
    return 10**log_column, 10**log_density


def test_exact_power_law_is_found_exactly():
    column_density = np.geomspace(1e20, 1e24, 100).reshape(10, 10)
    law = fit_power_law(column_density, 2.5e-30 * column_density**1.6)
    assert law.slope == pytest.approx(1.6, abs=1e-11)
    assert law.intercept == pytest.approx(np.log10(2.5e-30), abs=1e-9)
    assert law.rms_dex == pytest.approx(0, abs=1e-11)


def test_three_points_by_hand():
    """(20, 1), (21, 3), (22, 2): slope 1/2, mean value 2, residuals -1/2, 1, -1/2."""
    law = fit_power_law([1e20, 1e21, 1e22], [1e1, 1e3, 1e2])
    assert law.slope == pytest.approx(0.5)
    assert law.intercept == pytest.approx(2 - 0.5 * 21)
    assert law.rms_dex == pytest.approx(np.sqrt(1.5 / 3))


def test_agrees_with_numpy_polyfit(pixels):
    law = fit_power_law(*pixels)
    slope, intercept = np.polyfit(np.log10(pixels[0]).ravel(), np.log10(pixels[1]).ravel(), 1)
    assert law.slope == pytest.approx(slope, rel=1e-9)
    assert law.intercept == pytest.approx(intercept, rel=1e-9)


def test_residuals_have_no_mean_and_no_trend(pixels):
    """The normal equations; and the scatter it states is that of its own residuals."""
    law = fit_power_law(*pixels)
    residual = np.log10(pixels[1] / law(pixels[0]))
    assert residual.mean() == pytest.approx(0, abs=1e-12)
    assert np.mean(residual * np.log10(pixels[0])) == pytest.approx(0, abs=1e-11)
    assert residual.std() == pytest.approx(law.rms_dex, rel=1e-9)


def test_float32_maps_lose_no_slope(pixels):
    """Sums run in float64: float32 input changes the slope by its rounding only."""
    single = [values.astype(np.float32) for values in pixels]
    assert fit_power_law(*single).slope == pytest.approx(fit_power_law(*pixels).slope, abs=1e-7)


def test_scaling_both_axes_moves_only_the_intercept(pixels):
    law, scaled = fit_power_law(*pixels), fit_power_law(100 * pixels[0], 10 * pixels[1])
    assert scaled.slope == pytest.approx(law.slope, rel=1e-10)
    assert scaled.intercept == pytest.approx(law.intercept + 1 - 2 * law.slope, rel=1e-10)


def test_blanks_take_no_part(pixels):
    column_density, density = (values.copy() for values in pixels)
    column_density[0, :3] = np.nan
    density[1, 5] = np.nan
    valid = np.isfinite(column_density) & np.isfinite(density)
    law = fit_power_law(column_density, density)
    expected = fit_power_law(column_density[valid], density[valid])
    assert law.slope == pytest.approx(expected.slope, rel=1e-12)
    assert law.rms_dex == pytest.approx(expected.rms_dex, rel=1e-12)


def test_blocks_give_the_same_fit(pixels, monkeypatch):
    expected = fit_power_law(*pixels)
    monkeypatch.setattr(module, "BLOCK", 97)
    law = fit_power_law(*pixels)
    assert law.slope == pytest.approx(expected.slope, rel=1e-12)
    assert law.intercept == pytest.approx(expected.intercept, rel=1e-12)


def test_map_keeps_shape_and_type_and_blanks():
    law = PowerLaw(intercept=-40.0, slope=2.0, rms_dex=0.1)
    column_density = np.array([[1e21, np.nan, 0.0], [-1e21, np.inf, 1e22]], dtype=np.float32)
    density = law(column_density)
    assert density.dtype == np.float32
    np.testing.assert_allclose(density, [[1e2, np.nan, np.nan], [np.nan, np.nan, 1e4]], rtol=1e-5)


def test_json_round_trip(pixels):
    law = fit_power_law(*pixels)
    assert PowerLaw.from_dict(json.loads(json.dumps(law.to_dict()))) == law


def test_frozen():
    with pytest.raises(AttributeError):
        PowerLaw(0.0, 1.0, 0.0).slope = 2.0


@pytest.mark.parametrize("bad", [0.0, -1e21, np.inf])
@pytest.mark.parametrize("which", ["column_density", "density"])
def test_bad_pixels_are_named(pixels, bad, which):
    arrays = dict(zip(("column_density", "density"), pixels, strict=True))
    arrays[which][2, 3, 4] = bad
    with pytest.raises(ValueError, match=rf"expected {which} positive.*got 1 of 5120 pixels.*NaN"):
        fit_power_law(**arrays)


def test_one_column_density_is_refused():
    with pytest.raises(ValueError, match=r"at least 2 different column densities, got 1e\+21"):
        fit_power_law(np.full((4, 4), 1e21), np.linspace(1, 2, 16).reshape(4, 4))


def test_too_few_pixels_are_refused():
    with pytest.raises(ValueError, match="at least 2 pixels valid in both arrays, got 1"):
        fit_power_law([1e21, np.nan, 1e22], [1.0, 2.0, np.nan])


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"same shape, got \(2,\) \(column_density\) and \(3,\) \(density\)"):
        fit_power_law([1e21, 1e22], [1.0, 2.0, 3.0])


def test_text_is_refused():
    with pytest.raises(TypeError, match="column_density as an array of numbers"):
        fit_power_law(["a", "b"], [1.0, 2.0])


def test_unknown_key_in_stored_law():
    with pytest.raises(ValueError, match="unknown key 'slop': did you mean 'slope'"):
        PowerLaw.from_dict({"intercept": 1.0, "slop": 1.0, "rms_dex": 0.0})
