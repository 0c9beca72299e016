"""One process at a time trains a run: `running.json` in its folder says which."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from polaris_lab import lock as locks

LOCK_NAME = "running.json"


class RunInUseError(locks.InUseError):
    """Another process (or another loop of this one) trains the run."""


def holder(folder: Path) -> dict[str, Any] | None:
    """Return who trains the run (pid, started, host), None if nobody does (:func:`polaris_lab.lock.holder`)."""
    return locks.holder(folder / LOCK_NAME)


def lock(folder: Path) -> AbstractContextManager[None]:
    """Hold the run while the block runs.

    Raises
    ------
    RunInUseError
        If somebody else holds it.
    """
    return locks.hold(folder / LOCK_NAME, lambda entry: _in_use(folder, entry))


def _in_use(folder: Path, entry: dict[str, Any]) -> RunInUseError:
    since = f"since {entry.get('started')}"
    if entry["host"] != platform.node():
        return RunInUseError(
            f"{folder}: expected a run that nobody trains, got one in training by process {entry['pid']} on "
            f"{entry['host']} {since}; wait for it, or, if that machine is gone, remove {folder / LOCK_NAME}"
        )
    if entry["pid"] == os.getpid():
        return RunInUseError(
            f"{folder}: expected a run that nobody trains, got one in training by this process {since}; leave the "
            "loop over Run.epochs() that is still open, or call its close()"
        )
    return RunInUseError(
        f"{folder}: expected a run that nobody trains, got one in training by process {entry['pid']} {since}; wait "
        "for it, or ask it to stop with Run.request_stop()"
    )
