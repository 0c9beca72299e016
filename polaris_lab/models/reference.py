"""Blocks with fitted constants: standardising, the local mean, the power law, and the residual on it.

All work on log10 of physical quantities. Their constants are fitted once before training, in float64, by
``fit``; they are buffers, so they are saved with the weights. Pixels that are NaN or
infinite take no part in a fit; where an input has one, the blocks that feed a network give 0 (the neutral
value: the mean), so that it spoils no neighbour, and those that pass the value through stay NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.blocks import check_equal_shapes
from polaris_lab.models.registry import register_block

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


@register_block("standardize")
class Standardize(FittedBlock):
    """(x - mean) / deviation, with both taken over the training pixels; 0 where x is not finite."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__(mean=0.0, deviation=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with mean 0 and standard deviation 1 over the training set."""
        return torch.where(torch.isfinite(x), (x - self.mean) / self.deviation, 0.0)  # (N, C, H, W)

    def fit(self, x: Tensor, *, target: Tensor) -> None:
        """Take the mean and standard deviation of the input."""
        mean, deviation = mean_and_deviation(x)
        self.set_constants(mean=mean, deviation=_usable(deviation, "input"))


@register_block("destandardize")
class Destandardize(FittedBlock):
    """mean + deviation x, with both those of the target over the training pixels."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__(mean=0.0, deviation=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the target's log10 for a standardised one."""
        return self.mean + self.deviation * x  # (N, C, H, W)

    def fit(self, *, target: Tensor) -> None:
        """Take the mean and standard deviation of the target."""
        mean, deviation = mean_and_deviation(target)
        self.set_constants(mean=mean, deviation=_usable(deviation, "target"))


@register_block("local_contrast")
class LocalContrast(FittedBlock):
    """Log column density relative to its local mean: what does not change when the whole map is brighter.

    The local mean is a Gaussian mean over a fixed window of valid pixels: NaN and what lies beyond the
    border have no weight. So N -> lambda N changes nothing, and neither does the choice of tiles.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian [pixels].
    truncation : float
        Radius of the window in units of `scale`.

    Examples
    --------
    >>> import torch
    >>> contrast = LocalContrast(scale=2.0)
    >>> bool(contrast(torch.full((1, 1, 9, 9), 21.7)).abs().max() < 1e-6)
    True
    """

    deviation: Tensor
    window: Tensor

    def __init__(self, scale: float = 16.0, truncation: float = 2.0) -> None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale: expected a positive number of pixels, got {scale}")
        if not 1 <= truncation <= 5:
            raise ValueError(f"truncation: expected a radius of 1 to 5 times the scale, got {truncation}")
        super().__init__(deviation=1.0)
        self.receptive_margin = max(math.ceil(truncation * scale), 1)
        self.block = max(2 * self.receptive_margin, 32)
        self.register_buffer("window", self._window(scale), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - local mean of x) / deviation, 0 where x is not finite."""
        valid = torch.isfinite(x)  # (N, C, H, W)
        # Values of 20 to 25 dex lose digits in a sum; near zero they do not. A whole number, so that the
        # level found in one tile and that in the next leave the same differences.
        count = valid.sum(dim=(-2, -1), keepdim=True).clamp(min=1)  # (N, C, 1, 1)
        level = torch.where(valid, x, 0.0).sum(dim=(-2, -1), keepdim=True).div(count).round()  # (N, C, 1, 1)
        x = torch.where(valid, x - level, 0.0)  # (N, C, H, W)
        both = torch.stack([x, valid.to(x.dtype)])  # (2, N, C, H, W)
        kind = x.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            both = self._smooth_rows(both)  # (2, N, C, H, W)
            both = self._smooth_rows(both.transpose(-2, -1)).transpose(-2, -1)  # (2, N, C, H, W)
        mean = both[0] / both[1].clamp(min=torch.finfo(x.dtype).tiny)  # (N, C, H, W)
        return torch.where(valid, (x - mean) / self.deviation, 0.0)  # (N, C, H, W)

    def _smooth_rows(self, x: Tensor) -> Tensor:
        """Return the sum over the window along the last dimension, with nothing beyond the border.

        A row is cut into blocks that overlap by the window, and all blocks are multiplied by one banded
        matrix: several times faster than a convolution of a single channel.
        """
        length, margin = x.shape[-1], self.receptive_margin
        blocks = -(-length // self.block)
        x = functional.pad(x, (margin, blocks * self.block - length + margin))  # (..., blocks B + 2 margin)
        x = x.unfold(-1, self.block + 2 * margin, self.block)  # (..., blocks, B + 2 margin)
        parts = x.reshape(-1, x.shape[-1]) @ self.window.to(x.dtype)  # (... blocks, B)
        return parts.reshape(*x.shape[:-2], blocks * self.block)[..., :length]  # (..., length)

    def _window(self, scale: float) -> Tensor:
        """Return the matrix (B + 2 margin, B) that turns a block of a row into its weighted sums."""
        offset = (
            torch.arange(self.block + 2 * self.receptive_margin)[:, None] - torch.arange(self.block)[None, :]
        )
        offset = offset - self.receptive_margin  # (B + 2 margin, B): from each output pixel
        weight = torch.exp(-0.5 * (offset.double() / scale) ** 2)
        weight = torch.where(offset.abs() <= self.receptive_margin, weight, 0.0)
        return (weight / weight[:, 0].sum()).float()  # (B + 2 margin, B)

    def fit(self, x: Tensor, *, target: Tensor) -> None:
        """Take the standard deviation of the contrast."""
        self.deviation.fill_(1.0)
        contrast = torch.cat([self(part.double()).to(x.dtype) for part in x.split(CHUNK)])  # (N, C, H, W)
        _, deviation = mean_and_deviation(torch.where(torch.isfinite(x), contrast, torch.nan))
        self.set_constants(deviation=_usable(deviation, "contrast"))


@register_block("power_law")
class PowerLawBaseline(FittedBlock):
    """The straight line through log n against log N: value + slope (x - centre)."""

    centre: Tensor
    value: Tensor
    slope: Tensor

    def __init__(self) -> None:
        super().__init__(centre=0.0, value=0.0, slope=1.0)

    def forward(self, column_density: Tensor) -> Tensor:
        """Return the power law's log10 density; NaN stays NaN."""
        return self.value + self.slope * (column_density - self.centre)  # (N, C, H, W)

    def fit(self, column_density: Tensor, *, target: Tensor) -> None:
        """Fit the line by least squares."""
        centre, value, slope = line(column_density, target)
        self.set_constants(centre=centre, value=value, slope=slope)


@register_block("equivariant_power_law")
class EquivariantPowerLaw(FittedBlock):
    """log N + offset + slope contrast: a power law in the contrast that scales with the whole map.

    If every column is lambda times larger, so is every density, exactly.
    """

    offset: Tensor
    slope: Tensor

    def __init__(self) -> None:
        super().__init__(offset=0.0, slope=0.0)

    def forward(self, column_density: Tensor, contrast: Tensor) -> Tensor:
        """Return the log10 density; NaN stays NaN."""
        return column_density + (self.offset + self.slope * contrast)  # (N, C, H, W)

    def fit(self, column_density: Tensor, contrast: Tensor, *, target: Tensor) -> None:
        """Fit target - column_density against the contrast by least squares."""
        centre, value, slope = line(contrast, target - column_density)
        self.set_constants(offset=value - slope * centre, slope=slope)


@register_block("offset")
class Offset(FittedBlock):
    """x + offset: the mean ratio of target and input. Scale-equivariant, and nothing more."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__(offset=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input at the target's mean level; NaN stays NaN."""
        return x + self.offset  # (N, C, H, W)

    def fit(self, x: Tensor, *, target: Tensor) -> None:
        """Take the mean of target - x."""
        mean, _ = mean_and_deviation(target - x)
        self.set_constants(offset=mean)


@register_block("add_residual")
class AddResidual(FittedBlock):
    """baseline + scale correction, where scale is the scatter of the target about the baseline.

    So the network works on numbers of order 1, and 0 means: as the baseline says.
    """

    scale: Tensor

    def __init__(self) -> None:
        super().__init__(scale=1.0)

    def forward(self, baseline: Tensor, correction: Tensor) -> Tensor:
        """Return the corrected log10 density."""
        check_equal_shapes("add_residual", baseline, correction)
        return baseline + self.scale * correction  # (N, C, H, W)

    def fit(self, baseline: Tensor, *, target: Tensor) -> None:
        """Take the standard deviation of target - baseline."""
        _, deviation = mean_and_deviation(target - baseline)
        self.set_constants(
            scale=deviation if deviation > 0 else 1.0
        )  # a perfect baseline needs no correction


def mean_and_deviation(x: Tensor) -> tuple[float, float]:
    """Return the mean and the standard deviation of all finite pixels, in float64, in two passes.

    Examples
    --------
    >>> import torch
    >>> mean_and_deviation(torch.tensor([[20.0, 22.0, float("nan")]]))
    (21.0, 1.0)
    """
    count = sum(part.numel() for (part,) in _finite_parts(x))
    if count == 0:
        raise ValueError("fit_constants: expected finite log10 values, got none; check for zeros and NaN")
    mean = sum(float(part.sum()) for (part,) in _finite_parts(x)) / count
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
    count = sum(part.numel() for part, _ in _finite_parts(x, y))
    if count < 2:
        raise ValueError(f"fit_constants: expected at least 2 pixels finite in input and target, got {count}")
    centre = sum(float(part.sum()) for part, _ in _finite_parts(x, y)) / count
    value = sum(float(part.sum()) for _, part in _finite_parts(x, y)) / count
    spread = sum(float((part - centre).square().sum()) for part, _ in _finite_parts(x, y))
    common = sum(float(((a - centre) * (b - value)).sum()) for a, b in _finite_parts(x, y))
    return centre, value, common / _usable(spread, "input")


def _finite_parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the pixels finite in all tensors, a few images at a time, in float64."""
    for parts in zip(*(tensor.split(CHUNK) for tensor in tensors), strict=True):
        finite = torch.stack([torch.isfinite(part) for part in parts]).all(dim=0)
        yield tuple(part[finite].double() for part in parts)


def _usable(deviation: float, what: str) -> float:
    """Return a spread that one can divide by, or refuse constant values."""
    if not deviation > 1e-12:
        raise ValueError(
            f"fit_constants: expected values that differ, got the same {what} in every pixel; "
            "a model cannot learn from it"
        )
    return deviation
