"""Opacity, velocity and temperature of every cell: what a ray in any direction needs to emit a line.

:func:`polaris_lab.synthesize_ppv` follows the axes of the grid. A picture from anywhere else marches
``I += j exp(-tau) ds``, ``tau += kappa ds`` through these fields instead, with the emissivity j = kappa S, the
source S = J(T) - J(T_bg) and, in the channel v,

    kappa ds = opacity / (sqrt(pi) a) <exp(-((v - u) / a)^2)> ds / cell,    a^2 = 2 sigma^2 + 2 k T / m,

u being the velocity along the ray and the mean taken over the step, as in each cell of `synthesize_ppv`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from polaris_lab.clouds.simulation import AXES, SimulationCube
from polaris_lab.radiative_transfer.choices import check_background
from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.lte import (
    CMB_TEMPERATURE,
    equivalent_temperature,
    integrated_optical_depth,
    thermal_coefficient,
)

STILL_TEMPERATURE = 10.0
"""Gas of a cube that carries no temperature is taken to be this warm [K]."""


@dataclass(frozen=True)
class LineFields:
    """What the cells of a cloud absorb and emit in a line.

    Attributes
    ----------
    opacity : ndarray, shape (nz, ny, nx), float32
        Optical depth of a cell along one of its edges, integrated over velocity [km/s].
    velocity : ndarray, shape (3, nz, ny, nx), float32
        v_z, v_y, v_x [km/s].
    temperature : ndarray, shape (nz, ny, nx) or (1, 1, 1), float32
        [K]; one value if all cells share it.
    thermal : float
        2 k / m [km^2 s^-2 K^-1]: a^2 of a line at rest over T.
    transition_temperature : float
        h nu_0 / k [K].
    background : float
        J(T_bg) [K].
    assumed : tuple of str
        What the cloud did not carry and was assumed instead, in words.
    """

    opacity: np.ndarray
    velocity: np.ndarray
    temperature: np.ndarray
    thermal: float
    transition_temperature: float
    background: float
    assumed: tuple[str, ...] = ()

    @property
    def brightest(self) -> float:
        """The largest S(T) [K]: no ray gets brighter."""
        hottest = float(self.temperature.max())
        return float(self.transition_temperature / np.expm1(self.transition_temperature / hottest)) - max(
            self.background, 0.0
        )


def line_fields(
    cube: SimulationCube,
    line: Line,
    *,
    abundance: float,
    background: Any = None,
    reduce: Callable[[Any], np.ndarray] = np.asarray,
) -> LineFields:
    """Return the fields that a ray in any direction marches through.

    Parameters
    ----------
    cube : SimulationCube
        Density [cm^-3]; without a temperature the gas is taken to have 10 K, without a velocity to be at rest,
        and `assumed` says so.
    line : Line
        The transition.
    abundance : float
        Molecules per hydrogen nucleus.
    background : Quantity, optional
        Temperature behind the cloud; by default that of the microwave background.
    reduce : callable
        Gets a field (array_like) and returns it as an array, perhaps coarser; used for all fields alike. The
        opacity stays that of an edge of the cube's own cells.

    Returns
    -------
    LineFields

    Raises
    ------
    ValueError
        If the abundance is not positive.

    References
    ----------
    Report, eq. 9.

    Examples
    --------
    >>> from astropy import units as u
    >>> cloud = SimulationCube(np.full((4, 4, 4), 1e3), cell_size=0.1 * u.pc)
    >>> fields = line_fields(cloud, Line.named("13CO"), abundance=1.4e-6)
    >>> print(f"{fields.opacity[0, 0, 0]:.4f}", fields.assumed)
    0.0649 ('gas of 10 K', 'gas at rest along z, y, x')
    """
    if not (np.isfinite(abundance) and abundance > 0):
        raise ValueError(
            f"abundance: expected a positive number of molecules per hydrogen nucleus, got {abundance}"
        )
    density = reduce(cube.density).astype(np.float32, copy=False)
    assumed = []
    if cube.temperature is None:
        kelvin = np.full((1, 1, 1), STILL_TEMPERATURE, np.float32)
        assumed.append(f"gas of {STILL_TEMPERATURE:g} K")
    else:
        kelvin = reduce(cube.temperature).astype(np.float32, copy=False)
        if np.ptp(kelvin) == 0:
            kelvin = kelvin[:1, :1, :1].copy()
    velocity = np.zeros((3, *density.shape), np.float32)
    for index, axis in enumerate(AXES):
        if axis in cube.velocity:
            velocity[index] = reduce(cube.velocity[axis])
    still = [axis for axis in AXES if axis not in cube.velocity]
    if still:
        assumed.append(f"gas at rest along {', '.join(still)}")
    strength = integrated_optical_depth(line, kelvin) * (abundance * cube.cell_size_cm)
    kelvin_behind = CMB_TEMPERATURE if background is None else check_background(background)
    return LineFields(
        opacity=(density * strength).astype(np.float32),
        velocity=velocity,
        temperature=kelvin,
        thermal=thermal_coefficient(line),
        transition_temperature=line.transition_temperature,
        background=float(equivalent_temperature(line, kelvin_behind)) if kelvin_behind > 0 else 0.0,
        assumed=tuple(assumed),
    )
