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
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from polaris_lab.config import write_bytes
from polaris_lab.datasets.layout import require_arrays, write_column
from polaris_lab.lock import InUseError, hold

logger = logging.getLogger(__name__)

KIND = "polaris_lab patch dataset"
"""Stands in the attributes of every dataset, so that no other folder is ever taken for one."""

COMMITS = "commits.jsonl"
SCRATCH = "scratch"


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
    names : list of str
        The arrays in the order in which patches are handed in: inputs, then targets.
    """

    def __init__(
        self,
        path: Path,
        group: zarr.Group,
        records: list[dict[str, Any]],
        claim: ExitStack,
        *,
        overwrite: bool,
    ):
        self.path = path
        self.records = records
        self._group = group
        self._claim = claim
        self._overwrite = overwrite
        self.names = [*group.attrs["inputs"], *group.attrs["targets"]]
        self._log = open(partial_path(path) / COMMITS, "ab")  # noqa: SIM115 - closed by seal and close

    @classmethod
    def begin(
        cls,
        path: Path,
        manifest: Mapping[str, Any],
        arrays: Mapping[str, str],
        *,
        velocity: np.ndarray | None = None,
        overwrite: bool = False,
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
        velocity : ndarray, shape (v,), optional
            Channel centres of the line cubes [km/s].
        overwrite : bool
            Replace a dataset at `path` once the new one is whole; throw away a partial one of another recipe.

        Raises
        ------
        FileExistsError
            If something stands at `path`, or a partial dataset of another recipe.
        InUseError
            If another process builds it.
        """
        with ExitStack() as claim:
            claim.enter_context(claimed(path))
            check_free(path, manifest["fingerprint"], overwrite=overwrite)
            partial = partial_path(path)
            if partial.exists() and manifest["fingerprint"] != _stored_fingerprint(partial):
                shutil.rmtree(partial)
            if partial.exists():
                group, records = cls._taken_up(partial, arrays, velocity)
            else:
                group = zarr.create_group(partial, zarr_format=3, attributes={**manifest, "complete": False})
                require_arrays(group, arrays, velocity)
                records = []
            return cls(path, group, records, claim.pop_all(), overwrite=overwrite)

    @staticmethod
    def _taken_up(
        partial: Path, arrays: Mapping[str, str], velocity: np.ndarray | None
    ) -> tuple[zarr.Group, list[dict[str, Any]]]:
        """Take up a partial dataset after its last patch that is stored whole."""
        shutil.rmtree(partial / SCRATCH, ignore_errors=True)
        for leftover in partial.rglob("*.partial"):  # files of a write that was cut off
            leftover.unlink()
        group = zarr.open_group(partial, mode="r+", use_consolidated=False)
        require_arrays(group, arrays, velocity)
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
        return group, records

    @property
    def scratch(self) -> Path:
        """Folder for what is needed while the dataset grows; it does not outlive the growing."""
        return partial_path(self.path) / SCRATCH

    def append(self, arrays: Mapping[str, np.ndarray], row: Mapping[str, Any]) -> None:
        """Write one patch and commit it.

        Parameters
        ----------
        arrays : mapping
            Every array of the dataset by name, inputs first: (y, x), or (v, y, x) for a line cube.
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
        self._log.close()
        partial = partial_path(self.path)
        shutil.rmtree(self.scratch, ignore_errors=True)
        names = list(self.records[0]["sha256"])
        for name in names:
            array = self._group[name]
            array.resize((len(self.records), *array.shape[1:]))
        rows = self._group.create_group("patch", overwrite=True)
        digests = np.array([[record["sha256"][name] for name in names] for record in self.records])
        for name, values in {**table, "sha256": digests}.items():
            write_column(rows, name, values)
        rows["sha256"].attrs["arrays"] = names
        self._group.attrs.update({**attributes, "complete": True})
        with warnings.catch_warnings():  # zarr notes that version 3 does not specify it yet; xarray reads it
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(partial, path="patch", zarr_format=3)
            zarr.consolidate_metadata(partial, zarr_format=3)
        (partial / COMMITS).unlink()
        _rename(partial, self.path, overwrite=self._overwrite)
        self.close()

    def close(self) -> None:
        """Let go of it; a partial dataset stays and can be resumed."""
        self._log.close()
        self._claim.close()

    def discard(self) -> None:
        """Throw the partial dataset away."""
        self._log.close()
        shutil.rmtree(partial_path(self.path), ignore_errors=True)
        self.close()

    def __enter__(self) -> GrowingDataset:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def claimed(path: Path) -> AbstractContextManager[None]:
    """Hold the place of a dataset while the block runs, so that no two processes build it at once.

    Raises
    ------
    InUseError
        If another process holds it.
    """

    def in_use(entry: dict[str, Any]) -> InUseError:
        return InUseError(
            f"{path}: expected a dataset that nobody is building, got one that process {entry['pid']} on "
            f"{entry['host']} has been building since {entry.get('started')}; wait for it, or choose another path"
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    return hold(path.with_name(f"{path.name}.building.json"), in_use)


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
        if overwrite and taken.exists() and not is_dataset(taken) and (taken.is_file() or _contents(taken)):
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
        if stored != fingerprint and _contents(partial):
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
    with claimed(path):
        _rename(partial, path, overwrite=overwrite)
    return True


def _contents(folder: Path) -> list[Path]:
    """Return what a folder holds but for files whose writing was cut off."""
    return [entry for entry in folder.iterdir() if not entry.name.endswith(".partial")]


def _rename(partial: Path, path: Path, *, overwrite: bool) -> None:
    old = path.with_name(path.name + ".replaced")
    if overwrite and path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _stored_fingerprint(path: Path) -> str | None:
    try:
        return json.loads((path / "zarr.json").read_text())["attributes"]["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stored_checksum(group: zarr.Group, name: str, number: int) -> str | None:
    try:
        return checksum(group[name][number])
    except (ValueError, OSError, KeyError, IndexError, RuntimeError):  # missing or cut off
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
