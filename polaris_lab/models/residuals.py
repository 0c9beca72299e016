"""Last blocks that answer with a distribution: what a baseline leaves over, with its spread, in dex."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polaris_lab.models.blocks import check_channels
from polaris_lab.models.fitting import FittedBlock, mean_and_deviation
from polaris_lab.models.heads import LEVELS, GaussianHead, QuantileHead
from polaris_lab.models.registry import register_block

SPREAD_RANGE = 5.0
"""The natural logarithm of sigma over the baseline's scatter stays within this: no division by zero, no overflow."""


class _Residual(FittedBlock):
    """A correction in units of the scatter of the target about the baseline."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__(scale=1.0)

    def fit(self, baseline: Tensor, *, target: Tensor) -> None:
        """Take the standard deviation of target - baseline."""
        _, deviation = mean_and_deviation(target - baseline)
        self.set_constants(scale=deviation if deviation > 0 else 1.0)


@register_block("gaussian_residual")
class GaussianResidual(_Residual):
    """Mean = baseline + scale c0; ln sigma = ln scale + c1, where |c1| is kept below 5 smoothly.

    The scale is the scatter of the target about the baseline over the training pixels, so an answer of zeros means:
    as the baseline says, with its scatter. The two channels of the answer are read by
    :class:`polaris_lab.models.heads.GaussianHead`.
    """

    head = GaussianHead()

    def forward(self, baseline: Tensor, correction: Tensor) -> Tensor:
        """Return mean and ln sigma (N, 2, H, W) for a baseline (N, 1, H, W) and a correction (N, 2, H, W)."""
        check_channels("gaussian_residual", correction, 2)
        mean = baseline + self.scale * correction[:, :1]  # (N, 1, H, W)
        spread = SPREAD_RANGE * torch.tanh(correction[:, 1:] / SPREAD_RANGE)  # (N, 1, H, W)
        return torch.cat([mean, self.scale.log() + spread], dim=1)  # (N, 2, H, W)


@register_block("quantile_residual")
class QuantileResidual(_Residual):
    """Quantiles about the baseline, sorted by construction: from the median outwards each step is positive.

    Parameters
    ----------
    levels : tuple of float
        See :class:`polaris_lab.models.heads.QuantileHead`.
    """

    def __init__(self, levels: tuple[float, ...] = LEVELS) -> None:
        super().__init__()
        self.head = QuantileHead(levels)

    def forward(self, baseline: Tensor, correction: Tensor) -> Tensor:
        """Return sorted quantiles (N, Q, H, W) for a baseline (N, 1, H, W) and a correction (N, Q, H, W)."""
        check_channels("quantile_residual", correction, self.head.channels)
        middle = self.head.levels.index(0.5)
        steps = functional.softplus(correction)  # (N, Q, H, W)
        above = steps[:, middle + 1 :].cumsum(dim=1)  # (N, Q - 1 - middle, H, W)
        below = -steps[:, :middle].flip(1).cumsum(dim=1).flip(1)  # (N, middle, H, W)
        centre = correction[:, middle : middle + 1]  # (N, 1, H, W)
        offsets = torch.cat([centre + below, centre, centre + above], dim=1)  # (N, Q, H, W)
        return baseline + self.scale * offsets  # (N, Q, H, W)


@register_block("target_mean")
class TargetMean(FittedBlock):
    """The mean of the target over the training pixels, everywhere: the baseline that knows nothing."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__(mean=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean in the first channel's shape; NaN where x is."""
        return torch.where(torch.isnan(x[:, :1]), torch.nan, self.mean)  # (N, 1, H, W)

    def fit(self, *, target: Tensor) -> None:
        """Take the mean of the target."""
        mean, _ = mean_and_deviation(target)
        self.set_constants(mean=mean)
