"""Random fields on a periodic grid: Gaussian velocities with a chosen spectrum, and a chosen density PDF."""

from __future__ import annotations

import math

import numpy as np
from scipy import fft, special

LARGEST_LOG_CONTRAST = 7.0
"""ln(n/<n>) where the power-law tail of :func:`density_quantiles` ends."""


def wave_numbers(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the integer wave numbers (kz, ky, kx) of a real transform of (size, size, size), broadcastable."""
    whole = np.rint(np.fft.fftfreq(size) * size).astype(np.float32)
    half = np.arange(size // 2 + 1, dtype=np.float32)
    return whole[:, None, None], whole[None, :, None], half[None, None, :]


def random_velocity(
    rng: np.random.Generator,
    size: int,
    *,
    compressive_fraction: float,
    slope: float = -4.0,
    largest_wave_number: float | None = None,
    workers: int = 1,
) -> np.ndarray:
    """Draw a periodic Gaussian velocity with a power-law spectrum and a given share of compression.

    Parameters
    ----------
    rng : Generator
        Source of the noise; the same state gives the same field whatever `workers` is.
    size : int
        Cells along each side, n.
    compressive_fraction : float
        Share of the power in curl-free motion, 0 to 1; the rest is free of divergence.
    slope : float
        Of the 3D power spectrum, P(k) ~ k^slope.
    largest_wave_number : float, optional
        Only |k| below it (box lengths per wave); by default all up to the Nyquist wave number.
    workers : int
        Threads of the Fourier transforms.

    Returns
    -------
    ndarray, shape (3, n, n, n), float32
        Components along z, y, x with zero mean and mean(v_z^2 + v_y^2 + v_x^2) = 1.

    Examples
    --------
    >>> v = random_velocity(np.random.default_rng(0), 16, compressive_fraction=0.3)
    >>> print(v.shape, round(float((v**2).sum(0).mean()), 4))
    (3, 16, 16, 16) 1.0
    """
    k = wave_numbers(size)
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    kept = (squared > 0) & (np.maximum(np.maximum(abs(k[0]), abs(k[1])), k[2]) < size / 2)
    if largest_wave_number is not None:
        kept &= squared < largest_wave_number**2
    safe = np.where(squared > 0, squared, 1.0)
    shape = np.where(kept, safe ** (slope / 4), 0.0).astype(np.float32)
    modes = np.empty((3, *shape.shape), np.complex64)  # (3, n, n, n/2+1)
    for component in range(3):
        noise = rng.standard_normal((size, size, size), dtype=np.float32)
        modes[component] = fft.rfftn(noise, workers=workers) * shape
    along = (k[0] * modes[0] + k[1] * modes[1] + k[2] * modes[2]) / safe
    velocity = np.zeros((3, size, size, size), np.float32)
    compressive = [k[i] * along for i in range(3)]
    for part, share in (
        (compressive, compressive_fraction),
        ([modes[i] - compressive[i] for i in range(3)], 1.0 - compressive_fraction),
    ):
        field = [fft.irfftn(component, s=(size,) * 3, workers=workers) for component in part]
        power = sum(float(np.mean(np.square(component, dtype=np.float64))) for component in field)
        for component in range(3):
            velocity[component] += np.float32(math.sqrt(share / power)) * field[component]
    velocity /= np.float32(math.sqrt(3 * float(np.mean(np.square(velocity, dtype=np.float64)))))
    return velocity


def compressive_share(velocity: np.ndarray, *, workers: int = 1) -> float:
    """Return the share of the power of a periodic velocity (3, n, n, n) that is in curl-free motion.

    Examples
    --------
    >>> v = random_velocity(np.random.default_rng(0), 16, compressive_fraction=1.0)
    >>> print(round(compressive_share(v), 3))
    1.0
    """
    size = velocity.shape[-1]
    k = wave_numbers(size)
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    twice = np.full(k[2].shape, 2.0)  # a real transform holds half of the modes
    twice[..., 0] = 1.0
    if size % 2 == 0:
        twice[..., -1] = 1.0
    modes = [fft.rfftn(component, workers=workers) for component in velocity]
    along = sum(k[i] * modes[i] for i in range(3))
    compression = twice * abs(along) ** 2 / np.where(squared > 0, squared, 1.0)
    whole = sum(twice * abs(component) ** 2 for component in modes)
    whole[0, 0, 0] = 0.0
    return float(compression.sum(dtype=np.float64) / whole.sum(dtype=np.float64))


def density_quantiles(u: np.ndarray, *, width: float, tail_slope: float | None = None) -> np.ndarray:
    """Return ln(n/<n>) below which a share `u` of the volume lies, up to a constant.

    The PDF is log-normal with dispersion `width`; with `tail_slope` alpha it goes over into
    p(s) ~ exp(-alpha s) at s_t = (alpha - 1/2) width^2, continuous in value and slope, and ends at
    ln(n/<n>) = 7.

    Parameters
    ----------
    u : ndarray
        Shares of the volume, between 0 and 1 exclusive.
    width : float
        Dispersion of ln n of the log-normal body, sigma_s.
    tail_slope : float, optional
        alpha of the tail; none by default.

    Returns
    -------
    ndarray, float64
        s = ln(n/<n>) with the shape of `u`; the mean of exp(s) is near 1, not exactly 1, because of the tail.

    References
    ----------
    Burkhart (2018), ApJ 863, 118.

    Examples
    --------
    >>> print(density_quantiles(np.array([0.5]), width=1.0))
    [-0.5]
    """
    u = np.asarray(u, np.float64)
    centre = -0.5 * width**2
    if tail_slope is None or centre + tail_slope * width**2 >= LARGEST_LOG_CONTRAST:
        return centre + width * special.ndtri(u)
    start = centre + tail_slope * width**2
    body = special.ndtr(tail_slope * width)
    height = math.exp(-0.5 * (tail_slope * width) ** 2) / (math.sqrt(2 * math.pi) * width)
    tail = height / tail_slope * -math.expm1(-tail_slope * (LARGEST_LOG_CONTRAST - start))
    volume = u * (body + tail)
    low = centre + width * special.ndtri(np.minimum(volume, body))
    beyond = np.maximum(volume - body, 0.0) * tail_slope / height
    return np.where(volume < body, low, start - np.log1p(-beyond) / tail_slope)


def remap(log_density: np.ndarray, *, width: float, tail_slope: float | None = None) -> np.ndarray:
    """Give a field the PDF of :func:`density_quantiles` and keep its topology: the order of cells stays.

    Parameters
    ----------
    log_density : ndarray
        Any monotonic function of the density.
    width, tail_slope
        As in :func:`density_quantiles`.

    Returns
    -------
    ndarray, float64
        s = ln(n/<n>) with the same shape; the mean of exp(s) is 1.

    Examples
    --------
    >>> s = remap(np.arange(1000.0), width=1.0)
    >>> print(round(float(np.exp(s).mean()), 12), bool((np.diff(s) > 0).all()))
    1.0 True
    """
    count = log_density.size
    values = density_quantiles((np.arange(count) + 0.5) / count, width=width, tail_slope=tail_slope)
    values -= math.log(float(np.mean(np.exp(values))))
    result = np.empty(count)
    result[np.argsort(log_density, axis=None)] = values
    return result.reshape(log_density.shape)
