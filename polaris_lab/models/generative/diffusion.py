"""Conditional denoising diffusion, as Xu et al. (2023) used it: the noise in a map is learnt, and taken out step by step."""

from __future__ import annotations

import torch
from torch import Tensor

from polaris_lab.config import did_you_mean
from polaris_lab.models.generative.ddpm_unet import DDPMUNet
from polaris_lab.models.generative.protocol import Field, Generative, normal
from polaris_lab.models.generative.schedulers import (
    check_scheduler,
    library,
    make_scheduler,
    signal_power,
)
from polaris_lab.models.generative.time_unet import TimeUNet
from polaris_lab.models.registry import register_block

NETWORKS = ("time_unet", "ddpm_unet")


@register_block("diffusion")
class Diffusion(Generative):
    """Learn the noise e in x_t = sqrt(alpha-bar_t) y + sqrt(1 - alpha-bar_t) e from x_t, t and the condition.

    Times are antithetic: half of a batch is at t, the other half at T - 1 - t. At each step of a sample the estimate of
    the clean map is clipped to the extent of the training pixels.

    Parameters
    ----------
    in_channels : int
        Channels of the condition.
    channels : int
        Channels of the target.
    layers, base_filters : int
        The network. With "ddpm_unet", `layers` + 1 levels of 1, 2, 3 ... times `base_filters` channels, and
        self-attention in the deepest: Xu's network is 3 and 128.
    network : {"time_unet", "ddpm_unet"}
        A local U-Net (:class:`polaris_lab.models.generative.time_unet.TimeUNet`), or that of the paper
        (:class:`polaris_lab.models.generative.ddpm_unet.DDPMUNet`), whose answers depend on the patch around a pixel.
    scheduler : {"ddim", "ddpm", "dpm_solver"}
        How samples are drawn: see :func:`polaris_lab.models.generative.schedulers.make_scheduler`.
    levels : int
        T.
    beta_start, beta_end : float
        Noise that is added at the first and last level; linear between.
    standardize : {"deviation", "range"}
        See :class:`polaris_lab.models.generative.protocol.Generative`. Xu et al. learn y = 2 u - 1, u the density
        brought to 0..1 in the logarithm: "range", about a baseline that is constant.
    above : tuple of int
        See :class:`polaris_lab.models.generative.protocol.Generative`.

    References
    ----------
    Xu et al. 2023 (ApJ 950, 146); Ho et al. 2020 (arXiv 2006.11239); Song et al. 2021 (arXiv 2010.02502).
    """

    default_steps = 16
    validation_steps = 4

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 1,
        layers: int = 3,
        base_filters: int = 16,
        network: str = "time_unet",
        scheduler: str = "ddim",
        levels: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        standardize: str = "deviation",
        above: tuple[int, ...] = (),
    ) -> None:
        super().__init__(in_channels, channels, standardize, above)
        if network not in NETWORKS:
            raise ValueError(f"network: unknown name {network!r}: {did_you_mean(network, NETWORKS)}")
        check_scheduler(scheduler)
        power = signal_power(levels, beta_start, beta_end)
        self.scheduler = scheduler
        self.schedule = {"levels": levels, "beta_start": beta_start, "beta_end": beta_end}
        self.register_buffer("power", power.float(), persistent=False)
        both = (in_channels + channels, channels)
        if network == "time_unet":
            self.network: TimeUNet | DDPMUNet = TimeUNet(*both, layers, base_filters)
            self.receptive_margin = self.network.receptive_margin
        else:
            self.network = DDPMUNet(
                *both, base_filters, multipliers=tuple(range(1, layers + 2)), attention_levels=(layers,)
            )
            self.receptive_margin, self.local = 8 * self.network.stride, False
        self.stride = self.network.stride

    def check_available(self) -> None:
        """Refuse to work without the library that has the schedulers."""
        library()

    def loss(self, y: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return (e(x_t, t, c) - e)^2 (N, C, H, W) at one random level for each image."""
        noise = normal(y.shape, generator, y)  # (N, C, H, W)
        level = antithetic_levels(len(y), self.schedule["levels"], generator).to(y.device)  # (N,)
        power = self.power[level][:, None, None, None].to(y.dtype)  # (N, 1, 1, 1)
        x = power.sqrt() * y + (1 - power).sqrt() * noise  # (N, C, H, W)
        time = level.to(y.dtype) / self.schedule["levels"]  # (N,)
        return (self.network(torch.cat([x, image], dim=1), time) - noise).square()  # (N, C, H, W)

    def evaluate(self, x: Tensor, time: float, image: Tensor) -> Tensor:
        """Return the noise."""
        return self.network(torch.cat([x, image], dim=1), x.new_full((len(x),), time))  # (N, C, H, W)

    def generate(self, field: Field, noise: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
        """Take the noise out, level by level."""
        return self._descend(self.scheduler, field, noise, steps, generator)

    def centre(self, image: Tensor) -> Tensor:
        """Return where noise 0 comes down to with DDIM: the mean, if the distribution is Gaussian."""
        zero = image.new_zeros(len(image), self.channels, *image.shape[-2:])  # (N, C, H, W)
        if zero.is_meta:  # shapes only: one evaluation shows them, and needs no scheduler
            return self.evaluate(zero, 0.0, image)  # (N, C, H, W)
        steps = min(self.default_steps, self.schedule["levels"])
        return self._descend("ddim", lambda x, time: self.evaluate(x, time, image), zero, steps, None)

    def _descend(
        self, name: str, field: Field, x: Tensor, steps: int, generator: torch.Generator | None
    ) -> Tensor:
        """Follow a scheduler from the last level to the clean map."""
        largest = 1.0 if self.extent.is_meta else float(self.extent)
        scheduler = make_scheduler(name, steps=steps, largest=largest, **self.schedule)
        fresh = {"generator": generator} if name == "ddpm" else {}
        for level in scheduler.timesteps:
            answer = field(x, int(level) / self.schedule["levels"])  # (N, C, H, W)
            x = scheduler.step(answer, level, x, **fresh).prev_sample  # (N, C, H, W)
        return x


def antithetic_levels(count: int, levels: int, generator: torch.Generator) -> Tensor:
    """Return random levels t for half of a batch, and T - 1 - t for the other half.

    Examples
    --------
    >>> levels = antithetic_levels(4, 1000, torch.Generator().manual_seed(0))
    >>> bool((levels[:2] + levels[2:] == 999).all())
    True
    """
    half = torch.randint(levels, (-(-count // 2),), generator=generator)
    return torch.cat([half, levels - 1 - half])[:count]  # (count,)
