"""Which patches make a step: every one once, in equal weight, however the work is cut."""

import dataclasses

import numpy as np
import pytest

from polaris_lab.training import TrainingConfig
from polaris_lab.training.plan import epoch_steps, steps_per_epoch


@pytest.mark.parametrize("count", [17, 24, 33])
@pytest.mark.parametrize(
    ("batch", "accumulate", "devices"), [(4, 1, 1), (3, 2, 1), (2, 3, 1), (4, 1, 2), (1, 3, 2)]
)
def test_every_patch_counts_once_over_batches_and_processes(count, batch, accumulate, devices):
    config = TrainingConfig(batch_size=batch, accumulate=accumulate, devices=devices)
    order = np.random.default_rng(0).permutation(count)
    ranks = [epoch_steps(order, config, rank=rank) for rank in range(devices)]
    assert {len(steps) for steps in ranks} == {steps_per_epoch(count, config)}
    seen = []
    for step in zip(*ranks, strict=True):
        parts = [part for share in step for part in share]
        assert len({len(share) for share in step}) == 1  # processes call one another as often
        assert all(len(part.positions) <= batch for part in parts)
        patches = sum(len(part) for part in parts)
        for part in parts:  # processes are averaged: the weight of one patch is 1 / patches of the step
            assert part.weight / devices == pytest.approx(len(part) / patches)
        seen += [position for part in parts if part.counted for position in part.positions]
    assert sorted(seen) == list(range(count))


def test_a_dropped_remainder_is_not_seen():
    config = TrainingConfig(batch_size=8, remainder="drop")
    steps = epoch_steps(np.arange(15), config)
    assert [[part.positions.tolist() for part in step] for step in steps] == [[list(range(8))]]
    assert steps_per_epoch(15, config) == 1
    assert steps_per_epoch(16, config) == 2


def test_one_step_an_epoch_sums_its_batches():
    config = TrainingConfig(batch_size=4, step="epoch")
    (step,) = epoch_steps(np.arange(10), config)
    assert [len(part) for part in step] == [4, 3, 3]
    assert [part.weight for part in step] == [1.0, 1.0, 1.0]
    assert steps_per_epoch(10, config) == 1


def test_slips_are_named_and_no_default():
    assert TrainingConfig().slips == ()
    config = TrainingConfig(remainder="drop", step="epoch", validation_mode="training")
    assert [text.split(":")[0] for text in config.slips] == [
        'remainder="drop"', 'step="epoch"', 'validation_mode="training"'
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r'accumulate: expected 1 with step="epoch"'):
        dataclasses.replace(config, accumulate=2)
