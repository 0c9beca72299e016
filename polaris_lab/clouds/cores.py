"""`add_cores`: dense cores of known mass-weighted density in any cloud, also where it is diffuse.

The report's networks fail most on dense gas at low column density (its sections 4.2 and 5, figure 35), which no
simulation at hand resolves. Here cores of 0.01 to 0.1 pc are added whose integrals within each cell are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.core_profiles import Core, cell_means
from polaris_lab.clouds.projection import column_density
from polaris_lab.clouds.simulation import AXES, SimulationCube
from polaris_lab.units import to_unit

PLACES = ("anywhere", "diffuse", "dense")
"""Choices of `where`."""


def add_cores(
    cube: SimulationCube,
    cores: int | Sequence[Core],
    *,
    profile: str = "plummer",
    radius: tuple[u.Quantity, u.Quantity] = (0.01 * u.pc, 0.1 * u.pc),
    central_density: tuple[u.Quantity, u.Quantity] = (1e4 * u.cm**-3, 1e6 * u.cm**-3),
    where: str = "anywhere",
    temperature: u.Quantity = 10 * u.K,
    seed: int = 0,
) -> SimulationCube:
    """Return a copy of a cloud with dense cores added to its gas.

    Column densities are those of the cells' exact means. Means of n^2 and the largest n within each cell are
    kept beside them (``cube.subcell``), so that <n_H>_M and n_max of the maps are those of the resolved core, even
    one that is smaller than a cell. A core that crosses a face of the box comes in at the opposite one.

    Parameters
    ----------
    cube : SimulationCube
        Any cloud; it is not changed.
    cores : int or sequence of Core
        How many to draw, or the cores themselves.
    profile : {"plummer", "bonnor-ebert"}
        Of drawn cores: n_c (1 + (r/R)^2)^-2, or the critical isothermal sphere of outer radius R.
    radius, central_density : (Quantity, Quantity)
        Limits between which R and n_c are drawn, evenly in their logarithm.
    where : {"anywhere", "diffuse", "dense"}
        Where cores are drawn: anywhere in the volume; where all three column densities lie below their medians;
        or above their 90th percentiles.
    temperature : Quantity
        Of the gas of the cores; a cell takes the mass-weighted mean with its own.
    seed : int
        Of the draw.

    Returns
    -------
    SimulationCube
        Its provenance is stamped synthetic, keeps that of the cloud, and lists the cores
        (``provenance["cores"]``; ``Core(**entry).mass_weighted_density(...)`` gives the analytic <n>_M).

    Raises
    ------
    TypeError, ValueError, UnitsError
        For a choice out of its range, or a core outside of the box.

    Examples
    --------
    >>> cloud = SimulationCube(np.full((16, 16, 16), 100.0), cell_size=0.1 * u.pc)
    >>> core = Core((0.85, 0.85, 0.85), radius_pc=0.01, central_density_cm3=1e6)
    >>> cored = add_cores(cloud, [core])
    >>> gained = (cored.density.sum(dtype=float) - cloud.density.sum(dtype=float)) * 0.1**3
    >>> print(f"{gained / core.volume_integrals()[0]:.4f}")
    1.0000
    """
    if isinstance(cores, bool) or not isinstance(cores, int | np.integer):
        chosen = list(cores)
        for core in chosen:
            if not isinstance(core, Core):
                raise TypeError(f"cores: expected a number or a sequence of Core, got {type(core).__name__}")
    else:
        chosen = draw_cores(
            cube,
            cores,
            profile=profile,
            radius=radius,
            central_density=central_density,
            where=where,
            seed=seed,
        )
    for core in chosen:
        if not all(0 <= p < side for p, side in zip(core.position_pc, cube.side_pc, strict=True)):
            raise ValueError(
                f"cores: expected a position within the box of {cube.side_pc} pc (z, y, x), got {core.position_pc}"
            )
        if 2 * core.edge_pc >= min(cube.side_pc):
            raise ValueError(
                f"cores: expected a core smaller than the box, got one of {2 * core.edge_pc:g} pc in {min(cube.side_pc):g} pc"
            )
    fields = _fields_with(cube, chosen, to_unit(temperature, u.K, "temperature"))
    return SimulationCube(
        fields.pop("density"),
        cell_size=cube.cell_size,
        temperature=fields.pop("temperature", None),
        velocity=cube.velocity,
        subcell=fields,
        name=f"{cube.name or 'cloud'} with {len(chosen)} cores",
        provenance=_provenance(cube, chosen),
    )


def draw_cores(
    cube: SimulationCube,
    count: int,
    *,
    profile: str,
    radius: tuple[u.Quantity, u.Quantity],
    central_density: tuple[u.Quantity, u.Quantity],
    where: str,
    seed: int,
) -> list[Core]:
    """Draw cores for a cloud, as :func:`add_cores` does with the same choices."""
    if count < 0:
        raise ValueError(f"cores: expected a number from 0 up, got {count}")
    if where not in PLACES:
        raise ValueError(f'where: expected "anywhere", "diffuse" or "dense", got {where!r}')
    rng = np.random.default_rng(seed)
    sizes = _log_uniform(rng, radius, u.pc, "radius", count)
    peaks = _log_uniform(rng, central_density, u.cm**-3, "central_density", count)
    allowed = np.flatnonzero(_places(cube, where)) if where != "anywhere" else None
    cells = cube.shape[0] * cube.shape[1] * cube.shape[2]
    if allowed is not None and not allowed.size:
        raise ValueError(
            f'where: expected cells that are {where} along all three axes, got none; say "anywhere"'
        )
    flat = rng.integers(cells, size=count) if allowed is None else rng.choice(allowed, size=count)
    places = np.stack(np.unravel_index(flat, cube.shape), axis=1) + rng.random((count, 3))
    return [
        Core(tuple(float(p) for p in place * cube.cell_size_pc), float(size), float(peak), profile)
        for place, size, peak in zip(places, sizes, peaks, strict=True)
    ]


def _log_uniform(
    rng: np.random.Generator, limits: Any, unit: u.UnitBase, name: str, count: int
) -> np.ndarray:
    if len(limits) != 2:
        raise ValueError(f"{name}: expected two limits, got {len(limits)}")
    low, high = (to_unit(limit, unit, name) for limit in limits)
    if not 0 < low <= high:
        raise ValueError(
            f"{name}: expected two positive limits in rising order, got {low:g} and {high:g} {unit}"
        )
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def _places(cube: SimulationCube, where: str) -> np.ndarray:
    """Return which cells may be drawn."""
    allowed = np.ones(cube.shape, bool)
    for index, axis in enumerate(AXES):
        column = column_density(cube, axis=axis)
        good = column < np.median(column) if where == "diffuse" else column > np.quantile(column, 0.9)
        allowed &= np.expand_dims(good, index)
    return allowed


def _fields_with(
    cube: SimulationCube, cores: Sequence[Core], core_temperature: float
) -> dict[str, np.ndarray]:
    """Return density, temperature and what lies within cells, core by core added."""
    density = np.array(cube.density, np.float64)
    square = np.array(cube.subcell.get("mean_square", density**2), np.float64)
    peak = np.array(cube.subcell.get("maximum", density), np.float64)
    heat = None if cube.temperature is None else density * cube.temperature
    for core in cores:
        cells, mean, mean_square, maximum = cell_means(core, cube.cell_size_pc)
        place = tuple(np.mod(cells, cube.shape).T)  # no cell twice: a core is smaller than the box
        gas = density[place]
        peak[place] = np.maximum(peak[place] + mean, gas + maximum)
        square[place] += 2 * gas * mean + mean_square
        density[place] = gas + mean
        if heat is not None:
            heat[place] += mean * core_temperature
    fields = {"density": density.astype(np.float32)}
    if heat is not None:
        fields["temperature"] = (heat / density).astype(np.float32)
    fields["mean_square"] = np.maximum(square, density**2).astype(np.float32)
    fields["maximum"] = peak.astype(np.float32)
    return fields


def _provenance(cube: SimulationCube, cores: Sequence[Core]) -> dict[str, Any]:
    stamp = dict(cube.provenance)
    earlier = stamp.pop("cores", [])
    base = stamp if stamp.get("recipe") != "add_cores" else stamp["cloud"]
    kept = {"do_not_train": base["do_not_train"]} if "do_not_train" in base else {}
    return {
        **kept,
        "source": "synthetic",
        "recipe": "add_cores",
        "statement": "Spherical cores were added to this cloud; they are not in equilibrium with its gas.",
        "cloud": base,
        "cores": [*earlier, *({**asdict(core), "position_pc": list(core.position_pc)} for core in cores)],
    }
