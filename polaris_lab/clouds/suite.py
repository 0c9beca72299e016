"""`ensemble`: a varied suite of synthetic clouds to train on, made once and kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from tqdm.auto import tqdm

from polaris_lab import __version__
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.clouds.synthetic import synthetic_cloud
from polaris_lab.config import fingerprint
from polaris_lab.parallel import map_tasks
from polaris_lab.units import positive

RECIPE = 1
"""Counts up when the same choices give other clouds, so that old files are not taken for them."""

RANDOM_FIELDS = 3
"""Of ten clouds, so many are random fields (`fbm`); the others are flows (`burgers`)."""


def ensemble(
    count: int = 10,
    path: str | Path = "data/ensemble",
    *,
    size: int = 128,
    box_size: u.Quantity = 6.4 * u.pc,
    depths: tuple[int, ...] = (1, 2, 3, 4),
    seed: int = 0,
    workers: int | None = None,
    client: Any = None,
    progress: bool = True,
) -> list[SimulationCube]:
    """Return varied synthetic clouds of one cell size; those not yet on disk are made, in parallel.

    Of every ten, seven are flows (``burgers``) and three random fields (``fbm``). Drawn for each: Mach number
    3 to 12, PDF width 1.0 to 1.8, tail slope 1.6 to 3 or (one in five) none, compressive fraction 0.1 to 0.6,
    turnover times 0.6 to 1.0 or spectral slope 3.0 to 3.7, mean density 10^1.5 to 10^3.5 cm^-3, and how many
    different boxes are stacked along z. Split training and validation by cloud (``split_by="cloud"``).

    Parameters
    ----------
    count : int
        How many. Cloud number 7 is the same in every suite of the same seed, whatever the count.
    path : path
        Folder that keeps them, an HDF5 file each; a file is named by its recipe, so other choices share it.
    size : int
        Cells along y and x.
    box_size : Quantity
        Side of a box.
    depths : tuple of int
        Numbers of boxes that are stacked, drawn evenly.
    seed : int
        Names the suite.
    workers : int, optional
        Local processes; by default one a processor.
    client : dask.distributed.Client, optional
        Where to run instead; `path` must be a folder that its workers share.
    progress : bool
        Show a bar.

    Returns
    -------
    list of SimulationCube
        Opened from the files, each stamped synthetic with its choices.

    Raises
    ------
    ValueError, TypeError
        For a choice out of its range.

    Examples
    --------
    >>> import tempfile
    >>> suite = ensemble(2, tempfile.mkdtemp(), size=16, depths=(1, 2), workers=1, progress=False)
    >>> [cloud.provenance["source"] for cloud in suite]
    ['synthetic', 'synthetic']
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"count: expected a whole number from 1 up, got {count!r}")
    if not depths or any(isinstance(d, bool) or not isinstance(d, int) or d < 1 for d in depths):
        raise ValueError(f"depths: expected whole numbers of boxes from 1 up, got {depths!r}")
    side = positive(box_size, u.pc, "box_size")
    folder = Path(path)
    tasks = []
    for number in range(count):
        choices = draw_choices(number, seed=seed, size=size, box_size_pc=side, depths=tuple(depths))
        mark = fingerprint({"recipe": RECIPE, "version": __version__, **choices})[:12]
        tasks.append((folder / f"{choices['kind']}_{number:03d}_{mark}.h5", choices))
    folder.mkdir(parents=True, exist_ok=True)
    missing = [task for task in tasks if not task[0].exists()]
    done = map_tasks(_make, missing, client=client, workers=workers)
    bar = {"total": len(tasks), "initial": len(tasks) - len(missing), "unit": "cloud", "desc": "ensemble"}
    for _ in tqdm(done, disable=not progress, **bar):
        pass
    return [SimulationCube.open(file) for file, _ in tasks]


def draw_choices(
    number: int, *, seed: int, size: int, box_size_pc: float, depths: tuple[int, ...]
) -> dict[str, Any]:
    """Return the choices of one cloud of a suite: JSON values, the same for the same number and seed."""
    ten = np.random.default_rng([seed, 1, number // 10]).permutation(10)
    kind = "fbm" if ten[number % 10] < RANDOM_FIELDS else "burgers"
    rng = np.random.default_rng([seed, 2, number])
    choices: dict[str, Any] = {
        "kind": kind,
        "size": int(size),
        "seed": int(rng.integers(2**31)),
        "box_size_pc": box_size_pc,
        "mach_number": rng.uniform(3.0, 12.0),
        "pdf_width": rng.uniform(1.0, 1.8),
        "tail_slope": rng.uniform(1.6, 3.0),
        "compressive_fraction": rng.uniform(0.1, 0.6),
        "mean_density_cm3": 10 ** rng.uniform(1.5, 3.5),
        "boxes": int(rng.choice(depths)),
        "name": f"suite {seed} cloud {number:03d} ({kind})",
    }
    if rng.random() < 0.2:
        choices["tail_slope"] = None
    turnover_times, spectral_slope = rng.uniform(0.6, 1.0), rng.uniform(3.0, 3.7)
    if kind == "burgers":
        choices["turnover_times"] = turnover_times
    else:
        choices["spectral_slope"] = spectral_slope
    return choices


def _make(task: tuple[Path, dict[str, Any]]) -> str:
    """Make one cloud and write it, whole or not at all."""
    file, choices = task
    given = dict(choices)
    box_size = given.pop("box_size_pc") * u.pc
    cloud = synthetic_cloud(
        given.pop("size"),
        given.pop("seed"),
        box_size=box_size,
        depth=given.pop("boxes") * box_size,
        mean_density=given.pop("mean_density_cm3") / u.cm**3,
        **given,
    )
    cloud.save(file, overwrite=True)
    return str(file)
