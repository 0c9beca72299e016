"""Gaussian smoothing with mirrored edges, at the speed of the cache; and what blanks need of it."""

from __future__ import annotations

import functools

import numba
import numpy as np
from scipy.special import ive

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered; NaN keeps its meaning
_TAIL = 1e-6
"""Weight of a kernel that may lie beyond its end: then it is cut."""


@functools.lru_cache(maxsize=1024)
def heat_kernel(variance: float) -> np.ndarray:
    """Return half of the kernel that heat diffusion on a grid has: e^-v I_k(v), k = 0, 1, 2 ...

    Unlike a sampled Gaussian it has exactly the variance asked for, however narrow, and two of them in a row are
    one of the summed variance.

    Parameters
    ----------
    variance : float
        sigma^2 [pixels^2], positive.

    Returns
    -------
    ndarray, shape (reach + 1,)
        Weights of the centre and of the neighbours on one side, read-only; the sum over both sides is 1.

    References
    ----------
    Lindeberg (1990), IEEE Trans. PAMI 12, 234.

    Examples
    --------
    >>> half = heat_kernel(2.0)
    >>> print(f"{half[0] + 2 * half[1:].sum():.6f} {2 * (np.arange(len(half))**2 * half).sum():.3f}")
    1.000000 2.000
    """
    reach = int(np.ceil(6.0 * np.sqrt(variance))) + 3
    half = ive(np.arange(reach + 1), variance)
    beyond = 2.0 * half[::-1].cumsum()[::-1]  # weight from here on, both sides
    half = half[: max(int(np.count_nonzero(beyond > _TAIL)), 2)]
    half /= half[0] + 2.0 * half[1:].sum()
    half.setflags(write=False)
    return half


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a map with a Gaussian; beyond its edges it goes on as its mirror image.

    Mirrored edges keep the sum of the map, and a uniform map uniform.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Finite values.
    sigma : float
        Dispersion [pixels], positive.

    Returns
    -------
    ndarray, shape (ny, nx), float64

    Examples
    --------
    >>> spike = np.zeros((9, 9))
    >>> spike[4, 4] = 1.0
    >>> print(f"{smooth(spike, 1.0)[4, 4]:.3f} {smooth(spike, 5.0).sum():.6f}")
    0.217 1.000000
    """
    image = np.ascontiguousarray(image, dtype=np.float64)
    result = np.empty_like(image)
    smooth_into(image, heat_kernel(sigma**2), result)
    return result


def fill_smoothly(image: np.ndarray) -> np.ndarray:
    """Fill NaN with the Gaussian mean of the valid pixels around, over the smallest width that reaches them.

    Widths of 1, 2, 4 ... pixels are tried until a twentieth of the weight falls on valid pixels. Valid pixels
    are not touched.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        With at least one finite pixel; the others are blank.

    Returns
    -------
    ndarray, shape (ny, nx), float64
        Finite everywhere, within the range of the valid pixels.

    Examples
    --------
    >>> fill_smoothly(np.array([[2.0, np.nan, 2.0]])).round(6)
    array([[2., 2., 2.]])
    """
    valid = np.isfinite(image)
    filled = np.where(valid, image, 0.0).astype(np.float64)
    if valid.all():
        return filled
    known, presence, todo, width = filled.copy(), valid.astype(np.float64), ~valid, 1.0
    while todo.any():
        weight = smooth(presence, width)
        near = todo & (weight > (0.05 if width < max(image.shape) else 0.0))
        if near.any():
            filled[near] = smooth(known, width)[near] / weight[near]
            todo &= ~near
        width *= 2.0
    return filled


def smooth_valid(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a map with blanks: the Gaussian mean of the valid pixels only (normalised convolution).

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        NaN where blank.
    sigma : float
        Dispersion [pixels].

    Returns
    -------
    ndarray, shape (ny, nx), float64
        NaN where the map is blank: a blank pixel spoils none of its neighbours.

    Examples
    --------
    >>> smooth_valid(np.array([[3.0, np.nan, 3.0]]), 1.0).round(6)
    array([[ 3., nan,  3.]])
    """
    valid = np.isfinite(image)
    if valid.all():
        return smooth(image, sigma)
    total = smooth(np.where(valid, image, 0.0), sigma)
    weight = smooth(valid.astype(np.float64), sigma)
    return np.where(valid, total / np.where(valid, weight, 1.0), np.nan)


# Both passes work on whole rows, four taps a time: the inner loops run over neighbours in memory without an index to
# test, and each partial sum is read and written once for eight pixels.


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _four_taps(total, half, k, a, b, c, d, e, f, g, h):  # pragma: no cover - compiled
    s, t, u, v = half[k], half[k + 1], half[k + 2], half[k + 3]
    for x in range(total.size):
        total[x] += (s * (a[x] + b[x]) + t * (c[x] + d[x])) + (u * (e[x] + f[x]) + v * (g[x] + h[x]))


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _one_tap(total, weight, a, b):  # pragma: no cover - compiled
    for x in range(total.size):
        total[x] += weight * (a[x] + b[x])


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _blend_rows(rows, half, y, total):  # pragma: no cover - compiled
    """Set `total` to the sum of row y and of its neighbours on both sides, with the weights of the kernel."""
    reach = half.size - 1
    centre = rows[y]
    for x in range(total.size):
        total[x] = half[0] * centre[x]
    k = 1
    while k + 3 <= reach:
        _four_taps(
            total, half, k,
            rows[y - k], rows[y + k], rows[y - k - 1], rows[y + k + 1],
            rows[y - k - 2], rows[y + k + 2], rows[y - k - 3], rows[y + k + 3],
        )  # fmt: skip
        k += 4
    while k <= reach:
        _one_tap(total, half[k], rows[y - k], rows[y + k])
        k += 1


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _blend_shifts(padded, half, total):  # pragma: no cover - compiled
    """Do the same along one padded row: its neighbours are itself, shifted."""
    reach, n = half.size - 1, total.size
    for x in range(n):
        total[x] = half[0] * padded[reach + x]
    k = 1
    while k + 3 <= reach:
        left, right = reach - k, reach + k
        _four_taps(
            total, half, k,
            padded[left : left + n], padded[right : right + n],
            padded[left - 1 : left - 1 + n], padded[right + 1 : right + 1 + n],
            padded[left - 2 : left - 2 + n], padded[right + 2 : right + 2 + n],
            padded[left - 3 : left - 3 + n], padded[right + 3 : right + 3 + n],
        )  # fmt: skip
        k += 4
    while k <= reach:
        left, right = reach - k, reach + k
        _one_tap(total, half[k], padded[left : left + n], padded[right : right + n])
        k += 1


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def smooth_into(image, half, result):  # pragma: no cover - compiled
    """Convolve along y and along x with a kernel of which `half` is one side; edges are mirrored."""
    ny, nx = image.shape
    reach = half.size - 1
    rows = np.empty((ny + 2 * reach, nx))
    for i in range(ny + 2 * reach):
        y = (i - reach) % (2 * ny)
        rows[i] = image[y if y < ny else 2 * ny - 1 - y]
    source = np.empty(nx + 2 * reach, np.int64)
    for i in range(nx + 2 * reach):
        x = (i - reach) % (2 * nx)
        source[i] = x if x < nx else 2 * nx - 1 - x
    row, padded = np.empty(nx), np.empty(nx + 2 * reach)
    for y in range(ny):
        _blend_rows(rows, half, y + reach, row)
        for i in range(padded.size):
            padded[i] = row[source[i]]
        _blend_shifts(padded, half, result[y])
