"""What a training is told (`TrainingConfig`) and what it tells (`EpochRecord`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from polaris_lab.config import did_you_mean, plain_numbers

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("cosine", "plateau", "constant")
PRECISIONS = ("32-true", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda", "mps")
OPTIONAL = ("early_stopping", "gradient_clip")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained; plain JSON values.

    Parameters
    ----------
    epochs : int
        Passes over the training patches.
    batch_size : int
        Patches in one optimizer step, at most (an epoch is cut into batches that differ by one patch at most).
    learning_rate : float
        Highest learning rate. 2e-3 suits small networks with "adam"; about 3e-4 those of many millions of
        parameters.
    optimizer : {"adam", "sgd"}
        Adam with decoupled weight decay (AdamW; with `weight_decay` 0 exactly Adam), or SGD with Nesterov
        `momentum`.
    schedule : {"cosine", "plateau", "constant"}
        "cosine": linear warm-up over the fraction `warm_up` of all steps, then half a cosine to zero.
        "plateau": times `plateau_factor` whenever the validation loss has not improved for
        `plateau_patience` epochs. "constant": no change.
    loss : str
        A name from :mod:`polaris_lab.training.losses`; "mse" is the mean square residual [dex^2]. "auto" takes the
        one for the network's head: "mse" for a value, "beta_nll" for a Gaussian, "quantile" for quantiles.
    augment : bool
        Draw one of the 8 symmetries of the square for every patch in every epoch.
    early_stopping : int, optional
        End after so many epochs without a better validation loss. With or without it the weights that count
        in the end are those of the best epoch.
    weight_decay : float
        Decay of the weights per step, in units of the learning rate.
    gradient_clip : float, optional
        Largest norm of a step's gradient; None for no limit.
    warm_up, plateau_patience, plateau_factor, momentum
        See above.
    precision : {"32-true", "bf16-mixed"}
        float32 throughout, or bfloat16 where it is safe.
    seed : int
        Of the initial weights, the order of the patches, the augmentation and dropout.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train; "auto" takes a GPU when there is one.

    Raises
    ------
    ValueError
        If a value is out of range or a name is unknown.

    Examples
    --------
    >>> TrainingConfig(epochs=20, optimizer="adm")
    Traceback (most recent call last):
    ValueError: optimizer: unknown name 'adm': did you mean 'adam'? Known: adam, sgd
    """

    epochs: int = 200
    batch_size: int = 16
    learning_rate: float = 2e-3
    optimizer: str = "adam"
    schedule: str = "cosine"
    loss: str = "auto"
    augment: bool = True
    early_stopping: int | None = None
    weight_decay: float = 1e-4
    gradient_clip: float | None = 1.0
    warm_up: float = 0.1
    plateau_patience: int = 10
    plateau_factor: float = 0.5
    momentum: float = 0.9
    precision: str = "32-true"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        plain_numbers(self)
        self._check_numbers()
        self._check_names()

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "plateau_patience", "early_stopping"):
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise ValueError(f"seed: expected a whole number, 0 or more, got {self.seed!r}")
        for name, low, high in (
            ("learning_rate", 0, math.inf),
            ("gradient_clip", 0, math.inf),
            ("plateau_factor", 0, 1),
        ):
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if not _is_number(value) or not low < value < high:
                raise ValueError(f"{name}: expected a number above {low} and below {high}, got {value!r}")
        for name, high in (("weight_decay", math.inf), ("warm_up", 1), ("momentum", 1)):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < high:
                raise ValueError(f"{name}: expected a number from 0 to below {high}, got {value!r}")

    def _check_names(self) -> None:
        from polaris_lab.training.losses import LOSSES

        if not isinstance(self.augment, bool):
            raise ValueError(f"augment: expected True or False, got {self.augment!r}")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("loss", ("auto", *LOSSES)),
            ("precision", PRECISIONS),
            ("device", DEVICES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name}: unknown name {getattr(self, name)!r}: {did_you_mean(getattr(self, name), list(known))}"
                )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """What one finished epoch reports."""

    epoch: int
    """Number of the epoch, from 0."""
    training_loss: float
    """Mean over the training patches while the weights changed, as the loss counts; "mse" in dex^2."""
    validation_loss: float
    """Mean over the validation patches after the epoch, in evaluation mode."""
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


def learning_rate(
    config: TrainingConfig, step: int, steps: int, history: Sequence[EpochRecord] = ()
) -> float:
    """Return the learning rate of a step: a function of the past, so that a resumed run has no state to lose.

    Parameters
    ----------
    config : TrainingConfig
    step : int
        Number of the step, from 0.
    steps : int
        Steps of the whole training.
    history : sequence of EpochRecord
        The finished epochs ("plateau" looks at them).

    Examples
    --------
    >>> config = TrainingConfig(learning_rate=1.0, warm_up=0.1)
    >>> [round(learning_rate(config, step, 100), 3) for step in (0, 9, 54, 99)]
    [0.1, 1.0, 0.509, 0.0]
    """
    if config.schedule == "cosine":
        warm = math.ceil(config.warm_up * steps)
        if step < warm:
            return config.learning_rate * (step + 1) / warm
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / (steps + 1 - warm)))
    if config.schedule == "plateau":
        return config.learning_rate * config.plateau_factor ** _plateaus(history, config.plateau_patience)
    return config.learning_rate


def _plateaus(history: Sequence[EpochRecord], patience: int) -> int:
    """Count how often the validation loss has not improved for `patience` epochs in a row."""
    plateaus = waited = 0
    for record in history:
        waited = 0 if record.best else waited + 1
        if waited == patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus


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
