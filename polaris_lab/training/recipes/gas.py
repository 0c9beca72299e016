"""The gas of a recipe: boxes made from seeds, kept as what their faces show, a file each."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy import units as u

from polaris_lab.clouds.copula import copula_density, draw_copula_choices
from polaris_lab.clouds.cores import add_cores
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.clouds.suite import draw_choices
from polaris_lab.clouds.synthetic import synthetic_cloud
from polaris_lab.config import fingerprint, to_dict, write_bytes
from polaris_lab.parallel import map_tasks
from polaris_lab.training.recipes.choices import CloudChoices
from polaris_lab.units import PARSEC

RECIPE = 1
"""Counts up when the same choices give other faces, so that old files are not taken for them."""

CELL_PC = 0.05
"""What a cell is called; lengths are free (see :class:`polaris_lab.training.recipes.choices.PatchChoices`)."""

VALIDATION = 5000
"""Number of the first cloud of each kind that is for validation."""

MEAN_DENSITY = (30.0, 1000.0)
"""Of the gas that cores are added to [cm^-3], drawn evenly in the logarithm."""

CORE_RADIUS_PC, CORE_DENSITY = (0.01, 0.12), (1e4, 1e6)
"""Limits of the radius and the central density [cm^-3] of cores: 0.2 to 2.4 cells."""

SLABS = 2
"""Parts of equal depth that a box is projected in: half of it is a shallower cloud."""


@dataclasses.dataclass(frozen=True)
class Box:
    """One periodic box of gas.

    Attributes
    ----------
    name : str
    kind : str
    size : int
        Cells along each side.
    number : int
    seed : int
    cores : int
        How many are added in its second version.
    """

    name: str
    kind: str
    size: int
    number: int
    seed: int
    cores: int

    def density(self) -> np.ndarray:
        """Return the contrast n / <n>, shape (size, size, size), float32."""
        if self.kind == "copula":
            field = copula_density(draw_copula_choices(self.number, seed=self.seed), self.size)
        else:
            side = CELL_PC * self.size
            given = draw_choices(self.number, seed=self.seed, size=self.size, box_size_pc=side, depths=(1,))
            for name in ("box_size_pc", "boxes", "mean_density_cm3"):
                del given[name]
            cloud = synthetic_cloud(given.pop("size"), given.pop("seed"), box_size=side * u.pc, **given)
            field = np.asarray(cloud.density)
        return (field / field.mean(dtype=np.float64)).astype(np.float32)


def boxes(choices: CloudChoices, part: str) -> list[Box]:
    """Return the boxes for "training" or "validation"."""
    found = []
    for group in choices.groups:
        first = VALIDATION if part == "validation" else 0
        for number in range(first, first + getattr(group, part)):
            cores = round(choices.cores_per_128 * (group.size / 128) ** 2)
            name = f"{group.kind} {group.size} {number:04d}"
            found.append(Box(name, group.kind, group.size, number, choices.seed, max(cores, 2)))
    return found


def make_faces(
    choices: CloudChoices,
    folder: Path,
    *,
    workers: int = 2,
    progress: Callable[[str], object] | None = None,
) -> dict[str, list[tuple[Box, Path]]]:
    """Make the faces of all boxes that are not yet in the folder; return their files by part.

    Parameters
    ----------
    choices : CloudChoices
    folder : Path
        Keeps a file a box, whole or not at all: what is there is not made again.
    workers : int
        Processes; the largest boxes take 1 GB each.
    progress : callable, optional
        Told one line after each box.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        part: [(box, folder / f"{_mark(box)}.npy") for box in boxes(choices, part)]
        for part in ("training", "validation")
    }
    everything = [pair for part in files.values() for pair in part]
    missing = [pair for pair in everything if not pair[1].exists()]
    done = len(everything) - len(missing)
    for name in map_tasks(_make, missing, workers=workers):
        done += 1
        if progress is not None:
            progress(f"cloud {done} of {len(everything)}: {name}")
    return files


def faces(density: np.ndarray) -> np.ndarray:
    """Return what a cube shows along its three axes, in slabs, shape (3, SLABS, 3, n, n) float32.

    The quantities are N = sum(n) dz [cm^-2], sum(n^2) dz [cm^-5] / 1e20 (a float32 holds it), and the largest n.
    """
    return _faces(density, density.astype(np.float32) ** 2, density)


def faces_with_cores(density: np.ndarray, cores: int, seed: int) -> np.ndarray:
    """Return the same of a contrast with cores added to it, its mean density drawn and divided out again."""
    rng = np.random.default_rng([seed, 1])
    mean = float(np.exp(rng.uniform(*np.log(MEAN_DENSITY))))
    cube = SimulationCube(density * np.float32(mean), cell_size=CELL_PC * u.pc)
    largest = min(CORE_RADIUS_PC[1], min(cube.side_pc) / 25)  # a core ends at ten of its radii
    limits = {
        "radius": (CORE_RADIUS_PC[0] * u.pc, largest * u.pc),
        "central_density": tuple(n / u.cm**3 for n in CORE_DENSITY),
    }
    for where, count in (("diffuse", cores // 2), ("anywhere", cores - cores // 2)):
        cube = add_cores(cube, count, where=where, seed=int(rng.integers(2**31)), **limits)
    inside = {name: np.asarray(values) for name, values in cube.subcell.items()}
    scale = np.float32(mean)
    return _faces(cube.density / scale, inside["mean_square"] / scale**2, inside["maximum"] / scale)


def _faces(density: np.ndarray, square: np.ndarray, peak: np.ndarray) -> np.ndarray:
    n = density.shape[0]
    found = np.empty((3, SLABS, 3, n, n), np.float32)
    length = CELL_PC * PARSEC
    for axis in range(3):
        for slab in range(SLABS):
            part = tuple(
                slice(slab * n // SLABS, (slab + 1) * n // SLABS) if a == axis else slice(None)
                for a in range(3)
            )
            found[axis, slab, 0] = density[part].sum(axis=axis, dtype=np.float64) * length
            found[axis, slab, 1] = square[part].sum(axis=axis, dtype=np.float64) * (length / 1e20)
            found[axis, slab, 2] = peak[part].max(axis=axis)
    return found


def _make(task: tuple[Box, Path]) -> str:
    """Make one box and write its faces, without and with cores: (2, 3, SLABS, 3, n, n)."""
    box, path = task
    density = box.density()
    both = np.stack([faces(density), faces_with_cores(density, box.cores, box.seed * 100003 + box.number)])
    data = io.BytesIO()
    np.save(data, both)
    write_bytes(path, data.getvalue())
    return box.name


def _mark(box: Box) -> str:
    return f"{box.kind}_{box.number:04d}_{fingerprint({'recipe': RECIPE, **to_dict(box)})}"
