"""Conditional flow matching: a velocity field that carries Gaussian noise to maps of density, in 4 to 8 steps."""

from __future__ import annotations

import torch
from torch import Tensor

from polaris_lab.models.generative.protocol import Field, Generative, normal, uniform
from polaris_lab.models.generative.time_unet import TimeUNet
from polaris_lab.models.registry import register_block


@register_block("flow_matching")
class FlowMatching(Generative):
    """Learn v(x_t, t, c) = E[y - e | x_t] along straight lines x_t = (1 - t) e + t y from noise e to residual y.

    A sample follows dx/dt = v from t = 0 to 1 in Euler steps. The mean of many samples is the L2-optimal map; fewer
    than 8 steps make their spread too small (science.md 4.3). At t = 0 the velocity is E[y] - e: a single step gives
    the mean itself, which is the answer of the forward pass.

    Parameters
    ----------
    in_channels : int
        Channels of the condition.
    channels : int
        Channels of the target.
    layers, base_filters : int
        The network: see :class:`polaris_lab.models.generative.time_unet.TimeUNet`.
    standardize : {"deviation", "range"}
        See :class:`polaris_lab.models.generative.protocol.Generative`.
    above : tuple of int
        As there.

    References
    ----------
    Lipman et al. 2023 (arXiv 2210.02747).
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 1,
        layers: int = 3,
        base_filters: int = 16,
        standardize: str = "deviation",
        above: tuple[int, ...] = (),
    ) -> None:
        super().__init__(in_channels, channels, standardize, above)
        self.network = TimeUNet(in_channels + channels, channels, layers, base_filters)
        self.stride, self.receptive_margin = self.network.stride, self.network.receptive_margin

    def loss(self, y: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return (v(x_t, t, c) - (y - e))^2 (N, C, H, W) at one random time for each image."""
        noise = normal(y.shape, generator, y)  # (N, C, H, W)
        time = uniform(len(y), generator).to(y)  # (N,)
        share = time[:, None, None, None]  # (N, 1, 1, 1)
        x = (1 - share) * noise + share * y  # (N, C, H, W)
        return (self.network(torch.cat([x, image], dim=1), time) - (y - noise)).square()  # (N, C, H, W)

    def evaluate(self, x: Tensor, time: float, image: Tensor) -> Tensor:
        """Return the velocity."""
        return self.network(torch.cat([x, image], dim=1), x.new_full((len(x),), time))  # (N, C, H, W)

    def generate(self, field: Field, noise: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
        """Follow the velocity from the noise in equal steps."""
        return integrate(field, noise, steps)

    def centre(self, image: Tensor) -> Tensor:
        """Return the mean: one step from noise 0."""
        zero = image.new_zeros(len(image), self.channels, *image.shape[-2:])  # (N, C, H, W)
        return self.evaluate(zero, 0.0, image)  # (N, C, H, W)


def integrate(field: Field, x: Tensor, steps: int) -> Tensor:
    """Follow dx/dt = field(x, t) from t = 0 to 1 in Euler steps of equal length.

    Examples
    --------
    >>> integrate(lambda x, time: torch.full_like(x, 3.0), torch.zeros(1, 1, 1, 1), 4).item()
    3.0
    """
    for step in range(steps):
        x = x + field(x, step / steps) / steps  # (N, C, H, W)
    return x
