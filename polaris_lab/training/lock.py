"""One process at a time trains a run: `running.json` in its folder says which."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from polaris_lab.config import read_json, write_json

LOCK_NAME = "running.json"
GUARD_NAME = ".running.guard"
GUARD_SECONDS = 10.0
"""Age at which the guard, held for milliseconds, must belong to a process that was killed."""


class RunInUseError(RuntimeError):
    """Another process (or another loop of this one) trains the run."""


def holder(folder: Path) -> dict[str, Any] | None:
    """Return who trains the run (pid, started, host), None if nobody does.

    The entry of a process that no longer lives counts for nothing, also when another process has its number
    by now. A process of another machine cannot be asked: its entry counts.
    """
    try:
        entry = read_json(folder / LOCK_NAME)
        pid, born, host = int(entry["pid"]), float(entry["process_started"]), str(entry["host"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # never written so: not a lock
        return None
    if host != platform.node():
        return entry
    try:
        alive = abs(psutil.Process(pid).create_time() - born) < 2.0
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return entry
    return entry if alive else None


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the run while the block runs.

    Raises
    ------
    RunInUseError
        If somebody else holds it.
    """
    token = uuid.uuid4().hex
    path = folder / LOCK_NAME
    with _guard(folder):
        entry = holder(folder)
        if entry is not None:
            raise RunInUseError(_in_use(folder, entry))
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


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the lock and take it."""
    path = folder / GUARD_NAME
    deadline = time.monotonic() + 2 * GUARD_SECONDS
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            try:
                if time.time() - path.stat().st_mtime > GUARD_SECONDS:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            if time.monotonic() > deadline:
                raise RunInUseError(
                    f"{folder}: other processes keep starting it; remove {path.name}"
                ) from None
            time.sleep(0.01)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _in_use(folder: Path, entry: dict[str, Any]) -> str:
    since = f"since {entry.get('started')}"
    if entry["host"] != platform.node():
        return (
            f"{folder}: expected a run that nobody trains, got one in training by process {entry['pid']} on "
            f"{entry['host']} {since}; wait for it, or, if that machine is gone, remove {folder / LOCK_NAME}"
        )
    if entry["pid"] == os.getpid():
        return (
            f"{folder}: expected a run that nobody trains, got one in training by this process {since}; leave the "
            "loop over Run.epochs() that is still open, or call its close()"
        )
    return (
        f"{folder}: expected a run that nobody trains, got one in training by process {entry['pid']} {since}; wait "
        "for it, or ask it to stop with Run.request_stop()"
    )
