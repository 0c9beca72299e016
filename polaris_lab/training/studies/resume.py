"""Going on with a study from its folder alone: the planned cells that are not finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.config import from_dict
from polaris_lab.training.studies import ledger
from polaris_lab.training.studies.cells import key_of

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

SEARCH = "search"
TOGETHER = ("kan_variants", "working_scale")
"""Kinds of which all cells of a seed are run by one call."""


def finish_study(
    path: str | Path,
    dataset: PatchDataset | str | Path | None = None,
    *,
    threads: int = 1,
    retry_failed: bool = False,
) -> Iterator[Run]:
    """Train the planned cells of a study that are not finished, one after the other; yield each run as it finishes.

    Everything is taken from the folder. Touch the stop file (:meth:`Study.request_stop`) or break out to end; what is
    finished is kept, and a run that was cut off goes on from its last epoch.

    Parameters
    ----------
    path : path
        Folder of the study.
    dataset : PatchDataset or path, optional
        That of the study; by default the one that is stored in it, or that its runs know.
    threads : int
        Of PyTorch.
    retry_failed : bool
        Run cells again that failed.

    Yields
    ------
    Run

    Raises
    ------
    FileNotFoundError
        If there is no study, or its dataset is not known any more.
    ValueError
        If it is a search, whose cells are not planned, or holds networks that their names do not give.
    FileExistsError, StudyInUseError
        As :func:`polaris_lab.training.studies.sweep`.

    Examples
    --------
    >>> for run in finish_study("runs/map"):  # doctest: +SKIP
    ...     print(run)
    """
    path = Path(path)
    description = ledger.read_study(path)
    if description["kind"] == SEARCH:
        raise ValueError(
            f"{path}: expected a study whose cells are planned, got a search; call search(..., trials=...) with more"
        )
    dataset = dataset_of(path, description) if dataset is None else dataset
    return _runs(path, description, dataset, {"threads": threads, "retry_failed": retry_failed})


def missing_cells(path: Path, *, retry_failed: bool = False) -> list[dict[str, Any]]:
    """Return the planned cells (settings, seed, run) that the ledger does not have, or has as failed."""
    done = {
        key_of(entry["settings"], entry["seed"])
        for entry in ledger.read_ledger(path)
        if not (retry_failed and entry["state"] == "failed")
    }
    cells = ledger.read_study(path)["cells"]
    return [cell for cell in cells if key_of(cell["settings"], cell["seed"]) not in done]


def dataset_of(path: Path, description: Mapping[str, Any]) -> Path:
    """Return where the dataset of a study is: in its folder, or where one of its runs knows it.

    Raises
    ------
    FileNotFoundError
        If it is in neither place.
    """
    from polaris_lab.training.run import Run

    if (path / "dataset.zarr").exists():
        return path / "dataset.zarr"
    for name in dict.fromkeys(cell["run"] for cell in description["cells"]):
        if not (path / name / "run.json").is_file():
            continue
        run = Run.open(path / name)
        if run.dataset_fingerprint == description["dataset"]["fingerprint"] and run.dataset_path.exists():
            return run.dataset_path
    raise FileNotFoundError(
        f"{path}: expected its dataset (fingerprint {description['dataset']['fingerprint']}) where one of its runs "
        "knows it, got none there; say where it is with dataset=..."
    )


def _runs(path: Path, description: Mapping[str, Any], dataset: Any, how: dict[str, Any]) -> Iterator[Run]:
    """Yield the runs of missing cells; a cell that stays missing was stopped, which ends the study."""
    together = description["kind"] in TOGETHER
    begun: list[str] = []
    while not (path / ledger.STOP).exists():
        left = [
            cell
            for cell in missing_cells(path, retry_failed=how["retry_failed"])
            if key_of(cell["settings"], cell["seed"]) not in begun
        ]
        if not left:
            return
        cell = left[0]
        group = [one for one in left if one is cell or (together and one["seed"] == cell["seed"])]
        begun += [key_of(one["settings"], one["seed"]) for one in group]
        with closing(
            _call(path, description, cell)(dataset, path=path, seeds=(cell["seed"],), **how)
        ) as runs:
            for run in runs:
                yield run
                if (path / ledger.STOP).exists():  # leaving removes it
                    return
        if any(one in missing_cells(path) for one in group):
            return


def _call(
    path: Path, description: Mapping[str, Any], cell: Mapping[str, Any]
) -> Callable[..., Iterator[Run]]:
    """Return the function that makes a cell, but for how."""
    import functools

    from polaris_lab.training.settings import TrainingConfig
    from polaris_lab.training.studies.scale import working_scale
    from polaris_lab.training.studies.size import training_set_size
    from polaris_lab.training.studies.sweeps import sweep
    from polaris_lab.training.studies.variants import kan_variants

    kind, settings = description["kind"], dict(description["settings"])
    training = from_dict(TrainingConfig, {**description["training"], "seed": cell["seed"]}, where=str(path))
    base = {"training": training, "settings": settings}
    if kind == "kan_variants":
        names = list(dict.fromkeys(one["settings"]["variant"] for one in description["cells"]))
        return functools.partial(kan_variants, variants=names, **base)
    base["preset"] = description["preset"]
    if kind == "training_set_size":
        return functools.partial(training_set_size, sizes=[cell["settings"]["training_patches"]], **base)
    if kind == "working_scale":
        factors = sorted({one["settings"]["trained_factor"] for one in description["cells"]})
        return functools.partial(working_scale, pixel_factors=factors, **base)
    varied = {name: [cell["settings"][name]] for name in description["axes"]}
    return functools.partial(sweep, varied=varied, kind=kind, **base)
