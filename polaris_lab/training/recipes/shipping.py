"""From a trained run to the folder that is shipped: half-precision weights, validation, calibration, and where to use it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from polaris_lab.config import write_bytes, write_json
from polaris_lab.training import folder as files
from polaris_lab.training.checkpoints import load_weights, save_weights, weights_metadata
from polaris_lab.training.recalibration import recalibrate
from polaris_lab.training.recipes.choices import FOLDER, Recipe
from polaris_lab.training.run import Run
from polaris_lab.training.scope import Scope

NO_DATASET = "patches.zarr"
"""What a shipped run calls its dataset, which is not shipped: the recipe makes it."""

FIRST_HISTORY = "history_first.jsonl"
"""Records of the training that a refined network began with."""


def ship(run: Run, recipe: Recipe, folder: str | Path) -> Run:
    """Write a run as it is shipped, validated and recalibrated with the weights that are shipped; open it from there.

    Parameters
    ----------
    run : Run
        Finished, with its dataset at hand.
    recipe : Recipe
        What it came of.
    folder : path
        New, or of an earlier call, whose files are replaced. Other files in it (a model card) stay.

    Raises
    ------
    ValueError
        If the run is not finished.
    """
    if run.state != "finished":
        raise ValueError(
            f"run: expected one whose training is finished, got {run.path}, which is {run.state}"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reference = dataclasses.replace(run.description.dataset, path=NO_DATASET, relative_path=None)
    start = run.description.start_from
    if start is not None:
        before = Path(start["path"])
        write_bytes(folder / FIRST_HISTORY, (before / files.HISTORY).read_bytes())
        start = {**start, "path": before.name}
    description = dataclasses.replace(run.description, dataset=reference, start_from=start)
    write_json(folder / files.DESCRIPTION, files.description_json(description))
    source = run.path / files.WEIGHTS
    said = weights_metadata(source)
    weights = halved(load_weights(source))
    save_weights(folder / files.WEIGHTS, weights, epoch=said["epoch"], blueprint=said["blueprint"])
    write_bytes(folder / files.HISTORY, (run.path / files.HISTORY).read_bytes())
    patches, _ = recipe.stages[-1]
    Scope(patches.pixel_range_pc, patches.resolved_pc, patches.widest_beam_pixels, recipe.fingerprint).write(
        folder
    )
    shipped = Run.open(folder, dataset=run.dataset())
    shipped.validate()
    recalibrate(shipped)
    return shipped


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with every tensor of two or more dimensions in float16: constants and offsets keep their digits.

    Raises
    ------
    ValueError
        If a value does not fit.
    """
    found = {}
    for name, values in weights.items():
        small = values.half() if values.ndim > 1 and values.dtype == torch.float32 else values
        if not torch.isfinite(small.float()).all():
            raise ValueError(f"{name}: expected values that float16 holds, got up to {values.abs().max():g}")
        found[name] = small.contiguous()
    return found


def pretrained(name: str = "default") -> Run:
    """Open a network that is shipped with the package.

    Parameters
    ----------
    name : str
        Of its recipe.

    Raises
    ------
    ValueError
        If there is no recipe of that name.
    FileNotFoundError
        If its weights are not there: the recipe must be trained first.

    Examples
    --------
    >>> pretrained().target
    'mass_weighted_density'
    """
    path = pretrained_folder(name)
    if not (path / files.WEIGHTS).exists():
        raise FileNotFoundError(
            f"{path}: expected the weights of the recipe {name!r}, got none; make them with "
            f"polaris-lab train --recipe {name}, and name the folder with --run"
        )
    return Run.open(path)


def pretrained_folder(name: str = "default") -> Path:
    """Return the folder of a shipped network.

    Raises
    ------
    ValueError
        If there is no recipe of that name.
    """
    from polaris_lab.training.recipes.choices import load_recipe

    load_recipe(name)
    return FOLDER / name
