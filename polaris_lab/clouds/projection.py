"""Maps that a cube casts on the sky: column density and the mean densities along the line of sight.

One pass over the cube gives all of them (:func:`project`); the single functions are its parts. Sums run in
float64, layer by layer, so that a cube larger than memory is projected from its file. The pass runs at the
speed of the memory: `tests/benchmarks/test_projection.py` prints it in GB/s.

A face keeps the array order of the two axes that remain: axis "z" gives (y, x), "y" gives (z, x) and
"x" gives (z, y).
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from polaris_lab.clouds.simulation import SimulationCube, axis_index, check_density
from polaris_lab.parallel import share_rows

_CHUNK = 4096  # pixels whose sums stay in the cache
_FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered; NaN and infinity keep their meaning


class Projection(NamedTuple):
    """The four maps of one line of sight, float64, each with the shape of the face."""

    column_density: np.ndarray
    """N_H = sum(n) dz [cm^-2]."""
    volume_weighted_density: np.ndarray
    """<n_H>_V = sum(n) / cells [cm^-3] (report, eq. 2)."""
    mass_weighted_density: np.ndarray
    """<n_H>_M = sum(n^2) / sum(n) [cm^-3] (report, eq. 3)."""
    max_density: np.ndarray
    """The largest n_H on the line [cm^-3]."""


def project(cube: SimulationCube, *, axis: str = "z") -> Projection:
    """Compute every map of one line of sight in one pass over the cube.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3], shape (nz, ny, nx).
    axis : {"z", "y", "x"}
        Line of sight.

    Returns
    -------
    Projection
        Named maps with the shape of the cube less its line of sight.

    Raises
    ------
    TypeError
        If `cube` is no cube.
    ValueError
        If `axis` is unknown, or a cell read from a file is not finite and positive.

    References
    ----------
    Report, eqs. 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> cube = SimulationCube(np.full((4, 2, 3), 100.0), cell_size=1 * u.pc)
    >>> project(cube, axis="z").mass_weighted_density.shape
    (2, 3)
    """
    index = axis_index(axis)
    if not isinstance(cube, SimulationCube):
        raise TypeError(
            f"cube: expected a SimulationCube, got {type(cube).__name__}; make one of an array with "
            "SimulationCube(density, cell_size=...)"
        )
    face = tuple(n for i, n in enumerate(cube.shape) if i != index)
    total, square, peak = np.zeros(face), np.zeros(face), np.zeros(face, np.float32)
    kernel = (_along_z, _along_y, _along_x)[index]
    for start, slab in cube.blocks(check=False):  # the kernels check while they add
        rows = slice(None) if index == 0 else slice(start, start + slab.shape[0])
        shares = -(-total.size // _CHUNK) if index == 0 else slab.shape[0]  # of the maps: no two threads meet
        bad = share_rows(kernel, shares, slab, total[rows], square[rows], peak[rows])
        if any(bad) or not np.isfinite(total[rows]).all():
            check_density(slab, start)
    return Projection(
        column_density=total * cube.cell_size_cm,
        volume_weighted_density=total / cube.shape[index],
        mass_weighted_density=square / total,
        max_density=peak.astype(np.float64),
    )


def column_density(cube: SimulationCube, *, axis: str = "z") -> np.ndarray:
    """Column density of hydrogen nuclei along a line of sight.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3], shape (nz, ny, nx).
    axis : {"z", "y", "x"}
        Line of sight.

    Returns
    -------
    ndarray, 2D
        N_H = sum(n_H) dz [cm^-2].

    Raises
    ------
    TypeError, ValueError
        As :func:`project`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> cube = SimulationCube(np.full((10, 2, 2), 100.0), cell_size=0.1 * u.pc)
    >>> print(f"{column_density(cube)[0, 0]:.4g}")
    3.086e+20
    """
    return project(cube, axis=axis).column_density


def volume_weighted_density(cube: SimulationCube, *, axis: str = "z") -> np.ndarray:
    """Mean hydrogen density along the line of sight, every cell counted alike.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3], shape (nz, ny, nx).
    axis : {"z", "y", "x"}
        Line of sight.

    Returns
    -------
    ndarray, 2D
        sum(n_H) / cells [cm^-3]; on a uniform grid this is N_H / L, L the depth of the box.

    Raises
    ------
    TypeError, ValueError
        As :func:`project`.

    References
    ----------
    Report, eq. 2.
    """
    return project(cube, axis=axis).volume_weighted_density


def mass_weighted_density(cube: SimulationCube, *, axis: str = "z") -> np.ndarray:
    """Mean hydrogen density along the line of sight, weighted by mass.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3], shape (nz, ny, nx).
    axis : {"z", "y", "x"}
        Line of sight.

    Returns
    -------
    ndarray, 2D
        sum(n_H^2) / sum(n_H) [cm^-3].

    Raises
    ------
    TypeError, ValueError
        As :func:`project`.

    References
    ----------
    Report, eq. 3.
    """
    return project(cube, axis=axis).mass_weighted_density


def max_density(cube: SimulationCube, *, axis: str = "z") -> np.ndarray:
    """Largest hydrogen density along the line of sight.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3], shape (nz, ny, nx).
    axis : {"z", "y", "x"}
        Line of sight.

    Returns
    -------
    ndarray, 2D
        max(n_H) [cm^-3].

    Raises
    ------
    TypeError, ValueError
        As :func:`project`.
    """
    return project(cube, axis=axis).max_density


# The kernels run at the speed of memory because their inner loops are plain slices from 0 (no negative
# index to test for), take four layers a time, and find the largest value on the bits: positive floats are
# ordered like the integers of the same bits.


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _add_four(first, second, third, fourth, total, square, peak):  # pragma: no cover - compiled
    """Add four rows of cells to a row of the maps; return how many places hold one that is not positive."""
    bad = np.int32(0)
    for i in range(first.size):
        a, b, c, d = first[i], second[i], third[i], fourth[i]
        e, f, g, h = np.float64(a), np.float64(b), np.float64(c), np.float64(d)
        total[i] += (e + f) + (g + h)
        square[i] += (e * e + f * f) + (g * g + h * h)
        peak[i] = max(peak[i], max(max(a, b), max(c, d)))
        bad += np.int32(min(min(a, b), min(c, d)) <= 0)
    return bad


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _add_one(row, total, square, peak):  # pragma: no cover - compiled
    """Add one row of cells to a row of the maps."""
    bad = np.int32(0)
    for i in range(row.size):
        value = np.float64(row[i])
        total[i] += value
        square[i] += value * value
        peak[i] = max(peak[i], row[i])
        bad += np.int32(row[i] <= 0)
    return bad


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _add_rows(rows, start, stop, total, square, peak):  # pragma: no cover - compiled
    """Add columns start..stop of all rows of a (count, width) array to one row of the maps."""
    bad = 0
    i = 0
    while i + 4 <= rows.shape[0]:
        bad += _add_four(
            rows[i, start:stop],
            rows[i + 1, start:stop],
            rows[i + 2, start:stop],
            rows[i + 3, start:stop],
            total,
            square,
            peak,
        )
        i += 4
    while i < rows.shape[0]:
        bad += _add_one(rows[i, start:stop], total, square, peak)
        i += 1
    return bad


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _along_z(slab, total, square, peak, first, last):  # pragma: no cover - compiled
    """Add a slab to the maps seen along z; return the number of places with a value that is not positive."""
    layers, pixels = slab.shape[0], slab.shape[1] * slab.shape[2]
    cells = slab.reshape(layers, pixels)
    flat_total, flat_square, flat_peak = total.reshape(pixels), square.reshape(pixels), peak.reshape(pixels)
    bad = 0
    for i in range(first, last):
        start, stop = i * _CHUNK, min((i + 1) * _CHUNK, pixels)
        part = slice(start, stop)
        bad += _add_rows(cells, start, stop, flat_total[part], flat_square[part], flat_peak[part])
    return bad


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _along_y(slab, total, square, peak, first, last):  # pragma: no cover - compiled
    """Fill the rows of the maps seen along y that this slab covers."""
    bad = 0
    for z in range(first, last):
        bad += _add_rows(slab[z], 0, slab.shape[2], total[z], square[z], peak[z])
    return bad


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _reduce_row(row, bits):  # pragma: no cover - compiled
    """Sum, sum of squares, and the largest and smallest bit pattern of a row."""
    first, second = 0.0, 0.0
    largest, smallest = np.int32(0), np.int32(2**31 - 1)
    for i in range(row.size):
        value = np.float64(row[i])
        first += value
        second += value * value
    for i in range(bits.size):
        largest = max(largest, bits[i])
        smallest = min(smallest, bits[i])
    return first, second, largest, smallest


@numba.njit(nogil=True, fastmath=_FAST, cache=True)
def _along_x(slab, total, square, peak, first, last):  # pragma: no cover - compiled
    """Fill the rows of the maps seen along x that this slab covers."""
    bits, peak_bits = slab.view(np.int32), peak.view(np.int32)
    wrong = 0
    for z in range(first, last):
        for y in range(slab.shape[1]):
            total[z, y], square[z, y], largest, smallest = _reduce_row(slab[z, y], bits[z, y])
            peak_bits[z, y] = largest
            wrong += smallest <= 0
    return wrong
