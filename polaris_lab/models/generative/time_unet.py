"""A small U-Net that also knows a time: what flow matching and diffusion ask at each of their steps.

All of it is local: its normalisation runs over the channels of one pixel, never over the image, so that the answer in
a pixel does not depend on the tile that holds it, and is the same in training and evaluation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.unet import pad_to_multiple, receptive_margin


def time_features(time: Tensor, width: int) -> Tensor:
    """Return sines and cosines of a time between 0 and 1, at frequencies from 1000 down to 0.1 in even ratios.

    Parameters
    ----------
    time : Tensor, shape (N,)
    width : int
        Number of features, even.

    Returns
    -------
    Tensor, shape (N, width)

    Examples
    --------
    >>> time_features(torch.zeros(1), 4)
    tensor([[0., 0., 1., 1.]])
    """
    half = width // 2
    frequency = 1000 * torch.exp(
        -math.log(10_000) * torch.arange(half, device=time.device, dtype=torch.float32) / max(half - 1, 1)
    )  # (half,)
    phase = time.float()[:, None] * frequency[None, :]  # (N, half)
    return torch.cat([phase.sin(), phase.cos()], dim=1)  # (N, width)


class PixelNormalization(nn.Module):
    """Mean 0 and deviation 1 over the channels of each pixel (layer normalisation), then a slope and an offset."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        x = x.permute(0, 2, 3, 1)  # (N, H, W, C)
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias).permute(
            0, 3, 1, 2
        )  # (N, C, H, W)


class TimedBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; the time scales and shifts the features between them."""

    def __init__(self, in_channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        padded = {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}
        self.first_norm = PixelNormalization(in_channels)
        self.first = nn.Conv2d(in_channels, out_channels, **padded)
        self.second_norm = PixelNormalization(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, **padded)
        self.time = nn.Linear(time_width, 2 * out_channels) if time_width else None
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, time: Tensor | None) -> Tensor:
        """Return features (N, out_channels, H, W) for the features of a time (N, time_width)."""
        h = self.first(functional.silu(self.first_norm(x)))  # (N, out, H, W)
        h = self.second_norm(h)
        if self.time is not None:
            scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)  # (N, out, 1, 1)
            h = h * (1 + scale) + shift  # (N, out, H, W)
        return self.shortcut(x) + self.second(functional.silu(h))  # (N, out, H, W)


class TimeUNet(nn.Module):
    """A U-Net of residual blocks whose features the time scales and shifts.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input (the noisy map and the condition) and of the output.
    layers : int
        Number of poolings.
    base_filters : int
        Channels of the first block; each layer doubles them.
    timed : bool
        Whether it takes a time at all.

    Attributes
    ----------
    stride : int
        2^layers.
    receptive_margin : int
        Pixels further than this from an output pixel have no influence on it.

    Examples
    --------
    >>> network = TimeUNet(in_channels=2, layers=2, base_filters=8)
    >>> network(torch.zeros(1, 2, 50, 37), torch.tensor([0.3])).shape
    torch.Size([1, 1, 50, 37])
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 1,
        layers: int = 3,
        base_filters: int = 16,
        timed: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("layers", layers), ("base_filters", base_filters)):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        if layers > 10:
            raise ValueError(f"layers: expected at most 10 (2^10 pixels), got {layers}; 2 to 4 are usual")
        widths = [base_filters * 2**level for level in range(layers + 1)]
        self.in_channels, self.layers, self.timed = in_channels, layers, timed
        self.time_width = 4 * base_filters if timed else 0
        self.embedding = (
            nn.Sequential(
                nn.Linear(self.time_width, self.time_width),
                nn.SiLU(),
                nn.Linear(self.time_width, self.time_width),
                nn.SiLU(),
            )
            if timed
            else None
        )
        self.stem = nn.Conv2d(in_channels, base_filters, 1)
        before = [base_filters, *widths]
        self.encoder = nn.ModuleList(
            TimedBlock(a, b, self.time_width) for a, b in zip(before, widths[:-1], strict=False)
        )
        self.bottleneck = TimedBlock(widths[-2], widths[-1], self.time_width)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2) for w in widths[:-1]
        )
        self.decoder = nn.ModuleList(TimedBlock(2 * w, w, self.time_width) for w in widths[:-1])
        self.last = nn.Conv2d(base_filters, out_channels, 1)
        self.stride = 2**layers
        self.receptive_margin = receptive_margin(layers=layers, convolutions=2)
        with torch.no_grad():  # an untrained network says little, but every parameter gets a gradient
            self.last.weight.mul_(0.1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Return the output (N, out_channels, H, W) for an image (N, in_channels, H, W) at times (N,) in 0..1."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"time U-Net needs {self.in_channels} input channels, got {tuple(x.shape[1:])} (channels, height, width)"
            )
        if self.timed:
            time = self.embedding(
                time_features(time, self.time_width).to(self.stem.weight.dtype)
            )  # (N, time_width)
        height, width = x.shape[-2:]
        x = self.stem(pad_to_multiple(x, self.stride))  # (N, b, H', W')
        skips = []
        for block in self.encoder:
            x = block(x, time)  # (N, b 2^i, H'/2^i, W'/2^i)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)  # (N, b 2^i, H'/2^(i+1), W'/2^(i+1))
        x = self.bottleneck(x, time)  # (N, b 2^layers, H'/2^layers, W'/2^layers)
        for level in reversed(range(self.layers)):
            x = torch.cat([skips.pop(), self.upsample[level](x)], dim=1)  # (N, b 2^(i+1), H'/2^i, W'/2^i)
            x = self.decoder[level](x, time)  # (N, b 2^i, H'/2^i, W'/2^i)
        return self.last(x)[..., :height, :width]  # (N, out_channels, H, W)
