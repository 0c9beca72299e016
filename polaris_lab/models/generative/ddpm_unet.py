"""The U-Net of denoising diffusion (Ho et al. 2020), in the form in which Xu et al. (2023) trained it.

Group normalisation and self-attention look at the whole image: an answer depends on the patch that holds the pixel.
Large maps therefore go through it as they did: the answers of overlapping patches are averaged at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.generative.time_unet import time_features
from polaris_lab.models.unet import pad_to_multiple

GROUPS = 32
"""Groups of the normalisation, where the channels can be divided by it."""


class DDPMUNet(nn.Module):
    """Residual blocks, `blocks` a level, with self-attention at the levels named and in the middle.

    Parameters
    ----------
    in_channels, out_channels : int
    base_filters : int
        Channels of the first level.
    multipliers : sequence of int
        Channels of each level, in units of `base_filters`; each but the last halves the image.
    blocks : int
        Residual blocks of a level on the way down; one more on the way up.
    attention_levels : sequence of int
        Levels with self-attention, from 0. Level 3 of a patch of 128 pixels has 16 x 16.
    dropout : float

    Attributes
    ----------
    stride : int
        2^(levels - 1).

    References
    ----------
    Ho, Jain & Abbeel 2020 (arXiv 2006.11239), appendix B; Xu et al. 2023 (ApJ 950, 146).

    Examples
    --------
    >>> with torch.device("meta"):
    ...     network = DDPMUNet()
    >>> sum(p.numel() for p in network.parameters())
    85253121
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 1,
        base_filters: int = 128,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        blocks: int = 2,
        attention_levels: Sequence[int] = (3,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if base_filters < 2 or base_filters % 2 or blocks < 1 or not multipliers or min(multipliers) < 1:
            raise ValueError(
                "ddpm U-Net: expected an even base_filters, blocks of at least 1 and multipliers of at least 1, "
                f"got {base_filters}, {blocks}, {tuple(multipliers)}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability from 0 to below 1, got {dropout}")
        widths = [base_filters * multiplier for multiplier in multipliers]
        wrong = [level for level in attention_levels if not 0 <= level < len(widths)]
        if wrong:
            raise ValueError(f"attention_levels: expected levels from 0 to {len(widths) - 1}, got {wrong}")
        self.in_channels, self.base_filters, self.stride = in_channels, base_filters, 2 ** (len(widths) - 1)
        time = 4 * base_filters
        self.embedding = nn.Sequential(
            nn.Linear(base_filters, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU()
        )
        self.stem = nn.Conv2d(in_channels, base_filters, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, kept = base_filters, [base_filters]
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.down.append(_Level(channels, width, time, dropout, attention=level in attention_levels))
                channels = width
                kept.append(channels)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2))
                kept.append(channels)
        self.middle = nn.ModuleList(
            [
                _Level(channels, channels, time, dropout, attention=True),
                _Level(channels, channels, time, dropout),
            ]
        )
        for level in reversed(range(len(widths))):
            for _ in range(blocks + 1):
                self.up.append(
                    _Level(
                        channels + kept.pop(),
                        widths[level],
                        time,
                        dropout,
                        attention=level in attention_levels,
                    )
                )
                channels = widths[level]
            if level:
                self.up.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.last_norm = _group_norm(channels)
        self.last = nn.Conv2d(channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the output (N, out_channels, H, W) for an image (N, in_channels, H, W) at times (N,) in 0..1."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"ddpm U-Net needs {self.in_channels} input channels, got {tuple(x.shape[1:])} (channels, height, width)"
            )
        time = self.embedding(time_features(time, self.base_filters).to(self.stem.weight.dtype))  # (N, 4 b)
        height, width = x.shape[-2:]
        x = self.stem(pad_to_multiple(x, self.stride))  # (N, b, H', W')
        kept = [x]
        for step in self.down:
            x = step(x, time) if isinstance(step, _Level) else step(functional.pad(x, (0, 1, 0, 1)))
            kept.append(x)
        for step in self.middle:
            x = step(x, time)
        for step in self.up:
            if isinstance(step, _Level):
                x = step(torch.cat([x, kept.pop()], dim=1), time)
            else:
                x = step(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.last(functional.silu(self.last_norm(x)))[..., :height, :width]  # (N, out_channels, H, W)


class _Level(nn.Module):
    """One residual block to which the time is added, and self-attention after it where asked for."""

    def __init__(
        self, in_channels: int, out_channels: int, time_width: int, dropout: float, *, attention: bool = False
    ) -> None:
        super().__init__()
        self.first_norm, self.second_norm = _group_norm(in_channels), _group_norm(out_channels)
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_width, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )
        self.attention = _SelfAttention(out_channels) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return features (N, out_channels, H, W)."""
        h = self.first(functional.silu(self.first_norm(x))) + self.time(time)[:, :, None, None]
        h = self.second(self.dropout(functional.silu(self.second_norm(h))))  # (N, out, H, W)
        return self.attention(self.shortcut(x) + h)  # (N, out, H, W)


class _SelfAttention(nn.Module):
    """Every pixel looks at all others (one head), and adds what it finds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _group_norm(channels)
        self.query, self.key, self.value, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of the input."""
        h = self.norm(x)
        query, key, value = (
            f(h).flatten(2).transpose(1, 2) for f in (self.query, self.key, self.value)
        )  # (N, HW, C)
        found = functional.scaled_dot_product_attention(query, key, value)  # (N, HW, C)
        return x + self.out(found.transpose(1, 2).reshape(x.shape))  # (N, C, H, W)


def _group_norm(channels: int) -> nn.GroupNorm:
    groups = math.gcd(
        GROUPS, channels, max(channels // 4, 1)
    )  # of four channels at least, or the time would not be seen
    return nn.GroupNorm(groups, channels, eps=1e-6)
