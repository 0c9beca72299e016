"""`EmissionConfig`: which line the clouds of a training set shine in, and how that is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from polaris_lab.config import plain_numbers
from polaris_lab.datasets.checks import check_one_of, check_within
from polaris_lab.quantities import quantity
from polaris_lab.radiative_transfer import Line
from polaris_lab.radiative_transfer.abundance import ABUNDANCE

LINE_UNITS = {
    name: quantity(name).unit
    for name in (
        "ppv_cube",
        "integrated_intensity",
        "centroid_velocity",
        "velocity_dispersion",
        "peak_temperature",
        "number_of_components",
    )
}
"""Unit of every quantity that a line gives: the cube (v, y, x) and maps made of it."""


@dataclass(frozen=True)
class EmissionConfig:
    """A line and the choices of :func:`polaris_lab.synthesize_ppv`, for ``PatchConfig(emission=...)``.

    All clouds and faces of a dataset share one velocity axis. What is not said of it is chosen from the clouds:
    from the slowest gas to the fastest with four line widths more, two channels a line width.

    Attributes
    ----------
    line, transition : str
        As for :meth:`polaris_lab.Line.named`: "12CO", "13CO" or "C18O", and "1-0" to "5-4".
    abundance : float or None
        Molecules per hydrogen nucleus; None takes that of
        :data:`polaris_lab.radiative_transfer.abundance.ABUNDANCE` (13CO: 1e-4 / 70, the report's).
    einstein_a_per_s : float or None
        Another Einstein coefficient than LAMDA's [s^-1].
    velocity_min_km_s, velocity_max_km_s : float or None
        Centre of the first channel, and the bound of the last one's [km/s].
    channel_width_km_s : float or None
        Distance of the channels [km/s].
    turbulent_dispersion_km_s : float or "gradient"
        One-dimensional dispersion of motion below the cell [km/s].
    in_cell_velocity : {"linear", "constant"}
    channel : {"centre", "average"}
        Sample the centre of each channel, or average over its width: for channels wider than half a line.
    background_K : float
        Black body behind the cloud [K].
    component_noise_K : float
        Noise [K] above which "number_of_components" counts Gaussians (four times of it at the peak); the cubes
        themselves carry none. 0.1 K is what surveys of 13CO reach.

    Raises
    ------
    ValueError, TypeError
        If a value is out of range or of the wrong type, or the line is unknown.

    Examples
    --------
    >>> EmissionConfig(line="12CO", transition="2-1").molecules_per_hydrogen
    0.0001
    """

    line: str = "13CO"
    transition: str = "1-0"
    abundance: float | None = None
    einstein_a_per_s: float | None = None
    velocity_min_km_s: float | None = None
    velocity_max_km_s: float | None = None
    channel_width_km_s: float | None = None
    turbulent_dispersion_km_s: float | str = 0.0
    in_cell_velocity: str = "linear"
    channel: str = "centre"
    background_K: float = 2.72548
    component_noise_K: float = 0.1

    def __post_init__(self) -> None:
        plain_numbers(self)
        for field in fields(self):  # 1 and 1.0 have one fingerprint
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
        Line.named(self.line, self.transition)
        check_one_of("in_cell_velocity", self.in_cell_velocity, ("linear", "constant"))
        check_one_of("channel", self.channel, ("centre", "average"))
        self._check_numbers()
        self._check_dispersion()

    def _check_numbers(self) -> None:
        check_within("background_K", self.background_K, 0, math.inf, "2.72548 is the CMB, 0 none")
        check_within("component_noise_K", self.component_noise_K, 0, math.inf, "such as 0.1", open_low=True)
        for name, low, remedy in (
            ("abundance", 0, "13CO has about 1.4e-6 molecules per hydrogen nucleus"),
            ("einstein_a_per_s", 0, "None takes LAMDA's"),
            ("channel_width_km_s", 0, "None chooses two channels a line width"),
            ("velocity_min_km_s", -math.inf, "None chooses it from the clouds"),
            ("velocity_max_km_s", -math.inf, "None chooses it from the clouds"),
        ):
            value = getattr(self, name)
            if value is not None:
                check_within(name, value, low, math.inf, remedy, open_low=True)
        first, last = self.velocity_min_km_s, self.velocity_max_km_s
        if first is not None and last is not None and not first < last:
            raise ValueError(
                f"velocity_max_km_s: expected more than velocity_min_km_s, got {last} and {first}; exchange them"
            )

    def _check_dispersion(self) -> None:
        value = self.turbulent_dispersion_km_s
        if isinstance(value, str):
            check_one_of("turbulent_dispersion_km_s", value, ("gradient",))
            if self.in_cell_velocity == "linear":
                raise ValueError(
                    'turbulent_dispersion_km_s="gradient": expected in_cell_velocity="constant", got "linear", which '
                    "already follows the velocity through each cell; leave one of them out"
                )
        else:
            check_within("turbulent_dispersion_km_s", value, 0, math.inf, 'or "gradient"')

    @property
    def molecules_per_hydrogen(self) -> float:
        """The abundance that is used."""
        return float(ABUNDANCE[self.spectral_line.molecule] if self.abundance is None else self.abundance)

    @property
    def spectral_line(self) -> Line:
        """The line with its constants."""
        line = Line.named(self.line, self.transition)
        return line if self.einstein_a_per_s is None else line.with_einstein_a(self.einstein_a_per_s)
