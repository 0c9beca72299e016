"""Losses by name. Each takes log10 maps (N, 1, H, W) and returns one number per image (N,).

One number per image, so that the loop can weigh every image once whatever the size of its batch. The losses
others are in :mod:`losses_maps` (answers that are a map) and :mod:`losses_heads` (with an uncertainty).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import re
from collections.abc import Callable

import torch
from torch import Tensor

from polaris_lab.config import did_you_mean

Loss = Callable[..., Tensor]

LOSSES: dict[str, Loss] = {}
"""Every loss that a configuration may name."""

HEADS: dict[str, str | None] = {}
"""The kind of head whose raw answer a loss is given, by its name; None for losses of point answers."""

_TERM = re.compile(
    r"\s*(?:(?P<weight>[^*()\s]+)\s*\*\s*)?(?P<name>\w+)\s*(?:\(\s*(?P<setting>[^()\s]+)\s*\))?\s*"
)


def register_loss(name: str, head: str | None = None) -> Callable[[Loss], Loss]:
    """Make a loss known to :class:`TrainingConfig` under `name` (a decorator).

    Parameters
    ----------
    name : str
        A word.
    head : {"gaussian", "quantiles"}, optional
        The loss is given the raw answer of a network with this head; by default the point answer of any.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def register(loss: Loss) -> Loss:
        if name in LOSSES:
            raise ValueError(f"register_loss({name!r}): this name is taken; choose another")
        LOSSES[name], HEADS[name] = loss, head
        return loss

    return register


@dataclasses.dataclass(frozen=True)
class Term:
    """One loss in a sum: its name, its weight, and the value of its setting (None: as it comes)."""

    name: str
    weight: float = 1.0
    setting: float | None = None

    @property
    def head(self) -> str | None:
        """The kind of head that it needs, None for any."""
        return HEADS.get(self.name)

    def function(self) -> Loss:
        """Return the loss, without its weight."""
        loss = LOSSES[self.name]
        return loss if self.setting is None else functools.partial(_with_setting, loss, self.setting)


def _with_setting(loss: Loss, setting: float, predicted: Tensor, target: Tensor) -> Tensor:
    return loss(predicted, target, setting)


def parse_loss(text: str) -> tuple[Term, ...]:
    """Return the terms of a loss as a configuration names it.

    Parameters
    ----------
    text : str
        Names with ``+`` between them, each with a weight ``0.5*`` before and a setting ``(0.1)`` behind it if
        wanted.

    Raises
    ------
    ValueError
        If there is none of a name ("did you mean"), or a number is none or out of range.

    Examples
    --------
    >>> parse_loss("mse + 0.5*gradient")
    (Term(name='mse', weight=1.0, setting=None), Term(name='gradient', weight=0.5, setting=None))
    >>> parse_loss("huber(0.1)")[0].setting
    0.1
    >>> parse_loss("hubber")
    Traceback (most recent call last):
    ValueError: loss: unknown name 'hubber': did you mean 'huber'? Known: ...
    """
    if not isinstance(text, str):
        raise ValueError(f'loss: expected a name, such as "mse + 0.5*gradient", got {text!r}')
    return tuple(_term(part, text) for part in re.split(r"(?<![eE])\+", text))


def _term(part: str, text: str) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise ValueError(
            f'loss: expected names with weights and settings, such as "mse + 0.5*gradient", got {text!r}'
        )
    name = match["name"]
    if name not in LOSSES:
        raise ValueError(f"loss: unknown name {name!r}: {did_you_mean(name, list(LOSSES))}")
    weight = 1.0 if match["weight"] is None else _number(match["weight"], f"the weight of {name}")
    if match["setting"] is None:
        return Term(name, weight)
    if len(inspect.signature(LOSSES[name]).parameters) < 3:
        raise ValueError(
            f"loss: expected {name} without a setting, which it does not have, got {part.strip()!r}"
        )
    return Term(name, weight, _number(match["setting"], f"the setting of {name}"))


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"loss: expected a positive number as {what}, got {text!r}")
    return value


def loss_named(text: str) -> Loss:
    """Return a loss of point answers, or a sum of such, as a function of predicted and target.

    Raises
    ------
    ValueError
        If there is none of a name ("did you mean").
    """
    terms = [(term.weight, term.function()) for term in parse_loss(text)]
    if len(terms) == 1 and terms[0][0] == 1.0:
        return terms[0][1]

    def total(predicted: Tensor, target: Tensor) -> Tensor:
        return sum(weight * loss(predicted, target) for weight, loss in terms)  # (N,)

    return total


def image_mean(values: Tensor, target: Tensor) -> Tensor:
    """Return the mean over the valid pixels of each image (N,); `values` must be 0 where the target is NaN."""
    valid = (~torch.isnan(target)).flatten(1).sum(dim=1)  # (N,)
    return values.flatten(1).sum(dim=1) / valid  # (N,)


def residual(predicted: Tensor, target: Tensor) -> Tensor:
    """Return predicted - target [dex], 0 with a gradient of 0 where the target is NaN."""
    return predicted - torch.where(torch.isnan(target), predicted.detach(), target)


@register_loss("mse")
def mean_square(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean square residual of each image [dex^2].

    Examples
    --------
    >>> target = torch.tensor([[[[1.0, 2.0, float("nan")]]]])
    >>> mean_square(torch.zeros(1, 1, 1, 3), target)
    tensor([2.5000])
    """
    return image_mean(residual(predicted, target) ** 2, target)


for _module in ("losses_maps", "losses_heads"):  # they register themselves here
    importlib.import_module(f"polaris_lab.training.{_module}")
