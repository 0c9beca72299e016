"""The files of a study: what it is (`study.json`) and which cells are done (`ledger.jsonl`)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from polaris_lab import lock as locks
from polaris_lab.config import (
    SCHEMA,
    Provenance,
    canonical_json,
    check_schema,
    fingerprint,
    read_json,
    to_dict,
    write_json,
)
from polaris_lab.training.folder import append_line
from polaris_lab.training.settings import decisive
from polaris_lab.training.studies.cells import Cell, key_of

DESCRIPTION, LEDGER, LOCK, STOP = "study.json", "ledger.jsonl", "running.json", "stop"
ABSENT = "-"
IDENTITY = ("kind", "axes", "preset", "settings", "training", "dataset", "more")
"""What of study.json makes it this study and no other; cells and seeds may be added."""

logger = logging.getLogger(__name__)


class StudyInUseError(locks.InUseError):
    """Another process (or another loop of this one) runs the study."""


def describe_study(
    kind: str,
    cells: Sequence[Cell],
    *,
    preset: str,
    settings: Mapping[str, Any],
    training: Any,
    dataset: Any,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of study.json."""
    base = decisive(training)
    base.pop("seed")
    return {
        "schema": SCHEMA,
        "kind": kind,
        "axes": list(cells[0].settings) if cells else [],
        "preset": preset,
        "settings": json.loads(canonical_json(dict(settings))),
        "training": base,
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "pixel_size_pc": dataset.pixel_size_pc,
            "patch_size": dataset.patch_size,
            "training_patches": len(dataset.indices("training")),
            "validation_patches": len(dataset.indices("validation")),
        },
        "more": json.loads(canonical_json(dict(more or {}))),
        "seeds": sorted({cell.seed for cell in cells}),
        "cells": [
            {
                "settings": cell.settings,
                "seed": cell.seed,
                "run": cell.run,
                "network": fingerprint(cell.blueprint),
            }
            for cell in cells
        ],
        "provenance": to_dict(Provenance.now()),
    }


def read_study(path: Path) -> dict[str, Any]:
    """Read study.json.

    Raises
    ------
    FileNotFoundError
        If there is no study in the folder.
    ValueError
        If the file is damaged or a newer version wrote it.
    """
    file = path / DESCRIPTION
    if not file.is_file():
        raise FileNotFoundError(
            f"{path}: expected the folder of a study, got {'one without ' + DESCRIPTION if path.exists() else 'nothing there'}; "
            "make one with complexity_map(dataset, training, path=...) or another study"
        )
    data = read_json(file)
    if not isinstance(data, Mapping):
        raise ValueError(f"{file}: expected an object with named values, got {type(data).__name__}")
    check_schema(data.get("schema"), str(file))
    missing = [name for name in (*IDENTITY, "seeds", "cells") if name not in data]
    if missing:
        raise ValueError(
            f"{file}: expected the key {missing[0]!r}, got {sorted(data)}; restore it from a copy"
        )
    return dict(data)


def check_same(path: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder that holds something else than the study that is wanted, or the same with other choices.

    Raises
    ------
    FileExistsError
        The error names every difference; more cells and more seeds are none.
    """
    if not (path / DESCRIPTION).is_file():
        if path.is_file() or (path.is_dir() and any(entry.name not in _OWN for entry in path.iterdir())):
            raise FileExistsError(
                f"{path}: expected a free path or a study, got something else; choose another path"
            )
        return
    found = read_study(path)
    ours, theirs = (
        {name: data[name] for name in IDENTITY} | {"network": _networks(data)} for data in (wanted, found)
    )
    common = ours["network"].keys() & theirs["network"].keys()
    for data in (ours, theirs):
        data["network"] = {key: network for key, network in data["network"].items() if key in common}
    if canonical_json(ours) == canonical_json(theirs):
        return
    left, right = _flat(ours), _flat(theirs)
    names = [*left, *(name for name in right if name not in left)]
    lines = [
        f"{name}: {right.get(name, ABSENT)!r} in the folder, {left.get(name, ABSENT)!r} now"
        for name in names
        if left.get(name, ABSENT) != right.get(name, ABSENT)
    ]
    raise FileExistsError(
        f"{path}: expected no study, or one of the same choices (with fewer cells or seeds), got one that differs: "
        f"{'; '.join(lines)}. Take the choices of {DESCRIPTION} to go on with it, or another path"
    )


def _networks(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprint of the network of every cell, by what the cell is."""
    return {key_of(cell["settings"], cell["seed"]): cell["network"] for cell in data["cells"]}


_OWN = (LOCK, f".{Path(LOCK).stem}.guard", "datasets", "dataset.zarr", STOP)


def keep(path: Path, wanted: Mapping[str, Any]) -> None:
    """Write study.json, with the cells that it already had and those that are new."""
    check_same(path, wanted)
    content = dict(wanted)
    if (path / DESCRIPTION).is_file():
        found = read_study(path)
        known = {key_of(cell["settings"], cell["seed"]) for cell in found["cells"]}
        added = [cell for cell in wanted["cells"] if key_of(cell["settings"], cell["seed"]) not in known]
        if not added:
            return
        content = {**found, "cells": [*found["cells"], *added],
                   "seeds": sorted({*found["seeds"], *wanted["seeds"]})}  # fmt: skip
    write_json(path / DESCRIPTION, content)


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Return the lines of finished cells, the last of each; a line cut off by a kill does not count.

    Raises
    ------
    ValueError
        If another line is damaged.
    """
    file = path / LEDGER
    if not file.exists():
        return []
    *lines, _unfinished = file.read_text(encoding="utf-8").split("\n")
    entries: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            entries[key_of(entry["settings"], entry["seed"])] = entry
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{file}: expected one finished cell in line {number}, got {line[:60]!r} ({error}); remove the line: its "
                "cell is judged again"
            ) from error
    return list(entries.values())


def commit(path: Path, entry: Mapping[str, Any]) -> None:
    """Add the line of a finished cell, on disk when this returns."""
    append_line(path / LEDGER, json.dumps(dict(entry), allow_nan=False) + "\n")


def cut_unfinished_line(path: Path) -> None:
    """Take away what a kill left of a last line, so that the next one stands for itself; the caller holds the lock."""
    file = path / LEDGER
    if not file.exists():
        return
    text = file.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(file, whole)


def holder(path: Path) -> dict[str, Any] | None:
    """Return who runs the study (pid, started, host), None if nobody does."""
    return locks.holder(path / LOCK)


def lock(path: Path) -> AbstractContextManager[None]:
    """Hold the study while the block runs.

    Raises
    ------
    StudyInUseError
        If somebody else holds it.
    """
    return locks.hold(path / LOCK, lambda entry: _in_use(path, entry))


def _in_use(path: Path, entry: Mapping[str, Any]) -> StudyInUseError:
    mine = entry["pid"] == os.getpid()
    who = "this process" if mine else f"process {entry['pid']} on {entry['host']}"
    remedy = (
        "leave the loop over it that is still open, or call its close()"
        if mine
        else f"wait for it, stop it, or, if that machine is gone, remove {path / LOCK}"
    )
    return StudyInUseError(
        f"{path}: expected a study that nobody runs, got one run by {who} since {entry.get('started')}; {remedy}"
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree of dicts as one dict with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
