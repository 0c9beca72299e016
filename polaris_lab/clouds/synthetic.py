"""`synthetic_cloud`: a seeded turbulent cloud, so that notebooks, tests and training need no download."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.memory import check_memory
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.config import did_you_mean
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


BYTES_A_CELL, BYTES_A_STACKED_CELL = 60, 35
"""Memory of a cell of the box while its recipe runs, and of a cell of the cloud."""

DEFAULTS: dict[str, dict[str, float]] = {
    "burgers": {"spectral_slope": 4.0, "turnover_times": 0.8, "free_fall_times": 0.15},
    "fbm": {"spectral_slope": 3.4},
    "cascade": {"spectral_slope": 3.6},
}
"""What each recipe takes where nothing is said."""


def synthetic_cloud(
    size: int = 128,
    seed: int = 0,
    *,
    kind: str = "burgers",
    box_size: u.Quantity = 6.4 * u.pc,
    depth: u.Quantity | None = None,
    mean_density: u.Quantity = 470 * u.cm**-3,
    mach_number: float = 8.0,
    compressive_fraction: float = 0.3,
    spectral_slope: float | None = None,
    turnover_times: float | None = None,
    free_fall_times: float | None = None,
    pdf_width: float | None = 1.25,
    tail_slope: float | None = 2.0,
    flow_temperature: u.Quantity = 10 * u.K,
    temperature_law: str = "barotropic",
    name: str | None = None,
    progress: bool = False,
) -> SimulationCube:
    """Make a periodic, turbulent cloud from a seed.

    It is a generator, not a simulation, and says so in its provenance. Three recipes:

    ``burgers`` follows a supersonic isothermal flow from a random velocity field, its last part with
    self-gravity; then the density is mapped, cell order kept, onto a log-normal PDF with a power-law tail.
    Column density maps show long filaments, sheets, voids and hubs as MHD turbulence does; velocity and
    density belong together. ``fbm`` is a Gaussian random field with that PDF: cloudy noise in a fraction of a
    second, the null model. ``cascade`` stretches a random field scale by scale: short wisps and knots. The
    velocities of ``fbm`` are random and know nothing of the density.

    Parameters
    ----------
    size : int
        Cells along each side, at least 16.
    seed : int
        Names the cloud: the same seed and choices give the same cloud, whatever the number of threads.
    kind : {"burgers", "fbm", "cascade"}
        The recipe.
    box_size : Quantity
        Side of the periodic box.
    depth : Quantity, optional
        Extent along z, by default `box_size`. A deeper cloud is a stack of different boxes (not periodic where
        they meet), as a line of sight through a larger cloud; a shallower one is a cut.
    mean_density : Quantity
        Mean number density of hydrogen nuclei; the cloud has exactly it (to rounding).
    mach_number : float
        Mass-weighted 3D rms velocity in sound speeds, 0.5 to 50; exact for ``fbm`` and ``cascade``, held
        within about 10 % by the driving of ``burgers``.
    compressive_fraction : float
        Share of the power of the velocity in compression, 0 to 1 (``burgers``: of its start and driving).
    spectral_slope : float, optional
        beta of P(k) ~ k^-beta in three dimensions, 2 to 6: of ln n for ``fbm`` (3.4), of the field that
        ``cascade`` starts from (3.6), of the initial velocity and driving of ``burgers`` (4).
    turnover_times : float, optional
        Of ``burgers`` only (0.8): how long the turbulence runs, in units of (box/2)/(rms velocity), above 0 up
        to 2. Beyond about 1 voids empty too far.
    free_fall_times : float, optional
        Of ``burgers`` only (0.15): how long self-gravity acts at the end, in free-fall times of the mean
        density, 0 to 1.
    pdf_width : float or None
        Dispersion of ln n of the log-normal body, 0.1 to 3; 1.0 to 1.8 are those of clouds. None keeps the
        PDF of the recipe (not for ``fbm``, which has none).
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
        centre of mass, shape (depth, size, size); its provenance holds the statement and every choice.

    Raises
    ------
    ValueError, TypeError, UnitsError
        For a choice out of its range, with the range.
    MemoryError
        Before starting, if the cloud would not fit into memory, with the number.

    Notes
    -----
    At 128^3 ``burgers`` takes 11 processor seconds, ``cascade`` 5, ``fbm`` 0.4 on two threads; memory is about
    95 bytes a cell. The first call after installation compiles for 3 seconds more.

    References
    ----------
    Burkhart (2018), ApJ 863, 118 (PDF); Larson (2005), MNRAS 359, 211 (temperature); Stam (1999), SIGGRAPH
    (semi-Lagrangian flow); Stutzki et al. (1998), A&A 336, 697 (fractional Brownian motion).

    Examples
    --------
    >>> cloud = synthetic_cloud(size=16, seed=1)
    >>> print(cloud.shape, f"{cloud.density.mean():.1f}", sorted(cloud.velocity))
    (16, 16, 16) 470.0 ['x', 'y', 'z']
    >>> synthetic_cloud(size=16, kind="fbm", box_size=5 * u.pc, depth=10 * u.pc).shape
    (32, 16, 16)
    """
    if kind not in DEFAULTS:
        raise ValueError(f"kind: unknown recipe {kind!r}: {did_you_mean(str(kind), list(DEFAULTS))}")
    choices = {
        "size": _whole(size, "size", SMALLEST_SIZE),
        "box_size_pc": positive(box_size, u.pc, "box_size"),
        "mean_density_cm3": positive(mean_density, u.cm**-3, "mean_density"),
        "mach_number": _within(mach_number, "mach_number", 0.5, 50.0),
        "compressive_fraction": _within(compressive_fraction, "compressive_fraction", 0.0, 1.0),
        "spectral_slope": _within(
            DEFAULTS[kind]["spectral_slope"] if spectral_slope is None else spectral_slope,
            "spectral_slope",
            2.0,
            6.0,
        ),
        "turnover_times": _of_flow(kind, turnover_times, "turnover_times", 0.0, 2.0, above=True),
        "free_fall_times": _of_flow(kind, free_fall_times, "free_fall_times", 0.0, 1.0),
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
    if kind == "fbm" and pdf_width is None:
        raise ValueError(
            'pdf_width: expected a number from 0.1 to 3 for kind="fbm", got None: it has no PDF of its own'
        )
    layers = _layers(depth, choices)
    cells = choices["size"] ** 3 * BYTES_A_CELL + layers * choices["size"] ** 2 * BYTES_A_STACKED_CELL
    check_memory(cells, f"{layers} x {choices['size']} x {choices['size']} cells", "size, depth")
    density, velocity = _stack(kind, choices, layers, seed, progress)
    density *= np.float32(choices["mean_density_cm3"] / density.mean(dtype=np.float64))
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
        provenance=_provenance(kind, choices, seed),
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
    scaled = np.log(np.asarray(density, np.float32))
    scaled += np.float32(math.log(MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS / 1e-18))
    scaled *= np.where(scaled < 0, np.float32(-0.27), np.float32(0.07))
    temperature = np.exp(scaled, out=scaled)
    temperature *= np.float32(4.4)
    return np.clip(temperature, COLDEST, WARMEST, out=temperature)


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


def _layers(depth: u.Quantity | None, choices: dict[str, Any]) -> int:
    """Return the cells along z, and keep the depth among the choices."""
    cell = choices["box_size_pc"] / choices["size"]
    wanted = choices["box_size_pc"] if depth is None else positive(depth, u.pc, "depth")
    layers = round(wanted / cell)
    if layers < 1:
        raise ValueError(f"depth: expected at least one cell, {cell:g} pc, got {wanted:g} pc")
    choices["depth_pc"] = layers * cell
    return layers


def _stack(
    kind: str, choices: dict[str, Any], layers: int, seed: int, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Run the recipe for as many boxes as the depth needs: (relative density, velocity in sound speeds)."""
    from polaris_lab.clouds.recipes import RECIPES

    size = choices["size"]
    densities, velocities = [], []
    gravity = gravity_strength(
        choices["mean_density_cm3"], choices["box_size_pc"] * PARSEC, choices["flow_temperature_K"]
    )
    for part, start in enumerate(range(0, layers, size)):
        stop = min(start + size, layers)
        rng = np.random.default_rng([seed, part] if part else seed)
        log_contrast, flow = RECIPES[kind]({**choices, "gravity": gravity}, rng, progress)
        box = np.exp(log_contrast, dtype=np.float32)
        if layers > size:
            box /= np.float32(box.mean(dtype=np.float64))
        densities.append(box[: stop - start])
        velocities.append(flow[:, : stop - start])
    if layers == size:
        return densities[0], velocities[0]
    return np.concatenate(densities), np.concatenate(velocities, axis=1)


def _provenance(kind: str, choices: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the stamp: no time in it, so that the same seed gives the same cube, stamp included."""
    from polaris_lab import __version__

    return {
        "source": "synthetic",
        "recipe": kind,
        "statement": STATEMENT,
        "seed": seed,
        "parameters": choices,
        "polaris_lab": __version__,
    }


def _of_flow(
    kind: str, value: Any, name: str, low: float, high: float, *, above: bool = False
) -> float | None:
    """Return a choice of the flow; other recipes have none."""
    default = DEFAULTS[kind].get(name)
    if default is None and value is not None:
        raise ValueError(f'{name}: expected with kind="burgers" only, got kind={kind!r}; leave it out')
    return (
        None
        if default is None
        else _within(default if value is None else value, name, low, high, above=above)
    )


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
