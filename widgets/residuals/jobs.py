"""What a run predicts for its validation patches: computed once, in a thread, and kept for the pages of this process."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from widgets.dataset_job import Progress

logger = logging.getLogger(__name__)

CORRECTIONS = {
    "none": "none",
    "isotonic": "mean residual by predicted density (isotonic)",
    "spline": "the same, smooth (spline)",
    "report_baseline": "the report's baseline (appendix C)",
    "kept": "as kept with the run (baseline.json)",
}
"""Corrections on offer, and their words."""

KEPT = 8
"""Results that are kept; the one that was not looked at for the longest time goes first."""

_RESULTS: OrderedDict[tuple[Any, ...], Judged] = OrderedDict()
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Judged:
    """A run on its validation patches. The arrays are shared by all pages: nobody may write to them."""

    name: str
    """Name of the run's folder."""
    path: Path
    stamp: tuple[Any, ...]
    """What tells these weights from others."""
    correction: str
    """A name of :data:`CORRECTIONS`."""
    predicted: Any
    """:class:`polaris_lab.training.Predicted`, corrected if that was asked for."""
    target: np.ndarray
    """True densities [cm^-3], shape (n, y, x)."""
    column_density: np.ndarray
    """[cm^-2], same shape."""
    evaluation: Any
    """:class:`polaris_lab.training.Evaluation`."""
    residuals: dict[str, Any]
    """:class:`polaris_lab.training.ResidualsByDensity` by "target" and "predicted"."""
    before: Judged | None = None
    """The same without the correction; None where none was asked for."""

    def __len__(self) -> int:
        return len(self.target)


def stamp_of(path: Path) -> tuple[Any, ...]:
    """Return what tells the weights in a run's folder from those of another moment; () without weights."""
    from polaris_lab.training.folder import WEIGHTS
    from polaris_lab.training.residual_correction import FILE

    found: list[Any] = []
    for name in (WEIGHTS, FILE):
        try:
            stat = (path / name).stat()
        except OSError:
            if name == WEIGHTS:
                return ()
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def judge(
    run: Any, *, correction: str = "none", on_progress: Callable[[int, int], object] | None = None
) -> Judged:
    """Predict the validation patches of a run, or take what is known of them, and judge it.

    Parameters
    ----------
    run : Run
        With a finished epoch, and its dataset at hand.
    correction : str
        A name of :data:`CORRECTIONS`. All but "kept" are fitted on one half of the patches and applied to the other.
    on_progress : callable, optional
        Told how many patches are predicted, and how many there are.

    Raises
    ------
    ValueError, FileNotFoundError
        If the run has no weights or no dataset, or the correction is unknown or not kept.
    """
    from polaris_lab.training import baseline_of, cross_corrected, evaluate, predict, residuals_by_density

    if correction not in CORRECTIONS:
        raise ValueError(f"correction: expected one of {', '.join(CORRECTIONS)}, got {correction!r}")
    key = (run.path.resolve(), stamp_of(run.path), run.dataset_fingerprint, correction)
    known = _RESULTS.get(key)
    if known is not None:
        _RESULTS.move_to_end(key)
        return known
    dataset = run.dataset()
    if correction == "none":
        rows = dataset.indices("validation")
        predicted = predict(run, dataset, seed=run.config.seed, on_progress=on_progress)
        target, column = dataset.read(run.target, rows), dataset.read("column_density", rows)
        before, more = None, {}
    else:
        before = judge(run, on_progress=on_progress)
        predicted, target, column = before.predicted, before.target, before.column_density
        more = {"correction": baseline_of(run), "allow_fitted_patches": True} if correction == "kept" else {}
    stated = (
        predicted if correction in ("none", "kept") else cross_corrected(predicted, target, kind=correction)
    )
    evaluation = evaluate(
        lambda column_density, *, pixel_size_pc: stated, dataset, name=run.name, target=run.target, **more
    )
    predicted = more["correction"].apply(stated) if more else stated
    residuals = {by: residuals_by_density(predicted.density, target, by=by) for by in ("target", "predicted")}
    for values in (predicted.density, target, column):
        values.flags.writeable = False
    judged = Judged(
        run.name, run.path, key[1], correction, predicted, target, column, evaluation, residuals, before
    )
    _RESULTS[key] = judged
    while len(_RESULTS) > KEPT:
        _RESULTS.popitem(last=False)
    return judged


class JudgeJob:
    """Judge one run in a thread, for one page.

    Parameters
    ----------
    open_run : callable
        Opens the run.
    correction : str
        As in :func:`judge`.
    """

    def __init__(self, open_run: Callable[[], Any], correction: str = "none"):
        self._open_run, self._correction = open_run, correction
        self._stop = threading.Event()
        self._seen = Progress()
        self._thread: threading.Thread | None = None
        self.result: Judged | None = None

    def start(self) -> JudgeJob:
        """Start the thread."""
        self._seen = Progress("running", message="Opening the run. The page stays free meanwhile.")
        self._thread = threading.Thread(target=self._run, name="judge-run", daemon=True)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the thread to stop at its next batch."""
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
            return replace(seen, status="stopping", message="Stopping at the next batch.")
        return seen

    def _run(self) -> None:
        try:
            run = self._open_run()
            while not _ONE_AT_A_TIME.acquire(timeout=0.1):  # two at once would both be slow
                self._seen = Progress("running", message="Waiting for another prediction to end.")
                if self._stop.is_set():
                    raise _StoppedError
            try:
                self.result = judge(run, correction=self._correction, on_progress=self._follow)
            finally:
                _ONE_AT_A_TIME.release()
        except _StoppedError:
            self._seen = Progress("stopped", message="Stopped. Press Predict to begin again.")
        except Exception as error:  # whatever it is, the page must say it
            logger.warning("run not judged", exc_info=error)
            self._seen = Progress("failed", message=str(error) or type(error).__name__)
        else:
            self._seen = Progress("finished", len(self.result), len(self.result))

    def _follow(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise _StoppedError
        words = f"Predicting: {done} of {total} patches." if done < total else "Scoring the predictions."
        self._seen = Progress("running", done, total, words)


class _StoppedError(Exception):
    """The visitor asked to stop."""
