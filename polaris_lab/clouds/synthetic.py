"""`synthetic_cloud`: a seeded turbulent cloud, so that notebooks, tests and training need no download."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.units import (
    BOLTZMANN,
    GRAVITATION,
    HYDROGEN_MASS,
    MEAN_MASS_PER_HYDROGEN,
    PARSEC,
    positive,
)

MEAN_MOLECULAR_WEIGHT = 2.33
"""Mass per particle of molecular gas in units of `HYDROGEN_MASS` (H2 with helium): it sets the sound speed."""

SMALLEST_SIZE = 16
"""Cells a side below which the flow has no scales left between its largest whirl and the grid."""

COLDEST, WARMEST = 8.0, 100.0
"""Limits of the barotropic temperature [K]."""

STATEMENT = (
    "Made by a generator, not by a simulation: mass is not conserved locally and there is no magnetic field. "
    "Do not draw astrophysical conclusions from it."
)
"""Stamped on every synthetic cloud."""

TEMPERATURE_LAWS = ("barotropic", "isothermal")
"""Choices of `temperature_law`."""


def synthetic_cloud(
    size: int = 128,
    seed: int = 0,
    *,
    box_size: u.Quantity = 6.4 * u.pc,
    mean_density: u.Quantity = 470 * u.cm**-3,
    mach_number: float = 8.0,
    compressive_fraction: float = 0.3,
    turnover_times: float = 0.8,
    free_fall_times: float = 0.15,
    pdf_width: float | None = 1.25,
    tail_slope: float | None = 2.0,
    flow_temperature: u.Quantity = 10 * u.K,
    temperature_law: str = "barotropic",
    name: str | None = None,
    progress: bool = False,
) -> SimulationCube:
    """Make a periodic, turbulent, self-gravitating cloud from a seed.

    A supersonic isothermal flow (recipe ``burgers``) is followed from a random velocity field, its last part
    with self-gravity; then the density is mapped, cell order kept, onto a log-normal PDF with a power-law
    tail. Column density maps show long filaments, sheets, voids and hubs as MHD turbulence does; velocity
    and density belong together. It is a generator, not a simulation, and says so in its provenance.

    Parameters
    ----------
    size : int
        Cells along each side, at least 16.
    seed : int
        Names the cloud: the same seed and choices give the same cloud, whatever the number of threads.
    box_size : Quantity
        Side of the periodic box.
    mean_density : Quantity
        Mean number density of hydrogen nuclei; the cloud has exactly it (to rounding).
    mach_number : float
        Mass-weighted 3D rms velocity in sound speeds, 0.5 to 50; driving holds it within about 10 %.
    compressive_fraction : float
        Share of the initial and driving power in compression, 0 to 1.
    turnover_times : float
        How long the turbulence runs, in units of (box/2)/(rms velocity), above 0 up to 2. Beyond about 1
        voids empty too far.
    free_fall_times : float
        How long self-gravity acts at the end, in free-fall times of the mean density, 0 to 1.
    pdf_width : float or None
        Dispersion of ln n of the log-normal body, 0.1 to 3; 1.0 to 1.8 are those of clouds. None keeps the
        PDF of the flow.
    tail_slope : float or None
        Exponent alpha of the tail p(ln n) ~ n^-alpha, above 1: about 3 for a young cloud, 1.5 for free-falling
        envelopes. None for a purely log-normal PDF.
    flow_temperature : Quantity
        Temperature that sets the sound speed sqrt(k T / (2.33 m_H)), 0.188 km/s at 10 K, and with it the
        velocities in km/s and the strength of gravity.
    temperature_law : {"barotropic", "isothermal"}
        Larson's (2005) balance of heating and cooling, 8 to 100 K, or `flow_temperature` everywhere.
    name : str, optional
        By default "synthetic cloud <seed>".
    progress : bool
        Show a bar.

    Returns
    -------
    SimulationCube
        Density [cm^-3], temperature [K] and the velocities [km s^-1] along z, y and x in the frame of the
        centre of mass, shape (size, size, size); its provenance holds the statement and every choice.

    Raises
    ------
    ValueError, TypeError, UnitsError
        For a choice out of its range, with the range.

    Notes
    -----
    64^3 takes 0.8 and 128^3 11 processor seconds, shared by the cores; memory is about 130 bytes a cell. The
    first call after installation compiles for 3 seconds more.

    References
    ----------
    Burkhart (2018), ApJ 863, 118 (PDF); Larson (2005), MNRAS 359, 211 (temperature); Stam (1999), SIGGRAPH
    (semi-Lagrangian flow).

    Examples
    --------
    >>> cloud = synthetic_cloud(size=16, seed=1)
    >>> print(cloud.shape, f"{cloud.density.mean():.1f}", sorted(cloud.velocity))
    (16, 16, 16) 470.0 ['x', 'y', 'z']
    """
    choices = {
        "size": _whole(size, "size", SMALLEST_SIZE),
        "box_size_pc": positive(box_size, u.pc, "box_size"),
        "mean_density_cm3": positive(mean_density, u.cm**-3, "mean_density"),
        "mach_number": _within(mach_number, "mach_number", 0.5, 50.0),
        "compressive_fraction": _within(compressive_fraction, "compressive_fraction", 0.0, 1.0),
        "turnover_times": _within(turnover_times, "turnover_times", 0.0, 2.0, above=True),
        "free_fall_times": _within(free_fall_times, "free_fall_times", 0.0, 1.0),
        "pdf_width": None if pdf_width is None else _within(pdf_width, "pdf_width", 0.1, 3.0),
        "tail_slope": None
        if tail_slope is None
        else _within(tail_slope, "tail_slope", 1.0, 10.0, above=True),
        "flow_temperature_K": positive(flow_temperature, u.K, "flow_temperature"),
        "temperature_law": temperature_law,
    }
    seed = _whole(seed, "seed", 0)
    if temperature_law not in TEMPERATURE_LAWS:
        raise ValueError(
            f'temperature_law: expected "barotropic" or "isothermal", got {temperature_law!r}; '
            "set the temperature of isothermal gas with flow_temperature=12 * u.K"
        )
    log_contrast, velocity = _flow(choices, seed, progress)
    contrast = np.exp(log_contrast, dtype=np.float64)
    density = (choices["mean_density_cm3"] / contrast.mean() * contrast).astype(np.float32)
    if temperature_law == "barotropic":
        temperature = barotropic_temperature(density)
    else:
        temperature = np.full_like(density, choices["flow_temperature_K"])
    velocity *= np.float32(sound_speed(choices["flow_temperature_K"]) / 1e5)
    return SimulationCube(
        density,
        cell_size=choices["box_size_pc"] / choices["size"] * u.pc,
        temperature=temperature,
        velocity=dict(zip(("z", "y", "x"), velocity, strict=True)),
        name=name or f"synthetic cloud {seed}",
        provenance=_provenance(choices, seed),
    )


def sound_speed(temperature: float) -> float:
    """Return the isothermal sound speed of molecular gas [cm s^-1] at a temperature [K].

    Examples
    --------
    >>> print(f"{sound_speed(10.0) / 1e5:.3f} km/s")
    0.188 km/s
    """
    return math.sqrt(BOLTZMANN * temperature / (MEAN_MOLECULAR_WEIGHT * HYDROGEN_MASS))


def barotropic_temperature(density: np.ndarray) -> np.ndarray:
    """Return the temperature at which heating balances cooling at a density.

    T = 4.4 K rho18^-0.27 below rho18 = 1 and 4.4 K rho18^0.07 above, rho18 = 1.4 m_H n_H / 1e-18 g cm^-3,
    kept within 8 and 100 K.

    Parameters
    ----------
    density : ndarray
        n_H [cm^-3].

    Returns
    -------
    ndarray, float32
        T [K] with the same shape.

    References
    ----------
    Larson (2005), MNRAS 359, 211, eq. 1.

    Examples
    --------
    >>> print(barotropic_temperature(np.array([1e2, 1e3, 1e4])).round().astype(int))
    [42 23 12]
    """
    scaled = np.asarray(density, np.float32) * np.float32(MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS / 1e-18)
    temperature = 4.4 * np.where(scaled < 1, scaled**-0.27, scaled**0.07)
    return np.clip(temperature, COLDEST, WARMEST).astype(np.float32)


def gravity_strength(mean_density: float, box_size: float, temperature: float) -> float:
    """Return 4 pi G rho L^2 / c_s^2 of a box, which sets how much self-gravity does against pressure.

    Parameters
    ----------
    mean_density : float
        n_H [cm^-3].
    box_size : float
        L [cm].
    temperature : float
        Of the sound speed [K].

    Examples
    --------
    >>> print(round(gravity_strength(470.0, 6.4 * PARSEC, 10.0)))
    1017
    """
    mass_density = MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS * mean_density
    return 4 * math.pi * GRAVITATION * mass_density * box_size**2 / sound_speed(temperature) ** 2


def _flow(choices: dict[str, Any], seed: int, progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """Run the flow and give its density the PDF asked for: (ln contrast, velocity in sound speeds)."""
    from polaris_lab.clouds.burgers import burgers_flow  # compiled kernels: loaded when a cloud is made
    from polaris_lab.clouds.fields import remap

    log_contrast, velocity = burgers_flow(
        choices["size"],
        np.random.default_rng(seed),
        mach_number=choices["mach_number"],
        compressive_fraction=choices["compressive_fraction"],
        turnover_times=choices["turnover_times"],
        free_fall_times=choices["free_fall_times"],
        gravity=gravity_strength(
            choices["mean_density_cm3"], choices["box_size_pc"] * PARSEC, choices["flow_temperature_K"]
        ),
        progress=progress,
    )
    if choices["pdf_width"] is not None:
        log_contrast = remap(log_contrast, width=choices["pdf_width"], tail_slope=choices["tail_slope"])
    return log_contrast, velocity


def _provenance(choices: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the stamp: no time in it, so that the same seed gives the same cube, stamp included."""
    from polaris_lab import __version__

    return {
        "source": "synthetic",
        "recipe": "burgers",
        "statement": STATEMENT,
        "seed": seed,
        "parameters": choices,
        "polaris_lab": __version__,
    }


def _whole(value: Any, name: str, smallest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected a whole number from {smallest} up, got {value!r}")
    if value < smallest:
        raise ValueError(f"{name}: expected a whole number from {smallest} up, got {value}")
    return int(value)


def _within(value: Any, name: str, low: float, high: float, *, above: bool = False) -> float:
    """Return a number between two limits, the lower one excluded when `above`."""
    span = f"above {low:g} up to {high:g}" if above else f"from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number {span}, got {value!r}")
    if not low <= value <= high or (above and value == low):
        raise ValueError(f"{name}: expected a number {span}, got {value}")
    return float(value)
