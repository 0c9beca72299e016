"""What a density map says of a cloud: its PDF, its relation with N, its thickness, its dense gas and its stars.

All functions take plain maps: the density n_H [cm^-3] and the column density N_H [cm^-2], NaN where blank, and where
errors are wanted `samples` (s, y, x) of the density: maps drawn together, whose errors are correlated in space. An
error of a sum taken from per-pixel sigmas would be far too small.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from astropy import units as u

from polaris_lab.units import (
    GRAVITATION,
    HYDROGEN_MASS,
    MEAN_MASS_PER_HYDROGEN,
    PARSEC,
    SOLAR_MASS,
    positive,
)

YEAR = 3.15576e7
"""Julian year [s]."""

WEIGHTS = ("area", "mass")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with the interval in which 68 % of the samples lie; NaN where no samples were given.

    Attributes
    ----------
    value, lower, upper : float
    unit : str
    definition : str
        What was counted.
    """

    value: float
    lower: float
    upper: float
    unit: str
    definition: str

    def __str__(self) -> str:
        """Say the number, its interval and its unit."""
        interval = "" if np.isnan(self.lower) else f" ({self.lower:.3g} .. {self.upper:.3g})"
        return f"{self.value:.3g}{interval} {self.unit}"


@dataclasses.dataclass(frozen=True)
class DensityPDF:
    """Distribution of log10 density.

    Attributes
    ----------
    edges : ndarray, shape (b + 1,)
        Of the bins [cm^-3].
    pdf : ndarray, shape (b,)
        Share of area or mass per dex.
    lower, upper : ndarray
        16 % and 84 % over the samples; NaN without.
    weight : {"area", "mass"}
    """

    edges: np.ndarray
    pdf: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    weight: str

    @property
    def centres(self) -> np.ndarray:
        """Geometric centres of the bins [cm^-3]."""
        return np.sqrt(self.edges[1:] * self.edges[:-1])


def density_pdf(
    density: np.ndarray,
    column_density: np.ndarray | None = None,
    *,
    weight: str = "area",
    bins: int | np.ndarray = 40,
    samples: np.ndarray | None = None,
) -> DensityPDF:
    """Distribution of the density over the area of the map or over its mass.

    Parameters
    ----------
    density : ndarray, shape (ny, nx)
        n_H [cm^-3].
    column_density : ndarray, optional
        N_H [cm^-2], the weight of "mass".
    weight : {"area", "mass"}
    bins : int or ndarray
        Number of equal bins in log density, or their edges [cm^-3].
    samples : ndarray, shape (s, ny, nx), optional
        For the errors.

    Returns
    -------
    DensityPDF
        Its integral over log10 n is 1 if the bins hold every pixel.

    Raises
    ------
    ValueError
        If shapes differ, no pixel is valid, a density is not positive, or mass is asked for without a column density.
    """
    if not isinstance(weight, str) or weight not in WEIGHTS:
        raise ValueError(f"weight: expected one of {', '.join(WEIGHTS)}, got {weight!r}")
    if weight == "mass" and column_density is None:
        raise ValueError('column_density: expected a map for weight="mass", got none')
    valid, weights = _valid(density, column_density if weight == "mass" else None)
    logs = np.log10(density[valid])
    edges = np.linspace(logs.min(), max(logs.max(), logs.min() + 0.1), bins + 1) if np.ndim(bins) == 0 else (
        np.log10(np.asarray(bins, float))
    )  # fmt: skip
    step = np.diff(edges)
    if not (step > 0).all():
        raise ValueError(f"bins: expected increasing positive densities, got {bins}")
    total = weights.sum()

    def histogram(values: np.ndarray) -> np.ndarray:
        return np.histogram(np.log10(values[valid]), edges, weights=weights)[0] / total / step

    low, high = _interval(samples, density.shape, histogram, len(step))
    return DensityPDF(10**edges, histogram(density), low, high, weight)


@dataclasses.dataclass(frozen=True)
class ColumnRelation:
    """How density goes with column density over a map (the report's figures 26 and 34).

    Attributes
    ----------
    column_edges, density_edges : ndarray
        Of the bins [cm^-2], [cm^-3].
    histogram : ndarray, shape (density bins, column bins)
        Pixels.
    levels : dict of float to float
        For each fraction the number of pixels a bin must hold to lie within the contour that encloses that fraction.
    median, lower, upper : ndarray, shape (column bins,)
        Median, 16 % and 84 % of the density at each column density [cm^-3]; NaN where fewer than 5 pixels are.
    slope : float
        Of the least squares line through log n against log N.
    """

    column_edges: np.ndarray
    density_edges: np.ndarray
    histogram: np.ndarray
    levels: dict[float, float]
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    slope: float


def column_relation(
    column_density: np.ndarray,
    density: np.ndarray,
    *,
    bins: int = 60,
    fractions: tuple[float, ...] = (0.25, 0.5, 0.75, 0.95),
) -> ColumnRelation:
    """Relation of column and volume density with the contours that enclose given fractions of the pixels.

    Parameters
    ----------
    column_density, density : ndarray, shape (ny, nx)
        N_H [cm^-2] and n_H [cm^-3].
    bins : int
        Along each axis, over the ranges.
    fractions : tuple of float
        Of the pixels inside each contour.

    Returns
    -------
    ColumnRelation

    Raises
    ------
    ValueError
        If shapes differ, no pixel is valid, or a fraction is none.
    """
    if not all(0 < fraction < 1 for fraction in fractions):
        raise ValueError(f"fractions: expected numbers between 0 and 1, got {fractions}")
    valid, columns = _valid(density, column_density)
    x, y = np.log10(columns), np.log10(density[valid])
    pixels, xedges, yedges = np.histogram2d(x, y, bins=bins)
    counts = np.sort(pixels.ravel())[::-1]
    reached = np.cumsum(counts) / counts.sum()
    levels = {float(f): float(counts[np.searchsorted(reached, f)]) for f in fractions}
    statistics = np.full((3, bins), np.nan)
    which = np.clip(np.digitize(x, xedges) - 1, 0, bins - 1)
    for number in np.unique(which):
        part = y[which == number]
        if part.size >= 5:
            statistics[:, number] = 10 ** np.quantile(part, [0.5, 0.16, 0.84])
    spread = x - x.mean()
    slope = float((spread * y).sum() / (spread**2).sum()) if spread.any() else float("nan")
    return ColumnRelation(10**xedges, 10**yedges, pixels.T, levels, *statistics, slope)


def diffuse_and_dense(
    density: np.ndarray, *, quantiles: tuple[float, ...] = (0.05, 0.5, 0.95, 0.999)
) -> dict[float, float]:
    """Quantiles of the density over the area of a map [cm^-3]; the report calls 0.5 to 0.95 of Taurus diffuse.

    Raises
    ------
    ValueError
        If no pixel is valid, or a quantile lies outside.
    """
    if not all(0 <= q <= 1 for q in quantiles):
        raise ValueError(f"quantiles: expected numbers from 0 to 1, got {quantiles}")
    valid, _ = _valid(density, None)
    return {float(q): float(np.quantile(density[valid], q)) for q in quantiles}


def thickness(column_density: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Mass-weighted thickness of the cloud, N / <n>_M [pc] of each pixel.

    Between the size of a cell and the depth of the cloud by definition: a value above the cloud's size on the sky says
    that the density is too low.

    Parameters
    ----------
    column_density, density : ndarray, shape (ny, nx)
        N_H [cm^-2] and <n_H>_M [cm^-3].
    """
    _valid(density, column_density)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(column_density, float) / np.asarray(density, float) / PARSEC


def dense_gas_mass(
    density: np.ndarray,
    column_density: np.ndarray,
    *,
    pixel_size: u.Quantity,
    threshold: u.Quantity = 1e4 * u.cm**-3,
    samples: np.ndarray | None = None,
) -> Estimate:
    """Mass of the lines of sight whose density exceeds a threshold, with helium.

    Parameters
    ----------
    density, column_density : ndarray, shape (ny, nx)
        n_H [cm^-3] and N_H [cm^-2].
    pixel_size : Quantity
        Side of a pixel at the cloud, a length.
    threshold : Quantity
        n_H.
    samples : ndarray, shape (s, ny, nx), optional
        For the error.

    Returns
    -------
    Estimate
        [solar masses].

    Raises
    ------
    ValueError
        If shapes differ or no pixel is valid.
    TypeError, UnitsError
        If a quantity has no or a wrong unit.
    """
    limit = positive(threshold, u.cm**-3, "threshold")
    mass, valid = _pixel_mass(density, column_density, pixel_size)

    def total(values: np.ndarray) -> np.ndarray:
        return np.array([mass[valid & (values > limit)].sum()])

    low, high = _interval(samples, density.shape, total, 1)
    words = f"all gas on lines of sight with n_H above {limit:g} cm^-3, 1.4 m_H a nucleus"
    return Estimate(float(total(density)[0]), float(low[0]), float(high[0]), "Msun", words)


def star_formation_rate(
    density: np.ndarray,
    column_density: np.ndarray,
    *,
    pixel_size: u.Quantity,
    threshold: u.Quantity = 1e4 * u.cm**-3,
    efficiency: float = 0.01,
    samples: np.ndarray | None = None,
) -> Estimate:
    """Star formation rate epsilon M / t_ff of the gas above a threshold, pixel by pixel.

    Parameters
    ----------
    density, column_density, pixel_size, threshold, samples
        As for :func:`dense_gas_mass`.
    efficiency : float
        epsilon per free-fall time; about 0.01 is usual (Krumholz et al. 2012).

    Returns
    -------
    Estimate
        [solar masses per million years].

    Raises
    ------
    ValueError
        As :func:`dense_gas_mass`, and if the efficiency is no fraction.

    References
    ----------
    t_ff = sqrt(3 pi / (32 G rho)), rho = 1.4 m_H n_H; Krumholz, Dekel & McKee 2012 (ApJ 745, 69).
    """
    if not 0 < efficiency <= 1:
        raise ValueError(
            f"efficiency: expected a fraction above 0 up to 1 per free-fall time, got {efficiency}"
        )
    limit = positive(threshold, u.cm**-3, "threshold")
    mass, valid = _pixel_mass(density, column_density, pixel_size)

    def rate(values: np.ndarray) -> np.ndarray:
        dense = valid & (values > limit)
        return np.array([(mass[dense] / free_fall_time_myr(values[dense])).sum() * efficiency])

    low, high = _interval(samples, density.shape, rate, 1)
    words = f"{efficiency:g} of the gas above {limit:g} cm^-3 in its free-fall time"
    return Estimate(float(rate(density)[0]), float(low[0]), float(high[0]), "Msun / Myr", words)


def free_fall_time_myr(density: np.ndarray) -> np.ndarray:
    """Free-fall time [Myr] at n_H [cm^-3].

    Examples
    --------
    >>> round(float(free_fall_time_myr(np.array(4e4))), 2)
    0.22
    """
    rho = MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS * np.asarray(density, float)
    return np.sqrt(3 * np.pi / (32 * GRAVITATION * rho)) / YEAR / 1e6


def _pixel_mass(
    density: np.ndarray, column_density: np.ndarray, pixel_size: u.Quantity
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mass of each pixel [solar masses] and which are valid."""
    area = (positive(pixel_size, u.pc, "pixel_size") * PARSEC) ** 2
    valid, _ = _valid(density, column_density)
    return np.asarray(
        column_density, np.float64
    ) * area * MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS / SOLAR_MASS, valid


def _valid(density: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of valid pixels, and their weights (1 without)."""
    density = np.asarray(density)
    if density.ndim != 2 or (weight is not None and np.shape(weight) != density.shape):
        shapes = f"{density.shape}" + ("" if weight is None else f" and {np.shape(weight)}")
        raise ValueError(f"density, column_density: expected maps (ny, nx) of one shape, got {shapes}")
    valid = np.isfinite(density) & (True if weight is None else np.isfinite(weight))
    if not valid.any():
        raise ValueError("density: expected at least one valid pixel, got none")
    for name, values in (("density", density), ("column_density", weight)):
        if values is not None and not (np.asarray(values)[valid] > 0).all():
            raise ValueError(
                f"{name}: expected positive values (NaN where blank), got {np.asarray(values)[valid].min():g}"
            )
    if weight is not None and np.median(density[valid]) > 1e12 > np.median(np.asarray(weight)[valid]):
        raise ValueError(
            "density, column_density: expected n_H [cm^-3] and N_H [cm^-2], got values that look exchanged; see the order of the "
            "arguments"
        )
    return valid, np.ones(int(valid.sum())) if weight is None else np.asarray(weight)[valid]


def _interval(
    samples: np.ndarray | None, shape: tuple[int, ...], function: object, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return 16 % and 84 % of a function over the samples, NaN without."""
    if samples is None:
        return np.full(length, np.nan), np.full(length, np.nan)
    samples = np.asarray(samples)
    if samples.ndim != 3 or samples.shape[1:] != shape or len(samples) < 2:
        raise ValueError(
            f"samples: expected two or more maps (s, {shape[0]}, {shape[1]}), got {samples.shape}"
        )
    low, high = np.quantile([function(sample) for sample in samples], [0.16, 0.84], axis=0)
    return low, high
