"""What every file format shares: names and units of fields, the description, arrays that stay in their file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from numpy.lib.mixins import NDArrayOperatorsMixin

from polaris_lab.clouds.simulation import SimulationCube, layer_ranges
from polaris_lab.config import SCHEMA
from polaris_lab.units import HYDROGEN_MASS, MEAN_MASS_PER_HYDROGEN

FIELD_UNITS = {
    "density": "cm-3",
    "temperature": "K",
    "velocity_z": "km s-1",
    "velocity_y": "km s-1",
    "velocity_x": "km s-1",
}
"""Fields of a cube by their name in files, and the unit each is written in."""

KIND = "SimulationCube"
"""Says in a description what the file holds."""


class StoredField(NamedTuple):
    """A field of a file: a 3D array, read or not yet, and the unit that the file states (or None)."""

    values: Any
    unit: str | None


class StoredCube(NamedTuple):
    """What a reader found in a file."""

    fields: dict[str, StoredField]
    description: dict[str, Any] | None
    """As :func:`describe` made it; None for a file from elsewhere."""
    cell_size_pc: float | None


class FieldToWrite(NamedTuple):
    """A field on its way into a file: name, unit, shape, and its float32 slabs of whole layers."""

    name: str
    unit: str
    shape: tuple[int, int, int]
    slabs: Callable[[], Iterator[np.ndarray]]


def describe(cube: SimulationCube) -> dict[str, Any]:
    """Return the description that is stored with a cube: plain JSON values.

    Raises
    ------
    TypeError, ValueError
        If the provenance holds something that is no JSON value.
    """
    description = {
        "schema": SCHEMA,
        "kind": KIND,
        "cell_size_pc": cube.cell_size_pc,
        "units": {field.name: field.unit for field in fields_of(cube)},
        "name": cube.name,
        "provenance": cube.provenance,
    }
    try:
        return json.loads(json.dumps(description, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"provenance: expected JSON values (text, finite numbers, lists, mappings), got {error}"
        ) from error


def parse_description(text: str, where: str) -> dict[str, Any]:
    """Return a stored description, or refuse a text that is none."""
    try:
        description = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: expected a description in JSON, got a fault: {error}") from error
    if not isinstance(description, dict) or description.get("kind") != KIND:
        kind = description.get("kind") if isinstance(description, dict) else type(description).__name__
        raise ValueError(f'{where}: expected a file of the kind "{KIND}", got {kind!r}')
    return description


def fields_of(cube: SimulationCube) -> list[FieldToWrite]:
    """Return the fields that a cube carries, density first; their slabs are checked as they pass."""
    carried = {"density": None, "temperature": cube.temperature}
    carried |= {f"velocity_{axis}": values for axis, values in cube.velocity.items()}

    def density() -> Iterator[np.ndarray]:
        for _, slab in cube.blocks():
            yield slab

    fields = [FieldToWrite("density", FIELD_UNITS["density"], cube.shape, density)]
    for name, values in carried.items():
        if values is not None:
            fields.append(FieldToWrite(name, FIELD_UNITS[name], cube.shape, _slabs_of(name, values)))
    return fields


def _slabs_of(name: str, values: Any) -> Callable[[], Iterator[np.ndarray]]:
    def slabs() -> Iterator[np.ndarray]:
        for start, stop in layer_ranges(values.shape):
            slab = np.ascontiguousarray(values[start:stop], dtype=np.float32)
            if not np.isfinite(slab).all():
                raise ValueError(
                    f"{name}: expected finite values, got NaN or infinity in layers {start}..{stop - 1}"
                )
            yield slab

    return slabs


def unit_factor(unit: str | u.UnitBase, field: str, where: str) -> float:
    """Return what values in `unit` are multiplied by to be in the unit of a field.

    Raises
    ------
    ValueError
        If the unit is unknown.
    UnitsError
        If it does not fit: a density is per volume (nuclei or mass), a temperature in K, a velocity in km/s.

    Examples
    --------
    >>> print(f'{unit_factor("m-3", "density", "cube"):g}', unit_factor("cm s-1", "velocity_z", "cube"))
    1e-06 1e-05
    """
    target = u.Unit(FIELD_UNITS[field])
    try:
        parsed = u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f'{where}: expected a unit such as "{FIELD_UNITS[field]}", got {unit!r}; '
            f'state the right one with units={{"{field}": "{FIELD_UNITS[field]}"}}'
        ) from error
    if field == "density" and parsed.is_equivalent("g cm-3"):
        return float(parsed.to("g cm-3")) / (MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS)
    if not parsed.is_equivalent(target):
        raise u.UnitsError(
            f'{where}: expected a unit that converts to "{FIELD_UNITS[field]}"'
            + (' or "g cm-3"' if field == "density" else "")
            + f', got "{str(parsed) or "no unit"}"; state the right one with units={{"{field}": "..."}}'
        )
    return float(parsed.to(target))


def convert(values: Any, factor: float) -> Any:
    """Return a field times a factor: a lazy one stays lazy."""
    if isinstance(values, LazyField):
        return values.scaled(factor)
    return values if factor == 1.0 else np.asarray(values) * factor


class LazyField(NDArrayOperatorsMixin):
    """A 3D array that stays in its file; indexing reads what is asked for, as float32.

    It holds no open file: each read opens it, which costs little beside the read, works in other processes
    and lets the file be replaced. A file that changed since then is refused rather than mixed in.

    Parameters
    ----------
    read : callable
        ``read(path, index, **details)`` of a module, returning the array ``[index]``.
    path : Path
        The file, or for a folder the file in it that changes with the array.
    shape : tuple of int
    **details
        JSON values for `read`.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, read: Callable[..., Any], path: Path, shape: tuple[int, ...], /, **details: Any
    ) -> None:
        self._read, self._path, self._details = read, path, details
        self.shape = tuple(int(n) for n in shape)
        self._factor = 1.0
        self._stamp = _stamp(path)

    def scaled(self, factor: float) -> LazyField:
        """Return this array times a factor, as lazy as before."""
        if factor == 1.0:
            return self
        copy = LazyField(self._read, self._path, self.shape, **self._details)
        copy._factor, copy._stamp = self._factor * factor, self._stamp
        return copy

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes in memory."""
        return 4 * self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        try:
            same = _stamp(self._path) == self._stamp
        except OSError as error:
            raise FileNotFoundError(f"{self._path}: the file of this cube is gone; open it again") from error
        if not same:
            raise ValueError(
                f"{self._path}: the file of this cube changed since it was opened; open it again"
            )
        part = np.asarray(self._read(self._path, index, **self._details))
        if self._factor != 1.0:
            part = part * self._factor
        part = part.astype(np.float32, copy=False)
        return np.require(part, requirements=["C", "A"]) if part.ndim else part[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array in a file cannot be taken without a copy")
        return self[...].astype(dtype or np.float32, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **choices: Any) -> Any:
        inputs = [value[...] if isinstance(value, LazyField) else value for value in inputs]
        return getattr(ufunc, method)(*inputs, **choices)

    def __repr__(self) -> str:
        return f"LazyField(shape={self.shape}, in {self._path})"


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def read_bytes_of_file(path: Path, index: Any, *, dtype: str, shape: list, offset: int, order: str) -> Any:
    """Read a part of an array that lies in a file as plain bytes (`read` of a :class:`LazyField`).

    The map is copy-on-write: nobody can change the file through it, and compiled kernels see the same kind
    of array as from memory.
    """
    whole = np.memmap(path, dtype=dtype, mode="c", offset=offset, shape=tuple(shape), order=order)
    return np.asarray(whole)[index]


def bytes_of_file(path: Path, dtype: np.dtype, shape: tuple, offset: int, order: str = "C") -> LazyField:
    """Return the lazy array of plain bytes in a file.

    Raises
    ------
    ValueError
        If the file ends before the array does.
    """
    dtype = np.dtype(dtype)
    end = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    size = os.stat(path).st_size
    if end > size:
        raise ValueError(
            f"{path}: expected {end} bytes for an array of shape {tuple(shape)}, got a file of {size}: it is cut off; "
            "copy or write it again"
        )
    shape = tuple(int(n) for n in shape)
    return LazyField(
        read_bytes_of_file, path, shape, dtype=dtype.str, shape=list(shape), offset=offset, order=order
    )


def read_part(source: Any, index: Any) -> np.ndarray:
    """Index a dataset that knows only integers and forward slices (HDF5, zarr) as numpy would."""
    parts = index if isinstance(index, tuple) else (index,)
    simple = all(
        isinstance(part, int | np.integer)
        or part is Ellipsis
        or (isinstance(part, slice) and (part.step is None or part.step > 0))
        for part in parts
    )
    return np.asarray(source[index]) if simple else np.asarray(source[...])[index]
