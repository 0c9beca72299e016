"""The core mass function, with the completeness of the survey and errors from repeated draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class CoreMassFunction:
    """Number of cores in bins of log10 mass.

    Attributes
    ----------
    edges : ndarray, shape (b + 1,)
        Of the bins [solar masses].
    count : ndarray, shape (b,)
        Cores found in each bin.
    dn_dlogm : ndarray
        Cores per dex, corrected for completeness; NaN in bins where the survey finds less than 5 %.
    lower, upper : ndarray
        16 % and 84 % of the same, from draws of the masses within their errors and of the number within Poisson's.
    completeness : ndarray
        Fraction of cores of each bin that the survey finds.
    slope, slope_error : float
        d log(dN/dlog M) / d log M over the complete bins above the peak (Salpeter: -1.35), and its scatter over the draws;
        NaN with fewer than three such bins.
    """

    edges: np.ndarray
    count: np.ndarray
    dn_dlogm: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    completeness: np.ndarray
    slope: float
    slope_error: float

    @property
    def centres(self) -> np.ndarray:
        """Geometric centres of the bins [solar masses]."""
        return np.sqrt(self.edges[1:] * self.edges[:-1])

    @property
    def peak_mass(self) -> float:
        """Mass at which the function is highest [solar masses]."""
        return float(self.centres[np.nanargmax(self.dn_dlogm)])

    def __repr__(self) -> str:
        """Say how many cores, the peak and the slope."""
        return (
            f"CoreMassFunction({int(self.count.sum())} cores, peak near {self.peak_mass:.2g} Msun, slope "
            f"{self.slope:.2f} +- {self.slope_error:.2f} above it)"
        )


def core_mass_function(
    mass: np.ndarray,
    mass_error: np.ndarray | None = None,
    *,
    bins: int | np.ndarray = 12,
    completeness: float | Callable[[np.ndarray], np.ndarray] | None = None,
    draws: int = 400,
    seed: int = 0,
) -> CoreMassFunction:
    """Count cores by mass.

    Parameters
    ----------
    mass : array_like, shape (n,)
        [solar masses]; rows of zero (no fit) are left out.
    mass_error : array_like, optional
        Standard deviation [solar masses]; each draw takes a log-normal of the same relative width.
    bins : int or array_like
        Number of bins of equal width in log mass, or their edges [solar masses].
    completeness : float or callable, optional
        The mass above which the survey finds 90 % (a smooth step of 0.2 dex about it is then taken; 80 % completeness at
        0.4 Msun is HGBS's for Orion B), or a function of mass that returns the fraction found. None: all are found.
    draws : int
        Repetitions for the errors.
    seed : int

    Returns
    -------
    CoreMassFunction

    Raises
    ------
    ValueError
        If fewer than two masses are positive, edges do not increase, or completeness is no fraction.

    References
    ----------
    Könyves et al. 2015 (A&A 584, A91), section 4.8, for what is commonly shown.
    """
    mass = np.asarray(mass, float)
    good = np.isfinite(mass) & (mass > 0)
    if good.sum() < 2:
        raise ValueError(f"mass: expected at least two positive masses, got {int(good.sum())}")
    logm = np.log10(mass[good])
    width = np.zeros_like(logm)
    if mass_error is not None:
        error = np.asarray(mass_error, float)
        if error.shape != mass.shape or np.any(error[good] < 0):
            raise ValueError(f"mass_error: expected one error of zero or more for each of {mass.size} masses")
        width = np.log10(1 + error[good] / mass[good])
    edges = _edges(logm, bins)
    found = _completeness(10 ** (0.5 * (edges[1:] + edges[:-1])), completeness)
    step = np.diff(edges)
    rng = np.random.default_rng(seed)
    count = np.histogram(logm, edges)[0]
    usable = found >= 0.05
    value = np.where(usable, count / step / np.maximum(found, 0.05), np.nan)
    repeated = np.empty((draws, len(count)))
    for draw in range(draws):
        again = np.histogram(rng.normal(logm, width), edges)[0]
        repeated[draw] = rng.poisson(again) / step / np.maximum(found, 0.05)
    repeated[:, ~usable] = np.nan
    centres = 0.5 * (edges[1:] + edges[:-1])
    fitted = (
        usable & (found >= 0.9 * found.max()) & (np.arange(len(count)) >= np.nanargmax(value)) & (count > 0)
    )
    slope = _slope(centres, value, fitted)
    slopes = [_slope(centres, row, fitted & (row > 0)) for row in repeated]
    low, high = np.full(len(count), np.nan), np.full(len(count), np.nan)
    low[usable], high[usable] = np.quantile(repeated[:, usable], [0.16, 0.84], axis=0)
    spread = float(np.nanstd(slopes)) if np.isfinite(slopes).any() else np.nan
    return CoreMassFunction(10**edges, count, value, low, high, found, slope, spread)


def _slope(centres: np.ndarray, value: np.ndarray, fitted: np.ndarray) -> float:
    if fitted.sum() < 3:
        return float("nan")
    weight = np.sqrt(value[fitted])  # Poisson: d log N = 1 / sqrt(N)
    return float(np.polyfit(centres[fitted], np.log10(value[fitted]), 1, w=weight)[0])


def _edges(logm: np.ndarray, bins: int | np.ndarray) -> np.ndarray:
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise ValueError(f"bins: expected at least 1, got {bins}")
        low, high = logm.min(), logm.max()
        return np.linspace(low, high if high > low else low + 0.1, int(bins) + 1)
    edges = np.asarray(bins, float)
    if edges.ndim != 1 or len(edges) < 2 or np.any(edges <= 0) or np.any(np.diff(edges) <= 0):
        raise ValueError(f"bins: expected two or more increasing positive masses, got {bins}")
    return np.log10(edges)


def _completeness(mass: np.ndarray, given: float | Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
    if given is None:
        return np.ones_like(mass)
    if callable(given):
        fraction = np.asarray(given(mass), float)
        if fraction.shape != mass.shape or np.any(fraction < 0) or np.any(fraction > 1):
            raise ValueError(
                "completeness: expected a function of mass that returns fractions between 0 and 1"
            )
        return fraction
    if not given > 0:
        raise ValueError(f"completeness: expected a mass [solar masses] of 90 % completeness, got {given}")
    return 1 / (1 + 9.0 ** (-np.log10(mass / given) / 0.1 - 1))
