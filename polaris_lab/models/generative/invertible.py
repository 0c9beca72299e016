"""A conditional invertible network: the posterior of each line of sight, given what the map shows around it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polaris_lab.config import did_you_mean
from polaris_lab.models.generative.coupling import Coupling
from polaris_lab.models.generative.protocol import Field, Generative
from polaris_lab.models.generative.time_unet import TimeUNet
from polaris_lab.models.registry import register_block

COUPLINGS = ("spline", "affine")


@register_block("invertible")
class Invertible(Generative):
    """Map the residual of each pixel to Gaussian numbers and back, by couplings that its surroundings shape.

    A U-Net makes a few features of the condition in each pixel. Given them, an invertible map takes the D numbers of
    that pixel's line of sight (one: log density; two: mean and maximum; or a short vector along z) to D independent
    Gaussian ones. Training maximises the likelihood, which is exact; a sample is the map's inverse of noise. Pixels are
    drawn independently given the features: single samples are posterior draws for a line of sight, not clouds.

    Parameters
    ----------
    in_channels : int
        Channels of the condition.
    channels : int
        D.
    layers, base_filters : int
        The network of the features: see :class:`polaris_lab.models.generative.time_unet.TimeUNet`.
    features : int
        Numbers in each pixel that shape the couplings.
    couplings : int
        Steps of the invertible map.
    coupling : {"spline", "affine"}
        Curve of a step. With one number, affine ones can only make a Gaussian.
    bins : int
        Of a spline.
    standardize : {"deviation", "range"}
        See :class:`polaris_lab.models.generative.protocol.Generative`.
    above : tuple of int
        As there.

    References
    ----------
    Ksoll et al. 2024 (A&A 683, A246); Ardizzone et al. 2019 (arXiv 1907.02392); Durkan et al. 2019 (arXiv 1906.04032).
    """

    default_steps = 1
    validation_steps = 1

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 1,
        layers: int = 2,
        base_filters: int = 16,
        features: int = 16,
        couplings: int = 4,
        coupling: str = "spline",
        bins: int = 8,
        standardize: str = "deviation",
        above: tuple[int, ...] = (),
    ) -> None:
        super().__init__(in_channels, channels, standardize, above)
        for name, value in (("features", features), ("couplings", couplings)):
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        if coupling not in COUPLINGS:
            raise ValueError(f"coupling: unknown name {coupling!r}: {did_you_mean(coupling, COUPLINGS)}")
        if not 2 <= bins <= 100:
            raise ValueError(f"bins: expected 2 to 100, got {bins}; 8 are usual")
        if channels > 1 and couplings < 2:
            raise ValueError(
                f"couplings: expected at least 2 for {channels} channels, each maps one half, got 1"
            )
        self.network = TimeUNet(in_channels, features, layers, base_filters, timed=False)
        self.steps = nn.ModuleList(
            Coupling(channels, features, 2 * features, coupling, bins, flip=bool(step % 2))
            for step in range(couplings)
        )
        self.stride, self.receptive_margin = self.network.stride, self.network.receptive_margin

    def to_noise(self, y: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return Gaussian numbers (..., D) for residuals (..., D) given features (..., F), and the log determinant (...)."""
        total = y.new_zeros(y.shape[:-1])  # (...)
        for step in self.steps:
            y, logarithm = step(y, features)
            total = total + logarithm
        return y, total

    def from_noise(self, z: Tensor, features: Tensor) -> Tensor:
        """Return the inverse of :meth:`to_noise`: residuals (..., D) for Gaussian numbers."""
        for step in reversed(self.steps):
            z, _ = step(z, features, inverse=True)
        return z

    def log_density(self, y: Tensor, image: Tensor) -> Tensor:
        """Return the logarithm of the probability density of a residual (N, C, H, W) in each pixel (N, H, W)."""
        z, logarithm = self.to_noise(y.movedim(1, -1), self._features(image))  # (N, H, W, C), (N, H, W)
        return (
            logarithm - 0.5 * z.square().sum(dim=-1) - 0.5 * self.channels * math.log(2 * math.pi)
        )  # (N, H, W)

    def loss(self, y: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the negative log likelihood (N, 1, H, W)."""
        return -self.log_density(y, image)[:, None]  # (N, 1, H, W)

    def evaluate(self, x: Tensor, time: float, image: Tensor) -> Tensor:
        """Return the residuals for Gaussian numbers; there is no time."""
        return self.from_noise(x.movedim(1, -1), self._features(image)).movedim(-1, 1)  # (N, C, H, W)

    def generate(self, field: Field, noise: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
        """Return the inverse of the noise, in one step."""
        if steps != 1:
            raise ValueError(
                f"steps: expected 1 (an invertible network needs no more), got {steps}; leave it out"
            )
        return field(noise, 0.0)  # (N, C, H, W)

    def centre(self, image: Tensor) -> Tensor:
        """Return the inverse of noise 0: the median, of one number."""
        zero = image.new_zeros(len(image), self.channels, *image.shape[-2:])  # (N, C, H, W)
        return self.evaluate(zero, 0.0, image)  # (N, C, H, W)

    def _features(self, image: Tensor) -> Tensor:
        return self.network(image).movedim(1, -1)  # (N, H, W, F)
