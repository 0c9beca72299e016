"""How a map meets the pixel of a model, and how it is cut into bands and tiles."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from polaris_lab.datasets.patches import TilePlan, plan_overlapping, plan_tiles
from polaris_lab.observations.maps import ARCSEC, Observation
from polaris_lab.observations.resample import Resampling
from polaris_lab.training.scope import scope_of

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

log = logging.getLogger(__name__)

SMALLEST_SIDE = 16
"""Pixels (of the model) that a map must have along each side."""

PIXEL_RATIO = (0.7, 1.5)
"""Model pixel over map pixel between which a map is taken as it is (design, section 9.7)."""

LARGEST_ANISOTROPY = 1.1
"""Ratio of the sides of a pixel above which it is resampled to a square one."""

TILE = 640
"""Side of the tiles that a map is read in [pixels of the model]."""

ONE_TILE, SMALL_NETWORK = 1152, 5_000_000
"""Sides of a map that a network of so many parameters at most reads in one tile: its margin would cost three times the
pixels, and the features of a larger network too much memory."""

BAND_PIXELS = 4_000_000
"""Pixels of the model that are worked on at a time: a larger map is predicted band after band of tile rows."""

FILL_REACH = 64
"""Rows beyond the tiles of a band from which blank pixels are filled."""


@dataclasses.dataclass(frozen=True)
class Band:
    """Some rows of tiles.

    Attributes
    ----------
    rows : slice
        Rows of the grid that it answers for.
    read : slice
        Rows that it needs.
    plan : TilePlan
        Its tiles, in rows counted from the first that it reads.
    """

    rows: slice
    read: slice
    plan: TilePlan

    @property
    def inside(self) -> slice:
        """The rows that it answers for, counted from the first that it reads."""
        return slice(self.rows.start - self.read.start, self.rows.stop - self.read.start)


def working_pixel(run: Run, observation: Observation) -> tuple[float, list[str]]:
    """Return the pixel that a run reads a map at [pc], and what is to be said of it.

    It is the run's own, but for a network that was made for a range of pixels (:class:`polaris_lab.training.scope.Scope`):
    that one takes the map's.
    """
    scope = scope_of(run)
    if scope is None:
        return run.pixel_size_pc, []
    beam = observation.beam_arcsec
    beam_pc = None if beam is None else beam * ARCSEC * observation.distance_pc
    pixel = scope.working_pixel(max(observation.pixel_sides_pc), beam_pc)
    low, high = scope.pixel_range_pc
    if pixel > high * (1 + 1e-6):
        raise ValueError(
            f"map: expected pixels and a beam that come to {low:g}-{high:g} pc for {run.path.name!r}, got {pixel:.3g} pc at "
            f"{observation.distance_pc:.4g} pc; what is coarser cannot be undone: use a map of higher resolution"
        )
    said = scope.extrapolation(pixel)
    return pixel, [said] if said else []


def match_pixels(observation: Observation, model_pixel_pc: float) -> tuple[Resampling | None, list[str]]:
    """Decide how a map is brought to the pixel of a model.

    Parameters
    ----------
    observation : Observation
        The map.
    model_pixel_pc : float
        Pixel of the training set [pc].

    Returns
    -------
    grid : Resampling or None
        The coarser grid on top of the map; None where the map is taken as it is.
    notes : list of str
        What was done, for the header.

    Raises
    ------
    ValueError
        If the map's pixels are too coarse: what they average away cannot be put back.
    """
    sides = observation.pixel_sides_pc
    low, high = PIXEL_RATIO
    square = max(sides) / min(sides) <= LARGEST_ANISOTROPY
    coarsest = observation.pixel_size_pc if square else max(sides)
    if model_pixel_pc / coarsest < low:
        raise ValueError(
            f"map: expected pixels of at most {model_pixel_pc / low:.3g} pc for a model trained on {model_pixel_pc:.3g} pc, "
            f"got {coarsest:.3g} pc at {observation.distance_pc:.4g} pc; what a coarser pixel averages away cannot be "
            "put back: use a run trained on pixels of that size, or a map of higher resolution"
        )
    if square and model_pixel_pc / observation.pixel_size_pc <= high:
        return None, []
    grid = Resampling(observation.shape, tuple(max(1.0, model_pixel_pc / side) for side in sides))
    note = (
        f"The map was averaged from pixels of {observation.pixel_size_pc:.4g} pc to the {model_pixel_pc:.4g} pc of "
        "the model by area, and the log density interpolated back: no structure below the model's pixel"
    )
    log.info("%s", note)
    return grid, [note]


def pixel_scale(map_pixel_pc: float, model_pixel_pc: float) -> tuple[float, list[str]]:
    """Return the factor between densities at the pixel of a map and at that of a model, and a note about it.

    The network sees an array of columns, not lengths; with all lengths times mu and the columns kept, n falls
    as 1/mu: an exact symmetry of the projection.
    """
    scale = model_pixel_pc / map_pixel_pc
    if abs(scale - 1) < 1e-3:
        return 1.0, []
    return scale, [
        f"The map's pixels of {map_pixel_pc:.4g} pc were read as the model's {model_pixel_pc:.4g} pc and the density "
        f"scaled by {scale:.4g}, their ratio"
    ]


def check_size(shape: tuple[int, int], run: Run) -> list[str]:
    """Refuse a map that is too small, and return what must be said of one that is smaller than a patch."""
    size = f"{shape[0]} x {shape[1]}"
    if min(shape) < SMALLEST_SIDE:
        raise ValueError(
            f"map: expected at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels of the model ({run.pixel_size_pc:.3g} pc), "
            f"got {size}; a network sees no structure in so few: use a larger map or a run trained on smaller pixels"
        )
    if min(shape) >= patch_size(run):
        return []
    note = (
        f"The map has {size} pixels of the model, fewer than the {patch_size(run)} of a training patch: it is "
        "continued by reflection, and the network sees less of the surroundings than in training"
    )
    log.info("%s", note)
    return [note]


def patch_size(run: Run) -> int:
    """Return the side of the patches that a run was trained on [pixels]."""
    return int(run.description.dataset.patch_size)


def plan_map(
    shape: tuple[int, int],
    *,
    margin: int,
    stride: int,
    patch: int,
    overlap: float | None,
    tile: int | None,
    spared: int = 0,
    parameters: int | None = None,
) -> TilePlan:
    """Cut a map into tiles.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the model.
    margin, stride : int
        Reach and stride of the networks [pixels].
    patch : int
        Side of a training patch [pixels], that of a tile with `overlap`.
    overlap : float, optional
        Fraction of a tile that it shares with the next; by default tiles have a margin instead.
    tile : int, optional
        Side of a tile [pixels].
    spared : int
        Pixels of the margin that cost next to nothing: tiles are larger by them on both sides, by default.
    parameters : int, optional
        Of the largest network.
    """
    if overlap is not None:
        return plan_overlapping(shape, tile=tile or patch, overlap=overlap, multiple=stride)
    smallest = 2 * math.ceil(margin / stride) * stride + stride
    small = parameters is not None and parameters <= SMALL_NETWORK and max(shape) <= ONE_TILE
    side = max(ONE_TILE if small else TILE + 2 * spared, 2 * smallest) if tile is None else tile
    return plan_tiles(shape, tile=side, margin=margin, multiple=stride, within=True)


def bands(plan: TilePlan, *, pixels: int = BAND_PIXELS) -> Iterator[Band]:
    """Group the rows of tiles of a plan into bands of about so many pixels; overlapping tiles are one band.

    A band reads all that its tiles see, reflections at the edges of the map included, so what they answer does not
    depend on the bands.

    Examples
    --------
    >>> plan = plan_tiles((300, 300), tile=192, margin=30, multiple=16)
    >>> [band.rows for band in bands(plan, pixels=1)]
    [slice(0, 112, None), slice(112, 224, None), slice(224, 300, None)]
    """
    height, width = plan.shape
    if plan.weights is not None or height * width <= pixels:
        yield Band(slice(0, height), slice(0, height), plan)
        return
    starts = sorted({tile.core[0].start for tile in plan})
    per_band = max(1, int(pixels / width / (starts[1] - starts[0]))) if len(starts) > 1 else 1
    for first in range(0, len(starts), per_band):
        mine = set(starts[first : first + per_band])
        tiles = [tile for tile in plan if tile.core[0].start in mine]
        rows = slice(tiles[0].core[0].start, max(tile.core[0].stop for tile in tiles))
        low = min(tile.origin[0] for tile in tiles)
        high = max(tile.origin[0] + tile.shape[0] for tile in tiles)
        read = slice(
            max(0, min(low, 2 * height - high - 1) - FILL_REACH), min(height, max(high, 1 - low) + FILL_REACH)
        )
        shifted = tuple(
            dataclasses.replace(
                tile,
                origin=(tile.origin[0] - read.start, tile.origin[1]),
                core=(
                    slice(tile.core[0].start - read.start, tile.core[0].stop - read.start),
                    tile.core[1],
                ),
            )
            for tile in tiles
        )
        yield Band(rows, read, TilePlan((read.stop - read.start, width), plan.tile_shape, shifted))
