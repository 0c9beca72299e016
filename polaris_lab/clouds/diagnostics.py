"""What a cloud is like: PDF, Mach numbers, balance of forces, relation of N and <n>_M, shielding; all in one table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from polaris_lab.clouds.projection import project
from polaris_lab.clouds.simulation import AXES, SimulationCube
from polaris_lab.clouds.spectra import spectral_slope
from polaris_lab.clouds.synthetic import sound_speed
from polaris_lab.units import GRAVITATION, HYDROGEN_MASS, MEAN_MASS_PER_HYDROGEN, PARSEC, SOLAR_MASS

YEAR = 3.15576e7
"""Julian year [s]."""


class DensityPdf(NamedTuple):
    """The volume PDF of s = ln(n/<n>) and its log-normal + power-law fit."""

    log_contrast: np.ndarray
    """Centres of the bins, s."""
    probability: np.ndarray
    """dV/V/ds."""
    width: float
    """Dispersion of the log-normal body."""
    centre: float
    """Its maximum in s."""
    tail_slope: float | None
    """alpha of p ~ exp(-alpha s) beyond `transition`; None without a tail."""
    transition: float | None
    """s where the tail begins: centre + alpha width^2, continuous in value and slope."""


def density_pdf(cube: SimulationCube, *, bins: int = 100) -> DensityPdf:
    """Return the volume PDF of the density and fit a log-normal with a power-law tail.

    Fitted by least squares on ln p, each bin with the weight of its Poisson error; the tail is kept when the
    log-normal alone does not fit (chi^2 above 1.5 a bin) and it lowers chi^2 by more than 10 %.

    Parameters
    ----------
    cube : SimulationCube
        The cloud.
    bins : int
        Bins of s between its extremes.

    References
    ----------
    Burkhart (2018), ApJ 863, 118.
    """
    density = np.asarray(cube.density[...], np.float64).ravel()
    s = np.log(density / density.mean())
    counts, edges = np.histogram(s, bins)
    middle, step = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    probability = counts / (s.size * step)
    used = counts >= 10
    if used.sum() < 4:
        return DensityPdf(middle, probability, float(s.std()), float(np.median(s)), None, None)
    x, y, weight = middle[used], np.log(probability[used]), np.sqrt(np.minimum(counts[used], 1000.0))

    def model(p: np.ndarray) -> np.ndarray:
        height, centre, width = p[:3]
        body = height - 0.5 * ((x - centre) / width) ** 2
        if len(p) == 3:
            return body
        start = centre + p[3] * width**2
        tail = height - 0.5 * (p[3] * width) ** 2 - p[3] * (x - start)
        return np.where(x < start, body, tail)

    first = [float(y.max()), float(np.median(s)), float(s.std())]
    low, high = [-np.inf, s.min(), 0.05], [np.inf, s.max(), 5.0]
    plain = optimize.least_squares(lambda p: weight * (model(p) - y), first, bounds=(low, high))
    both = optimize.least_squares(
        lambda p: weight * (model(p) - y), [*plain.x, 2.0], bounds=([*low, 0.5], [*high, 10.0])
    )
    poor = plain.cost > 0.75 * used.sum()  # chi^2 above 1.5 a bin: the log-normal alone does not fit
    tailed = poor and both.cost < 0.9 * plain.cost and both.x[1] + both.x[3] * both.x[2] ** 2 < x.max()
    _, centre, width, *slope = both.x if tailed else plain.x
    if not tailed:
        return DensityPdf(middle, probability, float(width), float(centre), None, None)
    return DensityPdf(
        middle, probability, float(width), float(centre), float(slope[0]), float(centre + slope[0] * width**2)
    )


def velocity_dispersion(cube: SimulationCube) -> float:
    """Return the mass-weighted rms velocity in three dimensions about the centre of mass [km s^-1].

    With fewer than three components the mean square of those at hand counts for each.
    """
    if not cube.velocity:
        raise ValueError("velocity: expected at least one component, the cube carries none")
    weight = np.asarray(cube.density[...], np.float64)
    weight /= weight.sum()
    variances = []
    for values in cube.velocity.values():
        v = np.asarray(values[...], np.float64)
        mean = float((weight * v).sum())
        variances.append(float((weight * (v - mean) ** 2).sum()))
    return math.sqrt(3 * float(np.mean(variances)))


def free_fall_time(density: float) -> float:
    """Return sqrt(3 pi / (32 G rho)) [yr] at n_H [cm^-3], rho = 1.4 m_H n_H.

    Examples
    --------
    >>> print(f"{free_fall_time(4e4):.2g}")
    2.2e+05
    """
    rho = MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS * density
    return math.sqrt(3 * math.pi / (32 * GRAVITATION * rho)) / YEAR


def jeans_mass(density: float, temperature: float) -> float:
    """Return (pi/6) (pi/G)^(3/2) rho^(-1/2) c_s^3 [Msun] at n_H [cm^-3] and T [K].

    Examples
    --------
    >>> print(f"{jeans_mass(1e4, 10.0):.1f}")
    3.7
    """
    rho = MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS * density
    speed = sound_speed(temperature)
    return math.pi / 6 * (math.pi / GRAVITATION) ** 1.5 * rho**-0.5 * speed**3 / SOLAR_MASS


def virial_parameter(dispersion: float, size: float, mass: float) -> float:
    """Return 5 sigma^2 L / (G M); below about 2 a cloud is bound.

    Parameters
    ----------
    dispersion : float
        One-dimensional velocity dispersion [km s^-1].
    size : float
        The length that goes with it: the radius of a sphere, half the side of a box [pc].
    mass : float
        [Msun]

    Examples
    --------
    >>> print(f"{virial_parameter(0.92, 3.2, 4300.0):.2f}")
    0.73
    """
    return 5 * (dispersion * 1e5) ** 2 * size * PARSEC / (GRAVITATION * mass * SOLAR_MASS)


class Relation(NamedTuple):
    """log10 <n>_M against log10 N of all three faces: a line, and the conditional PDFs by bin of N."""

    slope: float
    intercept: float
    scatter_dex: float
    log_column_density: np.ndarray
    """Centres of the bins of log10 N."""
    quantiles: np.ndarray
    """16, 50 and 84 % of log10 <n>_M in each bin, shape (bins, 3); NaN where a bin holds under 20 pixels."""
    log_density: np.ndarray
    """Centres of the bins of log10 <n>_M."""
    conditional: np.ndarray
    """p(log10 <n>_M | N) [1/dex], shape (bins of N, bins of <n>_M); each row integrates to 1 or is 0."""


def density_relation(cube: Any, *, bins: int = 40) -> Relation:
    """Return how <n_H>_M follows N_H over the three faces of a cube.

    Parameters
    ----------
    cube : SimulationCube or AmrCloud
        The cloud.
    bins : int
        Bins of both logarithms.
    """
    maps = [project(cube, axis=axis) for axis in AXES]
    x = np.concatenate([np.log10(m.column_density).ravel() for m in maps])
    y = np.concatenate([np.log10(m.mass_weighted_density).ravel() for m in maps])
    slope, intercept = np.polyfit(x, y, 1) if np.ptp(x) > 1e-9 else (0.0, float(y.mean()))
    counts, x_edges, y_edges = np.histogram2d(x, y, bins)
    rows = counts.sum(axis=1, keepdims=True)
    place = np.clip(np.digitize(x, x_edges) - 1, 0, bins - 1)
    quantiles = np.full((bins, 3), np.nan)
    for k in range(bins):
        inside = y[place == k]
        if inside.size >= 20:
            quantiles[k] = np.quantile(inside, [0.16, 0.5, 0.84])
    return Relation(
        float(slope),
        float(intercept),
        float((y - intercept - slope * x).std()),
        0.5 * (x_edges[1:] + x_edges[:-1]),
        quantiles,
        0.5 * (y_edges[1:] + y_edges[:-1]),
        counts / np.maximum(rows, 1) / np.diff(y_edges),
    )


def shielding_column(
    cube: SimulationCube, *, extinction_per_column: float = 5.35e-22, steepness: float = 3.5
) -> np.ndarray:
    """Return the effective column that shields each cell, over the six directions of the axes.

    N_eff = -ln(mean(exp(-k N_i))) / k with k = steepness x extinction_per_column: the mean of what gets through,
    as ultraviolet light does. Half of the cell's own column counts.

    Parameters
    ----------
    cube : SimulationCube
        The cloud, lit from outside of its box.
    extinction_per_column : float
        A_V / N_H [mag cm^2] (1/1.87e21: Bohlin et al. 1978).
    steepness : float
        gamma of the dissociation rate exp(-gamma A_V).

    Returns
    -------
    ndarray, shape (nz, ny, nx), float32
        N_eff [cm^-2].
    """
    cells = np.asarray(cube.density[...], np.float64) * cube.cell_size_cm
    k = extinction_per_column * steepness
    least = np.full(cells.shape, np.inf)
    for column in _columns(cells):
        np.minimum(least, column, out=least)
    total = np.zeros(cells.shape)
    for column in _columns(cells):  # relative to the thinnest way: no underflow
        total += np.exp(k * (least - column))
    return (least - np.log(total / 6) / k).astype(np.float32)


def _columns(cells: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the columns from the middle of each cell to the six faces."""
    for axis in range(3):
        before = np.cumsum(cells, axis=axis) - 0.5 * cells
        yield before
        yield cells.sum(axis=axis, keepdims=True) - before


def describe(cube: SimulationCube) -> dict[str, float | None]:
    """Return the table of a cloud's figures; names carry their units.

    Returns
    -------
    dict
        Plain numbers; None where the cube lacks what a figure needs (velocity) or a fit found nothing.

    Examples
    --------
    >>> from astropy import units as u
    >>> cloud = SimulationCube(np.full((8, 8, 8), 470.0), cell_size=0.8 * u.pc)
    >>> table = describe(cloud)
    >>> print(f"{table['mass_Msun']:.0f} {table['free_fall_time_Myr']:.2f} {table['mach_number']}")
    4265 2.01 None
    """
    density = np.asarray(cube.density[...], np.float64)
    mean = float(density.mean())
    volume = density.size * cube.cell_size_cm**3
    mass = mean * volume * MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS
    temperature = 10.0
    if cube.temperature is not None:
        temperature = float((density * cube.temperature[...]).sum() / density.sum())
    size_pc = float(np.mean(cube.side_pc))
    pdf, relation = density_pdf(cube), density_relation(cube)
    columns = relation.log_column_density
    table: dict[str, float | None] = {
        "mass_Msun": mass / SOLAR_MASS,
        "size_pc": size_pc,
        "cell_size_pc": cube.cell_size_pc,
        "mean_density_cm3": mean,
        "max_density_cm3": float(density.max()),
        "mean_column_density_cm2": mean * size_pc * PARSEC,
        "log_column_density_range_dex": float(np.ptp(columns) * len(columns) / max(len(columns) - 1, 1)),
        "temperature_K": temperature,
        "dispersion_of_ln_density": float(np.log(density).std()),
        "pdf_width": pdf.width,
        "pdf_tail_slope": pdf.tail_slope,
        "relation_slope": relation.slope,
        "relation_scatter_dex": relation.scatter_dex,
        "free_fall_time_Myr": free_fall_time(mean) / 1e6,
        "jeans_mass_Msun": jeans_mass(mean, temperature),
    }
    cubic = len(set(cube.shape)) == 1 and cube.shape[0] >= 8 and density.std() > 0
    last = min(16, cube.shape[0] // 4)
    for name, values in (("ln_density", np.log(density)), ("density", density)):
        table[f"spectral_slope_{name}"] = (
            spectral_slope(values, first=min(3, last - 1), last=last) if cubic else None
        )
    sigma = velocity_dispersion(cube) if cube.velocity else None
    table["velocity_dispersion_kms"] = sigma
    table["mach_number"] = table["virial_parameter"] = table["crossing_time_Myr"] = table[
        "spectral_slope_velocity"
    ] = None
    if sigma:
        one = sigma / math.sqrt(3) * 1e5
        table["mach_number"] = sigma * 1e5 / sound_speed(temperature)
        table["virial_parameter"] = virial_parameter(one / 1e5, size_pc / 2, mass / SOLAR_MASS)
        table["crossing_time_Myr"] = size_pc * PARSEC / (sigma * 1e5) / YEAR / 1e6
        if cubic:
            parts = [np.asarray(v[...]) for v in cube.velocity.values()]
            table["spectral_slope_velocity"] = spectral_slope(parts, first=min(3, last - 1), last=last)
    return table
