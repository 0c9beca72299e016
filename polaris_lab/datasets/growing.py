"""A dataset while it is being written: one commit record a patch, so that a killed build resumes.

The dataset grows as ``NAME.zarr.partial/``. A patch is written (one chunk an array), then a line of
``commits.jsonl`` says that it is done and gives its SHA-256. The last act is the rename to ``NAME.zarr``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from polaris_lab.config import write_bytes

logger = logging.getLogger(__name__)

KIND = "polaris_lab patch dataset"
"""Stands in the attributes of every dataset, so that no other folder is ever taken for one."""

COMMITS = "commits.jsonl"


def partial_path(path: Path) -> Path:
    """Return where the dataset `path` grows until it is whole."""
    return path.with_name(path.name + ".partial")


def checksum(patch: np.ndarray) -> str:
    """Return the SHA-256 of the values of one patch (float32, little endian, row by row)."""
    return hashlib.sha256(np.ascontiguousarray(patch, "<f4").tobytes()).hexdigest()


def is_dataset(path: Path) -> bool:
    """Whether a folder holds a dataset of this package, whole or partial."""
    try:
        attributes = json.loads((path / "zarr.json").read_text())["attributes"]
        return attributes["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False


class GrowingDataset:
    """A dataset that is being written; see the module.

    Attributes
    ----------
    path : Path
        Where it will stand when it is whole.
    records : list of dict
        The commit records so far: ``{"sha256": {array: hex}, "row": {...}}``.
    """

    def __init__(self, path: Path, group: zarr.Group, records: list[dict[str, Any]], *, overwrite: bool):
        self.path = path
        self.records = records
        self._group = group
        self._overwrite = overwrite
        self._log = open(partial_path(path) / COMMITS, "ab")  # noqa: SIM115 - closed by seal and close

    @classmethod
    def begin(
        cls, path: Path, manifest: Mapping[str, Any], arrays: Mapping[str, str], *, overwrite: bool = False
    ) -> GrowingDataset:
        """Start a dataset, or resume the partial one with the same fingerprint.

        Parameters
        ----------
        path : Path
            Where it will stand.
        manifest : mapping
            Attributes of the group; ``fingerprint`` and ``patch_size`` among them.
        arrays : mapping
            The unit of every array by its name.
        overwrite : bool
            Replace a dataset at `path` once the new one is whole; throw away a partial one of another recipe.

        Raises
        ------
        FileExistsError
            If something stands at `path`, or a partial dataset of another recipe.
        """
        check_free(path, manifest["fingerprint"], overwrite=overwrite)
        partial = partial_path(path)
        if partial.exists() and (manifest["fingerprint"] != _stored_fingerprint(partial)):
            shutil.rmtree(partial)
        if partial.exists():
            return cls._resume(path, arrays, overwrite)
        group = zarr.create_group(partial, zarr_format=3, attributes={**manifest, "complete": False})
        _require_arrays(group, arrays)
        return cls(path, group, [], overwrite=overwrite)

    @classmethod
    def _resume(cls, path: Path, arrays: Mapping[str, str], overwrite: bool) -> GrowingDataset:
        """Take up a partial dataset after its last patch that is stored whole."""
        partial = partial_path(path)
        for leftover in partial.rglob("*.partial"):  # files of a write that was cut off
            leftover.unlink()
        group = zarr.open_group(partial, mode="r+", use_consolidated=False)
        _require_arrays(group, arrays)
        records = []
        for record in _read_commits(partial / COMMITS):
            number = len(records)
            if any(_stored_checksum(group, name, number) != record["sha256"].get(name) for name in arrays):
                logger.warning(
                    "%s: patch %d is damaged; it and later ones are written again", partial, number
                )
                break
            records.append(record)
        write_bytes(partial / COMMITS, b"".join(_line(record) for record in records))
        logger.info("%s: resumed with %d patches", partial, len(records))
        return cls(path, group, records, overwrite=overwrite)

    def append(self, arrays: Mapping[str, np.ndarray], row: Mapping[str, Any]) -> None:
        """Write one patch and commit it.

        Parameters
        ----------
        arrays : mapping
            Every array of the dataset by name, each (y, x).
        row : mapping
            What the table says of the patch, JSON values.
        """
        number = len(self.records)
        for name, values in arrays.items():
            array = self._group[name]
            if array.shape[0] <= number:
                array.resize((max(64, 2 * number), *array.shape[1:]))  # room to grow, trimmed by seal
            array[number] = values
        record = {
            "sha256": {name: checksum(values) for name, values in arrays.items()},
            "row": dict(row),
        }
        self._log.write(_line(record))
        self._log.flush()
        os.fsync(self._log.fileno())
        self.records.append(record)

    def seal(self, table: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Write the table and the last attributes, and give the dataset its name.

        Parameters
        ----------
        table : mapping
            Columns by name, one entry a patch; text, numbers, or (patch, 2) for positions.
        attributes : mapping
            What is added to the attributes of the group.
        """
        self.close()
        partial = partial_path(self.path)
        names = list(self.records[0]["sha256"])
        for name in names:
            array = self._group[name]
            array.resize((len(self.records), *array.shape[1:]))
        rows = self._group.create_group("patch", overwrite=True)
        digests = np.array([[record["sha256"][name] for name in names] for record in self.records])
        for name, values in {**table, "sha256": digests}.items():
            _write_column(rows, name, values)
        rows["sha256"].attrs["arrays"] = names
        self._group.attrs.update({**attributes, "complete": True})
        with warnings.catch_warnings():  # zarr notes that version 3 does not specify it yet; xarray reads it
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(partial, path="patch", zarr_format=3)
            zarr.consolidate_metadata(partial, zarr_format=3)
        (partial / COMMITS).unlink()
        _rename(partial, self.path, overwrite=self._overwrite)

    def close(self) -> None:
        """Close the log; the partial dataset stays and can be resumed."""
        self._log.close()

    def discard(self) -> None:
        """Throw the partial dataset away."""
        self.close()
        shutil.rmtree(partial_path(self.path), ignore_errors=True)

    def __enter__(self) -> GrowingDataset:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_free(path: Path, fingerprint: str, *, overwrite: bool = False) -> None:
    """Refuse a path that is taken, before any work is done for it.

    A partial dataset of the same recipe that only lacks its name gets it here.

    Raises
    ------
    FileExistsError
        If something stands at `path`, or beside it a partial dataset of another recipe.
    """
    partial = partial_path(path)
    for taken in (path, partial):
        if (
            overwrite
            and taken.exists()
            and not is_dataset(taken)
            and (taken.is_file() or any(taken.iterdir()))
        ):
            raise FileExistsError(
                f"{taken}: expected a dataset to overwrite, got something else, which is left alone; "
                "choose another path"
            )
    if path.exists() and not overwrite:
        same = is_dataset(path) and _stored_fingerprint(path) == fingerprint
        raise FileExistsError(
            f"{path}: expected a path that is free, got an existing "
            + (
                "dataset of this very recipe; "
                if same
                else "dataset; "
                if is_dataset(path)
                else "file or folder; "
            )
            + "open it with PatchDataset.open, choose another path, or replace it with overwrite=True"
        )
    if partial.exists() and not overwrite:
        stored = _stored_fingerprint(partial)
        if stored != fingerprint and any(partial.iterdir()):
            raise FileExistsError(
                f"{partial}: expected a partial dataset with fingerprint {fingerprint}, got {stored or 'none'}: it "
                "was begun with other cubes or another configuration; finish it with those, choose another "
                "path, or throw it away with overwrite=True"
            )


def finish_interrupted_rename(path: Path, fingerprint: str, *, overwrite: bool = False) -> bool:
    """Give a whole dataset its name if it was killed between its last two acts; say whether it was so."""
    partial = partial_path(path)
    if not partial.exists() or (partial / COMMITS).exists() or _stored_fingerprint(partial) != fingerprint:
        return False
    if not json.loads((partial / "zarr.json").read_text())["attributes"].get("complete"):
        return False
    _rename(partial, path, overwrite=overwrite)
    return True


def _require_arrays(group: zarr.Group, arrays: Mapping[str, str]) -> None:
    """Create the arrays that are not there yet, without any patch."""
    side = group.attrs["patch_size"]
    for name, unit in arrays.items():
        if name not in group:
            group.create_array(
                name,
                shape=(0, side, side),
                chunks=(1, side, side),
                dtype="float32",
                fill_value=float("nan"),
                compressors=None,  # mantissas of turbulence are noise: nothing to gain
                dimension_names=("patch", "y", "x"),
                attributes={"units": unit},
            )


def _rename(partial: Path, path: Path, *, overwrite: bool) -> None:
    old = path.with_name(path.name + ".replaced")
    if overwrite and path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _write_column(group: zarr.Group, name: str, values: np.ndarray) -> None:
    values = np.asarray(values)
    text = values.dtype.kind in "UTO"
    second = {"origin": "row_column", "sha256": "array"}.get(name, "component")
    column = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype="string" if text else values.dtype,
        dimension_names=("patch", second)[: values.ndim],
    )
    column[:] = values.astype(np.dtypes.StringDType()) if text else values
    if name == "origin":
        column.attrs.update(
            {"units": "pixel", "description": "row and column of the patch's first pixel on its face"}
        )


def _stored_fingerprint(path: Path) -> str | None:
    try:
        return json.loads((path / "zarr.json").read_text())["attributes"]["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stored_checksum(group: zarr.Group, name: str, number: int) -> str | None:
    try:
        return checksum(group[name][number])
    except (ValueError, OSError, KeyError, IndexError):  # missing or cut off
        return None


def _read_commits(path: Path) -> Sequence[dict[str, Any]]:
    """Read the commit records; a last line that was cut off does not count."""
    records = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()
