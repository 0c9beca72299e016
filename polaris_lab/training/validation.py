"""Judging a network on patches it has not learned from, beside the power law on the same patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from polaris_lab.estimators import fit_power_law
from polaris_lab.quantities import is_logarithmic
from polaris_lab.training.calibration import calibration_table
from polaris_lab.training.loop import point_and_target, predictions
from polaris_lab.training.metrics import scores
from polaris_lab.training.samples import (
    VALIDATION_SAMPLES,
    main_output,
    mean_of_samples,
    run_device,
    sample_run,
    spread_report,
)
from polaris_lab.training.streaming import load_patches

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run


def validate_run(run: Run) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Judge a run on its validation patches.

    Returns
    -------
    predicted, target : ndarray (patches, y, x), float32
        Densities [cm^-3].
    report : dict
        What validation.json holds: ``epoch``, what :func:`compare_with_power_law` returns, ``training_ranges``, and for
        a generative run ``samples`` (:func:`polaris_lab.training.samples.spread_report`), and ``extra_samples``, the same
        by name for its other outputs.
    """
    best, names = run.best, {"inputs": run.blueprint.inputs, "target": run.target}
    model, dataset = run.model(), run.dataset()
    more: dict[str, Any] = {}
    if model.is_generative:
        every = sample_run(run, samples=VALIDATION_SAMPLES, seed=run.config.seed)
        drawn, rows = main_output(model, every), dataset.indices("validation")
        target = dataset.read(run.target, rows)
        predicted = mean_of_samples(drawn)
        more["samples"] = {"steps": model.generative.default_steps, **spread_report(drawn, target)}
        extra = [name for name in run.blueprint.extra_outputs if is_logarithmic(name)]
        if extra:
            more["extra_samples"] = {
                name: spread_report(every[name], dataset.read(name, rows)) for name in extra
            }
    else:
        predicted, target = predict_patches(
            model, dataset, "validation", batch_size=run.config.batch_size, device=run_device(run), **names
        )
    report = compare_with_power_law(predicted, target, dataset, **names)
    report["training_ranges"] = training_ranges(model, dataset, **names)
    return predicted, target, {"epoch": best.epoch, **report, **more}


def predict_patches(
    model: nn.Module,
    dataset: PatchDataset,
    split: str,
    *,
    inputs: tuple[str, ...],
    target: str,
    batch_size: int = 16,
    device: str | torch.device = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Predict every patch of a split once, in float32 and evaluation mode.

    Returns
    -------
    predicted, target : ndarray (patches, y, x), float32
        Densities [cm^-3].
    """
    patches = load_patches(dataset, split, inputs=inputs, target=target)
    device = torch.device(device)
    model.to(device, memory_format=torch.channels_last)
    predicted = np.empty((len(patches), dataset.patch_size, dataset.patch_size), dtype=np.float32)
    for positions, raw, targets in predictions(model, patches, batch_size, device):
        log_density, _ = point_and_target(model, raw, targets)
        predicted[positions] = (10 ** log_density.double()).squeeze(1).cpu().numpy()  # (n, y, x)
    return predicted, dataset.read(target, dataset.indices(split))


def raw_answers(model: nn.Module, dataset: PatchDataset, split: str, *, batch_size: int = 16) -> torch.Tensor:
    """Return the raw answers (patches, C, y, x) of a network with one output to every patch of a split, on the CPU.

    Parameters
    ----------
    model : nn.Module
        With a ``blueprint``; it is put in evaluation mode.
    """
    blueprint = model.blueprint
    patches = load_patches(dataset, split, inputs=blueprint.inputs, target=blueprint.output)
    found = [raw.cpu() for _, raw, _ in predictions(model, patches, batch_size, torch.device("cpu"))]
    return torch.cat(found)  # (n, C, y, x)


def training_ranges(
    model: BlueprintModel, dataset: PatchDataset, *, inputs: tuple[str, ...], target: str
) -> dict[str, list[float]]:
    """Return the smallest and largest values that the network has learned from.

    Returns
    -------
    dict
        [smallest, largest] of each input by its name (log10 of what is logarithmic) and of log10 of the target as "density", and of what each
        ``local_contrast`` block makes of the column density as "contrast 0", "contrast 1" ...
    """
    rows = dataset.indices("training")
    ranges = {}
    for name in inputs:
        values = dataset.read(name, rows)
        if np.isfinite(values).any():  # an optional input may be missing everywhere
            ranges[name] = _extent(np.log10(values) if is_logarithmic(name) else values)
    ranges["density"] = _extent(np.log10(dataset.read(target, rows)))
    contrasts = model.blocks_named("local_contrast")
    if contrasts:
        log_column = np.log10(dataset.read("column_density", rows))[:, None]  # (n, 1, y, x)
        parts = torch.from_numpy(log_column.astype(np.float32)).split(64)
        with torch.inference_mode():
            for number, block in enumerate(contrasts):
                device = next(block.buffers()).device
                seen = [block(part.to(device)).cpu().numpy() for part in parts]
                ranges[f"contrast {number}"] = _extent(np.concatenate(seen))
    return ranges


def _extent(values: np.ndarray) -> list[float]:
    return [float(np.nanmin(values)), float(np.nanmax(values))]


def compare_with_power_law(
    predicted: np.ndarray, truth: np.ndarray, dataset: PatchDataset, *, inputs: tuple[str, ...], target: str
) -> dict[str, Any]:
    """Score predictions of the validation patches, and the power law beside them.

    The power law is fitted to the training pixels: it too has not seen the validation patches.

    Returns
    -------
    dict
        ``metrics`` and ``power_law`` (:func:`polaris_lab.training.metrics.scores`), ``power_law_fit`` (its
        intercept, slope and input), ``calibration``
        (:func:`polaris_lab.training.calibration.calibration_table`), ``split`` (one sentence), ``patches``.
    """
    column = "column_density" if "column_density" in inputs else inputs[0]
    seen, unseen = dataset.indices("training"), dataset.indices("validation")
    law = fit_power_law(dataset.read(column, seen), dataset.read(target, seen))
    return {
        "metrics": scores(predicted, truth),
        "power_law": scores(law(dataset.read(column, unseen)), truth),
        "power_law_fit": {"input": column, **law.to_dict()},
        "calibration": calibration_table(predicted, truth),
        "split": dataset.describe_split(),
        "patches": len(unseen),
    }
