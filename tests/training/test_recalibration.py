"""Recalibration of stated errors: fitted on some patches, right on others."""

import dataclasses

import numpy as np
import pytest

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import Run, TrainingConfig, metrics
from polaris_lab.training.metrics import coverage, pit_quantiles
from polaris_lab.training.predicted import Predicted
from polaris_lab.training.recalibration import (
    Recalibration,
    fit_recalibration,
    recalibrate,
    recalibration_of,
)


def stated(seed, kind="gaussian"):
    """Return a prediction that says 0.1 dex, and a truth with tails (Student's t of 4) of 0.2 dex that leans by 0.05."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(3, 0.4, (6, 50, 50))
    truth = 10 ** (mean + 0.05 + 0.2 * rng.standard_t(4, mean.shape))
    sigma = np.full(mean.shape, 0.1)
    if kind == "gaussian":
        return Predicted(10**mean, sigma), truth
    quantiles = {0.025: 10 ** (mean - 0.196), 0.16: 10 ** (mean - 0.0994), 0.5: 10**mean}
    quantiles |= {0.84: 10 ** (mean + 0.0994), 0.975: 10 ** (mean + 0.196)}
    return Predicted(10**mean, sigma, quantiles), truth


@pytest.mark.parametrize("kind", ["gaussian", "quantiles"])
def test_intervals_hold_what_they_say_on_other_patches(kind):
    found = fit_recalibration(*stated(0, kind))
    predicted, truth = stated(1, kind)
    after = found.apply(predicted)
    assert np.array_equal(after.density, predicted.density)
    shares = coverage(pit_quantiles(after.quantiles, truth))
    for level, share in shares.items():
        assert share == pytest.approx(level, abs=0.015)
    before = metrics.crps_gaussian(predicted.density, predicted.sigma_dex, truth).mean()
    assert metrics.crps_quantiles(after.quantiles, truth).mean() < 0.97 * before
    assert after.sigma_dex.mean() == pytest.approx(
        0.5 * np.log10(after.quantiles[0.84] / after.quantiles[0.16]).mean()
    )


def test_a_right_gaussian_stays():
    rng = np.random.default_rng(2)
    mean = rng.normal(3, 0.4, (6, 60, 60))
    truth = 10 ** (mean + rng.normal(0, 0.1, mean.shape))
    found = fit_recalibration(Predicted(10**mean, np.full(mean.shape, 0.1)), truth)
    from scipy import stats

    assert found.probits == pytest.approx(stats.norm.ppf(found.levels), abs=0.1)
    assert found.scale == pytest.approx(1, abs=0.03)


def test_samples_are_stretched_about_their_mean_and_keep_their_structure():
    rng = np.random.default_rng(3)
    base = rng.normal(3, 0.3, (4, 20, 20))
    drawn = base + rng.normal(0, 0.1, (40, 4, 1, 1))
    truth = 10 ** (base + rng.normal(0, 0.2, base.shape))
    found = fit_recalibration(
        Predicted(10 ** drawn.mean(axis=0), drawn.std(axis=0, ddof=1), samples=10**drawn), truth
    )
    after = found.apply(Predicted(10 ** drawn.mean(axis=0), drawn.std(axis=0, ddof=1), samples=10**drawn))
    logs = np.log10(after.samples)
    assert logs.mean(axis=0) == pytest.approx(drawn.mean(axis=0))
    assert logs.std(axis=0, ddof=1) == pytest.approx(found.scale * drawn.std(axis=0, ddof=1))
    assert np.ptp(logs - drawn.mean(axis=0), axis=(2, 3)).max() < 1e-9  # still a level of the whole map


def test_it_is_saved_with_a_run_of_a_gaussian_network(tmp_path, dataset: PatchDataset):
    blueprint = Blueprint.unet(2, 4, False, reference_scale=2.0, head="gaussian")
    config = TrainingConfig(epochs=1, batch_size=4, loss="auto", device="cpu")
    run = Run.create(tmp_path / "run", blueprint, dataset, config).train(progress=False)
    with pytest.raises(FileNotFoundError, match="call recalibrate"):
        recalibration_of(run)
    found = recalibrate(run)
    assert recalibration_of(run) == found
    assert len(found.fitted_on) == 7


def test_a_network_of_values_has_nothing_to_recalibrate(trained):
    with pytest.raises(ValueError, match="sigma, quantiles or samples"):
        recalibrate(trained)


def test_bad_input_is_refused():
    predicted, truth = stated(0)
    found = fit_recalibration(predicted, truth)
    with pytest.raises(ValueError, match="sigma, quantiles or samples"):
        found.apply(Predicted(truth))
    with pytest.raises(ValueError, match="at least 1000 valid pixels"):
        fit_recalibration(Predicted(truth[:1, :9], np.ones((1, 9, 50))), truth[:1, :9])
    data = found.to_dict()
    assert Recalibration.from_dict(data) == found
    with pytest.raises(ValueError, match="newer"):
        Recalibration.from_dict({**data, "schema": 99})
    assert dataclasses.replace(found, fitted_on=()).apply(predicted).quantiles
