"""The local contrast of a map: what makes a network scale-equivariant and its answer free of the tiling."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polaris_lab.models.fitting import CHUNK, FittedBlock, mean_and_deviation, usable
from polaris_lab.models.registry import register_block


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
        # Read back: torch.compile (2.13) writes the answer over an x that it has put into the stack, and frees that.
        x = both[0]  # (N, C, H, W)
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
        offset = np.arange(self.block + 2 * self.receptive_margin)[:, None] - np.arange(self.block)[None, :]
        offset = offset - self.receptive_margin  # (B + 2 margin, B): from each output pixel
        weight = np.exp(-0.5 * (offset / scale) ** 2)
        weight = np.where(np.abs(offset) <= self.receptive_margin, weight, 0.0)
        window = torch.empty(
            weight.shape
        )  # on the meta device, where shapes are checked, there are no numbers
        if not window.is_meta:
            window.copy_(torch.from_numpy((weight / weight[:, 0].sum()).astype(np.float32)))
        return window  # (B + 2 margin, B)

    def fit(self, x: Tensor, *, target: Tensor) -> None:
        """Take the standard deviation of the contrast."""
        self.deviation.fill_(1.0)
        contrast = torch.cat([self(part.double()).to(x.dtype) for part in x.split(CHUNK)])  # (N, C, H, W)
        _, deviation = mean_and_deviation(torch.where(torch.isfinite(x), contrast, torch.nan))
        self.set_constants(deviation=usable(deviation, "contrast"))


register_block("local_difference")(
    LocalContrast
)  # of other quantities: "local_contrast" says it is that of log N
