"""What every estimator takes: maps of N_H that are what they claim to be, and the size of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from polaris_lab import config

PLAUSIBLE = (1e10, 1e30)
"""Column densities [cm^-2] between which the largest pixel of a map lies, whatever the cloud: outside, the numbers
are logarithms or in another unit."""

SMALLEST_SIDE = 8
"""Pixels along each side below which a map has no scales."""


class Stored:
    """What frozen dataclasses of plain numbers share: a dict of their fields, and back."""

    def to_dict(self) -> dict[str, Any]:
        """Return its constants and choices by name, as JSON knows them."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build it from :meth:`to_dict`'s values."""
        return config.from_dict(cls, data)


class Estimator(Protocol):
    """What all estimators share."""

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return the density [cm^-3] behind a map (ny, nx) or a stack (n, ny, nx) of N_H [cm^-2]."""

    def to_dict(self) -> dict:
        """Return the constants by name, as JSON knows them."""


def checked_columns(column_density: ArrayLike, where: str) -> np.ndarray:
    """Return column densities as float64, or say what is wrong with them.

    Parameters
    ----------
    column_density : array_like
        N_H [cm^-2], any shape; NaN where blank.
    where : str
        Who asks, for the error.

    Raises
    ------
    TypeError
        If they are no real numbers, or a Quantity.
    ValueError
        If all are blank, one is zero, negative or infinite, or they can be no column densities.

    Examples
    --------
    >>> checked_columns([[21.3, 22.0]], "thickness")
    Traceback (most recent call last):
    ValueError: thickness: expected column densities [cm^-2], got values up to 22, which look like log10 N; give 10**map
    """
    if isinstance(column_density, u.Quantity):
        raise TypeError(
            f"{where}: expected column_density as a plain array in cm^-2, got a Quantity in {column_density.unit}; "
            "write column_density.to_value('cm-2')"
        )
    values = np.asarray(column_density)
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        raise TypeError(f"{where}: expected column_density as an array of real numbers, got {values.dtype}")
    values = values.astype(np.float64)
    blank = np.isnan(values)
    if blank.all():
        raise ValueError(
            f"{where}: expected at least one valid pixel, got a column density that is NaN in all {values.size}; "
            "another extension of the file may hold the map"
        )
    largest = float(np.max(values, where=~blank, initial=-np.inf))
    if 0 < largest < 100:
        raise ValueError(
            f"{where}: expected column densities [cm^-2], got values up to {largest:.4g}, which look like log10 N; "
            "give 10**map"
        )
    bad = int(np.count_nonzero((values <= 0) | np.isinf(values)))
    if bad:
        raise ValueError(
            f"{where}: expected column_density positive and finite (or NaN where blank), got {bad} of {values.size} "
            "pixels zero, negative or infinite; set blanks to NaN"
        )
    if not PLAUSIBLE[0] < largest < PLAUSIBLE[1]:
        raise ValueError(
            f"{where}: expected column densities of hydrogen nuclei [cm^-2], got values up to {largest:.4g}; "
            "convert the unit first (1 m^-2 = 1e-4 cm^-2; 1 mag of A_V is about 2e21 cm^-2)"
        )
    return values


def checked_pixel(pixel_size_pc: float, where: str) -> float:
    """Return the side of a pixel [pc] as a float, or say what is wrong with it.

    Examples
    --------
    >>> checked_pixel(0.05 * u.pc, "thickness")
    Traceback (most recent call last):
    TypeError: thickness: expected pixel_size_pc as a plain number in pc, got <Quantity 0.05 pc>; write pixel_size_pc=size.to_value('pc')
    """
    if isinstance(pixel_size_pc, u.Quantity):
        raise TypeError(
            f"{where}: expected pixel_size_pc as a plain number in pc, got {pixel_size_pc!r}; "
            "write pixel_size_pc=size.to_value('pc')"
        )
    if isinstance(pixel_size_pc, bool) or not isinstance(pixel_size_pc, int | float | np.number):
        raise TypeError(
            f"{where}: expected pixel_size_pc as a number in pc, got {pixel_size_pc!r}; write for example "
            "pixel_size_pc=0.05"
        )
    if not 0 < float(pixel_size_pc) < np.inf:
        raise ValueError(
            f"{where}: expected pixel_size_pc positive and finite [pc], got {float(pixel_size_pc):g}"
        )
    return float(pixel_size_pc)


def each_map(
    column_density: ArrayLike, estimate: Callable[[np.ndarray], np.ndarray], where: str
) -> np.ndarray:
    """Apply a function of one map to a map or to each of a stack; blank pixels are blank in the result.

    Parameters
    ----------
    column_density : array_like, shape (ny, nx) or (n, ny, nx)
        N_H [cm^-2], NaN where blank; a map of a stack may be blank everywhere.
    estimate : callable
        Takes a float64 map with at least one valid pixel, returns one of the same shape.
    where : str
        Who asks, for the error.

    Returns
    -------
    ndarray, same shape
        float32 if the map is, else float64.
    """
    given = np.asarray(column_density)
    values = checked_columns(column_density, where)
    if values.ndim not in (2, 3) or min(values.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(
            f"{where}: expected a map (ny, nx) or a stack (n, ny, nx) of at least {SMALLEST_SIDE} pixels a side, got "
            f"shape {values.shape}; smaller maps have no scales: use 'power_law' or 'thickness'"
        )
    stack = values.reshape(-1, *values.shape[-2:])
    result = np.full(stack.shape, np.nan, dtype=given.dtype if given.dtype == np.float32 else np.float64)
    for image, density in zip(stack, result, strict=True):
        valid = np.isfinite(image)
        if valid.any():
            density[valid] = estimate(image)[valid]
    return result.reshape(values.shape)


def checked_pair(
    column_density: ArrayLike, density: ArrayLike, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N_H, n_H (float64) and where both are valid, for a fit.

    Raises
    ------
    ValueError
        If the shapes differ, a pixel has no logarithm, or fewer than two are valid in both.
    """
    columns = checked_columns(column_density, where)
    target = np.asarray(density)
    if target.shape != columns.shape:
        raise ValueError(
            f"{where}: expected arrays of the same shape, got {columns.shape} (column_density) and {target.shape} "
            "(density)"
        )
    if not np.issubdtype(target.dtype, np.number) or np.issubdtype(target.dtype, np.complexfloating):
        raise TypeError(f"{where}: expected density as an array of real numbers, got {target.dtype}")
    target = target.astype(np.float64)
    bad = int(np.count_nonzero((target <= 0) | np.isinf(target)))
    if bad:
        raise ValueError(
            f"{where}: expected density positive and finite (or NaN where blank), got {bad} of {target.size} pixels "
            "zero, negative or infinite; set blanks to NaN"
        )
    valid = np.isfinite(columns) & np.isfinite(target)
    if valid.sum() < 2:
        raise ValueError(f"{where}: expected at least 2 pixels valid in both arrays, got {int(valid.sum())}")
    return columns, target, valid
