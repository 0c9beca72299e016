"""`SimulationCube`: the density, velocity and temperature of a cloud on a uniform grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.config import did_you_mean
from polaris_lab.units import PARSEC, positive

AXES = ("z", "y", "x")
"""Names of the array axes, in their order: a cube is indexed [z, y, x]."""

SUBCELL = {"mean_square": "cm-6", "maximum": "cm-3"}
"""What a cube may know of the gas within its cells, and the units: <n^2> and the largest n of each cell."""

BLOCK_BYTES = 64 * 2**20
"""Memory that one block of a blockwise pass may take."""

SHOWN_BYTES = 256 * 2**20
"""Fields in files up to this size are read to show their range; larger ones are called "on disk"."""


def axis_index(axis: str) -> int:
    """Return the array index of the axis named `axis` ("z" is 0, "y" 1, "x" 2).

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> axis_index("y")
    1
    """
    if axis not in AXES:
        raise ValueError(f'axis: expected "z", "y" or "x", got {axis!r}')
    return AXES.index(axis)


class SimulationCube:
    """A cloud on a uniform grid of cubic cells.

    **Depth increases with index: the observer of axis "z" sits before index 0**, so gas with positive
    ``velocity["z"]`` recedes from that observer; the same holds for "y" and "x".

    Parameters
    ----------
    density : array_like, shape (nz, ny, nx)
        Number density of hydrogen nuclei n_H [cm^-3], positive; kept as float32. A memory map or another
        lazily read array (HDF5, zarr) is not read here but checked block by block when it is used.
    cell_size : Quantity
        Edge of a cell, a length. It has a default only so that its absence is refused with the remedy.
    temperature : array_like or Quantity, optional
        Gas temperature [K], same shape.
    velocity : mapping, optional
        Components [km s^-1] by the name of their axis, any subset of "z", "y", "x"; same shape each.
    subcell : mapping, optional
        What is known of the gas within the cells, same shape each: "mean_square" <n^2> [cm^-6] and "maximum"
        [cm^-3]. Cores smaller than a cell and downsampled clouds keep their <n_H>_M and n_max through it;
        without it cells are uniform.
    name : str, optional
        What the cloud is called in reports and datasets.
    provenance : mapping, optional
        Where it comes from (JSON values), kept with it; synthetic clouds are stamped ``source: synthetic``.

    Raises
    ------
    TypeError
        If `cell_size` is missing or no quantity, or an array holds no real numbers.
    UnitsError
        If a Quantity has a unit that does not fit.
    ValueError
        If an array is not 3D, has masked cells, shapes differ, or the density or temperature is NaN, infinite,
        zero or negative anywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> SimulationCube(np.full((4, 8, 8), 100.0), cell_size=0.05 * u.pc)
    SimulationCube(4 x 8 x 8 cells of 0.05 pc, 0.2 x 0.4 x 0.4 pc (z, y, x); n_H 100 .. 100 cm^-3; no temperature; no velocity)
    """

    def __init__(
        self,
        density: Any,
        *,
        cell_size: u.Quantity | None = None,
        temperature: Any = None,
        velocity: Mapping[str, Any] | None = None,
        subcell: Mapping[str, Any] | None = None,
        name: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self._cell_size_pc = positive(cell_size, u.pc, "cell_size")
        self._density = _field(density, "cm-3", "density")
        self._temperature = None
        self._velocity: dict[str, Any] = {}
        if temperature is not None:
            self._temperature = self._matching(_field(temperature, "K", "temperature"), "temperature")
        if velocity is not None and not isinstance(velocity, Mapping):
            raise TypeError(
                f"velocity: expected a mapping from axis to component, got {type(velocity).__name__}; write for "
                'example velocity={"z": array in km/s}'
            )
        for key, component in (velocity or {}).items():
            if key not in AXES:
                raise ValueError(f"velocity: unknown axis {key!r}: {did_you_mean(key, AXES)}")
            self._velocity[key] = self._matching(
                _field(component, "km/s", f'velocity["{key}"]'), f'velocity["{key}"]'
            )
        self._velocity = {key: self._velocity[key] for key in AXES if key in self._velocity}
        self._subcell: dict[str, Any] = {}
        for key, values in (subcell or {}).items():
            if key not in SUBCELL:
                raise ValueError(f"subcell: unknown field {key!r}: {did_you_mean(key, list(SUBCELL))}")
            self._subcell[key] = self._matching(
                _field(values, SUBCELL[key], f'subcell["{key}"]'), f'subcell["{key}"]'
            )
        self.name = name
        self.provenance = dict(provenance or {})
        if isinstance(self._density, np.ndarray) and not isinstance(self._density, np.memmap):
            for _ in self.blocks():
                pass
            self._check_finite()

    def _matching(self, values: Any, name: str) -> Any:
        if values.shape != self._density.shape:
            raise ValueError(
                f"{name}: expected the shape of the density {self._density.shape}, got {values.shape}"
            )
        return values

    def _check_finite(self) -> None:
        fields = {f'velocity["{axis}"]': values for axis, values in self._velocity.items()}
        fields |= {f'subcell["{key}"]': values for key, values in self._subcell.items()}
        self._check_subcell()
        if self._temperature is not None:
            fields["temperature"] = self._temperature
        for name, values in fields.items():
            for start, stop in layer_ranges(values.shape):
                if not np.isfinite(values[start:stop]).all():
                    raise ValueError(
                        f"{name}: expected finite values, got NaN or infinity in layers {start}..{stop - 1}"
                    )
                if name == "temperature" and not values[start:stop].min() > 0:
                    raise ValueError(
                        f"temperature: expected positive values in K, got {values[start:stop].min():g} in layers "
                        f"{start}..{stop - 1}"
                    )

    def _check_subcell(self) -> None:
        """Refuse <n^2> below <n>^2 and a maximum below the mean (beyond rounding)."""
        for key, values in self._subcell.items():
            for start, stop in layer_ranges(values.shape):
                least = np.asarray(self._density[start:stop]) ** (2 if key == "mean_square" else 1)
                if (np.asarray(values[start:stop]) < least * np.float32(1 - 1e-5)).any():
                    raise ValueError(
                        f'subcell["{key}"]: expected at least {"density^2" if key == "mean_square" else "the density"} in '
                        f"every cell, got less in layers {start}..{stop - 1}"
                    )

    # -- what it holds -------------------------------------------------------------------------------

    @property
    def density(self) -> Any:
        """Density n_H [cm^-3], (nz, ny, nx) float32; a lazily read array if the cube was opened from a file."""
        return self._density

    @property
    def temperature(self) -> Any:
        """Temperature [K] with the shape of the density, or None."""
        return self._temperature

    @property
    def velocity(self) -> dict[str, Any]:
        """Velocity components [km s^-1] by axis name; positive recedes from that axis's observer."""
        return dict(self._velocity)

    @property
    def subcell(self) -> dict[str, Any]:
        """What is known of the gas within the cells: "mean_square" [cm^-6], "maximum" [cm^-3]; mostly empty."""
        return dict(self._subcell)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along z, y and x."""
        return tuple(self._density.shape)

    @property
    def cell_size(self) -> u.Quantity:
        """Edge of a cell, in pc."""
        return self._cell_size_pc * u.pc

    @property
    def cell_size_pc(self) -> float:
        """Edge of a cell [pc]."""
        return self._cell_size_pc

    @property
    def cell_size_cm(self) -> float:
        """Edge of a cell [cm]."""
        return self._cell_size_pc * PARSEC

    @property
    def side_pc(self) -> tuple[float, float, float]:
        """Sides of the box along z, y and x [pc]."""
        return tuple(n * self._cell_size_pc for n in self.shape)

    def velocity_along(self, axis: str) -> Any:
        """Return the velocity component of the line of sight `axis` [km s^-1].

        Raises
        ------
        ValueError
            If the cube does not carry that component.
        """
        axis_index(axis)
        if axis not in self._velocity:
            carried = ", ".join(f'"{key}"' for key in self._velocity) or "none"
            raise ValueError(
                f'velocity: expected the component along "{axis}", the cube carries {carried}; '
                f'build it with velocity={{"{axis}": array in km/s}}'
            )
        return self._velocity[axis]

    def blocks(self, *, check: bool = True) -> Iterator[tuple[int, np.ndarray]]:
        """Read the density in slabs of whole layers along z.

        Parameters
        ----------
        check : bool
            Refuse bad values; a kernel that checks them itself reads without.

        Yields
        ------
        start : int
            First layer of the slab.
        slab : ndarray, shape (layers, ny, nx), float32
            Density [cm^-3].

        Raises
        ------
        ValueError
            At the first slab with a density that is not finite and positive.
        """
        for start, stop in layer_ranges(self.shape):
            slab = np.ascontiguousarray(self._density[start:stop], dtype=np.float32)
            if check:
                check_density(slab, start)
            yield start, slab

    # -- files ---------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path, **choices: Any) -> SimulationCube:
        """Open a cube from a file or the output of a simulation (see :func:`polaris_lab.clouds.readers.open_cube`)."""
        from polaris_lab.clouds.readers import open_cube

        return open_cube(path, **choices)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the cube with names and units (see :func:`polaris_lab.clouds.readers.save_cube`)."""
        from polaris_lab.clouds.readers import save_cube

        return save_cube(self, path, overwrite=overwrite)

    # -- words ---------------------------------------------------------------------------------------

    def _lines(self) -> list[tuple[str, str]]:
        """Return what the cube says of itself: (label, text) pairs."""
        cells = " x ".join(str(n) for n in self.shape)
        sides = " x ".join(f"{side:.4g}" for side in self.side_pc)
        rows = [("grid", f"{cells} cells of {self._cell_size_pc:.4g} pc"), ("side", f"{sides} pc (z, y, x)")]
        rows.append(("density", f"n_H {_extent(self._density, 'cm^-3')}"))
        rows.append(
            (
                "temperature",
                "no temperature" if self._temperature is None else f"T {_extent(self._temperature, 'K')}",
            )
        )
        components = [f"v_{axis} {_extent(values, 'km/s')}" for axis, values in self._velocity.items()]
        rows.append(("velocity", ", ".join(components) or "no velocity"))
        if self._subcell:
            rows.append(("within cells", f"{' and '.join(self._subcell)} of the density within cells"))
        return rows

    def __repr__(self) -> str:
        """Say shape, sides, ranges and what the cube carries, in one line."""
        (_, grid), (_, side), *rest = self._lines()
        title = f"{self.name!r}: " if self.name else ""
        return f"SimulationCube({title}{grid}, {side}; " + "; ".join(text for _, text in rest) + ")"

    def _repr_html_(self) -> str:
        title = escape(self.name) if self.name else "unnamed"
        rows = [*self._lines(), *[(key, str(value)) for key, value in self.provenance.items()]]
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in rows
        )
        return f"<table><caption><b>SimulationCube</b> {title}</caption>{cells}</table>"


def check_density(slab: np.ndarray, first_layer: int = 0) -> None:
    """Refuse densities that are not finite and positive.

    Raises
    ------
    ValueError
        With the number of bad cells, the first one and the remedy.
    """
    if slab.size and slab.min() > 0 and slab.max() < np.inf:  # NaN fails the first comparison
        return
    bad = ~(np.isfinite(slab) & (slab > 0))
    z, y, x = (int(i) for i in np.argwhere(bad)[0])
    raise ValueError(
        f"density: expected positive finite values in cm^-3, got {slab[z, y, x]} in cell "
        f"[z={z + first_layer}, y={y}, x={x}] ({int(bad.sum())} such cells in the layers read so far); "
        "fill empty cells with the density of the ambient gas, or cut them off"
    )


def layer_ranges(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Cut the first axis of a shape into (start, stop) so that a slab of float32 stays near `BLOCK_BYTES`."""
    layer = 4 * int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, BLOCK_BYTES // max(layer, 1))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def _field(values: Any, unit: str, name: str) -> Any:
    """Return a field as a 3D float32 array, or as it is when it is read lazily."""
    if isinstance(values, u.Quantity):
        values = _in_unit(values, unit, name)
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name}: expected a value in every cell, got {np.ma.count_masked(values)} masked cells; fill them, for "
            "example with array.filled(the value of the ambient gas), or cut them off"
        )
    lazy = isinstance(values, np.memmap) or (
        not isinstance(values, np.ndarray) and hasattr(values, "shape") and hasattr(values, "dtype")
    )
    if not lazy:
        values = np.asarray(values)
    if len(values.shape) != 3 or min(values.shape) < 1:
        raise ValueError(
            f"{name}: expected a 3D array (nz, ny, nx) with at least one cell an axis, got shape {tuple(values.shape)}"
            + (
                "; a column density map is opened with Observation.from_fits"
                if len(values.shape) == 2
                else ""
            )
        )
    if np.dtype(values.dtype).kind not in "fiu":
        raise TypeError(f"{name}: expected real numbers in {unit}, got {values.dtype}")
    if lazy:
        return values
    with np.errstate(
        over="ignore"
    ):  # what float32 cannot hold becomes infinity, which is refused with its place
        return np.ascontiguousarray(values, dtype=np.float32)


def _in_unit(values: u.Quantity, unit: str, name: str) -> np.ndarray:
    try:
        return values.to_value(unit)
    except u.UnitConversionError as error:
        remedy = (
            "; divide a mass density by its mass per hydrogen nucleus, 1.4 * 1.6735e-24 g"
            if values.unit.is_equivalent("g cm-3")
            else ""
        )
        raise u.UnitsError(
            f"{name}: expected a unit that converts to {unit}, got {str(values.unit) or 'no unit'}{remedy}"
        ) from error


def _extent(values: Any, unit: str) -> str:
    """Return the range of a field in words; of a large one in a file, or of one whose file is gone, where it is."""
    if isinstance(values, np.ndarray) and not isinstance(values, np.memmap):
        return f"{values.min():.3g} .. {values.max():.3g} {unit}"
    if 4 * int(np.prod(values.shape, dtype=np.int64)) > SHOWN_BYTES:
        return f"on disk [{unit}]"
    try:
        parts = (np.asarray(values[start:stop]) for start, stop in layer_ranges(values.shape))
        low, high = zip(*((part.min(), part.max()) for part in parts), strict=True)
    except (OSError, ValueError):
        return f"no longer readable [{unit}]"
    return f"{min(low):.3g} .. {max(high):.3g} {unit} (on disk)"
