"""What a training tells: one record for each finished epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polaris_lab.training.settings import TrainingConfig


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """What one finished epoch reports."""

    epoch: int
    """Number of the epoch, from 0."""
    training_loss: float
    """Mean over the training patches while the weights changed, as the loss counts; "mse" in dex^2."""
    validation_loss: float
    """Mean over the validation patches after the epoch, in evaluation mode ("beta_nll" is judged by "nll")."""
    validation_accuracy: float
    """Mean over the validation patches of the pixel fraction within 0.3 dex (eqs. 5-6)."""
    learning_rate: float
    """Learning rate of the last step."""
    seconds: float
    """Time of the whole epoch [s]."""
    images_per_second: float
    """Training patches per second of training."""
    best: bool
    """Whether the validation loss is the lowest so far."""
    memory_mib: float = 0.0
    """Largest memory of the process so far [MiB]: resident, or on a GPU allocated; 0 where it is not known."""
    waited_seconds: float = 0.0
    """Time for which the training had to wait for patches to be read [s]."""
    training_rmse_dex: float | None = None
    """RMS error of log10 of the main output over the training patches while the weights changed [dex], whatever the
    loss; None where no value is predicted while learning (generative networks), or an older version did not say."""
    validation_rmse_dex: float | None = None
    """RMS error of log10 of the main output over the validation patches after the epoch [dex]."""


def best_record(history: Sequence[EpochRecord]) -> EpochRecord | None:
    """Return the record of the lowest validation loss, None before the first epoch."""
    return next((record for record in reversed(history) if record.best), None)


def is_finished(config: TrainingConfig, history: Sequence[EpochRecord]) -> bool:
    """Return whether all epochs are done, or early stopping has ended them."""
    if len(history) >= config.epochs:
        return True
    best = best_record(history)
    return config.early_stopping is not None and best is not None and (
        history[-1].epoch - best.epoch >= config.early_stopping
    )  # fmt: skip
