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
    face = tuple(n for i, n in enumerate(cube.shape) if i != index)
    total, square, peak = np.zeros(face), np.zeros(face), np.zeros(face, np.float32)
    kernel = (_along_z, _along_y, _along_x)[index]
    for start, slab in cube.blocks(check=False):  # the kernels check while they add
        rows = slice(None) if index == 0 else slice(start, start + slab.shape[0])
        bad = kernel(slab, total[rows], square[rows], peak[rows])
        if bad:
            check_density(slab, start)
    return Projection(
        column_density=total * cube.cell_size_cm,
        volume_weighted_density=total / cube.shape[index],
        mass_weighted_density=square / total,
        max_density=peak.astype(np.float64),
    )


def column_density(cube: SimulationCube, axis: str = "z") -> np.ndarray:
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
    ValueError
        If `axis` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> cube = SimulationCube(np.full((10, 2, 2), 100.0), cell_size=0.1 * u.pc)
    >>> print(f"{column_density(cube)[0, 0]:.4g}")
    3.086e+20
    """
    return project(cube, axis=axis).column_density


def volume_weighted_density(cube: SimulationCube, axis: str = "z") -> np.ndarray:
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
    ValueError
        If `axis` is unknown.

    References
    ----------
    Report, eq. 2.
    """
    return project(cube, axis=axis).volume_weighted_density


def mass_weighted_density(cube: SimulationCube, axis: str = "z") -> np.ndarray:
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
    ValueError
        If `axis` is unknown.

    References
    ----------
    Report, eq. 3.
    """
    return project(cube, axis=axis).mass_weighted_density


def max_density(cube: SimulationCube, axis: str = "z") -> np.ndarray:
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
    ValueError
        If `axis` is unknown.
    """
    return project(cube, axis=axis).max_density


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _along_z(slab, total, square, peak):  # pragma: no cover - compiled
    """Add a slab to the maps seen along z; return the number of cells that are not finite and positive."""
    layers, rows, columns = slab.shape
    bad = 0
    for y in numba.prange(rows):
        wrong = 0
        for z in range(layers):
            for x in range(columns):
                n = slab[z, y, x]
                wrong += not (n > 0) or n == np.inf
                value = np.float64(n)
                total[y, x] += value
                square[y, x] += value * value
                peak[y, x] = max(peak[y, x], n)
        bad += wrong
    return bad


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _along_y(slab, total, square, peak):  # pragma: no cover - compiled
    """Fill the rows of the maps seen along y that this slab covers."""
    layers, rows, columns = slab.shape
    bad = 0
    for z in numba.prange(layers):
        wrong = 0
        for y in range(rows):
            for x in range(columns):
                n = slab[z, y, x]
                wrong += not (n > 0) or n == np.inf
                value = np.float64(n)
                total[z, x] += value
                square[z, x] += value * value
                peak[z, x] = max(peak[z, x], n)
        bad += wrong
    return bad


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _along_x(slab, total, square, peak):  # pragma: no cover - compiled
    """Fill the rows of the maps seen along x that this slab covers."""
    layers, rows, columns = slab.shape
    bad = 0
    for z in numba.prange(layers):
        wrong = 0
        for y in range(rows):
            first, second, largest = 0.0, 0.0, np.float32(0.0)
            for x in range(columns):
                n = slab[z, y, x]
                wrong += not (n > 0) or n == np.inf
                value = np.float64(n)
                first += value
                second += value * value
                largest = max(largest, n)
            total[z, y] = first
            square[z, y] = second
            peak[z, y] = largest
        bad += wrong
    return bad
