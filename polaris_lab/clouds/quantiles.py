"""The density PDF of a cloud, log-normal with a power-law tail, and how a field is given it."""

from __future__ import annotations

import math

import numba
import numpy as np
from scipy import special

LARGEST_LOG_CONTRAST = 7.0
"""ln(n/<n>) where the power-law tail of :func:`density_quantiles` ends unless told otherwise."""

STRIDE, MARGIN = 16, 16384
"""Of quantiles in order, each so many-th is computed, and all within so many of where they are not smooth."""


def density_quantiles(
    u: np.ndarray,
    *,
    width: float,
    tail_slope: float | None = None,
    largest_log_contrast: float = LARGEST_LOG_CONTRAST,
) -> np.ndarray:
    """Return ln(n/<n>) below which a share `u` of the volume lies, up to a constant.

    The PDF is log-normal with dispersion `width`; with `tail_slope` alpha it goes over into
    p(s) ~ exp(-alpha s) at s_t = (alpha - 1/2) width^2, continuous in value and slope, and ends at
    `largest_log_contrast`.

    Parameters
    ----------
    u : ndarray
        Shares of the volume, between 0 and 1 exclusive.
    width : float
        Dispersion of ln n of the log-normal body, sigma_s.
    tail_slope : float, optional
        alpha of the tail; none by default.
    largest_log_contrast : float
        ln(n/<n>) where the tail ends.

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
    found = _tail(width, tail_slope, largest_log_contrast)
    if found is None:
        return centre + width * special.ndtri(u)
    start, body, tail = found
    volume = u * (body + tail)
    inside = volume < body
    result = np.empty(u.shape)
    result[inside] = centre + width * special.ndtri(volume[inside])
    whole = tail / -math.expm1(-tail_slope * (largest_log_contrast - start))  # of a tail without end
    result[~inside] = start - np.log1p((body - volume[~inside]) / whole) / tail_slope
    return result


def _tail(
    width: float, tail_slope: float | None, largest_log_contrast: float
) -> tuple[float, float, float] | None:
    """Return where the tail begins, s_t, and the shares of body and tail (not yet normalised); None without."""
    if tail_slope is None or (tail_slope - 0.5) * width**2 >= largest_log_contrast:
        return None
    start = (tail_slope - 0.5) * width**2
    height = math.exp(-0.5 * (tail_slope * width) ** 2) / (math.sqrt(2 * math.pi) * width)
    tail = height / tail_slope * -math.expm1(-tail_slope * (largest_log_contrast - start))
    return start, float(special.ndtr(tail_slope * width)), tail


def _quantiles_in_order(
    count: int, width: float, tail_slope: float | None, largest_log_contrast: float
) -> np.ndarray:
    """Return :func:`density_quantiles` of `count` equal shares, in order, to 1e-12.

    Of many, each `STRIDE`-th is computed and a cubic laid through its neighbours; where the function is not
    smooth enough for that, near both ends and where the tail begins, all are computed.
    """

    def exact(ranks: np.ndarray) -> np.ndarray:
        return density_quantiles(
            (ranks + 0.5) / count,
            width=width,
            tail_slope=tail_slope,
            largest_log_contrast=largest_log_contrast,
        )

    if count < 8 * MARGIN:
        return exact(np.arange(count))
    nodes = exact(np.clip(np.arange(-STRIDE, count + 2 * STRIDE, STRIDE), 0, count - 1))
    t = np.arange(STRIDE) / STRIDE
    lagrange = [-t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2]
    lagrange += [-(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6]
    windows = np.lib.stride_tricks.sliding_window_view(nodes, 4)
    result = (windows @ np.array(lagrange)).reshape(-1)[:count]
    places = [0, count]
    found = _tail(width, tail_slope, largest_log_contrast)
    if found is not None:
        places.append(round(count * found[1] / (found[1] + found[2])))
    for place in places:
        ranks = np.arange(max(place - MARGIN, 0), min(place + MARGIN, count))
        result[ranks] = exact(ranks)
    return result


def remap(
    log_density: np.ndarray,
    *,
    width: float,
    tail_slope: float | None = None,
    largest_log_contrast: float = LARGEST_LOG_CONTRAST,
) -> np.ndarray:
    """Give a field the PDF of :func:`density_quantiles` and keep its topology: the order of cells stays.

    Parameters
    ----------
    log_density : ndarray
        Any monotonic function of the density.
    width, tail_slope, largest_log_contrast
        As in :func:`density_quantiles`.

    Returns
    -------
    ndarray, float32 for a float32 field, else float64
        s = ln(n/<n>) with the same shape; the mean of exp(s) is 1.

    Examples
    --------
    >>> s = remap(np.arange(1000.0), width=1.0)
    >>> print(round(float(np.exp(s).mean()), 12), bool((np.diff(s) > 0).all()))
    1.0 True
    """
    count = log_density.size
    values = _quantiles_in_order(count, width, tail_slope, largest_log_contrast)
    values -= math.log(float(np.mean(np.exp(values))))
    if log_density.dtype != np.float32 or count >= 2**32:
        result = np.empty(count)
        result[np.argsort(log_density, axis=None, kind="stable")] = values
    else:
        result = np.empty(count, np.float32)
        _put(_sorted_places(log_density), values, result)
    return result.reshape(log_density.shape)


def rank_order(values: np.ndarray) -> np.ndarray:
    """Return the flat indices that sort an array, equal values in the order of their places.

    For float32 three times as fast as ``numpy.argsort``.

    Examples
    --------
    >>> rank_order(np.array([[2.0, -1.0], [0.5, -3.0]], np.float32))
    array([3, 1, 2, 0])
    """
    if values.dtype != np.float32 or values.size >= 2**32:
        return np.argsort(values, axis=None, kind="stable")
    return (_sorted_places(values) & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _sorted_places(values: np.ndarray) -> np.ndarray:
    """Return the places of float32 values in ascending order, in the lower half of whole numbers of 64 bits.

    Sorting whole numbers, value above and place below, is what numpy does fastest.
    """
    pairs = np.empty(values.size, np.uint64)
    _pair(np.ascontiguousarray(values).reshape(-1).view(np.uint32), pairs)
    pairs.sort()
    return pairs


@numba.njit(nogil=True, cache=True)
def _pair(bits, pairs):  # pragma: no cover - compiled
    """Join the bits of floats, made to grow with the value, and their places."""
    for i in range(bits.size):
        value = bits[i]
        # negative floats grow downwards: turn all their bits; positive ones come after them
        key = ~value if value >> np.uint32(31) else value | np.uint32(0x80000000)
        pairs[i] = (np.uint64(key) << np.uint64(32)) | np.uint64(i)


@numba.njit(nogil=True, cache=True)
def _put(pairs, values, result):  # pragma: no cover - compiled
    """Write each value, in order, to the place in the lower half of its pair."""
    for i in range(pairs.size):
        result[pairs[i] & np.uint64(0xFFFFFFFF)] = values[i]
