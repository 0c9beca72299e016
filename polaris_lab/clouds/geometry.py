"""Parts, coarser versions, unions and shifts of cubes; every field takes part, mass is conserved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polaris_lab.clouds.simulation import AXES, SimulationCube, axis_index


def crop(cube: SimulationCube, **ranges: tuple[int, int]) -> SimulationCube:
    """Return a part of a cube: ``crop(cube, z=(0, 64), x=(32, 96))``, in cells, the end not included.

    Parameters
    ----------
    cube : SimulationCube
        A cube in a file is read only where it is cut.
    **ranges : (int, int)
        Start and stop along "z", "y" or "x"; an axis not named stays whole.

    Raises
    ------
    ValueError
        If a range is empty or leaves the cube.

    Examples
    --------
    >>> from astropy import units as u
    >>> crop(SimulationCube(np.ones((4, 6, 8)), cell_size=1 * u.pc), z=(1, 3), x=(0, 4)).shape
    (2, 6, 4)
    """
    part = [slice(0, n) for n in cube.shape]
    for axis, limits in ranges.items():
        index = axis_index(axis)
        start, stop = limits
        if not 0 <= start < stop <= cube.shape[index]:
            raise ValueError(f"{axis}: expected 0 <= start < stop <= {cube.shape[index]}, got {limits}")
        part[index] = slice(int(start), int(stop))
    where = tuple(part)
    entry = {"crop": {axis: [s.start, s.stop] for axis, s in zip(AXES, part, strict=True)}}
    return _with_fields(cube, lambda values: np.asarray(values[where]), entry)


def shift(cube: SimulationCube, **cells: int) -> SimulationCube:
    """Return a periodic cube moved by whole cells: what leaves at one face comes in at the other.

    Parameters
    ----------
    cube : SimulationCube
        A periodic box; else the faces meet in a seam.
    **cells : int
        Along "z", "y", "x", positive towards larger indices.

    Examples
    --------
    >>> from astropy import units as u
    >>> cube = SimulationCube(np.arange(1.0, 9.0).reshape(2, 2, 2), cell_size=1 * u.pc)
    >>> shift(cube, z=1).density[0, 0, 0]
    np.float32(5.0)
    """
    for axis, count in cells.items():
        axis_index(axis)
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise TypeError(f"{axis}: expected a whole number of cells, got {count!r}")
    steps = tuple(int(cells.get(axis, 0)) for axis in AXES)
    return _with_fields(
        cube, lambda values: np.roll(np.asarray(values), steps, (0, 1, 2)), {"shift": list(steps)}
    )


def downsample(cube: SimulationCube, factor: int, *, subcell: bool = False) -> SimulationCube:
    """Return a coarser cube of the same mass and momentum.

    Densities are averaged, velocities and temperatures weighted by mass.

    Parameters
    ----------
    cube : SimulationCube
        Its sides must be multiples of `factor`.
    factor : int
        Cells that become one, along each axis.
    subcell : bool
        Keep the mean square and the largest density within each new cell, so that <n_H>_M and n_max of the maps are
        those of the finer cube (<n_H>_M in the mean weighted by mass).

    Raises
    ------
    ValueError
        If `factor` does not divide the sides.

    Examples
    --------
    >>> from astropy import units as u
    >>> cube = SimulationCube(np.arange(1.0, 9.0).reshape(2, 2, 2), cell_size=1 * u.pc)
    >>> coarse = downsample(cube, 2)
    >>> print(coarse.density.item(), coarse.cell_size)
    4.5 2.0 pc
    """
    if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 1:
        raise ValueError(f"factor: expected a whole number from 1 up, got {factor!r}")
    if any(n % factor for n in cube.shape):
        raise ValueError(
            f"factor: expected a divisor of the sides {cube.shape}, got {factor}; crop the cube first"
        )
    shape = tuple(n // factor for n in cube.shape)
    fields = _fields(cube)
    sums = {name: np.zeros(shape) for name in fields}
    known = {"mean_square", "maximum"} & set(fields)
    if subcell or known:
        sums |= {"mean_square": np.zeros(shape), "maximum": np.zeros(shape)}
    for layer in range(shape[0]):
        part = slice(layer * factor, (layer + 1) * factor)
        blocks = {name: _blocks(np.asarray(values[part]), factor) for name, values in fields.items()}
        density = blocks["density"]
        for name, block in blocks.items():
            if name not in known:
                sums[name][layer] = (block if name == "density" else block * density).mean((0, 2, 4))
        if "mean_square" in sums:
            sums["mean_square"][layer] = blocks.get("mean_square", density**2).mean((0, 2, 4))
            sums["maximum"][layer] = blocks.get("maximum", density).max((0, 2, 4))
    for name in fields:
        if name == "temperature" or name.startswith("velocity_"):
            sums[name] /= sums["density"]
    if "mean_square" in sums:
        sums["mean_square"] = np.maximum(sums["mean_square"], sums["density"] ** 2)
    return _build(cube, sums, {"downsample": int(factor)}, cells=factor)


def _blocks(slab: np.ndarray, factor: int) -> np.ndarray:
    """View (factor, ny, nx) as (factor, ny/factor, factor, nx/factor, factor), float64, blocks on axes 0, 2, 4."""
    ny, nx = slab.shape[1] // factor, slab.shape[2] // factor
    return slab.astype(np.float64).reshape(factor, ny, factor, nx, factor)


def join(tiles: Mapping[tuple[int, int, int], SimulationCube], *, name: str | None = None) -> SimulationCube:
    """Join tiles into one cube, with every field.

    Parameters
    ----------
    tiles : mapping
        Cubes by the cell (z, y, x) where their first cell lies. They fill a box without overlap.
    name : str, optional
        Of the whole; by default that of the first tile.

    Raises
    ------
    ValueError
        If tiles overlap or leave gaps, or differ in cell size or fields.

    Examples
    --------
    >>> from astropy import units as u
    >>> low, high = (SimulationCube(np.full((2, 4, 4), n), cell_size=1 * u.pc) for n in (1.0, 2.0))
    >>> join({(0, 0, 0): low, (2, 0, 0): high}).density[:, 0, 0]
    array([1., 1., 2., 2.], dtype=float32)
    """
    if not tiles:
        raise ValueError("tiles: expected at least one cube, got none")
    cubes = list(tiles.values())
    first = cubes[0]
    names = set(_fields(first))
    for origin, cube in tiles.items():
        if abs(cube.cell_size_pc / first.cell_size_pc - 1) > 1e-6:
            raise ValueError(
                f"tiles: expected one cell size, got {first.cell_size_pc:g} pc and {cube.cell_size_pc:g} pc at {origin}"
            )
        if set(_fields(cube)) != names:
            raise ValueError(
                f"tiles: expected the fields {', '.join(sorted(names))} in each, got {', '.join(sorted(_fields(cube)))} at "
                f"{origin}"
            )
    low = [min(origin[k] for origin in tiles) for k in range(3)]
    high = [max(origin[k] + cube.shape[k] for origin, cube in tiles.items()) for k in range(3)]
    shape = tuple(b - a for a, b in zip(low, high, strict=True))
    covered = np.zeros(shape, np.uint8)
    whole = {field: np.empty(shape, np.float32) for field in names}
    for origin, cube in tiles.items():
        where = tuple(slice(o - a, o - a + n) for o, a, n in zip(origin, low, cube.shape, strict=True))
        if covered[where].any():
            raise ValueError(f"tiles: expected tiles side by side, got one at {origin} that overlaps another")
        covered[where] = 1
        for field, values in _fields(cube).items():
            whole[field][where] = np.asarray(values[...])
    if not covered.all():
        z, y, x = (int(i) for i in np.argwhere(covered == 0)[0])
        raise ValueError(
            f"tiles: expected a full box of {shape} cells, got a gap at {(z + low[0], y + low[1], x + low[2])}"
        )
    stamps = [cube.provenance.get("do_not_train") for cube in cubes]
    kept = {"do_not_train": next(stamp for stamp in stamps if stamp)} if any(stamps) else {}
    kinds = {str(cube.provenance.get("source", "unknown")) for cube in cubes}
    provenance = {
        **kept,
        "source": "synthetic" if "synthetic" in kinds else "+".join(sorted(kinds)),
        "tiles": [{"origin": [int(o) for o in origin], **cube.provenance} for origin, cube in tiles.items()],
    }
    return _build(first, whole, {}, name=name, provenance=provenance)


def _fields(cube: SimulationCube) -> dict[str, Any]:
    """Return all fields of a cube by flat names."""
    fields = {"density": cube.density}
    if cube.temperature is not None:
        fields["temperature"] = cube.temperature
    fields |= {f"velocity_{axis}": values for axis, values in cube.velocity.items()}
    return fields | cube.subcell


def _with_fields(cube: SimulationCube, change: Callable[[Any], np.ndarray], entry: dict) -> SimulationCube:
    return _build(cube, {name: change(values) for name, values in _fields(cube).items()}, entry)


def _build(
    cube: SimulationCube,
    fields: Mapping[str, np.ndarray],
    entry: dict[str, Any],
    *,
    cells: int = 1,
    name: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> SimulationCube:
    """Make a cube of changed fields; its provenance, stamps included, stays and gets an entry."""
    made = {key: np.ascontiguousarray(values, np.float32) for key, values in fields.items()}
    stamp = dict(cube.provenance) if provenance is None else provenance
    if entry:
        stamp["changes"] = [*stamp.get("changes", []), entry]
    return SimulationCube(
        made["density"],
        cell_size=cube.cell_size * cells,
        temperature=made.get("temperature"),
        velocity={key[-1]: values for key, values in made.items() if key.startswith("velocity_")},
        subcell={key: made[key] for key in ("mean_square", "maximum") if key in made},
        name=name or cube.name,
        provenance=stamp,
    )


def sky_face(values: np.ndarray, *, axis: str) -> np.ndarray:
    """Turn a map of :func:`polaris_lab.project` to what the observer of that axis sees: rows up, columns to the right.

    The axes x, y, z are right-handed and the observer looks towards larger indices, with y up for axis "z" and z up
    else. Then x grows to the **left** for axis "z" (as right ascension does) and y for axis "x": the array order shows
    those two mirrored.

    Examples
    --------
    >>> sky_face(np.array([[1, 2, 3]]), axis="z")
    array([[3, 2, 1]])
    """
    return values[..., ::-1] if axis_index(axis) != 1 else values


def directions(count: int, *, seed: int | None = None) -> np.ndarray:
    """Return unit vectors (z, y, x) spread evenly over half of the sphere: viewpoints beyond the three axes.

    Opposite directions see the same column density, so half of the sphere holds every view once.

    Parameters
    ----------
    count : int
        How many.
    seed : int, optional
        Turns the whole set about at random; by default it stands as it is.

    Returns
    -------
    ndarray, shape (count, 3)
    """
    if count < 1:
        raise ValueError(f"count: expected at least one direction, got {count}")
    height = (np.arange(count) + 0.5) / count
    turn = math.pi * (1 + math.sqrt(5)) * np.arange(count)
    if seed is not None:
        turn += np.random.default_rng(seed).uniform(0, 2 * math.pi)
    flat = np.sqrt(1 - height**2)
    return np.stack([height, flat * np.sin(turn), flat * np.cos(turn)], axis=1)
