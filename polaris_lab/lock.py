"""One process at a time: a small JSON file says which one works on something, and whether it still lives."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from polaris_lab.config import read_json, write_json

GUARD_SECONDS = 10.0
"""Age at which the guard, held for milliseconds, must belong to a process that was killed."""


class InUseError(RuntimeError):
    """Another process (or another part of this one) works on it."""


def holder(path: Path) -> dict[str, Any] | None:
    """Return who holds a lock (pid, started, host), None if nobody does.

    The entry of a process that no longer lives counts for nothing, also when another process has its number
    by now, or waits only for its parent to take note of its end. A process of another machine cannot be asked: its entry counts.

    Parameters
    ----------
    path : Path
        The file of the lock.
    """
    try:
        entry = read_json(path)
        pid, born, host = int(entry["pid"]), float(entry["process_started"]), str(entry["host"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # never written so: not a lock
        return None
    if host != platform.node():
        return entry
    try:
        process = psutil.Process(pid)
        alive = abs(process.create_time() - born) < 2.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return entry
    return entry if alive else None


@contextmanager
def hold(path: Path, in_use: Callable[[dict[str, Any]], InUseError]) -> Iterator[None]:
    """Hold a lock while the block runs.

    Parameters
    ----------
    path : Path
        The file of the lock; a file beside it guards the moment of taking it.
    in_use : callable
        Makes the error of the entry of whoever holds it.

    Raises
    ------
    InUseError
        If somebody else holds it.
    """
    token = uuid.uuid4().hex
    with _guard(path):
        entry = holder(path)
        if entry is not None:
            raise in_use(entry)
        write_json(
            path,
            {
                "pid": os.getpid(),
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": platform.node(),
                "process_started": psutil.Process().create_time(),
                "token": token,
            },
        )
    try:
        yield
    finally:
        if path.exists() and read_json(path).get("token") == token:
            path.unlink()


def guard_path(path: Path) -> Path:
    """Return the file that guards the taking of a lock."""
    return path.with_name(f".{path.stem}.guard")


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Let one process at a time look at a lock and take it."""
    guard = guard_path(path)
    deadline = time.monotonic() + 2 * GUARD_SECONDS
    while True:
        try:
            os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            try:
                if time.time() - guard.stat().st_mtime > GUARD_SECONDS:
                    guard.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            if time.monotonic() > deadline:
                raise InUseError(f"{path}: other processes keep taking it; remove {guard}") from None
            time.sleep(0.01)
    try:
        yield
    finally:
        guard.unlink(missing_ok=True)
