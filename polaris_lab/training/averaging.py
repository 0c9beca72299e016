"""An exponential moving average of a network in training: weights and buffers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from polaris_lab.models.storage import put_weights


class Average:
    """The moving average of a network: d average + (1 - d) weights after every step.

    d = min(decay, (1 + t) / (10 + t)) after t steps, so that the fresh weights are forgotten soon. Buffers (the
    statistics of batch normalisation) are averaged too; whole numbers among them are copied.

    Parameters
    ----------
    model : nn.Module
        Copied; it must be on its device already.
    decay : float
        Largest d, between 0 and 1.
    stored : mapping, optional
        What :meth:`state` returned, to go on from there.

    Attributes
    ----------
    model : nn.Module
        The network with the averaged weights.

    References
    ----------
    Polyak & Juditsky 1992; the warm-up of d as in TensorFlow's ExponentialMovingAverage.

    Examples
    --------
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = Average(layer, 0.9)
    >>> for value in (1.0, 2.0):
    ...     layer.weight.data.fill_(value)
    ...     average.update(layer)
    tensor([[1.]])
    tensor([[2.]])
    >>> round(average.model.weight.item(), 4)  # d = 2/11 after one step
    1.8182
    """

    def __init__(self, model: nn.Module, decay: float, stored: Mapping[str, Any] | None = None) -> None:
        self.decay = decay
        self._averaged = AveragedModel(model, avg_fn=self._move, use_buffers=True)
        self.model: nn.Module = self._averaged.module
        self.model.requires_grad_(False)
        if stored is not None:
            put_weights(self.model, stored["weights"], where="checkpoint, moving average")
            self._averaged.n_averaged.fill_(int(stored["steps"]))

    def _move(self, average: Tensor, value: Tensor, steps: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return value
        steps = int(steps)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        return average + (1 - decay) * (value - average)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self._averaged.update_parameters(model)

    def state(self) -> dict[str, Any]:
        """Return what the average depends on, as tensors and plain values."""
        return {"weights": self.model.state_dict(), "steps": int(self._averaged.n_averaged)}
