"""How much there is to learn from a patch: the scores of the report's appendix B.

One image is scored by :func:`smoothness_score` and :func:`difference_score`; every window of a face at once by
:func:`score_windows`, which costs as much as a few dozen crops whatever the size of the window.

Logarithms here are natural, and the Laplacian is in pixels, as in the report: a score depends on the pixel size,
and (through 1 + x) on the unit of a density near one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from polaris_lab.datasets.windows import (
    check_window,
    window_covariances,
    window_maximum,
    window_minimum,
    window_variance,
)

WEIGHTS = (1.0, 0.5, 5.0)
"""Weights of the scores in eq. 11: smoothness of N_H, smoothness of <n>_M, difference (the report's code)."""


class ScoreMaps(NamedTuple):
    """Scores of every window of a face, (rows - window + 1, columns - window + 1), at its first pixel."""

    column_smoothness: np.ndarray
    """s_Lambda of the column density (eq. 12)."""
    density_smoothness: np.ndarray
    """s_Lambda of the mass-weighted density (eq. 12)."""
    difference: np.ndarray
    """s_res (eq. 13)."""
    total: np.ndarray
    """Their weighted sum (eq. 11)."""


def log_laplacian(image: np.ndarray) -> np.ndarray:
    """Five-point Laplacian of ln(1 + x), per square pixel.

    Parameters
    ----------
    image : ndarray, 2D
        Positive values.

    Returns
    -------
    ndarray, same shape
        At the border the missing neighbour is the border pixel itself: nothing is assumed to happen outside.

    Examples
    --------
    >>> log_laplacian(np.expm1([[0.0, 1.0, 4.0, 9.0]])).round(12)
    array([[ 1.,  2.,  2., -5.]])
    """
    values = np.log1p(np.asarray(image, np.float64))
    values -= values.min()  # as eq. 12 is written; no difference to a Laplacian
    laplacian = np.zeros_like(values)
    for axis in (0, 1):
        steps = np.diff(values, axis=axis)
        inner = [slice(None), slice(None)]
        inner[axis] = slice(None, -1)
        laplacian[tuple(inner)] += steps
        inner[axis] = slice(1, None)
        laplacian[tuple(inner)] -= steps
    return laplacian


def smoothness_score(image: np.ndarray) -> float:
    """Variance of the Laplacian of ln(1 + x): large where diffuse gas and sharp structure meet.

    Parameters
    ----------
    image : ndarray, 2D
        Column density [cm^-2] or density [cm^-3], above -1 and finite.

    Returns
    -------
    float
        s_Lambda = Var[Laplacian(ln(1 + x) - min ln(1 + x))], 0 for a uniform image.

    Raises
    ------
    ValueError
        If the image is not 2D, or a value is not finite or at most -1.

    References
    ----------
    Report, eq. 12.

    Examples
    --------
    >>> smoothness_score(np.full((8, 8), 1e22))
    0.0
    """
    return float(np.var(log_laplacian(_checked(image, "image"))))


def difference_score(column_density: np.ndarray, density: np.ndarray) -> float:
    """Variance of the difference of two maps, each scaled to 0 .. 1: large where dense gas hides on the line of sight.

    Parameters
    ----------
    column_density, density : ndarray, 2D
        Maps of one region, of the same shape. Their units do not matter.

    Returns
    -------
    float
        s_res, from 0 to below 0.5. A uniform map scales to 0. For <n>_V, which is N_H / L, the score vanishes.

    Raises
    ------
    ValueError
        If the shapes differ or a value is not finite.

    References
    ----------
    Report, eq. 13.
    """
    first, second = _checked(column_density, "column_density"), _checked(density, "density")
    _same_shape(first, second)
    return float(np.var(_scaled(first) - _scaled(second)))


def combined_score(scores: Sequence[float], *, weights: Sequence[float] = WEIGHTS) -> float:
    """Weighted sum of scores (eq. 11).

    Raises
    ------
    ValueError
        If there are not as many weights as scores.

    Examples
    --------
    >>> combined_score((0.2, 0.4, 0.02))
    0.5
    """
    if len(scores) != len(weights):
        raise ValueError(f"weights: expected one a score ({len(scores)}), got {len(weights)}")
    return sum(weight * score for weight, score in zip(weights, scores, strict=True))


def patch_score(
    column_density: np.ndarray, density: np.ndarray, *, weights: Sequence[float] = WEIGHTS
) -> float:
    """Score of one pair of images (eq. 11): s_Lambda of both and s_res, weighted."""
    parts = (
        smoothness_score(column_density),
        smoothness_score(density),
        difference_score(column_density, density),
    )
    return combined_score(parts, weights=weights)


def acceptance_probability(
    score: float | np.ndarray, *, steepness: float = 2.0, offset: float = 1.0
) -> float | np.ndarray:
    """Probability that a patch of this score is taken.

    Parameters
    ----------
    score : float or ndarray
        Score s, or its quantile.
    steepness : float
        A: how sharply the filter tells scores apart; 2 in the report's code, 7 in its figure 46.
    offset : float
        B: the score taken every second time; 1 in the report's code, 0.5 in its figure.

    Returns
    -------
    float or ndarray
        1 / (1 + exp(-A (s - B))), without overflow for any finite number.

    References
    ----------
    Report, eq. 14.

    Examples
    --------
    >>> acceptance_probability(1.0)
    0.5
    >>> acceptance_probability(np.array([-1e6, 1e6]))
    array([0., 1.])
    """
    result = expit(steepness * (np.asarray(score, np.float64) - offset))
    return float(result) if result.ndim == 0 else result


def score_windows(
    column_density: np.ndarray,
    mass_weighted_density: np.ndarray,
    window: int,
    *,
    weights: Sequence[float] = WEIGHTS,
) -> ScoreMaps:
    """Score every window of a face at once.

    The Laplacian is taken of the whole face, so that a window sees its true surroundings, not a border of its own;
    then follow the variances inside each window. Cropping first gives the same but for the outermost pixels.

    Parameters
    ----------
    column_density : ndarray, shape (rows, columns)
        N_H [cm^-2].
    mass_weighted_density : ndarray, shape (rows, columns)
        <n_H>_M [cm^-3].
    window : int
        Side of the window [pixels].
    weights : sequence of three floats
        Of s_Lambda(N_H), s_Lambda(<n>_M) and s_res.

    Returns
    -------
    ScoreMaps
        Each of shape (rows - window + 1, columns - window + 1).

    Raises
    ------
    ValueError
        If the shapes differ, the window does not fit, or a value is not finite or at most -1.

    References
    ----------
    Report, eqs. 11-13.
    """
    column = _checked(column_density, "column_density")
    density = _checked(mass_weighted_density, "mass_weighted_density")
    _same_shape(column, density)
    check_window(column.shape, window)
    parts = (
        window_variance(log_laplacian(column), window),
        window_variance(log_laplacian(density), window),
        _difference_windows(column, density, window),
    )
    return ScoreMaps(*parts, total=combined_score(parts, weights=weights))


def _difference_windows(first: np.ndarray, second: np.ndarray, window: int) -> np.ndarray:
    """Eq. 13 in every window: Var[a N - b n] = a^2 Var N + b^2 Var n - 2 a b Cov(N, n), a = 1 / (max N - min N)."""
    scales, images = [], []
    for image in (first, second):
        image = image / np.abs(image).max() if np.abs(image).max() > 0 else image  # 1e22 squared is no use
        extent = window_maximum(image, window) - window_minimum(image, window)
        scales.append(np.divide(1.0, extent, out=np.zeros_like(extent), where=extent > 0))
        images.append(image)
    first_variance, second_variance, covariance = window_covariances(*images, window)
    variance = (
        scales[0] ** 2 * first_variance
        + scales[1] ** 2 * second_variance
        - 2 * scales[0] * scales[1] * covariance
    )
    return np.maximum(variance, 0)


def _scaled(image: np.ndarray) -> np.ndarray:
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def _checked(image: np.ndarray, name: str) -> np.ndarray:
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"{name}: expected a 2D map, got shape {image.shape}")
    if not (image.min() > -1 and image.max() < np.inf):  # NaN fails the first comparison
        raise ValueError(
            f"{name}: expected finite values above -1 (a density, not its logarithm's residual), got {image.min()} .. "
            f"{image.max()}; cut blank pixels off first"
        )
    return image


def _same_shape(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"density: expected the shape of the column density {first.shape}, got {second.shape}"
        )
