"""A large map for a small picture: block means of any part of it, taken from a pyramid that is made when it is needed."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """A part of a map as it is sent to the browser."""

    image: np.ndarray
    """float32, shape (rows, columns); NaN where blank."""
    x: float
    """Left edge [pixels of the map, 0 in the middle of the first]."""
    y: float
    """Lower edge."""
    width: float
    height: float
    factor: int
    """Side of a block [pixels of the map]; 1: the map as it is."""


class MapPyramid:
    """A map and its means over blocks of 2, 4, 8 ... pixels; blank pixels do not count.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)

    Examples
    --------
    >>> pyramid = MapPyramid(np.arange(16.0).reshape(4, 4))
    >>> part = pyramid.part((0, 4), (0, 4), most=2)
    >>> part.factor, part.image.tolist()
    (2, [[2.5, 4.5], [10.5, 12.5]])
    """

    def __init__(self, values: np.ndarray):
        self.shape = values.shape
        self._levels = [values]

    def part(self, rows: tuple[float, float], columns: tuple[float, float], *, most: int) -> Part:
        """Return some rows and columns in at most so many blocks a side.

        Parameters
        ----------
        rows, columns : (float, float)
            First and last edge [pixels counted from the corner of the map]; clipped to it.
        most : int
        """
        ny, nx = self.shape
        low_y, high_y = _clipped(*rows, ny)
        low_x, high_x = _clipped(*columns, nx)
        level, factor = 0, 1
        while max(high_y - low_y, high_x - low_x) / factor > most:
            level, factor = level + 1, 2 * factor
        values = self._level(level)
        first_y, last_y = low_y // factor, -(-high_y // factor)
        first_x, last_x = low_x // factor, -(-high_x // factor)
        image = np.ascontiguousarray(values[first_y:last_y, first_x:last_x], dtype=np.float32)
        return Part(
            image, first_x * factor - 0.5, first_y * factor - 0.5,
            float(image.shape[1] * factor), float(image.shape[0] * factor), factor,
        )  # fmt: skip

    def _level(self, number: int) -> np.ndarray:
        while len(self._levels) <= number:
            self._levels.append(_halved(self._levels[-1]))
        return self._levels[number]


def _clipped(low: float, high: float, length: int) -> tuple[int, int]:
    first = int(np.clip(np.floor(min(low, high)), 0, length - 1))
    return first, int(np.clip(np.ceil(max(low, high)), first + 1, length))


def _halved(values: np.ndarray) -> np.ndarray:
    """Return means over blocks of 2 x 2 pixels; at an odd edge over what is there."""
    rows, columns = values.shape
    values = values.astype(np.float32, copy=False)
    if rows % 2 or columns % 2:
        values = np.pad(values, ((0, rows % 2), (0, columns % 2)), constant_values=np.nan)
    parts = [values[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    mean = 0.25 * (parts[0] + parts[1] + parts[2] + parts[3])
    holes = ~np.isfinite(mean)
    if holes.any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a block of NaN has no mean: it stays NaN
            mean[holes] = np.nanmean([part[holes] for part in parts], axis=0)
    return mean
