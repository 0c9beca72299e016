"""Errors of the stated uncertainty: coverage, probability integral transform, CRPS, spread against skill.

A prediction is a median (or mean) density with a standard deviation in dex (a Gaussian of log10 n), densities at
quantile levels, or samples. NaN pixels, in a prediction or in the truth, have no weight. Everything is in dex.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from polaris_lab.training.pairs import log_pair

LEVELS = (0.50, 0.68, 0.90, 0.95)
"""Central intervals whose coverage tables list."""

GRID = 99
"""Levels at which a quantile function is integrated."""

CHUNK = 2**18
"""Pixels that are worked on at a time."""


def pit_gaussian(predicted: np.ndarray, sigma_dex: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the probability that a Gaussian of log10 n gives to values below the truth, in each valid pixel.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    sigma_dex : array_like, same shape
        Standard deviation of log10 n [dex], positive.

    Returns
    -------
    ndarray, shape (valid pixels,)
        0 to 1; uniform if the uncertainties are right.

    Examples
    --------
    >>> print(pit_gaussian([[100.0, 100.0]], [[0.5, 0.5]], [[100.0, 10**2.5]]).round(3))
    [0.5   0.841]
    """
    residual, sigma = _residual_and_sigma(predicted, sigma_dex, target)
    return special.ndtr(-residual / sigma)


def pit_quantiles(quantiles: Mapping[float, np.ndarray], target: np.ndarray) -> np.ndarray:
    """Return the level of the truth among predicted quantiles, in each valid pixel.

    Parameters
    ----------
    quantiles : mapping of float to array_like
        Densities [cm^-3] by level (two or more, between 0 and 1), each of the shape of `target`. Between levels,
        and beyond them, straight lines in the probit of the level: exact for a Gaussian.
    target : array_like, shape (images, y, x) or (y, x)
        Density [cm^-3].

    Examples
    --------
    >>> pit_quantiles({0.16: [[90.0]], 0.5: [[100.0]], 0.84: [[120.0]]}, [[100.0]])
    array([0.5])
    """
    probits, values, truth = _quantile_table(quantiles, target)
    return special.ndtr(_interpolate(values, probits, truth))


def pit_samples(samples: np.ndarray, target: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return the rank of the truth among samples, (rank + uniform) / (samples + 1), in each valid pixel.

    Parameters
    ----------
    samples : array_like, shape (samples, images, y, x)
        Densities [cm^-3], two samples or more.
    target : array_like, shape (images, y, x)
        Density [cm^-3].
    seed : int
        Of the numbers that spread a rank over its bin: right uncertainties then give a uniform result, however few
        the samples are.

    Examples
    --------
    >>> bool(2 / 3 < pit_samples(np.array([[[[1.0]]], [[[2.0]]]]), np.array([[[3.0]]]))[0] < 1)
    True
    """
    values, truth = _sample_table(samples, target)
    rank = (values < truth[:, None]).sum(axis=1)
    ties = (values == truth[:, None]).sum(axis=1)
    share = np.random.default_rng(seed).random(truth.size)
    return (rank + share * (ties + 1)) / (values.shape[1] + 1)


def coverage(pit: np.ndarray, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Return the share of pixels whose truth lies in the central interval of each level.

    Examples
    --------
    >>> coverage(np.array([0.1, 0.4, 0.6, 0.99]), [0.5, 0.9])
    {0.5: 0.5, 0.9: 0.75}
    """
    pit = np.asarray(pit, np.float64)
    if pit.size == 0 or not ((pit >= 0) & (pit <= 1)).all():
        raise ValueError("pit: expected numbers from 0 to 1, got none or others")
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"levels: expected shares between 0 and 1, got {level}")
    return {float(level): float((np.abs(pit - 0.5) <= level / 2).mean()) for level in levels}


def crps_gaussian(predicted: np.ndarray, sigma_dex: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of a Gaussian of log10 n, in each valid pixel [dex].

    sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = residual / sigma; smaller is better. Without spread it is
    the absolute residual.

    References
    ----------
    Gneiting et al. (2005), Monthly Weather Review 133, 1098.

    Examples
    --------
    >>> crps_gaussian([[100.0]], [[1e-9]], [[10.0]]).round(6)
    array([1.])
    """
    residual, sigma = _residual_and_sigma(predicted, sigma_dex, target)
    z = residual / sigma
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return sigma * (z * (2 * special.ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))


def crps_quantiles(quantiles: Mapping[float, np.ndarray], target: np.ndarray) -> np.ndarray:
    """Return the CRPS of predicted quantiles, in each valid pixel [dex].

    Twice the mean quantile loss over 99 levels, between which the given ones are interpolated as in
    :func:`pit_quantiles`.

    Examples
    --------
    >>> levels = {0.025: 10**1.804, 0.5: 100.0, 0.975: 10**2.196}  # a Gaussian of 0.1 dex
    >>> score = crps_quantiles({level: [[value]] for level, value in levels.items()}, [[100.0]])
    >>> print(round(float(score[0]), 3), round(float(crps_gaussian([[100.0]], [[0.1]], [[100.0]])[0]), 3))
    0.023 0.023
    """
    probits, values, truth = _quantile_table(quantiles, target)
    levels = (np.arange(GRID) + 0.5) / GRID
    wanted = special.ndtri(levels)
    scores = np.empty(truth.size)
    for start in range(0, truth.size, CHUNK):
        part = slice(start, start + CHUNK)
        total = np.zeros(truth[part].size)
        for level, probit in zip(levels, wanted, strict=True):
            error = truth[part] - _between(values[part], probits, probit)
            total += np.maximum(level * error, (level - 1) * error)
        scores[part] = 2 * total / GRID
    return scores


def crps_samples(samples: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the CRPS of samples, in each valid pixel [dex]: E|X - y| - E|X - X'| / 2 over different X and X'.

    Pairs of different samples only: the mean does then not depend on how many are drawn.

    Examples
    --------
    >>> crps_samples(np.array([[[[10.0]]], [[[1000.0]]]]), np.array([[[100.0]]]))
    array([0.])
    """
    values, truth = _sample_table(samples, target)
    count = values.shape[1]
    values = np.sort(values, axis=1)
    weight = 2 * np.arange(count) - count + 1
    between = (values * weight).sum(axis=1) / (count * (count - 1) / 2)  # E|X - X'|
    return np.abs(values - truth[:, None]).mean(axis=1) - 0.5 * between


@dataclasses.dataclass(frozen=True)
class SpreadSkill:
    """Error against stated uncertainty, in bins of equal count."""

    spread: np.ndarray
    """Root mean square sigma of each bin [dex]."""
    error: np.ndarray
    """Root mean square residual of each bin [dex]; equal to the spread if the uncertainties are right."""
    slope: float
    """Of the error against the spread: 1 if right, 0 if sigma says nothing of the error."""


def spread_skill(
    predicted: np.ndarray, sigma_dex: np.ndarray, target: np.ndarray, *, bins: int = 10
) -> SpreadSkill:
    """Return the error in bins of the stated uncertainty.

    Raises
    ------
    ValueError
        If there are fewer pixels than two a bin.
    """
    residual, sigma = _residual_and_sigma(predicted, sigma_dex, target)
    if bins < 2 or residual.size < 2 * bins:
        raise ValueError(f"bins: expected 2 or more with two pixels in each, got {bins} for {residual.size}")
    order = np.array_split(np.argsort(sigma, kind="stable"), bins)
    spread = np.array([np.sqrt((sigma[part] ** 2).mean()) for part in order])
    error = np.array([np.sqrt((residual[part] ** 2).mean()) for part in order])
    centred = spread - spread.mean()
    scale = (centred**2).sum()
    slope = float((centred * (error - error.mean())).sum() / scale) if scale > 1e-20 else 0.0
    return SpreadSkill(spread, error, slope)


def _residual_and_sigma(
    predicted: np.ndarray, sigma_dex: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return log10(predicted / target) and sigma of the pixels valid in all three."""
    log_predicted, log_target = log_pair(predicted, target)
    sigma = np.asarray(sigma_dex, np.float64)
    sigma = sigma[None] if sigma.ndim == 2 else sigma
    if sigma.shape != log_target.shape:
        raise ValueError(
            f"sigma_dex: expected the shape of the densities {log_target.shape}, got {sigma.shape}"
        )
    if (sigma <= 0).any():
        raise ValueError(f"sigma_dex: expected positive numbers in dex, got {sigma[sigma <= 0][0]:g}")
    valid = np.isfinite(log_predicted) & np.isfinite(sigma)
    if not valid.any():
        raise ValueError("sigma_dex: expected a pixel that is valid in all three maps, got none")
    return (log_predicted - log_target)[valid], sigma[valid]


def _quantile_table(
    quantiles: Mapping[float, np.ndarray], target: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probits of the levels (levels,), sorted log10 quantiles (pixels, levels) and the truth (pixels,)."""
    levels = sorted(float(level) for level in quantiles)
    if len(levels) < 2 or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(f"quantiles: expected two or more levels between 0 and 1, got {levels}")
    pairs = [log_pair(quantiles[level], target) for level in levels]
    valid = np.isfinite(np.stack([pair[0] for pair in pairs])).all(axis=0)
    if not valid.any():
        raise ValueError("quantiles: expected a pixel that is valid in all of them, got none")
    values = np.sort(np.stack([pair[0][valid] for pair in pairs], axis=1), axis=1)
    return special.ndtri(np.array(levels)), values, pairs[0][1][valid]


def _sample_table(samples: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log10 samples (pixels, samples) and the truth (pixels,) where all are valid."""
    samples = np.asarray(samples)
    if samples.ndim != 4 or len(samples) < 2:
        raise ValueError(
            f"samples: expected the shape (samples, images, y, x) with two samples or more, got {samples.shape}"
        )
    pairs = [log_pair(sample, target) for sample in samples]
    valid = np.isfinite(np.stack([pair[0] for pair in pairs])).all(axis=0)
    return np.stack([pair[0][valid] for pair in pairs], axis=1), pairs[0][1][valid]


def _interpolate(values: np.ndarray, probits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the probit at which the sorted quantiles of each pixel reach its truth."""
    upper = np.clip((values < truth[:, None]).sum(axis=1), 1, len(probits) - 1)
    rows = np.arange(len(truth))
    low, high = values[rows, upper - 1], values[rows, upper]
    step = np.maximum(high - low, 1e-12)
    return probits[upper - 1] + (truth - low) / step * (probits[upper] - probits[upper - 1])


def _between(values: np.ndarray, probits: np.ndarray, wanted: float) -> np.ndarray:
    """Return the quantile of each pixel at a probit."""
    upper = int(np.clip(np.searchsorted(probits, wanted), 1, len(probits) - 1))
    share = (wanted - probits[upper - 1]) / (probits[upper] - probits[upper - 1])
    return values[:, upper - 1] + share * (values[:, upper] - values[:, upper - 1])
