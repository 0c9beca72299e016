"""Studies over settings: any grid of them, layers against base filters, one against two convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.config import to_dict
from polaris_lab.training.studies.cells import Cell, check_cells, checked_seeds, chosen, grid, run_name
from polaris_lab.training.studies.ledger import describe_study
from polaris_lab.training.studies.runner import check_choices, run_study

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig


def sweep(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    varied: Mapping[str, Sequence[Any]],
    path: str | Path,
    preset: str = "unet",
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    threads: int = 1,
    client: Any = None,
    retry_failed: bool = False,
    kind: str = "sweep",
) -> Iterator[Run]:
    """Train a network for every combination of settings and seed, yielding each run as it finishes.

    The folder is the study. What is finished is in its ledger and never run again; break out of the loop to stop, and
    call this again to go on, with more values or seeds if wanted, here or in another process. A run that was cut off
    goes on from its last epoch. A cell whose training fails is written down with its message, and the others go on.

    Parameters
    ----------
    dataset : PatchDataset or path
        With patches for training and for validation.
    training : TrainingConfig, optional
        How every cell is trained, but for what is varied.
    varied : mapping
        Values by name: settings of the preset ("layers"), and fields of the training ("training.learning_rate").
    path : path
        Folder of the study.
    preset, settings
        The architecture, and its settings that are not varied: see :meth:`polaris_lab.models.Blueprint.preset`.
    seeds : sequence of int, optional
        A run of every cell for each: with several, tables and figures have error bars. By default that of
        the training. Between two runs the accuracy differs by as much as between many networks, so take three or more.
    workers : int
        Local processes, each with `threads` threads. With 1, this process trains. Where there are several GPUs they
        are shared out among them.
    threads : int
        Of PyTorch, in each worker.
    client : dask.distributed.Client, optional
        A cluster to run on in place of local processes, one cell a thread; it must see the folders of study and dataset.
    retry_failed : bool
        Run cells again that failed.
    kind : str
        What the study is called.

    Yields
    ------
    Run
        Finished, in the order in which they finish; those finished earlier are not among them
        (:meth:`polaris_lab.training.studies.Study.runs`).

    Raises
    ------
    ValueError, TypeError
        Before anything is trained: an unknown preset or setting, a value of the wrong type, nothing to vary, a dataset
        without a split, a batch larger than the training set.
    FileExistsError
        If the folder holds something else, or a study of other choices: the error names the differences.
    StudyInUseError
        If another process runs the study.

    Examples
    --------
    >>> for run in sweep(dataset, training, varied={"layers": (2, 3), "training.learning_rate": (1e-3, 3e-3)},
    ...                  path="runs/sweep", seeds=(0, 1, 2), workers=2):  # doctest: +SKIP
    ...     print(run)
    """
    dataset, training, path = check_choices(
        dataset, training, path, workers=workers, threads=threads, client=client
    )
    base = dict(settings or {})
    cells = []
    for values in grid(varied):
        for seed in checked_seeds(seeds, training):
            blueprint, config = chosen(preset, base, training, values, seed)
            cells.append(Cell(values, seed, run_name(values, seed), blueprint.to_dict(), to_dict(config)))
    check_cells(cells, {"": dataset})
    description = describe_study(
        kind, cells, preset=preset, settings=base, training=training, dataset=dataset
    )
    return run_study(
        path,
        description,
        cells,
        None,
        dataset,
        workers=workers,
        threads=threads,
        client=client,
        retry_failed=retry_failed,
    )


def complexity_map(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    path: str | Path,
    layers: Sequence[int] = (2, 3, 4),
    base_filters: Sequence[int] = (16, 32, 64),
    preset: str = "unet",
    **how: Any,
) -> Iterator[Run]:
    """Train networks of so many layers and base filters, for any preset that has both (report, figures 14 and 17).

    Parameters
    ----------
    dataset, training, path, preset
        As for :func:`sweep`.
    layers, base_filters : sequence of int
        The two sides of the map.
    **how
        ``settings``, ``seeds``, ``workers``, ``threads``, ``client``, ``retry_failed``: as for :func:`sweep`.

    Yields
    ------
    Run

    Raises
    ------
    ValueError, TypeError, FileExistsError, StudyInUseError
        As :func:`sweep`.

    Examples
    --------
    >>> for run in complexity_map(dataset, training, layers=(2, 3), base_filters=(16, 32), path="runs/map"):
    ...     print(run)  # doctest: +SKIP
    """
    varied = {"layers": layers, "base_filters": base_filters}
    return sweep(dataset, training, varied=varied, path=path, preset=preset, kind="complexity_map", **how)


def convolutions_study(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    path: str | Path,
    convolutions: Sequence[int] = (1, 2),
    layers: Sequence[int] | None = None,
    base_filters: Sequence[int] | None = None,
    preset: str = "unet",
    **how: Any,
) -> Iterator[Run]:
    """Train networks of one and of two convolutions a block (report, figure 16).

    Parameters
    ----------
    dataset, training, path, preset
        As for :func:`sweep`.
    convolutions : sequence of int
        Convolutions in a block.
    layers, base_filters : sequence of int, optional
        Compare them at several depths or widths; by default at those of ``settings``.
    **how
        As for :func:`complexity_map`.

    Yields
    ------
    Run

    Raises
    ------
    ValueError, TypeError, FileExistsError, StudyInUseError
        As :func:`sweep`.
    """
    varied = {"convolutions": convolutions, "layers": layers, "base_filters": base_filters}
    varied = {name: values for name, values in varied.items() if values is not None}
    return sweep(dataset, training, varied=varied, path=path, preset=preset, kind="convolutions", **how)
