"""Cubes in npy: a plain density array for every tool, followed in the same file by all else.

A file may hold several npy arrays one after the other (numpy.save appends, numpy.load reads the first).
The first is the density; the second is the description, a JSON text; then come the fields
it names, in the order of `FIELD_UNITS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from polaris_lab.clouds.readers.stored import (
    FIELD_UNITS,
    FieldToWrite,
    StoredCube,
    StoredField,
    bytes_of_file,
    parse_description,
)
from polaris_lab.config import canonical_json

MAGIC = b"\x93NUMPY"


def read(path: Path) -> StoredCube:
    """Find the arrays of an npy file; without a description the first is a density in cm^-3."""
    with open(path, "rb") as file:
        fields = {"density": StoredField(next_array(file, path), FIELD_UNITS["density"])}
        if file.read(len(MAGIC)) != MAGIC:
            return StoredCube(fields, None, None)
        file.seek(-len(MAGIC), 1)
        text = next_array(file, path)
        if isinstance(text, str):
            description = parse_description(text, str(path))
            for name, unit in FIELD_UNITS.items():
                if name != "density" and name in description["units"]:
                    fields[name] = StoredField(next_array(file, path), unit)
            return StoredCube(fields, description, description["cell_size_pc"])
    return StoredCube(fields, None, None)


def next_array(file: BinaryIO, path: Path) -> Any:
    """Return the npy array at the file's position, lazily (a text as str), and move behind it."""
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except ValueError as error:
        raise ValueError(f"{path}: expected an npy file, got a fault or a cut-off header: {error}") from error
    if dtype.hasobject:
        raise ValueError(
            f"{path}: expected numbers, got Python objects, which are not loaded; save a plain array"
        )
    start = file.tell()
    field = bytes_of_file(path, dtype, shape, start, "F" if fortran else "C")
    if dtype.kind == "U" and shape == ():
        return str(np.frombuffer(file.read(dtype.itemsize), dtype)[0])
    file.seek(start + dtype.itemsize * field.size)
    if dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected an array of real numbers, got {dtype}")
    return field


def write(path: Path, description: dict[str, Any], fields: list[FieldToWrite]) -> None:
    """Write density, description and the other fields one after the other."""
    with open(path, "wb") as file:
        for field in fields:
            write_array(file, field)
            if field.name == "density":
                npy.write_array(file, np.array(canonical_json(description)), allow_pickle=False)


def write_array(file: BinaryIO, field: FieldToWrite) -> None:
    """Write one npy array, streaming its slabs."""
    npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": field.shape})
    for slab in field.slabs():
        file.write(slab.astype("<f4", copy=False).data)
