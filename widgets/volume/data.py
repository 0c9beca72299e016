"""Cubes of any kind as a volume viewer takes them: values on three named axes, reduced for a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from polaris_lab.clouds import SimulationCube
from polaris_lab.clouds.simulation import AXES, check_density, layer_ranges
from polaris_lab.radiative_transfer import PPVCube
from widgets import style

MOST_CELLS = 256
"""A browser is sent no more cells a side."""

LARGE = 2**28
"""A cube of more cells is reduced on request only."""


@dataclass(frozen=True)
class Axis:
    """One axis of a volume: where its cells lie."""

    name: str
    unit: str
    first: float
    """Centre of cell 0."""
    step: float
    """From cell to cell; negative where the axis was turned over."""
    cells: int

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    @property
    def ends(self) -> tuple[float, float]:
        """Outer faces of the first and the last cell."""
        return self.first - self.step / 2, self.first + (self.cells - 0.5) * self.step

    def at(self, index: float) -> float:
        """Return the place of a cell, or between cells."""
        return self.first + index * self.step

    def index(self, place: float) -> float:
        """Return the (fractional) cell at a place."""
        return (place - self.first) / self.step


@dataclass(frozen=True, eq=False)
class VolumeData:
    """Values on a grid, in the order (depth, row, column), which are z, y, x of right-handed axes.

    Attributes
    ----------
    values : array_like, shape (depth, rows, columns)
        In memory or read lazily.
    axes : tuple of Axis
        In the order of the array.
    extents : tuple of float
        Sides of the box as it is drawn, in any unit.
    label : str
        Quantity and unit.
    logarithmic : bool
        Whether it is shown as its decimal logarithm.
    name : str
        What it is called.
    source : object
        The cube it was made of.
    """

    values: Any
    axes: tuple[Axis, Axis, Axis]
    extents: tuple[float, float, float]
    label: str
    logarithmic: bool
    name: str
    source: Any
    turned: bool = False
    """Whether the columns were turned over, so that the view along the first axis is not mirrored."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along depth, rows and columns."""
        return tuple(int(n) for n in self.values.shape)

    @property
    def large(self) -> bool:
        """Whether it is reduced only when asked for."""
        return int(np.prod(self.shape, dtype=np.int64)) > LARGE

    @property
    def half(self) -> np.ndarray:
        """Half the sides of the drawn box along x, y, z; the longest side is 1."""
        sides = np.array(self.extents[::-1], np.float64)
        return sides / sides.max() / 2

    @property
    def factor(self) -> int:
        """Cells along a side that become one on the way to a browser."""
        return -(-max(self.shape) // MOST_CELLS)

    def value(self, depth: int, row: int, column: int) -> float:
        """Return the value of one cell, from the full array."""
        return float(self.values[depth, row, self.shape[2] - 1 - column if self.turned else column])

    def layers(self, start: int, stop: int) -> np.ndarray:
        """Read some layers as float32, checked and the right way round."""
        slab = np.asarray(self.values[start:stop], np.float32)
        if isinstance(self.source, SimulationCube) and self.logarithmic:
            check_density(slab, start)
        return slab[..., ::-1] if self.turned else slab


def volume_data(cube: Any, quantity: str | None = None) -> VolumeData:
    """Return a cube of any kind as a volume.

    Parameters
    ----------
    cube : SimulationCube, PPVCube, VolumeData or array_like
        An array is shown with axes in cells; on a logarithmic scale if all of a sample is positive and it spans more
        than a factor of 30.
    quantity : str, optional
        Of a SimulationCube: "density" (the default), "temperature", "velocity_z", "velocity_y" or "velocity_x".

    Returns
    -------
    VolumeData

    Raises
    ------
    ValueError
        If an array has not three axes, or the cube does not carry the quantity.
    TypeError
        If it is no cube.

    Examples
    --------
    >>> data = volume_data(np.ones((4, 5, 6)))
    >>> data.shape, data.axes[2].label, data.factor
    ((4, 5, 6), 'x [cells]', 1)
    """
    if isinstance(cube, VolumeData):
        return cube
    if isinstance(cube, SimulationCube):
        return _of_simulation(cube, quantity or "density")
    if isinstance(cube, PPVCube):
        if quantity not in (None, "brightness_temperature", "optical_depth"):
            raise ValueError(f"quantity: expected none for a line cube, got {quantity!r}")
        return _of_ppv(cube)
    if quantity is not None:
        raise ValueError(f"quantity: expected one with a SimulationCube only, got {quantity!r}")
    return _of_array(cube)


def _of_simulation(cube: SimulationCube, quantity: str) -> VolumeData:
    fields = {"density": (cube.density, "density", True)}
    if cube.temperature is not None:
        fields["temperature"] = (cube.temperature, "T [K]", False)
    for axis, values in cube.velocity.items():
        fields[f"velocity_{axis}"] = (values, f"v_{axis} [km s⁻¹]", False)
    if quantity not in fields:
        raise ValueError(
            f"quantity: expected one of {', '.join(fields)}, which this cube carries, got {quantity!r}"
        )
    values, label, logarithmic = fields[quantity]
    step = cube.cell_size_pc
    axes = tuple(Axis(name, "pc", step / 2, step, n) for name, n in zip(AXES, cube.shape, strict=True))
    name = cube.name or "unnamed cloud"
    return VolumeData(values, axes, cube.side_pc, style.quantity(label).label, logarithmic, name, cube)


def _of_ppv(ppv: PPVCube) -> VolumeData:
    """Return a line cube; its velocity axis is drawn as long as the longer side of the map."""
    channels, rows, columns = ppv.shape
    step, unit = (1.0, "pixels")
    if ppv.pixel_size is not None:
        step, unit = float(ppv.pixel_size.value), str(ppv.pixel_size.unit)
        if unit == "arcsec" and step * max(rows, columns) > 600:
            step, unit = step / 60, "arcmin"
    names = tuple(name for name in AXES if name != ppv.axis) if ppv.axis else ("y", "x")
    turned = ppv.axis == "y" or (
        ppv.wcs is not None and np.linalg.det(ppv.wcs.pixel_scale_matrix) < 0
    )  # what stands in the order of the array is as the observer sees it
    velocity = Axis("v", "km s⁻¹", float(ppv.velocity[0]), ppv.channel_width or 1.0, channels)
    across = Axis(names[1], unit, step / 2, step, columns)
    if turned:
        across = Axis(names[1], unit, (columns - 0.5) * step, -step, columns)
    label = "T [K]" if ppv.unit == "K" else "τ"
    name = f"{ppv.line.name} line cube" if ppv.line else "line cube"
    sides = (max(rows, columns) * step, rows * step, columns * step)
    axes = (velocity, Axis(names[0], unit, step / 2, step, rows), across)
    return VolumeData(ppv.data, axes, sides, label, False, name, ppv, turned)


def _of_array(values: Any) -> VolumeData:
    shape = getattr(values, "shape", None)
    if shape is None or not hasattr(values, "dtype"):
        raise TypeError(
            f"cube: expected a SimulationCube, a PPVCube or an array, got {type(values).__name__}; open a file with "
            "lab.SimulationCube.open or lab.PPVCube.open"
        )
    if len(shape) != 3 or min(shape) < 2:
        raise ValueError(
            f"cube: expected three axes (z, y, x) of two cells or more, got the shape {tuple(shape)}; "
            "a map is shown by figures.sky_map"
        )
    if np.dtype(values.dtype).kind not in "fiub":
        raise ValueError(f"cube: expected real numbers, got {values.dtype}; save a plain array")
    sample = np.asarray(values[:: max(1, shape[0] // 8)][:8], np.float64)
    sample = sample[np.isfinite(sample)]
    logarithmic = bool(sample.size and sample.min() > 0 and sample.max() > 30 * sample.min())
    axes = tuple(Axis(name, "cells", 0.0, 1.0, int(n)) for name, n in zip(AXES, shape, strict=True))
    return VolumeData(values, axes, tuple(map(float, shape)), "value", logarithmic, "array", values)


@dataclass(frozen=True, eq=False)
class Grid:
    """A volume as it is shown: reduced by a whole factor, with the limits of its values.

    Attributes
    ----------
    mean, peak : ndarray, shape (depth, rows, columns), float32
        Means and largest values of blocks of `factor` cells a side; the same array where the factor is 1.
    factor : int
    low, high : float
        Limits of the scale, decimal logarithms where the volume is logarithmic.
    """

    mean: np.ndarray
    peak: np.ndarray
    factor: int
    low: float
    high: float
    logarithmic: bool

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values on the scale, 0 at `low` and 1 at `high`; NaN becomes 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values) if self.logarithmic else values
            scaled = (values - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.nan_to_num(np.clip(scaled, 0, 1), nan=0.0)

    def texture(self, mode: str) -> np.ndarray:
        """Return the block means, or for the mode "maximum" the block maxima, as uint8 between the limits."""
        return np.round(255 * self.scaled(self.peak if mode == "maximum" else self.mean)).astype(np.uint8)


def make_grid(
    data: VolumeData, factor: int | None = None, *, on_layer: Callable[[int, int], object] | None = None
) -> Grid:
    """Read a volume, each cell once, reduced by a factor so that no side has more than :data:`MOST_CELLS` cells.

    Parameters
    ----------
    data : VolumeData
    factor : int, optional
        Cells of a block along a side.
    on_layer : callable, optional
        Told how many layers of blocks are read, and how many there are; what it raises ends the reading.

    Raises
    ------
    ValueError
        If a density is not positive and finite, or nothing is finite.
    """
    factor = factor or data.factor
    mean, peak = _blocks(data.layers, data.shape, factor, on_layer)
    good = np.isfinite(mean)
    if not good.any():
        raise ValueError("cube: expected values, got NaN or infinity everywhere; choose another file")
    low, high = float(mean[good].min()), float(peak[np.isfinite(peak)].max())
    if data.logarithmic:
        low, high = float(np.log10(low)), float(np.log10(high))
    if high - low < 1e-6 * max(abs(high), 1e-30):  # a uniform cube
        low, high = low - 0.5, high + 0.5
    return Grid(mean, peak, factor, low, high, data.logarithmic)


def reduce_field(values: Any, factor: int) -> np.ndarray:
    """Return the means of cubic blocks of one field of a cube; NaN does not count, blocks at the far ends may be thinner.

    Parameters
    ----------
    values : array_like, shape (depth, rows, columns)
        Read layer by layer.
    factor : int
        Cells of a block along a side.

    Returns
    -------
    ndarray, float32

    Examples
    --------
    >>> means = reduce_field(np.arange(27.0).reshape(3, 3, 3), 2)
    >>> means.shape, float(means[0, 0, 0])
    ((2, 2, 2), 6.5)
    """
    return _blocks(lambda a, b: np.asarray(values[a:b], np.float32), tuple(values.shape), factor)[0]


def _blocks(
    read: Callable[[int, int], np.ndarray],
    shape: tuple[int, ...],
    factor: int,
    on_layer: Callable[[int, int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the largest value of each block."""
    if factor == 1:
        parts = [read(start, stop) for start, stop in layer_ranges(shape)]
        whole = np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return whole, whole
    mean, peak = (np.empty(tuple(-(-n // factor) for n in shape), np.float32) for _ in range(2))
    rows, columns = (np.arange(0, n, factor) for n in shape[1:])

    def joined(layer: np.ndarray, join: np.ufunc) -> np.ndarray:
        return join.reduceat(join.reduceat(layer, rows, axis=0), columns, axis=1)

    for layer in range(len(mean)):
        slab = read(layer * factor, min((layer + 1) * factor, shape[0]))
        good = np.isfinite(slab)
        peak[layer] = joined(np.fmax.reduce(slab, axis=0), np.fmax)
        if good.all():
            count = joined(np.full(shape[1:], float(len(slab))), np.add)
            mean[layer] = joined(slab.sum(axis=0, dtype=np.float64), np.add) / count
        else:
            sums = [
                joined(part.sum(axis=0, dtype=np.float64), np.add) for part in (np.where(good, slab, 0), good)
            ]
            with np.errstate(invalid="ignore"):
                mean[layer] = sums[0] / sums[1]
        if on_layer is not None:
            on_layer(layer + 1, len(mean))
    return mean, peak
