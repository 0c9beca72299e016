"""How many clouds a spectrum holds: Gaussian components, fitted to all pixels at once.

Components are added one at a time where the residual is largest; all parameters of all pixels are then
refined together by Levenberg-Marquardt steps (batched linear algebra), and the Bayesian information criterion
says how many a spectrum is worth. The maps may serve as channels of a data set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from astropy import units as u

from polaris_lab.radiative_transfer.moments import noise_map
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.units import positive

_BATCH = 2048


class Components(NamedTuple):
    """Gaussian components, arrays of shape (components, rows, columns), the brightest first, NaN where there is none."""

    amplitude: np.ndarray
    """Peak [K]."""
    centroid: np.ndarray
    """Centre [km/s]."""
    dispersion: np.ndarray
    """Standard deviation [km/s]."""
    number: np.ndarray
    """Number of components, shape (rows, columns), int."""
    residual: np.ndarray
    """Rms of what the components leave [K], shape (rows, columns)."""


def gaussian_components(
    ppv: PPVCube,
    *,
    maximum: int = 4,
    noise: u.Quantity | np.ndarray | None = None,
    threshold: float = 4.0,
    iterations: int = 25,
) -> Components:
    """Decompose every spectrum into Gaussians.

    Parameters
    ----------
    ppv : PPVCube
        With equally spaced channels or not.
    maximum : int
        Most components a spectrum may have.
    noise : Quantity or ndarray, optional
        Rms [K], a number or a map; by default :func:`noise_map`, and at least 1 % of the peak of the cube (a
        cube without noise would be fitted to its last digit).
    threshold : float
        Least peak of a component over the noise.
    iterations : int
        Levenberg-Marquardt steps after each new component.

    Returns
    -------
    Components
        Parameters, their number and what is left.

    Raises
    ------
    ValueError
        If `maximum` is not positive.
    """
    if maximum < 1:
        raise ValueError(f"maximum: expected one component or more, got {maximum}")
    rows, columns = ppv.shape[1:]
    spectra = np.asarray(ppv.data, dtype=np.float64).reshape(ppv.shape[0], -1).T  # (pixels, channels)
    sigma = np.broadcast_to(_noise(ppv, noise), (rows, columns)).ravel()
    parameters = np.full((len(spectra), maximum, 3), np.nan)
    number = np.zeros(len(spectra), int)
    left = np.full(len(spectra), np.nan)
    usable = np.flatnonzero(np.isfinite(spectra).all(1) & np.isfinite(sigma) & (sigma > 0))
    for start in range(0, len(usable), _BATCH):
        some = usable[start : start + _BATCH]
        parameters[some], number[some], left[some] = _decompose(
            spectra[some], ppv.velocity, sigma[some], maximum, threshold, iterations
        )
    maps = parameters.reshape(rows, columns, maximum, 3).transpose(
        3, 2, 0, 1
    )  # (3, components, rows, columns)
    return Components(*maps, number.reshape(rows, columns), left.reshape(rows, columns))


def component_number(ppv: PPVCube, **choices: Any) -> np.ndarray:
    """Return the number of Gaussian components of each spectrum (choices as :func:`gaussian_components`)."""
    return gaussian_components(ppv, **choices).number


def _noise(ppv: PPVCube, noise: Any) -> Any:
    if isinstance(noise, u.Quantity):
        return positive(noise, u.K, "noise") if noise.isscalar else noise.to_value(u.K)
    if noise is not None:
        return np.asarray(noise, dtype=np.float64)
    return np.maximum(noise_map(ppv), 0.01 * float(np.nanmax(np.asarray(ppv.data))))


def _decompose(spectra, velocity, sigma, maximum, threshold, iterations):
    """Add components one at a time, keeping for each pixel the number with the best criterion."""
    pixels, channels = spectra.shape
    step = float(np.diff(velocity).mean())
    best = np.full((pixels, maximum, 3), np.nan)
    number = np.zeros(pixels, int)
    chi2 = np.square(spectra / sigma[:, None]).sum(1)
    criterion = chi2.copy()
    left = np.sqrt(np.square(spectra).mean(1))
    active, current = np.arange(pixels), np.empty((pixels, 0, 3))
    residual = spectra
    for count in range(1, maximum + 1):
        guess = _guess(residual, velocity, step)
        bright = guess[:, 0] > threshold * sigma[active]
        active, current, guess = active[bright], current[bright], guess[bright]
        if not len(active):
            break
        current = np.concatenate([current, guess[:, None]], axis=1)
        current = _refine(spectra[active], velocity, current, iterations, step)
        residual = spectra[active] - _model(velocity, current).sum(1)
        value = np.square(residual / sigma[active][:, None]).sum(1) + 3 * count * np.log(channels)
        good = (current[:, :, 0] > threshold * sigma[active][:, None]).all(1)
        good &= (current[:, :, 2] > 0.3 * step).all(1) & (current[:, :, 2] < np.ptp(velocity)).all(1)
        good &= ((current[:, :, 1] >= velocity[0]) & (current[:, :, 1] <= velocity[-1])).all(1)
        better = good & (value < criterion[active])
        chosen = active[better]
        order = np.argsort(-current[better][:, :, 0], axis=1)
        best[chosen] = np.nan
        best[chosen[:, None], np.arange(count)] = np.take_along_axis(
            current[better], order[..., None], axis=1
        )
        number[chosen], criterion[chosen] = count, value[better]
        left[chosen] = np.sqrt(np.square(residual[better]).mean(1))
        active, current, residual = active[good], current[good], residual[good]
    return best, number, left


def _model(velocity, parameters):
    """Gaussians, shape (pixels, components, channels)."""
    amplitude, centre, width = (parameters[..., i, None] for i in range(3))
    return amplitude * np.exp(-0.5 * np.square((velocity - centre) / width))


def _guess(residual, velocity, step):
    """Peak, place and width of the largest bump of each residual, smoothed over three channels."""
    smooth = residual.copy()
    smooth[:, 1:-1] = (residual[:, :-2] + residual[:, 1:-1] + residual[:, 2:]) / 3
    at = smooth.argmax(1)
    peak = np.take_along_axis(smooth, at[:, None], axis=1)[:, 0]
    above = smooth > 0.5 * peak[:, None]
    channel = np.arange(residual.shape[1])
    right = np.where(~above & (channel > at[:, None]), channel, residual.shape[1]).min(1)
    before = np.where(~above & (channel < at[:, None]), channel, -1).max(1)
    width = np.minimum(right - at, at - before)  # the steeper side, so that a neighbour does not widen it
    return np.stack([peak, velocity[at], np.maximum(width * step / 1.18, 0.6 * step)], axis=-1)


def _refine(spectra, velocity, parameters, iterations, step):
    """Levenberg-Marquardt on all pixels at once."""
    pixels, count = parameters.shape[:2]
    damping = np.full(pixels, 1e-2)
    model = _model(velocity, parameters)
    residual = spectra - model.sum(1)
    cost = np.square(residual).sum(1)
    diagonal = np.arange(3 * count)
    for _ in range(iterations):
        offset = (velocity - parameters[..., 1, None]) / parameters[..., 2, None]
        shape = np.exp(-0.5 * np.square(offset))
        slope = parameters[..., 0, None] / parameters[..., 2, None] * shape * offset
        jacobian = np.stack([shape, slope, slope * offset], axis=2).reshape(pixels, 3 * count, -1)
        normal = jacobian @ jacobian.swapaxes(1, 2)
        force = (jacobian @ residual[..., None])[..., 0]
        scale = normal[:, diagonal, diagonal]
        normal[:, diagonal, diagonal] += damping[:, None] * scale + 1e-9 * (
            scale.max(1, keepdims=True) + 1e-30
        )
        move = np.linalg.solve(normal, force[..., None])[..., 0].reshape(pixels, count, 3)
        trial = parameters + move
        trial[..., 2] = np.clip(trial[..., 2], 0.2 * step, np.ptp(velocity))
        rest = spectra - _model(velocity, trial).sum(1)
        value = np.square(rest).sum(1)
        better = value < cost
        parameters = np.where(better[:, None, None], trial, parameters)
        residual = np.where(better[:, None], rest, residual)
        cost = np.where(better, value, cost)
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-9, 1e9)
    return parameters
