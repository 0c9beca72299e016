"""Physical bounds: last blocks whose answer cannot contradict the column density, whatever their weights.

With a line of sight of depth L, N/L <= <n>_M <= n_max: the mass-weighted mean is never below the volume mean
(equal for uniform gas), and the largest value never below a mean. Both bounds are met by adding a positive number to
the bound in log10: softplus of what a network says, in dex. A Gaussian in log n reaches below any floor, so these
blocks answer with a value or with quantiles.

References
----------
Cauchy-Schwarz for <n>_M = <n^2> / <n> >= <n>; report, eqs. 2-3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.blocks import check_channels
from polaris_lab.models.fitting import FittedBlock, mean_and_deviation
from polaris_lab.models.heads import Head, PointHead, QuantileHead
from polaris_lab.models.registry import register_block
from polaris_lab.units import PARSEC

LOG_PARSEC = math.log10(PARSEC)


@register_block("mean_density_floor")
class MeanDensityFloor(nn.Module):
    """log10 of N/L [cm^-3], the volume mean along a line of sight of depth L: what <n>_M cannot be below.

    Takes log10 N [cm^-2] (N, 1, H, W) and log10 L [pc], a map or one number an image (N, 1, 1, 1).

    Examples
    --------
    >>> floor = MeanDensityFloor()(torch.full((1, 1, 1, 1), 21.0), torch.zeros(1, 1, 1, 1))
    >>> round(float(10**floor))  # 1e21 cm^-2 over 1 pc
    324
    """

    def forward(self, column_density: Tensor, depth: Tensor) -> Tensor:
        """Return log10 of N/L, rounded upwards; NaN where either is."""
        check_channels("mean_density_floor", column_density, 1)
        check_channels("mean_density_floor", depth, 1)
        floor = column_density.double() - depth.double() - LOG_PARSEC  # (N, 1, H, W)
        floor = floor.to(column_density.dtype)  # (N, 1, H, W)
        return floor + floor.abs() * torch.finfo(floor.dtype).eps  # (N, 1, H, W)


class _Above(FittedBlock):
    """A floor, and positive steps above it: one for a value, one for each level for quantiles."""

    scale: Tensor

    def __init__(self, levels: tuple[float, ...], scale: float) -> None:
        super().__init__(scale=scale)
        self.head: Head = QuantileHead(tuple(levels)) if levels else PointHead()
        self.steps = self.head.levels.index(0.5) + 1 if levels else 1
        """Steps from the floor to the value that is reported."""

    def above(self, block: str, floor: Tensor, correction: Tensor) -> Tensor:
        """Return floor + scale (cumulative sum of softplus): adding what is not negative never rounds downwards."""
        check_channels(block, correction, self.head.channels)
        if floor.shape[1] not in (1, self.head.channels):
            raise ValueError(
                f"{block} needs a floor of 1 or {self.head.channels} channels, got {floor.shape[1]}; give it log10 "
                "of one map, or the quantiles at the same levels"
            )
        steps = self.scale * functional.softplus(correction) / self.steps  # (N, C, H, W)
        return floor + steps.cumsum(dim=1)  # (N, C, H, W)


@register_block("above_floor")
class AboveFloor(_Above):
    """log n = floor + scale softplus(correction): never below the floor, exactly, whatever the weights.

    With "mean_density_floor" as the floor this is <n>_M >= N/L. The scale is fitted so that an answer of zeros means
    the mean excess over the training pixels. NaN of the floor stays NaN.

    Parameters
    ----------
    levels : tuple of float
        None for a value; or those of sorted quantiles, all above the floor
        (see :class:`polaris_lab.models.heads.QuantileHead`).

    Examples
    --------
    >>> bool((AboveFloor()(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), -50.0)) >= 0).all())
    True
    """

    def __init__(self, levels: tuple[float, ...] = ()) -> None:
        super().__init__(levels, scale=1.0)

    def forward(self, floor: Tensor, correction: Tensor) -> Tensor:
        """Return log10 densities (N, C, H, W)."""
        return self.above("above_floor", floor, correction)  # (N, C, H, W)

    def fit(self, floor: Tensor, *, target: Tensor) -> None:
        """Take the mean of target - floor; a target at the floor keeps a step of a thousandth of a dex."""
        excess, _ = mean_and_deviation(target - floor)
        self.set_constants(scale=max(excess, 1e-3) / math.log(2))


@register_block("above_answer")
class AboveAnswer(_Above):
    """The same over the answer of another node: n_max >= <n>_M. Gradients reach both.

    Parameters
    ----------
    scale : float
        What softplus is multiplied with [dex]: zeros mean 0.69 of it above the other answer.
    levels : tuple of float
        As for "above_floor"; the other answer has one channel, or the quantiles at the same levels.
    """

    def __init__(self, scale: float = 0.5, levels: tuple[float, ...] = ()) -> None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale: expected a positive number [dex], got {scale}")
        super().__init__(levels, scale=scale)

    def forward(self, answer: Tensor, correction: Tensor) -> Tensor:
        """Return log10 densities (N, C, H, W)."""
        return self.above("above_answer", answer, correction)  # (N, C, H, W)
