"""What a worker does: train one run of a study to its end, and judge it."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polaris_lab.config import from_dict, read_json, write_json
from polaris_lab.training.studies.cells import Cell
from polaris_lab.training.studies.ledger import STOP

CPU_TIME = "cpu_seconds.json"
"""Beside the other files of a run: processor time of its training so far [s]."""

WAIT_SECONDS = 20.0
"""How long a run that another process still holds is waited for."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Task:
    """One run with the cells that judge it; can be sent to another process.

    Attributes
    ----------
    study : str
        Folder of the study.
    dataset : str
        Where the patches of the study are.
    cells : tuple of Cell
        All with the same run.
    threads : int
        Of PyTorch.
    trial : dict
        For a search: ``number`` and ``storage``, to be asked after each epoch whether to go on.
    """

    study: str
    dataset: str
    cells: tuple[Cell, ...]
    threads: int = 1
    trial: dict | None = None

    @property
    def run_path(self) -> Path:
        """Folder of the run."""
        return Path(self.study) / self.cells[0].run

    def dataset_path(self, stored: str) -> Path:
        """Return where a dataset named in a cell is."""
        return Path(self.study) / stored if stored else Path(self.dataset)


def work(task: Task) -> dict[str, Any]:
    """Train the run of a task, or go on with it, and judge it.

    What an earlier worker finished is taken as it is, so a task that is given out again loses nothing.

    Returns
    -------
    dict
        ``state``: "finished", "failed", "pruned" or "stopped"; ``entries``: a line of the ledger for each cell,
        unless it was stopped.

    Raises
    ------
    OSError, RunInUseError
        If the folder cannot be used: that is no matter of the cell.
    """
    from polaris_lab.training.lock import RunInUseError

    with _threads(task.threads):
        try:
            state, message = _train(task), None
            if state == "finished":
                return {"state": state, "entries": [_judge(task, cell) for cell in task.cells]}
        except (OSError, RunInUseError):
            raise
        except Exception as error:
            logger.debug("%s failed", task.run_path, exc_info=True)
            state, message = "failed", f"{type(error).__name__}: {error}"
        if state == "stopped":
            return {"state": state, "entries": []}
        return {"state": state, "entries": [_entry(task, cell, state, {}, message) for cell in task.cells]}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads while the block runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(task: Task) -> str:
    """Train to the end; return "finished", "stopped" or "pruned"."""
    from polaris_lab.training.loop import StopRequested
    from polaris_lab.training.session import start
    from polaris_lab.training.studies.trials import Pruning

    _wait_until_free(task.run_path)
    run = _run(task)
    stop = Path(task.study) / STOP
    pruning = None if task.trial is None else Pruning(task.trial)
    if pruning is not None and pruning.catch_up(run.history()):
        return "pruned"

    def check(_count: int) -> None:
        if stop.exists():
            raise StopRequested

    spent, before = _cpu_seconds(run.path), time.process_time()
    loop = start(run, check)
    try:
        for record in loop:
            write_json(run.path / CPU_TIME, {"cpu_seconds": spent + time.process_time() - before})
            if pruning is not None and pruning.says_stop(record):
                return "pruned"
    finally:
        loop.close()
    return run.state


def _wait_until_free(run: Path) -> None:
    """Give a worker of an earlier session, whose parent was killed, the moment that it needs to end."""
    from polaris_lab.training.lock import holder

    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        entry = holder(run)
        if entry is None or entry["pid"] == os.getpid():
            return
        time.sleep(0.05)


def _run(task: Task) -> Any:
    """Open the run, or make it."""
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import Blueprint
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig

    cell = task.cells[0]
    blueprint, wanted = Blueprint.from_dict(cell.blueprint), from_dict(TrainingConfig, cell.training)
    dataset = PatchDataset.open(task.dataset_path(cell.training_dataset))
    if not (task.run_path / "run.json").exists():
        return Run.create(task.run_path, blueprint, dataset, wanted)
    run = Run.open(task.run_path)
    found = dataclasses.replace(run.config, precision=wanted.precision)
    if run.blueprint != blueprint or found != wanted or run.dataset_fingerprint != dataset.fingerprint:
        raise FileExistsError(
            f"{task.run_path}: expected no run, or the one of this cell, got a run of other choices; move it away"
        )
    if run.dataset_path.resolve() != dataset.path.resolve():
        return Run.open(task.run_path, dataset=dataset)
    return run


def _cpu_seconds(run: Path) -> float:
    file = run / CPU_TIME
    return float(read_json(file)["cpu_seconds"]) if file.exists() else 0.0


def _judge(task: Task, cell: Cell) -> dict[str, Any]:
    """Return the line of a cell whose run is finished."""
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.metrics import scores
    from polaris_lab.training.run import Run
    from polaris_lab.training.studies.derived import downsampled_prediction
    from polaris_lab.training.validation import predict_patches

    run = Run.open(task.run_path)
    if cell.method == "validation":
        file = run.path / "validation.json"
        if not file.exists() or read_json(file)["epoch"] != run.best.epoch:
            run.validate()
        return _entry(task, cell, "finished", run.validation()["metrics"])
    dataset = PatchDataset.open(task.dataset_path(cell.judged_on))
    if cell.method == "downsample":
        predicted, target = downsampled_prediction(run, dataset)
    else:
        names = {"inputs": run.blueprint.inputs, "target": run.target}
        predicted, target = predict_patches(
            run.model(), dataset, "validation", batch_size=run.config.batch_size, **names
        )
    return _entry(task, cell, "finished", scores(predicted, target))


def _entry(
    task: Task, cell: Cell, state: str, metrics: Mapping[str, float], message: str | None = None
) -> dict[str, Any]:
    """Return a line of the ledger."""
    from polaris_lab.training.run import Run

    entry: dict[str, Any] = {"settings": cell.settings, "seed": cell.seed, "run": cell.run, "state": state}
    if message is not None:
        entry["message"] = message
    if (task.run_path / "run.json").exists():
        run = Run.open(task.run_path)
        history, best = run.history(), run.best
        entry |= {
            "parameters": run.parameters,
            "training_patches": run.description.dataset.training_patches,
            "pixel_size_pc": run.pixel_size_pc,
            "epochs": len(history),
            "best_epoch": None if best is None else best.epoch,
            "validation_loss": None if best is None else best.validation_loss,
            "seconds": round(sum(record.seconds for record in history), 3),
        }
    entry["cpu_seconds"] = round(_cpu_seconds(task.run_path), 3)
    entry["metrics"] = {name: float(value) for name, value in metrics.items() if _is_finite(value)}
    return entry


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def visible_gpus(training: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the GPUs that workers share out: none where there is one or the cells train on the CPU."""
    if not any(entry["device"] in ("auto", "cuda") and entry["devices"] == 1 for entry in training):
        return ()
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named or map(str, range(count))) if count > 1 else ()
