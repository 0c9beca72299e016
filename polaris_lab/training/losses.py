"""Losses by name. Each takes a prediction and log10 of the target (N, 1, H, W) and returns one number per image (N,).

One number per image, so that the loop can weigh every image once whatever the size of its batch. A loss of values
takes log10 of the value (N, 1, H, W); one of a distribution is registered for a head and takes the raw answer of
the network (N, C, H, W), which the head reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from polaris_lab.config import did_you_mean

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {}
"""Every loss that a configuration may name."""

_HEADS: dict[str, str] = {}

AUTOMATIC = {"point": "mse", "gaussian": "beta_nll", "quantiles": "quantile"}
"""The loss that "auto" stands for, by the head of the network."""


def register_loss(name: str, *, head: str | None = None) -> Callable[[Loss], Loss]:
    """Make a loss known to :class:`TrainingConfig` under `name` (a decorator).

    Parameters
    ----------
    name : str
    head : {"gaussian", "quantiles"}, optional
        Of the networks it is for; it then takes their raw answer. None for a loss of values.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def register(loss: Loss) -> Loss:
        if name in LOSSES:
            raise ValueError(f"register_loss({name!r}): this name is taken; choose another")
        LOSSES[name] = loss
        _HEADS[name] = head or "point"
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


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a training makes small: a loss of every output of a network, added up.

    Attributes
    ----------
    losses : mapping of str to Loss
        By output; the key of a network with one output is None.
    """

    losses: Mapping[str | None, Loss]

    def __call__(self, raw: Tensor | Mapping[str, Tensor], target: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the loss of each image (N,)."""
        parts = [
            loss(raw if name is None else raw[name], target if name is None else target[name])
            for name, loss in self.losses.items()
        ]
        return sum(parts[1:], start=parts[0])  # (N,)


def objective(name: str, model: object) -> Objective:
    """Return the loss of a network: the one named, or with "auto" the one for each head.

    Raises
    ------
    ValueError
        If the loss is unknown, or for another head than the network's (a loss of values would never train the
        spread).
    """
    heads = getattr(model, "heads", None) or {None: None}
    losses = {}
    for output, head in heads.items():
        kind = "point" if head is None else head.kind
        chosen = AUTOMATIC[kind] if name == "auto" else name
        loss = loss_named(chosen)
        if _HEADS[chosen] != kind:
            fitting = [other for other in LOSSES if _HEADS[other] == kind]
            raise ValueError(
                f"loss: expected one for a {kind} head, which {output!r} has, got {chosen!r} for a {_HEADS[chosen]} "
                f'head; take "auto" or one of {", ".join(fitting)}, or build the network with '
                f'head="{_HEADS[chosen]}"'
            )
        losses[output if len(heads) > 1 else None] = loss
    return Objective(losses)
