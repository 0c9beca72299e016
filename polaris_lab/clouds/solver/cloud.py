"""`simulate`: a turbulent, self-gravitating cloud from the equations of motion."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from astropy import units as u
from tqdm.auto import tqdm

from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.clouds.solver.settings import SimulationConfig, SimulationRecord
from polaris_lab.units import positive, to_unit

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def simulate(
    size: int = 128,
    seed: int = 0,
    *,
    box_size: u.Quantity = 6.4 * u.pc,
    mean_density: u.Quantity = 470 * u.cm**-3,
    mach_number: float = 8.0,
    flow_temperature: u.Quantity = 10 * u.K,
    compressive_fraction: float = 0.3,
    turnover_times: float | u.Quantity = 2.0,
    free_fall_times: float | u.Quantity = 0.3,
    precision: str = "single",
    device: str = "cpu",
    backend: str | None = None,
    checkpoint: str | Path | None = None,
    on_record: Callable[[SimulationRecord], None] | None = None,
    progress: bool = True,
    name: str | None = None,
) -> SimulationCube:
    """Simulate a periodic cloud: supersonic turbulence is driven, then its own gravity pulls as well.

    Unlike :func:`synthetic_cloud` it solves the equations: mass and momentum are conserved to rounding, shocks have the
    right jumps and speeds. To resemble an observed cloud give its Mach number, mean density and size
    (:func:`polaris_lab.clouds.resembling` takes them from a map).

    **Limits.** No magnetic field, no adaptive grid, no sink particles, one temperature. Gas above the Jeans floor of the
    grid (`provenance["jeans_floor_cm3"]`: four cells a Jeans length) is held up by pressure, so cores are lumps of a few
    cells, and scales below some ten cells carry numerical dissipation. Beyond that, open the output of a code made for it
    with :meth:`SimulationCube.open`.

    Parameters
    ----------
    size : int
        Cells along each side, at least 16.
    seed : int
        Names the initial velocities and the driving.
    box_size : Quantity
        Side of the periodic box.
    mean_density : Quantity
        Mean number density of hydrogen nuclei.
    mach_number : float
        Mass-weighted 3D rms velocity in sound speeds, 0.1 to 30; the driving holds it within about 10 %, until collapsing gas
        exceeds it.
    flow_temperature : Quantity
        Of all gas; it sets the sound speed sqrt(k T / (2.33 m_H)), 0.188 km/s at 10 K.
    compressive_fraction : float
        Share of the power of the initial velocity and of the driving in compression, 0 to 1.
    turnover_times : float or Quantity
        Length of the first part, driven without gravity, in units of (box/2) / (Mach number x sound speed), or a time. Two
        are needed for a turbulence that has forgotten its start.
    free_fall_times : float or Quantity
        Length of the second part, driven and self-gravitating, in free-fall times of the mean density, or a time. Beyond
        about 0.4 the collapsed gas is the grid's.
    precision : {"single", "double"}
        Of the gas.
    device : str
        Of PyTorch: "cpu", "cuda", ...
    backend : {"compiled", "torch"}, optional
        Compiled loops by default on the processor, PyTorch elsewhere; they agree to rounding.
    checkpoint : str or Path, optional
        File that keeps the state every five minutes and when it ends, however it ends (Ctrl-C, an exception). The same call
        goes on from it; on one machine, back end and number of threads the result is the same to the last bit.
    on_record : callable, optional
        Called with the :class:`SimulationRecord` of each step; an exception that it raises stops the simulation, its state
        kept. To steer it yourself, loop over ``Simulation(config).steps()``.
    progress : bool
        Show a bar.
    name : str, optional
        By default "simulated cloud <seed>".

    Returns
    -------
    SimulationCube
        Density [cm^-3], temperature [K] and the velocities [km s^-1] along z, y and x; stamped ``source: simulation`` with
        method, limits, parameters, seed, versions and what was reached.

    Raises
    ------
    ValueError, TypeError, UnitsError
        For a choice out of its range, or a checkpoint that was made with other choices.
    MemoryError
        Before starting, if the grid would not fit into memory, with the number.
    FloatingPointError
        If the gas is no longer finite; the last state that was is kept.

    Notes
    -----
    The defaults take 4 processor minutes at 128^3, 20 s at 64^3, and 160 bytes of memory a cell. The first call after installation compiles for some
    13 s more.

    References
    ----------
    Report, section 5 (simulations made to resemble the observed cloud). Toro (2009), Riemann Solvers and Numerical Methods for
    Fluid Dynamics; Eswaran & Pope (1988), Comput. Fluids 16, 257 (driving); Truelove et al. (1997), ApJ 489, L179
    (Jeans floor).

    Examples
    --------
    >>> cloud = simulate(16, seed=1, turnover_times=0.2, free_fall_times=0.02, progress=False)
    >>> print(cloud.shape, f"{cloud.density.mean():.1f}", cloud.provenance["source"])
    (16, 16, 16) 470.0 simulation
    """
    config = configure(
        size,
        seed,
        box_size=box_size,
        mean_density=mean_density,
        mach_number=mach_number,
        flow_temperature=flow_temperature,
        compressive_fraction=compressive_fraction,
        turnover_times=turnover_times,
        free_fall_times=free_fall_times,
        precision=precision,
    )
    from polaris_lab.clouds.solver.flow import Simulation  # PyTorch: loaded when it runs

    simulation = Simulation(config, checkpoint=checkpoint, device=device, backend=backend)
    bar = tqdm(total=1.0, disable=not progress, desc=f"simulated cloud {config.size}^3", bar_format=_BAR)
    with bar, closing(simulation.steps()) as steps:
        for record in steps:
            bar.update(record.fraction - bar.n)
            bar.set_postfix_str(f", Mach {record.mach_number:.1f}", refresh=False)
            if on_record is not None:
                on_record(record)
    return simulation.cube(name=name)


def configure(
    size: int = 128,
    seed: int = 0,
    *,
    box_size: u.Quantity = 6.4 * u.pc,
    mean_density: u.Quantity = 470 * u.cm**-3,
    flow_temperature: u.Quantity = 10 * u.K,
    turnover_times: float | u.Quantity = 2.0,
    free_fall_times: float | u.Quantity = 0.3,
    **others: Any,
) -> SimulationConfig:
    """Return the configuration of the arguments of :func:`simulate`, quantities turned into plain numbers.

    Examples
    --------
    >>> config = configure(32, mach_number=5.0, turnover_times=2 * u.Myr)
    >>> print(config.size, round(config.turnover_times, 2))
    32 0.6
    """
    from dataclasses import replace

    durations = {"turnover_times": turnover_times, "free_fall_times": free_fall_times}
    config = SimulationConfig(
        size=size,
        seed=seed,
        box_size_pc=positive(box_size, u.pc, "box_size"),
        mean_density_cm3=positive(mean_density, u.cm**-3, "mean_density"),
        flow_temperature_K=positive(flow_temperature, u.K, "flow_temperature"),
        **others,
    )
    units = {"turnover_times": config.turnover_time, "free_fall_times": config.free_fall_time}
    for key, value in durations.items():
        if isinstance(value, u.Quantity) and value.unit.physical_type == "dimensionless":
            durations[key] = float(value.to_value(u.dimensionless_unscaled))
        elif isinstance(value, u.Quantity):
            durations[key] = to_unit(value, u.Myr, key) / (units[key] * config.sound_crossing_Myr)
    return replace(config, **durations)
