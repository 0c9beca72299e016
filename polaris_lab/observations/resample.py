"""Between a map's pixels and a model's: area averages there, interpolation back.

The model's grid shares the projection of the map and its first corner; only the pixel differs. So the average is
exact on the pixels of the map (their parts are weighted by area) and conserves mass, whatever the projection.
It is also what smooths the map before it is thinned out: a training pixel is the mean over its area, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Resampling:
    """A map of `shape` pixels and the coarser grid on top of it.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the map.
    ratio : (float, float)
        Side of a coarse pixel in pixels of the map, along y and along x; 1 or more.

    Raises
    ------
    ValueError
        If a ratio is below 1: averaging cannot make a map finer.

    Examples
    --------
    >>> grid = Resampling((4, 6), (2.0, 2.5))
    >>> grid.coarse_shape
    (2, 3)
    >>> grid.average(np.ones((4, 6))).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    shape: tuple[int, int]
    ratio: tuple[float, float]

    def __post_init__(self) -> None:
        if min(self.ratio) < 1:
            raise ValueError(f"ratio: expected 1 or more map pixels in a coarse one, got {self.ratio}")

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """Rows and columns of the coarse grid; its last pixels may reach beyond the map."""
        return tuple(max(1, math.ceil(n / r - 1e-9)) for n, r in zip(self.shape, self.ratio, strict=True))

    def average(self, values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of a map over each coarse pixel, weighted by area (and by `weights`).

        Parameters
        ----------
        values : ndarray, shape (ny, nx)
            A linear quantity per area, such as N_H [cm^-2]; NaN pixels take no part.
        weights : ndarray, optional
            Such as N_H, where the mean is to be weighted by mass.

        Returns
        -------
        ndarray, shape `coarse_shape`, float64
            NaN where no valid pixel lies in it. The sum over mean times area is that of the map.
        """
        valid = np.isfinite(values)
        share = valid.astype(np.float64) if weights is None else np.where(valid, weights, 0.0)
        rows, columns = (_overlaps(n, r) for n, r in zip(self.shape, self.ratio, strict=True))
        total = rows @ (np.where(valid, values, 0.0) * share) @ columns.T
        weight = rows @ share @ columns.T
        scale = np.max(weight) if weight.size else 0.0
        filled = weight > 1e-9 * scale
        return np.divide(total, weight, out=np.full(total.shape, np.nan), where=filled)

    def interpolate(self, coarse: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Return a coarse map at the centres of the map's pixels, bilinearly (give it logarithms).

        Parameters
        ----------
        coarse : ndarray, shape `coarse_shape`
            Finite everywhere.
        part : slice
            Rows of the map that are wanted.

        Returns
        -------
        ndarray, shape `shape` or those rows of it, in the precision of `coarse`
        """
        rows, columns = (
            _weights_between(n, m, r)
            for n, m, r in zip(self.shape, self.coarse_shape, self.ratio, strict=True)
        )
        return (rows[part] @ coarse @ columns.T).astype(coarse.dtype, copy=False)

    def nearest(self, coarse: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Return for each pixel of the map the value of the coarse pixel that its centre lies in."""
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) / r).astype(int), m - 1)
            for n, m, r in zip(self.shape, self.coarse_shape, self.ratio, strict=True)
        )
        return coarse[rows[part, None], columns[None, :]]


def _overlaps(length: int, ratio: float) -> csr_array:
    """Return the length that coarse pixel i and map pixel j share, shape (coarse, length)."""
    edges = np.union1d(np.arange(length + 1.0), np.arange(0, length, ratio))
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-9])]
    middle, pieces = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    coarse = max(1, math.ceil(length / ratio - 1e-9))
    rows = np.minimum((middle / ratio).astype(int), coarse - 1)
    return csr_array((pieces, (rows, middle.astype(int))), shape=(coarse, length))


def _weights_between(length: int, coarse: int, ratio: float) -> csr_array:
    """Return the linear interpolation from coarse pixel centres to map pixel centres, shape (length, coarse)."""
    position = np.clip((np.arange(length) + 0.5) / ratio - 0.5, 0, coarse - 1)
    low = np.minimum(position.astype(int), max(coarse - 2, 0))
    part = position - low
    pixel = np.arange(length)
    high = np.minimum(low + 1, coarse - 1)
    return csr_array(
        (np.concatenate([1 - part, part]), (np.tile(pixel, 2), np.concatenate([low, high]))),
        shape=(length, coarse),
    )
