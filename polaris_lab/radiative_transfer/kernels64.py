"""Float64 ray kernel: the same scheme with library functions, for references and for checking float32."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_ROOT_PI = math.sqrt(math.pi)


@njit(inline="always")
def _mean_profile(v, near, far, inverse_width):  # pragma: no cover - compiled
    """sqrt(pi) a times the Gaussian profile averaged over velocities from `near` to `far` (near <= far)."""
    step = (far - near) * inverse_width
    x = (0.5 * (near + far) - v) * inverse_width
    if step < 0.02:
        return math.exp(-x * x) * (1.0 + step * step / 24.0 * (4.0 * x * x - 2.0))
    low, high = (near - v) * inverse_width, (far - v) * inverse_width
    if low > 0.5:
        difference = math.erfc(low) - math.erfc(high)
    elif high < -0.5:
        difference = math.erfc(-high) - math.erfc(-low)
    else:
        difference = math.erf(high) - math.erf(low)
    return 0.5 * _ROOT_PI * difference / step


@njit(nogil=True, error_model="numpy", cache=True)
def rays64(
    strength,
    source,
    inverse_width,
    velocity,
    linear,
    channels,
    weights,
    floor,
    inverse_peak,
    out,
    first,
    last,
):  # pragma: no cover - compiled
    """Spectra of rays in float64.

    Parameters
    ----------
    strength, source, inverse_width, velocity : ndarray, shape (depth, rays), float64
        tau0 at the line centre of a cell at one velocity, J(T) - J(T_bg) [K], 1/a [s/km], v [km/s].
    linear : bool
        Velocity linear through each cell, or constant.
    channels : ndarray, shape (channels x samples,), float64
        Sampling velocities [km/s], ascending.
    weights : ndarray, shape (samples,)
        How the samples of one channel are averaged.
    floor, inverse_peak : float
        Optical depth that may be left out of a cell; 1 over the peak of the cube [K^-1].
    out : ndarray, shape (channels, rays)
        Filled with the brightness temperature [K].
    first, last : int
        Rays to work on.
    """
    depth = len(strength)
    samples = weights.size
    for ray in range(first, last):
        spectrum = np.zeros(channels.size)
        for back in range(depth):
            z = depth - 1 - back
            s, j, w, v = strength[z, ray], source[z, ray], inverse_width[z, ray], velocity[z, ray]
            near, far = v, v
            if linear:
                face = 0.5 * (v + velocity[max(z - 1, 0), ray])
                other = 0.5 * (v + velocity[min(z + 1, depth - 1), ray])
                near, far = min(face, other), max(face, other)
            cut = floor / max(abs(j) * inverse_peak, 1.0)
            if s <= cut:
                continue
            reach = math.sqrt(math.log(s / cut)) / w
            for k in range(
                np.searchsorted(channels, near - reach), np.searchsorted(channels, far + reach, side="right")
            ):
                tau = s * _mean_profile(channels[k], near, far, w)
                spectrum[k] += (j - spectrum[k]) * -math.expm1(-tau)
        for k in range(out.shape[0]):
            total = 0.0
            for m in range(samples):
                total += weights[m] * spectrum[k * samples + m]
            out[k, ray] = total
