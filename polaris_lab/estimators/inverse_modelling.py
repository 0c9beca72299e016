"""A relation between column density and density from the map alone, by modelling its contours. A version of ours."""

from __future__ import annotations

import dataclasses
import math

import numba
import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from polaris_lab.estimators.broken_power_law import fit_broken_power_law
from polaris_lab.estimators.maps import Stored, checked_pixel, each_map
from polaris_lab.estimators.slices import cut, full_depth, mean_density
from polaris_lab.estimators.smoothing import fill_smoothly
from polaris_lab.units import PARSEC

STEP = 0.05
"""Height of a slice over its level."""

SMALLEST_RANGE = 0.1
"""Range of log10 N [dex] below which a map has no relation to fit, and keeps the model's densities."""


@dataclasses.dataclass(frozen=True)
class InverseModelling(Stored):
    """n(N) of a map whose contours are modelled as spheres of the same area.

    Theirs (Orkisz & Kainulainen) is the idea and the form of the answer: model the cloud from its map without a
    training set, and describe density against column density by a power law in two pieces. Their working formulas
    were not at hand; the model here is ours. Every closed contour becomes a circle of the same area, every pixel
    inside lies at the radius of the circle that its own contour would make, and the inverse Abel transform of each
    slice of column density gives the density (as for :class:`~polaris_lab.estimators.aviator.Aviator`, with the
    area in place of the distance to the outline). What has no contour in the map is spread evenly over the
    longer side of the map. The power law in two pieces is then fitted to all pixels, so that the density depends
    on the column density alone. Exact for one round core; both scale symmetries hold. No constants to fit.

    Parameters
    ----------
    step : float
        Height of a slice over its level.

    References
    ----------
    After the idea of Orkisz & Kainulainen (2025), A&A 697, A20 (arXiv 2412.07595).

    Examples
    --------
    >>> column_density = 1e21 * np.random.default_rng(0).lognormal(size=(16, 16))
    >>> density = InverseModelling()(column_density, pixel_size_pc=0.1)
    >>> twice = InverseModelling()(column_density, pixel_size_pc=0.2)
    >>> bool(np.allclose(twice, density / 2))
    True
    """

    step: float = STEP

    def __post_init__(self) -> None:
        if not 0.005 <= self.step <= 1.0:
            raise ValueError(f"step: expected a number from 0.005 to 1, got {self.step!r}; 0.05 is usual")

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return <n>_M [cm^-3] behind a map (ny, nx) or stack (n, ny, nx) of N_H [cm^-2]; NaN where blank."""
        pixel = checked_pixel(pixel_size_pc, "inverse_modelling") * PARSEC

        def estimate(image: np.ndarray) -> np.ndarray:
            filled = fill_smoothly(image)
            model = mean_density(
                filled, cut(filled, lambda inside: _sphere_depths(inside, filled), self.step), background=True
            )
            return _relation(filled, model, np.isfinite(image)) / pixel

        return each_map(column_density, estimate, "inverse_modelling")


def _relation(image: np.ndarray, model: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the power law in two pieces through the pixels of a model; not below the map over its depth."""
    unit, typical = np.median(image[valid]), np.median(model[valid])
    log_image = np.log10(image[valid])
    if np.ptp(log_image) < SMALLEST_RANGE or len(np.unique(log_image)) < 16:
        return model
    scale = 1e21  # any: the fit then sees the same numbers whatever the unit
    law = fit_broken_power_law(scale * image[valid] / unit, model[valid] / typical)
    density = typical * law(scale * image / unit, pixel_size_pc=1.0)
    return np.maximum(density, image / full_depth(image.shape))


def _sphere_depths(inside: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return half chords [pixels] through spheres whose contours have the areas of those of the map."""
    labels, count = ndimage.label(inside, structure=np.ones((3, 3)))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    order = np.argsort(-image, axis=None, kind="stable")
    rank = np.empty(image.size)
    _ranks(labels.ravel(), order, np.zeros(count + 1, np.int64), rank)
    squared = (area[labels] - rank.reshape(image.shape)) / math.pi  # R^2 - r^2
    return np.where(inside, np.sqrt(np.maximum(squared, 0.25)), 0.0)


@numba.njit(nogil=True, cache=True)
def _ranks(labels, order, seen, rank):  # pragma: no cover - compiled
    """Set the area inside the contour of each pixel, within its piece: half of itself and all that is brighter."""
    for p in order:
        rank[p] = seen[labels[p]] + 0.5
        seen[labels[p]] += 1
