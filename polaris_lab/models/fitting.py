"""Constants that are fitted to the training pixels: the block that holds them, and the sums, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

CHUNK = 64
"""Images that a fit holds in float64 at a time."""


class FittedBlock(nn.Module):
    """A block with scalar constants. Unfitted, they leave values as they are (slope 1, offset 0)."""

    def __init__(self, **constants: float) -> None:
        super().__init__()
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(float(value)))

    def set_constants(self, **constants: float) -> None:
        """Store fitted values."""
        for name, value in constants.items():
            getattr(self, name).fill_(value)


def mean_and_deviation(x: Tensor) -> tuple[float, float]:
    """Return the mean and the standard deviation of all finite pixels, in float64, in two passes.

    Examples
    --------
    >>> import torch
    >>> mean_and_deviation(torch.tensor([[20.0, 22.0, float("nan")]]))
    (21.0, 1.0)
    """
    count, total = 0, 0.0
    for (part,) in _finite_parts(x):
        count, total = count + part.numel(), total + float(part.sum())
    if count == 0:
        raise ValueError("fit_constants: expected finite log10 values, got none; check for zeros and NaN")
    mean = total / count
    variance = sum(float((part - mean).square().sum()) for (part,) in _finite_parts(x)) / count
    return mean, math.sqrt(variance)


def line(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Return (centre, value, slope) of the least squares line y = value + slope (x - centre), in float64.

    Examples
    --------
    >>> import torch
    >>> line(torch.tensor([[20.0, 21.0, 22.0]]), torch.tensor([[1.0, 3.0, 5.0]]))
    (21.0, 3.0, 2.0)
    """
    count, sums = 0, [0.0, 0.0]
    for parts in _finite_parts(x, y):
        count += parts[0].numel()
        sums = [total + float(part.sum()) for total, part in zip(sums, parts, strict=True)]
    if count < 2:
        raise ValueError(f"fit_constants: expected at least 2 pixels finite in input and target, got {count}")
    centre, value = (total / count for total in sums)
    spread, common = 0.0, 0.0
    for a, b in _finite_parts(x, y):
        away = a - centre
        spread += float(away.square().sum())
        common += float((away * (b - value)).sum())
    return centre, value, common / usable(spread, "input")


def _finite_parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the pixels finite in all tensors, a few images at a time, in float64."""
    for parts in zip(*(tensor.split(CHUNK) for tensor in tensors), strict=True):
        finite = torch.stack([torch.isfinite(part) for part in parts]).all(dim=0)
        yield tuple(part[finite].double() for part in parts)


def usable(deviation: float, what: str) -> float:
    """Return a spread that one can divide by, or refuse constant values."""
    if not deviation > 1e-12:
        raise ValueError(
            f"fit_constants: expected values that differ, got the same {what} in every pixel; "
            "a model cannot learn from it"
        )
    return deviation
