"""Cubes in legacy VTK: what IDEFIX, PLUTO, Athena++ and ParaView write of a uniform grid (read only).

Binary and ASCII, ``STRUCTURED_POINTS`` and ``RECTILINEAR_GRID`` with even steps, data on cells or points. An
``idefix.ini`` with a ``[Units]`` block beside the file gives the units.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from polaris_lab.clouds.readers.stored import (
    LazyField,
    StoredCube,
    StoredField,
    bytes_of_file,
    read_bytes_of_file,
)
from polaris_lab.units import PARSEC

ALIASES = {
    "density": ("density", "rho", "dens", "nh", "n_h"),
    "temperature": ("temperature", "temp", "tev", "tgas"),
    "velocity_x": ("velocity_x", "vx1", "vx", "vel1", "vel_x"),
    "velocity_y": ("velocity_y", "vx2", "vy", "vel2", "vel_y"),
    "velocity_z": ("velocity_z", "vx3", "vz", "vel3", "vel_z"),
}
"""Names, in small letters, under which codes write the fields."""

_TYPES = {
    "float": ">f4",
    "double": ">f8",
    "int": ">i4",
    "long": ">i8",
    "vtktypeint64": ">i8",
    "short": ">i2",
    "unsigned_char": "u1",
    "char": "i1",
    "unsigned_int": ">u4",
    "bit": "u1",
}


def read(path: Path) -> StoredCube:
    """Find the scalar and vector fields of a legacy VTK file."""
    with open(path, "rb") as stream:
        grid = _Reader(stream, path)
        grid.read()
    units = _idefix_units(path.with_name("idefix.ini"))
    fields = dict(grid.fields)
    lower = {name.lower(): name for name in fields}
    for field, names in ALIASES.items():
        for name in names:
            if field not in fields and name in lower:
                fields[field] = fields[lower[name]]
    for field in ALIASES:
        if field in fields and field in units:
            fields[field] = StoredField(fields[field].values, units[field])
    step = grid.step * units["length"] / PARSEC if "length" in units else None
    return StoredCube(fields, None, step)


def _idefix_units(path: Path) -> dict[str, Any]:
    """Return the units of an IDEFIX run: length [cm], and the fields' units as text."""
    if not path.exists():
        return {}
    block = re.search(
        r"\[Units\](.*?)(?:\n\s*\[|\Z)", path.read_text(errors="replace"), re.DOTALL | re.IGNORECASE
    )
    found = (
        dict(re.findall(r"^\s*(length|density|velocity)\s+([-+.\deE]+)", block.group(1), re.MULTILINE))
        if block
        else {}
    )
    units: dict[str, Any] = {}
    if "length" in found:
        units["length"] = float(found["length"])
    if "density" in found:
        units["density"] = f"{float(found['density'])!r} g cm-3"
    if "velocity" in found:
        units |= {f"velocity_{axis}": f"{float(found['velocity'])!r} cm s-1" for axis in "xyz"}
    return units


class _Reader:
    """Walks through a legacy VTK file, noting where its arrays lie."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path = stream, path
        self.fields: dict[str, StoredField] = {}
        self.cells: tuple[int, int, int] | None = None  # (nz, ny, nx)
        self.shape: tuple[int, ...] | None = None
        self.points: list[int] = []
        self.steps: list[float] = []
        self.binary = True

    @property
    def step(self) -> float:
        return self.steps[0]

    def fault(self, expected: str, got: str) -> ValueError:
        return ValueError(f"{self.path}: expected {expected}, got {got}")

    def read(self) -> None:
        head = [self.stream.readline() for _ in range(3)]
        if not head[0].startswith(b"# vtk DataFile"):
            raise self.fault("a legacy VTK file", f"one that begins with {head[0][:30]!r}")
        self.binary = head[2].strip().upper() == b"BINARY"
        while line := self.stream.readline():
            words = line.decode("latin-1").split()
            if words:
                self.keyword(words[0].upper(), words)
        if self.shape is None or not self.fields:
            raise self.fault(
                "CELL_DATA or POINT_DATA of a uniform grid", "none: it is cut off, or another kind of grid"
            )
        low, high = min(self.steps), max(self.steps)
        if high - low > 1e-4 * high:
            raise self.fault(
                "cubic cells", f"steps from {low:g} to {high:g}; resample the run to an even grid"
            )

    def keyword(self, key: str, words: list[str]) -> None:
        if key == "DATASET" and words[1].upper() not in ("STRUCTURED_POINTS", "RECTILINEAR_GRID"):
            raise self.fault("STRUCTURED_POINTS or a RECTILINEAR_GRID", words[1])
        if key == "DIMENSIONS":
            self.points = [int(n) for n in words[1:4]]
        elif key in ("SPACING", "ASPECT_RATIO"):
            self.steps = [float(step) for step in words[1:4]]
        elif key in ("X_COORDINATES", "Y_COORDINATES", "Z_COORDINATES"):
            steps = np.diff(np.asarray(self.array((int(words[1]),), words[2])[...], np.float64))
            if steps.size:
                self.steps += [float(steps.min()), float(steps.max())]
        elif key == "FIELD":
            self.field_arrays(int(words[2]))
        elif key in ("CELL_DATA", "POINT_DATA"):
            cells = [max(n - 1, 1) for n in self.points] if key == "CELL_DATA" else self.points
            self.shape = tuple(cells[::-1])
            if int(np.prod(self.shape, dtype=np.int64)) != int(words[1]):
                raise self.fault(f"{np.prod(self.shape)} values of {key}", words[1])
        elif key == "SCALARS":
            position = self.stream.tell()
            if not self.stream.readline().upper().startswith(b"LOOKUP_TABLE"):
                self.stream.seek(position)
            self.keep(words[1], words[2], int(words[3]) if len(words) > 3 else 1)
        elif key == "VECTORS":
            self.keep(words[1], words[2], 3)

    def field_arrays(self, count: int) -> None:
        """Read the arrays of a FIELD: kept when they belong to the grid's data."""
        while count:
            line = self.stream.readline()
            if not line:
                raise self.fault(f"{count} more arrays", "the end of the file: it is cut off")
            words = line.decode("latin-1").split()
            if len(words) != 4 or not words[1].isdigit() or not words[2].isdigit():
                continue  # an empty line, or METADATA
            name, components, tuples, kind = words[0], int(words[1]), int(words[2]), words[3]
            if self.shape is not None and tuples == int(np.prod(self.shape, dtype=np.int64)):
                self.keep(name, kind, components)
            else:
                self.array((tuples * components,), kind)
            count -= 1

    def keep(self, name: str, kind: str, components: int) -> None:
        """Note a field; a vector gives a field each along x, y and z."""
        shape = self.shape
        if shape is None:
            raise self.fault("CELL_DATA or POINT_DATA before the fields", f"{name} first")
        if components == 1:
            self.fields[name] = StoredField(self.array(shape, kind), None)
            return
        start = self.stream.tell()
        whole = self.array((*shape, components), kind)
        for number, axis in enumerate("xyz"[:components]):
            if isinstance(whole, LazyField):
                part: Any = LazyField(
                    read_component,
                    self.path,
                    shape,
                    dtype=np.dtype(_TYPES[kind.lower()]).str,
                    shape=[*shape, components],
                    offset=start,
                    component=number,
                )
            else:
                part = np.ascontiguousarray(whole[..., number])
            base = "velocity" if name.lower() in ("velocity", "vel", "v") else name
            self.fields[f"{base}_{axis}"] = StoredField(part, None)

    def array(self, shape: tuple[int, ...], kind: str) -> Any:
        """Return the array at the file's position, lazily if binary, and move behind it."""
        if kind.lower() not in _TYPES:
            raise self.fault("numbers", f"an array of {kind}")
        count = int(np.prod(shape, dtype=np.int64))
        if not self.binary:
            values: list[str] = []
            while len(values) < count:
                line = self.stream.readline()
                if not line:
                    raise self.fault(f"{count} numbers", f"{len(values)}: it is cut off")
                values += line.decode("latin-1").split()
            return np.array(values, np.float64).reshape(shape)
        field = bytes_of_file(self.path, np.dtype(_TYPES[kind.lower()]), shape, self.stream.tell())
        self.stream.seek(np.dtype(_TYPES[kind.lower()]).itemsize * count, 1)
        return field


def read_component(path: Path, index: Any, *, dtype: str, shape: list, offset: int, component: int) -> Any:
    """Read a part of one component of a vector field (`read` of a LazyField)."""
    whole = read_bytes_of_file(path, ..., dtype=dtype, shape=shape, offset=offset, order="C")
    return whole[..., component][index]
