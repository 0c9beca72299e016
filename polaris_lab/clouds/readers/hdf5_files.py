"""Cubes in HDF5: a dataset a field with its units, and the description as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from polaris_lab.clouds.readers.stored import (
    FieldToWrite,
    LazyField,
    StoredCube,
    StoredField,
    parse_description,
    read_part,
)
from polaris_lab.config import canonical_json

DESCRIPTION = "description"
"""Name of the dataset with the description."""


def read(path: Path) -> StoredCube:
    """Find the numeric datasets of an HDF5 file, in groups too ("gas/density"), and their `units`."""
    fields: dict[str, StoredField] = {}
    description = None
    try:
        with h5py.File(path, "r") as file:
            if DESCRIPTION in file and h5py.check_string_dtype(file[DESCRIPTION].dtype):
                description = parse_description(file[DESCRIPTION].asstr()[()], str(path))

            def visit(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.ndim >= 2:
                    lazy = LazyField(read_dataset, path, item.shape, key=name)
                    fields[name] = StoredField(lazy, _text(item.attrs.get("units")))

            file.visititems(visit)
    except OSError as error:
        raise ValueError(
            f"{path}: expected an HDF5 file, got one that is cut off or damaged: {error}"
        ) from error
    return StoredCube(fields, description, description["cell_size_pc"] if description else None)


def read_dataset(path: Path, index: Any, *, key: str) -> np.ndarray:
    """Read a part of a dataset (`read` of a LazyField)."""
    with h5py.File(path, "r") as file:
        return read_part(file[key], index)


def _text(value: Any) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value


def write(path: Path, description: dict[str, Any], fields: list[FieldToWrite]) -> None:
    """Write a dataset a field, streaming its slabs."""
    with h5py.File(path, "w") as file:
        file[DESCRIPTION] = canonical_json(description)
        file.attrs["cell_size_pc"] = description["cell_size_pc"]
        file.attrs["schema"] = description["schema"]
        for field in fields:
            dataset = file.create_dataset(field.name, shape=field.shape, dtype="<f4")
            dataset.attrs["units"] = field.unit
            for axis, name in enumerate("zyx"):
                dataset.dims[axis].label = name
            start = 0
            for slab in field.slabs():
                dataset[start : start + len(slab)] = slab
                start += len(slab)
