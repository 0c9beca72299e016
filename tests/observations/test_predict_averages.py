"""Averages over orientations and runs; samples; what cannot be averaged."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.observations import Quality, predict_density
from polaris_lab.training import Run, TrainingConfig
from tests.observations.conftest import smooth_column, toy_density
from tests.observations.test_predict import dex, predict, stand_in


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Run:
    """Return a run of another seed and one layer less."""
    columns = np.stack([smooth_column((32, 32), seed) for seed in range(40)])
    densities = np.stack([toy_density(column, seed) for seed, column in enumerate(columns)])
    dataset = PatchDataset.from_arrays(
        {"column_density": columns},
        {"mass_weighted_density": densities},
        pixel_size=0.02 * u.pc,
        split=["training"] * 30 + ["validation"] * 10,
    )
    blueprint = Blueprint.unet(layers=1, base_filters=4, reference_scale=6.0)
    made = Run.create(
        tmp_path_factory.mktemp("second") / "run",
        blueprint,
        dataset,
        TrainingConfig(epochs=3, batch_size=10, seed=5, device="cpu"),
    )
    made.train(progress=False).validate()
    return made


# -- orientations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "turn", [lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: np.rot90(x), lambda x: x.T]
)
def test_a_turned_map_gives_the_turned_answer(run, observe, turn):
    """Gas knows no up and no left: with all eight orientations the answer does not either."""
    column = smooth_column((64, 64), 3)
    straight = predict(run, observe(column), average_symmetries=True)
    other = predict(run, observe(np.ascontiguousarray(turn(column))), average_symmetries=True)
    assert dex(other.density, turn(straight.density)).max() < 1e-4
    assert dex(other.upper95, turn(straight.upper95)).max() < 1e-3


def test_the_mean_over_orientations_is_that_of_the_logarithms(run, observe):
    column = smooth_column((64, 64), 3)
    found = predict(run, observe(column), average_symmetries=True)
    said = []
    for number in range(8):
        turn = np.rot90(column[:, ::-1] if number >= 4 else column, number % 4)
        answer = np.log10(predict(run, observe(np.ascontiguousarray(turn))).density)
        back = np.rot90(answer, -(number % 4))
        said.append(back[:, ::-1] if number >= 4 else back)
    np.testing.assert_allclose(np.log10(found.density), np.mean(said, axis=0), atol=1e-4)
    plain = predict(run, observe(column))
    assert np.median(found.upper68 / found.lower68) >= np.median(plain.upper68 / plain.lower68) * 0.999
    assert found.provenance["symmetries"] == 8
    assert any("8 orientations" in note for note in found.notes)


def test_orientations_of_a_map_that_is_not_square(run, observe):
    found = predict(run, observe(smooth_column((40, 70))), average_symmetries=True)
    assert np.isfinite(found.density).all()


# -- several runs ------------------------------------------------------------------------------------


def test_runs_are_averaged_in_log_density_and_their_spread_is_added(run, second, observe):
    column = smooth_column((64, 64), 3)
    one, two = predict(run, observe(column)), predict(second, observe(column))
    both = predict([run, second], observe(column))
    np.testing.assert_allclose(
        np.log10(both.density), (np.log10(one.density) + np.log10(two.density)) / 2, atol=1e-4
    )
    spread = np.abs(np.log10(one.density) - np.log10(two.density)) / 2
    half = np.log10(both.upper95 / both.density)
    assert (half >= 1.9599 * spread - 1e-4).all()
    again = predict([second, run], observe(column))
    np.testing.assert_allclose(np.log10(again.density), np.log10(both.density), atol=1e-5)
    assert both.provenance["members"] == f"{run.fingerprint} {second.fingerprint}"
    assert any("2 runs" in note for note in both.notes)


def test_the_same_run_twice_is_that_run(run, observe):
    observation = observe(smooth_column((48, 48)))
    one, twice = predict(run, observation), predict([run, run], observation)
    np.testing.assert_allclose(twice.density, one.density, rtol=1e-5)
    np.testing.assert_allclose(twice.upper95, one.upper95, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"target": "max_density"}, "predict the same"), ({"pixel_size_pc": 0.04}, "pixels of one size")],
)
def test_runs_that_do_not_fit_together(run, observe, change, words):
    with pytest.raises(ValueError, match=words):
        predict([run, stand_in(run, **change)], observe(smooth_column((40, 40))))


@pytest.mark.parametrize("wrong", ["run", 3, [], ["a", "b"]])
def test_what_is_no_run(wrong, observe):
    with pytest.raises((TypeError, ValueError), match=r"expected a [Rr]un"):
        predict(wrong, observe(smooth_column((40, 40))))


def test_samples_of_a_run_that_gives_one_answer(run, observe):
    with pytest.raises(ValueError, match=r"samples: expected none .*generative"):
        predict(run, observe(smooth_column((40, 40))), samples=4)


# -- the training set --------------------------------------------------------------------------------


def test_a_map_unlike_the_training_set_is_flagged_and_said(run, observe, caplog):
    rng = np.random.default_rng(0)
    column = smooth_column((96, 96), 5)
    column[:, 48:] = 10 ** (21.3 + 0.6 * rng.standard_normal((96, 48)))  # no cloud looks like this
    with caplog.at_level(logging.WARNING):
        found = predict_density(run, observe(column, spikes=False), progress=False)
    assert found.flagged(Quality.UNLIKE_TRAINING)[:, 70:].mean() > 0.9
    assert found.notes[0].startswith("OUTSIDE THE TRAINING SET")
    assert found.header["NOTE1"].startswith("OUTSIDE THE TRAINING SET")
    assert "OUTSIDE THE TRAINING SET" in caplog.text
    quiet = predict(run, observe(column, spikes=False), compare=False)
    assert not quiet.flagged(Quality.UNLIKE_TRAINING).any()


def test_without_the_training_set_nothing_is_said(run, observe):
    def gone():
        raise FileNotFoundError("moved")

    lost = stand_in(run, dataset=gone, dataset_fingerprint="0" * 16)
    found = predict_density(lost, observe(smooth_column((40, 40))), progress=False)
    assert not found.flagged(Quality.UNLIKE_TRAINING).any()
    assert not any("TRAINING SET" in note for note in found.notes)


@pytest.mark.parametrize("pixel", [1.0, 0.9, 0.3])
def test_no_density_beyond_the_training_set_is_without_a_flag(run, observe, pixel):
    """Also between the pixels of the model, where the map is finer: a peak spreads over its neighbours."""
    densest = 10 ** run.validation()["training_ranges"]["density"][1]
    column = smooth_column((96, 96))
    column[40:43, 40:43] *= 1e4
    column[70:, 70:] *= 100
    found = predict(run, observe(column, pixel=pixel, spikes=False))
    high = found.density > 10 * densest
    assert high.any()
    assert found.flagged(Quality.DENSITY_RANGE)[high].all()


def test_no_density_is_without_a_flag_when_the_validation_has_no_ranges(run, observe):
    report = {k: v for k, v in run.validation().items() if k != "training_ranges"}
    old = stand_in(run, validation=lambda: report)
    found = predict(old, observe(1e3 * smooth_column((40, 40))))
    assert found.flagged(Quality.DENSITY_RANGE).mean() > 0.9
