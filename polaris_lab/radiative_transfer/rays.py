"""Rays through a cube: which block of the arrays holds them, and what a block must satisfy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from polaris_lab.clouds.simulation import AXES, axis_index
from polaris_lab.parallel import share_rows
from polaris_lab.radiative_transfer.vector_math import SeparateArrays, float_to_bits

BLOCK_BYTES = 256 * 2**20
"""Memory that one block of rays may take, in and out."""

MESSAGE_BYTES = 8 * 2**20
"""The same for a block that is sent to a cluster."""


class Face(NamedTuple):
    """The geometry of a line of sight: its axis, its depth and the two axes that remain."""

    axis: str
    depth: int
    rows: int
    columns: int

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the axes of the face, in their order."""
        rest = [name for name in AXES if name != self.axis]
        return rest[0], rest[1]


def face_of(shape: tuple[int, int, int], axis: str) -> Face:
    """Return the face that a cube shows along `axis`."""
    index = axis_index(axis)
    rows, columns = (n for i, n in enumerate(shape) if i != index)
    return Face(axis, shape[index], rows, columns)


def read_rays(array: Any, face: Face, start: int, stop: int, dtype: type = np.float32) -> np.ndarray:
    """Read the rays of some rows of the face.

    Parameters
    ----------
    array : array_like, shape (nz, ny, nx)
        In memory or read lazily.
    face : Face
        The line of sight.
    start, stop : int
        Rows of the face.
    dtype : type
        Of the result.

    Returns
    -------
    ndarray, shape (depth, rays)
        Contiguous; index 0 is nearest to the observer, rays run along the columns of the face first.
    """
    if face.axis == "z":
        block = np.asarray(array[:, start:stop, :])
    else:
        block = np.moveaxis(np.asarray(array[start:stop]), axis_index(face.axis), 0)
    block = np.ascontiguousarray(block, dtype=dtype)
    return block.reshape(face.depth, -1)  # (depth, rays)


def row_blocks(face: Face, bytes_per_ray: int, arrays: list[Any], limit: int) -> Iterator[tuple[int, int]]:
    """Cut the rows of a face into blocks of at most `limit` bytes, whole chunks of a chunked array where they fit."""
    rows = max(1, limit // max(1, bytes_per_ray * face.columns))
    axis = 1 if face.axis == "z" else 0
    chunks = [array.chunks[axis] for array in arrays if getattr(array, "chunks", None)]
    if chunks and isinstance(chunks[0], int) and rows > chunks[0]:
        rows -= rows % chunks[0]
    for start in range(0, face.rows, rows):
        yield start, min(start + rows, face.rows)


class Census(NamedTuple):
    """What one pass over a block of rays found."""

    coldest: float
    hottest: float
    slowest: float
    fastest: float
    mass: float
    """Sum of the density."""
    mass_outside: float
    """The part of it that moves outside the channels."""
    steps: int
    """Pairs of neighbours on a ray whose velocities differ by more than half a line width."""


def take_census(
    density: np.ndarray,
    temperature: np.ndarray,
    velocity: np.ndarray,
    *,
    channels: tuple[float, float],
    thermal: float,
    b2: float,
) -> Census:
    """Check a block of rays and count what the warnings need, in one pass.

    Parameters
    ----------
    density, temperature, velocity : ndarray, shape (depth, rays), float32
        cm^-3, K, km/s.
    channels : (float, float)
        Velocities that the channels cover [km/s].
    thermal, b2 : float
        a^2 = b2 + thermal T, the width against which steps are measured [km^2 s^-2].

    Returns
    -------
    Census
        Ranges and counts.

    Raises
    ------
    ValueError
        A density or temperature that is not positive and finite, a velocity that is not finite.
    """
    tiles = -(-density.shape[1] // _WIDE)
    bits = np.empty((tiles, 5), np.int32)
    ranges = np.empty((tiles, 2), np.float32)
    masses = np.empty((tiles, 2), np.float64)
    steps = np.empty(tiles, np.int64)
    share_rows(
        _census,
        tiles,
        density,
        temperature,
        velocity,
        np.float32(channels[0]),
        np.float32(channels[1]),
        np.float32(0.25 * thermal),
        np.float32(0.25 * b2),
        bits,
        ranges,
        masses,
        steps,
    )
    lowest, highest = bits.min(axis=0), bits.max(axis=0)
    _refuse(density, "density", "cm^-3", lowest[0] <= 0 or highest[1] >= _INFINITE, positive=True)
    _refuse(temperature, "temperature", "K", lowest[2] <= 0 or highest[3] >= _INFINITE, positive=True)
    _refuse(velocity, "velocity", "km/s", highest[4] >= _INFINITE, positive=False)
    kelvin = np.array([lowest[2], highest[3]], np.int32).view(np.float32)
    mass, outside = masses.sum(axis=0)
    return Census(
        float(kelvin[0]),
        float(kelvin[1]),
        float(ranges[:, 0].min()),
        float(ranges[:, 1].max()),
        float(mass),
        float(outside),
        int(steps.sum()),
    )


_INFINITE = 0x7F800000
"""Bits of float32 infinity; those of NaN are higher, those of positive numbers are in order below."""


def _refuse(values: np.ndarray, name: str, unit: str, bad: bool, *, positive: bool) -> None:
    if not bad:
        return
    wrong = ~np.isfinite(values) | ((values <= 0) if positive else False)
    raise ValueError(
        f"{name}: expected {'positive ' if positive else ''}finite values in {unit}, got {values[wrong][0]} "
        f"({int(wrong.sum())} such cells on the rays read so far); mend them before the line is computed"
    )


_WIDE = 256
"""Rays of a tile of the census."""


@njit(
    nogil=True,
    pipeline_class=SeparateArrays,
    fastmath={"nnan", "ninf", "nsz", "reassoc", "contract"},
    cache=True,
)
def _census(
    density, temperature, velocity, slow, fast, cold, limit, bits, ranges, masses, steps, first, last
):  # pragma: no cover - compiled
    """Fill the parts of :class:`Census` tile by tile; bits are compared as integers, which NaN cannot fool."""
    depth, rays = density.shape
    for tile in range(first, last):
        start = np.uint64(tile * _WIDE)
        count = np.uint64(min(_WIDE, rays - tile * _WIDE))
        lo_n = lo_t = np.int32(0x7FFFFFFF)
        hi_n = hi_t = hi_v = np.int32(0)
        slowest, fastest = velocity[0, start], velocity[0, start]
        mass, outside = 0.0, 0.0
        far = 0
        for z in range(np.uint64(depth)):
            before = z - np.uint64(1) if z > np.uint64(0) else z
            row, lost, jumps = np.float32(0.0), np.float32(0.0), np.int32(0)
            for i in range(count):
                n, t, v = density[z, start + i], temperature[z, start + i], velocity[z, start + i]
                bits_n, bits_t = float_to_bits(n), float_to_bits(t)
                lo_n, hi_n = min(lo_n, bits_n), max(hi_n, bits_n)
                lo_t, hi_t = min(lo_t, bits_t), max(hi_t, bits_t)
                hi_v = max(hi_v, float_to_bits(v) & np.int32(0x7FFFFFFF))
                slowest, fastest = min(slowest, v), max(fastest, v)
                row += n
                lost += n if v < slow or v > fast else np.float32(0.0)
                step = v - velocity[before, start + i]
                jumps += np.int32(step * step > limit + cold * t)
            mass, outside, far = mass + row, outside + lost, far + jumps
        bits[tile, 0], bits[tile, 1], bits[tile, 2], bits[tile, 3], bits[tile, 4] = (
            lo_n,
            hi_n,
            lo_t,
            hi_t,
            hi_v,
        )
        ranges[tile, 0], ranges[tile, 1] = slowest, fastest
        masses[tile, 0], masses[tile, 1] = mass, outside
        steps[tile] = far
