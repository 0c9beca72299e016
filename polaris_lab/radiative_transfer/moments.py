"""Products of a line cube: integrated intensity, velocities, peaks, noise and masks, spectra, channel maps.

All functions take a :class:`PPVCube` and give plain maps. NaN pixels stay NaN; sums run in float64, channel by
channel, so that a cube on disk is never read whole. Without a mask the higher moments of a noisy cube mean
little: `signal_mask` gives one.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u

from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.units import to_unit


class Moments(NamedTuple):
    """Maps of the first moments, float64, shape (rows, columns)."""

    integrated_intensity: np.ndarray
    """W = sum of T dv [K km/s]."""
    centroid: np.ndarray
    """sum of T v / sum of T [km/s]; NaN where the sum of T is not positive."""
    dispersion: np.ndarray
    """Square root of the second central moment [km/s]; NaN where it is negative."""
    peak: np.ndarray
    """Highest T [K]."""


def moments(
    ppv: PPVCube, *, mask: Any = None, velocity_range: tuple[u.Quantity, u.Quantity] | None = None
) -> Moments:
    """Compute integrated intensity, centroid velocity, dispersion and peak in one pass.

    Parameters
    ----------
    ppv : PPVCube
        Brightness temperature [K].
    mask : ndarray of bool, optional
        True where a value counts, shape of the cube.
    velocity_range : (Quantity, Quantity), optional
        Channels whose centres lie outside do not count.

    Returns
    -------
    Moments
        Named maps. A spectrum without any value that counts gives NaN.

    Raises
    ------
    ValueError
        If the mask has another shape, or no channel lies in the range.
    """
    use = _channels(ppv, velocity_range)
    mask = _mask(ppv, mask)
    face = ppv.shape[1:]
    zero, first, second = np.zeros(face), np.zeros(face), np.zeros(face)
    peak = np.full(face, -np.inf)
    seen = np.zeros(face, bool)
    origin = float(ppv.velocity[use].mean())  # second moments lose digits far from it
    for channel in np.flatnonzero(use):
        values = np.asarray(ppv.data[channel], dtype=np.float64)
        good = np.isfinite(values) if mask is None else np.isfinite(values) & mask[channel]
        weighted = np.where(good, values, 0.0) * ppv.channel_widths[channel]
        offset = ppv.velocity[channel] - origin
        zero += weighted
        first += weighted * offset
        second += weighted * offset**2
        np.maximum(peak, np.where(good, values, -np.inf), out=peak)
        seen |= good
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(zero > 0, first / zero, np.nan)
        variance = np.where(zero > 0, second / zero - mean**2, np.nan)
        dispersion = np.sqrt(np.where(variance >= 0, variance, np.nan))
    return Moments(np.where(seen, zero, np.nan), mean + origin, dispersion, np.where(seen, peak, np.nan))


def integrated_intensity(
    ppv: PPVCube, *, mask: Any = None, velocity_range: tuple[u.Quantity, u.Quantity] | None = None
) -> np.ndarray:
    """Intensity integrated over velocity, W = sum of T dv [K km/s] (arguments of :func:`moments`).

    Examples
    --------
    >>> flat = PPVCube(np.ones((5, 2, 2)), np.arange(5) * 0.5)
    >>> print(integrated_intensity(flat)[0, 0])
    2.5
    """
    return moments(ppv, mask=mask, velocity_range=velocity_range).integrated_intensity


def centroid_velocity(
    ppv: PPVCube, *, mask: Any = None, velocity_range: tuple[u.Quantity, u.Quantity] | None = None
) -> np.ndarray:
    """Intensity-weighted mean velocity [km/s] (arguments of :func:`moments`)."""
    return moments(ppv, mask=mask, velocity_range=velocity_range).centroid


def velocity_dispersion(
    ppv: PPVCube, *, mask: Any = None, velocity_range: tuple[u.Quantity, u.Quantity] | None = None
) -> np.ndarray:
    """Intensity-weighted dispersion of the velocity [km/s] (arguments of :func:`moments`)."""
    return moments(ppv, mask=mask, velocity_range=velocity_range).dispersion


def peak_temperature(
    ppv: PPVCube, *, mask: Any = None, velocity_range: tuple[u.Quantity, u.Quantity] | None = None
) -> np.ndarray:
    """Highest brightness temperature of each spectrum [K] (arguments of :func:`moments`)."""
    return moments(ppv, mask=mask, velocity_range=velocity_range).peak


def noise_map(ppv: PPVCube, *, velocity_range: tuple[u.Quantity, u.Quantity] | None = None) -> np.ndarray:
    """Rms noise of each spectrum [K], from the median absolute value about the median.

    Parameters
    ----------
    ppv : PPVCube
        With noise.
    velocity_range : (Quantity, Quantity), optional
        Channels free of line; without it all channels are used, three-sigma outliers being dropped thrice.

    Returns
    -------
    ndarray, shape (rows, columns)
        Standard deviation; NaN where nothing was observed.
    """
    values = np.array(ppv.data[_channels(ppv, velocity_range)], dtype=np.float64)
    empty = ~np.isfinite(values).any(axis=0)
    values[:, empty] = 0.0
    for _ in range(1 if velocity_range is not None else 4):
        middle = np.nanmedian(values, axis=0)
        sigma = 1.4826 * np.nanmedian(np.abs(values - middle), axis=0)
        if velocity_range is None:
            values = np.where(np.abs(values - middle) > 3 * np.maximum(sigma, 1e-30), np.nan, values)
    return np.where(empty, np.nan, sigma)


def signal_mask(ppv: PPVCube, *, noise: Any = None, threshold: float = 5.0, edge: float = 2.0) -> np.ndarray:
    """Where a cube holds signal: bright values, grown into the fainter ones that touch them.

    Parameters
    ----------
    ppv : PPVCube
        With noise.
    noise : float or ndarray, optional
        Rms [K]; by default :func:`noise_map`.
    threshold, edge : float
        Multiples of the noise at which signal starts, and down to which it is followed.

    Returns
    -------
    ndarray of bool, shape of the cube
        True where there is signal.
    """
    from scipy.ndimage import binary_propagation

    sigma = noise_map(ppv) if noise is None else np.asarray(noise)
    values = np.nan_to_num(np.asarray(ppv.data), nan=-np.inf)
    return binary_propagation(values > threshold * sigma, mask=values > edge * sigma)


def spectrum(ppv: PPVCube, *, row: int, column: int, radius: float = 0.0) -> np.ndarray:
    """Spectrum at a position [K], shape (channels,).

    Parameters
    ----------
    ppv : PPVCube
        The cube.
    row, column : int
        Pixel.
    radius : float
        Average over the pixels whose centres lie within this many pixels; 0 for the one alone.

    Returns
    -------
    ndarray, shape (channels,)
        Mean brightness temperature; NaN pixels are left out.
    """
    own = ppv.spectrum(row=row, column=column)
    if radius <= 0:
        return own
    rows, columns = np.ogrid[: ppv.shape[1], : ppv.shape[2]]
    near = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    values = np.asarray(ppv.data)[:, near].astype(np.float64)
    good = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(good, values, 0).sum(-1) / good.sum(-1)


def channel_maps(ppv: PPVCube, *, channels: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring channels into a few maps that cover the emission.

    Parameters
    ----------
    ppv : PPVCube
        The cube.
    channels : int
        Number of maps.

    Returns
    -------
    velocity : ndarray, shape (maps,)
        Their centres [km/s].
    maps : ndarray, shape (maps, rows, columns)
        Mean brightness temperature [K].
    """
    total = np.array([np.nansum(np.abs(np.asarray(channel))) for channel in ppv.data])
    share = np.cumsum(total, dtype=np.float64) / (total.sum() or 1.0)
    first, last = int(np.searchsorted(share, 0.005)), int(np.searchsorted(share, 0.995))
    if not total.any():  # nothing shines: all channels
        first, last = 0, len(total)
    edges = np.linspace(first, min(last, len(total) - 1) + 1, channels + 1).round().astype(int)
    pairs = [(a, b) for a, b in itertools.pairwise(edges) if b > a]
    velocity = np.array([ppv.velocity[a:b].mean() for a, b in pairs])
    return velocity, np.stack([np.asarray(ppv.data[a:b]).mean(axis=0) for a, b in pairs])


def _channels(ppv: PPVCube, velocity_range: tuple[u.Quantity, u.Quantity] | None) -> np.ndarray:
    """Return which channels lie in a range of velocities."""
    if velocity_range is None:
        return np.ones(len(ppv.velocity), bool)
    low, high = sorted(to_unit(value, "km/s", "velocity_range") for value in velocity_range)
    use = (ppv.velocity >= low) & (ppv.velocity <= high)
    if not use.any():
        raise ValueError(
            f"velocity_range: expected channels between {ppv.velocity[0]:.4g} and {ppv.velocity[-1]:.4g} km/s, "
            f"got {low:.4g} to {high:.4g} km/s"
        )
    return use


def _mask(ppv: PPVCube, mask: Any) -> np.ndarray | None:
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.shape != ppv.shape or mask.dtype != bool:
        raise ValueError(
            f"mask: expected booleans of shape {ppv.shape}, True where a value counts, got {mask.dtype} {mask.shape}"
        )
    return mask
