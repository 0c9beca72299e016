"""The work of a recipe: clouds, patches, a network. Each step is kept as it is done; the same call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from polaris_lab.config import fingerprint, read_json, to_dict, write_json
from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training.recipes.choices import Recipe
from polaris_lab.training.recipes.gas import make_faces
from polaris_lab.training.recipes.patches import make_patches
from polaris_lab.training.run import Run

COST = "cost.json"
"""Seconds of each step, in the folder of the work."""

Say = Callable[[str], object]
T = TypeVar("T")


def train_run(
    recipe: Recipe,
    folder: str | Path,
    *,
    workers: int = 2,
    progress: bool = True,
    say: Say | None = None,
) -> Run:
    """Make what is missing of a recipe's clouds, patches and network; return the trained run.

    Parameters
    ----------
    recipe : Recipe
    folder : path
        Keeps ``clouds/`` (a file a box), ``patches_*.zarr`` and ``run_*``. What is there is not made again: a call that
        was killed is gone on with by the same call, from the last cloud, patch or epoch.
    workers : int
        Processes that make clouds.
    progress : bool
        Show the bar of the training.
    say : callable, optional
        Told one line after each step.
    """
    folder, say = Path(folder), say or (lambda line: None)
    folder.mkdir(parents=True, exist_ok=True)
    dataset = patches_of(recipe, folder, workers=workers, say=say)
    settings = dict(recipe.preset)
    blueprint = Blueprint.preset(settings.pop("name"), **settings)
    mark = fingerprint([blueprint.to_dict(), to_dict(recipe.config), dataset.fingerprint])
    path = folder / f"run_{mark[:8]}"
    run = (
        Run.open(path)
        if (path / "run.json").exists()
        else Run.create(path, blueprint, dataset, recipe.config)
    )
    if run.state != "finished":
        say(f"training {run.parameters} parameters on {len(dataset.indices('training'))} patches")
        timed(folder, "training", lambda: run.train(progress=progress))
    return run


def patches_of(recipe: Recipe, folder: Path, *, workers: int, say: Say) -> PatchDataset:
    """Return the patches of a recipe, made and written if they are not there."""
    mark = fingerprint([to_dict(recipe.clouds), to_dict(recipe.patches)])
    path = folder / f"patches_{mark[:8]}.zarr"
    if path.exists():
        return PatchDataset.open(path)
    files = timed(
        folder, "clouds", lambda: make_faces(recipe.clouds, folder / "clouds", workers=workers, progress=say)
    )
    return timed(folder, "patches", lambda: make_patches(files, recipe.patches, progress=say).save(path))


def timed(folder: Path, step: str, work: Callable[[], T]) -> T:
    """Do a step, and add its seconds to what the folder knows of it, also where it is cut off."""
    start, path = time.perf_counter(), folder / COST
    try:
        return work()
    finally:
        known = read_json(path) if path.exists() else {}
        known[step] = round(known.get(step, 0.0) + time.perf_counter() - start, 1)
        write_json(path, known)
