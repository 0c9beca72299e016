"""From a map of column density and a generative run to a map of density: the mean and the spread of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from astropy import units as u

from polaris_lab.observations.intervals import ENDS
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict_prepare import prepare
from polaris_lab.observations.predict_work import Work, finished, flags_of, interpolated
from polaris_lab.observations.prediction import MAPS, Prediction
from polaris_lab.observations.quality import flags_in_words
from polaris_lab.observations.sampling import network_plan, sample_map
from polaris_lab.training.samples import main_output

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
    foreground: u.Quantity | None = None,
    compare: bool = True,
    keep: bool = False,
    progress: bool = True,
) -> Prediction:
    """Predict the density behind a map with a generative run, on the map's own grid.

    The value is the mean of log10 of the samples. The intervals are their spread in each pixel, times the number of
    spreads that held 68 % and 95 % of the errors on the validation patches. Of several outputs the main one is the density,
    the means of the others are extra maps. Pixels of another size, and blank ones, are
    treated as :func:`polaris_lab.observations.predict.predict_density` does, which has the other arguments too.

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
    keep : bool
        Keep the samples in the prediction.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        As for :func:`polaris_lab.observations.predict.predict_density`; if the run is not generative, or there are fewer
        than 2 samples.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise ValueError(
            f"samples: expected a whole number of at least 2 (their spread is given), got {samples!r}"
        )
    model = run.model()
    block = model.generative  # refuses a network that draws no samples
    factors = _spread_factors(run)
    work = prepare(
        [run],
        [model],
        observation,
        overlap=None,
        tile=None,
        symmetries=False,
        depth=None,
        foreground=foreground,
        compare=compare,
    )
    rows = slice(0, work.inputs.shape[0])
    window = work.inputs.window(rows)
    every = sample_map(
        model, window[0], samples=samples, steps=steps, seed=seed, tile=tile, progress=progress
    )  # (s, y, x), or by output
    drawn = main_output(model, every)
    found = _moments(drawn, factors)
    for name in model.blueprint.extra_outputs:
        found[name] = every[name].mean(axis=0, dtype=np.float64).astype(np.float32)
    found["quality"] = flags_of(
        work, rows, window, work.inputs.blank(rows), found["point"], _contrast(model, window[0])
    )
    if work.grid is not None:
        found = interpolated(work, found, slice(None))
    maps = finished(work, slice(0, observation.shape[0]), found)
    said = flags_in_words(maps["quality"], np.isfinite(maps["density"]))
    tiles = network_plan(block, work.inputs.shape, tile)
    scheme = f"{samples} samples of the whole map, {len(tiles)} tiles a step"
    interval = (
        f"Mean and spread of {samples} samples, seed {seed}, scaled to the errors on validation patches"
    )
    return Prediction(
        **{name: maps[name] for name in (*MAPS, "quality", "coverage")},
        wcs=observation.wcs,
        samples=_in_units(work, drawn) if keep else None,
        extra={name: maps[name] for name in model.blueprint.extra_outputs},
        provenance={**work.provenance, "interval": interval, "scheme": scheme},
        notes=(*work.notes, interval, *said),
    )


def _moments(drawn: np.ndarray, factors: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return mean and interval of log10 samples (s, y, x), as networks answer."""
    count = len(drawn)
    mean = drawn.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = drawn.std(axis=0, ddof=1, dtype=np.float64) * np.sqrt(1 + 1 / count)
    found = {"point": mean, "coverage": np.ones(mean.shape, np.int16)}
    for name, level in ENDS.items():
        found[name] = (np.sign(level - 0.5) * factors[name[-2:]] * spread).astype(np.float32)
    return found


def _in_units(work: Work, drawn: np.ndarray) -> np.ndarray:
    """Return the samples in cm^-3, blank where the map is."""
    if work.grid is not None:
        drawn = np.stack([work.grid.interpolate(image) for image in drawn])
    valid = work.valid(slice(0, work.observation.shape[0]))
    logs = np.where(valid, drawn, np.float32(np.nan))
    return np.power(np.float32(10), logs) * np.float32(work.scale)


def _contrast(model: BlueprintModel, log_column: np.ndarray) -> list[np.ndarray]:
    """Return what a scale-equivariant network sees of the map."""
    image = torch.from_numpy(log_column)[None, None]  # (1, 1, y, x)
    with torch.inference_mode():
        return [block(image)[0, 0].numpy() for block in model.blocks_named("local_contrast")]


def _spread_factors(run: Run) -> dict[str, float]:
    """Return how many spreads hold 68 % and 95 % of the errors, or say how to find out."""
    try:
        report = run.validation()["samples"]
        return {"68": report["spread_factor_68"], "95": report["spread_factor_95"]}
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f"run: expected the spread of samples compared with errors, got none ({error}); call run.validate() once, "
            "which does so on the validation patches"
        ) from error
