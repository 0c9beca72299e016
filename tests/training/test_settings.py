"""Configurations, learning rates, and when a training ends."""

import dataclasses
import itertools

import numpy as np
import pytest

from polaris_lab.config import from_dict, to_dict
from polaris_lab.training import EpochRecord, TrainingConfig
from polaris_lab.training.settings import best_record, is_finished, learning_rate


def history(*losses: float) -> list[EpochRecord]:
    records, lowest = [], float("inf")
    for epoch, loss in enumerate(losses):
        records.append(EpochRecord(epoch, loss, loss, 0.5, 1e-3, 1.0, 10.0, loss < lowest))
        lowest = min(lowest, loss)
    return records


def test_configuration_survives_json():
    config = TrainingConfig(epochs=7, early_stopping=3, gradient_clip=None)
    assert from_dict(TrainingConfig, to_dict(config)) == config


def test_numpy_numbers_are_numbers():
    config = TrainingConfig(epochs=np.int64(7), learning_rate=np.float32(0.5))
    assert to_dict(config) == to_dict(TrainingConfig(epochs=7, learning_rate=0.5))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number"),
        ({"batch_size": 2.5}, "batch_size: expected a whole number"),
        ({"batch_size": None}, "batch_size: expected a whole number"),
        ({"learning_rate": "0.1"}, "learning_rate: expected a number above 0 and below inf, got '0.1'"),
        ({"learning_rate": None}, "learning_rate: expected a number"),
        ({"momentum": "high"}, "momentum: expected a number from 0"),
        ({"weight_decay": True}, "weight_decay: expected a number from 0"),
        ({"augment": "no"}, "augment: expected True or False, got 'no'"),
        ({"early_stopping": 0}, "early_stopping: expected a whole number"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate: expected a number above 0"),
        ({"gradient_clip": -1.0}, "gradient_clip: expected a number above 0"),
        ({"weight_decay": -1.0}, "weight_decay: expected a number from 0"),
        ({"warm_up": 1.0}, "warm_up: expected a number from 0 to below 1"),
        ({"plateau_factor": 1.0}, "plateau_factor: expected a number above 0 and below 1"),
        ({"momentum": 1.0}, "momentum"),
        ({"seed": -1}, "seed"),
        ({"optimizer": "sdg"}, "did you mean 'sgd'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"loss": "rmse"}, "did you mean 'mse'"),
        ({"precision": "fp16"}, "Known: 32-true, auto, bf16-mixed"),
        ({"device": "gpu"}, "Known: auto, cpu, cuda, mps"),
    ],
)
def test_bad_choices_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**choices)


def test_cosine_warms_up_and_falls_to_zero():
    config = TrainingConfig(learning_rate=2.0, warm_up=0.2)
    rates = [learning_rate(config, step, 50) for step in range(50)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] < 0.01
    assert learning_rate(dataclasses.replace(config, warm_up=0.0), 0, 50) == pytest.approx(2.0, rel=0.01)


def test_plateau_falls_after_its_patience_and_waits_again():
    config = TrainingConfig(schedule="plateau", learning_rate=1.0, plateau_patience=2, plateau_factor=0.1)
    losses = [5, 4, 4.5, 4.6, 4.7, 4.8, 3, 3.1]
    rates = [learning_rate(config, 0, 1, history(*losses[:n])) for n in range(len(losses) + 1)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_constant_stays():
    assert learning_rate(TrainingConfig(schedule="constant", learning_rate=0.3), 49, 50) == 0.3


def test_the_end_is_the_last_epoch_or_early_stopping():
    config = TrainingConfig(epochs=5, early_stopping=2)
    assert not is_finished(config, [])
    assert not is_finished(config, history(3, 2, 2.5))
    assert is_finished(config, history(3, 2, 2.5, 2.6))
    assert is_finished(config, history(5, 4, 3, 2, 1))
    assert not is_finished(dataclasses.replace(config, early_stopping=None), history(3, 2, 2.5, 2.6))


def test_best_is_the_lowest_validation_loss():
    assert best_record([]) is None
    assert best_record(history(3, 1, 2)).epoch == 1
