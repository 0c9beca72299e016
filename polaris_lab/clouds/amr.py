"""`AmrCloud`: a cloud as the leaf cells of an adaptive grid, without a uniform cube."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.simulation import AXES
from polaris_lab.config import did_you_mean
from polaris_lab.units import PARSEC, positive


class AmrCloud:
    """Leaf cells of an adaptive grid: cubes of many sizes that fill a box.

    Positions and sizes are whole numbers of the finest cell, counted from the corner of the box. Depth increases
    with the index, as in :class:`SimulationCube`. Its maps come from :func:`polaris_lab.project` and the single
    map functions, at the finest resolution on the sky and without a uniform cube; :meth:`to_cube` grids it.

    Parameters
    ----------
    corner : array_like, shape (k, 3), int
        Lower corner of each leaf along z, y, x.
    width : array_like, shape (k,), int
        Edge of each leaf.
    density : array_like, shape (k,)
        n_H [cm^-3], positive; kept as float32.
    shape : (int, int, int)
        Box along z, y, x in finest cells.
    cell_size : Quantity
        Edge of the finest cell.
    temperature : array_like, optional
        [K], shape (k,).
    velocity : mapping, optional
        Components [km s^-1] by axis name, shape (k,) each.
    particles : mapping, optional
        Sink particles or cores found beside the gas: tables (mappings of arrays) by name.
    name : str, optional
        What it is called.
    provenance : mapping, optional
        Where it comes from.

    Raises
    ------
    ValueError
        If shapes differ, a leaf leaves the box, leaves do not fill it exactly, or a density is not positive.

    Examples
    --------
    >>> corner = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1], [0, 0, 2]]
    >>> cloud = AmrCloud(corner, [1] * 8 + [2], [100.0] * 8 + [10.0], shape=(2, 2, 4), cell_size=0.1 * u.pc)
    >>> cloud
    AmrCloud(9 leaves of 0.1 .. 0.2 pc, 0.2 x 0.2 x 0.4 pc (z, y, x); n_H 10 .. 100 cm^-3; no temperature; no velocity)
    """

    def __init__(
        self,
        corner: Any,
        width: Any,
        density: Any,
        *,
        shape: tuple[int, int, int],
        cell_size: u.Quantity,
        temperature: Any = None,
        velocity: Mapping[str, Any] | None = None,
        particles: Mapping[str, Any] | None = None,
        name: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self._cell_size_pc = positive(cell_size, u.pc, "cell_size")
        self.corner = _whole_numbers(corner, "corner", 2)
        self.width = _whole_numbers(width, "width", 1)
        self.shape = tuple(int(n) for n in shape)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape: expected three positive numbers (nz, ny, nx), got {shape}")
        count = len(self.width)
        if self.corner.shape != (count, 3) or not count:
            raise ValueError(
                f"corner: expected shape ({count}, 3) as the widths say, got {self.corner.shape}"
            )
        self.density = self._values(density, "density", count)
        _check_positive(self.density, "density", "cm^-3")
        self.temperature = None if temperature is None else self._values(temperature, "temperature", count)
        if self.temperature is not None:
            _check_positive(self.temperature, "temperature", "K")
        self.velocity: dict[str, np.ndarray] = {}
        for key, values in (velocity or {}).items():
            if key not in AXES:
                raise ValueError(f"velocity: unknown axis {key!r}: {did_you_mean(key, AXES)}")
            self.velocity[key] = self._values(values, f'velocity["{key}"]', count)
            if not np.isfinite(self.velocity[key]).all():
                raise ValueError(f'velocity["{key}"]: expected finite values, got NaN or infinity')
        self.particles = dict(particles or {})
        self.name = name
        self.provenance = dict(provenance or {})
        self._check_geometry()

    @staticmethod
    def _values(values: Any, name: str, count: int) -> np.ndarray:
        array = np.ascontiguousarray(values, np.float32)
        if array.shape != (count,):
            raise ValueError(f"{name}: expected one value a leaf, shape ({count},), got {array.shape}")
        return array

    def _check_geometry(self) -> None:
        """Refuse leaves that leave the box, overlap or leave gaps (their volumes must add up to the box)."""
        if self.width.min() < 1 or self.corner.min() < 0:
            raise ValueError("width, corner: expected sizes from 1 and corners from 0 up (in finest cells)")
        for index, n in enumerate(self.shape):
            if (self.corner[:, index] + self.width).max() > n:
                raise ValueError(
                    f"corner: expected leaves within the box of {self.shape} finest cells, got one beyond it along "
                    f"{AXES[index]}"
                )
        volume = int((self.width.astype(np.int64) ** 3).sum())
        box = int(np.prod(self.shape, dtype=np.int64))
        if volume != box:
            raise ValueError(
                f"leaves: expected them to fill the box of {box} finest cells exactly, got a volume of {volume}; a file "
                "of the output is missing, or coarse cells overlap finer ones"
            )

    @property
    def cell_size(self) -> u.Quantity:
        """Edge of the finest cell, in pc."""
        return self._cell_size_pc * u.pc

    @property
    def cell_size_pc(self) -> float:
        """Edge of the finest cell [pc]."""
        return self._cell_size_pc

    @property
    def cell_size_cm(self) -> float:
        """Edge of the finest cell [cm]."""
        return self._cell_size_pc * PARSEC

    @property
    def side_pc(self) -> tuple[float, float, float]:
        """Sides of the box along z, y and x [pc]."""
        return tuple(n * self._cell_size_pc for n in self.shape)

    def __len__(self) -> int:
        return len(self.width)

    def project(self, *, axis: str = "z", pixel_size: u.Quantity | None = None) -> Any:
        """Return the four maps of one line of sight (see :func:`polaris_lab.clouds.amr_grid.project_leaves`)."""
        from polaris_lab.clouds.amr_grid import project_leaves

        return project_leaves(self, axis=axis, pixel_size=pixel_size)

    def to_cube(self, **choices: Any) -> Any:
        """Return a uniform cube, mass conserved (see :func:`polaris_lab.clouds.amr_grid.regrid`)."""
        from polaris_lab.clouds.amr_grid import regrid

        return regrid(self, **choices)

    def __repr__(self) -> str:
        """Say leaves, sides, ranges and what it carries, in one line."""
        cell = self._cell_size_pc
        sides = " x ".join(f"{side:.4g}" for side in self.side_pc)
        parts = [f"n_H {self.density.min():.3g} .. {self.density.max():.3g} cm^-3"]
        hot = self.temperature
        parts.append("no temperature" if hot is None else f"T {hot.min():.3g} .. {hot.max():.3g} K")
        parts.append(
            ", ".join(f"v_{a} {v.min():.3g} .. {v.max():.3g} km/s" for a, v in self.velocity.items())
            or "no velocity"
        )
        parts += [f"{len(next(iter(table.values()), ()))} {name}" for name, table in self.particles.items()]
        title = f"{self.name!r}: " if self.name else ""
        return (
            f"AmrCloud({title}{len(self)} leaves of {self.width.min() * cell:.4g} .. {self.width.max() * cell:.4g} pc, "
            f"{sides} pc (z, y, x); " + "; ".join(parts) + ")"
        )


def _whole_numbers(values: Any, name: str, dimensions: int) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != dimensions:
        raise ValueError(
            f"{name}: expected whole numbers of finest cells in {dimensions} dimension(s), got {array.dtype} of shape "
            f"{array.shape}"
        )
    return np.ascontiguousarray(array, np.int32)


def _check_positive(values: np.ndarray, name: str, unit: str) -> None:
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        number = int(np.argmax(bad))
        raise ValueError(
            f"{name}: expected positive finite values in {unit}, got {values[number]} in leaf {number} "
            f"({int(bad.sum())} such leaves)"
        )
