"""Blueprints as JSON files of the workspace: written whole, never over another without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polaris_lab import config
from polaris_lab.models import Blueprint
from polaris_lab.training import Run


class BlueprintFile:
    """What was last read or written, so that only other files are asked about."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._bytes = b""

    def save(self, path: Path, blueprint: Blueprint, *, overwrite: bool = False) -> Path:
        """Write a blueprint.

        Raises
        ------
        FileExistsError
            If another file stands there, or ours was changed by somebody, and `overwrite` is False.
        """
        if path.suffix != ".json":
            raise ValueError(f"file: expected a name that ends in .json, got {path.name!r}; such as net.json")
        if path.is_dir():
            raise ValueError(
                f"file: expected the name of a file, got the folder {path.name!r}; choose another"
            )
        ours = path == self._path and path.exists() and path.read_bytes() == self._bytes
        if path.exists() and not ours and not overwrite:
            raise FileExistsError(
                f"{path.name}: a file stands there already; press Overwrite, or choose another name"
            )
        data = (blueprint.to_json() + "\n").encode()
        config.write_bytes(path, data)
        self._path, self._bytes = path, data
        return path

    def read(self, path: Path) -> tuple[Blueprint, Run | None]:
        """Read a blueprint, or the run in whose folder it lies; a folder means its run.

        Raises
        ------
        ValueError, TypeError, OSError
            If it is no JSON, no blueprint, or names a block that is not known.
        """
        if path.is_dir() or path.name == "run.json":
            run = Run.open(path if path.is_dir() else path.parent)
            return run.blueprint, run
        data = path.read_bytes()
        blueprint = Blueprint.from_dict(_json(path, data), where=path.name)
        self._path, self._bytes = path, data
        return blueprint, None


def _json(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path.name}: expected JSON, got a fault in line {error.lineno}: {error.msg}"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: expected JSON in UTF-8, got other bytes: {error}") from error
