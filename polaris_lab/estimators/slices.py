"""A map cut into slices of column density, each of them a body as deep as its outline says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered


class Slices(NamedTuple):
    """The slices of a map that have an outline; pixel p lies in number 0 to `first[p + 1] - first[p]` of them."""

    first: np.ndarray
    """Where the half depths of each pixel begin, (pixels + 1,)."""
    half_depth: np.ndarray
    """Of each slice of each pixel, along the line of sight [pixels]."""
    levels: np.ndarray
    """Lower ends of the slices, ascending, and infinity."""
    base: float
    """Column density below the first slice."""


def full_depth(shape: tuple[int, int]) -> int:
    """Return the cells along the line of sight of a map: its longer side, made odd."""
    return max(shape) // 2 * 2 + 1


def cut(image: np.ndarray, depths: Callable[[np.ndarray], np.ndarray], step: float) -> Slices:
    """Cut a map into slices and give each slice of each pixel its half depth.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Positive and finite.
    depths : callable
        Half depths [pixels] of the body whose outline is a mask (ny, nx), which somewhere is False.
    step : float
        Height of a slice over its level. Levels with the same outline make one slice.

    Returns
    -------
    Slices
    """
    ordered = np.sort(image, axis=None)
    count = math.ceil(math.log(ordered[-1] / ordered[0]) / math.log1p(step))
    levels = ordered[0] * (1 + step) ** np.arange(count)
    above = ordered.size - np.searchsorted(ordered, levels, side="right")  # pixels of each outline
    levels = levels[(np.diff(above, prepend=-1) != 0) & (above > 0) & (above < ordered.size)]
    within = np.searchsorted(
        levels, image.ravel(), side="left"
    )  # slices of each pixel: levels below its value
    first = np.concatenate([[0], np.cumsum(within)])
    half_depth = np.empty(first[-1], np.float32)
    for number, level in enumerate(levels):
        inside = image > level
        found = np.minimum(depths(inside), full_depth(image.shape) / 2)
        half_depth[first[:-1][inside.ravel()] + number] = found[inside]
    base = float(levels[0]) if len(levels) else float(ordered[0])
    return Slices(first, half_depth, np.append(levels, np.inf), base)


def mean_density(image: np.ndarray, slices: Slices, *, background: bool) -> np.ndarray:
    """Return the mass-weighted mean density of each line of sight [image unit per pixel length].

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        The map that was cut.
    slices : Slices
        Its slices.
    background : bool
        Spread what is below them over the full depth; otherwise it is left out.

    Returns
    -------
    ndarray, shape (ny, nx)
        Nowhere less than the map over the full depth.
    """
    depth = full_depth(image.shape)
    mean = np.empty(image.size)
    spread = slices.base / depth if background else 0.0
    _mean_density(image.ravel(), *slices[:3], spread, depth, mean)
    return np.maximum(mean.reshape(image.shape), image / depth)


def profiles(image: np.ndarray, slices: Slices, *, background: bool) -> np.ndarray:
    """Return the density of each cell [image unit per pixel length], (full depth, ny, nx); as :func:`mean_density`."""
    cube = np.empty((full_depth(image.shape), *image.shape))
    _fill_cube(image.ravel(), *slices[:3], cube.reshape(len(cube), -1))
    return cube + slices.base / len(cube) if background else cube


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _angles(scale, angle):  # pragma: no cover - compiled
    """Set arcsin(scale (k + 1/2)) for k = 0, 1, 2 ...; beyond 1 it is a right angle.

    Abramowitz & Stegun, eq. 4.4.46, right to 2e-8: the compiler then takes several cells at a time.
    """
    for k in range(angle.size):
        x = min(scale * (k + 0.5), 1.0)
        series = 0.0066700901 - 0.0012624911 * x
        series = 0.0308918810 + x * (-0.0170881256 + x * series)
        series = 0.0889789874 + x * (-0.0501743046 + x * series)
        series = 1.5707963050 + x * (-0.2145988016 + x * series)
        angle[k] = 0.5 * math.pi - math.sqrt(1.0 - x) * series


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _add_differences(height, angle, profile):  # pragma: no cover - compiled
    """Add a slice to the cells: what lies between the angles of their ends."""
    ahead, behind, cells = angle[1:], angle[:-1], profile[1:]
    for k in range(ahead.size):
        cells[k] += height * (ahead[k] - behind[k])


@numba.njit(nogil=True, cache=True)
def _profile(column, half_depth, levels, profile, angle):  # pragma: no cover - compiled
    """Add the slices of one pixel to its half profile: cell 0 is centred on the middle, cells are one pixel long.

    Returns the number of cells that hold something.
    """
    used = 0
    for i in range(half_depth.size):
        height = (min(column, levels[i + 1]) - levels[i]) / math.pi
        reach = np.float64(half_depth[i])
        cells = min(math.ceil(reach - 0.5) + 1, profile.size)
        _angles(1.0 / reach, angle[:cells])
        angle[cells - 1] = 0.5 * math.pi  # the last cell holds the rest
        profile[0] += 2.0 * height * angle[0]
        _add_differences(height, angle[:cells], profile[:cells])
        used = max(used, cells)
    return used


@numba.njit(nogil=True, cache=True)
def _mean_density(columns, first, half_depth, levels, spread, depth, mean):  # pragma: no cover - compiled
    """Set the mass-weighted mean of each line of sight; `spread` is added to every cell of the depth."""
    profile, angle = np.empty(depth // 2 + 1), np.empty(depth // 2 + 1)
    for p in range(columns.size):
        profile[:] = 0.0
        used = _profile(columns[p], half_depth[first[p] : first[p + 1]], levels, profile, angle)
        total, squares = 0.0, 0.0
        for k in range(used):
            weight = 1.0 if k == 0 else 2.0
            total += weight * profile[k]
            squares += weight * profile[k] * profile[k]
        squares += 2.0 * spread * total + spread * spread * depth
        total += spread * depth
        mean[p] = squares / total if total > 0.0 else 0.0


@numba.njit(nogil=True, cache=True)
def _fill_cube(columns, first, half_depth, levels, cube):  # pragma: no cover - compiled
    """Set the whole profile of each line of sight, (z, pixel)."""
    half = cube.shape[0] // 2
    profile, angle = np.empty(half + 1), np.empty(half + 1)
    for p in range(columns.size):
        profile[:] = 0.0
        _profile(columns[p], half_depth[first[p] : first[p + 1]], levels, profile, angle)
        for k in range(half + 1):
            cube[half + k, p] = profile[k]
            cube[half - k, p] = profile[k]
