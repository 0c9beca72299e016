"""Regression on the column density smoothed over several scales: the strongest estimator without a network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from polaris_lab.estimators.maps import Stored, checked_pair, checked_pixel, each_map
from polaris_lab.estimators.smoothing import smooth_valid

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Dispersions of the Gaussians [pixels]."""

RIDGE = 1e-6
"""Penalty on the squares of the coefficients over the number of pixels [dex^-2]: neighbouring scales say nearly the
same."""


@dataclasses.dataclass(frozen=True)
class MultiScale(Stored):
    """log n is a polynomial of log N and of log N smoothed over 1, 2, 4, 8, 16 and 32 pixels.

    Of degree 1 it has 8 coefficients, of degree 2 (squares and products) 36. The linear N is smoothed, over the
    valid pixels only. The scales are in pixels, as a network's are: of a map with pixels mu times as long, the
    density is 1/mu of what it would be with the pixels of the fit, so that it goes as 1/distance. A map of another
    resolution is resampled first.

    Parameters
    ----------
    coefficients : tuple of float
        Of 1, of each f_i - c_i and, for degree 2, of each product (f_i - c_i)(f_j - c_j), j >= i; dex.
    centres : tuple of float
        c_i: means of log N and of its smoothed versions over the pixels of the fit.
    pixel_size_pc : float
        Side of the pixels of the fit [pc].
    scales_px : tuple of float
        Dispersions [pixels].
    rms_dex : float
        Scatter of log10(n / estimate) over the pixels of the fit [dex].

    Notes
    -----
    A regression of our own, the trivial baseline that a network must beat.
    """

    coefficients: tuple[float, ...]
    centres: tuple[float, ...]
    pixel_size_pc: float
    scales_px: tuple[float, ...] = SCALES
    rms_dex: float = 0.0

    def __post_init__(self) -> None:
        count = len(self.scales_px) + 1
        if len(self.centres) != count or len(self.coefficients) not in (count + 1, _terms(count)):
            raise ValueError(
                f"coefficients: expected {count + 1} or {_terms(count)} of them and {count} centres for "
                f"{len(self.scales_px)} scales, got {len(self.coefficients)} and {len(self.centres)}"
            )

    @property
    def degree(self) -> int:
        """1 (linear) or 2 (with squares and products)."""
        return 1 if len(self.coefficients) == len(self.centres) + 1 else 2

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return the density [cm^-3] behind a map (ny, nx) or stack (n, ny, nx) of N_H [cm^-2]; NaN where blank."""
        ratio = self.pixel_size_pc / checked_pixel(pixel_size_pc, "multi_scale")

        def estimate(image: np.ndarray) -> np.ndarray:
            terms = _polynomial(scale_features(image, self.scales_px), self.centres, self.degree)
            log_density = sum(c * term for c, term in zip(self.coefficients, terms, strict=True))
            return ratio * 10.0 ** np.clip(
                log_density, -30.0, 30.0
            )  # a polynomial far outside knows no bounds

        return each_map(column_density, estimate, "multi_scale")


def scale_features(image: np.ndarray, scales_px: tuple[float, ...] = SCALES) -> np.ndarray:
    """Return log10 N and log10 of N smoothed over each scale.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        N_H [cm^-2]; NaN where blank.
    scales_px : tuple of float
        Dispersions of the Gaussians [pixels].

    Returns
    -------
    ndarray, shape (1 + scales, ny, nx)
        NaN where blank.

    Examples
    --------
    >>> scale_features(np.full((8, 8), 1e21)).shape
    (7, 8, 8)
    """
    return np.log10(np.stack([image, *(smooth_valid(image, scale) for scale in scales_px)]))


def fit_multi_scale(
    column_density: ArrayLike, density: ArrayLike, *, pixel_size_pc: float, degree: int = 2
) -> MultiScale:
    """Fit the regression to all pixels by least squares in log n, map by map, in float64.

    Parameters
    ----------
    column_density : array_like, shape (ny, nx) or (n, ny, nx)
        N_H [cm^-2]; NaN takes no part.
    density : array_like
        n_H [cm^-3], same shape.
    pixel_size_pc : float
        Side of a pixel [pc].
    degree : {1, 2}
        8 or 36 coefficients.

    Returns
    -------
    MultiScale

    Raises
    ------
    ValueError
        If the arrays do not fit together or hold fewer valid pixels than coefficients.

    Examples
    --------
    >>> column_density = 1e21 * np.random.default_rng(0).lognormal(size=(2, 32, 32))
    >>> fit_multi_scale(column_density, 1e-18 * column_density, pixel_size_pc=0.1, degree=1).rms_dex < 1e-4
    True
    """
    if degree not in (1, 2):
        raise ValueError(f"degree: expected 1 (8 coefficients) or 2 (36), got {degree!r}")
    pixel = checked_pixel(pixel_size_pc, "fit_multi_scale")
    columns, target, valid = checked_pair(column_density, density, "fit_multi_scale")
    each_map(column_density, lambda image: image, "fit_multi_scale")  # shape and size
    stack = [values.reshape(-1, *columns.shape[-2:]) for values in (columns, target, valid)]
    count = len(SCALES) + 1
    terms = count + 1 if degree == 1 else _terms(count)
    if valid.sum() < 2 * terms:
        raise ValueError(
            f"fit_multi_scale: expected at least {2 * terms} valid pixels for {terms} coefficients, got "
            f"{int(valid.sum())}; use degree=1 or more maps"
        )
    centre = (float(np.log10(columns[valid]).mean()),) * count
    normal, right, squares, total = np.zeros((terms, terms)), np.zeros(terms), 0.0, 0
    offset = float(np.log10(target[valid]).mean())
    for basis, y in _rows(*stack, centre, degree):
        normal += basis.T @ basis
        right += basis.T @ (y - offset)
        squares += float(((y - offset) ** 2).sum())
        total += len(y)
    penalty = RIDGE * total * np.eye(terms)
    penalty[0, 0] = 0.0
    solution = np.linalg.solve(normal + penalty, right)
    misfit = squares - 2 * solution @ right + solution @ normal @ solution
    solution[0] += offset
    return MultiScale(
        coefficients=tuple(float(c) for c in solution),
        centres=centre,
        pixel_size_pc=pixel,
        rms_dex=math.sqrt(max(misfit, 0.0) / total),
    )


def _rows(
    columns: np.ndarray, target: np.ndarray, valid: np.ndarray, centres: tuple[float, ...], degree: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the terms (pixels, terms) and log n (pixels,) of the valid pixels of each map."""
    for image, density, used in zip(columns, target, valid, strict=True):
        if used.any():
            features = scale_features(image)[:, used]
            terms = _polynomial(features, centres, degree)
            yield np.stack(list(terms), axis=-1), np.log10(density[used])


def _terms(count: int) -> int:
    """Return the number of coefficients of degree 2 in `count` features."""
    return 1 + count + count * (count + 1) // 2


def _polynomial(features: np.ndarray, centres: tuple[float, ...], degree: int) -> Iterator[np.ndarray]:
    """Yield 1, the features less their centres, and for degree 2 their products."""
    yield np.ones_like(features[0])
    offset = [values - centre for values, centre in zip(features, centres, strict=True)]
    yield from offset
    if degree == 2:
        for i, first in enumerate(offset):
            for second in offset[i:]:
                yield first * second
