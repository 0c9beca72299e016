"""Local thermodynamic equilibrium: partition function, populations, widths, optical depth.

Every level is populated by collisions at the temperature of the gas. **Where that fails**: well below the
critical density (A over the collision rate; about 2e3 cm^-3 of H2 for 13CO 1-0, more for higher lines and
less for 12CO, whose photons are trapped) the line is excited below the kinetic temperature, and LTE makes the
diffuse envelope of a cloud too bright. Infrared pumping, masers and hyperfine structure are outside it too.

Functions take the temperature in kelvin as a number or an array of any shape, and return float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.units import BOLTZMANN, SPEED_OF_LIGHT

CMB_TEMPERATURE = 2.72548
"""Cosmic microwave background [K] (Fixsen 2009, ApJ 707, 916)."""

KM = 1e5
"""Centimetres in a kilometre."""


def partition_function(line: Line, temperature: ArrayLike) -> np.ndarray:
    """Partition function Z(T), the sum over all levels of the molecule.

    Parameters
    ----------
    line : Line
        Any line of the molecule.
    temperature : array_like
        Excitation temperature [K], positive.

    Returns
    -------
    ndarray
        sum of g exp(-E/kT), with the shape of `temperature`.

    Raises
    ------
    ValueError
        If a temperature is not positive and finite.

    Examples
    --------
    >>> print(f"{partition_function(Line.named('13CO'), 10.0):.6f}")
    4.133534
    """
    kelvin = _positive(temperature)
    total = np.zeros_like(kelvin)
    for weight, energy in zip(line.level_weights, line.level_temperatures, strict=True):
        total += weight * np.exp(-energy / kelvin)
    return total[()]


def level_populations(line: Line, temperature: ArrayLike) -> np.ndarray:
    """Fraction of the molecules in each level.

    Parameters
    ----------
    line : Line
        Any line of the molecule.
    temperature : array_like
        Excitation temperature [K], positive.

    Returns
    -------
    ndarray, shape (*temperature.shape, levels)
        g exp(-E/kT) / Z; the last axis sums to 1.
    """
    kelvin = _positive(temperature)[..., None]
    boltzmann = np.array(line.level_weights) * np.exp(-np.array(line.level_temperatures) / kelvin)
    return boltzmann / boltzmann.sum(-1, keepdims=True)


def equivalent_temperature(line: Line, temperature: ArrayLike) -> np.ndarray:
    """Rayleigh-Jeans brightness of a black body at the line's frequency, J(T).

    Parameters
    ----------
    line : Line
        Gives T_0 = h nu_0 / k.
    temperature : array_like
        [K], positive.

    Returns
    -------
    ndarray
        T_0 / (exp(T_0/T) - 1) [K]; close to T - T_0/2 where T is large.

    Examples
    --------
    >>> print(f"{equivalent_temperature(Line.named('13CO'), CMB_TEMPERATURE):.6f}")
    0.887042
    """
    ratio = line.transition_temperature / _positive(temperature)
    with np.errstate(over="ignore"):
        return (line.transition_temperature / np.expm1(ratio))[()]


def line_width(line: Line, temperature: ArrayLike, turbulent_dispersion: ArrayLike = 0.0) -> np.ndarray:
    """Half width a of the line where it falls to 1/e.

    Parameters
    ----------
    line : Line
        Gives the mass.
    temperature : array_like
        Kinetic temperature [K], positive.
    turbulent_dispersion : array_like
        One-dimensional dispersion sigma of unresolved motion [km/s]; b = sqrt(2) sigma.

    Returns
    -------
    ndarray
        a = sqrt(2 sigma^2 + 2kT/m) [km/s]; the full width at half maximum is 2 sqrt(ln 2) a.

    Examples
    --------
    >>> print(f"{line_width(Line.named('13CO'), 10.0):.6f}")
    0.075724
    """
    thermal = thermal_coefficient(line) * _positive(temperature)
    return np.sqrt(2 * np.square(np.asarray(turbulent_dispersion, dtype=float)) + thermal)[()]


def thermal_coefficient(line: Line) -> float:
    """a^2 / T of a line at rest, 2k/m [km^2 s^-2 K^-1]."""
    return 2 * BOLTZMANN / line.mass_g / KM**2


def integrated_optical_depth(line: Line, temperature: ArrayLike) -> np.ndarray:
    """Optical depth integrated over velocity, for one molecule per cm^2.

    Parameters
    ----------
    line : Line
        The transition.
    temperature : array_like
        Excitation temperature [K], positive.

    Returns
    -------
    ndarray
        integral of tau dv / N [km s^-1 cm^2]:
        c^3 A g_u/(8 pi nu_0^3) exp(-E_l/kT)/Z (1 - exp(-h nu_0/kT)).

    Examples
    --------
    >>> print(f"{1e15 * integrated_optical_depth(Line.named('13CO'), 10.0):.6f}")
    0.150298
    """
    kelvin = _positive(temperature)
    constant = SPEED_OF_LIGHT**3 * line.einstein_a / (8 * np.pi * line.rest_frequency_hz**3) / KM
    weight = line.level_weights[line.upper]
    lower = np.exp(-line.level_temperatures[line.lower] / kelvin) / partition_function(line, kelvin)
    return (constant * weight * lower * -np.expm1(-line.transition_temperature / kelvin))[()]


def thin_brightness(line: Line, temperature: ArrayLike, background: float = CMB_TEMPERATURE) -> np.ndarray:
    """Integrated brightness of optically thin gas, for one molecule per cm^2.

    Returns
    -------
    ndarray
        f(T) = (J(T) - J(T_bg)) x integral of tau dv / N [K km s^-1 cm^2].
    """
    contrast = equivalent_temperature(line, temperature) - equivalent_temperature(line, background)
    return contrast * integrated_optical_depth(line, temperature)


def _positive(temperature: ArrayLike) -> np.ndarray:
    kelvin = np.asarray(temperature, dtype=np.float64)
    if not (np.isfinite(kelvin).all() and (kelvin > 0).all()):
        bad = kelvin[~(np.isfinite(kelvin) & (kelvin > 0))]
        raise ValueError(f"temperature: expected positive finite values in K, got {bad.flat[0]}")
    return kelvin
