"""Each column as turbulent gas and self-gravitating gas, by the probability of either. A version of ours."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_ndtr

from polaris_lab.estimators.maps import Stored, checked_columns, checked_pair, checked_pixel
from polaris_lab.units import GRAVITATION, HYDROGEN_MASS, MEAN_MASS_PER_HYDROGEN, PARSEC

LOWER = 0.158655
"""Share of a normal distribution below its mean less its dispersion."""


@dataclasses.dataclass(frozen=True)
class TurbulentGravitational(Stored):
    """<n>_M of a turbulent medium with a self-gravitating layer in it.

    Theirs (Gaches & Grudic) is the idea: every column density is the sum of a turbulent part, known in probability
    from the log-normal body of the distribution of N, and of a gravitating part, and each has a density of its own.
    Their working formulas were not at hand; every equation here is ours:

    - the turbulent part N_t of a column N is what the log-normal expects below N: E[N_t | N_t < N];
    - it fills the depth of the cloud: n_t = N_t / depth;
    - the rest N_g = N - N_t is an isothermal layer held by its own gravity, sech^2 across, with
      n_0 = pi G m N_g^2 / (2 c^2) in its middle (m = 1.4 m_H) and n_g = 2/3 n_0 on the mass-weighted mean;
    - <n>_M = (N_t n_t + N_g n_g) / N, and nowhere less than N / depth.

    So n goes as N in thin gas and as N^2 in dense gas. Pixels do not know their neighbours, and the size of a pixel
    does not enter; gravity and temperature set a density, so that n does not simply scale with N.

    Parameters
    ----------
    depth_pc : float
        Depth of the turbulent medium [pc].
    sound_speed_km_s : float
        c [km/s]: effective, with the turbulence inside the layer; thermal at 10 K it is 0.19.
    median_column : float
        Median of the log-normal body [cm^-2].
    width : float
        Dispersion of ln N of the body.
    rms_dex : float
        Scatter of log10(n / estimate) over the pixels of the fit [dex].

    References
    ----------
    After the idea of Gaches & Grudic (2025), A&A 696, A20 (arXiv 2412.16290). Spitzer (1942), ApJ 95, 329 (layer).

    Examples
    --------
    >>> split = TurbulentGravitational(depth_pc=10.0, sound_speed_km_s=0.2, median_column=2e21, width=0.4)
    >>> split(np.array([1e20, 2e21, 2e22]), pixel_size_pc=0.1).round()
    array([3.00000e+00, 6.50000e+01, 1.16102e+05])
    """

    depth_pc: float
    sound_speed_km_s: float
    median_column: float
    width: float
    rms_dex: float = 0.0

    def __post_init__(self) -> None:
        for name in ("depth_pc", "sound_speed_km_s", "median_column", "width"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)!r}")

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return <n>_M [cm^-3] behind N_H [cm^-2], any shape; NaN where blank."""
        checked_pixel(pixel_size_pc, "turbulent_gravitational")
        kind = np.float32 if np.asarray(column_density).dtype == np.float32 else np.float64
        columns = checked_columns(column_density, "turbulent_gravitational")
        turbulent, gravitating = self.split(columns)
        thin, dense = self.densities(columns)
        density = (turbulent * thin + gravitating * dense) / columns
        return np.maximum(density, columns / (self.depth_pc * PARSEC)).astype(kind)

    def split(self, column_density: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the turbulent and the gravitating part of N_H [cm^-2]; their sum is N_H."""
        columns = checked_columns(column_density, "turbulent_gravitational")
        turbulent = expected_below(columns, self.median_column, self.width)
        return turbulent, columns - turbulent

    def densities(self, column_density: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the density of the turbulent part and the mass-weighted mean of the gravitating part [cm^-3]."""
        turbulent, gravitating = self.split(column_density)
        return turbulent / (self.depth_pc * PARSEC), layer_density(gravitating, 1e5 * self.sound_speed_km_s)


def expected_below(columns: np.ndarray, median: float, width: float) -> np.ndarray:
    """Return the mean of a log-normal variable that is known to be below a value: E[X | X < N].

    Examples
    --------
    >>> expected_below(np.array([0.01, 100.0]), 1.0, 0.5).round(2)  # the value itself; the mean of all
    array([0.01, 1.13])
    """
    offset = (np.log(columns) - math.log(median)) / width
    share = np.exp(log_ndtr(offset - width) - log_ndtr(offset))
    return np.minimum(median * math.exp(0.5 * width**2) * share, columns)


def layer_density(column: np.ndarray, sound_speed: float) -> np.ndarray:
    """Return the mass-weighted mean density [cm^-3] of an isothermal self-gravitating layer.

    Parameters
    ----------
    column : ndarray
        N_H through the layer [cm^-2].
    sound_speed : float
        [cm s^-1].

    Examples
    --------
    >>> print(f"{layer_density(np.array(1e22), 2e4):.3g}")
    4.09e+04
    """
    mass = MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS
    return math.pi * GRAVITATION * mass * column**2 / (3.0 * sound_speed**2)


def fit_turbulent_gravitational(column_density: ArrayLike, density: ArrayLike) -> TurbulentGravitational:
    """Fit the depth and the effective sound speed by least squares in log n.

    The log-normal body comes from the column densities alone: its median, and its width from the half below the
    median, where there is no gravitating tail.

    Parameters
    ----------
    column_density : array_like
        N_H [cm^-2], any shape; NaN takes no part.
    density : array_like
        n_H [cm^-3], same shape.

    Returns
    -------
    TurbulentGravitational

    Raises
    ------
    ValueError
        If the arrays do not fit together or the column densities do not differ.
    """
    columns, target, valid = checked_pair(column_density, density, "fit_turbulent_gravitational")
    columns, log_density = columns[valid], np.log10(target[valid])
    low, median = np.quantile(np.log(columns), [LOWER, 0.5])
    if not median - low > 1e-6:
        raise ValueError(
            "fit_turbulent_gravitational: expected column densities that differ, got "
            f"{math.exp(median):.4g} cm^-2 in most pixels; their distribution has no width"
        )
    body = {"median_column": float(math.exp(median)), "width": float(median - low)}
    turbulent = expected_below(columns, body["median_column"], body["width"])
    dense = layer_density(columns - turbulent, 1e5)  # at 1 km/s

    def residual(logs: np.ndarray) -> np.ndarray:
        depth, speed = 10.0 ** logs[0] * PARSEC, 10.0 ** logs[1]
        mean = (turbulent**2 / depth + (columns - turbulent) * dense / speed**2) / columns
        return log_density - np.log10(np.maximum(mean, columns / depth))

    start = [float(np.log10(columns / PARSEC).mean() - log_density.mean()), 0.0]
    best = minimize(
        lambda logs: float(np.mean(residual(np.clip(logs, -6.0, 6.0)) ** 2)),
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-4, "fatol": 1e-9, "maxiter": 400},
    )
    logs = np.clip(best.x, -6.0, 6.0)
    return TurbulentGravitational(
        depth_pc=float(10 ** logs[0]),
        sound_speed_km_s=float(10 ** logs[1]),
        rms_dex=float(np.sqrt(np.mean(residual(logs) ** 2))),
        **body,
    )
