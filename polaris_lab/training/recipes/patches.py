"""What a network is shown: faces of boxes, alone or behind each other, through a beam, with noise and a wrong zero.

Depth comes from stacking: a half box, a box, or a box with up to three others in front of and behind it, each turned
and rolled. Coarser pixels come from averaging. Lengths are counted in pixels, so the densities of a coarser pixel are
larger by that factor (columns kept, n falls as 1/length).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy import units as u
from scipy.ndimage import gaussian_filter

from polaris_lab.datasets import PatchDataset
from polaris_lab.datasets.normalize import symmetry
from polaris_lab.training.recipes.choices import PatchChoices
from polaris_lab.training.recipes.gas import CELL_PC, SLABS, Box

FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))

STACKS = {"half": 0.15, "box": 0.5, "several": 0.35}
"""Shares of the depths."""

COARSER = {1: 0.75, 2: 0.25}
"""Shares of the pixels, in cells. (A window of coarse pixels may hold a small periodic box more than once.)"""

LEVELS = (3e20, 3e22)
"""Mean column densities [cm^-2], drawn evenly in the logarithm: the network does not see them, its ranges do."""

TRIES = 3
"""Places of which the one with the densest pixel is taken, in half of the patches: dense gas is rare."""

SMALLEST_COLUMN = 0.05
"""Of the median: a zero level that is too low leaves no less."""

Files = Sequence[tuple[Box, Path]]


@dataclasses.dataclass(frozen=True)
class Scene:
    """One patch.

    Attributes
    ----------
    column, density, peak : ndarray, shape (size, size)
        Observed N [cm^-2]; true <n>_M and n_max [cm^-3], both averaged over beam and pixel with the weight N.
    depth_pixels : float
    beam_pixels : float
        0 without a beam.
    cloud, line_of_sight : str
        Of the box in focus.
    """

    column: np.ndarray
    density: np.ndarray
    peak: np.ndarray
    depth_pixels: float
    beam_pixels: float
    cloud: str
    line_of_sight: str


def make_patches(
    files: dict[str, Files], choices: PatchChoices, *, progress: Callable[[str], object] | None = None
) -> PatchDataset:
    """Make the patches of a recipe, in memory: a column density with pixel size, depth and beam; both densities as targets.

    Every box comes equally often. The split is by box: none is in both parts. Where there is no beam it is unknown (NaN): a
    map whose beam nobody tells is taken for one without, rather.
    """
    scenes, split = [], []
    for part in ("training", "validation"):
        faces = [(box, np.load(path, mmap_mode="r")) for box, path in files[part]]
        count = getattr(choices, part)
        for number in range(count):
            rng = np.random.default_rng([choices.seed, part == "validation", number])
            scenes.append(draw_scene(rng, faces, number % len(faces), choices))
        split += [part] * count
        if progress is not None:
            progress(f"{count} patches for {part}")
    told = np.random.default_rng([choices.seed, 2]).random((2, len(scenes))) < choices.told
    return PatchDataset.from_arrays(
        {
            "column_density": np.stack([scene.column for scene in scenes]),
            "pixel_size": np.where(told[0], choices.pixel_size_pc, np.nan),
            "depth": np.where(
                told[1], [scene.depth_pixels * choices.pixel_size_pc for scene in scenes], np.nan
            ),
            "beam_fwhm": np.array([scene.beam_pixels * choices.pixel_size_pc or np.nan for scene in scenes])
            * u.pc,
        },
        {
            "mass_weighted_density": np.stack([scene.density for scene in scenes]),
            "max_density": np.stack([scene.peak for scene in scenes]),
        },
        pixel_size=choices.pixel_size_pc * u.pc,
        split=split,
        cloud=[scene.cloud for scene in scenes],
        line_of_sight=[scene.line_of_sight for scene in scenes],
    )


def draw_scene(
    rng: np.random.Generator, faces: Sequence[tuple[Box, np.ndarray]], focus: int, choices: PatchChoices
) -> Scene:
    """Draw one patch whose box in focus is `faces[focus]`; others come before and behind it."""
    coarser = int(rng.choice(list(COARSER), p=list(COARSER.values())))
    beam = 0.0 if rng.random() < choices.clean else float(rng.uniform(0.3, choices.widest_beam_pixels))
    margin = int(np.ceil(1.5 * beam * coarser)) if beam else 0
    side = choices.size * coarser + 2 * margin
    stack, depth, axis = _stacked(rng, faces, focus, side, cored=rng.random() < choices.cored)
    if beam:
        stack[:2] = [
            gaussian_filter(image, beam * coarser / FWHM_PER_SIGMA, mode="nearest") for image in stack[:2]
        ]
    stack = stack[:, margin : side - margin, margin : side - margin]
    size = choices.size
    means = stack[:2].reshape(2, size, coarser, size, coarser).mean(axis=(2, 4))  # (2, y, x)
    peak = stack[2].reshape(size, coarser, size, coarser).max(axis=(1, 3))
    # cells of CELL_PC became pixels of `coarser` cells, which are called choices.pixel_size_pc
    length = coarser * CELL_PC / choices.pixel_size_pc
    level = float(np.exp(rng.uniform(*np.log(LEVELS)))) / float(means[0].mean())
    column = means[0] * level
    density = means[1] / means[0] * (1e20 * level * length)
    if beam == 0.0:
        observed = column
    else:
        observed = observe(rng, column, beam, choices)
    return Scene(
        observed.astype(np.float32), density.astype(np.float32), np.maximum(peak * level * length, density).astype(np.float32),
        depth / coarser, beam, faces[focus][0].name, "zyx"[axis],
    )  # fmt: skip


def observe(rng: np.random.Generator, column: np.ndarray, beam: float, choices: PatchChoices) -> np.ndarray:
    """Return a column density with noise and a wrong zero level; the noise is as wide as the beam in half of the cases."""
    median = float(np.median(column))
    noise = rng.standard_normal(column.shape)
    if rng.random() < 0.5:
        noise = gaussian_filter(noise, beam / FWHM_PER_SIGMA, mode="wrap")
        noise /= max(float(noise.std()), 1e-6)
    strength = choices.largest_noise * 10 ** rng.uniform(-1.3, 0.0)
    amplitude = column if rng.random() < 0.5 else median
    zero = rng.uniform(-1, 1) * choices.largest_zero_level * (rng.random() < 0.5)
    return np.maximum(column + strength * noise * amplitude + zero * median, SMALLEST_COLUMN * median)


def _stacked(
    rng: np.random.Generator, faces: Sequence[tuple[Box, np.ndarray]], focus: int, side: int, *, cored: bool
) -> tuple[np.ndarray, int, int]:
    """Return N, sum(n^2) dz and the largest n of a stack (3, side, side), its depth [cells], and the axis in focus."""
    box, maps = faces[focus]
    axis, kind = int(rng.integers(3)), str(rng.choice(list(STACKS), p=list(STACKS.values())))
    slabs = [int(rng.integers(SLABS))] if kind == "half" else list(range(SLABS))
    corner = _corner(rng, maps[int(cored), axis, slabs[0], 1], side)
    stack = _joined([_window(maps[int(cored), axis, slab], corner, side) for slab in slabs])
    depth = box.size * len(slabs) // SLABS
    if kind == "several":
        for other in rng.choice(len(faces), size=int(rng.integers(1, 4))):
            behind, its = faces[int(other)]
            corner = rng.integers(behind.size, size=2)
            seen = its[int(rng.random() < 0.5), int(rng.integers(3))]  # (SLABS, 3, n, n)
            layer = _joined([_window(slab, corner, side) for slab in seen])
            factor = 10 ** rng.normal(0.0, 0.3)
            layer = (
                symmetry(layer, int(rng.integers(8)))
                * np.array([factor, factor**2, factor], np.float32)[:, None, None]
            )
            stack = _joined([stack, layer])
            depth += behind.size
    return stack, depth, axis


def _joined(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Return several layers of gas as one: sums of N and sum(n^2) dz, the largest n."""
    return np.stack([sum(layer[0] for layer in layers), sum(layer[1] for layer in layers),
                     np.max([layer[2] for layer in layers], axis=0)])  # fmt: skip


def _corner(rng: np.random.Generator, square: np.ndarray, side: int) -> np.ndarray:
    """Return the first row and column of a window, now and then of one with dense gas."""
    n = square.shape[-1]
    places = rng.integers(n, size=(TRIES, 2))
    if rng.random() < 0.5:
        return places[0]
    heights = [square[np.ix_(*_rows(place, side, n))].max() for place in places]
    return places[int(np.argmax(heights))]


def _window(maps: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    """Return a window of periodic maps (3, side, side)."""
    rows, columns = _rows(corner, side, maps.shape[-1])
    return np.asarray(maps)[:, rows[:, None], columns[None, :]]


def _rows(corner: np.ndarray, side: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    return (corner[0] + np.arange(side)) % n, (corner[1] + np.arange(side)) % n
