"""Training and validation kept apart in space: slabs of a box, whole clouds, or (labelled so) at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polaris_lab.clouds.simulation import AXES, axis_index
from polaris_lab.config import did_you_mean
from polaris_lab.datasets.patch_config import SMALLEST_PATCH, PatchConfig


@dataclass(frozen=True)
class Slab:
    """Layers of a box kept for validation.

    Attributes
    ----------
    axis : {"z", "y", "x"}
        Its normal.
    start, stop : int
        First cell along `axis`, and the first one beyond.
    """

    axis: str
    start: int
    stop: int


def face_axes(line_of_sight: str) -> tuple[str, str]:
    """Return the names of the rows' and the columns' axis of a face.

    Examples
    --------
    >>> face_axes("y")
    ('z', 'x')
    """
    axis_index(line_of_sight)
    rows, columns = (axis for axis in AXES if axis != line_of_sight)
    return rows, columns


def choose_slab(length: int, config: PatchConfig, mass: np.ndarray) -> Slab:
    """Choose the layers kept for validation.

    Parameters
    ----------
    length : int
        Cells of the box along the slab's normal.
    config : PatchConfig
        Its patch size, validation fraction, slab axis and position.
    mass : ndarray, shape (length,)
        Mass of each layer, in any unit.

    Returns
    -------
    Slab

    Raises
    ------
    ValueError
        If the slab, or all that it leaves, is thinner than a patch.
    """
    side = config.patch_size
    thickness = round(config.validation_fraction * length)
    numbers = f"{config.validation_fraction:g} of {length} cells along {config.slab_axis!r}"
    if 2 * side > length:
        raise ValueError(
            f"split_by: expected room for a slab and the rest, two patches of {side} cells side by side, got a box of "
            f'{length} cells along {config.slab_axis!r}; take patch_size <= {length // 2}, or split_by="cloud" or '
            '"shuffle"'
        )
    if thickness < side:
        raise ValueError(
            f"validation_fraction: expected a slab of at least one patch, {side} cells, got {numbers} = {thickness}; "
            f"take validation_fraction >= {_ceil(side / length)}, "
            + (f"patch_size <= {thickness}, or " if thickness >= SMALLEST_PATCH else "or ")
            + 'split_by="cloud" or "shuffle"'
        )
    if length - thickness < side:
        raise ValueError(
            f"validation_fraction: expected at least one patch, {side} cells, beside the slab, got {numbers} = "
            f"{thickness}, which leaves {length - thickness}; take a smaller fraction or patch_size"
        )
    starts = np.arange(length - thickness + 1)
    if config.slab_position is not None:
        start = round(config.slab_position * starts[-1])
        if max(start, length - thickness - start) < side:
            raise ValueError(
                f"slab_position: expected {side} cells on one side of the slab, got {start} and "
                f"{length - thickness - start}; take 0 or 1"
            )
        return Slab(config.slab_axis, start, start + thickness)
    room = starts // side + (length - thickness - starts) // side
    total = np.concatenate([[0], np.cumsum(mass, dtype=np.float64)])
    share = (total[starts + thickness] - total[starts]) / total[-1]
    best = starts[room == room.max()]
    start = int(best[np.argmin(np.abs(share[best] - thickness / length))])
    return Slab(config.slab_axis, start, start + thickness)


def sides(shape: tuple[int, int], line_of_sight: str, slab: Slab, patch_size: int) -> np.ndarray:
    """Return the side of every window of a face: 0 training, 1 validation, -1 across the slab's border.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the face.
    line_of_sight : str
        Not the slab's normal.
    slab : Slab
    patch_size : int
        Side of a window.

    Returns
    -------
    ndarray of int8, shape (rows - patch_size + 1, columns - patch_size + 1)
    """
    along = face_axes(line_of_sight).index(slab.axis)
    starts = np.arange(shape[along] - patch_size + 1)
    inside = (starts >= slab.start) & (starts + patch_size <= slab.stop)
    outside = (starts + patch_size <= slab.start) | (starts >= slab.stop)
    side = np.where(inside, 1, np.where(outside, 0, -1)).astype(np.int8)
    positions = (shape[0] - patch_size + 1, shape[1] - patch_size + 1)
    return np.broadcast_to(side[:, None] if along == 0 else side, positions)


def held_out_clouds(names: Sequence[str], config: PatchConfig) -> tuple[str, ...]:
    """Choose the clouds kept for validation: those named, or a fraction drawn by the seed (at least one).

    Raises
    ------
    ValueError
        If there are fewer than two clouds, or a name is unknown, or all would be held out.
    """
    if len(names) < 2:
        raise ValueError(
            f'split_by="cloud": expected at least 2 clouds, got {len(names)}; with one, use split_by="slab"'
        )
    for name in config.validation_clouds:
        if name not in names:
            raise ValueError(f"validation_clouds: unknown cloud {name!r}: {did_you_mean(name, list(names))}")
    if len(set(config.validation_clouds)) == len(names):
        raise ValueError("validation_clouds: expected at least one cloud left for training, got all of them")
    if config.validation_clouds:
        return tuple(name for name in names if name in config.validation_clouds)
    count = min(max(1, round(config.validation_fraction * len(names))), len(names) - 1)
    chosen = set(np.random.default_rng([config.seed, len(names)]).permutation(len(names))[:count].tolist())
    return tuple(name for number, name in enumerate(names) if number in chosen)


def sentence(
    config: PatchConfig, cell_size_pc: float, slabs: Mapping[str, Slab], held_out: Sequence[str]
) -> str:
    """Return one sentence (without its full stop) on how patches were split."""
    if config.split_by == "slab":
        parts = "; ".join(
            f"{name}: {slab.axis} = {slab.start * cell_size_pc:.4g} .. {slab.stop * cell_size_pc:.4g} pc"
            for name, slab in list(slabs.items())[:4]
        )
        more = f"; and {len(slabs) - 4} more" if len(slabs) > 4 else ""
        return (
            f"A slab of each cloud is kept for validation ({parts}{more}) and lines of sight along "
            f"{config.slab_axis} are dropped, so that no gas is on both sides"
        )
    if config.split_by == "cloud":
        return f"Whole clouds are held out for validation: {', '.join(held_out)}"
    return (
        f"Patches are drawn at random for validation, as in the report (seed {config.seed}): the same gas is seen on "
        "both sides from different faces"
    )


def _ceil(fraction: float) -> float:
    """Round a fraction up to two digits, for advice."""
    return float(np.ceil(round(fraction * 100, 6)) / 100)
