"""Logarithms of maps, and the eight symmetries of the square."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)

SYMMETRIES = 8
"""Turns by 0, 90, 180 and 270 degrees (numbers 0 to 3), and the same after a mirror (4 to 7)."""


VECTORS = ("position",)
"""Quantities whose two components turn with the map."""


class LogNormalizer:
    """log10 of physical maps and back: what a network is given, and what it gives.

    Standardising and anything that has to be fitted are blocks of the network itself.

    Examples
    --------
    >>> LogNormalizer().forward(np.array([1e21, 1e22]))
    array([21., 22.])
    >>> LogNormalizer().backward(np.array([3.0]))
    array([1000.])
    """

    def forward(self, values: Array) -> Array:
        """Return log10 of positive values (NaN stays NaN).

        Raises
        ------
        ValueError
            If a value is zero, negative or infinite.
        """
        bad = (values <= 0) | (values == float("inf"))
        if bad.any():
            raise ValueError(
                f"values: expected positive finite numbers to take the logarithm of, got {int(bad.sum())} others (the "
                f"smallest is {float(values[bad].min()):g}); blank pixels are NaN"
            )
        return torch.log10(values) if isinstance(values, torch.Tensor) else np.log10(values)

    def backward(self, logarithms: Array) -> Array:
        """Return 10 to the power of the values."""
        return 10.0**logarithms


def symmetry(array: Array, number: int) -> Array:
    """Apply one of the eight symmetries of the square to the last two axes.

    Parameters
    ----------
    array : ndarray or Tensor, shape (..., n, n)
        Scalar maps; for vectors see :func:`symmetry_of`.
    number : int
        0 to 7: turned ``number % 4`` times by 90 degrees, after a mirror along the columns from 4 on. 0 changes
        nothing.

    Returns
    -------
    ndarray or Tensor, same shape
        A view.

    Raises
    ------
    ValueError
        If the number is out of range, or the maps are not square.

    Examples
    --------
    >>> symmetry(np.array([[1, 2], [3, 4]]), 1)
    array([[2, 4],
           [1, 3]])
    """
    number = _checked(number)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"array: expected square maps (..., n, n), got shape {tuple(array.shape)}")
    if isinstance(array, torch.Tensor):
        mirrored = torch.flip(array, (-1,)) if number >= 4 else array
        return torch.rot90(mirrored, number % 4, (-2, -1))
    mirrored = np.flip(array, -1) if number >= 4 else array
    return np.rot90(mirrored, number % 4, (-2, -1))


def symmetry_of(name: str, array: Array, number: int) -> Array:
    """Apply a symmetry of the square to a quantity: its pixels, and the components of a vector with them.

    Parameters
    ----------
    name : str
        Of the quantity. "position" is a vector (..., 2, n, n): along rows, along columns. Others are scalars,
        such as one number a patch (..., 1, 1).
    array : ndarray or Tensor, shape (..., n, n)
    number : int
        As for :func:`symmetry`.

    Returns
    -------
    ndarray or Tensor, same shape

    Examples
    --------
    >>> rows, columns = np.meshgrid([-1.0, 1.0], [-1.0, 1.0], indexing="ij")
    >>> place = np.stack([rows, columns])
    >>> all(np.array_equal(symmetry_of("position", place, number), place) for number in range(8))
    True
    """
    return turned_components(name, symmetry(array, number), number)


def turned_components(name: str, turned: Array, number: int) -> Array:
    """Turn the components of a vector whose pixels have been turned already; leave other quantities.

    Parameters
    ----------
    name : str
        Of the quantity.
    turned : ndarray or Tensor, shape (..., 2, rows, columns) for a vector
    number : int
        As for :func:`symmetry`.

    Raises
    ------
    ValueError
        If a vector has not two components.
    """
    if name not in VECTORS:
        return turned
    if turned.ndim < 3 or turned.shape[-3] != 2:
        raise ValueError(f"{name}: expected two components (..., 2, n, n), got shape {tuple(turned.shape)}")
    rows, columns = turned[..., 0, :, :], turned[..., 1, :, :]
    if number >= 4:
        columns = -columns
    for _ in range(number % 4):
        rows, columns = -columns, rows
    return (
        torch.stack([rows, columns], -3)
        if isinstance(turned, torch.Tensor)
        else np.stack([rows, columns], -3)
    )


def inverse_symmetry(number: int) -> int:
    """Return the number of the symmetry that undoes another.

    Examples
    --------
    >>> [inverse_symmetry(number) for number in range(8)]
    [0, 3, 2, 1, 4, 5, 6, 7]
    """
    number = _checked(number)
    return number if number >= 4 else -number % 4


def _checked(number: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < SYMMETRIES:
        raise ValueError(f"number: expected a symmetry from 0 to 7, got {number!r}")
    return int(number)
