"""Sums, minima, maxima and variances over every window of a map at once.

Each is built from running results inside blocks as long as the window (van Herk 1992, Gil and Werman 1993): a
window is the tail of one block joined to the head of the next. Nothing is ever subtracted, so a bright core leaves
no rounding error in a faint window beside it, and the cost does not depend on the size of the window.
"""

from __future__ import annotations

import numpy as np


def window_sum(image: np.ndarray, window: int) -> np.ndarray:
    """Sum over every window of `window` x `window` pixels, float64.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
    window : int
        Side of the window [pixels].

    Returns
    -------
    ndarray, shape (rows - window + 1, columns - window + 1)
        One value for every position of the window's first pixel.

    Examples
    --------
    >>> window_sum(np.arange(12.0).reshape(3, 4), 2)
    array([[10., 14., 18.],
           [26., 30., 34.]])
    """
    return _both_axes(np.add, 0.0, image, window)


def window_count(mask: np.ndarray, window: int) -> np.ndarray:
    """Count the true pixels of every window, int64; shapes as in :func:`window_sum`.

    Whole numbers may be subtracted without a loss: running totals give them in a fraction of the time of a sum.

    Examples
    --------
    >>> window_count(np.eye(3, dtype=bool), 2)
    array([[2, 1],
           [1, 2]])
    """
    check_window(np.shape(mask), window)
    totals = np.zeros(np.add(np.shape(mask), 1), np.int64)
    totals[1:, 1:] = np.asarray(mask, bool).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    bands = totals[window:] - totals[:-window]
    return bands[:, window:] - bands[:, :-window]


def window_minimum(image: np.ndarray, window: int) -> np.ndarray:
    """Smallest value in every window; shapes as in :func:`window_sum`."""
    return _both_axes(np.minimum, np.inf, image, window)


def window_maximum(image: np.ndarray, window: int) -> np.ndarray:
    """Largest value in every window; shapes as in :func:`window_sum`."""
    return _both_axes(np.maximum, -np.inf, image, window)


def window_variance(image: np.ndarray, window: int) -> np.ndarray:
    """Variance in every window (mean of the squared deviations); shapes as in :func:`window_sum`."""
    image = np.asarray(image, np.float64)
    image = image - image.mean()  # small numbers keep their digits
    count = window * window
    mean = window_sum(image, window) / count
    return np.maximum(window_sum(image * image, window) / count - mean * mean, 0)


def window_covariances(
    first: np.ndarray, second: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of two maps and their covariance in every window; shapes as in :func:`window_sum`.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(9, 9))
    >>> first, second, covariance = window_covariances(image, -image, 4)
    >>> bool(np.allclose(first, -covariance))
    True
    """
    first = np.asarray(first, np.float64)
    second = np.asarray(second, np.float64)
    first, second = first - first.mean(), second - second.mean()
    count = window * window
    means = [window_sum(image, window) / count for image in (first, second)]
    variances = [
        np.maximum(window_sum(image * image, window) / count - mean * mean, 0)
        for image, mean in zip((first, second), means, strict=True)
    ]
    return *variances, window_sum(first * second, window) / count - means[0] * means[1]


def check_window(shape: tuple[int, ...], window: int) -> None:
    """Refuse a window that does not fit on a map.

    Raises
    ------
    ValueError
        With both sizes.
    """
    if len(shape) != 2:
        raise ValueError(f"image: expected a 2D map, got shape {tuple(shape)}")
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1:
        raise ValueError(f"window: expected a whole number of pixels of at least 1, got {window!r}")
    if window > min(shape):
        raise ValueError(
            f"window: expected at most the sides of the map, {shape[0]} x {shape[1]} pixels, got {window}; take a "
            "smaller window or a larger cloud"
        )


def _both_axes(ufunc: np.ufunc, neutral: float, image: np.ndarray, window: int) -> np.ndarray:
    check_window(np.shape(image), window)
    rows = _along_rows(ufunc, neutral, np.asarray(image, np.float64), window)
    return np.ascontiguousarray(_along_rows(ufunc, neutral, rows.T, window).T)


def _along_rows(ufunc: np.ufunc, neutral: float, image: np.ndarray, window: int) -> np.ndarray:
    """Reduce every run of `window` rows."""
    if window == 1:
        return image
    length, columns = image.shape
    blocks = length // window + 1  # at least one neutral row closes the last block
    padded = np.full((blocks * window, columns), neutral)
    padded[:length] = image
    folded = padded.reshape(blocks, window, columns)
    heads, tails = np.empty_like(folded), np.empty_like(folded)
    heads[:, 0] = neutral  # what stands in a block before a row
    tails[:, -1] = folded[:, -1]  # what stands in a block from a row on
    for step in range(1, window):  # whole rows at a time: memory speed in numpy
        ufunc(heads[:, step - 1], folded[:, step - 1], out=heads[:, step])
        ufunc(tails[:, window - step], folded[:, window - 1 - step], out=tails[:, window - 1 - step])
    count = length - window + 1
    return ufunc(tails.reshape(-1, columns)[:count], heads.reshape(-1, columns)[window : window + count])
