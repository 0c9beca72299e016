"""The common synthetic work of the benchmark: the same clouds for everybody, made once and kept on disk."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy import units as u

from polaris_lab.clouds.copula import (
    CELL_SIZE_PC,
    OUTSIDE,
    CopulaChoices,
    copula_density,
    draw_copula_choices,
)
from polaris_lab.config import fingerprint, to_dict, write_bytes
from polaris_lab.datasets import PatchDataset
from polaris_lab.units import PARSEC

RECIPE = 1
"""Counts up when the same choices give other maps, so that old files are not taken for them."""

QUANTITIES = ("column_density", "mass_weighted_density", "max_density")


@dataclasses.dataclass(frozen=True)
class WorkSize:
    """How much of the common work is made.

    Parameters
    ----------
    cells : int
        Cells along each side of a cloud.
    training, validation, test : int
        Clouds; each gives three maps, one a line of sight.
    patch : int
        Side of the patches for training and validation [pixels]: whole maps are cut into them.
    crop : int
        Side of the centre of a map that is tested [pixels].
    patches_per_map : int
        How many patches are drawn from each map; all where there are fewer.
    first_test : int
        Number of the first cloud for tests. Those from 2000 on have been looked at; who has chosen anything since then
        judges on others.
    """

    cells: int = 256
    training: int = 24
    validation: int = 4
    test: int = 8
    patch: int = 64
    crop: int = 128
    patches_per_map: int = 12
    first_test: int = 2000


FULL = WorkSize()
"""The work of the tables: 24 clouds to learn from, 4 to validate, 8 to test, and 2 beyond their ranges."""

QUICK = WorkSize(cells=96, training=8, validation=2, test=4, patch=48, crop=96)
"""A work of seconds, for trying the command out."""


@dataclasses.dataclass(frozen=True)
class CommonWork:
    """Datasets of the common work; no cloud is in two of them."""

    training: PatchDataset
    """Patches for training and validation, of different clouds."""
    maps: PatchDataset
    """The training clouds cut into maps as large as those of the tests: what estimators with large scales are fitted to."""
    test: PatchDataset
    """Centres of maps of unseen clouds, all in the split "validation"."""
    outside: PatchDataset
    """The same of two clouds beyond the ranges of the others."""


def common_work(
    folder: str | Path, size: WorkSize = FULL, *, progress: Callable[[str], None] | None = None
) -> CommonWork:
    """Return the common work; clouds not yet in the folder are made, about 10 CPU-seconds each at 256 cells.

    Clouds 0, 1, 2 ... are for training, those from 1000 on for validation and from `first_test` on for tests: the number of
    one kind changes nothing of another.

    Parameters
    ----------
    folder : path
        Keeps one file a cloud, whole or not at all: what is there is not made again.
    size : WorkSize
    progress : callable, optional
        Told one line before each cloud that has to be made.

    Returns
    -------
    CommonWork

    Examples
    --------
    >>> import tempfile
    >>> size = WorkSize(cells=16, training=2, validation=1, test=1, patch=8, crop=8)
    >>> common_work(tempfile.mkdtemp(), size).test
    PatchDataset(3 patches of 8 x 8 pixels of 0.05 pc: 3 validation (given); ...)
    """
    learn = [(f"training {i:03d}", draw_copula_choices(i)) for i in range(size.training)]
    check = [(f"validation {i:03d}", draw_copula_choices(1000 + i)) for i in range(size.validation)]
    test = [(f"test {i:03d}", draw_copula_choices(size.first_test + i)) for i in range(size.test)]
    outside = [(f"outside {i}", choices) for i, choices in enumerate(OUTSIDE)]

    def maps(clouds: Sequence[tuple[str, CopulaChoices]]) -> list[tuple[str, np.ndarray]]:
        return [
            (name, cloud_maps(choices, size.cells, Path(folder), name=name, progress=progress))
            for name, choices in clouds
        ]

    learned = maps(learn)
    return CommonWork(
        training=_dataset(
            [
                *_cut(learned, size.patch, size.patches_per_map),
                *_cut(maps(check), size.patch, size.patches_per_map),
            ]
        ),
        maps=_dataset(_cut(learned, size.crop)),
        test=_dataset(_centres(maps(test), size.crop)),
        outside=_dataset(_centres(maps(outside), size.crop)),
    )


def cloud_maps(
    choices: CopulaChoices,
    cells: int,
    folder: Path,
    *,
    name: str = "cloud",
    progress: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Return the three faces of one cloud, from its file or made anew.

    Returns
    -------
    ndarray, shape (quantities, 3, cells, cells), float32
        Column density [cm^-2], mass-weighted and maximum density [cm^-3], for lines of sight z, y, x.
    """
    mark = fingerprint({"recipe": RECIPE, "cells": cells, **to_dict(choices)})
    path = folder / f"copula_{mark}.npy"
    if path.exists():
        return np.load(path)
    if progress is not None:
        progress(f"making the cloud {name!r} of {cells}^3 cells")
    maps = projections(copula_density(choices, cells), CELL_SIZE_PC)
    data = io.BytesIO()
    np.save(data, maps)
    write_bytes(path, data.getvalue())
    return maps


def projections(density: np.ndarray, cell_size_pc: float) -> np.ndarray:
    """Return column, mass-weighted and maximum density of a cube along its three axes, (3, 3, n, n) float32.

    Examples
    --------
    >>> faces = projections(np.full((4, 4, 4), 100.0), cell_size_pc=0.05)
    >>> print(faces[1:, 0, 0, 0], round(float(faces[0, 0, 0, 0] / 6.17e19), 2))
    [100. 100.] 1.0
    """
    maps = np.empty((len(QUANTITIES), 3, *density.shape[1:]), np.float32)
    for axis in range(3):
        total = density.sum(axis=axis, dtype=np.float64)
        maps[0, axis] = total * (cell_size_pc * PARSEC)
        maps[1, axis] = np.square(density, dtype=np.float64).sum(axis=axis) / total
        maps[2, axis] = density.max(axis=axis)
    return maps


def whole_maps(
    clouds: Sequence[tuple[str, CopulaChoices]],
    folder: Path,
    *,
    cells: int,
    crop: int,
    progress: Callable[[str], None] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Return the centres of all faces of clouds, shape (n, quantities, crop, crop), and the cloud of each."""
    made = [
        (name, cloud_maps(choices, cells, folder, name=name, progress=progress)) for name, choices in clouds
    ]
    patches = _centres(made, crop)
    return np.stack([maps for _, _, maps in patches]), [name for name, _, _ in patches]


Patch = tuple[str, str, np.ndarray]
"""Cloud, line of sight, and the quantities (3, y, x)."""


def _cut(clouds: Sequence[tuple[str, np.ndarray]], side: int, per_map: int | None = None) -> list[Patch]:
    """Cut maps into patches that touch; keep all of each map, or some that are drawn."""
    patches = []
    for cloud, (name, maps) in enumerate(clouds):
        corners = [
            (y, x)
            for y in range(0, maps.shape[-2] - side + 1, side)
            for x in range(0, maps.shape[-1] - side + 1, side)
        ]
        for number, axis in enumerate("zyx"):
            order = np.random.default_rng([cloud, number]).permutation(len(corners))
            for y, x in [corners[i] for i in sorted(order[:per_map])]:
                patches.append((name, axis, maps[:, number, y : y + side, x : x + side]))
    return patches


def _centres(clouds: Sequence[tuple[str, np.ndarray]], side: int) -> list[Patch]:
    """Return the centre of every map."""
    start = (clouds[0][1].shape[-1] - side) // 2
    middle = slice(start, start + side)
    return [
        (name, axis, maps[:, number, middle, middle])
        for name, maps in clouds
        for number, axis in enumerate("zyx")
    ]


def _dataset(patches: Sequence[Patch]) -> PatchDataset:
    """Return patches as a dataset; those of clouds for training are told by the cloud's name."""
    values = np.stack([maps for _, _, maps in patches], axis=1)  # (quantities, n, y, x)
    clouds = [cloud for cloud, _, _ in patches]
    return PatchDataset.from_arrays(
        {"column_density": values[0]},
        dict(zip(QUANTITIES[1:], values[1:], strict=True)),
        pixel_size=CELL_SIZE_PC * u.pc,
        split=["training" if cloud.startswith("training") else "validation" for cloud in clouds],
        cloud=clouds,
        line_of_sight=[axis for _, axis, _ in patches],
    )
