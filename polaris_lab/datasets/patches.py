"""Windows on a map: how a map of any size is cut into tiles and put together again.

This is the one implementation, for cutting training patches (:func:`read_window`) and for prediction. Two plans:

- :func:`plan_tiles`: each tile is read with a margin around the part that is kept (its core). The cores cover
  every pixel exactly once. When the margin is at least the reach of the network (its receptive field) and tiles
  begin at multiples of its stride, the result does not depend on where tiles begin: there are no seams.
- :func:`plan_overlapping`: the report's scheme (appendix D). Tiles overlap and are averaged with smooth weights
  that add up to one in every pixel, the remainders at the right and bottom included.

A window may reach beyond the map; there the map is continued by reflection at its outermost pixels.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from polaris_lab.datasets.cuts import cut_beyond, cut_within, round_up, tile_origins, whole_number

__all__ = [
    "Tile",
    "TilePlan",
    "apply_tiled",
    "blend_window",
    "plan_overlapping",
    "plan_tiles",
    "read_window",
    "reflect_index",
    "tile_origins",
]


@dataclass(frozen=True)
class Tile:
    """One window on a map.

    Attributes
    ----------
    origin : (int, int)
        Row and column on the map of the first pixel read; negative or beyond the map where it is reflected.
    shape : (int, int)
        Rows and columns read.
    core : (slice, slice)
        The part of the **map** to which the tile contributes.
    inside : (slice, slice)
        The same part in the pixels of the **tile**.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    core: tuple[slice, slice]
    inside: tuple[slice, slice]


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one map, all of one shape (so that they can be stacked in batches).

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the map.
    tile_shape : (int, int)
        Rows and columns of every tile as it is read.
    tiles : tuple of Tile
        Row by row.
    weights : (ndarray, ndarray) or None
        Blend weights along the rows and columns of a tile; None when the cores cover each pixel once.
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    weights: tuple[np.ndarray, np.ndarray] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.tiles)

    def __iter__(self) -> Iterator[Tile]:
        return iter(self.tiles)


def reflect_index(index: np.ndarray, length: int) -> np.ndarray:
    """Return the pixels that continue an axis beyond its ends by reflection.

    The outermost pixel is not repeated (``numpy.pad(mode="reflect")``); far outside, the reflection repeats.

    Examples
    --------
    >>> reflect_index(np.arange(-3, 7), 4)
    array([3, 2, 1, 0, 1, 2, 3, 2, 1, 0])
    """
    period = max(2 * (length - 1), 1)
    folded = np.mod(index, period)
    return np.where(folded < length, folded, period - folded)


def read_window(image: np.ndarray, origin: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Cut a window out of the last two axes of an array, reflecting where it reaches beyond them.

    Parameters
    ----------
    image : ndarray, shape (..., rows, columns)
        A map or a stack of them.
    origin : (int, int)
        Row and column of the window's first pixel.
    shape : (int, int)
        Its rows and columns.

    Returns
    -------
    ndarray, shape (..., shape[0], shape[1])
        A copy.

    Examples
    --------
    >>> read_window(np.arange(12).reshape(3, 4), (-1, 2), (3, 3))
    array([[6, 7, 6],
           [2, 3, 2],
           [6, 7, 6]])
    """
    (row, column), (height, width) = origin, shape
    rows, columns = image.shape[-2:]
    if row >= 0 and column >= 0 and row + height <= rows and column + width <= columns:
        return image[..., row : row + height, column : column + width].copy()  # (..., h, w)
    down = reflect_index(np.arange(row, row + height), rows)
    across = reflect_index(np.arange(column, column + width), columns)
    return image[..., down[:, None], across]  # (..., h, w)


def plan_tiles(
    shape: tuple[int, int], *, tile: int, margin: int, multiple: int = 1, within: bool = False
) -> TilePlan:
    """Plan tiles with a margin whose cores cover every pixel of a map exactly once.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the map; any size, smaller than a tile too.
    tile : int
        Largest side of a tile as it is read [pixels].
    margin : int
        Reach of the network [pixels].
    multiple : int
        Stride of the network; tiles begin at multiples of it and have such sides.
    within : bool
        Take no margin beyond the edges of the map, but for less than `multiple` at the far ends: fewer pixels are read,
        and the network continues the map there in its own way, as if it saw the whole map at once.

    Returns
    -------
    TilePlan

    Raises
    ------
    ValueError
        If the tile is too small for its margin.

    Examples
    --------
    >>> plan = plan_tiles((300, 300), tile=192, margin=30, multiple=16)
    >>> len(plan), plan.tile_shape
    (9, (176, 176))
    """
    height, width = _map_shape(shape)
    cut = cut_within if within else cut_beyond
    rows, columns = (cut(length, tile=tile, margin=margin, multiple=multiple) for length in (height, width))
    tiles = [
        Tile(
            origin=(row.origin, column.origin),
            shape=(row.size, column.size),
            core=(row.core, column.core),
            inside=(row.inside, column.inside),
        )
        for row in rows
        for column in columns
    ]
    return TilePlan(shape=(height, width), tile_shape=tiles[0].shape, tiles=tuple(tiles))


def plan_overlapping(
    shape: tuple[int, int], *, tile: int, overlap: float = 0.5, multiple: int = 1
) -> TilePlan:
    """Plan overlapping tiles that are averaged with smooth weights: the report's scheme.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the map; any size.
    tile : int
        Side of a tile [pixels], a multiple of `multiple`: the side of the patches the network was trained on.
    overlap : float
        Fraction of a tile's side shared with the next one, from 0 (side by side) to below 1.
    multiple : int
        Tiles begin at multiples of this.

    Returns
    -------
    TilePlan
        With the weights of :func:`blend_window`.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Report, appendix D.
    """
    height, width = _map_shape(shape)
    tile, multiple = whole_number("tile", tile, 1), whole_number("multiple", multiple, 1)
    if tile % multiple:
        raise ValueError(
            f"tile: expected a multiple of {multiple} pixels (the network's stride), got {tile}; "
            f"take {round_up(tile, multiple)}"
        )
    if not isinstance(overlap, numbers.Real) or not 0 <= overlap < 1:
        raise ValueError(
            f"overlap: expected a fraction of the tile from 0 to below 1, got {overlap!r}; the report's is 0.5"
        )
    step = max(multiple, int(tile * (1 - overlap)) // multiple * multiple)
    tiles = []
    for row in _overlapping_origins(height, tile, step, multiple):
        for column in _overlapping_origins(width, tile, step, multiple):
            kept = (min(tile, height - row), min(tile, width - column))
            tiles.append(
                Tile(
                    origin=(row, column),
                    shape=(tile, tile),
                    core=(slice(row, row + kept[0]), slice(column, column + kept[1])),
                    inside=(slice(0, kept[0]), slice(0, kept[1])),
                )
            )
    window = blend_window(tile)
    return TilePlan(
        shape=(height, width), tile_shape=(tile, tile), tiles=tuple(tiles), weights=(window, window)
    )


def _overlapping_origins(length: int, tile: int, step: int, multiple: int) -> list[int]:
    """Return where tiles begin so that they cover an axis; the last ends at or just beyond its end."""
    last = round_up(max(0, length - tile), multiple)
    return [*range(0, last, step), last]


def blend_window(size: int) -> np.ndarray:
    """Return smooth weights along one side of a tile: a sin^2 bump, positive everywhere, float64.

    At an overlap of one half, neighbouring weights add up to one.

    Examples
    --------
    >>> window = blend_window(8)
    >>> (window[:4] + window[4:]).round(12)
    array([1., 1., 1., 1.])
    """
    return np.sin(np.pi * (np.arange(whole_number("size", size, 1)) + 0.5) / size) ** 2


def apply_tiled(
    function: Callable[[np.ndarray], np.ndarray], image: np.ndarray, plan: TilePlan, *, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a function to every tile of a map and put the results together.

    Parameters
    ----------
    function : callable
        Takes a tile (C, h, w) and returns (h, w), or several maps (K, h, w). Where it returns NaN it has no
        opinion: the pixel is left to the other tiles.
    image : ndarray, shape (H, W) or (C, H, W)
        The map, or several of the same field. What stands in blank pixels is the caller's choice.
    plan : TilePlan
        From :func:`plan_tiles` or :func:`plan_overlapping`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    values : ndarray, shape (H, W) or (K, H, W)
        The results, in the dtype of the function; overlapping ones averaged as they are (so give log densities
        to average logarithms), in float64. NaN where no tile gave a number.
    coverage : ndarray of int32, shape (H, W)
        How many tiles gave a number in (all maps of) a pixel.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(300, 200))
    >>> values, coverage = apply_tiled(lambda tile: tile[0], image, plan_overlapping(image.shape, tile=64))
    >>> bool(np.allclose(values, image, rtol=1e-12)), int(coverage.min()), int(coverage.max())
    (True, 1, 9)
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[None]  # (1, H, W)
    if image.ndim != 3 or image.shape[-2:] != plan.shape:
        raise ValueError(
            f"image: expected shape (C, {plan.shape[0]}, {plan.shape[1]}) as planned, got {image.shape}"
        )
    values = weight = None
    coverage = np.zeros(plan.shape, np.int32)
    for tile in tqdm(plan.tiles, desc="tiles", disable=not progress):
        result = np.asarray(function(read_window(image, tile.origin, tile.shape)))
        if result.ndim not in (2, 3) or result.shape[-2:] != tile.shape:
            raise ValueError(f"function: expected a result of shape {tile.shape}, got {result.shape}")
        if result.dtype.kind != "f":
            raise TypeError(f"function: expected a result of real numbers, got {result.dtype}")
        if values is None:
            dtype = result.dtype if plan.weights is None else np.float64
            values = np.full((*result.shape[:-2], *plan.shape), np.nan if plan.weights is None else 0, dtype)
            weight = None if plan.weights is None else np.zeros(values.shape)
            final = result.dtype
        part = result[(..., *tile.inside)]
        given = np.isfinite(part)
        coverage[tile.core] += given.all(axis=0) if given.ndim == 3 else given
        if weight is None:
            values[(..., *tile.core)] = part
            continue
        share = np.where(given, np.outer(plan.weights[0][tile.inside[0]], plan.weights[1][tile.inside[1]]), 0)
        values[(..., *tile.core)] += share * np.where(given, part, 0)
        weight[(..., *tile.core)] += share
    if weight is not None:
        with np.errstate(invalid="ignore"):  # 0 / 0 = NaN: no tile gave a number there
            values = np.divide(values, weight, out=values).astype(final, copy=False)
    return values, coverage


def _map_shape(shape: tuple[int, int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"shape: expected (rows, columns) of one map, got {tuple(shape)}")
    return whole_number("rows", shape[0], 1), whole_number("columns", shape[1], 1)
