"""Scores as functions of sums over each cloud: what the bootstrap over clouds draws from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polaris_lab.training.bootstrap import Interval, block_bootstrap, paired_bootstrap
from polaris_lab.training.metrics.accuracies import TOLERANCES_DEX, image_accuracies
from polaris_lab.training.metrics.residuals import GAUSSIAN_MAD
from polaris_lab.training.metrics.shared import log_column, mean_of_valid
from polaris_lab.training.metrics.structure import compare_spectra
from polaris_lab.training.pairs import log_pair

HIGH_FREQUENCY = (0.125, 0.5)
"""Spatial frequencies whose power is compared, "high k" [waves per pixel]."""

HISTOGRAM_STEP_DEX = 0.005
"""Bins in which distributions are kept for the bootstrap [dex]."""

Sums = dict[str, list[float]]
"""By name, one number a cloud."""


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 1] / sums[..., 0]


def _root(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(_ratio(sums))


STATISTICS: dict[str, tuple[tuple[str, str], Callable[[np.ndarray], np.ndarray]]] = {
    "rmse_dex": (("pixels", "squared"), _root),
    "bias_dex": (("pixels", "residual"), _ratio),
    "in_map_rmse_dex": (("pixels", "squared_in_map"), _root),
    **{f"accuracy_{t:g}": (("images", f"accuracy_{t:g}"), _ratio) for t in TOLERANCES_DEX},
    "densest_1_percent_rmse_dex": (("densest_pixels", "densest_squared"), _root),
    "densest_1_percent_bias_dex": (("densest_pixels", "densest_residual"), _ratio),
    "dense_mass_ratio": (("dense_mass_true", "dense_mass_predicted"), _ratio),
    "dense_recall": (("dense_true", "dense_both"), _ratio),
    "dense_precision": (("dense_predicted", "dense_both"), _ratio),
    "high_frequency_power_ratio": (("high_power_true", "high_power_predicted"), _ratio),
    "crps_dex": (("crps_pixels", "crps"), _ratio),
    "coverage_0.5": (("crps_pixels", "inside_0.5"), _ratio),
    "coverage_0.68": (("crps_pixels", "inside_0.68"), _ratio),
    "coverage_0.9": (("crps_pixels", "inside_0.9"), _ratio),
    "coverage_0.95": (("crps_pixels", "inside_0.95"), _ratio),
}
"""Every score that is a function of two sums: their names, and the function."""


def cloud_sums(
    predicted: np.ndarray,
    target: np.ndarray,
    cloud: np.ndarray,
    *,
    column_density: np.ndarray,
    dense_cm3: float,
) -> Sums:
    """Return what each cloud contributes to the scores.

    Parameters
    ----------
    predicted, target : ndarray, shape (n, y, x)
        Densities [cm^-3].
    cloud : ndarray of str, shape (n,)
    column_density : ndarray, shape (n, y, x)
        N_H [cm^-2].
    dense_cm3 : float
        Gas above it is dense [cm^-3].

    Returns
    -------
    dict
        Lists with one number for each cloud, in the order of their sorted names ("cloud").
    """
    log_predicted, log_target = log_pair(predicted, target)
    difference = log_predicted - log_target
    valid = np.isfinite(difference)
    mass = np.where(valid, 10 ** log_column(column_density, difference.shape), 0.0)
    mass = np.nan_to_num(mass)
    densest = valid & (log_target >= np.quantile(log_target[valid], 0.99))
    found, true = valid & (log_predicted > np.log10(dense_cm3)), valid & (log_target > np.log10(dense_cm3))
    level = mean_of_valid(difference, axis=(1, 2))[:, None, None]
    square = np.where(valid, difference**2, 0.0)
    plain = np.where(valid, difference, 0.0)
    per_patch = {
        "pixels": valid,
        "residual": plain,
        "squared": square,
        "squared_in_map": np.where(valid, (difference - level) ** 2, 0.0),
        "densest_pixels": densest,
        "densest_residual": plain * densest,
        "densest_squared": square * densest,
        "dense_mass_true": mass * true,
        "dense_mass_predicted": mass * found,
        "dense_true": true,
        "dense_predicted": found,
        "dense_both": found & true,
    }
    sums = {name: values.sum(axis=(1, 2), dtype=np.float64) for name, values in per_patch.items()}
    images = valid.any(axis=(1, 2))
    sums["images"] = images.astype(float)
    for tolerance, values in zip(TOLERANCES_DEX, image_accuracies(difference, TOLERANCES_DEX), strict=True):
        sums[f"accuracy_{tolerance:g}"] = np.zeros(len(images))
        sums[f"accuracy_{tolerance:g}"][images] = values
    sums["high_power_predicted"], sums["high_power_true"] = _high_powers(predicted, target, images)
    return add_up(sums, cloud)


def add_up(per_patch: Mapping[str, np.ndarray], cloud: np.ndarray) -> Sums:
    """Add numbers of patches up for each cloud."""
    names, number = np.unique(cloud, return_inverse=True)
    return {
        key: np.bincount(number, weights=values, minlength=len(names)).tolist()
        for key, values in per_patch.items()
    }


def _high_powers(
    predicted: np.ndarray, target: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true power at high frequency of each patch."""
    powers = np.zeros((2, len(images)))
    for number in np.flatnonzero(images):
        spectra = compare_spectra(predicted[number], target[number])
        chosen = (spectra.frequency > HIGH_FREQUENCY[0]) & (spectra.frequency < HIGH_FREQUENCY[1])
        modes = spectra.modes[chosen]
        powers[0, number] = np.nansum(spectra.power_predicted[chosen] * modes)
        powers[1, number] = np.nansum(spectra.power_target[chosen] * modes)
    return powers[0], powers[1]


def table(sums: Mapping[str, list[float]], score: str) -> np.ndarray:
    """Return the two sums of a score, shape (clouds, 2)."""
    return np.array([sums[name] for name in STATISTICS[score][0]]).T


def intervals(sums: Sums, **choices: Any) -> dict[str, Interval]:
    """Return every score that the sums allow, with its interval; one that has no value is left out."""
    scores = {}
    for name, (needed, statistic) in STATISTICS.items():
        if all(key in sums for key in needed) and sum(sums[needed[0]]) > 0:
            scores[name] = block_bootstrap(table(sums, name), statistic, **choices)
    return scores


def paired(first: Sums, second: Sums, score: str, **choices: Any) -> Interval:
    """Return the ratio of a score of two methods on the same clouds; for other combinations `combine`."""
    return paired_bootstrap(table(first, score), table(second, score), STATISTICS[score][1], **choices)


def distribution_intervals(
    predicted: np.ndarray, target: np.ndarray, cloud: np.ndarray, **choices: Any
) -> dict[str, Interval]:
    """Return robust scatter and PDF distance, from histograms of each cloud, 0.005 dex fine.

    Returns
    -------
    dict
        ``robust_scatter_dex`` and ``wasserstein_dex``.
    """
    log_predicted, log_target = log_pair(predicted, target)
    names, number = np.unique(cloud, return_inverse=True)
    residual, edges = _histograms(log_predicted - log_target, number, len(names))
    centres = 0.5 * (edges[1:] + edges[:-1])
    both = np.concatenate([log_predicted, log_target])
    counts, fine = _histograms(both, np.concatenate([number, number + len(names)]), 2 * len(names))
    pairs = np.concatenate([counts[: len(names)], counts[len(names) :]], axis=1)  # (clouds, 2 bins)
    return {
        "robust_scatter_dex": block_bootstrap(residual, lambda sums: _scatter(sums, centres), **choices),
        "wasserstein_dex": block_bootstrap(pairs, lambda sums: _distance(sums, fine[1] - fine[0]), **choices),
    }


def _histograms(values: np.ndarray, number: np.ndarray, clouds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (clouds, bins) of the valid pixels and the bin edges."""
    low, high = np.nanmin(values), np.nanmax(values)
    step = max(HISTOGRAM_STEP_DEX, (high - low) / 4000)
    edges = np.arange(np.floor(low / step), np.floor(high / step) + 2) * step
    counts = np.zeros((clouds, len(edges) - 1))
    for row, patch in zip(number, values, strict=True):
        counts[row] += np.histogram(patch[np.isfinite(patch)], edges)[0]
    return counts, edges


def _scatter(counts: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return 1.4826 times the median absolute deviation of histograms (..., bins)."""
    single = np.atleast_2d(counts)
    result = np.empty(len(single))
    for i, row in enumerate(single):
        middle = np.interp(0.5, np.cumsum(row) / row.sum(), centres)
        distance = np.abs(centres - middle)
        order = np.argsort(distance)
        result[i] = GAUSSIAN_MAD * np.interp(0.5, np.cumsum(row[order]) / row.sum(), distance[order])
    return result if counts.ndim > 1 else result[0]


def _distance(counts: np.ndarray, step: float) -> np.ndarray:
    """Return the area between the cumulative histograms of two halves (..., 2 bins) [dex]."""
    first, second = np.split(counts, 2, axis=-1)
    below = [
        part.cumsum(axis=-1) / np.maximum(part.sum(axis=-1, keepdims=True), 1) for part in (first, second)
    ]
    return step * np.abs(below[0] - below[1]).sum(axis=-1)
