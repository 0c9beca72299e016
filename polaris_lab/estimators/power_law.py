"""The simplest estimator of density: a power law of the column density of each pixel alone.

Every network must beat it, and stands beside it in every table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polaris_lab import config

BLOCK = 2**22
"""Pixels that are held as float64 logarithms at a time."""


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """log10 n = intercept + slope log10 N, with n in cm^-3 and N in cm^-2.

    Calling it with a column density map [cm^-2 of H nuclei] gives a density map [cm^-3] of the same shape.

    Parameters
    ----------
    intercept : float
        log10 of the density [cm^-3] at N = 1 cm^-2.
    slope : float
        Exponent.
    rms_dex : float
        Root mean square of log10(n / power law) over the pixels of the fit [dex].

    Examples
    --------
    >>> import numpy as np
    >>> law = PowerLaw(intercept=-28.5, slope=1.5, rms_dex=0.0)
    >>> law(np.array([1e21, np.nan, 1e22])).round()
    array([ 1000.,    nan, 31623.])
    """

    intercept: float
    slope: float
    rms_dex: float

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float | None = None) -> np.ndarray:
        """Return the density [cm^-3] of a column density map [cm^-2]; the size of a pixel does not enter.

        Pixels that are NaN, infinite, zero or negative have no logarithm and become NaN. The type is that
        of the map, float32 or float64; the arithmetic is float64, as 10^21 cm^-2 needs it.
        """
        column_density = np.asarray(column_density)
        kind = column_density.dtype if column_density.dtype in (np.float32, np.float64) else np.float64
        density = np.full(column_density.shape, np.nan, dtype=kind)
        valid = np.isfinite(column_density) & (column_density > 0)
        log_column = np.log10(column_density[valid], dtype=np.float64)
        density[valid] = 10.0 ** (self.intercept + self.slope * log_column)
        return density

    def to_dict(self) -> dict[str, float]:
        """Return its three numbers by name."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PowerLaw:
        """Build it from :meth:`to_dict`'s values."""
        return config.from_dict(cls, data)


def fit_power_law(column_density: ArrayLike, density: ArrayLike) -> PowerLaw:
    """Fit log10 n = a + b log10 N to all pixels, by least squares in float64.

    Parameters
    ----------
    column_density : array_like
        N_H [cm^-2] of maps or patches, any shape. NaN is a blank and takes no part.
    density : array_like
        Density [cm^-3], same shape; NaN as above.

    Returns
    -------
    PowerLaw
        With the scatter about it.

    Raises
    ------
    ValueError
        If the shapes differ; a pixel is zero, negative or infinite; fewer than two pixels are valid in both;
        or all column densities are the same.

    Examples
    --------
    >>> import numpy as np
    >>> column_density = np.array([1e21, 1e22, np.nan])
    >>> law = fit_power_law(column_density, np.array([1e2, 1e4, 1e3]))
    >>> round(law.slope, 6), round(law.intercept, 6)
    (2.0, -40.0)
    """
    column_density, density = np.asarray(column_density), np.asarray(density)
    if column_density.shape != density.shape:
        raise ValueError(
            f"fit_power_law: expected arrays of the same shape, got {column_density.shape} (column_density) "
            f"and {density.shape} (density)"
        )
    _refuse_bad(column_density, "column_density")
    _refuse_bad(density, "density")
    count = sum(x.size for x, _ in _logarithms(column_density, density))
    if count < 2:
        raise ValueError(f"fit_power_law: expected at least 2 pixels valid in both arrays, got {count}")
    centre = sum(x.sum() for x, _ in _logarithms(column_density, density)) / count
    value = sum(y.sum() for _, y in _logarithms(column_density, density)) / count
    spread = sum(((x - centre) ** 2).sum() for x, _ in _logarithms(column_density, density))
    if not spread > 1e-24 * count:
        raise ValueError(
            f"fit_power_law: expected at least 2 different column densities, got {10**centre:.4g} cm^-2 in every "
            "pixel; a line through one point has no slope"
        )
    common = sum(((x - centre) * (y - value)).sum() for x, y in _logarithms(column_density, density))
    slope = common / spread
    squares = sum(
        ((y - value - slope * (x - centre)) ** 2).sum() for x, y in _logarithms(column_density, density)
    )
    return PowerLaw(
        intercept=float(value - slope * centre), slope=float(slope), rms_dex=math.sqrt(squares / count)
    )


def _logarithms(column_density: np.ndarray, density: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield log10 of the pixels valid in both, block by block, in float64."""
    flat_column, flat_density = column_density.reshape(-1), density.reshape(-1)
    for start in range(0, flat_column.size, BLOCK):
        x = np.log10(flat_column[start : start + BLOCK], dtype=np.float64)
        y = np.log10(flat_density[start : start + BLOCK], dtype=np.float64)
        valid = ~(np.isnan(x) | np.isnan(y))
        yield x[valid], y[valid]


def _refuse_bad(values: np.ndarray, name: str) -> None:
    """Refuse pixels that have no logarithm; NaN is allowed."""
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        raise TypeError(f"fit_power_law: expected {name} as an array of numbers, got {values.dtype}")
    bad = int(np.count_nonzero((values <= 0) | np.isinf(values)))
    if bad:
        raise ValueError(
            f"fit_power_law: expected {name} positive and finite (or NaN where blank), got {bad} of {values.size} "
            "pixels zero, negative or infinite; set blanks to NaN"
        )
