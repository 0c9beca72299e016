"""Learning rates: functions of the past, so that a resumed training has no state of them to lose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polaris_lab.training.records import EpochRecord

if TYPE_CHECKING:
    from polaris_lab.training.settings import TrainingConfig

SCHEDULES = ("cosine", "one_cycle", "plateau", "constant")
"""Names of the schedules; :class:`polaris_lab.training.TrainingConfig` says what each does."""

ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1e-4
"""First rate of "one_cycle" over its highest, and last over first (those of torch's OneCycleLR)."""


def learning_rate(
    config: TrainingConfig, step: int, steps: int, history: Sequence[EpochRecord] = ()
) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    config : TrainingConfig
    step : int
        Number of the step, from 0.
    steps : int
        Steps of the whole training.
    history : sequence of EpochRecord
        The finished epochs ("plateau" looks at them).

    References
    ----------
    Cosine: Loshchilov & Hutter 2017 (arXiv 1608.03983); one cycle: Smith & Topin 2018 (arXiv 1708.07120).

    Examples
    --------
    >>> from polaris_lab.training import TrainingConfig
    >>> config = TrainingConfig(learning_rate=1.0, warm_up=0.1)
    >>> [round(learning_rate(config, step, 100), 3) for step in (0, 9, 54, 99)]
    [0.1, 1.0, 0.509, 0.0]
    """
    if config.schedule == "cosine":
        warm = math.ceil(config.warm_up * steps)
        if step < warm:
            return config.learning_rate * (step + 1) / warm
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / (steps + 1 - warm)))
    if config.schedule == "one_cycle":
        return config.learning_rate * _one_cycle(step, steps, config.warm_up)
    if config.schedule == "plateau":
        return config.learning_rate * config.plateau_factor ** _plateaus(history, config.plateau_patience)
    return config.learning_rate


def _one_cycle(step: int, steps: int, warm_up: float) -> float:
    """Return the rate of a step over the highest: half a cosine up, half a cosine down."""
    peak = warm_up * steps - 1
    if step <= peak:
        return _between(ONE_CYCLE_START, 1.0, step / peak if peak > 0 else 1.0)
    last = steps - 1
    return _between(
        1.0, ONE_CYCLE_START * ONE_CYCLE_END, (step - peak) / (last - peak) if last > peak else 1.0
    )


def _between(first: float, last: float, fraction: float) -> float:
    """Return a value on the half cosine from `first` to `last`."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * fraction))


def _plateaus(history: Sequence[EpochRecord], patience: int) -> int:
    """Count how often the validation loss has not improved for `patience` epochs in a row."""
    plateaus = waited = 0
    for record in history:
        waited = 0 if record.best else waited + 1
        if waited == patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
