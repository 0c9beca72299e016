"""Uncertainties of scores: a bootstrap over whole clouds, whose pixels err together.

A score is a function of sums over pixels or images, such as the root of (sum of squares / count). The sums are kept
for each cloud; clouds are drawn with replacement and their sums added up. Two models on the same clouds are compared
with the same draws, so that what is hard for both does not blur their ratio.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]
"""From sums (..., sums) to scores (...)."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A score, and where it lies with a stated probability if the clouds are a fair sample."""

    value: float
    """The score of all clouds together."""
    low: float | None
    """Lower end; None with fewer than two clouds."""
    high: float | None
    """Upper end; None with fewer than two clouds."""
    clouds: int
    """Clouds that were drawn from: with fewer than about ten the interval is itself rough."""
    level: float = 0.95
    """Probability of the interval."""

    def excludes(self, value: float) -> bool:
        """Return whether the interval is known and does not hold a value.

        Examples
        --------
        >>> Interval(0.8, 0.7, 0.9, clouds=8).excludes(1.0)
        True
        """
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} .. {self.high:.3f})"


def block_bootstrap(
    sums: np.ndarray,
    statistic: Statistic,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return a score with its interval.

    Parameters
    ----------
    sums : array_like, shape (clouds, sums)
        What each cloud contributes.
    statistic : callable
        From sums added up over clouds (..., sums) to the score (...); NaN where a draw has none.
    level : float
        Probability of the interval, 0 to 1.
    resamples : int
        Draws.
    seed : int
        Of the draws.

    Returns
    -------
    Interval
        Percentiles of the draws. Two clouds or more are needed for an interval.

    Raises
    ------
    ValueError
        For sums of another shape, or a level or number out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> errors = rng.normal(0.0, 0.2, (50, 1000))  # 50 clouds of 1000 pixels
    >>> sums = np.stack([np.full(50, 1000.0), (errors**2).sum(axis=1)], axis=1)
    >>> print(block_bootstrap(sums, lambda s: np.sqrt(s[..., 1] / s[..., 0])))
    0.200 (0.199 .. 0.201)
    """
    totals, draws = _draw(sums, level, resamples, seed)
    return _interval(statistic(totals), statistic(draws), len(np.asarray(sums)), level)


def paired_bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    statistic: Statistic,
    *,
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.divide,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the ratio (or difference) of two scores over the same clouds, drawn together.

    Parameters
    ----------
    first, second : array_like, shape (clouds, sums)
        Sums of two models, the clouds in the same order.
    statistic
        As in :func:`block_bootstrap`.
    combine : callable
        ``np.divide`` for the ratio first / second, ``np.subtract`` for the difference.
    level, resamples, seed
        As in :func:`block_bootstrap`.

    Raises
    ------
    ValueError
        If the shapes differ, and as :func:`block_bootstrap`.

    Examples
    --------
    >>> one = np.array([[1.0, 1.0], [1.0, 9.0]])  # an easy cloud and a hard one
    >>> print(paired_bootstrap(one * [1, 0.25], one, lambda s: np.sqrt(s[..., 1] / s[..., 0])))
    0.500 (0.500 .. 0.500)
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"first, second: expected sums of the same clouds, got {first.shape} and {second.shape}"
        )
    (total_a, draws_a), (total_b, draws_b) = (_draw(part, level, resamples, seed) for part in (first, second))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = combine(statistic(total_a), statistic(total_b))
        draws = combine(statistic(draws_a), statistic(draws_b))
    return _interval(value, draws, len(first), level)


def _draw(sums: np.ndarray, level: float, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over all clouds (sums,), and over each draw of as many clouds (resamples, sums)."""
    sums = np.asarray(sums, np.float64)
    if sums.ndim != 2 or 0 in sums.shape:
        raise ValueError(f"sums: expected the shape (clouds, sums), got {sums.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a probability between 0 and 1, got {level}")
    if isinstance(resamples, bool) or not isinstance(resamples, int) or resamples < 1:
        raise ValueError(f"resamples: expected a whole number from 1 up, got {resamples!r}")
    clouds = len(sums)
    weights = np.random.default_rng(seed).multinomial(clouds, np.full(clouds, 1 / clouds), size=resamples)
    return sums.sum(axis=0), weights @ sums


def _interval(value: np.ndarray, draws: np.ndarray, clouds: int, level: float) -> Interval:
    draws = np.asarray(draws)[np.isfinite(draws)]
    if clouds < 2 or draws.size == 0:
        return Interval(float(value), None, None, clouds, level)
    low, high = np.quantile(draws, [0.5 * (1 - level), 0.5 * (1 + level)])
    return Interval(float(value), float(low), float(high), clouds, level)
