"""What a simulated cloud needs to resemble an observed one: mean density, Mach number and size from a map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.synthetic import sound_speed
from polaris_lab.units import ATOMIC_MASS, BOLTZMANN, PARSEC, positive

FWHM_PER_DISPERSION = math.sqrt(8 * math.log(2))
"""Full width at half maximum of a Gaussian line in units of its dispersion."""

SMALLEST_PIXELS = 16
"""Valid pixels that a map needs to stand for a cloud."""


def resembling(
    column_density: Any,
    *,
    pixel_size: u.Quantity,
    line_width: u.Quantity,
    flow_temperature: u.Quantity = 10 * u.K,
    depth: u.Quantity | None = None,
    tracer_mass: u.Quantity | None = None,
) -> dict[str, Any]:
    """Return the arguments that make :func:`simulate` (or :func:`synthetic_cloud`) resemble an observed cloud.

    The side of the box is that of a square with the area of the valid pixels, the mean density the mean column density
    over the depth, the Mach number sqrt(3) times the non-thermal dispersion of the line over the sound speed. With the default
    depth the box has the mass of the map and its mean column density.

    Parameters
    ----------
    column_density : array_like, shape (y, x)
        N_H [cm^-2], hydrogen nuclei (double a map of H2); NaN, zero and negative pixels count as blank.
    pixel_size : Quantity
        Side of a pixel at the distance of the cloud, a length.
    line_width : Quantity
        Full width at half maximum of a line across the whole cloud (the line of the summed spectrum), a velocity.
    flow_temperature : Quantity
        Of the gas.
    depth : Quantity, optional
        Extent along the line of sight; by default the side of the box. It changes the mean density, not the box: the box
        of a sheet has the density of the sheet and a larger column density.
    tracer_mass : Quantity, optional
        Mass of the molecule of the line, for example ``29 * u.u`` for 13CO: its thermal motion is taken off. By default
        nothing is.

    Returns
    -------
    dict
        ``box_size``, ``mean_density``, ``mach_number``, ``flow_temperature``.

    Raises
    ------
    ValueError, TypeError, UnitsError
        For a map without valid pixels, or a line no wider than its thermal width.

    References
    ----------
    Report, section 5: possibility 1, simulations made to resemble the observed cloud.

    Examples
    --------
    >>> cloud = resembling(np.full((64, 64), 9.3e21), pixel_size=0.1 * u.pc, line_width=2.0 * u.km / u.s)
    >>> print(f"{cloud['box_size']:.2f}, {cloud['mean_density']:.0f}, Mach {cloud['mach_number']:.1f}")
    6.40 pc, 471 1 / cm3, Mach 7.8
    >>> from polaris_lab.clouds import simulate
    >>> simulate(16, turnover_times=0.1, free_fall_times=0, progress=False, **cloud).shape
    (16, 16, 16)
    """
    column = np.asarray(column_density, np.float64)
    if column.ndim != 2:
        raise ValueError(f"column_density: expected a map with axes (y, x), got shape {column.shape}")
    valid = column[np.isfinite(column) & (column > 0)]
    if valid.size < SMALLEST_PIXELS:
        raise ValueError(
            f"column_density: expected at least {SMALLEST_PIXELS} pixels with a positive value in cm^-2, got {valid.size}; "
            "take a logarithmic map to the power, 10**map"
        )
    pixel = positive(pixel_size, u.pc, "pixel_size")
    temperature = positive(flow_temperature, u.K, "flow_temperature")
    side = pixel * math.sqrt(valid.size)
    reach = side if depth is None else positive(depth, u.pc, "depth")
    dispersion = positive(line_width, u.km / u.s, "line_width") * 1e5 / FWHM_PER_DISPERSION
    thermal = 0.0
    if tracer_mass is not None:
        thermal = BOLTZMANN * temperature / (positive(tracer_mass, u.u, "tracer_mass") * ATOMIC_MASS)
    if dispersion**2 <= thermal:
        raise ValueError(
            f"line_width: expected more than the thermal width of {math.sqrt(thermal) / 1e5 * FWHM_PER_DISPERSION:.3g} km/s "
            f"at {temperature:g} K, got {dispersion / 1e5 * FWHM_PER_DISPERSION:.3g} km/s; check the unit and flow_temperature"
        )
    return {
        "box_size": side * u.pc,
        "mean_density": float(valid.mean()) / (reach * PARSEC) * u.cm**-3,
        "mach_number": math.sqrt(3 * (dispersion**2 - thermal)) / sound_speed(temperature),
        "flow_temperature": temperature * u.K,
    }
