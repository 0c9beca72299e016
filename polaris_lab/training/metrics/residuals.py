"""Residuals in dex: their mean, scatter and tails, over all pixels, by map, and in bins of density."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from polaris_lab.training.metrics.shared import log_column, log_edges, mean_of_valid, pearson
from polaris_lab.training.pairs import log_pair

GAUSSIAN_MAD = 1.482602218505602
"""Standard deviation of a Gaussian whose median absolute deviation is 1."""


def residual(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Logarithmic error of every pixel.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].

    Returns
    -------
    ndarray, float64, shape (images, y, x)
        log10(predicted / target) [dex]; NaN where either is NaN.

    Raises
    ------
    ValueError
        If shapes differ, no pixel is left, or a value is zero, negative or infinite.

    Examples
    --------
    >>> residual([[100.0]], [[10.0]])
    array([[[1.]]])
    """
    log_predicted, log_target = log_pair(predicted, target)
    return log_predicted - log_target


def rmse_dex(predicted: np.ndarray, target: np.ndarray) -> float:
    """Root mean square residual over all pixels [dex].

    Examples
    --------
    >>> rmse_dex([[10.0, 1000.0]], [[100.0, 100.0]])
    1.0
    """
    return float(np.sqrt(np.nanmean(residual(predicted, target) ** 2)))


def bias_dex(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean residual over all pixels [dex]; positive is an over-estimate.

    Examples
    --------
    >>> bias_dex([[10.0, 1000.0]], [[10.0, 10.0]])
    1.0
    """
    return float(np.nanmean(residual(predicted, target)))


def robust_scatter_dex(predicted: np.ndarray, target: np.ndarray) -> float:
    """1.4826 times the median distance of the residuals from their median [dex]: sigma without the tails.

    Examples
    --------
    >>> round(robust_scatter_dex([[10.0, 20.0, 40.0, 1e9]], [[10.0, 10.0, 10.0, 10.0]]), 3)
    0.446
    """
    values = residual(predicted, target)
    return float(GAUSSIAN_MAD * np.nanmedian(np.abs(values - np.nanmedian(values))))


def in_map_rmse_dex(predicted: np.ndarray, target: np.ndarray) -> float:
    """Root mean square residual after each map's mean residual is taken off [dex]: errors of structure.

    Examples
    --------
    >>> in_map_rmse_dex([[[20.0, 20.0]], [[10.0, 1000.0]]], [[[10.0, 10.0]], [[10.0, 10.0]]])
    0.707...
    """
    values = residual(predicted, target)
    within = values - mean_of_valid(values, axis=(1, 2))[:, None, None]
    return float(np.sqrt(np.nanmean(within**2)))


@dataclasses.dataclass(frozen=True)
class MapScores:
    """Errors of each map [dex]; NaN for one without a valid pixel."""

    rmse: np.ndarray
    """Root mean square residual, shape (images,)."""
    bias: np.ndarray
    """Mean residual, shape (images,)."""
    in_map_rmse: np.ndarray
    """Root mean square residual after its mean is taken off, shape (images,)."""
    pixels: np.ndarray
    """Valid pixels, shape (images,)."""

    @property
    def worst(self) -> int:
        """Number of the map with the largest RMSE."""
        return int(np.nanargmax(self.rmse))


def map_scores(predicted: np.ndarray, target: np.ndarray) -> MapScores:
    """Return the errors of each map.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].

    Returns
    -------
    MapScores

    Raises
    ------
    ValueError
        As :func:`residual`.

    Examples
    --------
    >>> maps = map_scores([[[20.0]], [[1000.0]]], [[[10.0]], [[10.0]]])
    >>> maps.worst, maps.rmse.round(2).tolist()
    (1, [0.3, 2.0])
    """
    values = residual(predicted, target)
    bias, square = mean_of_valid(values, axis=(1, 2)), mean_of_valid(values**2, axis=(1, 2))
    within = mean_of_valid((values - bias[:, None, None]) ** 2, axis=(1, 2))
    return MapScores(np.sqrt(square), bias, np.sqrt(within), np.isfinite(values).sum(axis=(1, 2)))


def correlation(predicted: np.ndarray, target: np.ndarray) -> float:
    """Pearson's correlation coefficient of the logarithms, -1 to 1.

    Raises
    ------
    ValueError
        As :func:`residual`, and if either map is uniform (it has no correlation with anything).
    """
    coefficient = pearson(*log_pair(predicted, target))
    if np.isnan(coefficient):
        raise ValueError("correlation: expected maps that vary, got a uniform one")
    return coefficient


@dataclasses.dataclass(frozen=True)
class ResidualsByDensity:
    """Residuals log10(predicted / target) [dex] in bins of density or column density; NaN where a bin is empty."""

    by: str
    """What the bins are of: "target" (the true density), "predicted" or "column_density"."""
    edges: np.ndarray
    """Bin edges [cm^-3, or cm^-2 for column densities], shape (bins + 1,)."""
    centres: np.ndarray
    """Their logarithmic middles [cm^-3 or cm^-2], shape (bins,)."""
    count: np.ndarray
    """Pixels in each bin."""
    mean: np.ndarray
    """Mean residual [dex]."""
    q02_5: np.ndarray
    """2.5 % quantile [dex]."""
    q16: np.ndarray
    """16 % quantile [dex]."""
    median: np.ndarray
    """Median [dex]."""
    q84: np.ndarray
    """84 % quantile [dex]."""
    q97_5: np.ndarray
    """97.5 % quantile [dex]."""
    residual_edges: np.ndarray
    """Edges of the histogram of residuals [dex], shape (r + 1,)."""
    histogram: np.ndarray
    """Pixels by density and residual, shape (bins, r): the bodies of violins."""


def residuals_by_density(
    predicted: np.ndarray,
    target: np.ndarray,
    *,
    by: Literal["target", "predicted", "column_density"] = "target",
    bins: int | Sequence[float] | None = None,
    column_density: np.ndarray | None = None,
) -> ResidualsByDensity:
    """Distribution of the residuals in bins of density, or of column density.

    In bins of the **true** density even a perfect estimator of the mean shows negative residuals at the dense
    end (regression to the mean); only bins of the **predicted** density tell what to expect of a prediction.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    by : {"target", "predicted", "column_density"}
        What is binned.
    bins : int or sequence of float, optional
        Number of equal logarithmic bins over the range, or the increasing edges themselves [cm^-3] (an upper
        edge belongs to the next bin, the last one to its own; pixels outside are left out). By default bins
        of 0.25 dex at whole multiples, over the range.
    column_density : array_like, shape of the others, optional
        N_H [cm^-2], for bins of it; its NaN pixels are left out.

    Returns
    -------
    ResidualsByDensity

    Raises
    ------
    ValueError
        As :func:`residual`, and if `by` is unknown, its column density is missing, or the edges are not positive
        and increasing.
    """
    log_predicted, log_target = log_pair(predicted, target)
    known = {"target": log_target, "predicted": log_predicted}
    if column_density is not None:
        known["column_density"] = log_column(column_density, log_predicted.shape)
    if by not in known:
        raise ValueError(
            'by: expected "target", "predicted", or "column_density" and the argument column_density, got '
            f"{by!r}"
        )
    valid = np.isfinite(log_predicted) & np.isfinite(known[by])
    if not valid.any():
        raise ValueError("column_density: expected a pixel that is valid in all three, got none")
    difference, log_density = (log_predicted - log_target)[valid], known[by][valid]
    edges = log_edges(log_density, bins)
    order = np.argsort(log_density, kind="stable")
    log_density, difference = log_density[order], difference[order]
    cuts = np.searchsorted(log_density, edges, side="left")
    cuts[-1] = np.searchsorted(log_density, edges[-1], side="right")
    reach = max(float(np.abs(difference).max()), 1e-3)
    residual_edges = np.linspace(-reach, reach, 81)
    statistics = np.full((6, len(edges) - 1), np.nan)
    histogram = np.zeros((len(edges) - 1, 80), dtype=np.int64)
    for i, (start, stop) in enumerate(itertools.pairwise(cuts)):
        if stop > start:
            part = difference[start:stop]
            statistics[0, i] = part.mean()
            statistics[1:, i] = np.quantile(part, [0.025, 0.16, 0.5, 0.84, 0.975])
            histogram[i] = np.histogram(part, residual_edges)[0]
    return ResidualsByDensity(
        by, 10**edges, 10 ** (0.5 * (edges[1:] + edges[:-1])), np.diff(cuts), *statistics, residual_edges, histogram
    )  # fmt: skip
