"""What pixels of another size do to a network: applied as it is, trained there, or given the map at its own pixels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polaris_lab.config import to_dict
from polaris_lab.training.studies.cells import (
    Cell,
    check_cells,
    checked_seeds,
    checked_values,
    chosen,
    run_name,
)
from polaris_lab.training.studies.derived import coarse_map, coarsen
from polaris_lab.training.studies.ledger import describe_study
from polaris_lab.training.studies.runner import check_choices, run_study

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import Blueprint
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig


def working_scale(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    path: str | Path,
    pixel_factors: Sequence[int] = (1, 2),
    preset: str = "unet",
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    threads: int = 1,
    client: Any = None,
    retry_failed: bool = False,
) -> Iterator[Run]:
    """Train networks at several pixel sizes, and judge each on the maps of all of them (report, figure 21).

    The same patches are brought to larger pixels by mass: N is averaged, <n>_M becomes sum(N n) / sum(N). A map at
    pixels that a network was not trained for can be treated in three ways, the ``treatment`` of a cell, judged on the
    same truth:

    - "apply": the network is applied to it as it is;
    - "retrain": a network is trained at its pixels;
    - "downsample": a map with finer pixels is brought to those of the network, and each of its pixels gets the
      density of the larger one that it lies in.

    Parameters
    ----------
    dataset, training, path, preset, settings, seeds, workers, threads, client, retry_failed
        As for :func:`polaris_lab.training.studies.sweep`.
    pixel_factors : sequence of int
        Sizes of the pixels in units of that of the dataset, divisors of the patch size; two or more.

    Yields
    ------
    Run
        One for each factor and seed; the cells of its judgements are in the table.

    Raises
    ------
    ValueError, TypeError, FileExistsError, StudyInUseError
        As :func:`polaris_lab.training.studies.sweep`; a factor that does not divide the patch, or a quantity that
        cannot be brought to larger pixels.

    Examples
    --------
    >>> for run in working_scale(dataset, training, pixel_factors=(1, 2), path="runs/scale", seeds=(0, 1, 2)):
    ...     print(run)  # doctest: +SKIP
    """
    dataset, training, path = check_choices(
        dataset, training, path, workers=workers, threads=threads, client=client
    )
    factors = checked_values("pixel_factors", pixel_factors)
    blueprint, _ = chosen(preset, settings or {}, training, {}, training.seed)
    _check(dataset, blueprint, factors)
    names = tuple(dict.fromkeys(("column_density", *blueprint.inputs, *blueprint.outputs)))
    stored = {factor: f"datasets/pixels_{factor}.zarr" if factor > 1 else "" for factor in factors}
    makers = {
        name: functools.partial(coarsen, factor=factor, names=names, path=path / name)
        for factor, name in stored.items()
        if name
    }
    cells = []
    for factor in factors:
        for seed in checked_seeds(seeds, training):
            network, config = chosen(preset, settings or {}, training, {}, seed)
            run = run_name({"trained_factor": factor}, seed)
            for applied, method in _judgements(factor, factors):
                values = {"trained_factor": factor, "applied_factor": applied, "treatment": method}
                how = "validation" if method == "retrain" else method
                cells.append(
                    Cell(
                        values, seed, run, network.to_dict(), to_dict(config), stored[factor], stored[applied], how
                    )
                )  # fmt: skip
    description = describe_study(
        "working_scale", cells, preset=preset, settings=settings or {}, training=training, dataset=dataset
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


def _judgements(trained: int, factors: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield the maps that a network trained at one factor is judged on, and how it is applied to them."""
    for applied in factors:
        yield applied, "retrain" if applied == trained else "apply"
        if applied < trained and trained % applied == 0:
            yield applied, "downsample"


def _check(dataset: PatchDataset, blueprint: Blueprint, factors: Sequence[Any]) -> None:
    """Refuse factors, quantities and networks that do not go together, before anything is made."""
    if len(factors) < 2:
        raise ValueError(f"pixel_factors: expected two sizes of pixels or more, got {factors}")
    for factor in factors:
        if (
            not isinstance(factor, int)
            or isinstance(factor, bool)
            or factor < 1
            or dataset.patch_size % factor
        ):
            raise ValueError(
                f"pixel_factors: expected whole numbers that divide the patch of {dataset.patch_size} pixels, got "
                f"{factor!r}"
            )
    cell = Cell({"pixel_factors": factors}, 0, "", blueprint.to_dict(), {"batch_size": 1})
    check_cells([cell], {"": dataset})
    for name in ("column_density", *blueprint.inputs, *blueprint.outputs):
        if name not in (*dataset.inputs, *dataset.targets):
            raise ValueError(
                f"working_scale: expected a dataset with {name}, got {', '.join((*dataset.inputs, *dataset.targets))}"
            )
        coarse_map(name, np.ones((1, 1)), np.ones((1, 1)), 1)  # refuses what it does not know
