"""The oldest estimate of a density: the column density over the thickness of the cloud."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from polaris_lab.estimators.maps import Stored, checked_columns, checked_pair, checked_pixel
from polaris_lab.units import PARSEC


@dataclasses.dataclass(frozen=True)
class Thickness(Stored):
    """n = N / l with one thickness l for every line of sight.

    Exact for a uniform slab. The size of the pixel does not enter: l is a length of the cloud.

    Parameters
    ----------
    thickness_pc : float
        l [pc].
    rms_dex : float
        Scatter of log10(n / estimate) over the pixels of the fit [dex].

    Examples
    --------
    >>> estimate = Thickness(thickness_pc=1.0)
    >>> estimate(np.array([[3.0857e21]]), pixel_size_pc=0.05).round()
    array([[1000.]])
    """

    thickness_pc: float
    rms_dex: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.thickness_pc < np.inf:
            raise ValueError(f"thickness_pc: expected a positive length [pc], got {self.thickness_pc!r}")

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return the density [cm^-3] behind N_H [cm^-2], any shape; NaN where blank."""
        checked_pixel(pixel_size_pc, "thickness")
        kind = np.float32 if np.asarray(column_density).dtype == np.float32 else np.float64
        return (checked_columns(column_density, "thickness") / (self.thickness_pc * PARSEC)).astype(kind)


def fit_thickness(column_density: ArrayLike, density: ArrayLike) -> Thickness:
    """Fit the thickness: the geometric mean of N/n, which has the least squares in log n.

    Parameters
    ----------
    column_density : array_like
        N_H [cm^-2], any shape; NaN takes no part.
    density : array_like
        n_H [cm^-3], same shape.

    Returns
    -------
    Thickness

    Raises
    ------
    ValueError
        If the shapes differ, a pixel has no logarithm, or fewer than two are valid in both.

    Examples
    --------
    >>> fit_thickness([[3.0856775814913673e21, 6e21]], [[1e3, 1.9445e3]]).thickness_pc.__round__(3)
    1.0
    """
    columns, target, valid = checked_pair(column_density, density, "fit_thickness")
    log_length = np.log10(columns[valid] / target[valid] / PARSEC)
    return Thickness(thickness_pc=float(10.0 ** log_length.mean()), rms_dex=float(log_length.std()))
