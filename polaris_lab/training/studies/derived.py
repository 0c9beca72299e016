"""Datasets made of a dataset: fewer training patches, larger pixels."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from polaris_lab.datasets import PatchDataset

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

MEANS = ("column_density", "volume_weighted_density", "ppv_cube", "integrated_intensity")
"""Quantities of which a larger pixel holds the mean of its smaller ones: amounts per area, or per volume at one depth."""


def subset(dataset: PatchDataset, count: int, seed: int, path: Path) -> PatchDataset:
    """Return a dataset with `count` of the training patches and all validation patches, as a folder of its own.

    Subsets of one seed are nested: a larger one holds every patch of a smaller one. The arrays are not copied where
    the file system can link them.

    Parameters
    ----------
    dataset : PatchDataset
        On disk.
    count : int
        Training patches to keep.
    seed : int
        Which ones.
    path : Path
        The new folder; what stands there from before is taken, if it is the same.

    Raises
    ------
    ValueError
        If there are fewer training patches.
    """
    rows = dataset.indices("training")
    if not 1 <= count <= len(rows):
        raise ValueError(
            f"training_patches: expected from 1 to {len(rows)}, the training patches of the dataset, got {count}"
        )
    left_out = np.random.default_rng([seed, 22]).permutation(rows)[count:]
    if path.exists():
        found = PatchDataset.open(path)
        expected = set(rows.tolist()) - set(left_out.tolist())
        if (
            found.manifest["fingerprint"] == dataset.manifest["fingerprint"]
            and set(found.indices("training").tolist()) == expected
        ):
            return found
        raise FileExistsError(
            f"{path}: expected nothing, or the patches of seed {seed}, got others; move it away"
        )
    partial = path.with_name(path.name + ".begun")
    if partial.exists():
        shutil.rmtree(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(dataset.path, partial, copy_function=functools.partial(_link_arrays, Path(dataset.path)))
    PatchDataset.open(partial).drop(left_out.tolist())
    partial.rename(path)
    return PatchDataset.open(path)


def _link_arrays(dataset: Path, source: str, target: str) -> str:
    """Link a chunk of an array of maps, and copy everything that may change: the table, descriptions."""
    inside = Path(source).relative_to(dataset)
    if inside.parts[0] != "patch" and inside.suffix != ".json":
        try:
            os.link(source, target)
            return target
        except OSError:  # another file system, or one without links
            pass
    return shutil.copy2(source, target)


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Return the means of blocks of `factor` x `factor` pixels, shape (..., y / factor, x / factor), float64.

    Examples
    --------
    >>> block_mean(np.array([[1.0, 2.0], [3.0, 6.0]]), 2)
    array([[3.]])
    """
    rows, columns = values.shape[-2:]
    blocks = values.reshape(*values.shape[:-2], rows // factor, factor, columns // factor, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float64)


def coarse_map(name: str, values: np.ndarray, column_density: np.ndarray, factor: int) -> np.ndarray:
    """Return a map at larger pixels, as an observer with a coarser telescope would define it.

    Parameters
    ----------
    name : str
        Column density N and densities per volume are averaged; <n>_M is sum(N n) / sum(N), as it is a mean over mass;
        the largest density is the largest.
    values, column_density : ndarray (..., y, x)
        The map, and N of its pixels.
    factor : int
        Pixels that become one, along each side.

    Returns
    -------
    ndarray (..., y / factor, x / factor), float64

    Raises
    ------
    ValueError
        If it is not known how such a quantity adds up.

    Examples
    --------
    >>> N, n = np.array([[1.0, 3.0], [1.0, 3.0]]), np.array([[10.0, 20.0], [10.0, 20.0]])
    >>> coarse_map("mass_weighted_density", n, N, 2)
    array([[17.5]])
    """
    if name in MEANS:
        return block_mean(values, factor)
    if name == "mass_weighted_density":
        return block_mean(np.asarray(column_density, np.float64) * values, factor) / block_mean(
            column_density, factor
        )
    if name == "max_density":
        rows, columns = values.shape[-2:]
        return (
            values.reshape(*values.shape[:-2], rows // factor, factor, columns // factor, factor)
            .max(axis=(-3, -1))
            .astype(np.float64)
        )
    raise ValueError(
        f"working_scale: expected quantities that can be brought to larger pixels "
        f"({', '.join(sorted((*MEANS, 'mass_weighted_density', 'max_density')))}), got {name!r}; leave it out of the blueprint"
    )


def coarsen(dataset: PatchDataset, factor: int, names: Sequence[str], path: Path) -> PatchDataset:
    """Return a dataset with pixels `factor` times larger, as a folder of its own.

    Parameters
    ----------
    dataset : PatchDataset
        With the column density, which is the mass of a pixel.
    factor : int
        A divisor of the patch size.
    names : sequence of str
        Arrays to keep; see :func:`coarse_map`.
    path : Path
        The new folder; what stands there from before is taken, if its recipe is the same.

    Raises
    ------
    ValueError
        If the factor does not divide the patch, or there is no column density.
    """
    if not isinstance(factor, int) or isinstance(factor, bool) or factor < 1 or dataset.patch_size % factor:
        raise ValueError(
            f"pixel_factors: expected whole numbers that divide the patch of {dataset.patch_size} pixels, got {factor!r}"
        )
    if "column_density" not in dataset.inputs:
        raise ValueError(
            f"working_scale: expected a dataset with column_density, the mass of a pixel, got {', '.join(dataset.inputs)}"
        )
    column = dataset.read("column_density")
    arrays = {name: coarse_map(name, dataset.read(name), column, factor).astype(np.float32) for name in names}
    coarse = PatchDataset.from_arrays(
        {name: arrays[name] for name in names if name in dataset.inputs},
        {name: arrays[name] for name in names if name in dataset.targets},
        pixel_size=factor * dataset.pixel_size_pc * u.pc,
        split=dataset.table["split"].tolist(),
        cloud=dataset.table["cloud"].tolist(),
        line_of_sight=dataset.table["line_of_sight"].tolist(),
        velocity=None
        if dataset.velocity is None or "ppv_cube" not in names
        else dataset.velocity * u.km / u.s,
    )
    if path.exists():
        found = PatchDataset.open(path)
        if found.fingerprint == coarse.fingerprint:
            return found
        raise FileExistsError(
            f"{path}: expected nothing, or the patches coarsened {factor} x, got others; move it away"
        )
    return coarse.save(path)


def downsampled_prediction(run: Run, dataset: PatchDataset) -> tuple[np.ndarray, np.ndarray]:
    """Bring finer maps to the pixels of a run, predict there, and give every fine pixel the density of its large one.

    Parameters
    ----------
    run : Run
        Trained on the patches of `dataset` at larger pixels, which are those that it sees.
    dataset : PatchDataset
        The fine maps.

    Returns
    -------
    predicted, target : ndarray (patches, y, x), float32
        Densities of the validation patches [cm^-3], on the pixels of `dataset`.
    """
    from polaris_lab.training.validation import predict_patches

    large = run.dataset()
    times = dataset.patch_size // large.patch_size
    predicted, _ = predict_patches(
        run.model(),
        large,
        "validation",
        batch_size=run.config.batch_size,
        inputs=run.blueprint.inputs,
        target=run.target,
    )
    fine = predicted.repeat(times, axis=-2).repeat(times, axis=-1)  # (n, y, x)
    return fine, dataset.read(run.target, dataset.indices("validation"))
