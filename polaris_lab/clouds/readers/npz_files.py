"""Cubes in npz: an array a field, uncompressed so that they can be mapped, and the description as JSON text."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.lib import format as npy

from polaris_lab.clouds.readers.npy_files import next_array, write_array
from polaris_lab.clouds.readers.stored import (
    FIELD_UNITS,
    FieldToWrite,
    StoredCube,
    StoredField,
    parse_description,
)
from polaris_lab.config import canonical_json

DESCRIPTION = "description"
"""Name of the array with the description."""


def read(path: Path) -> StoredCube:
    """Find the arrays of an npz file; without a description they are in cm^-3, K and km s^-1."""
    fields: dict[str, StoredField] = {}
    description = None
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if leaves_its_folder(name):
                    raise ValueError(
                        f"{path}: expected names of arrays, got a member that leaves its folder, {member.filename!r}; "
                        "do not use this file, or write it again with numpy.savez"
                    )
                values = _array(archive, member, path)
                if name == DESCRIPTION and isinstance(values, str):
                    description = parse_description(values, str(path))
                elif getattr(values, "ndim", 0) >= 2:
                    fields[name] = StoredField(values, FIELD_UNITS.get(name))
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: expected an npz file, got one that is cut off or damaged: {error}"
        ) from error
    size = description["cell_size_pc"] if description else None
    return StoredCube(fields, description, size)


def leaves_its_folder(name: str) -> bool:
    """Whether the name of an archive's member leads out of the folder that it would be unpacked in.

    Examples
    --------
    >>> leaves_its_folder("gas/density"), leaves_its_folder("../density"), leaves_its_folder("C:\\\\density")
    (False, True, True)
    """
    return any(
        path.is_absolute() or path.anchor or ".." in path.parts
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Any:
    """Return a member: lazily if it lies in the file as it is, read at once if it is compressed."""
    if member.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as file:
            file.seek(member.header_offset + 26)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            file.seek(member.header_offset + 30 + name_length + extra_length)
            return next_array(file, path)
    with archive.open(member) as stream:
        try:
            values = npy.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{path}: {member.filename}: expected a plain array, got {error}") from error
    return str(values) if values.dtype.kind == "U" and values.shape == () else values


def write(path: Path, description: dict[str, Any], fields: list[FieldToWrite]) -> None:
    """Write an array a field and the description."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(f"{DESCRIPTION}.npy", "w") as stream:
            npy.write_array(stream, np.array(canonical_json(description)), allow_pickle=False)
        for field in fields:
            with archive.open(f"{field.name}.npy", "w", force_zip64=True) as stream:
                write_array(stream, field)
