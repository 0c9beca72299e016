"""Maps from any direction, by the exact length of each ray in each cell (the cube is not interpolated)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from astropy import units as u

from polaris_lab.clouds.simulation import AXES, SimulationCube, check_density
from polaris_lab.parallel import share_rows
from polaris_lab.units import PARSEC, positive

SHORTEST = 0.5
"""A cropped view keeps rays that cross at least this part of the longest path."""


class View(NamedTuple):
    """What an observer sees: maps with rows upward and columns to the right, not mirrored; float64."""

    column_density: np.ndarray
    """N_H = integral of n along the ray [cm^-2]."""
    volume_weighted_density: np.ndarray
    """N_H divided by the length of the ray [cm^-3]."""
    mass_weighted_density: np.ndarray
    """Integral of n^2 by integral of n [cm^-3]."""
    max_density: np.ndarray
    """The largest n on the ray [cm^-3]."""
    depth_pc: np.ndarray
    """Length of the ray in the cloud [pc]."""
    pixel_size_pc: float
    """Side of a pixel [pc]."""


def project_from(
    cube: SimulationCube,
    direction: Any,
    *,
    up: Any = None,
    pixel_size: u.Quantity | None = None,
    rays: int = 1,
    periodic: bool = False,
    depth: u.Quantity | None = None,
) -> View:
    """Look at a cube from any direction.

    Parameters
    ----------
    cube : SimulationCube
        The cloud.
    direction : (float, float, float) or {"z", "y", "x"}
        Where the observer looks, components along z, y, x: (1, 0, 0) is the axis "z", towards larger indices.
    up : (float, float, float), optional
        Which way is up on the sky, components along z, y, x; by default z, or y for a view near z. The right is
        ``direction x up`` in right-handed x, y, z.
    pixel_size : Quantity, optional
        By default a cell.
    rays : int
        Rays across a pixel, each way: their mean is the pixel (<n_H>_M weighted by mass).
    periodic : bool
        The cloud repeats: every ray has the length `depth` and the view the size of the box's smallest side. By
        default rays end at the faces, and the view is the largest about the centre whose rays cross at least half of
        the longest path (none of it is empty).
    depth : Quantity, optional
        Length of the rays of a periodic view; by default the smallest side of the box.

    Returns
    -------
    View
        Named maps.

    Raises
    ------
    ValueError
        If the direction is zero or parallel to `up`, or a density is bad.

    References
    ----------
    Amanatides & Woo (1987), Eurographics (the walk from cell to cell).

    Examples
    --------
    >>> cube = SimulationCube(np.full((8, 8, 8), 100.0), cell_size=0.1 * u.pc)
    >>> view = project_from(cube, (1, 1, 1))
    >>> print(f"{view.depth_pc.max() / (0.8 * 3**0.5):.2f}", f"{view.mass_weighted_density.max():.0f}")
    1.00 100
    """
    towards = _unit(direction, "direction")
    if up is None:
        up = "y" if abs(towards[0]) > 0.9 else "z"
    upward = _unit(up, "up")
    upward = upward - (upward @ towards) * towards
    if math.sqrt(upward @ upward) < 1e-6:
        raise ValueError("up: expected a direction that is not that of the view, got the same")
    upward /= math.sqrt(upward @ upward)
    right = np.cross(towards[::-1], upward[::-1])[::-1]  # the cross product of x, y, z, kept as z, y, x
    if isinstance(rays, bool) or not isinstance(rays, int | np.integer) or rays < 1:
        raise ValueError(f"rays: expected a whole number from 1 up, got {rays!r}")
    if depth is not None and not periodic:
        raise ValueError("depth: expected with periodic=True only; leave it out")
    pixel = 1.0 if pixel_size is None else positive(pixel_size, u.pc, "pixel_size") / cube.cell_size_pc
    shape = np.array(cube.shape, np.float64)
    half = np.array([np.abs(upward) @ shape, np.abs(right) @ shape]) / 2
    length = 0.0
    if periodic:
        half[:] = shape.min() / 2
        length = shape.min() if depth is None else positive(depth, u.pc, "depth") / cube.cell_size_pc
    counts = np.maximum(np.floor(2 * half / pixel + 1e-6), 1).astype(int)
    density = np.ascontiguousarray(cube.density[...], np.float32)
    check_density(density)
    none = np.zeros((1, 1, 1), np.float32)
    square = np.ascontiguousarray(cube.subcell.get("mean_square", none), np.float32)
    maximum = np.ascontiguousarray(cube.subcell.get("maximum", none), np.float32)
    # sums over the rays of a pixel: length, n, n^2, and the largest n
    found = np.zeros((counts[0], counts[1], 4))
    share_rows(
        _trace,
        int(counts[0]),
        density,
        square,
        maximum,
        towards,
        upward,
        right,
        pixel,
        int(rays),
        length,
        found,
    )
    if not periodic:
        found = _cropped(found)
    total = found[..., 1]
    return View(
        column_density=total * (cube.cell_size_pc * PARSEC / rays**2),
        volume_weighted_density=total / found[..., 0],
        mass_weighted_density=found[..., 2] / total,
        max_density=found[..., 3].copy(),
        depth_pc=found[..., 0] * (cube.cell_size_pc / rays**2),
        pixel_size_pc=pixel * cube.cell_size_pc,
    )


def _unit(direction: Any, name: str) -> np.ndarray:
    """Return a unit vector (z, y, x)."""
    if isinstance(direction, str):
        if direction not in AXES:
            raise ValueError(f'{name}: expected "z", "y", "x" or three numbers, got {direction!r}')
        return np.eye(3)[AXES.index(direction)]
    vector = np.asarray(direction, np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not np.any(vector):
        raise ValueError(f"{name}: expected three finite numbers (z, y, x), not all zero, got {direction!r}")
    vector = vector / math.sqrt(vector @ vector)
    vector[abs(vector) < 1e-12] = 0.0
    return vector / math.sqrt(vector @ vector)


def _cropped(found: np.ndarray) -> np.ndarray:
    """Return the largest part about the centre, of the same proportions, without short rays."""
    good = found[..., 0] >= SHORTEST * found[..., 0].max()
    rows, columns = good.shape
    for step in range(max(rows, columns)):
        a = min(round(step * rows / max(rows, columns) / 2), (rows - 1) // 2)
        b = min(round(step * columns / max(rows, columns) / 2), (columns - 1) // 2)
        if good[a : rows - a, b : columns - b].all():
            return found[a : rows - a, b : columns - b]
    raise ValueError("pixel_size: expected pixels smaller than the cloud, got a view without a full one")


@numba.njit(nogil=True, cache=True)
def _trace(
    density, square, maximum, towards, upward, right, pixel, rays, length, found, first, last
):  # pragma: no cover - compiled
    """Walk the rays of rows first..last through the cells."""
    shape = density.shape
    has_square, has_maximum = square.shape == shape, maximum.shape == shape
    periodic = length > 0.0
    rows, columns = found.shape[0], found.shape[1]
    origin, cell, step = np.empty(3), np.empty(3, np.int64), np.empty(3, np.int64)
    following, increment = np.empty(3), np.empty(3)
    for i in range(first, last):
        for j in range(columns):
            for sub in range(rays * rays):
                v = (i - (rows - 1) / 2 + ((sub // rays + 0.5) / rays - 0.5)) * pixel
                w = (j - (columns - 1) / 2 + ((sub % rays + 0.5) / rays - 0.5)) * pixel
                begin, end = -1e30, 1e30
                for k in range(3):
                    origin[k] = shape[k] / 2 + v * upward[k] + w * right[k]
                    if towards[k] != 0.0:
                        a, b = -origin[k] / towards[k], (shape[k] - origin[k]) / towards[k]
                        begin, end = max(begin, min(a, b)), min(end, max(a, b))
                    elif origin[k] < 0.0 or origin[k] >= shape[k]:
                        end = -1e30
                if periodic:
                    begin, end = -length / 2, length / 2
                if end - begin < 1e-9:
                    continue
                for k in range(3):
                    position = origin[k] + begin * towards[k]
                    if towards[k] > 0.0:
                        cell[k] = np.int64(math.floor(position + 1e-9))
                        step[k], increment[k] = 1, 1.0 / towards[k]
                        following[k] = (cell[k] + 1 - origin[k]) / towards[k]
                    elif towards[k] < 0.0:
                        cell[k] = np.int64(math.ceil(position - 1e-9)) - 1
                        step[k], increment[k] = -1, -1.0 / towards[k]
                        following[k] = (cell[k] - origin[k]) / towards[k]
                    else:
                        cell[k] = np.int64(math.floor(position))
                        step[k], increment[k], following[k] = 0, 0.0, 1e30
                now = begin
                while now < end - 1e-9:
                    k = 0
                    if following[1] < following[k]:
                        k = 1
                    if following[2] < following[k]:
                        k = 2
                    until = min(following[k], end)
                    z, y, x = cell[0], cell[1], cell[2]
                    if periodic:
                        z, y, x = z % shape[0], y % shape[1], x % shape[2]
                    elif z < 0 or y < 0 or x < 0 or z >= shape[0] or y >= shape[1] or x >= shape[2]:
                        z = -1  # rounding at a face or an edge of the box
                    if z >= 0:
                        n, part = np.float64(density[z, y, x]), max(until - now, 0.0)
                        found[i, j, 0] += part
                        found[i, j, 1] += part * n
                        found[i, j, 2] += part * (np.float64(square[z, y, x]) if has_square else n * n)
                        top = np.float64(maximum[z, y, x]) if has_maximum else n
                        if part > 1e-9:
                            found[i, j, 3] = max(found[i, j, 3], top)
                    now = until
                    cell[k] += step[k]
                    following[k] += increment[k]
