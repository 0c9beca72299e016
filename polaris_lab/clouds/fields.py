"""Random fields on a periodic grid: Gaussian, with a chosen spectrum and share of compression."""

from __future__ import annotations

import math

import numba
import numpy as np
from scipy import fft


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
    modes = velocity_modes(
        rng,
        size,
        compressive_fraction=compressive_fraction,
        slope=slope,
        largest_wave_number=largest_wave_number,
        workers=workers,
    )
    modes = fft.ifftn(modes, axes=(1, 2), overwrite_x=True, workers=workers)
    return fft.irfft(modes, n=size, axis=3, workers=workers)


def velocity_modes(
    rng: np.random.Generator,
    size: int,
    *,
    compressive_fraction: float,
    slope: float = -4.0,
    largest_wave_number: float | None = None,
    workers: int = 1,
) -> np.ndarray:
    """Draw the Fourier modes of :func:`random_velocity`, with its parameters.

    Returns
    -------
    ndarray, shape (3, n, n, n/2 + 1), complex64
        As ``scipy.fft.rfftn`` of each component gives them.
    """
    table = _amplitudes(size, slope)
    if largest_wave_number is not None:
        table[np.arange(table.size) >= largest_wave_number**2] = 0.0
    modes = np.empty((3, size, size, size // 2 + 1), np.complex64)
    for component in range(3):
        noise = rng.standard_normal((size, size, size), dtype=np.float32)
        modes[component] = fft.rfftn(noise, workers=workers)
    compression, whole = _colour_velocity(modes.view(np.float32), table)
    a = math.sqrt(float(size) ** 6 * compressive_fraction / compression)  # Parseval: mean(v^2) = 1
    b = math.sqrt(float(size) ** 6 * (1.0 - compressive_fraction) / (whole - compression))
    _weigh_compression(modes.view(np.float32), np.float32(a - b), np.float32(b))
    return modes


def _amplitudes(size: int, slope: float) -> np.ndarray:
    """Return the amplitude of a mode by its squared wave number, a whole number; none for the mean."""
    squared = np.arange(3 * (size // 2) ** 2 + 1, dtype=np.float32)
    squared[0] = 1.0
    table = squared ** np.float32(slope / 4)
    table[0] = 0.0
    return table


@numba.njit(nogil=True, cache=True)
def _colour(modes, table):  # pragma: no cover - compiled
    """Multiply the half of the modes of a real field by their amplitudes; return the sum of |F|^2 over all."""
    size, half = modes.shape[0], modes.shape[2]
    whole = 0.0
    for z in range(size):
        for y in range(size):
            rest = min(z, size - z) ** 2 + min(y, size - y) ** 2
            for x in range(half):
                mode = modes[z, y, x] * table[rest + x * x]
                modes[z, y, x] = mode
                power = np.float64(mode.real**2 + mode.imag**2)
                whole += power if x == 0 or 2 * x == size else 2.0 * power
    return whole


@numba.njit(nogil=True, cache=True, fastmath={"reassoc"})
def _colour_velocity(parts, table):  # pragma: no cover - compiled
    """Do so for three components without the Nyquist modes; return the power along k and all of it.

    `parts` holds real and imaginary parts in turn: both are treated alike.
    """
    size, width = parts.shape[1], parts.shape[3]
    amplitude, share = np.empty(width, np.float32), np.empty(width, np.float32)
    twice = np.full(width, np.float32(2.0))  # a real transform holds half of the modes
    twice[:2] = 1.0
    compression, whole = 0.0, 0.0
    for z in range(size):
        kz = np.float32(z if 2 * z < size else z - size)
        for y in range(size):
            ky = np.float32(y if 2 * y < size else y - size)
            rest = int(kz * kz + ky * ky)
            nyquist = 2 * y == size or 2 * z == size
            for x in range(width // 2):
                squared = rest + x * x
                value = np.float32(0.0) if nyquist or 2 * x == size else table[squared]
                amplitude[2 * x] = amplitude[2 * x + 1] = value
                share[2 * x] = share[2 * x + 1] = twice[2 * x] / np.float32(max(squared, 1))
            along_k, power = 0.0, 0.0
            for j in range(width):
                a = parts[0, z, y, j] * amplitude[j]
                b = parts[1, z, y, j] * amplitude[j]
                c = parts[2, z, y, j] * amplitude[j]
                parts[0, z, y, j], parts[1, z, y, j], parts[2, z, y, j] = a, b, c
                along = kz * a + ky * b + np.float32(j >> 1) * c
                along_k += np.float64(share[j] * along * along)
                power += np.float64(twice[j] * (a * a + b * b + c * c))
            compression += along_k
            whole += power
    return compression, whole


@numba.njit(nogil=True, cache=True)
def _weigh_compression(parts, more, factor):  # pragma: no cover - compiled
    """Multiply by `factor`, and what points along k by `factor + more`."""
    size, width = parts.shape[1], parts.shape[3]
    for z in range(size):
        kz = np.float32(z if 2 * z < size else z - size)
        for y in range(size):
            ky = np.float32(y if 2 * y < size else y - size)
            rest = kz * kz + ky * ky
            for j in range(width):
                kx = np.float32(j >> 1)
                a, b, c = parts[0, z, y, j], parts[1, z, y, j], parts[2, z, y, j]
                along = (kz * a + ky * b + kx * c) * (more / max(rest + kx * kx, np.float32(1.0)))
                parts[0, z, y, j] = factor * a + kz * along
                parts[1, z, y, j] = factor * b + ky * along
                parts[2, z, y, j] = factor * c + kx * along


def random_field(rng: np.random.Generator, size: int, *, slope: float, workers: int = 1) -> np.ndarray:
    """Draw a periodic Gaussian field with a power-law spectrum (fractional Brownian motion).

    Parameters
    ----------
    rng : Generator
        Source of the noise.
    size : int
        Cells along each side, n.
    slope : float
        Of the 3D power spectrum, P(k) ~ k^slope.
    workers : int
        Threads of the Fourier transforms.

    Returns
    -------
    ndarray, shape (n, n, n), float32
        Zero mean, unit variance.

    References
    ----------
    Stutzki et al. (1998), A&A 336, 697.

    Examples
    --------
    >>> field = random_field(np.random.default_rng(0), 16, slope=-3.4)
    >>> print(field.shape, round(float((field**2).mean()), 4))
    (16, 16, 16) 1.0
    """
    modes = fft.rfftn(rng.standard_normal((size, size, size), dtype=np.float32), workers=workers)
    power = _colour(modes, _amplitudes(size, slope)) / float(size) ** 6
    field = fft.irfftn(modes, s=(size,) * 3, workers=workers)
    field *= np.float32(1.0 / math.sqrt(power))
    return field


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
