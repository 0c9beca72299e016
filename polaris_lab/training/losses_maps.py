"""Losses of point answers: log10 maps against log10 maps (N, 1, H, W), one number per image (N,).

Pixels whose target is NaN have no weight.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polaris_lab.training.losses import image_mean, register_loss, residual

PIVOT = 3.0
"""log10 of the density [cm^-3] at which the weight of "density_weighted" is 1."""


@register_loss("huber")
def huber(predicted: Tensor, target: Tensor, delta: float = 0.3) -> Tensor:
    """Square of small residuals, straight line beyond: e^2 for abs(e) < delta, else delta (2 abs(e) - delta).

    Twice the usual form, so that it equals "mse" where all residuals are small.

    Parameters
    ----------
    predicted, target : Tensor, shape (N, 1, H, W)
        log10 maps.
    delta : float
        Where the line begins [dex].

    References
    ----------
    Huber 1964, Annals of Mathematical Statistics 35, 73.

    Examples
    --------
    >>> huber(torch.tensor([[[[0.1, 1.0]]]]), torch.zeros(1, 1, 1, 2), 0.5)
    tensor([0.3800])
    """
    size = residual(predicted, target).abs()
    return image_mean(torch.where(size < delta, size**2, delta * (2 * size - delta)), target)


@register_loss("density_weighted")
def density_weighted(predicted: Tensor, target: Tensor, exponent: float = 0.25) -> Tensor:
    """Mean square residual with the weight w = (n / 1000 cm^-3)^exponent of the true density n.

    Dense gas is rare, so a plain mean cares for diffuse gas. The report warns that the weight spoils the diffuse
    part (a dense background everywhere); keep the exponent small.

    Parameters
    ----------
    predicted, target : Tensor, shape (N, 1, H, W)
        log10 of the density.
    exponent : float
        alpha of w ~ n^alpha; with 0 it is "mse".

    References
    ----------
    Report, eq. 15.

    Examples
    --------
    >>> density_weighted(torch.tensor([[[[3.1, 5.1]]]]), torch.tensor([[[[3.0, 5.0]]]]), 0.5)
    tensor([0.0550])
    """
    weight = 10 ** (exponent * (torch.nan_to_num(target, nan=PIVOT) - PIVOT))
    return image_mean(weight * residual(predicted, target) ** 2, target)


@register_loss("gradient")
def gradient(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the slopes along x and along y [dex per pixel], added: edges and filaments.

    It does not see the level: use it in a sum, as "mse + 0.5*gradient".

    Examples
    --------
    >>> step = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    >>> gradient(step, torch.zeros_like(step)), gradient(step + 5, step)
    (tensor([1.]), tensor([0.]))
    """
    error = predicted - target  # NaN where the target is
    total = torch.zeros(len(error), device=error.device, dtype=error.dtype)
    for axis in (-2, -1):
        if error.shape[axis] > 1:
            slope = torch.diff(error, dim=axis)
            valid = ~torch.isnan(slope)
            size = torch.where(valid, slope, torch.zeros_like(slope)).abs().flatten(1).sum(dim=1)
            total = total + size / valid.flatten(1).sum(dim=1).clamp(min=1)
    return total  # (N,)


@register_loss("spectral")
def spectral(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over scales of abs(log10 P_predicted(k) - log10 P_target(k)): networks blur, this asks for detail.

    P(k) is the power spectrum of a log map after a Hann window, averaged over rings one wavenumber wide, from
    k = 1 to the Nyquist frequency. It does not see where structures are: use it in a sum, as
    "mse + 0.02*spectral". Pixels without a target are given the image's mean in both maps.

    Raises
    ------
    ValueError
        If an image is smaller than 4 pixels.
    """
    blank = torch.isnan(target)
    maps = []
    for values in (predicted, target):
        level = image_mean(torch.where(blank, torch.zeros_like(values), values), target)[:, None, None, None]
        maps.append(torch.where(blank, torch.zeros_like(values), values - level))  # no mean, 0 where blank
    logs = [torch.log10(_ring_power(values.float()) + 1e-12) for values in maps]
    return (logs[0] - logs[1]).abs().mean(dim=1)  # (N,)


def _ring_power(images: Tensor) -> Tensor:
    """Return the power of images (N, 1, H, W) per pixel, averaged over rings of wavenumber, (N, rings)."""
    height, width = images.shape[-2:]
    if min(height, width) < 4:
        raise ValueError(f"spectral: expected images of at least 4 pixels, got {height} x {width}")
    options = {"periodic": False, "device": images.device}
    window = torch.hann_window(height, **options)[:, None] * torch.hann_window(width, **options)
    power = torch.fft.fft2(images * window).abs().square() / (height * width)  # (N, 1, H, W)
    side = min(height, width)
    ky = torch.fft.fftfreq(height, device=images.device)[:, None] * side
    kx = torch.fft.fftfreq(width, device=images.device) * side
    ring = torch.sqrt(ky**2 + kx**2).round().long().flatten()  # (H W,)
    rings = side // 2
    wanted = (ring >= 1) & (ring <= rings)
    weight = functional.one_hot(ring[wanted] - 1, rings).to(power.dtype)  # (pixels, rings)
    return power.flatten(1)[:, wanted] @ (weight / weight.sum(dim=0))  # (N, rings)
