"""Losses by name. Each takes log10 maps (N, 1, H, W) and returns one number per image (N,).

One number per image, so that the loop can weigh every image once whatever the size of its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polaris_lab.config import did_you_mean

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {}
"""Every loss that a configuration may name."""


def register_loss(name: str) -> Callable[[Loss], Loss]:
    """Make a loss known to :class:`TrainingConfig` under `name` (a decorator).

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def register(loss: Loss) -> Loss:
        if name in LOSSES:
            raise ValueError(f"register_loss({name!r}): this name is taken; choose another")
        LOSSES[name] = loss
        return loss

    return register


def loss_named(name: str) -> Loss:
    """Return a registered loss.

    Raises
    ------
    ValueError
        If there is none of that name ("did you mean").
    """
    if name not in LOSSES:
        raise ValueError(f"loss: unknown name {name!r}: {did_you_mean(name, list(LOSSES))}")
    return LOSSES[name]


@register_loss("mse")
def mean_square(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean square residual of each image [dex^2]; pixels whose target is NaN have no weight.

    Examples
    --------
    >>> target = torch.tensor([[[[1.0, 2.0, float("nan")]]]])
    >>> mean_square(torch.zeros(1, 1, 1, 3), target)
    tensor([2.5000])
    """
    return image_mean((predicted - torch.where(torch.isnan(target), predicted.detach(), target)) ** 2, target)


def image_mean(values: Tensor, target: Tensor) -> Tensor:
    """Return the mean over the valid pixels of each image (N,); `values` must be 0 where the target is NaN."""
    valid = (~torch.isnan(target)).flatten(1).sum(dim=1)  # (N,)
    return values.flatten(1).sum(dim=1) / valid  # (N,)
