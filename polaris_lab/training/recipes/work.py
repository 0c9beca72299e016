"""The work of a recipe: clouds, patches, a network. Each step is kept as it is done; the same call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from polaris_lab.config import fingerprint, read_json, to_dict, write_json
from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import creation
from polaris_lab.training import folder as files
from polaris_lab.training.checkpoints import load_checkpoint, weights_digest
from polaris_lab.training.recipes.choices import CloudChoices, PatchChoices, Recipe
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
    settings = dict(recipe.preset)
    blueprint = Blueprint.preset(settings.pop("name"), **settings)
    run: Run | None = None
    for number, (choices, config) in enumerate(recipe.stages, start=1):
        dataset = patches_of(recipe.clouds, choices, folder, workers=workers, say=say)
        before = None if run is None else run.fingerprint
        mark = fingerprint([blueprint.to_dict(), to_dict(config), dataset.fingerprint, before])
        path = folder / f"run_{number}_{mark[:8]}"
        if (path / "run.json").exists():
            run = Run.open(path)
        else:
            start = None if run is None else last_weights(run)
            creation.create(path, blueprint, dataset, config, start=start, overwrite=False)
            run = Run.open(path)
        if run.state != "finished":
            say(f"training {number}: {run.parameters} parameters, {len(dataset.indices('training'))} patches")
            timed(folder, f"training {number}", lambda run=run: run.train(progress=progress))
    return run


def last_weights(run: Run) -> creation.Start:
    """Return the weights of the last epoch of a run for another to start from.

    Where the learning rate falls to nothing they are the best, and no choice among noisy validations is made.
    """
    model = load_checkpoint(run.path / files.CHECKPOINT)["model"]
    weights = {name: values.contiguous() for name, values in model.items()}
    record = {
        "path": str(run.path.resolve()),
        "fingerprint": run.fingerprint,
        "epoch": run.history()[-1].epoch,
        "sha256": weights_digest(weights),
    }
    return creation.Start(weights, record)


def patches_of(
    clouds: CloudChoices, choices: PatchChoices, folder: Path, *, workers: int, say: Say
) -> PatchDataset:
    """Return the patches of a stage, made and written if they are not there."""
    mark = fingerprint([to_dict(clouds), to_dict(choices)])
    path = folder / f"patches_{mark[:8]}.zarr"
    if path.exists():
        return PatchDataset.open(path)
    files = timed(
        folder, "clouds", lambda: make_faces(clouds, folder / "clouds", workers=workers, progress=say)
    )
    return timed(folder, "patches", lambda: make_patches(files, choices, progress=say).save(path))


def timed(folder: Path, step: str, work: Callable[[], T]) -> T:
    """Do a step, and add its seconds to what the folder knows of it, also where it is cut off."""
    start, path = time.perf_counter(), folder / COST
    try:
        return work()
    finally:
        known = read_json(path) if path.exists() else {}
        known[step] = round(known.get(step, 0.0) + time.perf_counter() - start, 1)
        write_json(path, known)
