"""The choices of a simulation and the record of its steps: plain values, no arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

from polaris_lab.clouds.synthetic import SMALLEST_SIZE, gravity_strength, sound_speed
from polaris_lab.config import plain_numbers
from polaris_lab.units import PARSEC

MEGAYEAR = 3.15576e13
"""10^6 Julian years [s]."""

METHOD = (
    "isothermal hydrodynamics on a periodic uniform grid: dimensionally split MUSCL-Hancock, van Leer slopes, HLL with "
    "upwinded transverse momentum, Courant number 0.5; Ornstein-Uhlenbeck driving at |k| L/2pi < 3; self-gravity by "
    "Fourier transform; pressure floor at four cells a Jeans length"
)
"""Stamped on every simulated cloud."""

STATEMENT = (
    "No magnetic field, no adaptive grid, no sink particles, one temperature: gas denser than the Jeans floor is held up "
    "by the grid, and scales below some ten cells carry numerical dissipation."
)
"""The limits, stamped likewise."""

PRECISIONS = ("single", "double")
"""Choices of `precision`."""


@dataclass(frozen=True)
class SimulationConfig:
    """Everything that a simulation depends on; :func:`polaris_lab.clouds.simulate` says what each means."""

    size: int = 128
    seed: int = 0
    box_size_pc: float = 6.4
    mean_density_cm3: float = 470.0
    mach_number: float = 8.0
    flow_temperature_K: float = 10.0
    compressive_fraction: float = 0.3
    turnover_times: float = 2.0
    free_fall_times: float = 0.3
    precision: str = "single"

    def __post_init__(self) -> None:
        plain_numbers(self)
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < SMALLEST_SIZE:
            raise ValueError(f"size: expected a whole number from {SMALLEST_SIZE} up, got {self.size!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed: expected a whole number from 0 up, got {self.seed!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f'precision: expected "single" or "double", got {self.precision!r}')
        for name, low, high in (
            ("box_size_pc", 1e-6, 1e6),
            ("mean_density_cm3", 1e-6, 1e12),
            ("mach_number", 0.1, 30.0),
            ("flow_temperature_K", 1.0, 1e6),
            ("compressive_fraction", 0.0, 1.0),
            ("turnover_times", 0.0, 100.0),
            ("free_fall_times", 0.0, 10.0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value}")
            object.__setattr__(self, name, float(value))
        if self.turnover_times + self.free_fall_times == 0:
            raise ValueError(
                "turnover_times, free_fall_times: expected a time above 0, got 0 for both; set turnover_times=2"
            )

    @property
    def gravity(self) -> float:
        """4 pi G rho L^2 / c_s^2 of the box."""
        return gravity_strength(self.mean_density_cm3, self.box_size_pc * PARSEC, self.flow_temperature_K)

    @property
    def turnover_time(self) -> float:
        """Half a box at the Mach number, in box sound crossing times (the unit of time inside)."""
        return 0.5 / self.mach_number

    @property
    def free_fall_time(self) -> float:
        """Of the mean density, in box sound crossing times."""
        return math.sqrt(3 * math.pi**2 / (8 * self.gravity))

    @property
    def quiet_end(self) -> float:
        """When gravity sets in, in box sound crossing times."""
        return self.turnover_times * self.turnover_time

    @property
    def end(self) -> float:
        """When it ends, in box sound crossing times."""
        return self.quiet_end + self.free_fall_times * self.free_fall_time

    @property
    def sound_crossing_Myr(self) -> float:
        """Unit of time inside, the box side over the sound speed [Myr]."""
        return self.box_size_pc * PARSEC / sound_speed(self.flow_temperature_K) / MEGAYEAR


@dataclass(frozen=True)
class SimulationRecord:
    """One step of a simulation.

    Attributes
    ----------
    step : int
        From 1.
    fraction : float
        Of the time to run that is done, 0 to 1.
    time_Myr : float
        Since the start.
    turnover_times, free_fall_times : float
        Done without and with gravity, in their own units.
    mach_number : float
        Mass-weighted 3D rms velocity over the sound speed.
    lowest_density_cm3, highest_density_cm3 : float
        Of all cells.
    mass_drift : float
        Relative deviation of the mass from its start: rounding only.
    """

    step: int
    fraction: float
    time_Myr: float
    turnover_times: float
    free_fall_times: float
    mach_number: float
    lowest_density_cm3: float
    highest_density_cm3: float
    mass_drift: float
