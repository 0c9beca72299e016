"""What the folder of a study says at this moment, and a worker that runs its missing cells."""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from widgets.run_watcher import WORKER_LOG, last_words, start_apart

logger = logging.getLogger(__name__)

_WORKERS: dict[Path, subprocess.Popen] = {}
"""Workers that this process started; the folder of the study tells everything else."""

_FILES = ("study.json", "ledger.jsonl", "running.json", "stop")


@dataclass(frozen=True)
class StudySnapshot:
    """One look at a study."""

    status: str = "missing"
    """missing, empty, broken, starting, running, stopping, stopped, finished or failed."""
    message: str = ""
    name: str = ""
    done: int = 0
    """Cells (with their seeds) in the ledger."""
    total: int = 0
    """Cells planned."""
    failed: int = 0
    """Cells whose training failed."""

    @property
    def busy(self) -> bool:
        """Whether a process works on it."""
        return self.status in ("starting", "running", "stopping")

    @property
    def can_start(self) -> bool:
        """Whether there are cells to run and nobody runs them."""
        return self.status in ("stopped", "failed")


class StudyWatcher:
    """Look at a study again and again, reading only what changed.

    Parameters
    ----------
    path : Path
        Its folder; it may be missing, or vanish.
    """

    def __init__(self, path: Path):
        self.path = path
        self.study: Any = None
        self.table: Any = None
        self._stamp: Any = None
        self._last = StudySnapshot()
        self._refused = ""

    def look(self) -> tuple[StudySnapshot, bool]:
        """Return how it stands, and whether its cells changed. Never raises: a fault is a state with its remedy."""
        from polaris_lab.training import Study

        worker = _WORKERS.get(self.path)
        code = None if worker is None else worker.poll()
        if not (self.path / "study.json").is_file():
            self.study = self.table = self._stamp = None
            self._last = self._without_study()
            return self._last, False
        stamp = tuple(_stamp(self.path / name) for name in _FILES)
        cells_changed = self._stamp is None or stamp[:2] != self._stamp[:2]
        if stamp == self._stamp and code is None and worker is None and not self._last.busy:
            return self._last, False
        try:
            if cells_changed:
                self.study = Study.open(self.path)
                self.table = self.study.table()
            state = self.study.state
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("%s: %s", self.path, error)
            self._stamp = None
            self._last = StudySnapshot("broken", f"This study cannot be read: {error}", self.path.name)
            return self._last, False
        self._stamp = stamp
        self._last = self._snapshot(state, code)
        return self._last, cells_changed

    def start(self, dataset: Path | None, *, retry_failed: bool) -> None:
        """Start a worker that runs what is missing.

        Raises
        ------
        ValueError
            If there is nothing to run, or somebody runs it.
        """
        seen, _changed = self.look()
        if not (seen.can_start or (retry_failed and seen.status == "finished" and seen.failed)):
            raise ValueError(
                f"{self.path.name}: expected a study with missing cells that nobody runs, got one that is {seen.status}"
            )
        more = [] if dataset is None else ["--dataset", str(dataset)]
        more += ["--retry-failed"] if retry_failed else []
        command = ["study", str(self.path), "--finish", "--quiet", *more]
        _WORKERS[self.path] = start_apart(command, self.path / WORKER_LOG)

    def cancel(self) -> None:
        """Ask whoever runs the study to stop at the next batch.

        Raises
        ------
        ValueError
            If nobody does.
        """
        if self.study is None or not self.study.request_stop():
            raise ValueError(f"{self.path.name}: expected a study that runs, got one that does not")

    def _snapshot(self, state: str, code: int | None) -> StudySnapshot:
        """Reduce what ledger, lock and our worker say to one word."""
        states = self.table["state"]
        counts = {
            "done": int((states != "not run").sum()),
            "total": len(states),
            "failed": int((states == "failed").sum()),
            "name": self.path.name,
        }
        worker = _WORKERS.get(self.path)
        if state == "running":
            stopping = (self.path / "stop").exists()
            return StudySnapshot("stopping" if stopping else "running", self._at_work(stopping), **counts)
        if worker is not None and code is None:
            return StudySnapshot("starting", "Starting the worker.", **counts)
        if worker is not None:
            del _WORKERS[self.path]
            if code != 0:
                said = last_words(self.path) or f"exit status {code}"
                return StudySnapshot("failed", f"The worker ended with an error: {said}", **counts)
        elif self._last.status == "failed":
            return StudySnapshot("failed", self._last.message, **counts)
        return StudySnapshot(state, "", **counts)

    def _at_work(self, stopping: bool) -> str:
        """Say which run is in training and how far it is."""
        if stopping:
            return "Stopping at the next batch. What is finished is kept; the run that was cut off goes on later."
        names = self.table["run"][self.table["state"] == "not run"]
        for name in dict.fromkeys(names):
            history = self.path / name / "history.jsonl"
            if (self.path / name / "run.json").is_file():
                epochs = history.read_bytes().count(b"\n") if history.is_file() else 0
                return f"Training {name}: {epochs} epochs finished."
        return "Preparing the next run."

    def _without_study(self) -> StudySnapshot:
        """Say what to do where there is no study."""
        name = self.path.name
        if self.path.is_dir():
            words = (
                f"{self.path} holds no study. In Python, lab.complexity_map(dataset, training, path=...) makes one; on "
                "the command line, polaris-lab study CONFIG.json. Choose another folder, or make one."
            )
            return StudySnapshot("empty", words, name)
        words = (
            f"There is no folder {self.path}: it was moved or deleted. Choose another study, or put it back."
        )
        return StudySnapshot("missing", words, name)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
