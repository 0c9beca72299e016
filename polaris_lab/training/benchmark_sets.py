"""Gas that the shipped network is judged on: none of it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy import units as u

from polaris_lab.clouds.copula import OUTSIDE, draw_copula_choices
from polaris_lab.clouds.projection import project
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.clouds.suite import ensemble
from polaris_lab.datasets import PatchDataset
from polaris_lab.training.common_work import projections, whole_maps

TARGET = "mass_weighted_density"

SUITE_SEED = 4010
"""Of the suite that is judged on. No cloud of it has had a part in a training, a validation or a choice."""

FAMILY_SEED = 0
"""Of the suite that references of the same family are fitted to."""

FIRST_COMMON = 4000
"""Number of the first cloud of the common work; scored before for a network that was then discarded, nothing chosen by it."""

SIDE = 64
"""Of a square of the suite [pixels]."""

SNAPSHOTS = ("early", "late")

Say = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class AccuracySet:
    """One kind of gas.

    Attributes
    ----------
    title : str
    maps : PatchDataset
        Column densities alone.
    told : PatchDataset
        The same, with pixel size and depth.
    key : str
        Short name: "suite", "common", "outside", "coarse", "mhd early" or "mhd late".
    """

    key: str
    title: str
    maps: PatchDataset
    told: PatchDataset

    @classmethod
    def of(
        cls, key: str, title: str, maps: np.ndarray, clouds: Sequence[str], pixel_pc: float, depth_pc: float | np.ndarray
    ) -> AccuracySet:  # fmt: skip
        """Build it from column and mass-weighted density, shape (n, 2 or more, y, x)."""
        inputs = {"column_density": maps[:, 0]}
        told = {"depth": np.broadcast_to(depth_pc, len(maps)), "pixel_size": np.full(len(maps), pixel_pc)}
        both = [
            PatchDataset.from_arrays(
                given,
                {TARGET: maps[:, 1]},
                pixel_size=pixel_pc * u.pc,
                split=["validation"] * len(maps),
                cloud=list(clouds),
            )
            for given in (inputs, inputs | told)
        ]
        return cls(key, title, *both)


def accuracy_sets(
    folder: Path, *, shared: Path | None = None, clouds: int = 8, cells: int = 256, say: Say = lambda line: None
) -> list[AccuracySet]:  # fmt: skip
    """Make the gas that is judged on; what the folder holds is not made again.

    Parameters
    ----------
    folder : Path
        Keeps clouds and faces.
    shared : Path, optional
        Folder with ``simulation/mhd_m8_128_early.npz`` and ``..._late.npz``; without it those sets are missing.
    clouds : int
        How many of the suite, and of the common work.
    cells : int
        Cells along the sides of a cloud of the common work.
    say : callable
        Told one line before each cloud that is made.
    """
    found = [_suite(folder, clouds, say)]
    common = [(f"common {n}", draw_copula_choices(n)) for n in range(FIRST_COMMON, FIRST_COMMON + clouds)]
    beyond = [(f"outside {n}", choices) for n, choices in enumerate(OUTSIDE)]
    depth, crop = 0.05 * cells, cells // 2
    maps, names = whole_maps(common, folder / "common", cells=cells, crop=crop, progress=say)
    outside, its = whole_maps(beyond, folder / "common", cells=cells, crop=crop, progress=say)
    found += [
        AccuracySet.of("common", f"(a) the common work, clouds from number {FIRST_COMMON} on", maps, names, 0.05, depth),
        AccuracySet.of("outside", "(c) clouds beyond the ranges of the common work", outside, its, 0.05, depth),
        AccuracySet.of(
            "coarse", "(d) the common work in pixels of 0.1 pc, half as many along the line of sight",
            coarser(maps, 2), names, 0.1, depth,
        ),
    ]  # fmt: skip
    if shared is not None and (shared / "simulation").is_dir():
        for which in SNAPSHOTS:
            with np.load(shared / "simulation" / f"mhd_m8_128_{which}.npz") as file:
                density = 10 ** file["log10_nH"].astype(np.float64)
            faces = np.moveaxis(projections(density, 0.05), 1, 0)
            title = f"(b) MHD snapshot, {which} (development set)"
            found.append(AccuracySet.of(f"mhd {which}", title, faces, ["MHD cloud"] * 3, 0.05, 6.4))
    return found


def own_family(folder: Path, clouds: int = 20) -> tuple[np.ndarray, float]:
    """Return column and mass-weighted density of other clouds of the suite, shape (n, 2, y, x), and the pixel [pc]."""
    maps, _, _, pixel = _squares(_suite_clouds(folder, clouds, FAMILY_SEED))
    return maps, pixel


def common_family(folder: Path, cells: int, clouds: int = 24) -> tuple[np.ndarray, float]:
    """Return the same of the clouds of the common work that references are fitted to: the centres of their faces."""
    learn = [(f"training {n:03d}", draw_copula_choices(n)) for n in range(clouds)]
    return whole_maps(learn, folder / "common", cells=cells, crop=cells // 2)[0], 0.05


def coarser(maps: np.ndarray, factor: int) -> np.ndarray:
    """Return maps (n, quantities, y, x) in pixels `factor` times as large: N averaged, <n>_M with the weight N.

    Examples
    --------
    >>> coarser(np.stack([[[1.0, 3.0], [1.0, 3.0]], [[10.0, 20.0], [10.0, 20.0]]])[None], 2).ravel()
    array([ 2. , 17.5])
    """
    n = maps.shape[-1] // factor

    def mean(values: np.ndarray) -> np.ndarray:
        return values.reshape(len(maps), n, factor, n, factor).mean(axis=(2, 4))

    column, density = (maps[:, i, : n * factor, : n * factor].astype(float) for i in (0, 1))
    return np.stack([mean(column), mean(column * density) / mean(column)], axis=1)


def _suite_clouds(folder: Path, clouds: int, seed: int) -> list[SimulationCube]:
    path = folder / "ensemble"
    return ensemble(clouds, path, size=SIDE, depths=(1, 2), seed=seed, workers=1, progress=False)


def _suite(folder: Path, clouds: int, say: Say) -> AccuracySet:
    say(f"suite {SUITE_SEED}: {clouds} clouds")
    maps, names, depths, pixel = _squares(_suite_clouds(folder, clouds, SUITE_SEED))
    title = f"(a) the project's suite, seed {SUITE_SEED}: squares of {SIDE} pixels"
    return AccuracySet.of("suite", title, maps, names, pixel, depths)


def _squares(cubes: Sequence[SimulationCube]) -> tuple[np.ndarray, list[str], np.ndarray, float]:
    """Return the three faces of clouds, cut into squares where a side is longer; their clouds, depths and the pixel [pc]."""
    maps, names, depths = [], [], []
    for cube in cubes:
        for axis, length in zip("zyx", cube.side_pc, strict=True):
            seen = project(cube, axis=axis)
            for row in range(0, seen.column_density.shape[0], SIDE):
                part = slice(row, row + SIDE)
                maps.append(np.stack([seen.column_density[part], seen.mass_weighted_density[part]]))
                names.append(cube.name)
                depths.append(length)
    return np.stack(maps), names, np.array(depths), cubes[0].cell_size_pc
