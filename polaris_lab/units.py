"""Physical constants in cgs, and the one door from quantities to floats.

Public functions take scalars as :class:`astropy.units.Quantity` and convert once with
:func:`to_cgs` or :func:`to_unit`; everything inside works on plain floats and arrays.
"""

import math

from astropy import units as u

PARSEC = 3.0856775814913673e18
"""Parsec [cm] (IAU 2015 resolution B2)."""

HYDROGEN_MASS = 1.6735328e-24
"""Mass of a hydrogen atom [g] (CODATA 2018: m_p + m_e)."""

MEAN_MASS_PER_HYDROGEN = 1.4
"""Gas mass per hydrogen nucleus in units of `HYDROGEN_MASS` (helium included): rho = 1.4 m_H n_H."""

HYDROGEN_PER_H2 = 2.0
"""Hydrogen nuclei in one H2 molecule: N_H = 2 N(H2)."""

SPEED_OF_LIGHT = 2.99792458e10
"""Speed of light [cm s^-1] (SI definition)."""

PLANCK = 6.62607015e-27
"""Planck constant [erg s] (SI definition)."""

BOLTZMANN = 1.380649e-16
"""Boltzmann constant [erg K^-1] (SI definition)."""

ATOMIC_MASS = 1.66053906660e-24
"""Atomic mass constant [g] (CODATA 2018)."""

SOLAR_MASS = 1.988409870698051e33
"""Mass of the Sun [g] (IAU 2015 nominal GM over the CODATA 2018 G)."""

GRAVITATION = 6.67430e-8
"""Gravitational constant [cm^3 g^-1 s^-2] (CODATA 2018)."""


def to_unit(value: u.Quantity, unit: u.UnitBase | str, name: str) -> float:
    """Return a scalar quantity as a float in `unit`.

    Parameters
    ----------
    value : Quantity
        A finite scalar with a unit that converts to `unit`.
    unit : Unit or str
        Target unit.
    name : str
        What the caller calls the value; it stands in the error.

    Returns
    -------
    float
        The value in `unit`.

    Raises
    ------
    TypeError
        If `value` is a bare number.
    UnitsError
        If the unit does not convert.
    ValueError
        If it is not one finite number.

    Examples
    --------
    >>> from astropy import units as u
    >>> to_unit(0.3 * u.kpc, "pc", "distance")
    300.0
    """
    unit = u.Unit(unit)
    if not isinstance(value, u.Quantity):
        raise TypeError(
            f"{name}: expected a Quantity with a unit that converts to {unit}, got {value!r}; "
            f"write for example {name}={_example(value)} * u.{unit}"
        )
    try:
        converted = value.to(unit)
    except u.UnitConversionError as error:
        raise u.UnitsError(
            f"{name}: expected a unit that converts to {unit}, got {str(value.unit) or 'no unit'}; "
            f"write for example {name}=1 * u.{unit}"
        ) from error
    if converted.size != 1 or not math.isfinite(float(converted.value)):
        raise ValueError(f"{name}: expected one finite number in {unit}, got {value!r}")
    return float(converted.value)


def to_cgs(value: u.Quantity, name: str) -> float:
    """Return a scalar quantity as a float in its cgs unit (errors as in :func:`to_unit`).

    Examples
    --------
    >>> from astropy import units as u
    >>> to_cgs(1 * u.km / u.s, "velocity")
    100000.0
    """
    if not isinstance(value, u.Quantity):
        raise TypeError(f"{name}: expected a Quantity, got {value!r}; give it a unit from astropy.units")
    return to_unit(value, value.cgs.unit, name)


def positive(value: u.Quantity, unit: u.UnitBase | str, name: str) -> float:
    """Return :func:`to_unit` of a quantity that must be greater than zero.

    Examples
    --------
    >>> from astropy import units as u
    >>> positive(140 * u.pc, "pc", "distance")
    140.0
    """
    number = to_unit(value, unit, name)
    if number <= 0:
        raise ValueError(f"{name}: expected a positive number in {u.Unit(unit)}, got {number:g}")
    return number


def _example(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else "1"
