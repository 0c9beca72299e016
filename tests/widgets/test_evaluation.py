"""Figures of evaluations: what the curves hold, and what is refused."""

import dataclasses

import holoviews as hv
import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Predicted, before_after, evaluate, fit_correction
from widgets import figures


@pytest.fixture(scope="module")
def clouds() -> PatchDataset:
    rng = np.random.default_rng(0)
    x = 21.5 + 0.3 * rng.normal(size=(8, 32, 32))
    return PatchDataset.from_arrays(
        {"column_density": 10**x},
        {"mass_weighted_density": 10 ** (x - 18.5 + 0.2 * rng.normal(size=x.shape))},
        pixel_size=0.05 * u.pc,
        split=["validation"] * 8,
        cloud=np.repeat(list("abcd"), 2).tolist(),
    )


def stated(sigma):
    def method(column_density, *, pixel_size_pc):
        return Predicted(column_density / 10**18.5, np.full(column_density.shape, sigma))

    return method


@pytest.fixture(scope="module")
def evaluations(clouds):
    return {"right": evaluate(stated(0.2), clouds), "too sure": evaluate(stated(0.1), clouds)}


def curve(overlay, label):
    return next(e for e in overlay if isinstance(e, hv.Curve) and e.label == label)


def test_coverage_lies_on_the_diagonal_or_below_it(evaluations):
    overlay = figures.coverage_curves(evaluations)
    right, bold = curve(overlay, "right"), curve(overlay, "too sure")
    assert np.abs(right["share"] - right["level"]).max() < 3
    assert (bold["share"][10:40] < bold["level"][10:40] - 5).all()
    assert hv.render(overlay, backend="bokeh").xaxis[0].axis_label == "stated probability [%]"


def test_pit_is_flat_or_a_bowl(evaluations):
    overlay = figures.pit_histogram(evaluations)
    assert np.abs(curve(overlay, "right")["frequency"] - 1).max() < 0.25
    bowl = curve(overlay, "too sure")["frequency"]
    assert bowl[0] > 2 > bowl[len(bowl) // 2] + 1


def test_accuracy_has_its_spread_over_images(evaluations):
    overlay = figures.accuracy_with_spread(evaluations)
    band = next(e for e in overlay if isinstance(e, hv.Area))
    line = curve(overlay, "right")
    inside = (band["share"] <= line["share"] + 1e-9) & (line["share"] <= band["upper"] + 1e-9)
    assert inside.mean() > 0.9  # a mean of skew shares may leave the 68 % range
    assert line["share"][-1] == pytest.approx(100, abs=0.1)


def test_spectra_of_a_smooth_prediction_lie_below_one(evaluations):
    overlay = figures.power_ratio(evaluations)
    assert np.nanmean(curve(overlay, "right")["ratio"]) == pytest.approx(0.09 / 0.13, rel=0.05)
    together = figures.coherence(evaluations)
    assert np.nanmean(curve(together, "right")["coherence"]) == pytest.approx((0.09 / 0.13) ** 0.5, rel=0.05)


def test_before_and_after_a_correction(clouds):
    def bent(column_density, *, pixel_size_pc):
        return (column_density / 10**18.5) ** 1.5 / 10**1.5

    truth = clouds.read("mass_weighted_density")
    correction = fit_correction(bent(clouds.read("column_density"), pixel_size_pc=1), truth)
    correction = dataclasses.replace(correction, fitted_on=("other",))
    overlay = figures.residuals_before_after(before_after(bent, clouds, correction))
    before, after = curve(overlay, "before, mean"), curve(overlay, "after, mean")
    assert np.nanmax(np.abs(after["residual"])) < 0.5 * np.nanmax(np.abs(before["residual"]))
    assert hv.render(overlay, backend="bokeh").xaxis[0].axis_label == "predicted density n_H [cm⁻³]"
    with pytest.raises(ValueError, match="by: expected"):
        figures.residuals_before_after(before_after(bent, clouds, correction), by="density")


def test_a_method_without_errors_has_no_calibration(clouds):
    plain = {"plain": evaluate(lambda column_density, *, pixel_size_pc: column_density / 1e18, clouds)}
    with pytest.raises(ValueError, match="states its error"):
        figures.coverage_curves(plain)
    with pytest.raises(ValueError, match="states its error"):
        figures.pit_histogram(plain)
