"""AVIATOR-type reconstruction: a map cut into slices of column density, each turned into bodies that are round."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from polaris_lab.estimators.inscribed import half_depths
from polaris_lab.estimators.maps import Stored, checked_pixel, each_map
from polaris_lab.estimators.slices import cut, full_depth, mean_density, profiles
from polaris_lab.estimators.smoothing import fill_smoothly
from polaris_lab.units import PARSEC

STEP = 0.05
"""Height of a slice over its level."""


@dataclasses.dataclass(frozen=True)
class Aviator(Stored):
    """<n>_M of a cloud whose contours are the outlines of round bodies (inverse Abel transform, slice by slice).

    The map is cut into slices of 5 % in column density. Inside the outline of a slice, r is the distance of a pixel
    from the axis of the body: the radius R of the largest circle that fits into the outline and holds the pixel,
    less the distance to the outline. A flat disc of column f is the projection of n(r) = f / (pi sqrt(R^2 - r^2)),
    which is integrated over cells of a pixel: each slice keeps its column. Exact for one round core or filament.

    Slices whose outline nowhere lies in the map have no shape. Without `background` they are left out, and the
    density is that of what is above them, as for a core cut out of its cloud; with it they are spread evenly over a
    depth of the longer side of the map. No density is below N over that depth. Both scale symmetries hold.

    Parameters
    ----------
    background : bool
        Keep the column below the slices.
    step : float
        Height of a slice over its level.

    Notes
    -----
    After the method of Hasenberger & Alves; ours are the radius from the largest inscribed circle instead of a
    watershed, integration over cells in closed form, the background, and the limit of the depth (half of the longer
    side of the map). The edge of the map is not an outline: bodies go on beyond it. Blanks are filled smoothly.

    References
    ----------
    Hasenberger & Alves (2020), A&A 633, A132 (arXiv 1912.01005).

    Examples
    --------
    >>> y, x = np.mgrid[:32, :32] - 15.5
    >>> blob = 1e19 + 1e22 * np.exp(-(x**2 + y**2) / (2 * 4.0**2))  # <n>_M = N / (2 sqrt(pi) sigma)
    >>> density = Aviator()(blob, pixel_size_pc=0.1)
    >>> truth = blob / (2 * np.sqrt(np.pi) * 4.0 * 0.1 * PARSEC)
    >>> print(f"{np.log10(density / truth)[blob > 1e21].mean():+.2f} dex")
    +0.03 dex
    """

    background: bool = False
    step: float = STEP

    def __post_init__(self) -> None:
        if not 0.005 <= self.step <= 1.0:
            raise ValueError(f"step: expected a number from 0.005 to 1, got {self.step!r}; 0.05 is usual")

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return <n>_M [cm^-3] behind a map (ny, nx) or stack (n, ny, nx) of N_H [cm^-2]; NaN where blank."""
        pixel = checked_pixel(pixel_size_pc, self._name) * PARSEC

        def estimate(image: np.ndarray) -> np.ndarray:
            filled = fill_smoothly(image)
            return (
                mean_density(filled, cut(filled, half_depths, self.step), background=self.background) / pixel
            )

        return each_map(column_density, estimate, self._name)

    def cube(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return the density cube behind one map.

        Parameters
        ----------
        column_density : array_like, shape (ny, nx)
            N_H [cm^-2]; NaN where blank.
        pixel_size_pc : float
            Side of a pixel and of a cell [pc].

        Returns
        -------
        ndarray, shape (depth, ny, nx)
            n_H [cm^-3]; NaN where blank. `depth` is odd and holds every body; with `background` the column is that
            of the map to rounding, without it less.
        """
        pixel = checked_pixel(pixel_size_pc, self._name) * PARSEC
        if np.ndim(column_density) != 2:
            raise ValueError(f"{self._name}: expected one map (ny, nx), got shape {np.shape(column_density)}")
        cube = np.empty((full_depth(np.shape(column_density)), *np.shape(column_density)))

        def fill(image: np.ndarray) -> np.ndarray:
            filled = fill_smoothly(image)
            cube[...] = profiles(filled, cut(filled, half_depths, self.step), background=self.background)
            cube[:, np.isnan(image)] = np.nan
            return image

        each_map(column_density, fill, self._name)
        return cube / pixel

    @property
    def _name(self) -> str:
        return "aviator_background" if self.background else "aviator"
