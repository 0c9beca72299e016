"""Corrections of residuals: what each form does to a known distribution."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Run, metrics
from polaris_lab.training.predicted import Predicted
from polaris_lab.training.residual_correction import (
    KINDS,
    ResidualCorrection,
    baseline_of,
    before_after,
    cross_corrected,
    fit_baseline,
    fit_correction,
)


def pair(seed, bend=0.0, count=6):
    """Return the best estimate and the truth: log n = x + noise of 0.3 dex; `bend` bends the estimate."""
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 0.4, (count, 40, 40))
    return 10 ** (x + bend * (x - 3)), 10 ** (x + rng.normal(0, 0.3, x.shape))


@pytest.mark.parametrize("kind", ["isotonic", "spline"])
def test_a_bent_estimate_is_straightened_on_other_patches(kind):
    """x is estimated as 3 + 1.5 (x - 3): RMSE sqrt(0.3^2 + 0.2^2) before, 0.3 after."""
    correction = fit_correction(*pair(0, bend=0.5), kind=kind)
    predicted, truth = pair(1, bend=0.5)
    assert metrics.rmse_dex(predicted, truth) == pytest.approx(np.hypot(0.3, 0.2), rel=0.03)
    assert metrics.rmse_dex(correction(predicted), truth) == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("kind", ["isotonic", "spline"])
def test_a_right_estimate_is_left_alone(kind):
    correction = fit_correction(*pair(0), kind=kind)
    predicted, truth = pair(1)
    assert metrics.rmse_dex(correction(predicted), truth) < 1.01 * metrics.rmse_dex(predicted, truth)
    assert np.abs(correction.at(np.array([10**2.5, 1e3, 10**3.5]))).max() < 0.05


def test_the_reports_form_stretches_a_right_estimate():
    """By truth: E[x | y] - y = -(1 - r)(y - 3), r = 0.16 / 0.25. Taken off at the prediction, which reaches mean
    3 + r (y - 3) there, it multiplies x - 3 by 1 / r = 1.56: the PDF gets the width of ... more than the truth's, and
    the RMSE goes from 0.3 to hypot(0.3, 0.4 (1/r - 1)) = 0.375."""
    correction = fit_correction(*pair(0, count=20), kind="report_baseline")
    predicted, truth = pair(1, count=20)
    after = correction(predicted)
    assert metrics.rmse_dex(after, truth) > 1.15 * metrics.rmse_dex(predicted, truth)
    middle = np.array([10**2.7, 10**3.3])
    stretched = np.log10(correction(middle)) - 3
    assert (stretched[1] - stretched[0]) / 0.6 == pytest.approx(1 / 0.64, rel=0.15)
    assert metrics.width_dex(after) > metrics.width_dex(predicted)


@pytest.mark.parametrize("kind", ["isotonic", "spline"])
def test_denser_stays_denser(kind):
    correction = fit_correction(*pair(2, bend=-0.3), kind=kind)
    density = np.geomspace(1, 1e7, 2000)
    assert (np.diff(correction(density)) >= -1e-9 * density[:-1]).all()


def test_beyond_the_ends_the_residual_stays():
    correction = ResidualCorrection("isotonic", (2.0, 3.0), (0.1, -0.2))
    assert correction.at(np.array([1.0, 10**2.5, 1e9, np.nan])) == pytest.approx(
        [0.1, -0.05, -0.2, np.nan], nan_ok=True
    )
    assert correction(np.array([1e9])) == pytest.approx([1e9 * 10**0.2])


def test_quantiles_and_samples_move_with_the_density():
    correction = ResidualCorrection("isotonic", (2.0,), (1.0,))
    one = np.full((1, 2, 2), 1e3)
    moved = correction.apply(
        Predicted(one, np.full(one.shape, 0.1), {0.16: 0.8 * one, 0.84: 1.2 * one}, np.stack([one, 2 * one]))
    )
    assert moved.density == pytest.approx(one / 10)
    assert moved.quantiles[0.84] == pytest.approx(0.12 * one)
    assert moved.samples[1] == pytest.approx(0.2 * one)
    assert moved.sigma_dex == pytest.approx(np.full(one.shape, 0.1))


def test_blank_pixels_take_no_part():
    predicted, truth = pair(3, bend=0.5)
    truth[:, :5] = np.nan
    wild = predicted.copy()
    wild[:, :5] *= 1e4
    assert fit_correction(wild, truth).residual == fit_correction(predicted, truth).residual


@pytest.fixture(scope="module")
def suite(pairs) -> PatchDataset:
    return PatchDataset.from_arrays(
        {"column_density": pairs[0]},
        {"mass_weighted_density": pairs[1]},
        pixel_size=0.05 * u.pc,
        split=["validation"] * 24,
        cloud=np.repeat(list("abcdef"), 4).tolist(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_with_the_run_and_comes_back(trained, tmp_path, kind):
    import shutil

    path = tmp_path / "run"
    shutil.copytree(trained.path, path)
    run = Run.open(path, dataset=trained.dataset())
    with pytest.raises(FileNotFoundError, match="call fit_baseline"):
        baseline_of(run)
    correction = fit_baseline(run, kind=kind)
    assert (path / "baseline.json").exists()
    assert baseline_of(run) == correction
    assert len(correction.fitted_on) == len(run.dataset().indices("validation"))


def test_table_before_and_after(suite):
    def bent(column_density, *, pixel_size_pc):
        truth = suite.read("mass_weighted_density")
        return 10 ** (1.5 * np.log10(truth) - 1.5)

    correction = fit_correction(*pair(0, bend=0.5))
    table = before_after(bent, suite, correction)
    assert table.after.score("rmse_dex").value < 0.5 * table.before.score("rmse_dex").value
    text = str(table)
    assert "before" in text.splitlines()[0]
    assert "RMSE after / before" in text
    assert "isotonic fitted on 6 other patches" in text
    seen = dataclasses.replace(
        correction, fitted_on=fit_correction(*[suite.read("mass_weighted_density")] * 2).fitted_on
    )
    with pytest.raises(ValueError, match="24 of 24"):
        before_after(bent, suite, seen)
    assert "judged here" in str(before_after(bent, suite, seen, allow_fitted_patches=True))


def test_bad_choices_are_refused():
    predicted, truth = pair(0)
    with pytest.raises(ValueError, match=r"kind: unknown name 'isotonnic'.*did you mean 'isotonic'"):
        fit_correction(predicted, truth, kind="isotonnic")
    with pytest.raises(ValueError, match="window"):
        fit_correction(predicted, truth, kind="report_baseline", window=0)
    with pytest.raises(ValueError, match="at least 100 valid pixels"):
        fit_correction(predicted[:1, :5, :5], truth[:1, :5, :5])
    with pytest.raises(ValueError, match="one for each of 2"):
        ResidualCorrection("spline", (1.0, 2.0), (0.0,))


def test_a_correction_across_halves_has_not_seen_what_it_corrects():
    predicted, truth = pair(0, bend=0.3)
    cloud = np.array(list("aabbcc"))
    corrected = cross_corrected(Predicted(predicted, cloud=cloud), truth, kind="isotonic")
    second = np.array([False, False, True, True, False, False])  # every second cloud
    for half in (second, ~second):
        known = fit_correction(predicted[~half], truth[~half])
        assert np.array_equal(corrected.density[half], known(predicted[half]))
    changed = truth.copy()
    changed[0] *= 3  # of the first half: it is corrected by the second
    again = cross_corrected(Predicted(predicted, cloud=cloud), changed, kind="isotonic")
    assert np.array_equal(again.density[~second], corrected.density[~second])
    assert not np.array_equal(again.density[second], corrected.density[second])
    single = cross_corrected(Predicted(predicted), truth)  # without clouds, every second patch
    assert np.array_equal(single.density[1::2], fit_correction(predicted[::2], truth[::2])(predicted[1::2]))
    with pytest.raises(ValueError, match="two patches or more"):
        cross_corrected(Predicted(predicted[:1]), truth[:1])
