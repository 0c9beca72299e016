"""Blocks between an input and its encoder: scaled values where they are known, 0 and a mark where they are not.

A missing input reaches a network as NaN. The blocks here give the neutral value 0 for it; "known" tells the network
which zeros are measured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polaris_lab.models.fitting import FittedBlock, mean_and_deviation
from polaris_lab.models.registry import register_block

COMPRESSIONS = ("none", "arcsinh")


@register_block("known")
class Known(nn.Module):
    """1 where all channels of all inputs are finite, else 0: tells a measured 0 from a missing value.

    Examples
    --------
    >>> Known()(torch.tensor([[[[0.0, float("nan")]]]]))
    tensor([[[[1., 0.]]]])
    """

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Return the validity (N, 1, H, W)."""
        known = torch.isfinite(first).all(dim=1, keepdim=True)  # (N, 1, H, W)
        for other in others:
            known = known & torch.isfinite(other).all(dim=1, keepdim=True)
        return known.to(first.dtype)


@register_block("scaled_input")
class ScaledInput(FittedBlock):
    """(x - mean) / deviation over the training set, one number for all channels; 0 where x is not finite.

    With "arcsinh" it is arcsinh(x / deviation): 0 stays 0, small values of either sign are scaled, large ones are
    seen by their logarithm. For intensities, which are zero off the line and span decades on it.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    compression : {"none", "arcsinh"}

    Examples
    --------
    >>> block = ScaledInput(compression="arcsinh")
    >>> block.fit(torch.tensor([[[[0.0, 3.0, 4.0, float("nan")]]]]), target=torch.zeros(1, 1, 1, 4))
    >>> block(torch.tensor([[[[0.0, float("nan")]]]]))
    tensor([[[[0., 0.]]]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, in_channels: int = 1, compression: str = "none") -> None:
        super().__init__(mean=0.0, deviation=1.0)
        if in_channels < 1:
            raise ValueError(f"in_channels: expected a whole number of at least 1, got {in_channels}")
        if compression not in COMPRESSIONS:
            raise ValueError(f"compression: expected one of {', '.join(COMPRESSIONS)}, got {compression!r}")
        self.in_channels, self.compression = in_channels, compression

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled values."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"scaled_input needs {self.in_channels} channels, got {tuple(x.shape[1:])} (channels, height, "
                f"width); set in_channels={x.shape[1]}"
            )
        scaled = (x - self.mean) / self.deviation
        if self.compression == "arcsinh":
            scaled = torch.asinh(scaled)
        return torch.where(torch.isfinite(x), scaled, 0.0)  # (N, C, H, W)

    def fit(self, x: Tensor, *, target: Tensor) -> None:
        """Take mean and deviation (about 0 for "arcsinh"); leave them where no value is known."""
        if not torch.isfinite(x).any():
            return
        mean, deviation = mean_and_deviation(x)
        if self.compression == "arcsinh":
            mean, deviation = 0.0, (mean**2 + deviation**2) ** 0.5
        self.set_constants(mean=mean, deviation=deviation if deviation > 1e-12 else 1.0)


@register_block("take_channels")
class TakeChannels(nn.Module):
    """Some neighbouring channels of an image.

    Parameters
    ----------
    first, count : int
        The first one, and how many.

    Examples
    --------
    >>> TakeChannels(1, 2)(torch.arange(4.0).reshape(1, 4, 1, 1)).flatten()
    tensor([1., 2.])
    """

    def __init__(self, first: int = 0, count: int = 1) -> None:
        super().__init__()
        if first < 0 or count < 1:
            raise ValueError(f"first, count: expected at least 0 and 1, got {first} and {count}")
        self.first, self.count = first, count

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels."""
        if x.shape[1] < self.first + self.count:
            raise ValueError(
                f"take_channels needs {self.first + self.count} channels or more, got {x.shape[1]}; lower first or count"
            )
        return x[:, self.first : self.first + self.count]  # (N, count, H, W)
