"""What a run folder says at this moment, without a browser: the state behind the training monitor.

A run belongs to its folder: whoever trains it (a notebook, the command line, a worker started here) writes
there, and whoever watches reads there. :class:`RunWatcher` reads only what changed, through `lab.Run`.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

WORKER_LOG = "worker.log"
"""What a worker started here printed, inside the run folder."""

_WORKERS: dict[Path, subprocess.Popen] = {}
"""Workers that this process started: kept to learn their exit status. The run folder tells everything else."""

BUSY = ("starting", "running", "pausing", "stopping")
"""States in which a process works on the run."""


@dataclass(frozen=True)
class Snapshot:
    """One look at a run: all that a page shows, and nothing else."""

    status: str = "missing"
    """missing, empty, broken, new, starting, running, pausing, paused, stopping, stopped, finished or failed."""
    message: str = ""
    """What that means and what to do, in a sentence or two."""
    name: str = ""
    """Name of the folder."""
    records: tuple = ()
    """All epoch records so far."""
    epochs: int = 0
    """Epochs that were asked for."""
    loss: str = ""
    """What is made small, with its unit."""

    @property
    def done(self) -> int:
        """Epochs finished."""
        return len(self.records)

    @property
    def can_start(self) -> bool:
        """Whether a worker may take up this run."""
        return self.status in ("new", "paused", "stopped", "failed")

    @property
    def can_pause(self) -> bool:
        """Whether there is a training that may end after its epoch."""
        return self.status == "running"

    @property
    def can_cancel(self) -> bool:
        """Whether there is a training to stop."""
        return self.status in ("running", "pausing")

    @property
    def seconds_left(self) -> float | None:
        """Time to the last epoch at the pace of the last ones [s]; None when nothing runs or nothing is known."""
        if self.status != "running" or not self.records:
            return None
        pace = statistics.median(record.seconds for record in self.records[-5:])
        return pace * max(0, self.epochs - self.done)

    @property
    def best(self) -> Any:
        """The record whose weights are kept, None before the first."""
        return next((record for record in reversed(self.records) if record.best), None)


MESSAGES = {
    "new": "Ready. Press Start to train it here; closing this page does not stop a training.",
    "starting": "Starting the worker. The first epoch takes longest to appear.",
    "running": "Training. Closing or reloading this page does not stop it.",
    "pausing": "Pausing when this epoch is finished and kept. Stop ends it at the next batch instead.",
    "paused": "Paused after an epoch: nothing is lost, and no process waits. Press Resume to go on where it was.",
    "stopping": "Stopping at the next batch. The unfinished epoch is repeated when you resume.",
    "stopped": "Stopped. Finished epochs are kept; press Resume to go on where it was.",
    "finished": "Finished. The weights of the best epoch are kept in the run folder.",
    "failed": "The training ended with an error. Finished epochs are kept; press Resume to go on where it was.",
}
"""What each state means and what to do next."""


def open_run(path: Path) -> Any:
    """Open a run folder through the library (torch is loaded here)."""
    from polaris_lab.training import Run

    return Run.open(path)


LOSS_UNITS = {
    "mse": "dex²",
    "huber": "dex²",
    "density_weighted": "dex²",
    "gradient": "dex/pixel",
    "spectral": "dex",
    "quantile": "dex",
    "nll": "nats",
}
"""Units of the losses that have one; sums of several have none."""


def loss_words(run: Any) -> str:
    """Return what a run makes small, with its unit where there is one; "auto" goes by the heads of the network."""
    import torch

    from polaris_lab.models import build_model
    from polaris_lab.training.losses import AUTOMATIC, parse_loss

    text = run.config.loss
    if text == "auto":
        with torch.device("meta"):  # without weights
            kinds = {head.kind for head in build_model(run.blueprint).heads.values()}
        if len(kinds) != 1 or not kinds <= set(AUTOMATIC):
            return "the one of each output"
        text = AUTOMATIC[kinds.pop()]
    terms = parse_loss(text)
    unit = LOSS_UNITS.get(terms[0].name, "") if len(terms) == 1 else ""
    judged = " + ".join(term.judging().name for term in terms)
    judged = f", in validation {judged}" if judged != " + ".join(term.name for term in terms) else ""
    return f"{text} [{unit}]" if unit else text + judged


class RunWatcher:
    """Look at one run folder again and again, reading only what changed.

    Parameters
    ----------
    path : str or Path
        The run folder; it may be missing, or vanish.
    open_run : callable
        Opens a folder as a run; `lab.Run.open` by default.
    """

    def __init__(self, path: str | Path, *, open_run: Callable[[Path], Any] = open_run):
        self.path = Path(path).expanduser().resolve()
        self._open_run = open_run
        self._run: Any = None
        self._tail: Any = None
        self._loss = ""
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._last = Snapshot()

    def look(self) -> Snapshot:
        """Return how the run stands now. Never raises: a fault of the folder is a state with its remedy."""
        _reap(self.path)
        if not (self.path / "run.json").is_file():
            return self._without_run()
        try:
            if self._changed("run.json") or self._run is None:
                from polaris_lab.training import HistoryTail

                self._run, self._tail = self._open_run(self.path), HistoryTail(self.path)
                self._loss = loss_words(self._run)
                self._stamps.pop("history.jsonl", None)
            self._read_history()
            status = self._status()
            known = {"epochs": self._run.config.epochs, "loss": self._loss}
        except (OSError, ValueError, TypeError, KeyError) as error:
            if not (self.path / "run.json").is_file():  # deleted between two reads
                return self._without_run()
            logger.warning("%s: %s", self.path, error)
            self._run = None
            return Snapshot("broken", f"This run cannot be read: {error}", self.path.name, self._last.records)
        message = MESSAGES.get(status, "")
        if status == "failed" and (reason := self._run.failure or last_words(self.path)):
            message = f"{message} Its last words: {reason}"
        self._last = replace(self._last, status=status, message=message, name=self.path.name, **known)
        return self._last

    def start(self) -> None:
        """Start a worker that trains or resumes this run; refused when one is at work."""
        seen = self.look()
        if not seen.can_start:
            raise ValueError(f"{self.path.name}: expected a run that waits, got one that is {seen.status}")
        _WORKERS[self.path] = start_worker(self.path)

    def pause(self) -> None:
        """Ask the training to end when its epoch is finished, whoever runs it."""
        seen = self.look()
        if not seen.can_pause:
            raise ValueError(
                f"{self.path.name}: expected a training to pause, got a run that is {seen.status}"
            )
        self._run.request_stop(after_epoch=True)

    def cancel(self) -> None:
        """Ask the training to stop at its next batch, whoever runs it."""
        seen = self.look()
        if not seen.can_cancel:
            raise ValueError(
                f"{self.path.name}: expected a training to stop, got a run that is {seen.status}"
            )
        self._run.request_stop()

    def _status(self) -> str:
        """Reduce what the run, its stop file and our worker say to one word."""
        from polaris_lab.training import folder

        state = folder.state_of(self.path, self._run.config, lambda: self._last.records)
        worker = _WORKERS.get(self.path)
        if state == "running":
            if worker is not None and worker.poll() is not None:
                del _WORKERS[self.path]  # ours has ended and somebody else trains
            if (self.path / folder.STOP).exists():
                return "stopping"
            return "pausing" if (self.path / folder.PAUSE).exists() else "running"
        if worker is not None:
            code = worker.poll()
            if code is None:
                return "stopping" if self._last.status in BUSY[1:] else "starting"
            if code != 0 and state != "finished":
                return "failed"
        return "paused" if state == "stopped" and (self.path / folder.PAUSE).exists() else state

    def _read_history(self) -> None:
        """Read the records if their file changed; a half-written last line waits for the next look."""
        if not self._changed("history.jsonl"):
            return
        try:
            records = self._tail.read()
        except ValueError as error:
            self._stamps.pop("history.jsonl", None)
            logger.debug("history of %s not readable yet: %s", self.path, error)
            return
        self._last = replace(self._last, records=records)

    def _changed(self, name: str) -> bool:
        """Whether a file of the folder differs from the last look."""
        try:
            stat = (self.path / name).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            stamp = None
        changed = name not in self._stamps or self._stamps[name] != stamp
        self._stamps[name] = stamp
        return changed

    def _without_run(self) -> Snapshot:
        """Forget what was seen, and say what to do where there is no run."""
        self._run, self._last = None, Snapshot()
        self._stamps.clear()
        if self.path.is_dir():
            message = (
                f"{self.path} holds no run yet. On the command line, polaris-lab demo makes and trains one; "
                "in Python, lab.Run.create makes one of your own. It appears here by itself."
            )
            return Snapshot("empty", message, self.path.name)
        message = (
            f"There is no folder {self.path}: it was moved or deleted. Choose another run, or make this one again "
            "with lab.Run.create."
        )
        return Snapshot("missing", message, self.path.name)


def start_worker(path: Path) -> subprocess.Popen:
    """Start ``polaris-lab train RUN`` in a process of its own; what it prints goes to :data:`WORKER_LOG`."""
    return start_apart(["train", str(path), "--quiet"], path / WORKER_LOG)


def start_apart(arguments: Sequence[str], log_file: Path) -> subprocess.Popen:
    """Start ``python -m polaris_lab.cli ARGUMENTS`` in a session of its own, polite to the rest of the machine.

    It outlives this process, runs at low priority with one thread less than there are processors (the browser
    and the server need one), and writes what it prints to a file.
    """
    import psutil

    from polaris_lab.parallel import worker_count

    environment = dict(os.environ)
    environment["OMP_NUM_THREADS"] = str(max(1, worker_count() - 1))
    apart: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    with open(log_file, "wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "polaris_lab.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            **apart,
        )
    try:
        psutil.Process(worker.pid).nice(10 if os.name == "posix" else psutil.BELOW_NORMAL_PRIORITY_CLASS)
    except psutil.Error as error:  # it may have ended already
        logger.debug("priority of worker %d not lowered: %s", worker.pid, error)
    return worker


def find_runs(folder: str | Path) -> list[Path]:
    """Return the run folders in a workspace, at most three levels down, newest first.

    Examples
    --------
    >>> find_runs("/nowhere")
    []
    """
    folder = Path(folder).expanduser().resolve()
    found: set[Path] = set()
    for pattern in ("run.json", "*/run.json", "*/*/run.json", "*/*/*/run.json"):
        found.update(file.parent for file in folder.glob(pattern))
    return sorted(found, key=_modified, reverse=True)


def _modified(path: Path) -> float:
    """Return when a run folder last changed; 0 for one that has just vanished."""
    try:
        return max(
            (path / name).stat().st_mtime for name in ("run.json", "history.jsonl") if (path / name).exists()
        )
    except (OSError, ValueError):
        return 0.0


def _reap(path: Path) -> None:
    """Collect the exit status of our worker, and forget one whose folder is gone."""
    worker = _WORKERS.get(path)
    if worker is not None and worker.poll() is not None and not path.is_dir():
        del _WORKERS[path]


def last_words(path: Path) -> str:
    """Return what a worker said last (the error that the command line prints, if there is one), shortened."""
    try:
        text = (path / WORKER_LOG).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    said = text[text.rfind("polaris-lab: ") :] if "polaris-lab: " in text else text[text.rfind("\n") + 1 :]
    return textwrap.shorten(said.removeprefix("polaris-lab: "), 300, placeholder=" …")
