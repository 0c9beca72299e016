"""Generative networks behind the same Run: their loop, what it keeps, how it goes on, and what it draws."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.training import DivergedError, Patches, Run, TrainingConfig, fit_generative
from polaris_lab.training.checkpoints import load_checkpoint, load_weights
from polaris_lab.training.generative import GenerativeState
from polaris_lab.training.losses import LOSSES
from polaris_lab.training.samples import (
    crps_of_samples,
    mean_of_samples,
    quantiles_of_samples,
    spread_of_samples,
    spread_report,
)

SMALL = {"layers": 1, "base_filters": 4, "reference_scale": 2.0}


@pytest.fixture(scope="session")
def flow() -> Blueprint:
    return Blueprint.preset("flow_matching", **SMALL)


@pytest.fixture(scope="session")
def short() -> TrainingConfig:
    return TrainingConfig(epochs=4, batch_size=4, learning_rate=5e-3, seed=3, device="cpu")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, flow, dataset, short) -> Run:
    """Return a finished run; leave it as it is but for its validation."""
    return Run.create(tmp_path_factory.mktemp("runs") / "flow", flow, dataset, short).train(progress=False)


def patches(pairs, rows: slice) -> Patches:
    return Patches.from_arrays({"column_density": pairs[0][rows]}, pairs[1][rows])


def test_it_learns(finished):
    records = finished.history()
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    losses = [record.validation_loss for record in records]
    assert losses == sorted(losses, reverse=True)
    assert records[-1].validation_accuracy > 0.8
    errors = [record.validation_rmse_dex for record in records]
    assert errors[-1] < errors[0] < 0.1
    assert [record.training_rmse_dex for record in records] == [None] * 4
    assert finished.state == "finished"


@pytest.mark.parametrize(
    ("name", "more"), [("diffusion", {}), ("invertible", {"features": 4, "couplings": 2})]
)
def test_the_others_learn_too(tmp_path, dataset, name, more):
    config = TrainingConfig(epochs=3, batch_size=4, learning_rate=1e-2, device="cpu")
    run = Run.create(tmp_path / name, Blueprint.preset(name, **SMALL, **more), dataset, config)
    records = list(run.epochs())
    assert records[-1].validation_loss < records[0].validation_loss
    assert run.sample(samples=2, steps=1 if name == "invertible" else 2).shape == (2, 7, 32, 32)


def test_stopped_and_gone_on_it_is_the_same_to_the_last_bit(tmp_path, finished, flow, dataset, short):
    run = Run.create(tmp_path / "again", flow, dataset, short)
    for record in run.epochs():
        if record.epoch == 1:
            break
    torch.manual_seed(99)  # nothing may come from the global state
    Run.open(run.path).train(progress=False)

    def numbers(record):
        return record.training_loss, record.validation_loss, record.validation_accuracy, record.best

    assert [numbers(r) for r in run.history()] == [numbers(r) for r in finished.history()]
    first, second = ((r.path / "best.safetensors").read_bytes() for r in (run, finished))
    assert first == second
    ours, theirs = (load_checkpoint(r.path / "last.ckpt") for r in (run, finished))
    assert all(torch.equal(ours["model"][name], value) for name, value in theirs["model"].items())
    averages = (c["moving_average"] for c in (ours, theirs))
    mine, other = averages
    assert mine["steps"] == other["steps"] == 4 * 5
    assert all(torch.equal(mine["weights"][name], value) for name, value in other["weights"].items())


def test_a_kill_within_an_epoch_loses_that_epoch_only(tmp_path, finished, flow, dataset, short):
    """What a killed process leaves is what the last epoch committed."""
    run = Run.create(tmp_path / "killed", flow, dataset, short)

    class Killed(BaseException):
        pass

    seen = 0

    def die(count):
        nonlocal seen
        seen += count
        if seen > 2 * 17 + 6:
            raise Killed

    from polaris_lab.training import session

    with pytest.raises(Killed):
        list(session.start(run, die))
    assert len(run.history()) == 2
    Run.open(run.path).train(progress=False)
    assert (run.path / "best.safetensors").read_bytes() == (finished.path / "best.safetensors").read_bytes()


def test_the_averaged_weights_are_kept(pairs, flow):
    """d = (1 + t) / (10 + t) in the beginning: the weights kept are the average of those of the steps."""
    training, validation = patches(pairs, slice(0, 8)), patches(pairs, slice(8, 12))
    model = build_model(flow).fit_constants(training.inputs, training.target)
    config = TrainingConfig(epochs=1, batch_size=4, learning_rate=5e-3, device="cpu")
    state = GenerativeState(model, config)
    name = "nodes.mass_weighted_density.network.last.weight"
    seen = []

    def look(_):
        seen.append(model.state_dict()[name].clone())

    loop = fit_generative(model, training, validation, config=config, state=state, before_batch=look)
    next(loop)
    look(0)
    expected = seen[1]  # the first step's weights replace the fresh ones
    for steps, weights in enumerate(seen[2:], start=1):
        decay = (1 + steps) / (10 + steps)
        expected = decay * expected + (1 - decay) * weights
    torch.testing.assert_close(state.best_weights[name], expected)
    assert list(loop) == []
    assert torch.equal(model.state_dict()[name], state.best_weights[name])


def test_the_validation_has_the_same_noise_in_every_epoch(pairs, flow):
    """Without a learning rate worth the name its loss stays as it is; the training loss does not."""
    training, validation = patches(pairs, slice(0, 8)), patches(pairs, slice(8, 12))
    model = build_model(flow).fit_constants(training.inputs, training.target)
    config = TrainingConfig(epochs=3, batch_size=4, learning_rate=1e-12, weight_decay=0, device="cpu")
    records = list(fit_generative(model, training, validation, config=config))
    assert max(r.validation_loss for r in records) == pytest.approx(records[0].validation_loss, rel=1e-6)
    assert len({r.validation_accuracy for r in records}) == 1
    assert len({r.training_loss for r in records}) == 3


def test_validation_judges_the_mean_and_the_spread_of_samples(finished, dataset):
    predicted, target = finished.validate()
    report = finished.validation()
    drawn = finished.sample(samples=16, seed=finished.config.seed)
    assert drawn.shape == (16, 7, 32, 32)
    np.testing.assert_allclose(predicted, mean_of_samples(drawn), rtol=1e-5)
    np.testing.assert_array_equal(
        target, dataset.read("mass_weighted_density", dataset.indices("validation"))
    )
    spread = report["samples"]
    assert spread["samples"] == 16
    assert spread["steps"] == 8
    sigma, error = spread_of_samples(drawn), np.abs(np.log10(predicted) - np.log10(target))
    assert np.mean(error < spread["spread_factor_68"] * sigma) == pytest.approx(0.6827, abs=0.002)
    assert np.mean(error < spread["spread_factor_95"] * sigma) == pytest.approx(0.9545, abs=0.002)
    assert spread["crps_dex"] < np.mean(error)  # a distribution says more than its mean
    assert report["metrics"]["rmse_dex"] < 2 * report["power_law"]["rmse_dex"]


def test_samples_for_maps_of_ones_own(finished, pairs):
    column = pairs[0][:2].copy()
    column[0, 3, 4] = np.nan
    first, again, other = (
        finished.sample({"column_density": column}, samples=3, steps=2, seed=seed) for seed in (1, 1, 2)
    )
    assert first.shape == (3, 2, 32, 32)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)
    blank = np.isnan(first)
    assert blank[:, 0, 3, 4].all()
    assert blank.sum() == 3


def test_spread_of_a_known_distribution():
    """A thousand samples and a truth from the same Gaussian: 68 and 95 %, and the CRPS of a Gaussian."""
    rng = np.random.default_rng(0)
    drawn, truth = 10 ** (0.2 * rng.normal(size=(200, 1, 60, 60))), 10 ** (0.2 * rng.normal(size=(1, 60, 60)))
    report = spread_report(drawn, truth)
    assert report["coverage_68"] == pytest.approx(0.683, abs=0.025)
    assert report["coverage_95"] == pytest.approx(0.95, abs=0.012)
    assert report["spread_factor_68"] == pytest.approx(1, abs=0.05)
    assert report["spread_dex"] == pytest.approx(0.2, rel=0.02)
    assert report["crps_dex"] == pytest.approx(0.2 / np.sqrt(np.pi), rel=0.03)  # sigma / sqrt(pi) on average


def test_the_score_of_few_samples_has_no_bias():
    rng = np.random.default_rng(1)
    truth = 10 ** rng.normal(size=40_000)
    for count in (2, 5):
        drawn = 10 ** rng.normal(size=(count, 40_000))
        assert crps_of_samples(drawn, truth).mean() == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)
    assert crps_of_samples(truth[None] * 10, truth).mean() == pytest.approx(1)  # one sample: its error


def test_quantiles_of_a_known_distribution():
    drawn = 10 ** np.random.default_rng(2).normal(size=(20_000, 2))
    for level, value in quantiles_of_samples(drawn, (0.16, 0.5, 0.975)).items():
        np.testing.assert_allclose(np.log10(value), NormalDist().inv_cdf(level), atol=0.04)
    with pytest.raises(ValueError, match=r"levels: expected numbers between 0 and 1 .* got \[68\]"):
        quantiles_of_samples(drawn, [68])


def test_one_sample_has_no_spread():
    with pytest.raises(ValueError, match="samples: expected at least 2 to know their spread, got 1"):
        spread_of_samples(np.ones((1, 4, 4)))


def test_a_loss_is_not_to_be_named(tmp_path, flow, dataset, monkeypatch):
    monkeypatch.setitem(LOSSES, "another", LOSSES["mse"])
    config = TrainingConfig(epochs=1, batch_size=4, loss="another")
    with pytest.raises(ValueError, match=r"loss: expected none to be named .* got 'another'; leave it out"):
        Run.create(tmp_path / "loss", flow, dataset, config)


def test_what_is_refused(flow, trained, finished, pairs):
    with pytest.raises(ValueError, match="expected a generative network"):
        trained.sample(samples=2)
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 1, got 0"):
        finished.sample(samples=0)
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 1, got 0"):
        finished.sample(steps=0)
    with pytest.raises(ValueError, match="'column_density' is missing"):
        finished.sample({"temperature": pairs[0]})
    training = patches(pairs, slice(0, 8))
    unet = build_model(Blueprint.unet(1, 2, False)).fit_constants(training.inputs, training.target)
    config = TrainingConfig(epochs=1, batch_size=4, device="cpu")
    with pytest.raises(ValueError, match="expected a generative network"):
        next(fit_generative(unet, training, training, config=config))
    model = build_model(flow).fit_constants(training.inputs, training.target)
    with pytest.raises(ValueError, match="batch_size: expected at most the 8 training patches"):
        next(fit_generative(model, training, training, config=TrainingConfig(batch_size=16, device="cpu")))
    with pytest.raises(ValueError, match="state: expected the state of this model"):
        next(
            fit_generative(
                build_model(flow), training, training, config=config, state=GenerativeState(model, config)
            )
        )


def test_a_loss_that_is_no_number_names_the_patches(pairs, flow):
    training = patches(pairs, slice(0, 8))
    model = build_model(flow).fit_constants(training.inputs, training.target)
    with torch.no_grad():
        model.generative.network.last.weight.fill_(torch.inf)
    config = TrainingConfig(epochs=1, batch_size=4, device="cpu")
    with pytest.raises(DivergedError, match="epoch 0, batch 0: expected a finite training loss"):
        next(fit_generative(model, training, training, config=config))


def test_weights_on_disk_are_the_models(finished):
    weights, model = load_weights(finished.path / "best.safetensors"), finished.model()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not model.training
