"""The surroundings of a patch as a condition: a coarse map, and where in it the patch lies."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.fitting import FittedBlock, mean_and_deviation
from polaris_lab.models.registry import register_block
from polaris_lab.models.unet import ConvolutionBlock

SMALLEST = 2
"""Side of the surroundings, at least [pixels]: with one pixel there is nothing around anything."""


@register_block("context_contrast")
class ContextContrast(FittedBlock):
    """The surroundings relative to their own mean, 0 where they are unknown, and a map of what is known.

    So N -> lambda N changes nothing. The mean is that of log N over all known pixels: a context is one image, which
    nobody tiles.
    """

    deviation: Tensor

    def __init__(self) -> None:
        super().__init__(deviation=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return contrast and validity (N, 2, H, W) for log column densities (N, 1, H, W)."""
        contrast, known = self._contrast(x)
        return torch.cat([contrast / self.deviation, known.to(x.dtype)], dim=1)  # (N, 2, H, W)

    def fit(self, x: Tensor, *, target: Tensor) -> None:
        """Take the standard deviation of the contrast; leave it where no context is known."""
        contrast, known = self._contrast(x.double())
        if known.any():
            _, deviation = mean_and_deviation(torch.where(known, contrast, torch.nan))
            self.set_constants(deviation=deviation if deviation > 1e-12 else 1.0)

    @staticmethod
    def _contrast(x: Tensor) -> tuple[Tensor, Tensor]:
        known = torch.isfinite(x)  # (N, 1, H, W)
        count = known.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
        level = torch.where(known, x, 0.0).sum(dim=(-2, -1), keepdim=True) / count  # (N, 1, 1, 1)
        return torch.where(known, x - level, 0.0), known


@register_block("context_encoder")
class ContextEncoder(nn.Module):
    """A small convolutional encoder: maps to a condition, pooled over all pixels.

    Parameters
    ----------
    in_channels : int
        Of the maps (contrast and validity of the context, and the mask of the patch: 3).
    out_channels : int
        Of the condition.
    layers : int
        Convolutions, each followed by a 2x2 mean where the image is larger than 2 pixels.
    base_filters : int
        Channels of the first; each layer doubles them.

    Examples
    --------
    >>> ContextEncoder(3, 16)(torch.zeros(2, 2, 32, 32), torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 16, 1, 1])
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 16, layers: int = 3, base_filters: int = 8
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("layers", layers),
                            ("base_filters", base_filters)):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        self.image_channels = in_channels
        widths = [in_channels, *(base_filters * 2**level for level in range(layers))]
        self.blocks = nn.ModuleList(
            ConvolutionBlock(before, after, convolutions=1, dropout=0.0)
            for before, after in itertools.pairwise(widths)
        )
        self.last = nn.Linear(widths[-1], out_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        """Return the condition (N, out_channels, 1, 1) of maps of equal size; what is NaN counts as 0."""
        sizes = [tuple(x.shape[-2:]) for x in maps]
        if len(set(sizes)) > 1 or min(sizes[0]) < SMALLEST:
            got = " and ".join(f"{height} x {width}" for height, width in dict.fromkeys(sizes))
            raise ValueError(
                f"context_encoder needs surroundings and a mask of one size, at least {SMALLEST} x {SMALLEST} pixels, got "
                f"{got}; a dataset gives both of the size of its patches (quantities context_column_density and context_mask)"
            )
        x = torch.cat(maps, dim=1)  # (N, in_channels, H, W)
        if x.shape[1] != self.image_channels:
            raise ValueError(
                f"context_encoder needs {self.image_channels} channels, got {x.shape[1]}; set in_channels={x.shape[1]}"
            )
        x = torch.nan_to_num(x)
        for block in self.blocks:
            x = block(x)  # (N, b 2^i, H/2^i, W/2^i)
            if min(x.shape[-2:]) >= 4:
                x = functional.avg_pool2d(x, 2)
        return self.last(x.mean(dim=(-2, -1)))[..., None, None]  # (N, out_channels, 1, 1)
