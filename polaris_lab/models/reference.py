"""Blocks with fitted constants: standardising, the power law, and the residual on it.

All work on log10 of physical quantities. Their constants are fitted once before training, in float64, by
``fit``; they are buffers, so they are saved with the weights. Pixels that are NaN or
infinite take no part in a fit; where an input has one, the blocks that feed a network give 0 (the neutral
value: the mean), so that it spoils no neighbour, and those that pass the value through stay NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polaris_lab.models.blocks import check_equal_shapes
from polaris_lab.models.fitting import FittedBlock, line, mean_and_deviation, usable
from polaris_lab.models.registry import register_block


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
        self.set_constants(mean=mean, deviation=usable(deviation, "input"))


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
        self.set_constants(mean=mean, deviation=usable(deviation, "target"))


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
