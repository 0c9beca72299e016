"""Networks with Kolmogorov-Arnold layers: one for single pixels, and the report's two variants of the U-Net."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polaris_lab.models.blocks import check_channels
from polaris_lab.models.kan.basis import Basis
from polaris_lab.models.kan.convolution import FullKAN, KANConv
from polaris_lab.models.registry import register_block
from polaris_lab.models.unet import UNet


@register_block("pixel_kan")
class PixelKAN(nn.Module):
    """A Kolmogorov-Arnold network of each pixel alone: 1 -> 10 -> 10 -> 10 -> 1 in the report.

    With one input it is a curve, which can be drawn, pruned and fitted with a formula: see
    :func:`polaris_lab.models.kan.learned_curve`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    widths : tuple of int
        Channels of the layers between, one or more.
    basis : {"radial", "spline"}
        See :class:`polaris_lab.models.kan.KANConv`.
    grid_size : int
        Functions of one edge: see there.

    Examples
    --------
    >>> kan = PixelKAN()
    >>> [layer.convolution.in_channels // layer.basis.functions for layer in kan.layers]
    [1, 10, 10, 10]
    >>> sum(p.numel() for p in kan.parameters())  # 220 edges of 5, and 31 offsets
    1131
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        widths: tuple[int, ...] = (10, 10, 10),
        basis: str = "radial",
        grid_size: int = 4,
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError(
                "widths: expected the channels of at least one layer between input and output, got (); such as (10, 10, 10)"
            )
        channels = (in_channels, *widths, out_channels)
        if min(channels) < 1:
            raise ValueError(
                f"in_channels, widths, out_channels: expected whole numbers of at least 1, got {channels}"
            )
        self.in_channels = in_channels
        self.receptive_margin = 0
        self.layers = nn.ModuleList(
            FullKAN(first, second, 1, Basis(basis, grid_size), normalize=True)
            for first, second in itertools.pairwise(channels)
        )
        _start_small(self.layers[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's answer for each pixel."""
        check_channels("pixel_kan", x, self.in_channels)
        for layer in self.layers:
            x = layer(x)  # (N, width, H, W)
        return x  # (N, out_channels, H, W)


@register_block("kan_unet")
class KANUNet(nn.Module):
    """A U-Net with Kolmogorov-Arnold convolutions in its deepest levels (U-KAN), at its output (K-Net), or both.

    Parameters
    ----------
    in_channels, out_channels, layers, base_filters, attention, convolutions, dropout
        The U-Net: see :class:`polaris_lab.models.unet.UNet`.
    kan_levels : int
        How many of its levels, from the deepest upwards, have one Kolmogorov-Arnold convolution and a batch
        normalisation in the place of each block; where there is one, the bottleneck has them too. 0 for none.
    kan_output : bool
        Give the answer by a 1x1 Kolmogorov-Arnold convolution.
    form : {"full", "bottleneck"}
        Of the convolutions: see :class:`polaris_lab.models.kan.KANConv`.
    basis : {"radial", "spline"}
        As there.
    grid_size : int
        As there.

    Examples
    --------
    >>> import torch
    >>> KANUNet(layers=2, base_filters=4, kan_levels=1)(torch.zeros(1, 1, 30, 41)).shape
    torch.Size([1, 1, 30, 41])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        layers: int = 5,
        base_filters: int = 64,
        attention: bool = True,
        convolutions: int = 2,
        dropout: float = 0.0,
        kan_levels: int = 4,
        kan_output: bool = False,
        form: str = "full",
        basis: str = "radial",
        grid_size: int = 4,
    ) -> None:
        super().__init__()
        if not 0 <= kan_levels <= layers:
            raise ValueError(f"kan_levels: expected 0 to {layers} (the layers), got {kan_levels}")
        choices = {"form": form, "basis": basis, "grid_size": grid_size}
        KANConv(**choices)  # their check, also where no block takes them
        self.in_channels = in_channels
        self.unet = UNet(
            in_channels=in_channels,
            out_channels=out_channels,
            layers=layers,
            base_filters=base_filters,
            attention=attention,
            convolutions=convolutions,
            dropout=dropout,
        )
        self.stride = self.unet.stride
        self.receptive_margin = (
            self.unet.receptive_margin
        )  # at most: a Kolmogorov-Arnold block reaches 1 pixel
        widths = [base_filters * 2**level for level in range(layers + 1)]
        for level in range(layers - kan_levels, layers):
            before = widths[level - 1] if level else in_channels
            self.unet.encoder[level] = KANBlock(before, widths[level], choices)
            self.unet.decoder[level] = KANBlock(2 * widths[level], widths[level], choices)
        if kan_levels:
            self.unet.bottleneck = KANBlock(widths[-2], widths[-1], choices)
        if kan_output:
            self.unet.last = KANConv(base_filters, out_channels, kernel_size=1, **choices)
            _start_small(self.unet.last)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (N, out_channels, H, W) for an image (N, in_channels, H, W) of any size."""
        check_channels("kan_unet", x, self.in_channels)
        return self.unet(x)  # (N, out_channels, H, W)


class KANBlock(nn.Sequential):
    """A 3x3 Kolmogorov-Arnold convolution and batch normalisation: in the place of a U-Net's block."""

    def __init__(self, in_channels: int, out_channels: int, choices: Mapping[str, Any]) -> None:
        super().__init__(KANConv(in_channels, out_channels, **choices), nn.BatchNorm2d(out_channels))


def _start_small(layer: nn.Module) -> None:
    """Let an untrained network correct little; every parameter still gets a gradient."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.1)
