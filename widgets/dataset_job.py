"""Building a training set behind a page: a thread that tells how far it is and stops when it is asked to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

JOBS: dict[Path, DatasetJob] = {}
"""The last job of each path in this process: a page that is reloaded finds its own again."""

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Progress:
    """One look at a job."""

    status: str = "idle"
    """idle, running, stopping, stopped, finished or failed."""
    done: int = 0
    """Patches that are stored."""
    total: int = 0
    """Patches found so far; 0 before the cloud is searched."""
    message: str = ""
    """What that means and what to do."""

    @property
    def busy(self) -> bool:
        """Whether a thread is at work."""
        return self.status in ("running", "stopping")

    @property
    def percent(self) -> int:
        """How far it is."""
        return round(100 * self.done / self.total) if self.total else 0


class DatasetJob:
    """Build one dataset in a thread.

    The library commits patch by patch: a job that is stopped, or a server that is killed, loses nothing, and the
    same cloud, choices and path take it up again.

    Parameters
    ----------
    cube : SimulationCube
    config : PatchConfig
    path : Path
        Where the dataset will stand.
    build : callable, optional
        Builds it; :func:`polaris_lab.build_dataset` by default.
    """

    def __init__(self, cube: Any, config: Any, path: Path, *, build: Callable[..., Any] | None = None):
        self.path = path
        self._build = build
        self._arguments = (cube, config, path)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen = Progress()

    def start(self) -> DatasetJob:
        """Start the thread.

        Raises
        ------
        ValueError
            If this process is building this dataset already, or something whole stands at the path.
        """
        with _ONE_AT_A_TIME:
            other = JOBS.get(self.path)
            if other is not None and other.look().busy:
                raise ValueError(
                    f"{self.path.name}: expected a dataset that nobody is building, got one that is being built; "
                    "wait for it, cancel it, or choose another name"
                )
            if self.path.exists():
                raise ValueError(
                    f"{self.path}: expected a name that is free, got an existing file or folder; choose another name, "
                    "or open what is there with lab.PatchDataset.open"
                )
            JOBS[self.path] = self
            self._seen = Progress("running", message="Searching the cloud. The page stays free meanwhile.")
            self._thread = threading.Thread(target=self._run, name=f"build-{self.path.name}", daemon=True)
            self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the thread to stop at its next patch."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> Progress:
        """Wait for the thread to end, and look."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.look()

    def look(self) -> Progress:
        """Return how it stands."""
        seen = self._seen
        if seen.status == "running" and self._stop.is_set():
            return replace(seen, status="stopping", message="Stopping at the next patch.")
        return seen

    def _run(self) -> None:
        try:
            from polaris_lab import build_dataset

            dataset = (self._build or build_dataset)(
                *self._arguments, progress=False, on_progress=self._follow
            )
        except _StoppedError:
            words = "Stopped. The patches stored so far are kept; Build with the same choices and name goes on from there."
            self._seen = replace(self._seen, status="stopped", message=words)
        except Exception as error:  # whatever it is, the page must say it
            logger.warning("%s: not built", self.path, exc_info=error)
            self._seen = replace(self._seen, status="failed", message=str(error) or type(error).__name__)
        else:
            words = f'Built with {len(dataset)} patches. Open it with lab.PatchDataset.open("{self.path.as_posix()}").'
            self._seen = Progress("finished", len(dataset), len(dataset), words)

    def _follow(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self._seen = Progress("running", done, total, f"Storing patches: {done} of {total}.")


class _StoppedError(Exception):
    """The visitor asked to stop."""
