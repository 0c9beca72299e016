"""Radiative transfer in torch: any device, and differentiable.

The same equations as the numba kernels, all channels of a slab of cells at a time. Use it on a GPU through
``synthesize_ppv(..., backend="torch", device="cuda")``, or :func:`brightness_temperature` where a gradient with
respect to density, temperature or velocity is wanted, as a layer of a network or in a fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.lte import CMB_TEMPERATURE, KM, thermal_coefficient
from polaris_lab.radiative_transfer.rays import Census
from polaris_lab.radiative_transfer.solve import Gas, Scheme, sampling
from polaris_lab.units import SPEED_OF_LIGHT

_SERIES = ((1.0, 1), (2.0, 3), (16 / 24, 5), (64 / 720, 7), (256 / 40320, 9), (1024 / 3628800, 11))


def brightness_temperature(
    density: Tensor,
    temperature: Tensor,
    velocity: Tensor,
    *,
    line: Line,
    channels: Tensor,
    cell_cm: float,
    abundance: Tensor | float,
    dispersion: Tensor | float = 0.0,
    linear: bool = True,
    background: float = CMB_TEMPERATURE,
) -> Tensor:
    """Spectra of rays, differentiable with respect to every tensor.

    Parameters
    ----------
    density, temperature, velocity : Tensor, shape (depth, *rays)
        n_H [cm^-3], T [K], v [km/s] (positive recedes); index 0 is nearest to the observer.
    line : Line
        The transition.
    channels : Tensor, shape (channels,)
        Sampling velocities [km/s].
    cell_cm : float
        Length of a cell along the ray [cm].
    abundance : Tensor or float
        Molecules per hydrogen nucleus.
    dispersion : Tensor or float
        1D dispersion of unresolved motion [km/s].
    linear : bool
        Velocity linear through each cell, or constant.
    background : float
        Temperature behind the cloud [K]; 0 for none.

    Returns
    -------
    Tensor, shape (channels, *rays)
        Rayleigh-Jeans brightness temperature, background subtracted [K], on the device and in the dtype of
        the density.

    Examples
    --------
    >>> gas = torch.full((8, 2), 1e3, dtype=torch.float64, requires_grad=True)
    >>> still = torch.zeros(8, 2, dtype=torch.float64)
    >>> spectrum = brightness_temperature(
    ...     gas, still + 10, still, line=Line.named("13CO"), channels=still[:1, 0], cell_cm=1e17, abundance=1.4e-6
    ... )
    >>> spectrum.sum().backward()
    >>> bool((gas.grad > 0).all())
    True
    """
    inverse_width = torch.rsqrt(2 * _square(dispersion) + thermal_coefficient(line) * temperature)
    strength = density * abundance * (cell_cm / np.sqrt(np.pi)) * _opacity(line, temperature) * inverse_width
    source = _equivalent(line, temperature)
    if background > 0:
        source = source - _equivalent(line, torch.as_tensor(background, dtype=torch.float64)).item()
    samples = channels.reshape(-1, *[1] * (density.ndim - 1))  # (channels, 1, ...)
    faces = torch.cat(
        [velocity[:1], 0.5 * (velocity[1:] + velocity[:-1]), velocity[-1:]]
    )  # (depth + 1, *rays)
    brightness = torch.zeros(
        (len(channels), *density.shape[1:]), dtype=density.dtype, device=density.device
    )  # (channels, *rays)
    for z in reversed(range(len(density))):
        if linear:
            profile = _mean_profile(samples, faces[z], faces[z + 1], inverse_width[z])
        else:
            profile = torch.exp(-_square((samples - velocity[z]) * inverse_width[z]))
        absorbed = -torch.expm1(-strength[z] * profile)
        brightness = brightness + (source[z] - brightness) * absorbed
    return brightness


def _square(value: Any) -> Any:
    return value * value


def _opacity(line: Line, temperature: Tensor) -> Tensor:
    """Integrated optical depth per molecule [km s^-1 cm^2], with the shape of the temperature."""
    partition = torch.zeros_like(temperature)
    for weight, energy in zip(line.level_weights, line.level_temperatures, strict=True):
        partition = partition + weight * torch.exp(-energy / temperature)
    constant = SPEED_OF_LIGHT**3 * line.einstein_a / (8 * np.pi * line.rest_frequency_hz**3) / KM
    lower = torch.exp(-line.level_temperatures[line.lower] / temperature) / partition
    emitted = -torch.expm1(-line.transition_temperature / temperature)
    return constant * line.level_weights[line.upper] * lower * emitted


def _equivalent(line: Line, temperature: Tensor) -> Tensor:
    """J(T) [K]."""
    return line.transition_temperature / torch.expm1(line.transition_temperature / temperature)


def _mean_profile(samples: Tensor, near: Tensor, far: Tensor, inverse_width: Tensor) -> Tensor:
    """Gaussian profile averaged over velocities from face to face, times sqrt(pi) a.

    Both branches are finite everywhere, so that the gradient of the one not taken is no NaN.
    """
    step = (far - near) * inverse_width
    x = (0.5 * (near + far) - samples) * inverse_width
    limit = 0.8 if step.dtype != torch.float64 else 0.05
    gentle = step.abs() < limit
    safe = torch.where(gentle, torch.ones_like(step), step)
    steep = (0.5 * np.sqrt(np.pi)) * (torch.erf(x + 0.5 * step) - torch.erf(x - 0.5 * step)) / safe
    q = torch.where(gentle, 0.25 * step * step, torch.zeros_like(step))
    square = x * x
    series = torch.zeros_like(square)
    for k, (factor, odd) in reversed(list(enumerate(_SERIES))):
        moment = sum((-q) ** m / (float(np.prod(range(1, m + 1))) * (odd + 2 * m)) for m in range(6))
        series = series * square + factor * q**k * moment
    return torch.where(gentle, torch.exp(-square) * series, steep.clamp_min(0.0))


class TorchSolver:
    """Solve blocks of rays on a device; stands in for :func:`polaris_lab.radiative_transfer.solve.solve`."""

    def __init__(self, device: Any = None) -> None:
        self.device = torch.device(device or "cpu")

    @torch.no_grad()
    def __call__(self, task: tuple[Scheme, Gas]) -> tuple[list[np.ndarray], Census]:
        """Return the spectra of a block, one array (channels, rays) a line, and its census."""
        scheme, gas = task
        census, samples = sampling(scheme, gas)
        dtype = getattr(torch, scheme.precision)

        def tensor(values: Any) -> Any:
            return (
                torch.as_tensor(values, dtype=dtype, device=self.device) if np.ndim(values) else float(values)
            )

        density, temperature, velocity = (
            tensor(values) for values in (gas.density, gas.temperature, gas.velocity)
        )
        spectra = []
        for line, abundance, (points, weights) in zip(scheme.lines, gas.abundances, samples, strict=True):
            fine = brightness_temperature(
                density,
                temperature,
                velocity,
                line=line,
                channels=tensor(points),
                cell_cm=scheme.cell_cm,
                abundance=tensor(abundance),
                dispersion=tensor(gas.dispersion),
                linear=scheme.linear,
                background=scheme.background,
            )
            mean = torch.einsum(
                "kmr,m->kr", fine.reshape(len(scheme.channels), len(weights), -1), tensor(weights)
            )
            spectra.append(mean.cpu().numpy())
        return spectra, census
