"""What the options of a line cube say, turned into quantities; each error names its option."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

    from polaris_lab.radiative_transfer import Line

MOST_CHANNELS = 100_000
"""More of them are taken for a slip of the pen."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
"""A number as it is written in an option."""

VELOCITY_EXAMPLE = '"-5 5 0.1 km/s"'


def parse_line(text: str) -> Line:
    """Return the line that MOLECULE:TRANSITION names; the molecule may be a LAMDA file, the transition is 1-0 by default.

    Raises
    ------
    ValueError
        An unknown molecule or transition, with the nearest known one.

    Examples
    --------
    >>> parse_line("13CO:2-1").name
    '13CO 2-1'
    >>> parse_line("C18O").name
    'C18O 1-0'
    """
    from polaris_lab.radiative_transfer import Line

    molecule, colon, transition = text.rpartition(":")
    if not colon or Path(text).is_file():
        molecule, transition = text, "1-0"
    if Path(molecule).is_file() or molecule.endswith(".dat"):
        return Line.from_lamda(molecule, transition)
    try:
        return Line.named(molecule, transition)
    except ValueError as error:
        hint = str(error).replace("Line.from_lamda(path)", "--line FILE.dat:1-0")
        hint = hint.replace("Line.from_lamda(path, transition=...)", "--line FILE.dat:TRANSITION")
        raise ValueError(f"--line {text}: {hint}") from error


def parse_velocity(text: str | None) -> u.Quantity | None:
    """Return the centres of channels written as lowest, highest, step and unit.

    Raises
    ------
    ValueError
        If it is no such text, has no unit of velocity, or does not ascend.

    Examples
    --------
    >>> parse_velocity("-1 1 0.5 km/s")
    <Quantity [-1. , -0.5,  0. ,  0.5,  1. ] km / s>
    """
    if text is None:
        return None
    found = re.fullmatch(rf"\s*({NUMBER})[\s,:]+({NUMBER})[\s,:]+({NUMBER})\s*(.*?)\s*", text)
    if not found:
        raise ValueError(
            f"--velocity: expected lowest and highest channel, step and unit such as {VELOCITY_EXAMPLE}, got {text!r}"
        )
    low, high, step = (float(word) for word in found.groups()[:3])
    unit = _velocity_unit(found.group(4), text)
    if not (low < high and 0 < step <= high - low):
        raise ValueError(
            f"--velocity: expected ascending channels, the lowest first and a step above 0 that fits between, got {text!r}; "
            f"write for example {VELOCITY_EXAMPLE}"
        )
    count = np.floor((high - low) / step + 1e-6) + 1
    if count > MOST_CHANNELS:
        raise ValueError(
            f"--velocity: expected at most {MOST_CHANNELS} channels, got {count:.3g} in {text!r}; is the step in {unit}?"
        )
    return (low + step * np.arange(int(count))) * unit


def _velocity_unit(name: str, text: str) -> u.UnitBase:
    try:
        unit = u.Unit(name)
    except ValueError as error:
        raise ValueError(
            f"--velocity: expected a unit of velocity such as {VELOCITY_EXAMPLE}, got {text!r}"
        ) from error
    if unit.is_equivalent(u.Hz):
        raise ValueError(
            f"--velocity: expected km/s, got frequencies in {text!r}; give v = c (1 - nu/nu_0), the radio convention"
        )
    if not unit.is_equivalent(u.km / u.s):
        raise ValueError(
            f"--velocity: expected a unit of velocity such as {VELOCITY_EXAMPLE}, got {name or 'no unit'} in {text!r}"
        )
    return unit


def parse_quantity(
    text: str, units: str | tuple[str, ...], option: str, example: str, *, positive: bool = False
) -> u.Quantity:
    """Return a number with a unit that converts to (one of) `units`.

    Raises
    ------
    ValueError
        If it has no unit, another one, or is negative, NaN or infinite (or zero where it must be positive).

    Examples
    --------
    >>> parse_quantity("200 m/s", "km/s", "--turbulent-dispersion", "0.2 km/s")
    <Quantity 200. m / s>
    """
    units = (units,) if isinstance(units, str) else units
    try:
        number, unit = re.fullmatch(rf"\s*({NUMBER})\s*([A-Za-z].*|)", text).groups()
        value = float(number) * u.Unit(unit)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f'{option}: expected a number and a unit such as "{example}", got {text!r}'
        ) from error
    if not any(value.unit.is_equivalent(unit) for unit in units):
        raise ValueError(
            f'{option}: expected a number in {" or ".join(units)} such as "{example}", got {text!r}; '
            "the unit is not optional"
        )
    if not (value.value > 0 if positive else value.value >= 0) or not np.isfinite(value.value):
        raise ValueError(
            f'{option}: expected a {"positive number" if positive else "number of zero or more"} such as "{example}", '
            f"got {text!r}"
        )
    return value


def parse_dispersion(text: str | None) -> u.Quantity | str | None:
    """Return a turbulent dispersion: a velocity, "gradient", or None.

    Examples
    --------
    >>> parse_dispersion("0.2 km/s")
    <Quantity 0.2 km / s>
    """
    if text is None or text == "gradient":
        return text
    return parse_quantity(text, "km/s", "--turbulent-dispersion", "0.2 km/s")


def parse_center(text: str | None) -> SkyCoord | None:
    """Return a position (ICRS) in degrees, or sexagesimal with colons or letters.

    Raises
    ------
    ValueError
        If it cannot be read.

    Examples
    --------
    >>> position = parse_center("05:41:00 -01:51:00")
    >>> print(f"{position.ra.deg:.2f} {position.dec.deg:.2f}")
    85.25 -1.85
    """
    if text is None:
        return None
    from astropy.coordinates import SkyCoord

    try:
        return SkyCoord(text, unit=(u.hourangle if ":" in text else u.deg, u.deg))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'--center: expected right ascension and declination such as "85.25 -1.85" or "05:41:00 -01:51:00", got {text!r}'
        ) from error


def parse_pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """Return words of the form NAME=VALUE as a mapping.

    Examples
    --------
    >>> parse_pairs(["density=rho", "velocity_z=vz"], "--field")
    {'density': 'rho', 'velocity_z': 'vz'}
    """
    pairs = {}
    for text in texts or ():
        name, equals, value = (word.strip() for word in text.partition("="))
        if not (name and equals and value):
            raise ValueError(f'{option}: expected NAME=VALUE such as "density=rho", got {text!r}')
        pairs[name] = value
    return pairs
