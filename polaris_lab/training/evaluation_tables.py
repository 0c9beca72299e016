"""The tables of an evaluation, as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from polaris_lab.training import metrics
from polaris_lab.training.metrics.calibration_scores import LEVELS
from polaris_lab.training.predicted import Predicted

PIT_BINS = 20
"""Bins of the PIT histogram."""

TAIL_QUANTILE = 0.95
"""The tail of the PDF starts where the true density has this quantile."""

REGION_SIDE = 16
"""Side of the squares whose mean densities are scored [pixels]."""


def plain(values: Iterable[float]) -> list[Any]:
    """Return numbers as JSON knows them: NaN and infinity become None."""
    return [None if not np.isfinite(value) else float(value) for value in np.asarray(values, np.float64)]


def accuracy_table(predicted: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return the accuracy curve with its spread over images."""
    curve = metrics.accuracy_curve(predicted, target)
    return {
        "tolerance_dex": plain(curve.tolerance_dex),
        "mean": plain(curve.mean),
        "standard_deviation": plain(curve.standard_deviation),
        "q16": plain(curve.q16),
        "q84": plain(curve.q84),
        "area": curve.area,
        "images": curve.images,
    }


def bin_tables(predicted: np.ndarray, target: np.ndarray, column_density: np.ndarray) -> dict[str, Any]:
    """Return residuals in bins of the true density, the predicted density, and the column density."""
    tables = {}
    for by in ("target", "predicted", "column_density"):
        found = metrics.residuals_by_density(predicted, target, by=by, column_density=column_density)
        tables[by] = {
            "centres": plain(found.centres),
            "count": found.count.tolist(),
            "mean": plain(found.mean),
            "q02.5": plain(found.q02_5),
            "q16": plain(found.q16),
            "q50": plain(found.median),
            "q84": plain(found.q84),
            "q97.5": plain(found.q97_5),
        }
    return tables


def map_table(
    predicted: np.ndarray,
    target: np.ndarray,
    cloud: np.ndarray,
    line_of_sight: np.ndarray,
    rows: np.ndarray,
) -> dict[str, Any]:
    """Return the errors of each patch."""
    maps = metrics.map_scores(predicted, target)
    return {
        "cloud": cloud.tolist(),
        "line_of_sight": line_of_sight.tolist(),
        "patch": rows.tolist(),
        "pixels": maps.pixels.tolist(),
        "rmse_dex": plain(maps.rmse),
        "bias_dex": plain(maps.bias),
        "in_map_rmse_dex": plain(maps.in_map_rmse),
    }


def spectrum_table(predicted: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return power ratio and coherence by frequency."""
    spectra = metrics.compare_spectra(predicted, target)
    return {
        "frequency": plain(spectra.frequency),
        "ratio": plain(spectra.ratio),
        "coherence": plain(spectra.coherence),
        "modes": spectra.modes.tolist(),
    }


def tail_table(predicted: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return width and tail slope of both PDFs, over the pixels valid in both."""
    both = np.isfinite(predicted) & np.isfinite(target)
    ours, true = np.where(both, predicted, np.nan), np.where(both, target, np.nan)
    start = float(np.nanquantile(true, TAIL_QUANTILE))
    return {
        "width_dex_predicted": metrics.width_dex(ours),
        "width_dex_true": metrics.width_dex(true),
        "above_cm3": start,
        "slope_predicted": _slope(ours, start),
        "slope_true": _slope(true, start),
    }


def _slope(density: np.ndarray, start: float) -> float | None:
    return metrics.tail_slope(density, above=start) if (density > start).sum() >= 2 else None


def calibration_sums(
    predicted: Predicted, target: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Return sums of CRPS and coverage of each patch, and the tables; nothing without an uncertainty.

    Samples come first, then quantiles, then sigma: the richest statement is judged.
    """
    found = _pit_and_crps(predicted, target)
    if found is None:
        return {}, None
    kind, pit, crps, valid = found
    number = np.broadcast_to(np.arange(len(target))[:, None, None], target.shape)[valid]

    def add(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, weights=values, minlength=len(target))

    sums = {"crps_pixels": add(np.ones(pit.size)), "crps": add(crps)}
    for level in LEVELS:
        sums[f"inside_{level:g}"] = add((np.abs(pit - 0.5) <= level / 2).astype(float))
    tables: dict[str, Any] = {
        "kind": kind,
        "pit_edges": np.linspace(0, 1, PIT_BINS + 1).tolist(),
        "pit_share": (np.histogram(pit, PIT_BINS, (0, 1))[0] / pit.size).tolist(),
        "spread_skill": None,
    }
    levels = np.linspace(0.05, 0.99, 48)
    tables["coverage_level"] = levels.tolist()
    tables["coverage_share"] = list(metrics.coverage(pit, levels.tolist()).values())
    if predicted.sigma_dex is not None:
        skill = metrics.spread_skill(predicted.density, predicted.sigma_dex, target)
        tables["spread_skill"] = {
            "spread": plain(skill.spread),
            "error": plain(skill.error),
            "slope": skill.slope,
        }
    return sums, tables


def _pit_and_crps(
    predicted: Predicted, target: np.ndarray
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray] | None:
    """Return what is judged, PIT and CRPS of the valid pixels, and which those are (n, y, x)."""
    known = np.isfinite(target)
    if predicted.samples is not None and len(predicted.samples) > 1:
        valid = known & np.isfinite(predicted.samples).all(axis=0)
        pit = metrics.pit_samples(predicted.samples, target)
        return "samples", pit, metrics.crps_samples(predicted.samples, target), valid
    if predicted.quantiles:
        valid = known & np.isfinite(np.stack(list(predicted.quantiles.values()))).all(axis=0)
        pit = metrics.pit_quantiles(predicted.quantiles, target)
        return "quantiles", pit, metrics.crps_quantiles(predicted.quantiles, target), valid
    if predicted.sigma_dex is not None:
        valid = known & np.isfinite(predicted.density) & np.isfinite(predicted.sigma_dex)
        pit = metrics.pit_gaussian(predicted.density, predicted.sigma_dex, target)
        return "gaussian", pit, metrics.crps_gaussian(predicted.density, predicted.sigma_dex, target), valid
    return None


def region_table(predicted: Predicted, target: np.ndarray) -> dict[str, Any] | None:
    """Return the scores of means over squares and of the PDF, from samples; None without three of them."""
    if predicted.samples is None or len(predicted.samples) < 3:
        return None
    side = min(REGION_SIDE, *target.shape[1:])
    regions = metrics.region_means(predicted.samples, target, metrics.blocks(target.shape, side))
    band = metrics.pdf_band(predicted.samples, target)
    return {
        "side_pixels": side,
        "rmse_dex": float(np.sqrt(((regions.mean - regions.target) ** 2).mean())),
        "sigma_dex": float(np.sqrt((regions.sigma_dex**2).mean())),
        "independent_sigma_dex": float(np.sqrt((regions.independent_sigma_dex**2).mean())),
        "coverage": {f"{level:g}": share for level, share in regions.coverage.items()},
        "crps_dex": regions.crps_dex,
        "pdf": {
            "edges": plain(band.edges),
            "median": plain(band.median),
            "low": plain(band.low),
            "high": plain(band.high),
            "target": plain(band.target),
            "crps": band.crps,
        },
    }
