"""A network in training: what it is between two steps, and how it ends when its loss is no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polaris_lab.config import from_dict, to_dict
from polaris_lab.models.storage import put_weights
from polaris_lab.training.averaging import Average
from polaris_lab.training.devices import make_fabric
from polaris_lab.training.records import EpochRecord
from polaris_lab.training.settings import TrainingConfig


class DivergedError(FloatingPointError):
    """The loss or its gradient is no longer finite.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, from 0.
    patches : list of int
        Rows of the dataset that the batch held.
    """

    def __init__(self, what: str, value: float, epoch: int, batch: int, patches: Sequence[int]) -> None:
        self.epoch, self.batch, self.patches = epoch, batch, list(patches)
        self._arguments = (what, value, epoch, batch, self.patches)
        super().__init__(
            f"epoch {epoch}, batch {batch}: expected a finite {what}, got {value}; the batch held the patches "
            f"{self.patches}. Look at these, or train with a lower learning_rate or gradient_clip; "
            "the last finished epoch is kept"
        )

    def __reduce__(self) -> tuple[type, tuple]:
        return type(self), self._arguments  # it crosses from one process to another


class TrainingState:
    """A network in training: the model on its device, its optimizer, its history, its best weights.

    Parameters
    ----------
    model : nn.Module
        Moved to the device of the configuration.
    config : TrainingConfig
    checkpoint : mapping, optional
        What :meth:`checkpoint` returned after an earlier epoch, to go on from there.

    Raises
    ------
    ValueError
        If the device is not there.
    """

    def __init__(
        self, model: nn.Module, config: TrainingConfig, checkpoint: Mapping[str, Any] | None = None
    ) -> None:
        self.fabric = make_fabric(config)
        self.model = model.to(self.fabric.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(model, config)
        self.history: list[EpochRecord] = []
        self.best_weights: dict[str, Tensor] | None = None
        average = None if checkpoint is None else checkpoint.get("moving_average")
        self.average = None if config.ema is None else Average(self.model, config.ema, average)
        if checkpoint is not None:
            put_weights(self.model, checkpoint["model"], where="checkpoint")
            if checkpoint["optimizer"] is not None:
                self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.history = [from_dict(EpochRecord, record) for record in checkpoint["history"]]

    def checkpoint(self) -> dict[str, Any]:
        """Return everything the next epoch depends on, as tensors and plain values."""
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [to_dict(record) for record in self.history],
        }
        return content if self.average is None else {**content, "moving_average": self.average.state()}

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the moving average if there is one."""
        return self.model if self.average is None else self.average.model

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights and constants that are judged, on the CPU."""
        return {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in self.judged.state_dict().items()
        }

    def add(self, record: EpochRecord) -> None:
        """Take the record of a finished epoch, and keep the weights if they are the best."""
        self.history.append(record)
        if record.best:
            self.best_weights = self.weights()


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer that a configuration names."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model: expected weights to train, got none; train a blueprint with a network in it")
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=config.momentum, nesterov=config.momentum > 0, weight_decay=decay
        )
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
