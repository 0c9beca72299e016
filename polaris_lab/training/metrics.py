"""How good is a predicted density: pure functions of pairs of maps in physical units.

Every function takes `predicted` and `target`, densities [cm^-3] of shape (images, y, x) or (y, x), positive;
pixels that are NaN in either are ignored. Residuals are log10(predicted / target) [dex], so that a positive
one is an over-estimate.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from polaris_lab.training.pairs import log_pair

TOLERANCES_DEX = (0.1, 0.2, 0.3, 0.5)
"""Tolerances of the accuracies that :func:`scores` lists [dex]."""

BIN_WIDTH_DEX = 0.25
"""Width of the density bins when none are given [dex]."""


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


def accuracy(predicted: np.ndarray, target: np.ndarray, *, tolerance_dex: float = 0.2) -> float:
    """Fraction of pixels predicted within a tolerance, averaged over images.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    tolerance_dex : float
        A pixel counts if abs(log10(predicted / target)) is **below** it [dex].

    Returns
    -------
    float
        Mean over images of each image's fraction, 0 to 1: an image weighs the same however many of its
        pixels are NaN. Images without a valid pixel are left out.

    Raises
    ------
    ValueError
        As :func:`residual`, and if the tolerance is not positive.

    References
    ----------
    Report, eqs. 5 and 6.

    Examples
    --------
    >>> accuracy([[[10.0, 10.0]], [[10.0, 30.0]]], [[[10.0, 10.0]], [[10.0, 10.0]]], tolerance_dex=0.2)
    0.75
    """
    return float(_image_accuracies(residual(predicted, target), [tolerance_dex]).mean())


@dataclasses.dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy against tolerance, with its spread from image to image."""

    tolerance_dex: np.ndarray
    """Tolerances [dex], shape (tolerances,)."""
    mean: np.ndarray
    """Accuracy (eqs. 5-6) at each."""
    standard_deviation: np.ndarray
    """Scatter of the accuracy between images (0 for one image)."""
    q16: np.ndarray
    """16 % of the images are worse."""
    q84: np.ndarray
    """16 % of the images are better."""
    images: int
    """Number of images with a valid pixel."""

    @property
    def area(self) -> float:
        """Mean accuracy over the range of tolerances: 1 is perfect."""
        return float(
            np.trapezoid(self.mean, self.tolerance_dex) / (self.tolerance_dex[-1] - self.tolerance_dex[0])
        )


def accuracy_curve(
    predicted: np.ndarray, target: np.ndarray, *, tolerances_dex: Sequence[float] | None = None
) -> AccuracyCurve:
    """Accuracy at a range of tolerances.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    tolerances_dex : sequence of float, optional
        Increasing and positive [dex]; by default 0.02, 0.04 ... 1.

    Returns
    -------
    AccuracyCurve

    Examples
    --------
    >>> accuracy_curve([[10.0, 20.0]], [[10.0, 10.0]], tolerances_dex=[0.3, 0.31]).mean
    array([0.5, 1. ])
    """
    tolerances = np.linspace(0.02, 1, 50) if tolerances_dex is None else np.asarray(tolerances_dex, float)
    if tolerances.ndim != 1 or len(tolerances) < 2 or not (np.diff(tolerances) > 0).all():
        raise ValueError(f"tolerances_dex: expected two or more increasing numbers, got {tolerances_dex}")
    per_image = _image_accuracies(residual(predicted, target), tolerances)  # (tolerances, images)
    q16, q84 = np.quantile(per_image, [0.16, 0.84], axis=1)
    return AccuracyCurve(
        tolerances, per_image.mean(axis=1), per_image.std(axis=1), q16, q84, per_image.shape[1]
    )


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


def correlation(predicted: np.ndarray, target: np.ndarray) -> float:
    """Pearson's correlation coefficient of the logarithms, -1 to 1.

    Raises
    ------
    ValueError
        As :func:`residual`, and if either map is uniform (it has no correlation with anything).
    """
    coefficient = _pearson(*log_pair(predicted, target))
    if np.isnan(coefficient):
        raise ValueError("correlation: expected maps that vary, got a uniform one")
    return coefficient


@dataclasses.dataclass(frozen=True)
class ResidualsByDensity:
    """Residuals log10(predicted / target) [dex] in bins of density; NaN where a bin is empty."""

    by: str
    """Which density the bins are of: "target" (the true one) or "predicted"."""
    edges: np.ndarray
    """Bin edges [cm^-3], shape (bins + 1,)."""
    centres: np.ndarray
    """Their logarithmic middles [cm^-3], shape (bins,)."""
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
    by: Literal["target", "predicted"] = "target",
    bins: int | Sequence[float] | None = None,
) -> ResidualsByDensity:
    """Distribution of the residuals in bins of density.

    In bins of the **true** density even a perfect estimator of the mean shows negative residuals at the dense
    end (regression to the mean); only bins of the **predicted** density tell what to expect of a prediction.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    by : {"target", "predicted"}
        The density that is binned.
    bins : int or sequence of float, optional
        Number of equal logarithmic bins over the range, or the increasing edges themselves [cm^-3] (an upper
        edge belongs to the next bin, the last one to its own; pixels outside are left out). By default bins
        of 0.25 dex at whole multiples, over the range.

    Returns
    -------
    ResidualsByDensity

    Raises
    ------
    ValueError
        As :func:`residual`, and if `by` is unknown or the edges are not positive and increasing.
    """
    if by not in ("target", "predicted"):
        raise ValueError(f'by: expected "target" or "predicted", got {by!r}')
    log_predicted, log_target = log_pair(predicted, target)
    valid = np.isfinite(log_predicted)
    difference = (log_predicted - log_target)[valid]
    log_density = (log_target if by == "target" else log_predicted)[valid]
    edges = _log_edges(log_density, bins)
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


@dataclasses.dataclass(frozen=True)
class SpatialError:
    """Where on the image the errors are; all in dex, NaN where no pixel is valid."""

    residual: np.ndarray
    """log10(predicted / target) of every pixel, shape (images, y, x)."""
    mean_map: np.ndarray
    """Mean residual of a pixel position over the images, shape (y, x): structure here is an artefact."""
    rmse_map: np.ndarray
    """Root mean square residual of a pixel position over the images, shape (y, x)."""
    image_bias: np.ndarray
    """Mean residual of each image, shape (images,)."""
    image_rmse: np.ndarray
    """Root mean square residual of each image, shape (images,)."""
    edge_distance: np.ndarray
    """Pixels to the nearest border: 0, 1, 2 ..."""
    edge_rmse: np.ndarray
    """Root mean square residual at each of those distances: a rise at 0 is an edge effect."""


def spatial_error(predicted: np.ndarray, target: np.ndarray) -> SpatialError:
    """Residuals in space: by pixel, by image, and by distance from the border.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].

    Returns
    -------
    SpatialError

    Raises
    ------
    ValueError
        As :func:`residual`.
    """
    values = residual(predicted, target)
    height, width = values.shape[1:]
    y, x = np.arange(height), np.arange(width)
    border = np.minimum(np.minimum(y, y[::-1])[:, None], np.minimum(x, x[::-1])[None, :])  # (y, x)
    distance = np.arange(border.max() + 1)
    return SpatialError(
        residual=values,
        mean_map=_nanmean(values, axis=0),
        rmse_map=np.sqrt(_nanmean(values**2, axis=0)),
        image_bias=_nanmean(values, axis=(1, 2)),
        image_rmse=np.sqrt(_nanmean(values**2, axis=(1, 2))),
        edge_distance=distance,
        edge_rmse=np.array([float(np.sqrt(_nanmean(values[:, border == d] ** 2))) for d in distance]),
    )


def scores(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return the numbers of one row of a comparison table.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].

    Returns
    -------
    dict
        ``rmse_dex``, ``bias_dex``, ``accuracy_0.1`` ... ``accuracy_0.5`` (eqs. 5-6 at that tolerance in dex),
        ``correlation`` (0 if either map is uniform), and ``densest_1_percent_rmse_dex`` and ``..._bias_dex`` over the pixels whose true
        density is in the highest hundredth.

    Raises
    ------
    ValueError
        As :func:`residual`.
    """
    log_predicted, log_target = log_pair(predicted, target)
    difference = log_predicted - log_target
    valid = np.isfinite(difference)
    dense = difference[valid & (log_target >= np.quantile(log_target[valid], 0.99))]
    accuracies = _image_accuracies(difference, TOLERANCES_DEX).mean(axis=1)
    return {
        "rmse_dex": float(np.sqrt(np.nanmean(difference**2))),
        "bias_dex": float(np.nanmean(difference)),
        **{f"accuracy_{t:g}": float(a) for t, a in zip(TOLERANCES_DEX, accuracies, strict=True)},
        "correlation": float(np.nan_to_num(_pearson(log_predicted, log_target))),
        "densest_1_percent_rmse_dex": float(np.sqrt((dense**2).mean())),
        "densest_1_percent_bias_dex": float(dense.mean()),
    }


def _image_accuracies(difference: np.ndarray, tolerances_dex: Sequence[float]) -> np.ndarray:
    """Return the accuracy of every image that has a valid pixel, shape (tolerances, images)."""
    for tolerance in tolerances_dex:
        if not tolerance > 0:
            raise ValueError(f"tolerance_dex: expected a positive number, got {tolerance}")
    magnitude = np.abs(difference).reshape(len(difference), -1)
    pixels = np.isfinite(magnitude).sum(axis=1)
    magnitude, pixels = magnitude[pixels > 0], pixels[pixels > 0]
    return np.stack([(magnitude < tolerance).sum(axis=1) / pixels for tolerance in tolerances_dex])


def _pearson(log_predicted: np.ndarray, log_target: np.ndarray) -> float:
    """Return Pearson's coefficient of two arrays with equal NaN, itself NaN if one does not vary."""
    valid = np.isfinite(log_predicted)
    x, y = log_predicted[valid], log_target[valid]
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float(np.clip((x * y).sum() / scale, -1.0, 1.0)) if scale > 1e-12 * x.size else np.nan


def _nanmean(values: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Return the mean of what is not NaN; NaN (without a warning) where nothing is."""
    valid = np.isfinite(values)
    count = valid.sum(axis=axis)
    total = np.where(valid, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _log_edges(log_density: np.ndarray, bins: int | Sequence[float] | None) -> np.ndarray:
    """Return bin edges in log10."""
    low, high = float(log_density.min()), float(log_density.max())
    if bins is None:
        first = np.floor(low / BIN_WIDTH_DEX)
        last = max(np.ceil(high / BIN_WIDTH_DEX), first + 1)
        return BIN_WIDTH_DEX * np.arange(first, last + 1)
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise ValueError(f"bins: expected at least 1, got {bins}")
        return np.linspace(low, high if high > low else low + BIN_WIDTH_DEX, int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (edges > 0).all() or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins: expected two or more increasing positive densities in cm^-3, got {bins}")
    return np.log10(edges)
