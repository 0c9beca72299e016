"""Power laws of the column density with one or two bends: two or three continuous components."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from polaris_lab.estimators.maps import Stored, checked_columns, checked_pair, checked_pixel

BINS = 512
"""Bins of log N that the breaks are searched on; the coefficients are then fitted to the pixels themselves."""


@dataclasses.dataclass(frozen=True)
class BrokenPowerLaw(Stored):
    """log n = a + b x + sum_i d_i max(x - t_i, 0) with x = log10 N: continuous, the slope changes by d_i at t_i.

    A function of the column density alone: the size of the pixel does not enter.

    Parameters
    ----------
    intercept, slope : float
        a and b, below the first break; n in cm^-3 and N in cm^-2.
    breaks : tuple of float
        t_i, log10 of cm^-2, ascending.
    bends : tuple of float
        d_i, one for each break.
    rms_dex : float
        Scatter of log10(n / estimate) over the pixels of the fit [dex].

    References
    ----------
    The form compared with in Xu et al. (2023), ApJ 950, 146; that the pieces meet is our choice.

    Examples
    --------
    >>> law = BrokenPowerLaw(intercept=-19.0, slope=1.0, breaks=(22.0,), bends=(1.0,))
    >>> law(np.array([1e21, 1e22, 1e23]), pixel_size_pc=0.05).round()
    array([   100.,   1000., 100000.])
    """

    intercept: float
    slope: float
    breaks: tuple[float, ...]
    bends: tuple[float, ...]
    rms_dex: float = 0.0

    def __post_init__(self) -> None:
        if len(self.breaks) != len(self.bends) or list(self.breaks) != sorted(self.breaks):
            raise ValueError(
                f"breaks: expected ascending breaks and as many bends, got {self.breaks} and {self.bends}"
            )

    @property
    def slopes(self) -> tuple[float, ...]:
        """Slope of each component."""
        return tuple(float(s) for s in self.slope + np.cumsum([0.0, *self.bends]))

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return the density [cm^-3] behind N_H [cm^-2], any shape; NaN where blank."""
        checked_pixel(pixel_size_pc, "broken power law")
        kind = np.float32 if np.asarray(column_density).dtype == np.float32 else np.float64
        x = np.log10(checked_columns(column_density, "broken power law"))
        y = self.intercept + self.slope * x
        for start, bend in zip(self.breaks, self.bends, strict=True):
            y += bend * np.maximum(x - start, 0.0)
        return (10.0**y).astype(kind)


def fit_broken_power_law(
    column_density: ArrayLike, density: ArrayLike, *, components: int = 2
) -> BrokenPowerLaw:
    """Fit a power law of two or three continuous components by least squares in log n.

    For given breaks the fit is linear; the breaks are found by the simplex method, from the quantiles 1/2, or 1/3
    and 2/3, of log N, and from the upper ends of the range (where a power-law tail begins); the best is kept.

    Parameters
    ----------
    column_density : array_like
        N_H [cm^-2], any shape; NaN takes no part.
    density : array_like
        n_H [cm^-3], same shape.
    components : {2, 3}
        Pieces.

    Returns
    -------
    BrokenPowerLaw

    Raises
    ------
    ValueError
        If `components` is neither 2 nor 3, the arrays do not fit together, or log N has too few different values.

    Examples
    --------
    >>> column_density = np.geomspace(1e20, 1e24, 400)
    >>> truth = BrokenPowerLaw(-19.0, 1.0, (22.3,), (0.8,))
    >>> law = fit_broken_power_law(column_density, truth(column_density, pixel_size_pc=1.0))
    >>> round(law.breaks[0], 2), round(law.bends[0], 2)
    (22.3, 0.8)
    """
    if components not in (2, 3):
        raise ValueError(f"components: expected 2 or 3, got {components!r}; one component is fit_power_law")
    columns, target, valid = checked_pair(column_density, density, "fit_broken_power_law")
    x, y = np.log10(columns[valid]), np.log10(target[valid])
    if np.ptp(x) < 1e-6 or len(np.unique(x[: 10**6])) < 2 * components:
        raise ValueError(
            f"fit_broken_power_law: expected at least {2 * components} different column densities, got a range of "
            f"{np.ptp(x):.2g} dex; a line with {components - 1} bends through them is not determined"
        )
    breaks = _search(*_binned(x, y), components - 1)
    basis = _basis(x, breaks)
    (level, slope, *bends), *_ = np.linalg.lstsq(basis, y, rcond=1e-10)
    residual = y - basis @ [level, slope, *bends]
    return BrokenPowerLaw(
        intercept=float(level - slope * _centre(breaks)),
        slope=float(slope),
        breaks=tuple(float(t) for t in breaks),
        bends=tuple(float(d) for d in bends),
        rms_dex=float(np.sqrt(np.mean(residual**2))),
    )


def _centre(breaks: np.ndarray) -> float:
    return float(breaks[0])


def _basis(x: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Columns 1, x (from the first break, so that they are not parallel) and the bends."""
    return np.stack([np.ones_like(x), x - _centre(breaks), *[np.maximum(x - t, 0) for t in breaks]], axis=-1)


def _binned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the means of x and y in bins of x, and their counts: all that a fit in x needs of many pixels."""
    edges = np.linspace(x.min(), x.max(), BINS + 1)
    which = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, BINS - 1)
    count = np.bincount(which, minlength=BINS)
    used = count > 0
    sums = [np.bincount(which, values, minlength=BINS)[used] / count[used] for values in (x, y)]
    return sums[0], sums[1], count[used].astype(np.float64)


def _search(x: np.ndarray, y: np.ndarray, count: np.ndarray, bends: int) -> np.ndarray:
    """Return the breaks with the least squares."""
    low, high = x[0], x[-1]
    margin = 0.02 * (high - low)
    root = np.sqrt(count)
    worst = 10 * float((count * (y - y.mean()) ** 2).sum()) + 1.0  # beyond the straight line's

    def loss(breaks: np.ndarray) -> float:
        breaks = np.sort(breaks)
        if breaks[0] < low + margin or breaks[-1] > high - margin or np.any(np.diff(breaks) < margin):
            return worst
        basis = _basis(x, breaks) * root[:, None]
        solution, *_ = np.linalg.lstsq(basis, y * root, rcond=1e-10)
        return float(((basis @ solution - y * root) ** 2).sum())

    cumulative = np.cumsum(count) / count.sum()
    fractions = np.arange(1, bends + 1) / (bends + 1)
    starts = [
        np.interp(fractions, cumulative, x),
        low + (high - low) * fractions,
        low + (high - low) * (0.5 + 0.4 * fractions),
    ]
    starts = [
        np.clip(start, low + 2 * margin, high - 2 * margin) + margin * np.arange(bends) for start in starts
    ]
    options = {"xatol": 1e-5 * (high - low), "fatol": 1e-10 * worst, "maxiter": 400 * bends}
    tries = []
    for start in starts:
        simplex = np.vstack([start, *(start + 3 * margin * row for row in np.eye(bends))])
        simplex = np.minimum(simplex, high - margin)
        tries.append(
            minimize(loss, start, method="Nelder-Mead", options={**options, "initial_simplex": simplex})
        )
    return np.sort(min(tries, key=lambda found: found.fun).x)
