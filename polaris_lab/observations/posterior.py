"""From a map of column density and a generative run to a map of density: the mean and the spread of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from polaris_lab.observations.blanks import fill_blanks
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict import (
    EDGE_REACH,
    _check_inputs,
    _check_size,
    _pixel_scale,
    _provenance,
    match_pixels,
)
from polaris_lab.observations.prediction import Prediction, Quality
from polaris_lab.observations.quality import flags_in_words, location_flags, range_flags
from polaris_lab.observations.sampling import network_plan, sample_map

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run

SAMPLES = 16
"""Samples whose mean and spread are given, as many as in the validation."""


def sample_density(
    run: Run,
    observation: Observation,
    *,
    samples: int = SAMPLES,
    steps: int | None = None,
    seed: int = 0,
    tile: int | None = None,
    progress: bool = True,
) -> Prediction:
    """Predict the density behind a map with a generative run, on the map's own grid.

    The value is the mean of log10 of the samples. The intervals are their spread in each pixel, times the number of
    spreads that held 68 % and 95 % of the errors on the validation patches. Pixels of another size, and blank ones, are
    treated as :func:`polaris_lab.observations.predict.predict_density` does.

    Parameters
    ----------
    run : Run
        Generative, trained and validated; it takes a column density map and nothing else.
    observation : Observation
        The map.
    samples : int
        At least 2.
    steps, seed, tile, progress
        As for :func:`polaris_lab.observations.sampling.sample_map`.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        As for :func:`polaris_lab.observations.predict.predict_density`; if the run is not generative, or there are fewer
        than 2 samples.
    """
    _check_inputs(run)
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise ValueError(
            f"samples: expected a whole number of at least 2 (their spread is given), got {samples!r}"
        )
    model = run.model()
    block = model.generative
    factors = _spread_factors(run)
    grid, notes = match_pixels(observation, run.pixel_size_pc)
    column = observation.column_density if grid is None else grid.average(observation.column_density)
    notes += _check_size(column.shape, run)
    blank = ~np.isfinite(column)
    log_column = fill_blanks(np.log10(column)).astype(np.float32)
    drawn = sample_map(
        model, log_column, samples=samples, steps=steps, seed=seed, tile=tile, progress=progress
    )
    mean = drawn.mean(axis=0, dtype=np.float64)  # (y, x)
    spread = drawn.std(axis=0, ddof=1, dtype=np.float64) * np.sqrt(1 + 1 / samples)  # (y, x)
    quality = location_flags(blank, reach=min(EDGE_REACH, model.receptive_margin))
    ranges = run.validation().get("training_ranges", {})
    quality |= range_flags(ranges, log_column, mean, _contrast(model, log_column))
    if grid is not None:
        mean, spread = grid.interpolate(mean), np.maximum(grid.interpolate(spread), 0)
        quality = grid.nearest(quality) | np.int16(Quality.RESAMPLED)
    valid = np.isfinite(observation.column_density)
    scale = 1.0
    if grid is None:
        scale, note = _pixel_scale(observation.pixel_size_pc, run.pixel_size_pc)
        notes = [*notes, *note]
    quality = np.where(valid, quality, np.int16(0))
    plan = network_plan(block, log_column.shape, tile)
    return Prediction(
        **_intervals(np.where(valid, mean, np.nan), spread, factors, scale),
        quality=quality,
        coverage=valid.astype(np.int16),
        wcs=observation.wcs,
        provenance=_provenance(run, observation, plan, None),
        notes=(*notes, f"Mean and spread of {samples} samples, seed {seed}", *flags_in_words(quality, valid)),
    )


def _contrast(model: BlueprintModel, log_column: np.ndarray) -> list[np.ndarray]:
    """Return what a scale-equivariant network sees of the map."""
    with torch.inference_mode():
        seen = [
            block(torch.from_numpy(log_column)[None, None]) for block in model.blocks_named("local_contrast")
        ]
    return [values[0, 0].numpy() for values in seen]


def _intervals(
    mean: np.ndarray, spread: np.ndarray, factors: dict[str, float], scale: float
) -> dict[str, np.ndarray]:
    """Return the density and the ends of its intervals [cm^-3]."""
    exponents: dict[str, Any] = {"density": mean}
    for name, factor in factors.items():
        exponents[f"lower{name}"] = mean - factor * spread
        exponents[f"upper{name}"] = mean + factor * spread
    return {name: (scale * 10.0**value).astype(np.float32) for name, value in exponents.items()}


def _spread_factors(run: Run) -> dict[str, float]:
    """Return how many spreads hold 68 % and 95 % of the errors, or say how to find out."""
    try:
        report = run.validation()["samples"]
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f"run: expected the spread of samples compared with errors, got none ({error}); call run.validate() once, "
            "which does so on the validation patches"
        ) from error
    return {"68": report["spread_factor_68"], "95": report["spread_factor_95"]}
