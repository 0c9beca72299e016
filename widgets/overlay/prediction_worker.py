"""The process that predicts a map behind a page: ``python -m widgets.overlay.prediction_worker FOLDER``."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

REQUEST, END, LOG = "request.pickle", "end.json", "log"
"""Files in the folder of a job: what is asked for, how it ended, what it said meanwhile."""


def answer(request: dict[str, Any]) -> None:
    """Predict and write the file, whole or not at all.

    Parameters
    ----------
    request : dict
        observation; run (a folder) or estimator (a name); output (a file that is not there yet).
    """
    from polaris_lab.observations.footprint import add_tiles
    from polaris_lab.observations.prediction_files import check_output

    output = check_output(request["output"])
    prediction, tiles = _predicted(request)
    unfinished = output.with_name(f".{os.getpid()}.{output.name}")
    try:
        prediction.write_fits(unfinished)
        if tiles is not None:
            add_tiles(unfinished, tiles)
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)


def _predicted(request: dict[str, Any]) -> tuple[Any, Any]:
    """Return the prediction, and the outlines of its tiles where there are any."""
    observation = request["observation"]
    if not request["run"]:
        from polaris_lab.observations.predict_classical import estimate_map

        return estimate_map(observation, request["estimator"]), None
    from polaris_lab.observations.footprint import tile_outlines
    from polaris_lab.observations.predict import collected, predict_density
    from polaris_lab.observations.predict_prepare import prepare
    from polaris_lab.training import Run

    run = Run.open(request["run"])
    model = run.model()
    if model.is_generative:
        return predict_density(run, observation), None
    work = prepare(
        (run,), (model,), observation, overlap=request.get("overlap"), tile=None, symmetries=False, depth=None,
        foreground=None, compare=True,
    )  # fmt: skip
    return collected(work, progress=True), tile_outlines(work)


def main(folder: str) -> int:
    """Do the work of one folder; return 0, or 1 where it failed (the reason stands in the folder)."""
    place = Path(folder)
    with contextlib.suppress(OSError):
        os.nice(10)  # the page comes first
    try:
        # written a moment ago by the page's own process, in a folder that only its user can open
        answer(pickle.loads((place / REQUEST).read_bytes()))
        end: dict[str, Any] = {"failed": ""}
    except Exception as error:  # whatever it is, the page must say it
        end = {"failed": str(error) or type(error).__name__}
    unfinished = place / f".{END}"
    unfinished.write_text(json.dumps(end), encoding="utf-8")
    unfinished.replace(place / END)
    return int(bool(end["failed"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
