"""Channels beside projections and lines: what surrounds a patch, where it lies, temperature, scalars, the gas itself.

The maps of a face are made when its first patch is asked for, and cut with the window of the column density. With a
slab split nothing of the other side enters: pixels of the context that lie there are blank, and an estimator is
given the part of the face on the patch's own side.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polaris_lab.clouds import SimulationCube
from polaris_lab.clouds.simulation import AXES, axis_index
from polaris_lab.datasets.patch_config import PatchConfig
from polaris_lab.datasets.patches import read_window
from polaris_lab.datasets.split import Slab, face_axes

ESTIMATOR_CHANNELS = {
    "constrained_diffusion_density": "constrained_diffusion",
    "aviator_density": "aviator_background",
}
"""The estimator of :mod:`polaris_lab.estimators` behind each channel."""


class Place(NamedTuple):
    """Where a patch lies: what its channels are cut with."""

    line_of_sight: str
    origin: tuple[int, int]
    split: str


def mass_weighted_temperature(cube: SimulationCube, *, axis: str = "z") -> np.ndarray:
    """Mean temperature of the gas along the line of sight, weighted by mass.

    Parameters
    ----------
    cube : SimulationCube
        With its temperature [K].
    axis : {"z", "y", "x"}
        Line of sight.

    Returns
    -------
    ndarray, 2D, float64
        sum(n_H T) / sum(n_H) [K].

    Raises
    ------
    ValueError
        If `axis` is unknown or the cube has no temperature.

    Examples
    --------
    >>> from astropy import units as u
    >>> density, temperature = np.array([1.0, 3.0]), np.array([100.0, 20.0])
    >>> cube = SimulationCube(
    ...     density.reshape(2, 1, 1), cell_size=1 * u.pc, temperature=temperature.reshape(2, 1, 1)
    ... )
    >>> mass_weighted_temperature(cube)
    array([[40.]])
    """
    index = axis_index(axis)
    if cube.temperature is None:
        raise ValueError(
            f"cube: expected a temperature [K], got {cube.name or 'a cloud'} without one; build it with "
            "temperature=array"
        )
    face = tuple(n for i, n in enumerate(cube.shape) if i != index)
    mass, heat = np.zeros(face), np.zeros(face)
    for start, slab in cube.blocks(check=False):
        density = slab.astype(np.float64)
        temperature = np.asarray(cube.temperature[start : start + len(slab)], np.float64)
        rows = slice(None) if index == 0 else slice(start, start + len(slab))
        mass[rows] += density.sum(axis=index)
        heat[rows] += (density * temperature).sum(axis=index)
    return heat / mass


def context_window(
    column_density: np.ndarray,
    origin: tuple[int, int],
    side: int,
    width: int,
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the surroundings of a patch in coarse pixels, and how much of each of these belongs to the patch.

    The field is `width` times wider than the patch and has as many pixels, each the mean of `width` x `width` of
    the face. The patch is in its middle, unless the field would then reach beyond the face: it is moved back onto
    it, as far as that goes.

    Parameters
    ----------
    column_density : ndarray, shape (rows, columns)
        Of the whole face.
    origin : (int, int)
        First pixel of the patch.
    side : int
        Of the patch [pixels].
    width : int
        Side of the field [patch sides].
    known : ndarray of bool, broadcastable to the face, optional
        Pixels that may be seen; the others count as lying beyond the face.

    Returns
    -------
    context : ndarray, shape (side, side)
        Mean over the pixels known; NaN where there is none.
    mask : ndarray, shape (side, side)
        Share of each coarse pixel that lies in the patch, 0 to 1.

    Examples
    --------
    >>> context, mask = context_window(np.arange(64.0).reshape(8, 8), (0, 6), side=2, width=2)
    >>> context  # rows 0 to 3 and columns 4 to 7 of the face, 2 x 2 pixels at a time
    array([[ 8.5, 10.5],
           [24.5, 26.5]])
    >>> mask
    array([[0., 1.],
           [0., 0.]])
    """
    field = side * width
    seen = np.broadcast_to(True if known is None else known, column_density.shape)
    inside, indices, shares = [], [], []
    for first, length in zip(origin, column_density.shape, strict=True):
        start = first - (field - side) // 2
        start = min(max(start, min(0, length - field)), max(0, length - field))
        pixels = np.arange(start, start + field)
        inside.append((pixels >= 0) & (pixels < length))
        indices.append(np.clip(pixels, 0, length - 1))
        own = (pixels >= first) & (pixels < first + side)
        shares.append(own.reshape(side, width).mean(axis=1))
    window = np.ix_(*indices)
    use = seen[window] & inside[0][:, None] & inside[1]  # (field, field)
    blocks = (side, width, side, width)
    total = np.where(use, column_density[window], 0.0).reshape(blocks).sum(axis=(1, 3))
    count = use.reshape(blocks).sum(axis=(1, 3))
    context = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return context, shares[0][:, None] * shares[1]


def gas_columns(
    cube: SimulationCube, line_of_sight: str, origin: tuple[int, int], side: int, depth_cells: int | None
) -> np.ndarray:
    """Return the gas behind a patch: the density along every line of sight, in `depth_cells` layers.

    Parameters
    ----------
    cube : SimulationCube
    line_of_sight : {"z", "y", "x"}
    origin : (int, int)
        First pixel of the patch on the face.
    side : int
        Of the patch [pixels].
    depth_cells : int or None
        Layers, each the mean of as many cells (the column density stays what it is); None for all cells.

    Returns
    -------
    ndarray, shape (depth_cells, side, side), float32
        n_H [cm^-3]; the first layer is the first along the axis.
    """
    index = axis_index(line_of_sight)
    window = [slice(first, first + side) for first in origin]
    window.insert(index, slice(None))
    gas = np.moveaxis(np.asarray(cube.density[tuple(window)], np.float64), index, 0)  # (depth, side, side)
    layers = len(gas) if depth_cells is None else depth_cells
    return gas.reshape(layers, len(gas) // layers, side, side).mean(axis=1).astype(np.float32)


def layer_count(cubes: Sequence[SimulationCube], names: Sequence[str], config: PatchConfig) -> int | None:
    """Return the layers of "density_cube", None where it is not stored.

    Raises
    ------
    ValueError
        If the depth of a cloud is no multiple of it, or depths differ and no number of layers is given.
    """
    if "density_cube" not in config.quantities:
        return None
    depths = {
        (name, axis): cube.shape[AXES.index(axis)]
        for cube, name in zip(cubes, names, strict=True)
        for axis in config.used_lines_of_sight
    }
    layers = config.depth_cells or next(iter(depths.values()))
    for (name, axis), depth in depths.items():
        if config.depth_cells is None and depth != layers:
            raise ValueError(
                f"depth_cells: expected one depth for density_cube, got {layers} and {depth} cells ({name} along "
                f"{axis}); set depth_cells to a divisor of both"
            )
        if depth % layers:
            raise ValueError(
                f"depth_cells: expected a divisor of the {depth} cells of {name} along {axis}, got {layers}; take "
                f"for example {_nearest_divisor(depth, layers)}"
            )
    return layers


def check_temperature(cubes: Sequence[SimulationCube], names: Sequence[str]) -> None:
    """Refuse clouds without a temperature.

    Raises
    ------
    ValueError
        With the cloud and the remedy.
    """
    for cube, name in zip(cubes, names, strict=True):
        if cube.temperature is None:
            raise ValueError(
                f'cubes: expected a temperature [K] for the quantity "temperature", got {name} without one; build it '
                'with temperature=array, or leave "temperature" out of quantities'
            )


class ChannelFaces:
    """Channels of patches, face by face.

    Parameters
    ----------
    config : PatchConfig
    depth_cells : int or None
        Layers of "density_cube".
    """

    def __init__(self, config: PatchConfig, depth_cells: int | None) -> None:
        self.config, self.depth_cells = config, depth_cells
        self.quantities = config.channel_quantities
        self._cube: SimulationCube | None = None
        self._maps: dict[tuple[Any, ...], np.ndarray] = {}

    def cut(
        self, cube: SimulationCube, place: Place, columns: Mapping[str, np.ndarray], slab: Slab | None
    ) -> dict[str, np.ndarray]:
        """Return the channels of one patch by name, float32.

        Parameters
        ----------
        cube : SimulationCube
        place : Place
            Of the patch.
        columns : mapping of str to ndarray
            Column density of the faces by their line of sight [cm^-2].
        slab : Slab or None
            Layers kept for validation.
        """
        if cube is not self._cube:
            self._cube, self._maps = cube, {}  # maps of one cloud at a time
        side, axis = self.config.patch_size, place.line_of_sight
        column = columns[axis]
        patch: dict[str, Any] = {}
        if {"context_column_density", "context_mask"} & set(self.quantities):
            known = None if slab is None else known_pixels(column.shape, place, slab)
            patch["context_column_density"], patch["context_mask"] = context_window(
                column, place.origin, side, self.config.context_width, known
            )
        if "temperature" in self.quantities:
            patch["temperature"] = self._window("temperature", cube, place, column, None)
        if "position" in self.quantities:
            patch["position"] = position(column.shape, place.origin, side, cube.cell_size_pc)
        if "density_cube" in self.quantities:
            patch["density_cube"] = gas_columns(cube, axis, place.origin, side, self.depth_cells)
        patch["pixel_size"] = cube.cell_size_pc
        patch["depth"] = cube.shape[axis_index(axis)] * cube.cell_size_pc
        for name in set(self.quantities) & set(ESTIMATOR_CHANNELS):
            patch[name] = self._window(name, cube, place, column, slab)
        return {name: np.asarray(patch[name], np.float32) for name in self.quantities}

    def _window(
        self, name: str, cube: SimulationCube, place: Place, column: np.ndarray, slab: Slab | None
    ) -> np.ndarray:
        """Return the window of a map that is made once a face, or once for each side of a slab."""
        part = (slice(None), slice(None)) if slab is None else own_part(column.shape, place, slab)
        key = (name, place.line_of_sight, *(edge.start for edge in part))
        if key not in self._maps:
            if name == "temperature":
                self._maps[key] = mass_weighted_temperature(cube, axis=place.line_of_sight)
            else:
                self._maps[key] = estimate(name, column[part], cube.cell_size_pc)
        origin = tuple(first - (edge.start or 0) for first, edge in zip(place.origin, part, strict=True))
        return read_window(self._maps[key], origin, (self.config.patch_size,) * 2)


def position(shape: tuple[int, int], origin: tuple[int, int], side: int, cell_size_pc: float) -> np.ndarray:
    """Return where the pixels of a patch lie on the face, from its centre [pc].

    Returns
    -------
    ndarray, shape (2, side, side)
        Along the rows' axis, then along the columns'.

    Examples
    --------
    >>> position((4, 4), (0, 2), side=2, cell_size_pc=1.0)
    array([[[-1.5, -1.5],
            [-0.5, -0.5]],
    <BLANKLINE>
           [[ 0.5,  1.5],
            [ 0.5,  1.5]]])
    """
    places = [
        (np.arange(first, first + side) + 0.5 - length / 2) * cell_size_pc
        for first, length in zip(origin, shape, strict=True)
    ]
    return np.stack(np.meshgrid(*places, indexing="ij"))  # (2, side, side)


def known_pixels(shape: tuple[int, int], place: Place, slab: Slab) -> np.ndarray:
    """Return which pixels of a face lie on the patch's side of a slab, broadcastable to the face."""
    along = face_axes(place.line_of_sight).index(slab.axis)
    layers = np.arange(shape[along])
    inside = (layers >= slab.start) & (layers < slab.stop)
    own = inside if place.split == "validation" else ~inside
    return own[:, None] if along == 0 else own[None, :]


def own_part(shape: tuple[int, int], place: Place, slab: Slab) -> tuple[slice, slice]:
    """Return the unbroken part of a face on the patch's side of a slab."""
    along = face_axes(place.line_of_sight).index(slab.axis)
    edges = [0, slab.start, slab.stop, shape[along]]
    for start, stop in itertools.pairwise(edges):
        if start <= place.origin[along] < stop:
            part = [slice(None), slice(None)]
            part[along] = slice(start, stop)
            return part[0], part[1]
    raise ValueError(f"origin: expected a pixel of a face of {shape}, got {place.origin}")


def estimate(name: str, column_density: np.ndarray, pixel_size_pc: float) -> np.ndarray:
    """Return the map of an estimator channel.

    Parameters
    ----------
    name : str
        Out of :data:`ESTIMATOR_CHANNELS`.
    column_density : ndarray, shape (rows, columns)
        N_H [cm^-2].
    pixel_size_pc : float

    Returns
    -------
    ndarray, same shape
        n_H [cm^-3].
    """
    from polaris_lab.estimators import fit_estimator

    estimator = fit_estimator(
        ESTIMATOR_CHANNELS[name], column_density, None, pixel_size_pc=pixel_size_pc
    )  # neither has constants to be fitted to a target
    return np.asarray(estimator(column_density, pixel_size_pc=pixel_size_pc))


def _nearest_divisor(depth: int, wanted: int) -> int:
    return min(
        (layers for layers in range(1, depth + 1) if depth % layers == 0), key=lambda n: abs(n - wanted)
    )
