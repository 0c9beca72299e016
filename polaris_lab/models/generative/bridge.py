"""A Schroedinger bridge: from the baseline of a map, made a little noisy, to maps of density, by many small noisy steps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polaris_lab.models.generative.protocol import Field, Generative, normal, uniform
from polaris_lab.models.generative.time_unet import TimeUNet
from polaris_lab.models.registry import register_block


@register_block("bridge")
class Bridge(Generative):
    """Learn where a Brownian bridge came from: pairs of a density map x_0 and its baseline x_1, and noise between them.

    x_t = (s_b^2 x_0 + s_f^2 x_1) / (s_f^2 + s_b^2) + sqrt(s_f^2 s_b^2 / (s_f^2 + s_b^2)) e, where s_f^2 is the noise
    added from the density to t, and s_b^2 that from t to the baseline. The network learns (x_t - x_0) / s_f from x_t, t and
    the condition. A sample starts at the baseline and steps back by the Gaussian posterior of each step, given the estimate
    of x_0. At t = 1 that estimate is the mean itself: the answer of the forward pass. With few steps the spread is too
    small: by 6 % with 32, by 22 % with 8 (for a Gaussian).

    Parameters
    ----------
    in_channels : int
        Channels of the condition.
    channels : int
        Channels of the target.
    layers, base_filters : int
        The network: see :class:`polaris_lab.models.generative.time_unet.TimeUNet`.
    levels : int
        Times between the two ends.
    beta_max : float
        Sets the noise of one time, times `levels`: its square root rises evenly from 0.1 towards this; the second half of
        the times mirrors the first.
    start_noise : float
        Of the baseline that a sample starts at, in standard deviations of what is learnt.
    standardize : {"deviation", "range"}
        See :class:`polaris_lab.models.generative.protocol.Generative`.
    above : tuple of int
        As there.

    References
    ----------
    Astro-DSB (reference/science.md, section 3.8); Liu et al. 2023 (arXiv 2302.05872).
    """

    default_steps = 32
    validation_steps = 8

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 1,
        layers: int = 3,
        base_filters: int = 16,
        levels: int = 1000,
        beta_max: float = 0.3,
        start_noise: float = 0.1,
        standardize: str = "deviation",
        above: tuple[int, ...] = (),
    ) -> None:
        super().__init__(in_channels, channels, standardize, above)
        if not (start_noise >= 0 and math.isfinite(start_noise)):
            raise ValueError(f"start_noise: expected a number of 0 or more, got {start_noise}")
        self.levels, self.start_noise = levels, start_noise
        self.register_buffer("forward_noise", bridge_noise(levels, beta_max).float(), persistent=False)
        self.network = TimeUNet(in_channels + channels, channels, layers, base_filters)
        self.stride, self.receptive_margin = self.network.stride, self.network.receptive_margin

    def loss(self, y: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the squared error of (x_t - x_0) / s_f (N, C, H, W) at one random time for each image."""
        start = self.start_noise * normal(y.shape, generator, y)  # (N, C, H, W)
        noise = normal(y.shape, generator, y)  # (N, C, H, W)
        level = (uniform(len(y), generator) * self.levels).long().to(y.device)  # (N,)
        forward = self.forward_noise[level][:, None, None, None].to(y.dtype)  # (N, 1, 1, 1)
        share = (forward / self.forward_noise[-1]).square()  # of the start; the rest is of the end
        deviation = forward * (1 - share).clamp(min=0).sqrt()  # (N, 1, 1, 1)
        x = (1 - share) * y + share * start + deviation * noise  # (N, C, H, W)
        time = level.to(y.dtype) / self.levels  # (N,)
        answer = self.network(torch.cat([x, image], dim=1), time)  # (N, C, H, W)
        return (answer - (x - y) / forward).square()  # (N, C, H, W)

    def evaluate(self, x: Tensor, time: float, image: Tensor) -> Tensor:
        """Return (x - x_0) / s_f, as the network sees it."""
        return self.network(torch.cat([x, image], dim=1), x.new_full((len(x),), time))  # (N, C, H, W)

    def generate(self, field: Field, noise: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
        """Step back from the baseline, made noisy, to the density."""
        places = torch.linspace(self.levels - 1, 0, min(steps, self.levels) + 1).round().long()[:-1].tolist()
        x = self.start_noise * noise  # (N, C, H, W)
        for number, level in enumerate(places):
            now = float(self.forward_noise[level])
            clean = x - now * field(x, level / self.levels)  # (N, C, H, W)
            if number == len(places) - 1:
                return clean
            before = float(self.forward_noise[places[number + 1]])
            x = back(x, clean, now, before, normal(x.shape, generator, x))  # (N, C, H, W)
        return x

    def centre(self, image: Tensor) -> Tensor:
        """Return the mean: the estimate of the density at the baseline itself."""
        zero = image.new_zeros(len(image), self.channels, *image.shape[-2:])  # (N, C, H, W)
        answer = self.evaluate(zero, (self.levels - 1) / self.levels, image)  # (N, C, H, W)
        return -self.forward_noise[-1].to(answer.dtype) * answer  # (N, C, H, W)


def bridge_noise(levels: int = 1000, beta_max: float = 0.3) -> Tensor:
    """Return s_f (levels,), float64: the square root of the noise added from the density up to each time.

    Raises
    ------
    ValueError
        If there are fewer than 4 levels, or the noise is not positive and finite.

    Examples
    --------
    >>> round(float(bridge_noise()[-1]), 3)
    0.376
    """
    if levels < 4:
        raise ValueError(f"levels: expected a whole number of at least 4, got {levels}; 1000 are usual")
    if not (beta_max > 0 and math.isfinite(beta_max)):
        raise ValueError(f"beta_max: expected a positive number, got {beta_max}; 0.3 is usual")
    low, high = (min(0.1, beta_max) / levels) ** 0.5, (beta_max / levels) ** 0.5
    half = torch.linspace(low, high, levels, dtype=torch.float64)[: levels - levels // 2].square()
    beta = torch.cat([half[: levels // 2], half.flip(0)])  # (levels,), the same from both ends
    return beta.cumsum(0).sqrt()  # (levels,)


def back(x: Tensor, clean: Tensor, now: float, before: float, noise: Tensor) -> Tensor:
    """Return a draw of the bridge at an earlier time, given where it is and where it came from.

    Parameters
    ----------
    x, clean : Tensor
        The bridge at this time, and its end x_0.
    now, before : float
        s_f of this time and of the earlier one.
    noise : Tensor
        Standard normal.

    Examples
    --------
    >>> one = torch.ones(1)
    >>> round(float(back(one, 0 * one, 0.5, 0.25, 0 * one)), 4)  # a quarter of the way in s_f^2
    0.25
    """
    share = (before / now) ** 2
    return share * x + (1 - share) * clean + before * math.sqrt(1 - share) * noise
