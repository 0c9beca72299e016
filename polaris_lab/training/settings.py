"""What a training is told: `TrainingConfig`."""

from __future__ import annotations

import dataclasses
import math

from polaris_lab.config import did_you_mean, plain_numbers, to_dict
from polaris_lab.training.records import EpochRecord, best_record, is_finished
from polaris_lab.training.schedules import SCHEDULES, learning_rate

__all__ = ["EpochRecord", "TrainingConfig", "best_record", "is_finished", "learning_rate"]

OPTIMIZERS = ("adam", "sgd")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda", "mps")
REMAINDERS = ("keep", "drop")
STEPS = ("batch", "epoch")
VALIDATION_MODES = ("evaluation", "training")
OPTIONAL = ("early_stopping", "gradient_clip", "ema", "workers")
LATER = ("ema", "accumulate", "input_dropout", "remainder", "step", "validation_mode", "workers", "compile",
         "devices", "num_nodes")  # fmt: skip
"""Fields that came after the first runs: at their default they do not count in a run's fingerprint."""


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
    schedule : {"cosine", "one_cycle", "plateau", "constant"}
        "cosine": linear warm-up over the fraction `warm_up` of all steps, then half a cosine to zero.
        "one_cycle": half a cosine up to `learning_rate` over the fraction `warm_up`, then one down to nothing.
        "plateau": times `plateau_factor` whenever the validation loss has not improved for
        `plateau_patience` epochs. "constant": no change.
    loss : str
        A name from :mod:`polaris_lab.training.losses`, or a sum of them with weights and settings, such as
        "mse + 0.5*gradient" or "huber(0.1)"; "mse" is the mean square residual [dex^2]. "auto" takes the one for
        the network's head: "mse" for a value, "beta_nll" for a Gaussian, "quantile" for quantiles.
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
    precision : {"32-true", "bf16-mixed", "auto"}
        float32 throughout, or bfloat16 where it is safe; "auto" takes what the machine is fastest with, and a run
        writes down what that was.
    seed : int
        Of the initial weights, the order of the patches, the augmentation and dropout.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train; "auto" takes a GPU when there is one.
    ema : float, optional
        Validate and keep an exponential moving average of weights and buffers: after t steps of it the average
        moves by 1 - min(`ema`, (1 + t) / (10 + t)) towards the weights. 0.98 to 0.9999; None for none.
    accumulate : int
        Batches whose gradients make one step, the "virtual batch": the result is that of batches `accumulate`
        times larger, in the memory of one, for a network without batch statistics.
    input_dropout : float
        Probability with which each optional input of a patch is blanked in training.
    workers : int, optional
        Threads that read patches from disk while the network is trained. 0 reads all of them into memory first;
        by default that is done when they fit in half of the free memory, else two threads read.
    compile : bool
        Compile the network with torch.compile: some tens of seconds at the start, 4-8 % per step afterwards.
    devices, num_nodes : int
        Processes on each machine (a GPU each, or on the CPU a process each), and machines. `batch_size` is that of
        one process: a step takes ``batch_size * accumulate * devices * num_nodes`` patches.
    remainder : {"keep", "drop"}
        "drop" is a slip of the report's code, to reproduce its figure 22: batches of exactly `batch_size`, and
        the patches of an epoch left over are not looked at.
    step : {"batch", "epoch"}
        "epoch" is a slip of the report's code: one optimizer step per epoch, on the sum of the gradients of its
        batches.
    validation_mode : {"evaluation", "training"}
        "training" is a slip of the report's code: validation with dropout and batch statistics on.

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
    ema: float | None = None
    accumulate: int = 1
    input_dropout: float = 0.0
    workers: int | None = None
    compile: bool = False
    devices: int = 1
    num_nodes: int = 1
    remainder: str = "keep"
    step: str = "batch"
    validation_mode: str = "evaluation"

    def __post_init__(self) -> None:
        plain_numbers(self)
        self._check_numbers()
        self._check_names()

    @property
    def slips(self) -> tuple[str, ...]:
        """Which slips of the report's code this training reproduces, in words; none by default."""
        words = {
            "remainder": 'remainder="drop": patches left over by full batches are not seen in an epoch',
            "step": 'step="epoch": one optimizer step per epoch, on summed gradients',
            "validation_mode": 'validation_mode="training": validation with dropout and batch statistics on',
        }
        return tuple(words[name] for name in words if getattr(self, name) != _default(name))

    @property
    def virtual_batch(self) -> int:
        """Patches in one optimizer step, at most, over all batches and processes."""
        return self.batch_size * self.accumulate * self.processes

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.devices * self.num_nodes

    def _check_numbers(self) -> None:
        for name, low in _WHOLE.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                least = "0 or more" if low == 0 else f"of at least {low}"
                raise ValueError(
                    f"{name}: expected a whole number{',' if low == 0 else ''} {least}, got {value!r}"
                )
        for name, high in _ABOVE_ZERO.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if not _is_number(value) or not 0 < value < high:
                raise ValueError(f"{name}: expected a number above 0 and below {high}, got {value!r}")
        for name, high in _FROM_ZERO.items():
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < high:
                raise ValueError(f"{name}: expected a number from 0 to below {high}, got {value!r}")
        if self.step == "epoch" and self.accumulate > 1:
            raise ValueError(
                f'accumulate: expected 1 with step="epoch", which accumulates a whole epoch, got {self.accumulate}'
            )

    def _check_names(self) -> None:
        from polaris_lab.training.losses import parse_loss

        for name in ("augment", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        for name, known in _NAMES.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name}: unknown name {value!r}: {did_you_mean(value, list(known))}")
        if self.loss != "auto":
            parse_loss(self.loss)


_WHOLE = {"epochs": 1, "batch_size": 1, "plateau_patience": 1, "early_stopping": 1, "accumulate": 1,
          "devices": 1, "num_nodes": 1, "workers": 0, "seed": 0}  # fmt: skip
_ABOVE_ZERO = {"learning_rate": math.inf, "gradient_clip": math.inf, "plateau_factor": 1, "ema": 1}
_FROM_ZERO = {"weight_decay": math.inf, "warm_up": 1, "momentum": 1, "input_dropout": 1}
_NAMES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS, "device": DEVICES,
          "remainder": REMAINDERS, "step": STEPS, "validation_mode": VALIDATION_MODES}  # fmt: skip


def decisive(config: TrainingConfig) -> dict[str, object]:
    """Return what of a configuration counts in the fingerprint of a run.

    Later fields at their default are left out, so that the fingerprints of older runs stay what they were.
    """
    return {
        name: value for name, value in to_dict(config).items() if name not in LATER or value != _default(name)
    }


def _default(name: str) -> object:
    return next(field.default for field in dataclasses.fields(TrainingConfig) if field.name == name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
