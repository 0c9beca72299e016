"""What a user may ask of `synthesize_ppv`, checked: each error says what was expected, what came and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.config import did_you_mean
from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.lte import thermal_coefficient
from polaris_lab.radiative_transfer.rays import Face, read_rays
from polaris_lab.units import to_unit

KMS = u.km / u.s


def check_choice(value: Any, name: str, known: tuple[str, ...]) -> str:
    """Return `value` if it is one of the known words."""
    if value not in known:
        raise ValueError(f"{name}: unknown {value!r}: {did_you_mean(str(value), known)}")
    return value


def check_lines(line: Any) -> tuple[tuple[Line, ...], bool]:
    """Return the lines asked for, and whether there may be several."""
    several = isinstance(line, Sequence) and not isinstance(line, str)
    lines = tuple(line) if several else (line,)
    if not lines:
        raise ValueError("line: expected at least one Line, got an empty sequence")
    for item in lines:
        if not isinstance(item, Line):
            raise TypeError(f'line: expected a Line, got {item!r}; write Line.named("13CO", "1-0")')
    return lines, several


def check_velocity(velocity: Any) -> np.ndarray:
    """Return channel centres in km/s: one-dimensional, finite, ascending.

    Raises
    ------
    TypeError, UnitsError, ValueError
        Without a unit, with one that is no velocity (a frequency is told how to convert), or out of order.
    """
    remedy = "write for example velocity=np.linspace(-5, 5, 101) * u.km / u.s"
    if not isinstance(velocity, u.Quantity):
        raise TypeError(
            f"velocity: expected a Quantity with the channel centres, got {_kind(velocity)}; {remedy}"
        )
    if velocity.unit.is_equivalent(u.Hz):
        raise u.UnitsError(
            f"velocity: expected km/s, got frequencies in {velocity.unit}; convert them with "
            "velocity.to(u.km / u.s, u.doppler_radio(line.rest_frequency)) and sort them"
        )
    if not velocity.unit.is_equivalent(KMS):
        raise u.UnitsError(f"velocity: expected km/s, got {velocity.unit.to_string() or 'no unit'}; {remedy}")
    channels = np.atleast_1d(velocity.to_value(KMS)).astype(np.float64)
    if channels.ndim != 1 or channels.size < 1:
        raise ValueError(f"velocity: expected a one-dimensional array, got shape {velocity.shape}; {remedy}")
    if not np.isfinite(channels).all():
        raise ValueError(
            f"velocity: expected finite channel centres, got {channels[~np.isfinite(channels)][0]}"
        )
    if (np.diff(channels) <= 0).any():
        at = int(np.argmax(np.diff(channels) <= 0))
        raise ValueError(
            f"velocity: expected ascending channel centres, got {channels[at]:.6g} followed by "
            f"{channels[at + 1]:.6g} km/s; sort them with np.sort(velocity)"
        )
    return channels


def check_abundance(abundance: Any, shape: tuple[int, ...], lines: int) -> tuple[Any, ...]:
    """Return one abundance a line, each a number or an array of the cube's shape."""
    listed = isinstance(abundance, list | tuple)
    if listed and len(abundance) != lines:
        raise ValueError(f"abundance: expected one for each of the {lines} lines, got {len(abundance)}")
    return tuple(_abundance(item, shape) for item in (abundance if listed else [abundance] * lines))


def _abundance(value: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(value, u.Quantity):
        value = value.to_value(u.dimensionless_unscaled)
    if isinstance(value, bool | str) or value is None:
        raise TypeError(f"abundance: expected molecules per hydrogen nucleus, such as 1.4e-6, got {value!r}")
    if np.ndim(value) == 0:
        number = float(value)
        if not (np.isfinite(number) and number >= 0):
            raise ValueError(
                f"abundance: expected zero or more molecules per hydrogen nucleus, got {number:g}; 13CO has 1.4e-6"
            )
        return number
    if tuple(value.shape) != tuple(shape):
        raise ValueError(
            f"abundance: expected the shape of the density {tuple(shape)}, got {tuple(value.shape)}"
        )
    return not_negative(value, "abundance") if _in_memory(value) else value


def check_dispersion(value: Any, shape: tuple[int, ...], linear: bool) -> Any:
    """Return the 1D dispersion in km/s: a float, an array of the cube's shape, or "gradient"."""
    if value is None:
        return 0.0
    if isinstance(value, str):
        check_choice(value, "turbulent_dispersion", ("gradient",))
        if linear:
            raise ValueError(
                'turbulent_dispersion="gradient": expected in_cell_velocity="constant", got "linear", which already '
                "follows the velocity through each cell and would count the gradient twice; leave one of them out"
            )
        return value
    if isinstance(value, u.Quantity):
        if value.isscalar:
            number = to_unit(value, KMS, "turbulent_dispersion")
            if number < 0:
                raise ValueError(f"turbulent_dispersion: expected zero or more, got {value}")
            return number
        if not value.unit.is_equivalent(KMS):
            raise u.UnitsError(
                f"turbulent_dispersion: expected km/s, got {value.unit.to_string() or 'no unit'}"
            )
        value = value.to_value(KMS)
    if np.ndim(value) == 0:
        return to_unit(value, KMS, "turbulent_dispersion")  # says that a unit is missing
    if tuple(value.shape) != tuple(shape):
        raise ValueError(
            f"turbulent_dispersion: expected the shape of the density {tuple(shape)}, got {tuple(value.shape)}"
        )
    return not_negative(value, "turbulent_dispersion") if _in_memory(value) else value


def _in_memory(values: Any) -> bool:
    """Whether an array can be checked now; what is read lazily is checked block by block."""
    return isinstance(values, np.ndarray) and not isinstance(values, np.memmap)


def not_negative(values: Any, name: str) -> Any:
    """Return numbers that are finite and zero or more, or raise ValueError."""
    if np.ndim(values) and not (np.min(values) >= 0 and np.max(values) < np.inf):
        raise ValueError(
            f"{name}: expected finite values of zero or more, got a lowest value of {np.min(values)}"
        )
    return values


def check_background(background: Any) -> float:
    """Return the temperature behind the cloud [K], 0 for none."""
    kelvin = 0.0 if background is None else to_unit(background, u.K, "background")
    if kelvin < 0:
        raise ValueError(f"background: expected a temperature of 0 K or more, got {background}")
    return kelvin


def gradient_dispersion(velocity: np.ndarray) -> np.ndarray:
    """Sub-cell dispersion of the report: rms of a velocity that is linear through each cell.

    Parameters
    ----------
    velocity : ndarray, shape (depth, rays)
        [km/s].

    Returns
    -------
    ndarray
        |v(i+1) - v(i-1)| / 2 / sqrt(12) [km/s]; at the two ends the step to the one neighbour over sqrt(12).
    """
    if len(velocity) < 2:
        return np.zeros_like(velocity)
    return np.abs(np.gradient(velocity, axis=0)) / np.float32(np.sqrt(12))


def default_velocity(
    cube: SimulationCube, face: Face, lines: tuple[Line, ...], dispersion: Any
) -> np.ndarray:
    """Choose channels from the cube: all of its velocities and four line widths more, two channels a line width.

    At most 1024 channels, of a round width [km/s].
    """
    slowest, fastest, coldest, hottest = np.inf, -np.inf, np.inf, 0.0
    motion = cube.velocity_along(face.axis)
    rows = max(1, 2**24 // (face.depth * face.columns))
    for start in range(0, face.rows, rows):
        stop = min(start + rows, face.rows)
        v, t = read_rays(motion, face, start, stop), read_rays(cube.temperature, face, start, stop)
        slowest, fastest = min(slowest, float(v.min())), max(fastest, float(v.max()))
        coldest, hottest = min(coldest, float(t.min())), max(hottest, float(t.max()))
    if not (np.isfinite([slowest, fastest, hottest]).all() and coldest > 0):
        raise ValueError(
            "velocity, temperature: expected finite velocities and positive temperatures, got velocities from "
            f"{slowest} to {fastest} km/s and temperatures from {coldest} to {hottest} K"
        )
    low, high = (
        (0.0, 0.0) if isinstance(dispersion, str) else (float(np.min(dispersion)), float(np.max(dispersion)))
    )
    thermal = [thermal_coefficient(line) for line in lines]
    narrow = np.sqrt(2 * low**2 + min(thermal) * coldest)
    wide = np.sqrt(2 * high**2 + max(thermal) * hottest)
    first, last = slowest - 4 * wide, fastest + 4 * wide
    step = max(narrow / 2, (last - first) / 1024)
    decade = 10 ** np.floor(np.log10(step))
    step = max(width * decade for width in (1, 2, 5) if width * decade <= step * (1 + 1e-9))
    if (last - first) / step > 1024:
        step *= 2.5
    return step * np.arange(np.floor(first / step), np.ceil(last / step) + 1)


def _kind(value: Any) -> str:
    return f"{type(value).__name__} without a unit"
