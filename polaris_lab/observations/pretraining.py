"""`train_recipe`: the network that predicts where none is named, made again from its seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from polaris_lab.datasets import PatchDataset
from polaris_lab.observations.training_set import SMALLEST, keep_features
from polaris_lab.training.recipes.choices import Recipe, load_recipe
from polaris_lab.training.recipes.shipping import ship
from polaris_lab.training.recipes.work import train_run
from polaris_lab.training.run import Run

WINDOW = 48
"""Side of the windows in which a map is compared with the training set [pixels]: half of a second for 1000 x 1000."""


def train_recipe(
    recipe: Recipe | str | Path = "default",
    folder: str | Path = "runs/recipe",
    *,
    workers: int = 2,
    progress: bool = True,
    say: Callable[[str], object] | None = None,
) -> Run:
    """Make a pretrained network from its recipe: clouds, patches, training, validation, calibration, coverage.

    Every step is kept in the folder as it is done, a cloud, a dataset, an epoch at a time: a call that was killed is
    gone on with by the same call.

    Parameters
    ----------
    recipe : Recipe, str or path
        Or the name of one that is shipped, or a JSON file.
    folder : path
        Of the work. The finished run is ``folder/NAME``, as it is shipped: `lab.Run.open` opens it.
    workers : int
        Processes that make clouds, 1 GB each.
    progress : bool
        Show bars.
    say : callable, optional
        Told one line after each step.

    Returns
    -------
    Run

    Raises
    ------
    ValueError, FileNotFoundError
        If there is no such recipe, or it is wrong.
    FileExistsError
        If something else stands in the folder.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    trained = train_run(recipe, folder, workers=workers, progress=progress, say=say)
    shipped = ship(trained, recipe, Path(folder) / recipe.name)
    keep_features(
        shipped, window=min(WINDOW, shipped.dataset().patch_size), rows=_without_noise(shipped.dataset())
    )
    if say is not None:
        say(f"{shipped.path} is finished: {shipped}")
    return shipped


def _without_noise(dataset: PatchDataset) -> np.ndarray:
    """Return the training patches that show the gas alone: a map of noise shall not look like one that is noisy."""
    rows = dataset.indices("training")
    clean = rows[np.isnan(dataset.read("beam_fwhm", rows))]
    return clean if len(clean) >= SMALLEST else rows
