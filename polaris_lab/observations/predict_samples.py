"""From a map of column density and a generative run to maps of density: each sample one, their mean and their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from astropy import units as u
from scipy import special

from polaris_lab.observations.intervals import ENDS
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict_work import Work, finished, flags_of, prepare
from polaris_lab.observations.prediction import MAPS, Prediction, Quality
from polaris_lab.observations.quality import density_flags, flags_in_words

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run

SAMPLES = 16
"""Samples whose mean and spread are given, as many as in the validation."""


def predict_by_samples(
    run: Run,
    model: BlueprintModel,
    observation: Observation,
    *,
    samples: int | None = None,
    seed: int = 0,
    tile: int | None = None,
    foreground: u.Quantity | None = None,
    compare: bool = True,
    progress: bool = True,
) -> Prediction:
    """Predict with a generative run (arguments of ``predict_density``).

    The value is the mean of log10 of the samples. The intervals are their spread in each pixel, times the number of
    spreads that held 68 % and 95 % of the errors on the validation patches. The samples themselves are kept when their number is
    asked for.

    Raises
    ------
    ValueError
        As ``predict_density``; if there are fewer than 2 samples, or the validation holds no spread of samples.
    """
    count = SAMPLES if samples is None else samples
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ValueError(
            f"samples: expected a whole number of at least 2 (their spread is given), got {samples!r}"
        )
    draw, factors = _drawing(), _spread_factors(run)
    work = prepare(
        [run], [model], observation, overlap=None, tile=None, symmetries=False, depth=None, foreground=foreground,
        compare=compare,
    )  # fmt: skip
    rows = slice(0, work.inputs.shape[0])
    window = work.inputs.window(rows)
    drawn = draw(model, window[0], samples=count, seed=seed, tile=tile, progress=progress)  # (s, y, x)
    mean = drawn.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = drawn.std(axis=0, ddof=1, dtype=np.float64) * np.sqrt(1 + 1 / count)
    found = {"point": mean, "coverage": np.ones(mean.shape, np.int16)}
    for name, level in ENDS.items():
        found[name] = (np.sign(special.ndtri(level)) * factors[name[-2:]] * spread).astype(np.float32)
    found["quality"] = flags_of(
        work, rows, window, work.inputs.blank(rows), mean, _contrast(model, window[0])
    )
    if work.grid is not None:
        found = {
            name: (work.grid.nearest if values.dtype.kind == "i" else work.grid.interpolate)(values)
            for name, values in found.items()
        }
        found["quality"] |= density_flags(work.ranges, found["point"]) | np.int16(Quality.RESAMPLED)
        drawn = np.stack([work.grid.interpolate(image) for image in drawn]) if samples else drawn
    maps = finished(work, slice(0, observation.shape[0]), found)
    said = flags_in_words(maps["quality"], np.isfinite(maps["density"]))
    return Prediction(
        **{name: maps[name] for name in (*MAPS, "quality", "coverage")},
        wcs=observation.wcs,
        samples=_in_units(work, drawn) if samples else None,
        provenance={**work.provenance, "interval": _words(count, seed), "scheme": "samples of the whole map"},
        notes=(*work.notes, _words(count, seed), *said),
    )


def _words(count: int, seed: int) -> str:
    return f"Mean and spread of {count} samples (seed {seed}); the spread is widened to hold the errors of the validation patches"


def _drawing() -> Any:
    """Return the function that draws samples of a whole map, or say that there is none."""
    try:
        from polaris_lab.observations.sampling import sample_map
    except ImportError as error:
        raise ValueError(
            "samples: expected a version of polaris_lab that draws samples of maps (polaris_lab.observations.sampling), got "
            "one without; install a later one, or use a run whose network answers directly"
        ) from error
    return sample_map


def _in_units(work: Work, drawn: np.ndarray) -> np.ndarray:
    """Return the samples in cm^-3, blank where the map is."""
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
