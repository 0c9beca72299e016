"""Before a prediction: runs, map and choices checked, and all that the work needs collected."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from polaris_lab.observations import provenance
from polaris_lab.observations.coverage import coverage_flags, coverage_note
from polaris_lab.observations.intervals import residual_table, stated_levels
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict_grid import (
    check_size,
    match_pixels,
    patch_size,
    pixel_scale,
    plan_map,
    working_pixel,
)
from polaris_lab.observations.predict_inputs import MapInputs, gather, remaining_column
from polaris_lab.observations.predict_network import MapNetwork
from polaris_lab.observations.predict_work import Work

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run

log = logging.getLogger(__name__)

LARGEST_COMPARED = 16_000_000
"""Pixels of a map up to which it is compared with the training set, window by window."""


def prepare(
    runs: Sequence[Run],
    models: Sequence[BlueprintModel],
    observation: Observation,
    *,
    overlap: float | None,
    tile: int | None,
    symmetries: bool,
    depth: u.Quantity | None,
    foreground: u.Quantity | None,
    compare: bool,
) -> Work:
    """Check all that can be checked before the work, and collect what it needs (arguments of ``predict_density``)."""
    runs = checked_runs(runs)
    stated = [stated_levels(r, m.heads[m.blueprint.output]) for r, m in zip(runs, models, strict=True)]
    levels = tuple(each for each, _ in stated)
    if len({len(each) for each in levels}) > 1:
        raise ValueError(
            "run: expected runs that all state their error or none that does, got both; average the others on their own"
        )
    residuals = tuple(residual_table(run) for run in runs)
    pixel, told_of_pixel = working_pixel(runs[0], observation)
    grid, notes = match_pixels(observation, pixel)
    column, lost, told = remaining_column(observation, foreground)
    scale = runs[0].pixel_size_pc / (observation.pixel_size_pc if grid is None else pixel)
    inputs = gather(
        models, observation, column, grid, pixel_pc=runs[0].pixel_size_pc, scale=scale, depth=depth
    )
    network = MapNetwork(tuple(models), inputs.channels, inputs.scalars, levels, symmetries)
    notes += [*told_of_pixel, *told, *check_size(inputs.shape, runs[0])]
    notes += _said_of(stated, inputs, runs, symmetries)
    plan = plan_map(
        inputs.shape,
        margin=network.margin,
        stride=network.stride,
        spared=network.spared,
        patch=patch_size(runs[0]),
        overlap=overlap,
        tile=tile,
        parameters=max(sum(p.numel() for p in model.parameters()) for model in models),
    )
    scale, ratio = pixel_scale(runs[0].pixel_size_pc / scale, runs[0].pixel_size_pc)
    unlike, outside = _compared(runs[0], network, observation, pixel, compare=compare)
    return Work(
        observation, column, lost, runs, network, inputs, grid, plan,
        tables=() if any(levels) else residuals,
        ranges=_ranges(runs, residuals),
        unlike=unlike,
        scale=scale,
        provenance=provenance.of_run(
            runs, observation, plan, overlap=overlap, symmetries=symmetries, interval=stated[0][1],
            inputs=[name for name in runs[0].blueprint.inputs if name not in inputs.missing],
            foreground=None if foreground is None else float(np.median(foreground.to_value(u.cm**-2))),
            depth=None if depth is None else float(depth.to_value(u.pc)),
        ),
        notes=(*outside, *ratio, *notes),
    )  # fmt: skip


def checked_runs(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs that may be averaged, or say why not."""
    runs = tuple(runs)
    if not runs:
        raise ValueError("run: expected a run or several, got none")
    first = runs[0]
    for run in runs[1:]:
        if run.target != first.target:
            raise ValueError(
                f"run: expected runs that predict the same, got {first.target} and {run.target}; average those of one target"
            )
        if abs(run.pixel_size_pc / first.pixel_size_pc - 1) > 0.01:
            raise ValueError(
                f"run: expected runs trained on pixels of one size, got {first.pixel_size_pc:.4g} and {run.pixel_size_pc:.4g} pc"
            )
    return runs


def _said_of(
    stated: Sequence[tuple[tuple[float, ...], str]], inputs: MapInputs, runs: Sequence[Run], symmetries: bool
) -> list[str]:
    """Return what is to be said of the interval, the average and what the map does not have."""
    notes = list(dict.fromkeys(note for levels, note in stated if levels))
    views = (["the 8 orientations of the map"] if symmetries else []) + (
        [f"{len(runs)} runs"] if len(runs) > 1 else []
    )
    if views:
        notes.append(
            f"Mean of log density over {' and '.join(views)}; their spread widens the intervals in square"
        )
    if inputs.missing:
        notes.append(f"Predicted without {', '.join(inputs.missing)}, which the network can do without")
    return notes


def _ranges(runs: Sequence[Run], residuals: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Sequence[float]]:
    """Return the ranges of the training set; of several runs the narrowest range of the density.

    Where a validation has none of the density, that of its predictions stands for it.
    """
    ranges = dict(runs[0].validation().get("training_ranges", {}))
    known = []
    for run, table in zip(runs, residuals, strict=True):
        centres = table["log_density"]
        known.append(run.validation().get("training_ranges", {}).get("density", (centres[0], centres[-1])))
    ranges["density"] = (max(low for low, _ in known), min(high for _, high in known))
    return ranges


def _compared(
    run: Run, network: MapNetwork, observation: Observation, pixel_pc: float, *, compare: bool
) -> tuple[np.ndarray | None, list[str]]:
    """Return where the map looks like no training patch, and the sentence about it; nothing if that cannot be told."""
    from polaris_lab.observations.coverage import compare as compared

    if not compare or observation.column_density.size > LARGEST_COMPARED:
        return None, []
    try:
        coverage = compared(_features(run), observation, pixel_size_pc=pixel_pc)
    except (FileNotFoundError, ValueError) as error:
        log.debug("not compared with the training set: %s", error)
        return None, []
    level = "relative" if network.models[0].blocks_named("local_contrast") else "absolute"
    note = coverage_note(coverage, level=level)
    if note:
        log.warning("%s", note)
    return coverage_flags(coverage, level=level), [note] if note else []


_KNOWN_FEATURES: dict[str, Mapping[str, Any]] = {}


def _features(run: Run) -> Mapping[str, Any]:
    """Return the features of a run's training set, read once for each set: kept in its folder, or made of the set."""
    from polaris_lab.observations.training_set import kept_features, training_features

    key = run.dataset_fingerprint
    if key not in _KNOWN_FEATURES:
        found = kept_features(run) or training_features(run.dataset())
        _KNOWN_FEATURES.clear()
        _KNOWN_FEATURES[key] = found
    return _KNOWN_FEATURES[key]
