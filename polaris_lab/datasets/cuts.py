"""One axis of a map, cut into tiles that overlap by a margin (see :mod:`polaris_lab.datasets.patches`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def tile_origins(length: int, *, tile: int, margin: int = 0, multiple: int = 1) -> tuple[list[int], int, int]:
    """Cut one axis into tiles with a margin, all of the same size.

    Parameters
    ----------
    length : int
        Pixels of the axis.
    tile : int
        Largest number of pixels that one tile may read, margins included.
    margin : int
        Pixels that a result needs on either side; rounded up to a multiple of `multiple`.
    multiple : int
        Tiles begin at multiples of this (on the map) and are a multiple of it long: the network's stride.

    Returns
    -------
    origins : list of int
        First pixel of each tile's core; core k ends where core k + 1 begins.
    core : int
        Length of a core; as small as the number of tiles allows.
    margin : int
        The margin, rounded up.

    Raises
    ------
    ValueError
        If `tile` leaves no core, or a number is out of range.

    Examples
    --------
    >>> tile_origins(300, tile=192, margin=30, multiple=16)
    ([0, 112, 224], 112, 32)
    """
    length, tile, multiple = (
        whole_number("length", length, 1),
        whole_number("tile", tile, 1),
        whole_number("multiple", multiple, 1),
    )
    margin = round_up(whole_number("margin", margin, 0), multiple)
    largest = (tile - 2 * margin) // multiple * multiple
    if largest < 1:
        raise ValueError(
            f"tile: expected at least {2 * margin + multiple} pixels (a margin of {margin} on either side and "
            f"a multiple of {multiple} between), got {tile}; enlarge the tile"
        )
    count = math.ceil(length / largest)
    core = round_up(math.ceil(length / count), multiple)
    return list(range(0, length, core)), core, margin


@dataclass(frozen=True)
class Piece:
    """One tile along one axis: the first pixel it reads, how many, and which of them it answers for."""

    origin: int
    size: int
    first: int
    end: int

    @property
    def core(self) -> slice:
        """Return the pixels of the axis that it answers for."""
        return slice(self.first, self.end)

    @property
    def inside(self) -> slice:
        """Return the same in its own pixels."""
        return slice(self.first - self.origin, self.end - self.origin)


def cut_beyond(length: int, *, tile: int, margin: int, multiple: int) -> list[Piece]:
    """Cut an axis so that every tile has its margin on either side, beyond the map too."""
    starts, core, pad = tile_origins(length, tile=tile, margin=margin, multiple=multiple)
    return [Piece(start - pad, core + 2 * pad, start, min(start + core, length)) for start in starts]


def cut_within(length: int, *, tile: int, margin: int, multiple: int) -> list[Piece]:
    """Cut an axis into the fewest tiles that have a margin towards each other and none beyond the map."""
    _, _, pad = tile_origins(length, tile=tile, margin=margin, multiple=multiple)
    largest, whole = tile // multiple * multiple, round_up(length, multiple)
    if whole <= largest:
        return [Piece(0, whole, 0, length)]
    count = math.ceil((whole - 2 * pad) / (largest - 2 * pad))
    size = round_up(math.ceil((whole + 2 * pad * (count - 1)) / count), multiple)
    origins = [min(index * (size - 2 * pad), whole - size) for index in range(count)]
    firsts = [0, *(origin + pad for origin in origins[1:])]
    ends = [*firsts[1:], length]
    return [Piece(origin, size, first, end) for origin, first, end in zip(origins, firsts, ends, strict=True)]


def round_up(value: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-value // multiple) * multiple


def whole_number(name: str, value: int, smallest: int) -> int:
    """Return a whole number of at least `smallest`, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < smallest:
        raise ValueError(f"{name}: expected a whole number of at least {smallest}, got {value!r}")
    return int(value)
