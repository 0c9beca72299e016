"""Going through a study: what is not done yet is given to workers, and what they finish is kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.parallel import map_as_finished
from polaris_lab.training.studies import ledger
from polaris_lab.training.studies.cells import Cell, check_cells, key_of
from polaris_lab.training.studies.work import Task, visible_gpus, work

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

logger = logging.getLogger(__name__)


def check_choices(
    dataset: Any, training: Any, path: Any, *, workers: int, threads: int, client: Any
) -> tuple[PatchDataset, Any, Path]:
    """Return dataset, training and path of a study, checked.

    Raises
    ------
    TypeError, ValueError
        If one of them, or how to run it, is something else; if the dataset has no patches for training or validation.
    """
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.batches import split_rows
    from polaris_lab.training.settings import TrainingConfig

    if isinstance(dataset, str | os.PathLike):
        dataset = PatchDataset.open(dataset)
    training = TrainingConfig() if training is None else training
    for name, value, kind, remedy in (
        ("dataset", dataset, PatchDataset, "open one with PatchDataset.open(path)"),
        ("training", training, TrainingConfig, "make one with TrainingConfig(epochs=...)"),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}; {remedy}")
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected the folder of the study, got {path!r}")
    for name, value in (("workers", workers), ("threads", threads)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    if client is not None and workers > 1:
        raise ValueError(
            f"workers: expected 1 with client=, whose cluster has workers of its own, got {workers}"
        )
    for split in ("training", "validation"):
        split_rows(dataset, split)
    return dataset, training, Path(path)


def run_study(
    path: Path,
    description: Mapping[str, Any],
    cells: Sequence[Cell],
    datasets: Mapping[str, Callable[[PatchDataset], PatchDataset]] | None,
    dataset: PatchDataset,
    *,
    workers: int,
    threads: int,
    client: Any,
    retry_failed: bool,
) -> Iterator[Run]:
    """Check a study, and return a generator of its runs.

    Parameters
    ----------
    path, description, cells
        The study.
    datasets : mapping
        What makes the datasets of the cells of that of the study, by name.
    dataset : PatchDataset
        That of the study.
    workers, threads, client, retry_failed
        How to run it.
    """
    ledger.check_same(path, description)
    return _runs(
        path,
        description,
        list(cells),
        dict(datasets or {}),
        dataset,
        {"workers": workers, "client": client},
        threads,
        retry_failed,
    )


def _runs(
    path: Path,
    description: Mapping[str, Any],
    cells: list[Cell],
    makers: dict[str, Callable[[PatchDataset], PatchDataset]],
    dataset: PatchDataset,
    how: dict[str, Any],
    threads: int,
    retry_failed: bool,
) -> Iterator[Run]:
    with held(path, description):
        left = unfinished(path, cells, retry_failed=retry_failed)
        if not left:
            logger.info(
                "%s: all %d cells are finished; Study.open(%r).table() shows them",
                path,
                len(cells),
                str(path),
            )
            return
        own = stored_dataset(path, dataset)
        needed = {name for cell in left for name in (cell.training_dataset, cell.judged_on) if name}
        made = {"": own, **{name: makers[name](own) for name in sorted(needed)}}
        check_cells(left, made)
        tasks = _tasks(path, own, left, threads)
        for _task, _answer, run in finished(
            path, tasks, **how, gpus=visible_gpus([c.training for c in left])
        ):
            if run is not None:
                yield run


@contextmanager
def held(path: Path, description: Mapping[str, Any]) -> Iterator[None]:
    """Be the one process that runs the study in `path`, whose description is made up to date."""
    path.mkdir(parents=True, exist_ok=True)
    stop = path / ledger.STOP
    with ledger.lock(path):
        ledger.keep(path, description)
        ledger.cut_unfinished_line(path)
        stop.unlink(missing_ok=True)
        try:
            yield
        finally:
            stop.unlink(missing_ok=True)


def unfinished(path: Path, cells: Sequence[Cell], *, retry_failed: bool) -> list[Cell]:
    """Return the cells that the ledger does not have (or, where wanted, has as failed)."""
    done = {
        key_of(entry["settings"], entry["seed"])
        for entry in ledger.read_ledger(path)
        if not (retry_failed and entry["state"] == "failed")
    }
    return [cell for cell in cells if cell.key not in done]


def stored_dataset(path: Path, dataset: PatchDataset) -> PatchDataset:
    """Return a dataset on disk: workers open it there. One that is only in memory is saved in the study."""
    from polaris_lab.datasets import PatchDataset

    if dataset.path is not None:
        return dataset
    own = path / "dataset.zarr"
    if not own.exists():
        return dataset.save(own)
    found = PatchDataset.open(own)
    if found.fingerprint != dataset.fingerprint:
        raise FileExistsError(
            f"{own}: expected the dataset with fingerprint {dataset.fingerprint}, got {found.fingerprint}"
        )
    return found


def _tasks(path: Path, dataset: PatchDataset, cells: Sequence[Cell], threads: int) -> list[Task]:
    """Return the tasks of cells, one for each run."""
    by_run: dict[str, list[Cell]] = {}
    for cell in cells:
        by_run.setdefault(cell.run, []).append(cell)
    study, data = str(path.resolve()), str(Path(dataset.path).resolve())
    return [Task(study, data, tuple(shared), threads) for shared in by_run.values()]


def finished(
    path: Path,
    tasks: Iterable[Task],
    *,
    workers: int,
    client: Any,
    gpus: tuple[str, ...] = (),
) -> Iterator[tuple[Task, dict[str, Any], Run | None]]:
    """Give tasks to workers and keep what they finish in the ledger, before it is yielded.

    Yields
    ------
    task : Task
    answer : dict
        Of :func:`polaris_lab.training.studies.work.work`.
    run : Run or None
        None if it failed or was pruned.
    """
    from polaris_lab.training.run import Run

    stop = path / ledger.STOP
    answers = map_as_finished(work, tasks, client=client, workers=workers, gpus=gpus, leaving=stop.touch)
    with closing(answers):
        for task, answer in answers:
            for entry in answer["entries"]:
                ledger.commit(path, entry)
            if answer["state"] == "failed":
                logger.warning("%s failed: %s", task.cells[0].run, answer["entries"][0]["message"])
            done = answer["state"] == "finished"
            yield task, answer, Run.open(path / task.cells[0].run) if done else None
