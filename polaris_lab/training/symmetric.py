"""Answers averaged over the eight symmetries of the square: gas knows no up and no left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polaris_lab.datasets.normalize import SYMMETRIES
from polaris_lab.models.heads import Head

Raw = Tensor | dict[str, Tensor]


class Symmetric(nn.Module):
    """A network whose answer is the mean of those to the eight turned and mirrored inputs, turned back.

    It is exactly equivariant: a turned input gives the turned answer, to the last bit. It costs eight times the
    time; the error falls by 0.003-0.007 dex. It is used in place of the network: it has its blueprint, heads and
    margins. Values and quantiles are averaged; of Gaussians the variance is the mean of the variances plus the variance
    of the means.

    Parameters
    ----------
    network : nn.Module
        Called with inputs by name (N, C, H, W): a :class:`polaris_lab.models.build.BlueprintModel`, or anything that
        returns log10 maps. Put it in evaluation mode.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> model = Symmetric(build_model(Blueprint.unet(layers=1, base_filters=4)).eval())
    >>> x = torch.rand(1, 1, 6, 8) + 21
    >>> mirrored = model({"column_density": x.flip(-1)})
    >>> torch.equal(mirrored.flip(-1), model({"column_density": x}))
    True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.heads: dict[str, Head] = getattr(network, "heads", {})
        for name in ("blueprint", "receptive_margin", "stride", "channels"):
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))

    def forward(self, inputs: Mapping[str, Tensor]) -> Raw:
        """Return the mean raw answer (N, C, H, W), or several by name."""
        answers = [
            _each(self.network(_each(dict(inputs), turned, number)), turned_back, number)
            for number in range(SYMMETRIES)
        ]
        if not isinstance(answers[0], Mapping):
            return average(answers, next(iter(self.heads.values()), None))  # (N, C, H, W)
        return {name: average([a[name] for a in answers], self.heads[name]) for name in answers[0]}

    def point(self, raw: Raw, output: str | None = None) -> Tensor:
        """Return log10 of the value to report (N, 1, H, W) from a raw answer."""
        return self.network.point(raw, output) if hasattr(self.network, "point") else raw


def average(answers: list[Tensor], head: Head | None) -> Tensor:
    """Return one raw answer for several of the same head, independent of their order to the last bit.

    Parameters
    ----------
    answers : list of Tensor, shape (N, C, H, W)
    head : Head or None
        How they are read; None for values.

    Returns
    -------
    Tensor, shape (N, C, H, W)
    """
    if head is None or head.kind != "gaussian":
        return _mean(torch.stack(answers))
    means = torch.stack([head.point(raw) for raw in answers])
    variances = torch.stack([head.sigma(raw) ** 2 for raw in answers])
    return gaussian_mixture(means, variances)


def gaussian_mixture(means: Tensor, variances: Tensor) -> Tensor:
    """Return the Gaussian with mean and variance of a mixture of equal weights, as a raw answer.

    Parameters
    ----------
    means, variances : Tensor, shape (members, N, 1, H, W)
        In dex and dex^2.

    Returns
    -------
    Tensor, shape (N, 2, H, W)
        The mean, and ln of the standard deviation: its square is the mean of the variances plus the variance of the
        means (no less than 1e-12 dex^2).
    """
    mean = _mean(means)  # (N, 1, H, W)
    variance = _mean(variances) + _mean((means - mean) ** 2)
    return torch.cat([mean, 0.5 * variance.clamp(min=1e-12).log()], dim=1)  # (N, 2, H, W)


def _mean(stack: Tensor) -> Tensor:
    """Return the mean over the first axis, summed from the smallest to the largest whatever their order."""
    return torch.sort(stack, dim=0).values.mean(dim=0)


def turned(images: Tensor, number: int) -> Tensor:
    """Apply symmetry `number` to the last two axes; images need not be square."""
    mirrored = images.flip(-1) if number >= 4 else images
    return torch.rot90(mirrored, number % 4, (-2, -1)).contiguous()


def turned_back(images: Tensor, number: int) -> Tensor:
    """Undo :func:`turned`."""
    straight = torch.rot90(images, -(number % 4), (-2, -1))
    return (straight.flip(-1) if number >= 4 else straight).contiguous()


def _each(values: Any, function: Callable[[Tensor, int], Tensor], number: int) -> Any:
    if isinstance(values, Mapping):
        return {name: function(x, number) for name, x in values.items()}
    return function(values, number)
