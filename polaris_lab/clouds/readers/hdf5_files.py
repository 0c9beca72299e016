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


def read(path: Path, snapshot: tuple[int, int] | None = None) -> StoredCube:
    """Find the numeric datasets of an HDF5 file, in groups too ("gas/density"), and their `units`.

    In the layout of The Well (fields of many trajectories and steps) `snapshot` names one: (trajectory, step).
    """
    fields: dict[str, StoredField] = {}
    description = None
    try:
        with h5py.File(path, "r") as file:
            if DESCRIPTION in file and h5py.check_string_dtype(file[DESCRIPTION].dtype):
                description = parse_description(file[DESCRIPTION].asstr()[()], str(path))

            def visit(
                name: str, item: Any
            ) -> str | None:  # a text ends the visit; h5py lets no error through
                if isinstance(item, h5py.Dataset) and item.external:
                    return _elsewhere(path, name, item.external[0][0])
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.ndim >= 2:
                    lazy = LazyField(read_dataset, path, item.shape, key=name)
                    fields[name] = StoredField(lazy, _text(item.attrs.get("units")))
                return None

            def visit_link(name: str, link: Any) -> str | None:
                return _elsewhere(path, name, link.filename) if isinstance(link, h5py.ExternalLink) else None

            if "t0_fields" in file and "n_trajectories" in file.attrs:
                return StoredCube(_the_well(file, path, snapshot), None, None)
            fault = file.visititems_links(visit_link) or file.visititems(visit)
            if fault:
                raise ValueError(fault)
    except OSError as error:
        raise ValueError(
            f"{path}: expected an HDF5 file, got one that is cut off or damaged: {error}"
        ) from error
    return StoredCube(fields, description, description["cell_size_pc"] if description else None)


def _elsewhere(path: Path, name: str, where: str) -> str:
    return (
        f'{path}: expected all data within the file, got "{name}" that leads to {where!r}; open that file itself, or copy its '
        "data into this one"
    )


def _the_well(file: h5py.File, path: Path, snapshot: tuple[int, int] | None) -> dict[str, StoredField]:
    """Return the fields of one snapshot of a file of The Well; its arrays are (trajectory, step, x, y, z)."""
    if "density" not in file["t0_fields"]:
        raise ValueError(
            f'{path}: expected the field "t0_fields/density", got {", ".join(file["t0_fields"])}'
        )
    trajectories, steps = file["t0_fields/density"].shape[:2]
    if snapshot is None:
        if trajectories * steps > 1:
            raise ValueError(
                f"{path}: expected a choice among {trajectories} trajectories of {steps} steps; say for example "
                f"snapshot=(0, {steps - 1})"
            )
        snapshot = (0, 0)
    if len(snapshot) != 2 or not (0 <= snapshot[0] < trajectories and 0 <= snapshot[1] < steps):
        raise ValueError(
            f"snapshot: expected (trajectory below {trajectories}, step below {steps}), got {snapshot}"
        )
    names = {"density": ("t0_fields/density", None), "temperature": ("t0_fields/temperature", None)}
    names |= {f"velocity_{axis}": ("t1_fields/velocity", number) for number, axis in enumerate("xyz")}
    fields = {}
    for field, (key, component) in names.items():
        if key in file:
            shape = file[key].shape[2:5]
            if len(shape) != 3:
                raise ValueError(f"{path}: {key}: expected fields in 3 dimensions, got {len(shape)}")
            lazy = LazyField(
                read_the_well, path, shape[::-1], key=key, at=[int(i) for i in snapshot], component=component
            )
            fields[field] = StoredField(lazy, None)
    return fields


def read_the_well(path: Path, index: Any, *, key: str, at: list[int], component: int | None) -> np.ndarray:
    """Read a part of one snapshot, turned from (x, y, z) to (z, y, x) (`read` of a LazyField)."""
    with h5py.File(path, "r") as file:
        values = file[key][tuple(at)] if component is None else file[key][(*at, ..., component)]
    return values.transpose()[index]


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
