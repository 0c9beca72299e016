"""How many training patches are needed: the same network on nested subsets of a dataset."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.config import to_dict
from polaris_lab.training.studies.cells import (
    Cell,
    check_cells,
    checked_seeds,
    checked_values,
    chosen,
    run_name,
)
from polaris_lab.training.studies.derived import subset
from polaris_lab.training.studies.ledger import describe_study
from polaris_lab.training.studies.runner import check_choices, run_study

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig


def training_set_size(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    path: str | Path,
    sizes: Sequence[int] | None = None,
    preset: str = "unet",
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    threads: int = 1,
    client: Any = None,
    retry_failed: bool = False,
) -> Iterator[Run]:
    """Train one network on more and more patches, judged on the same validation patches (report, figures 22 and 23).

    The subsets of one seed are nested, and another seed draws others: the error bars hold both the scatter of the
    training and that of the patches. The number of epochs is the same for all, so a small set takes fewer steps;
    ``training=TrainingConfig(remainder="drop", ...)`` makes the dip of the report's figure 22.

    Parameters
    ----------
    dataset, training, path, preset, settings, seeds, workers, threads, client, retry_failed
        As for :func:`polaris_lab.training.studies.sweep`.
    sizes : sequence of int, optional
        Numbers of training patches; by default all of the dataset, half of them, a quarter, an eighth.

    Yields
    ------
    Run

    Raises
    ------
    ValueError, TypeError, FileExistsError, StudyInUseError
        As :func:`polaris_lab.training.studies.sweep`; a size that is larger than the training set or smaller than a batch.

    Examples
    --------
    >>> for run in training_set_size(dataset, training, sizes=(8, 16, 32), path="runs/size", seeds=(0, 1, 2)):
    ...     print(run)  # doctest: +SKIP
    """
    dataset, training, path = check_choices(
        dataset, training, path, workers=workers, threads=threads, client=client
    )
    available = len(dataset.indices("training"))
    if sizes is None:
        sizes = sorted(
            {max(available // part, min(available, training.virtual_batch)) for part in (8, 4, 2, 1)}
        )
    for size in checked_values("sizes", sizes):
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= available:
            raise ValueError(
                f"sizes: expected whole numbers from 1 to {available}, the training patches of the dataset, got {size!r}"
            )
        if size < training.virtual_batch:
            raise ValueError(
                f"sizes: expected at least a batch of {training.virtual_batch} patches, got {size}; "
                f"take a batch_size of {size} or less"
            )
    cells, makers = [], {}
    for size in checked_values("sizes", sizes):
        for seed in checked_seeds(seeds, training):
            blueprint, config = chosen(preset, settings or {}, training, {}, seed)
            name = f"datasets/patches_{size}-seed_{seed}.zarr" if size < available else ""
            values = {"training_patches": size}
            cells.append(
                Cell(values, seed, run_name(values, seed), blueprint.to_dict(), to_dict(config), name)
            )
            if name:
                makers[name] = functools.partial(subset, count=size, seed=seed, path=path / name)
    check_cells([cell for cell in cells if not cell.training_dataset] or [_whole(cells[0])], {"": dataset})
    description = describe_study(
        "training_set_size", cells, preset=preset, settings=settings or {}, training=training, dataset=dataset
    )
    return run_study(
        path,
        description,
        cells,
        makers,
        dataset,
        workers=workers,
        threads=threads,
        client=client,
        retry_failed=retry_failed,
    )


def _whole(cell: Cell) -> Cell:
    """Return a cell as if it were trained on all patches."""
    return dataclasses.replace(cell, training_dataset="")
