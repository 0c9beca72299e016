"""Configurations as data: dataclass to JSON and back, fingerprints, provenance, safe writing.

A configuration is a frozen dataclass of plain JSON values that stands beside the thing it configures.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import platform
import secrets
import subprocess
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

SCHEMA = 1
"""Version of the layout of datasets and runs on disk."""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the tail of an error about an unknown name: the nearest known one, and all of them.

    Examples
    --------
    >>> did_you_mean("lairs", ["layers", "attention"])
    "did you mean 'layers'? Known: attention, layers"
    """
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    listed = "Known: " + ", ".join(sorted(known))
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def to_dict(config: Any) -> dict[str, Any]:
    """Return a dataclass as a dict of plain JSON values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config), allow_nan=False))


def from_dict(kind: type[T], data: Mapping[str, Any], *, where: str | None = None) -> T:
    """Build the dataclass `kind` from a dict, refusing unknown keys and values of the wrong type.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are JSON values, tuples of them, or dataclasses of the same sort.
    data : mapping
        Its fields by name; missing ones take their defaults.
    where : str, optional
        What the data are called in errors (a file, a section); the name of the class by default.

    Raises
    ------
    ValueError
        An unknown key (with the nearest known one) or a required key that is missing.
    TypeError
        A value of the wrong type.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Beam:
    ...     fwhm_arcsec: float = 18.2
    >>> from_dict(Beam, {"fwhm_arcsec": 36})
    Beam(fwhm_arcsec=36.0)
    >>> from_dict(Beam, {"fwhm": 36})
    Traceback (most recent call last):
    ValueError: Beam: unknown key 'fwhm': did you mean 'fwhm_arcsec'? Known: fwhm_arcsec
    """
    where = where or kind.__name__
    if not isinstance(data, Mapping):
        raise TypeError(f"{where}: expected an object with named values, got {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in data:
        if key not in fields:
            raise ValueError(f"{where}: unknown key {key!r}: {did_you_mean(key, list(fields))}")
    hints = typing.get_type_hints(kind)
    missing = [
        name
        for name, field in fields.items()
        if name not in data
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: expected the key {missing[0]!r}, got {sorted(data) or 'nothing'}")
    return kind(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the type of a field, or raise TypeError."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        choices = typing.get_args(hint)
        if value is None and type(None) in choices:
            return None
        for choice in choices:
            if choice is not type(None):
                try:
                    return _convert(choice, value, where)
                except TypeError:
                    continue
        raise TypeError(f"{where}: expected {hint}, got {value!r}")
    if origin is typing.Literal:
        return value  # the class itself checks its choices, with its own remedy
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{where}: expected a list, got {value!r}")
        inner = typing.get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_convert(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(inner) != len(value):
            raise TypeError(f"{where}: expected {len(inner)} values, got {len(value)}")
        return tuple(
            _convert(part, item, f"{where}[{i}]")
            for i, (part, item) in enumerate(zip(inner, value, strict=True))
        )
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where}: expected an object, got {value!r}")
        return dict(value)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, where=where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(hint, type) and hint not in (int, float) and isinstance(value, hint):
        return value
    raise TypeError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")


def canonical_json(data: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, finite numbers only."""
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        data = to_dict(data)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain_numbers(config: Any) -> None:
    """Turn numpy numbers in the fields of a frozen dataclass into Python's, which JSON knows (for __post_init__)."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, tuple):
            value = tuple(item.item() if isinstance(item, np.generic) else item for item in value)
        elif isinstance(value, np.generic):
            value = value.item()
        object.__setattr__(config, field.name, value)


def fingerprint(data: Any) -> str:
    """Return 16 hexadecimal digits that name a configuration: the start of its SHA-256.

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where an artefact comes from: versions, commit, seed, machine and time (UTC)."""

    polaris_lab: str
    commit: str | None
    python: str
    packages: dict
    platform: str
    seed: int | None
    created: str

    @classmethod
    def now(cls, *, seed: int | None = None) -> Provenance:
        """Describe this process at this moment."""
        packages = {name: metadata.version(name) for name in ("numpy", "torch", "astropy", "zarr")}
        return cls(
            polaris_lab=metadata.version("polaris-lab"),
            commit=_commit(),
            python=platform.python_version(),
            packages=packages,
            platform=f"{platform.system()} {platform.machine()}",
            seed=seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _commit() -> str | None:
    """Return the commit of the source tree this package runs from, None outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a small file whole: to a temporary file beside it, flushed to disk, then renamed over it.

    A reader sees the old file or the new one, never a part; a process killed half way leaves the old one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def write_json(path: str | Path, data: Any) -> Path:
    """Write a value (or a dataclass) as indented JSON, whole or not at all."""
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        data = to_dict(data)
    return write_bytes(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a broken one gives ValueError with the place of the fault."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected JSON, got a fault in line {error.lineno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected JSON in UTF-8, got other bytes: {error}") from error


def check_schema(version: Any, where: str) -> int:
    """Return the schema version of an artefact, or refuse one that is newer than this program.

    Raises
    ------
    ValueError
        If the version is missing, no number, or newer than :data:`SCHEMA`.
    """
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{where}: expected a schema version from 1 to {SCHEMA}, got {version!r}")
    if version > SCHEMA:
        raise ValueError(
            f"{where}: expected schema version {SCHEMA} or older, got {version}, which a newer polaris-lab wrote; "
            "install the newest version (pip install --upgrade polaris-lab) to open it"
        )
    return version
