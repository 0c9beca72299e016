"""Losses by name. Each takes a prediction and log10 of the target (N, 1, H, W) and returns one number per image (N,).

One number per image, so that the loop can weigh every image once whatever the size of its batch. A loss of values
takes log10 of the value (N, 1, H, W); one of a distribution is registered for a head and takes the raw answer of
the network (N, C, H, W), which the head reads. Here is "mse"; the others are in
:mod:`polaris_lab.training.losses_maps` and :mod:`polaris_lab.training.losses_heads`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from polaris_lab.config import did_you_mean

Loss = Callable[..., Tensor]

LOSSES: dict[str, Loss] = {}
"""Every loss that a configuration may name."""

_HEADS: dict[str, str] = {}

_JUDGED_BY: dict[str, str] = {}
"""The loss that validation takes instead of one whose minimum is not the best answer."""

AUTOMATIC = {"point": "mse", "gaussian": "beta_nll", "quantiles": "quantile"}
"""The loss that "auto" stands for, by the head of the network."""

_TERM = re.compile(
    r"\s*(?:(?P<weight>[^*()\s]+)\s*\*\s*)?(?P<name>\w+)\s*(?:\(\s*(?P<setting>[^()\s]+)\s*\))?\s*"
)


def register_loss(
    name: str, *, head: str | None = None, judged_by: str | None = None
) -> Callable[[Loss], Loss]:
    """Make a loss known to :class:`TrainingConfig` under `name` (a decorator).

    Parameters
    ----------
    name : str
        A word. A third parameter of the function, with a default, is its setting; one called ``levels`` is given
        the levels of a quantile head.
    head : {"gaussian", "quantiles"}, optional
        Of the networks it is for; it then takes their raw answer. None for a loss of values.
    judged_by : str, optional
        Name of the loss that stands for it in validation, if this one is good to learn from but not smallest for
        the best answer (it is not a proper score).

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
        if judged_by is not None:
            _JUDGED_BY[name] = judged_by
        return loss

    return register


@dataclasses.dataclass(frozen=True)
class Term:
    """One loss in a sum: its name, its weight, and the value of its setting (None: as it comes)."""

    name: str
    weight: float = 1.0
    setting: float | None = None

    @property
    def head(self) -> str:
        """The kind of head whose raw answer it takes; "point" for a loss of values."""
        return _HEADS[self.name]

    def judging(self) -> Term:
        """Return the term that takes its place in validation: itself, unless it was registered with another."""
        return Term(_JUDGED_BY[self.name], self.weight) if self.name in _JUDGED_BY else self

    def function(self, head: Any = None) -> Loss:
        """Return the loss without its weight, as a function of the raw answer of a head and the target."""
        loss, options = LOSSES[self.name], {}
        names = list(inspect.signature(loss).parameters)[2:]
        if names == ["levels"] and head is not None:
            options["levels"] = head.levels
        elif self.setting is not None:
            options[names[0]] = self.setting
        if head is None or self.head == head.kind:
            return functools.partial(loss, **options) if options else loss
        return lambda raw, target: loss(head.point(raw), target, **options)


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
    return tuple(_term(part, text) for part in re.split(r"(?<![0-9.][eE])\+", text))


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
    settings = list(inspect.signature(LOSSES[name]).parameters)[2:]
    if settings in ([], ["levels"]):
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


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a training makes small: a weighted sum of losses for every output of a network, added up.

    Attributes
    ----------
    losses : mapping of str to tuple of (float, Loss)
        Weights and losses by output; the key of a network with one output is None.
    """

    losses: Mapping[str | None, tuple[tuple[float, Loss], ...]]

    def __call__(self, raw: Tensor | Mapping[str, Tensor], target: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the loss of each image (N,)."""
        parts = []
        for name, terms in self.losses.items():
            answer, truth = (raw, target) if name is None else (raw[name], target[name])
            values = [(weight, loss(answer, truth)) for weight, loss in terms]
            parts += [value if weight == 1 else weight * value for weight, value in values]
        return sum(parts[1:], start=parts[0])  # (N,)


def objective(text: str, model: object, *, judging: bool = False) -> Objective:
    """Return the loss of a network: the one named, or with "auto" the one for each head.

    A loss of values may stand beside one for the head, in a sum; it then sees the head's point answer.

    Parameters
    ----------
    text : str
    model : object
        A network; one without ``heads`` gives values.
    judging : bool
        For validation: a loss registered with ``judged_by`` gives way to that one.

    Raises
    ------
    ValueError
        If the loss is unknown, or none of its terms is for the network's head (a loss of values would never train
        the spread), or one is for another head.
    """
    heads = getattr(model, "heads", None) or {None: None}
    losses = {}
    for output, head in heads.items():
        kind = "point" if head is None else head.kind
        terms = parse_loss(AUTOMATIC[kind] if text == "auto" else text)
        wrong = [term for term in terms if term.head not in (kind, "point")]
        if wrong or all(term.head != kind for term in terms):
            bad = (wrong or terms)[0]
            fitting = [other for other in LOSSES if _HEADS[other] == kind]
            raise ValueError(
                f"loss: expected one for a {kind} head, which {output!r} has, got {bad.name!r} for a {bad.head} "
                f'head; take "auto" or one of {", ".join(fitting)}, or build the network with head="{bad.head}"'
            )
        if judging:
            terms = tuple(term.judging() for term in terms)
        key = output if len(heads) > 1 else None
        losses[key] = tuple((term.weight, term.function(head)) for term in terms)
    return Objective(losses)


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


for _module in ("losses_maps", "losses_heads", "volume_losses"):  # they register themselves here
    importlib.import_module(f"polaris_lab.training.{_module}")
