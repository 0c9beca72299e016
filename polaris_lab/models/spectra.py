"""What a network is shown of a line cube (N, V, H, W) [K]: moments, a learned projection, features of each spectrum.

Spectra are first moved so that the mean velocity of the surroundings lies in the middle channel: the motion of
a cloud as a whole (v_LSR) is no information on its density, and a network must not depend on it.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.registry import register_block


class _OfSpectra(nn.Module):
    """A block that takes line cubes of a fixed number of channels."""

    name: str

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        if in_channels < 2:
            raise ValueError(f"in_channels: expected at least 2 velocity channels, got {in_channels}")
        self.in_channels = in_channels

    def check(self, x: Tensor) -> None:
        """Raise ValueError unless a cube has the velocity channels of this block."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"{self.name} needs {self.in_channels} velocity channels (V, height, width), got "
                f"{tuple(x.shape[1:])}; set in_channels={x.shape[1]}, or bring the cube to the model's velocity axis"
            )


@register_block("centre_spectra")
class CentreSpectra(_OfSpectra):
    """Spectra moved so that the mean velocity around each pixel lies in the middle channel; 0 where unknown.

    The mean is weighted by the square of the (positive) brightness temperature, which keeps noise out, and by a
    Gaussian of fixed width on the sky: it does not depend on tiles. What differs from pixel to pixel within the
    window stays. Between channels the temperature is interpolated linearly; beyond the band it is 0.

    Parameters
    ----------
    in_channels : int
        Velocity channels.
    scale : float
        Standard deviation of the Gaussian [pixels]; its window ends at twice it.
    """

    name = "centre_spectra"

    def __init__(self, in_channels: int = 16, scale: float = 16.0) -> None:
        super().__init__(in_channels)
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale: expected a positive number of pixels, got {scale}")
        self.receptive_margin = max(math.ceil(2 * scale), 1)
        offset = torch.arange(-self.receptive_margin, self.receptive_margin + 1).double()
        weight = torch.exp(-0.5 * (offset / scale) ** 2)
        self.register_buffer("window", (weight / weight.sum()).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the moved spectra (N, V, H, W)."""
        self.check(x)
        x = torch.where(torch.isfinite(x).all(dim=1, keepdim=True), x, 0.0)  # (N, V, H, W)
        channel = torch.arange(self.in_channels, device=x.device, dtype=x.dtype)[:, None, None]  # (V, 1, 1)
        weight = x.clamp(min=0) ** 2
        middle = (self.in_channels - 1) / 2
        sums = torch.cat(
            [weight.sum(1, keepdim=True), (weight * (channel - middle)).sum(1, keepdim=True)], dim=1
        )  # (N, 2, H, W)
        total, moment = self._smooth(sums).split(1, dim=1)
        shift = torch.where(total > 0, moment / total.clamp(min=torch.finfo(x.dtype).tiny), 0.0)
        whole = shift.floor()
        share = shift - whole  # (N, 1, H, W)
        read = self._read(x, whole)  # (N, V + 1, H, W)
        return read[:, :-1] * (1 - share) + read[:, 1:] * share  # (N, V, H, W)

    def _read(self, x: Tensor, shift: Tensor) -> Tensor:
        """Return the spectra from channel `shift` on, one channel more than there are, 0 beyond the band."""
        index = torch.arange(1, self.in_channels + 2, device=x.device)[:, None, None] + shift.long()
        padded = functional.pad(x, (0, 0, 0, 0, 1, 1))  # (N, V + 2, H, W)
        return padded.gather(1, index.clamp(0, self.in_channels + 1))

    def _smooth(self, x: Tensor) -> Tensor:
        """Return the Gaussian mean of maps, with nothing beyond the border."""
        window = self.window.to(x.dtype)
        count, channels, height, width = x.shape
        x = x.reshape(-1, 1, height, width)
        kind = x.device.type  # bfloat16 would move spectra by a tenth of a channel
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            x = functional.conv2d(x, window[None, None, :, None], padding=(self.receptive_margin, 0))
            x = functional.conv2d(x, window[None, None, None, :], padding=(0, self.receptive_margin))
        return x.reshape(count, channels, height, width)


@register_block("spectral_moments")
class SpectralMoments(_OfSpectra):
    """Integrated intensity, centroid (from the middle of the band), dispersion and peak of each spectrum.

    As :func:`polaris_lab.radiative_transfer.moments.moments` has them: NaN where they are not defined.

    Parameters
    ----------
    in_channels : int
        Velocity channels.
    channel_width : float
        [km/s].
    """

    name = "spectral_moments"

    def __init__(self, in_channels: int = 16, channel_width: float = 1.0) -> None:
        super().__init__(in_channels)
        if not (channel_width > 0 and math.isfinite(channel_width)):
            raise ValueError(f"channel_width: expected a positive number of km/s, got {channel_width}")
        self.channel_width = channel_width

    def forward(self, x: Tensor) -> Tensor:
        """Return the four maps (N, 4, H, W): [K km/s], [km/s], [km/s], [K]."""
        self.check(x)
        velocity = torch.arange(self.in_channels, device=x.device, dtype=x.dtype)[:, None, None]  # (V, 1, 1)
        velocity = (velocity - (self.in_channels - 1) / 2) * self.channel_width
        zero = x.sum(dim=1, keepdim=True)  # (N, 1, H, W)
        shining = torch.where(zero > 0, zero, torch.nan)
        centroid = (x * velocity).sum(dim=1, keepdim=True) / shining
        variance = (x * (velocity - centroid) ** 2).sum(dim=1, keepdim=True) / shining
        dispersion = torch.where(variance >= 0, variance, torch.nan).sqrt()
        peak = x.amax(dim=1, keepdim=True)
        return torch.cat([zero * self.channel_width, centroid, dispersion, peak], dim=1)  # (N, 4, H, W)


@register_block("spectral_projection")
class SpectralProjection(_OfSpectra):
    """A learned 1x1 projection along the velocity axis: each feature is a weighted sum of all channels.

    Parameters
    ----------
    in_channels : int
        Velocity channels.
    out_channels : int
        Features.

    References
    ----------
    Report, section 7.2.
    """

    name = "spectral_projection"

    def __init__(self, in_channels: int = 16, out_channels: int = 1) -> None:
        super().__init__(in_channels)
        self.project = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, out_channels, H, W)."""
        self.check(x)
        return self.project(x)  # (N, out_channels, H, W)


@register_block("spectral_encoder")
class SpectralEncoder(_OfSpectra):
    """Features of each spectrum on its own: two 1D convolutions along the velocity axis, then a projection.

    Parameters
    ----------
    in_channels : int
        Velocity channels.
    out_channels : int
        Features, 16 to 32.
    hidden : int
        Channels of the first convolution; the second has twice as many.

    References
    ----------
    reference/science.md, section 3.11: about V/10 times cheaper than a 3D network.
    """

    name = "spectral_encoder"

    def __init__(self, in_channels: int = 16, out_channels: int = 16, hidden: int = 8) -> None:
        super().__init__(in_channels)
        for setting, value in (("out_channels", out_channels), ("hidden", hidden)):
            if value < 1:
                raise ValueError(f"{setting}: expected a whole number of at least 1, got {value}")
        along = {"kernel_size": (5, 1), "stride": (2, 1), "padding": (2, 0)}
        self.first = nn.Conv2d(1, hidden, **along)
        self.second = nn.Conv2d(hidden, 2 * hidden, **along)
        steps = -(-in_channels // 4)  # halved twice, rounded up
        self.last = nn.Conv2d(2 * hidden * steps, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, out_channels, H, W)."""
        self.check(x)
        height, width = x.shape[-2:]
        x = x.flatten(2)[:, None]  # (N, 1, V, H W)
        x = functional.relu(self.first(x))  # (N, hidden, V/2, H W)
        x = functional.relu(self.second(x))  # (N, 2 hidden, V/4, H W)
        x = x.flatten(1, 2).unflatten(2, (height, width))  # (N, 2 hidden V/4, H, W)
        return functional.relu(self.last(x))  # (N, out_channels, H, W)
