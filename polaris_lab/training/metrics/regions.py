"""Means over regions and density PDFs, whose errors are correlated from pixel to pixel: scored from samples.

Neighbouring pixels err together, so the standard deviations of single pixels must not be added in quadrature; the
scatter of the mean over samples of whole maps is the right uncertainty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from polaris_lab.training.metrics.calibration_scores import LEVELS, coverage, crps_samples, pit_samples
from polaris_lab.training.metrics.shared import log_edges
from polaris_lab.training.pairs import log_pair


@dataclasses.dataclass(frozen=True)
class RegionScores:
    """Mean densities of regions, their uncertainty from samples, and the truth."""

    mean: np.ndarray
    """log10 of the mean density, averaged over the samples [dex of cm^-3], shape (regions,)."""
    sigma_dex: np.ndarray
    """Standard deviation of it over the samples: with correlations [dex]."""
    independent_sigma_dex: np.ndarray
    """What pixels that err independently would give [dex]; too small where errors are correlated."""
    target: np.ndarray
    """log10 of the true mean density [dex of cm^-3]."""
    coverage: dict[float, float]
    """Share of the regions whose truth lies in the central interval of each level."""
    crps_dex: float
    """Mean CRPS over the regions [dex]."""


def blocks(shape: tuple[int, int, int], side: int) -> np.ndarray:
    """Return labels that cut every image into squares: regions for :func:`region_means`.

    Pixels of an incomplete square at the right and lower edges are -1, in no region.

    Examples
    --------
    >>> blocks((1, 2, 5), 2)
    array([[[ 0,  0,  1,  1, -1],
            [ 0,  0,  1,  1, -1]]])
    """
    images, height, width = shape
    if isinstance(side, bool) or not isinstance(side, int) or not 1 <= side <= min(height, width):
        raise ValueError(
            f"side: expected a whole number of pixels from 1 to {min(height, width)}, got {side!r}"
        )
    rows, columns = height // side, width // side
    y, x = np.arange(height) // side, np.arange(width) // side
    inside = (y < rows)[:, None] & (x < columns)[None, :]
    one = np.where(inside, y[:, None] * columns + x[None, :], -1)  # (y, x)
    first = np.arange(images)[:, None, None] * (rows * columns)
    return np.where(one >= 0, one + first, -1)  # (images, y, x)


def region_means(samples: np.ndarray, target: np.ndarray, labels: np.ndarray) -> RegionScores:
    """Score the mean density of regions against samples of it.

    Parameters
    ----------
    samples : array_like, shape (samples, images, y, x)
        Densities [cm^-3]: each sample a possible map, with the correlations of its errors. Three or more.
    target : array_like, shape (images, y, x)
        True density [cm^-3].
    labels : int array, shape (images, y, x)
        Number of the region of each pixel, 0 and up; negative for none (see :func:`blocks`).

    Returns
    -------
    RegionScores
        Of the regions with a valid pixel, by number. A pixel that is NaN in the truth or a sample is in no region.

    Raises
    ------
    ValueError
        If shapes differ, or there is no region.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common = rng.normal(0, 0.1, (200, 1, 1, 1))  # all pixels of a map err together
    >>> scores = region_means(10 ** (3 + common + np.zeros((1, 1, 4, 4))), np.full((1, 4, 4), 1e3), blocks((1, 4, 4), 4))
    >>> print(scores.sigma_dex.round(1), scores.independent_sigma_dex.round(3))
    [0.1] [0.02...]
    """
    samples, labels = np.asarray(samples), np.asarray(labels)
    if samples.ndim != 4 or len(samples) < 3:
        raise ValueError(
            f"samples: expected the shape (samples, images, y, x) with three samples or more, got {samples.shape}"
        )
    if labels.shape != samples.shape[1:] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels: expected whole numbers of shape {samples.shape[1:]}, got {labels.dtype} of {labels.shape}"
        )
    logs = [log_pair(sample, target) for sample in samples]
    valid = np.isfinite(np.stack([pair[0] for pair in logs])).all(axis=0) & (labels >= 0)
    if not valid.any():
        raise ValueError("labels: expected a region with a valid pixel, got none")
    names, region = np.unique(labels[valid], return_inverse=True)
    count = np.bincount(region)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(region, weights=values, minlength=len(names)) / count

    linear = np.stack([10 ** pair[0][valid] for pair in logs])  # (samples, pixels)
    means = np.stack([mean(values) for values in linear])  # (samples, regions)
    true = mean(10 ** logs[0][1][valid])
    variance = mean(linear.var(axis=0, ddof=1)) / count  # of a mean of independent pixels
    logarithms = np.log10(means)
    as_maps = means[:, None, None, :]
    pit = pit_samples(as_maps, true[None, None, :])
    return RegionScores(
        mean=logarithms.mean(axis=0),
        sigma_dex=logarithms.std(axis=0, ddof=1),
        independent_sigma_dex=np.sqrt(variance) / (np.log(10.0) * means.mean(axis=0)),
        target=np.log10(true),
        coverage=coverage(pit, LEVELS),
        crps_dex=float(crps_samples(as_maps, true[None, None, :]).mean()),
    )


@dataclasses.dataclass(frozen=True)
class PdfBand:
    """The density PDF with its uncertainty from samples, in bins of log10 n."""

    edges: np.ndarray
    """Bin edges [cm^-3], shape (bins + 1,)."""
    median: np.ndarray
    """Median over the samples of the share of the pixels in each bin."""
    low: np.ndarray
    """16 % quantile of it."""
    high: np.ndarray
    """84 % quantile of it."""
    target: np.ndarray
    """The true share."""
    crps: float
    """Mean CRPS of the cumulative shares at the edges: 0 is perfect."""


def pdf_band(
    samples: np.ndarray, target: np.ndarray, *, bins: Sequence[float] | int | None = None
) -> PdfBand:
    """Return the density PDF of samples beside the true one: each sample is a whole map with its own PDF.

    Parameters
    ----------
    samples : array_like, shape (samples, images, y, x)
        Densities [cm^-3], two samples or more.
    target : array_like, shape (images, y, x)
        True density [cm^-3].
    bins : int or sequence of float, optional
        As in :func:`polaris_lab.training.metrics.residuals_by_density`.

    Examples
    --------
    >>> maps = 10 ** np.random.default_rng(0).normal(3, 0.3, (1, 16, 16))
    >>> band = pdf_band(np.stack([maps, maps]), maps)
    >>> bool((band.median == band.target).all()), band.crps
    (True, 0.0)
    """
    samples = np.asarray(samples)
    if samples.ndim != 4 or len(samples) < 2:
        raise ValueError(
            f"samples: expected the shape (samples, images, y, x) with two samples or more, got {samples.shape}"
        )
    logs = [log_pair(sample, target) for sample in samples]
    valid = np.isfinite(np.stack([pair[0] for pair in logs])).all(axis=0)
    if not valid.any():
        raise ValueError("samples: expected a pixel that is valid in all of them, got none")
    values = np.stack([pair[0][valid] for pair in logs])
    truth = logs[0][1][valid]
    edges = log_edges(np.concatenate([values.reshape(-1), truth]), bins)
    shares = np.stack([_shares(part, edges) for part in values])  # (samples, bins)
    true = _shares(truth, edges)
    low, median, high = np.quantile(shares, [0.16, 0.5, 0.84], axis=0)
    below, true_below = shares.cumsum(axis=1), true.cumsum()
    apart = np.abs(below[:, None] - below[None]).sum(axis=(0, 1)) / (len(below) * (len(below) - 1))
    crps = np.abs(below - true_below).mean(axis=0) - 0.5 * apart
    return PdfBand(10**edges, median, low, high, true, float(crps.mean()))


def _shares(logarithms: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(logarithms, edges)[0] / logarithms.size
