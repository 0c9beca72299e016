"""Predicting a map behind a page: a process that tells how far it is, and ends when it is asked to."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from widgets.dataset_job import Progress
from widgets.overlay.prediction_worker import END, LOG, REQUEST

JOBS: dict[Path, PredictionJob] = {}
"""The last job of each output file in this process: a page that is reloaded finds its own again."""

_TILES = re.compile(r"(\d+)/(\d+) \[")


class PredictionJob:
    """Predict one map in a process of its own: neither its work nor its end touches the page.

    Parameters
    ----------
    observation : Observation
    output : Path
        The FITS file that will stand there; one that exists is refused.
    run : Path, optional
        Folder of a trained run.
    estimator : str
        Without a run: a classical estimator by its name.
    overlap : float, optional
        Predict in overlapping tiles, as the report does; None: large tiles with a margin.
    """

    def __init__(
        self,
        observation: Any,
        output: Path,
        *,
        run: Path | None = None,
        estimator: str = "constrained_diffusion",
        overlap: float | None = None,
    ):
        self.output = output
        self.run = run
        self._request = {
            "observation": observation,
            "output": output,
            "run": None if run is None else str(run),
            "estimator": estimator,
            "overlap": overlap,
        }
        self._folder: Path | None = None
        self._process: subprocess.Popen | None = None
        self._seen = Progress()

    def start(self) -> PredictionJob:
        """Start the process.

        Raises
        ------
        ValueError
            If the output stands there already, or is being made.
        """
        other = JOBS.get(self.output)
        if self.output.exists() or (other is not None and other.look().busy):
            raise ValueError(
                f"{self.output.name}: expected a name that is free, got a prediction that is there or being made; choose "
                "another name"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="polaris_lab_prediction_"))
        (self._folder / REQUEST).write_bytes(pickle.dumps(self._request))
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        cores = str(max(1, (os.cpu_count() or 2) - 1))  # one is left to the page
        environment = {"OMP_NUM_THREADS": cores, **os.environ, "PYTHONPATH": path}
        with (self._folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "widgets.overlay.prediction_worker", str(self._folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self._folder,
            )  # fmt: skip
        JOBS[self.output] = self
        self._seen = Progress("running", message="Preparing. The page stays free meanwhile.")
        return self

    def cancel(self) -> None:
        """End the process; nothing is left of the prediction."""
        if self._process is not None and self.look().busy:
            self._process.terminate()
            self._end("stopped", "Stopped. Nothing was written; Predict begins again.")
            for rest in self.output.parent.glob(f".*.{self.output.name}"):
                rest.unlink(missing_ok=True)

    def wait(self, seconds: float | None = None) -> Progress:
        """Wait for the process to end, and look."""
        if self._process is not None:
            self._process.wait(seconds)
        return self.look()

    def look(self) -> Progress:
        """Return how it stands."""
        if self._seen.status != "running" or self._folder is None:
            return self._seen
        ended = self._process.poll() is not None
        if ended:
            self._look_back()
            return self._seen
        found = _TILES.findall((self._folder / LOG).read_text(errors="replace"))
        if found:
            done, total = map(int, found[-1])
            words = f"Reading the map: tile {done} of {total}."
            self._seen = replace(self._seen, done=done, total=total, message=words)
        return self._seen

    def _look_back(self) -> None:
        """Find out how the process ended."""
        try:
            failed = json.loads((self._folder / END).read_text(encoding="utf-8"))["failed"]
        except (OSError, ValueError, KeyError):
            last = (self._folder / LOG).read_text(errors="replace").strip().splitlines()[-1:]
            failed = (
                f"the process ended with status {self._process.returncode} ({' '.join(last) or 'no words'}); "
                "too little memory does this: close other programs, or cut the map"
            )
        if failed:
            self._end("failed", failed)
        else:
            self._end("finished", f"Written to {self.output.name}.")

    def _end(self, status: str, words: str) -> None:
        self._process.wait()
        full = status == "finished"
        self._seen = Progress(status, int(full), int(full), words)
        shutil.rmtree(self._folder, ignore_errors=True)
