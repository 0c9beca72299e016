"""How the features of several encoders become one: by name, so that a merge of one's own can be put in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polaris_lab.config import did_you_mean
from polaris_lab.models.registry import block_class, block_names, block_settings
from polaris_lab.models.unet import ConvolutionBlock


class ConcatenateMerge(nn.Module):
    """All features side by side, mixed by a 3x3 convolution with batch normalisation and ReLU."""

    receptive_margin = 1

    def __init__(self, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.mix = ConvolutionBlock(sum(channels), out_channels, convolutions=1, dropout=0.0)

    def forward(self, *features: Tensor) -> Tensor:
        """Return the merged features."""
        return self.mix(torch.cat(features, dim=1))  # (N, out_channels, H, W)


class SumMerge(nn.Module):
    """The sum; features of another number of channels pass a 1x1 convolution first."""

    receptive_margin = 0

    def __init__(self, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.fit = nn.ModuleList(
            nn.Identity() if count == out_channels else nn.Conv2d(count, out_channels, 1)
            for count in channels
        )

    def forward(self, *features: Tensor) -> Tensor:
        """Return the merged features."""
        parts = [fit(x) for fit, x in zip(self.fit, features, strict=True)]
        return sum(parts[1:], start=parts[0])  # (N, out_channels, H, W)


class BlockMerge(nn.Module):
    """All features side by side, mixed by a registered block, such as a KAN convolution.

    Raises
    ------
    ValueError
        If the block has no settings `in_channels` and `out_channels`.
    """

    def __init__(self, name: str, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        given = {"in_channels": sum(channels), "out_channels": out_channels}
        self.mix = block_class(name)(**block_settings(name, given, where=f"merge {name!r}"))
        self.receptive_margin = getattr(self.mix, "receptive_margin", 0)

    def forward(self, *features: Tensor) -> Tensor:
        """Return the merged features."""
        return self.mix(torch.cat(features, dim=1))  # (N, out_channels, H, W)


MERGES = {"concatenate": ConcatenateMerge, "sum": SumMerge}
"""Merges of this package; any registered block with `in_channels` and `out_channels` is one too."""


def make_merge(name: str, channels: Sequence[int], out_channels: int) -> nn.Module:
    """Return the module that merges features.

    Parameters
    ----------
    name : str
        "concatenate", "sum", or the name of a registered block with the settings `in_channels` and
        `out_channels` (a convolution, a KAN convolution).
    channels : sequence of int
        Of each input.
    out_channels : int
        Of the result.

    Raises
    ------
    ValueError
        If the name is unknown ("did you mean"), or the block cannot merge.

    Examples
    --------
    >>> make_merge("sum", [4, 4], 4)(torch.ones(1, 4, 2, 2), torch.ones(1, 4, 2, 2)).unique()
    tensor([2.])
    """
    check_merge(name)
    if name in MERGES:
        return MERGES[name](channels, out_channels)
    return BlockMerge(name, channels, out_channels)


def check_merge(name: str) -> None:
    """Refuse the name of a merge that nobody knows, also where there is nothing to merge yet."""
    known = sorted({*MERGES, *block_names()})
    if name not in known:
        raise ValueError(f"merge: unknown name {name!r}: {did_you_mean(str(name), known)}")
