"""Building a training set from clouds: propose, cut, commit patch by patch, and name it last."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from polaris_lab.clouds import SimulationCube
from polaris_lab.clouds.sample import DO_NOT_TRAIN
from polaris_lab.datasets.arrays import shuffled_split
from polaris_lab.datasets.channels import ChannelFaces, Place, check_temperature, layer_count
from polaris_lab.datasets.emission import LineFaces, check_gas, velocity_axis
from polaris_lab.datasets.growing import (
    GrowingDataset,
    check_free,
    finish_interrupted_rename,
    partial_path,
)
from polaris_lab.datasets.patch_config import PatchConfig
from polaris_lab.datasets.proposals import failures
from polaris_lab.datasets.propose import check_shape, propose_patches
from polaris_lab.datasets.recipe import manifest_of, sources_of
from polaris_lab.datasets.split import held_out_clouds, sentence
from polaris_lab.datasets.store import PatchDataset
from polaris_lab.parallel import map_tasks

logger = logging.getLogger(__name__)


def build_dataset(
    cubes: SimulationCube | str | Path | Sequence[SimulationCube | str | Path],
    config: PatchConfig | None,
    path: str | Path,
    *,
    progress: bool = True,
    client: Any = None,
    overwrite: bool = False,
    train_on_reserved: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> PatchDataset:
    """Build a training set from one cloud or several, on disk.

    The dataset grows as ``PATH.partial`` with a commit record for every patch; its name is given last. If the
    process is killed, the same call resumes after the last patch committed.

    Parameters
    ----------
    cubes : SimulationCube, path, or a sequence of them
        Clouds of one cell size. With ``split_by="cloud"`` at least two.
    config : PatchConfig or None
        The choices; None for the defaults. With quantities of a line ("ppv_cube" ...) the cubes need their
        temperature and the velocity along each line of sight; the line cube of a whole face is computed at a time.
        Channels ("temperature", "context_column_density" ...) are made face by face.
    path : path
        Folder of the dataset, by custom ending in ``.zarr``.
    progress : bool
        Show a progress bar.
    client : dask.distributed.Client, optional
        Where clouds are projected and searched; by default here, one after the other.
    overwrite : bool
        Replace a dataset at `path` when the new one is whole.
    train_on_reserved : bool
        Take clouds whose provenance says ``do_not_train`` all the same, as that of
        :func:`polaris_lab.sample_cloud` does; figures measured on them are then no test any more.
    on_progress : callable, optional
        Called with the patches committed and those found so far, for each patch and each cloud. What it raises
        stops the build; the patches committed stay, and the same call resumes.

    Returns
    -------
    PatchDataset
        Opened from `path`.

    Raises
    ------
    FileExistsError
        If something stands at `path`, or a partial dataset of another recipe.
    InUseError
        If another process is building it.
    ValueError
        If cell sizes differ, two clouds are the same or have the same name, a cloud lacks what a line needs or is
        reserved for tests, or no patch was accepted.

    References
    ----------
    Report, section 2.1 and appendix B.
    """
    path = Path(path)
    config = PatchConfig() if config is None else config
    if not isinstance(config, PatchConfig):
        raise TypeError(f"config: expected a PatchConfig, got {type(config).__name__}")
    cubes = _opened(cubes)
    names = _names(cubes)
    if not train_on_reserved:
        _check_reserved(cubes, names)
    cell_size_pc = _one_cell_size(cubes, names)
    emission = config.line_emission
    if emission is not None:
        check_gas(cubes, names, config.used_lines_of_sight)
    for cube in cubes:
        check_shape(cube.shape, config)
    held_out = held_out_clouds(names, config) if config.split_by == "cloud" else ()
    if path.exists() and not overwrite:
        check_free(path, "")  # refused before the clouds are read
    depth_cells = layer_count(cubes, names, config)
    warm = "temperature" in config.quantities
    if warm:
        check_temperature(cubes, names)
    gas_axes = config.used_lines_of_sight if emission else () if warm else None
    sources = sources_of(cubes, names, progress, gas_axes)
    velocity, channels = (
        velocity_axis(cubes, emission, config.used_lines_of_sight) if emission else (None, "")
    )
    manifest = manifest_of(config, sources, cell_size_pc, velocity, channels, depth_cells)
    check_free(path, manifest["fingerprint"], overwrite=overwrite)
    if finish_interrupted_rename(path, manifest["fingerprint"], overwrite=overwrite):
        return PatchDataset.open(path)
    if channels:
        logger.info("%s: velocity axis of %s", path, channels)
    tasks = [(cube, config, name in held_out) for cube, name in zip(cubes, names, strict=True)]
    found = map_tasks(_search, tasks, client=client, workers=1 if client is None else None)
    with GrowingDataset.begin(
        path, manifest, manifest["units"], velocity=velocity, overwrite=overwrite
    ) as growing:
        try:
            lines = _lines(growing, config, velocity, client, progress)
            faces = ChannelFaces(config, depth_cells) if config.channel_quantities else None
            by_name = dict(zip(names, cubes, strict=True))
            selection, slabs = _write(growing, found, by_name, lines, faces, progress, on_progress)
            _finish(growing, config, selection, sentence(config, cell_size_pc, slabs, held_out), held_out)
            logger.info("%s: %s", path, selection_in_words(selection))
        except BaseException:
            if not growing.records:  # nothing to resume: leave nothing behind
                growing.discard()
            raise
    return PatchDataset.open(path)


def _search(task: tuple[SimulationCube, PatchConfig, bool]) -> dict[str, Any]:
    """Choose and cut the patches of one cloud: what one task computes, wherever it runs."""
    cube, config, held_out = task
    proposals = propose_patches(cube, config, held_out=held_out)
    return {
        "rows": proposals.accepted,
        "arrays": {name: proposals.patches(name) for name in config.projected_quantities},
        "columns": {face.line_of_sight: face.maps["column_density"] for face in proposals.faces}
        if config.channel_quantities
        else {},
        "slab": proposals.slab,
        "selection": {
            "counts": proposals.counts(),
            "faces": len(proposals.faces),
            "packed_faces": list(proposals.packed_faces),
            "notes": list(proposals.notes),
            "slab": None if proposals.slab is None else asdict(proposals.slab),
            "score_quantiles": [float(f"{score:.6g}") for score in proposals.score_quantiles[::10]],
        },
    }


def selection_in_words(selection: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in one line how the patches of all clouds were found.

    Parameters
    ----------
    selection : mapping of cloud to mapping
        As a dataset's manifest holds it: ``counts`` of the fates, ``faces``, ``packed_faces``.
    """
    counts: Counter[str] = Counter()
    for cloud in selection.values():
        counts.update(cloud["counts"])
    faces = sum(cloud["faces"] for cloud in selection.values())
    packed = sum(len(cloud["packed_faces"]) for cloud in selection.values())
    sentence = (
        f"{counts['accepted']} patches on {faces} faces of {len(selection)} "
        f"cloud{'s' if len(selection) > 1 else ''}; of {counts.total()} candidates failed: {failures(counts)}"
    )
    if packed:
        sentence += f"; random placement jammed on {packed} faces, which were packed anew"
    return sentence


def _write(
    growing: GrowingDataset,
    found: Iterator[dict[str, Any]],
    cubes: Mapping[str, SimulationCube],
    lines: LineFaces | None,
    faces: ChannelFaces | None,
    progress: bool,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Commit the patches of every cloud that are not there yet; return what is to be said of the clouds."""
    report = on_progress or (lambda done, total: None)
    selection, slabs, number = {}, {}, 0
    with (
        closing(lines) if lines else nullcontext(),
        tqdm(total=0, desc="patches", unit="patch", disable=not progress) as bar,
    ):
        for (name, cube), result in zip(cubes.items(), found, strict=True):
            rows, arrays = result["rows"], result["arrays"]
            selection[name] = result["selection"]
            if result["slab"] is not None:
                slabs[name] = result["slab"]
            bar.total += len(rows["score"])
            bar.refresh()
            report(number, bar.total)
            for k in range(len(rows["score"])):
                row = _row(rows, k, name)
                if number >= len(growing.records):
                    patch = {key: values[k] for key, values in arrays.items()}
                    if lines is not None:
                        patch |= lines.cut(cube, row["line_of_sight"], row["origin"])
                    if faces is not None:
                        place = Place(row["line_of_sight"], tuple(row["origin"]), row["split"])
                        patch |= faces.cut(cube, place, result["columns"], result["slab"])
                    growing.append({key: patch[key] for key in growing.names}, row)
                elif growing.records[number]["row"] != row:
                    raise ValueError(
                        f"{partial_path(growing.path)}: patch {number} is not the one that this computer finds; throw the "
                        "partial dataset away with overwrite=True"
                    )
                number += 1
                bar.update()
                report(number, bar.total)
    return selection, slabs


def _lines(
    growing: GrowingDataset, config: PatchConfig, velocity: np.ndarray | None, client: Any, progress: bool
) -> LineFaces | None:
    """Return what computes the line of the patches, None where none is wanted."""
    if config.line_emission is None:
        return None
    return LineFaces(
        config.line_emission,
        velocity,
        config.line_quantities,
        config.patch_size,
        growing.scratch,
        client=client,
        progress=progress,
    )


def _row(rows: dict[str, np.ndarray], k: int, cloud: str) -> dict[str, Any]:
    return {
        "line_of_sight": str(rows["line_of_sight"][k]),
        "origin": [int(pixel) for pixel in rows["origin"][k]],
        "score": float(f"{rows['score'][k]:.9g}"),
        "quantile": float(f"{rows['quantile'][k]:.6g}"),
        "split": str(rows["split"][k]),
        "cloud": cloud,
    }


def _finish(
    growing: GrowingDataset,
    config: PatchConfig,
    selection: dict[str, Any],
    words: str,
    held_out: Sequence[str],
) -> None:
    """Check that there is something on both sides, and seal."""
    rows = [record["row"] for record in growing.records]
    split = np.array([row["split"] for row in rows])
    if config.split_by == "shuffle" and len(rows) > 1:
        split = shuffled_split(len(rows), config.validation_fraction, config.seed)
    for side in ("training", "validation"):
        if not (split == side).any():
            growing.discard()
            counts = "; ".join(f"{name}: {entry['counts']}" for name, entry in selection.items())
            raise ValueError(
                f"config: expected at least one patch for {side}, got none of {len(rows)} accepted ({counts}); relax the "
                "test that fails most, raise attempts, or move the slab with slab_position"
            )
    table = {
        "line_of_sight": np.array([row["line_of_sight"] for row in rows]),
        "origin": np.array([row["origin"] for row in rows], np.int64),
        "score": np.array([row["score"] for row in rows]),
        "quantile": np.array([row["quantile"] for row in rows]),
        "split": split,
        "cloud": np.array([row["cloud"] for row in rows]),
    }
    rule = {"rule": config.split_by, "sentence": words, "validation_clouds": list(held_out)}
    growing.seal(table, {"split": rule, "selection": selection})


def _opened(cubes: Any) -> list[SimulationCube]:
    given = [cubes] if isinstance(cubes, SimulationCube | str | Path) else list(cubes)
    if not given:
        raise ValueError("cubes: expected at least one cloud, got none")
    opened = [SimulationCube.open(cube) if isinstance(cube, str | Path) else cube for cube in given]
    for cube in opened:
        if not isinstance(cube, SimulationCube):
            raise TypeError(f"cubes: expected SimulationCubes or paths to them, got {type(cube).__name__}")
    return opened


def _names(cubes: Sequence[SimulationCube]) -> list[str]:
    names = [
        cube.name or (f"cloud {number}" if len(cubes) > 1 else "cloud") for number, cube in enumerate(cubes)
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"cubes: expected different names, got {twice[0]!r} twice; set cube.name")
    return names


def _check_reserved(cubes: Sequence[SimulationCube], names: Sequence[str]) -> None:
    for cube, name in zip(cubes, names, strict=True):
        if cube.provenance.get(DO_NOT_TRAIN):
            raise ValueError(
                f"cubes: expected clouds to train on, got {name!r}, which is stamped do_not_train: "
                f"{cube.provenance[DO_NOT_TRAIN]}; say train_on_reserved=True to give that test up"
            )


def _one_cell_size(cubes: Sequence[SimulationCube], names: Sequence[str]) -> float:
    first = cubes[0].cell_size_pc
    for cube, name in zip(cubes, names, strict=True):
        if abs(cube.cell_size_pc / first - 1) > 1e-6:
            raise ValueError(
                f"cubes: expected one cell size, got {first:g} pc ({names[0]}) and {cube.cell_size_pc:g} pc ({name}); a "
                "network learns one pixel size: resample the cubes, or build a dataset of each"
            )
    return first
