"""Cubes in zarr: a group with an array a field, named dimensions and units, so that xarray opens it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.errors import BaseZarrError

from polaris_lab.clouds.readers.stored import (
    KIND,
    FieldToWrite,
    LazyField,
    StoredCube,
    StoredField,
    parse_description,
    read_part,
)
from polaris_lab.config import canonical_json

CHUNK = (32, 128, 128)
"""Cells of a chunk along z, y and x: 2 MB of float32."""


def read(path: Path) -> StoredCube:
    """Find the numeric arrays of a zarr group and their `units`; a missing chunk means a cut-off copy."""
    fields: dict[str, StoredField] = {}
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
        for name, array in group.arrays():
            if array.dtype.kind in "fiu" and array.ndim >= 2:
                written = path / name / ("zarr.json" if array.metadata.zarr_format == 3 else ".zarray")
                lazy = LazyField(read_array, written, array.shape)
                fields[name] = StoredField(lazy, array.attrs.get("units"))
                if attributes.get("kind") == KIND and array.nchunks_initialized < array.nchunks:
                    raise ValueError(
                        f"{path}: {name}: expected {array.nchunks} chunks, got {array.nchunks_initialized}: "
                        "the folder is cut off; copy or write it again"
                    )
    except (OSError, KeyError, BaseZarrError) as error:
        raise ValueError(
            f"{path}: expected a zarr group, got one that is cut off or damaged: {error}"
        ) from error
    if attributes.get("kind") != KIND:
        return StoredCube(fields, None, None)
    description = parse_description(canonical_json(attributes), str(path))
    return StoredCube(fields, description, description["cell_size_pc"])


def read_array(path: Path, index: Any) -> np.ndarray:
    """Read a part of an array (`read` of a LazyField); `path` is the metadata file in its folder."""
    return read_part(zarr.open_array(path.parent, mode="r"), index)


def write(path: Path, description: dict[str, Any], fields: list[FieldToWrite]) -> None:
    """Write an array a field, streaming its slabs."""
    group = zarr.create_group(path, attributes=description)
    for field in fields:
        chunks = tuple(min(n, most) for n, most in zip(field.shape, CHUNK, strict=True))
        array = group.create_array(
            field.name,
            shape=field.shape,
            dtype="float32",
            chunks=chunks,
            fill_value=np.nan,
            dimension_names=("z", "y", "x"),
            attributes={"units": field.unit},
        )
        start = 0
        for slab in field.slabs():
            array[start : start + len(slab)] = slab
            start += len(slab)
