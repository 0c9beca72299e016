"""Spectra and structure functions of periodic fields: how much there is on which scale, along which axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import fft

from polaris_lab.clouds.simulation import AXES
from polaris_lab.parallel import thread_count


def power_spectrum(field: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the shell-averaged power of a periodic field.

    Parameters
    ----------
    field : array_like or sequence of arrays
        A map or a cube with equal sides; a sequence of components (a velocity) is summed.

    Returns
    -------
    wave_number : ndarray
        Whole numbers of waves a side, 1 to half of the cells.
    power : ndarray
        Mean |F|^2 in the shell, normalised so that its sum over all modes is the variance.

    Raises
    ------
    ValueError
        If the sides differ.
    """
    components = list(field) if isinstance(field, list | tuple) else [field]
    total, count = 0.0, 0
    for values in components:
        values = np.asarray(values, np.float64)
        if len(set(values.shape)) != 1:
            raise ValueError(f"field: expected equal sides, got {values.shape}; crop it")
        size, rank = values.shape[0], values.ndim
        axes = [np.rint(np.fft.fftfreq(size) * size)] * (rank - 1) + [np.arange(size // 2 + 1)]
        grids = np.meshgrid(*axes, indexing="ij", sparse=True)
        wave = np.sqrt(sum(grid**2 for grid in grids))
        shell = np.rint(wave).astype(int).ravel()
        twice = np.full(size // 2 + 1, 2.0)
        twice[0] = 1.0
        if size % 2 == 0:
            twice[-1] = 1.0
        weight = np.broadcast_to(twice, wave.shape).ravel()
        power = abs(fft.rfftn(values - values.mean(), workers=thread_count())) ** 2 / values.size**2
        total = total + np.bincount(shell, weight * power.ravel())[1 : size // 2 + 1]
        count = np.bincount(shell, weight)[1 : size // 2 + 1]
    return np.arange(1, len(count) + 1), total / count


def spectral_slope(field: Any, *, first: int = 3, last: int = 16) -> float:
    """Return the logarithmic slope of :func:`power_spectrum` between two wave numbers."""
    wave, power = power_spectrum(field)
    used = (wave >= first) & (wave <= last)
    if used.sum() < 2:
        raise ValueError(
            f"first, last: expected at least two wave numbers up to {wave[-1]}, got {first} .. {last}"
        )
    return float(np.polyfit(np.log(wave[used]), np.log(power[used]), 1)[0])


def structure_function(field: Any, *, order: int = 2, lags: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return <|f(x + l) - f(x)|^order> of a periodic field for lags along each axis.

    Parameters
    ----------
    field : array_like
        A map or a cube.
    order : int
        Power of the difference.
    lags : sequence of int, optional
        In cells; by default 1, 2, 4, ... to half of the smallest side.

    Returns
    -------
    lags : ndarray
        [cells]
    values : ndarray, shape (axes, lags)
        One row an axis: rows that differ tell anisotropy.
    """
    values = np.asarray(field, np.float64)
    if lags is None:
        lags = 2 ** np.arange(int(math.log2(max(min(values.shape) // 2, 1))) + 1)
    lags = np.asarray(lags, int)
    found = [
        [float((abs(np.roll(values, -int(lag), axis) - values) ** order).mean()) for lag in lags]
        for axis in range(values.ndim)
    ]
    return lags, np.array(found)


def anisotropy(field: Any, *, lag: int = 4) -> dict[str, float]:
    """Return the second-order structure function at a lag along each axis, divided by the mean of the axes.

    1 along every axis for isotropic gas; below 1 along the axis on which the field is drawn out.
    """
    _, values = structure_function(field, lags=[lag])
    mean = values.mean()
    names = AXES if values.shape[0] == 3 else ("rows", "columns")
    return {
        name: float(value / mean) if mean > 0 else 1.0
        for name, value in zip(names, values[:, 0], strict=True)
    }
