"""Maps and uniform cubes from the leaves of an adaptive grid, conserving mass.

A leaf adds to one pixel of the map of its own size; the maps of all sizes are added up at the end. So the work
grows with the number of leaves and of pixels, never with the volume of a uniform cube.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from astropy import units as u

from polaris_lab.clouds.amr import AmrCloud
from polaris_lab.clouds.memory import check_memory
from polaris_lab.clouds.projection import Projection
from polaris_lab.clouds.simulation import AXES, SimulationCube, axis_index
from polaris_lab.units import positive

BYTES_A_CELL = 96
"""Memory that gridding takes for a cell of the cube: sums in float64 and the float32 fields."""


def project_leaves(cloud: AmrCloud, *, axis: str = "z", pixel_size: u.Quantity | None = None) -> Projection:
    """Compute the maps of one line of sight from the leaves.

    N_H = sum(n dV) / pixel area and <n_H>_M = sum(m n) / sum(m) with m_k = n_k dV_k, each leaf within the pixel
    counted with its part of the volume.

    Parameters
    ----------
    cloud : AmrCloud
        The leaves.
    axis : {"z", "y", "x"}
        Line of sight.
    pixel_size : Quantity, optional
        By default the finest cell; a coarser pixel is a whole number of them that the leaves' sizes divide or
        are divided by, and that divides the face of the box.

    Returns
    -------
    Projection
        Float64 maps of the face, the remaining axes in their order.

    Raises
    ------
    ValueError
        If the axis is unknown or the pixel does not fit the grid.
    MemoryError
        If the maps would not fit into memory, with the number.

    References
    ----------
    Report, eqs. 2 and 3; for cells of different sizes <n>_M = sum(m_k n_k) / sum(m_k).
    """
    index = axis_index(axis)
    pixel = 1 if pixel_size is None else _pixel(cloud, positive(pixel_size, u.pc, "pixel_size"))
    first, second = (i for i in range(3) if i != index)
    rows, columns = cloud.shape[first], cloud.shape[second]
    if rows % pixel or columns % pixel:
        raise ValueError(
            f"pixel_size: expected a divisor of the face of {rows} x {columns} finest cells, got {pixel}"
        )
    sizes = np.unique(cloud.width)
    for size in sizes:
        if (size % pixel and pixel % size) or rows % size or columns % size:
            raise ValueError(
                f"pixel_size: expected a size that fits leaves of {sizes.tolist()} finest cells and a face of {rows} x "
                f"{columns}, got {pixel}"
            )
    face = (rows // pixel, columns // pixel)
    check_memory(face[0] * face[1] * 40, f"a map of {face[0]} x {face[1]} pixels", "pixel_size")
    total, square, peak = np.zeros(face), np.zeros(face), np.zeros(face, np.float32)
    for size in sizes[::-1]:
        step = max(int(size), pixel)
        same = step == pixel
        small = (rows // step, columns // step)
        maps = (
            (total, square, peak) if same else (np.zeros(small), np.zeros(small), np.zeros(small, np.float32))
        )
        _deposit(cloud.corner, cloud.width, cloud.density, int(size), step, index, first, second, *maps)
        if not same:
            _spread(*maps, step // pixel, total, square, peak)
    return Projection(
        column_density=total * cloud.cell_size_cm,
        volume_weighted_density=total / cloud.shape[index],
        mass_weighted_density=np.divide(square, total, out=square),
        max_density=peak.astype(np.float64),
    )


def _pixel(cloud: AmrCloud, pixel_pc: float) -> int:
    pixel = round(pixel_pc / cloud.cell_size_pc)
    if pixel < 1 or abs(pixel * cloud.cell_size_pc / pixel_pc - 1) > 1e-6:
        raise ValueError(
            f"pixel_size: expected a whole number of finest cells of {cloud.cell_size_pc:g} pc, got {pixel_pc:g} pc"
        )
    return pixel


@numba.njit(nogil=True, cache=True)
def _deposit(
    corner, width, density, size, step, index, first, second, total, square, peak
):  # pragma: no cover - compiled
    """Add the leaves of one size to the map with pixels of `step` finest cells."""
    share = size * (min(size, step) / step) ** 2  # length times part of the pixel's area
    for k in range(width.size):
        if width[k] == size:
            i, j = corner[k, first] // step, corner[k, second] // step
            value = np.float64(density[k])
            total[i, j] += value * share
            square[i, j] += value * value * share
            peak[i, j] = max(peak[i, j], density[k])


@numba.njit(nogil=True, cache=True)
def _spread(
    coarse_total, coarse_square, coarse_peak, factor, total, square, peak
):  # pragma: no cover - compiled
    """Add a coarse map to the final one."""
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            a, b = i // factor, j // factor
            total[i, j] += coarse_total[a, b]
            square[i, j] += coarse_square[a, b]
            peak[i, j] = max(peak[i, j], coarse_peak[a, b])


def regrid(
    cloud: AmrCloud,
    *,
    resolution: int | tuple[int, int, int] | None = None,
    center: u.Quantity | None = None,
    width: u.Quantity | None = None,
    subcell: bool = False,
) -> SimulationCube:
    """Put the leaves on a uniform grid: each gives every cell the mass of the volume that they share.

    Mass is conserved whatever the resolution: finer leaves within a cell are averaged, velocities and
    temperatures weighted by mass.

    Parameters
    ----------
    cloud : AmrCloud
        The leaves.
    resolution : int or (int, int, int), optional
        Cells along x or along z, y, x; by default those of the finest leaves.
    center, width : Quantity, optional
        Centre (three lengths along z, y, x from the corner of the box) and side (one length, or three) of the part
        to take; by default the whole box.
    subcell : bool
        Keep what averaging loses: the mean square and the largest density within each cell, so that <n_H>_M and n_max
        of the cube's maps are those of the leaves.

    Returns
    -------
    SimulationCube
        With the fields that the leaves carry.

    Raises
    ------
    ValueError
        If the part leaves the box, or its cells would not be cubic.
    MemoryError
        Before starting, if the cube would not fit into memory, with the number.
    """
    low, cells, edge = _grid(cloud, resolution, center, width)
    count = math.prod(cells)
    fields = [key for key in AXES if key in cloud.velocity] + (
        [] if cloud.temperature is None else ["temperature"]
    )
    check_memory(count * BYTES_A_CELL, f"resolution={cells}, {count:.3g} cells", "resolution")
    geometry = (cloud.corner, cloud.width, cloud.density, np.array(low), edge)
    mass, square, peak = (
        np.zeros(cells),
        np.zeros(cells if subcell else (1, 1, 1)),
        np.zeros(cells if subcell else (1, 1, 1)),
    )
    _grid_density(*geometry, mass, square, peak)
    result = {}
    for key in fields:
        values = cloud.temperature if key == "temperature" else cloud.velocity[key]
        sums = np.zeros(cells)
        _grid_weighted(*geometry, values, sums)
        result[key] = np.divide(sums, mass, out=sums).astype(np.float32)
    density = mass.astype(np.float32)
    within = {}
    if subcell:
        within = {
            "mean_square": np.maximum(square, mass**2).astype(np.float32),
            "maximum": np.maximum(peak, mass).astype(np.float32),
        }
    return SimulationCube(
        density,
        cell_size=edge * cloud.cell_size,
        temperature=result.pop("temperature", None),
        velocity=result,
        subcell=within,
        name=cloud.name,
        provenance={
            **cloud.provenance,
            "gridded": {
                "leaves": len(cloud),
                "finest_pc": cloud.cell_size_pc,
                "low_pc": [x * cloud.cell_size_pc for x in low],
            },
        },
    )


def _grid(
    cloud: AmrCloud, resolution: Any, center: Any, width: Any
) -> tuple[list[float], tuple[int, int, int], float]:
    """Return the lower corner and the edge of a cell in finest cells, and the number of cells."""
    sides = np.array(cloud.shape, np.float64)
    middle = sides / 2 if center is None else _lengths(center, "center") / cloud.cell_size_pc
    span = sides if width is None else np.broadcast_to(_lengths(width, "width"), 3) / cloud.cell_size_pc
    if middle.shape != (3,):
        raise ValueError(f"center: expected three lengths (z, y, x), got {middle.size}")
    if not (span > 0).all():
        raise ValueError("width: expected positive lengths")
    low = middle - span / 2
    slack = 1e-6 * sides
    if (low < -slack).any() or (low + span > sides + slack).any():
        pc = cloud.cell_size_pc
        raise ValueError(
            f"center, width: expected a part of the box 0 .. {(sides * pc).round(6).tolist()} pc (z, y, x), got "
            f"{(low * pc).round(6).tolist()} .. {((low + span) * pc).round(6).tolist()} pc"
        )
    if resolution is None:
        wanted = np.maximum(np.rint(span), 1)
    elif isinstance(resolution, int | np.integer) and not isinstance(resolution, bool):
        wanted = np.rint(resolution * span / span[2])
    else:
        wanted = np.asarray(resolution)
    if wanted.shape != (3,) or (wanted < 1).any() or (wanted != np.rint(wanted)).any():
        raise ValueError(
            f"resolution: expected a positive whole number or three (z, y, x), got {resolution!r}"
        )
    edges = span / wanted
    if np.ptp(edges) > 1e-6 * edges.max():
        raise ValueError(
            f"resolution: expected cubic cells, got edges of {(edges * cloud.cell_size_pc).tolist()} pc (z, y, x); choose "
            "numbers in the proportion of width"
        )
    return low.tolist(), tuple(int(n) for n in wanted), float(edges[2])


def _lengths(value: Any, name: str) -> np.ndarray:
    if not isinstance(value, u.Quantity):
        raise TypeError(f"{name}: expected a Quantity with a unit that converts to pc, got {value!r}")
    try:
        lengths = np.atleast_1d(value.to_value(u.pc)).astype(np.float64)
    except u.UnitConversionError as error:
        raise u.UnitsError(f"{name}: expected a unit that converts to pc, got {value.unit}") from error
    if lengths.shape not in ((1,), (3,)) or not np.isfinite(lengths).all():
        raise ValueError(f"{name}: expected one length or three finite ones (z, y, x), got {value}")
    return lengths if name == "center" or lengths.size == 3 else np.repeat(lengths, 3)


@numba.njit(nogil=True, cache=True, inline="always")
def _overlap(start, size, low, edge, cell):  # pragma: no cover - compiled
    """Return the part of a cell's edge that a leaf covers along one axis."""
    left = low + cell * edge
    return max(0.0, min(start + size, left + edge) - max(start, left)) / edge


@numba.njit(nogil=True, cache=True)
def _range(start, size, low, edge, count):  # pragma: no cover - compiled
    """Return the first cell that a leaf touches along one axis, and the one after the last."""
    first = np.int64(math.floor((start - low) / edge))
    last = np.int64(math.ceil((start + size - low) / edge))
    return max(first, 0), min(last, count)


@numba.njit(nogil=True, cache=True)
def _grid_density(corner, width, density, low, edge, mass, square, peak):  # pragma: no cover - compiled
    """Add the density of each leaf to the cells that it overlaps, weighted by the shared volume."""
    within = square.shape == mass.shape
    for k in range(width.size):
        w = width[k]
        z0, z1 = _range(corner[k, 0], w, low[0], edge, mass.shape[0])
        y0, y1 = _range(corner[k, 1], w, low[1], edge, mass.shape[1])
        x0, x1 = _range(corner[k, 2], w, low[2], edge, mass.shape[2])
        n = np.float64(density[k])
        for z in range(z0, z1):
            a = _overlap(corner[k, 0], w, low[0], edge, z)
            for y in range(y0, y1):
                b = a * _overlap(corner[k, 1], w, low[1], edge, y)
                for x in range(x0, x1):
                    share = b * _overlap(corner[k, 2], w, low[2], edge, x)
                    mass[z, y, x] += share * n
                    if within:
                        square[z, y, x] += share * n * n
                        if share > 1e-9:
                            peak[z, y, x] = max(peak[z, y, x], n)


@numba.njit(nogil=True, cache=True)
def _grid_weighted(corner, width, density, low, edge, values, sums):  # pragma: no cover - compiled
    """Add value times mass of each leaf to the cells that it overlaps."""
    for k in range(width.size):
        w = width[k]
        z0, z1 = _range(corner[k, 0], w, low[0], edge, sums.shape[0])
        y0, y1 = _range(corner[k, 1], w, low[1], edge, sums.shape[1])
        x0, x1 = _range(corner[k, 2], w, low[2], edge, sums.shape[2])
        weighted = np.float64(density[k]) * np.float64(values[k])
        for z in range(z0, z1):
            a = _overlap(corner[k, 0], w, low[0], edge, z)
            for y in range(y0, y1):
                b = a * _overlap(corner[k, 1], w, low[1], edge, y)
                for x in range(x0, x1):
                    sums[z, y, x] += weighted * b * _overlap(corner[k, 2], w, low[2], edge, x)
