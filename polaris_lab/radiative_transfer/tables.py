"""What a cell's temperature decides, tabulated once: opacity and source function.

The float32 kernels need kappa(T) and J(T) - J(T_bg) for every cell; the sum over 41 levels is done here for a
few thousand temperatures instead. Points are spaced evenly within each octave, so that the leading bits of a
float32 temperature are its index, and as densely as an interpolation error of 3e-6 asks for. The float64 path
interpolates ln kappa with a spline in ln T (error below 1e-10).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.lte import equivalent_temperature, integrated_optical_depth

_ACCURACY = 3e-6
_SHIFTS = (15, 14, 13, 12, 11, 10)  # 256 to 8192 points an octave


class Tables(NamedTuple):
    """Tables for :func:`polaris_lab.radiative_transfer.kernels.constant_rays`."""

    values: np.ndarray
    """(4, n) float32: kappa [km/s per (density x scale)], its step, source [K], its step."""
    shift: np.int32
    """Bits of the fraction between two points."""
    offset: np.int32
    """Leading bits of the first temperature."""


def temperature_tables(
    line: Line, lowest: float, highest: float, *, background: float, scale: float
) -> Tables:
    """Tabulate opacity and source over a range of temperatures (rounded outwards to octaves).

    Parameters
    ----------
    line : Line
        The transition.
    lowest, highest : float
        Temperatures that must be covered [K].
    background : float
        Temperature of the radiation behind the cloud [K]; 0 for none.
    scale : float
        Molecules per cm^2 for a density of 1 in one cell, over sqrt(pi): X dz / sqrt(pi).

    Returns
    -------
    Tables
        Of scale x (integrated optical depth) and J(T) - J(T_bg).
    """
    first, last = int(np.floor(np.log2(lowest))), int(np.floor(np.log2(highest))) + 1
    return _octaves(line, first, last, float(background), float(scale))


@functools.lru_cache(maxsize=32)
def _octaves(line: Line, first: int, last: int, background: float, scale: float) -> Tables:
    for shift in _SHIFTS:
        points = 1 << (23 - shift)
        steps = np.arange((last - first) * points + 1)
        kelvin = np.ldexp(1 + (steps % points) / points, first + steps // points)
        kappa, source = _exact(line, kelvin, background)
        middle = np.sqrt(kelvin[:-1] * kelvin[1:])[:: max(1, points // 64)]
        true_kappa, true_source = _exact(line, middle, background)
        error = np.abs(np.interp(middle, kelvin, kappa) - true_kappa) / true_kappa.clip(1e-300)
        error = np.maximum(error, np.abs(np.interp(middle, kelvin, source) - true_source) / middle)
        if error.max() < _ACCURACY:
            break
    values = np.array([scale * kappa[:-1], scale * np.diff(kappa), source[:-1], np.diff(source)])
    return Tables(
        np.ascontiguousarray(values, dtype=np.float32), np.int32(shift), np.int32((first + 127) * points)
    )


def _exact(line: Line, kelvin: np.ndarray, background: float) -> tuple[np.ndarray, np.ndarray]:
    return integrated_optical_depth(line, kelvin), equivalent_temperature(
        line, kelvin
    ) - background_brightness(line, background)


def background_brightness(line: Line, background: float) -> float:
    """J(T_bg) [K]; 0 for no background."""
    return float(equivalent_temperature(line, background)) if background > 0 else 0.0


@functools.lru_cache(maxsize=32)
def _log_opacity(line: Line, first: int, last: int) -> CubicSpline:
    log_kelvin = np.linspace(first * np.log(2), last * np.log(2), 512 * (last - first) + 1)
    with np.errstate(divide="ignore"):
        values = np.log(integrated_optical_depth(line, np.exp(log_kelvin)).clip(1e-300))
    return CubicSpline(log_kelvin, values)


def opacity(line: Line, temperature: np.ndarray) -> np.ndarray:
    """Integrated optical depth per molecule [km s^-1 cm^2] in float64, by spline (error below 1e-10)."""
    first = int(np.floor(np.log2(temperature.min())))
    last = int(np.floor(np.log2(temperature.max()))) + 1
    return np.exp(_log_opacity(line, first, last)(np.log(temperature, dtype=np.float64)))
