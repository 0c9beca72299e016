"""What lies in a workspace folder: datasets, runs, observed maps, predictions, cubes and studies.

Each is opened through the library, which reads headers and descriptions, not data. What cannot be opened is listed
with the reason.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {
    "run": "Runs",
    "dataset": "Training sets",
    "study": "Studies",
    "observation": "Observed maps",
    "prediction": "Predictions",
    "cube": "Simulation cubes",
    "line cube": "Line cubes",
}
"""What there can be, with the head under which it is listed."""

DEPTH = 4
"""Levels of folders that are looked into."""

MOST = 400
"""Entries that are listed; what lies further is left out, which is said."""

LARGE_NPZ = 64 * 2**20
"""A packed file above this size [bytes] is not opened to be listed: it would be read at once."""

_FITS = (".fits", ".fit", ".fits.gz", ".fits.bz2", ".fits.xz", ".fits.fz", ".fz")
_GRIDS = (".npy", ".npz", ".h5", ".hdf5", ".vtk", ".athdf")
_SEEN: dict[Path, tuple[tuple[int, int], tuple[Entry, ...]]] = {}


@dataclass(frozen=True)
class Entry:
    """One thing of the workspace."""

    kind: str
    """One of :data:`KINDS`."""
    path: str
    """Where it lies, seen from the workspace folder."""
    words: str = ""
    """What it is."""
    state: str = ""
    """Of a run or study: new, running, stopped, finished, failed; of a dataset "unfinished"; "" without."""
    problem: str = ""
    """Why it cannot be opened, "" if it can."""


@dataclass(frozen=True)
class Contents:
    """What was found."""

    entries: tuple[Entry, ...]
    complete: bool = True
    """Whether all of it is listed."""

    def of(self, kind: str) -> list[Entry]:
        """Return the entries of a kind, by name."""
        return sorted((entry for entry in self.entries if entry.kind == kind), key=lambda entry: entry.path)


def look(workspace: str | Path, *, most: int = MOST) -> Contents:
    """Look through a workspace folder.

    Parameters
    ----------
    workspace : str or Path
        Links that lead out of it are not followed.
    most : int
        Number of entries after which to stop.

    Examples
    --------
    >>> look("/nowhere").entries
    ()
    """
    root = Path(workspace).expanduser().resolve()
    found: list[Entry] = []
    for path, kind in _things(root, root, DEPTH):
        if len(found) >= most:
            return Contents(tuple(found), complete=False)
        found += _described(root, path, kind)
    return Contents(tuple(found))


def _things(root: Path, folder: Path, depth: int) -> Iterator[tuple[Path, str]]:
    """Give every path that may be a thing, with the name of its describer; folders that are one are not entered."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith((".", "__")) or not path.resolve().is_relative_to(root):
            continue
        kind = _kind(path, is_folder=entry.is_dir())
        if kind:
            yield path, kind
        elif entry.is_dir() and depth > 1 and not entry.is_symlink():
            yield from _things(root, path, depth - 1)


def _kind(path: Path, *, is_folder: bool) -> str:
    """Return which describer a path is for, "" if none."""
    name = path.name.lower()
    if not is_folder:
        return "fits" if name.endswith(_FITS) else "grid" if name.endswith(_GRIDS) else ""
    for file, kind in (("run.json", "run"), ("study.json", "study")):
        if (path / file).is_file():
            return kind
    if name.endswith(".zarr"):
        return "zarr"
    if name.endswith(".zarr.partial"):
        return "partial"
    from polaris_lab.clouds.readers import galactica, is_output

    return "grid" if galactica.is_folder(path) or is_output(path) else ""


def _described(root: Path, path: Path, kind: str) -> tuple[Entry, ...]:
    """Return the entry of a path (none if it is nothing of ours); asked again only when it has changed."""
    stamp = _stamp(path)
    if path in _SEEN and kind not in ("run", "study") and _SEEN[path][0] == stamp:
        return _SEEN[path][1]
    name = path.relative_to(root).as_posix()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry = _DESCRIBERS[kind](path, name)
    except Exception as error:  # whatever a file holds, the list must say it
        shown = {"fits": "observation", "grid": "cube", "zarr": "dataset", "partial": "dataset"}.get(
            kind, kind
        )
        words = str(error).removeprefix(f"{path}: ") or type(error).__name__
        entry = Entry(shown, name, problem=" ".join(words.split()))
    answer = () if entry is None else (entry,)
    if len(_SEEN) > 10 * MOST:
        _SEEN.clear()
    _SEEN[path] = (stamp, answer)
    return answer


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = (path / "zarr.json" if (path / "zarr.json").exists() else path).stat()
    except OSError:
        return (0, 0)
    return stat.st_mtime_ns, stat.st_size


def _run(path: Path, name: str) -> Entry:
    from polaris_lab.training import Run

    run = Run.open(path)
    best, done = run.best, len(run.history())
    reached = f", best {100 * best.validation_accuracy:.1f} % within 0.3 dex" if best is not None else ""
    words = f"{run.blueprint.name or 'network'}, {run.parameters:,} parameters, epoch {done} of {run.config.epochs}"
    return Entry("run", name, words + reached, run.state)


def _study(path: Path, name: str) -> Entry:
    from polaris_lab.training.studies import Study

    study = Study.open(path)
    cells = len(study.description["cells"])
    words = f"{study.kind.replace('_', ' ')} over {', '.join(study.axes) or 'seeds'}: {cells} trainings"
    return Entry("study", name, words, study.state)


def _zarr(path: Path, name: str) -> Entry:
    import zarr

    from polaris_lab.datasets import PatchDataset
    from polaris_lab.datasets.growing import is_dataset

    if is_dataset(path):
        dataset = PatchDataset.open(path)
        words = (
            f"{len(dataset)} patches of {dataset.patch_size}² pixels of {dataset.pixel_size_pc:.3g} pc: "
            f"{', '.join(dataset.inputs)} → {', '.join(dataset.targets)}; {dataset.describe_split()}"
        )
        return Entry("dataset", name, words)
    group = zarr.open_group(path, mode="r")
    if group.attrs.get("kind") == "ppv_cube":
        shape = group["ppv_cube"].shape
        return Entry("line cube", name, f"{shape[0]} channels of {shape[1]} × {shape[2]} pixels")
    return _cube(path, name)


def _partial(path: Path, name: str) -> Entry:
    words = "being built, or its building was cut off: build it again with the same choices to go on"
    return Entry("dataset", name, words, "unfinished")


def _fits(path: Path, name: str) -> Entry | None:
    from polaris_lab.observations.headers import first_image

    found = first_image(path)
    if found is None:
        return None  # a table
    header, shape = found
    axes = [n for n in shape if n > 1]
    size = " × ".join(str(n) for n in axes)
    said = ", ".join(str(header[card]) for card in ("OBJECT", "BUNIT") if str(header.get(card, "")).strip())
    words = f"{size} pixels" + (f" ({said})" if said else "")
    if len(axes) == 2:
        kind = "prediction" if header.get("EXTNAME") == "DENSITY" else "observation"
        return Entry(kind, name, words)
    types = [str(header.get(f"CTYPE{i}", "")).upper() for i in range(1, 5)]
    if any(t.startswith(("V", "FELO", "FREQ", "WAV", "AWAV", "ENER")) for t in types):
        return Entry("line cube", name, words)
    return _cube(path, name) if len(axes) == 3 else None


def _cube(path: Path, name: str) -> Entry | None:
    from polaris_lab.clouds import SimulationCube
    from polaris_lab.clouds.readers import is_output

    if is_output(path):
        return Entry("cube", name, "adaptive grid: open it with resolution=")
    if path.suffix == ".npy":
        import numpy as np

        if np.load(path, mmap_mode="r").ndim != 3:
            return None
    if path.suffix == ".npz" and path.stat().st_size > LARGE_NPZ:
        return Entry("cube", name, f"packed, {path.stat().st_size / 2**20:.0f} MiB: not looked into")
    cube = SimulationCube.open(path)
    size = " × ".join(str(n) for n in cube.shape)
    fields = [
        *(["temperature"] if cube.temperature is not None else []),
        *(["velocity"] if cube.velocity else []),
    ]
    return Entry(
        "cube", name, f"{size} cells of {cube.cell_size_pc:.3g} pc, " + ", ".join(["density", *fields])
    )


_DESCRIBERS: dict[str, Callable[[Path, str], Any]] = {
    "run": _run,
    "study": _study,
    "zarr": _zarr,
    "partial": _partial,
    "fits": _fits,
    "grid": _cube,
}
