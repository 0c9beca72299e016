"""The cloud that the inspector of training sets begins with, and its first candidates."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote

import panel as pn

from polaris_lab.datasets import PatchConfig, propose_patches
from widgets.file_choice import FileChoice
from widgets.inspector.controls import PATCH_SIZES

ENDINGS = (".npy", ".fits", ".fit", ".npz", ".h5", ".hdf5", ".zarr", ".vtk", ".athdf")
"""Files on offer."""


def choice(folder: Path) -> FileChoice:
    """Return the field that lists the cubes of a workspace folder; a chosen one is opened at an address of its own."""

    def turn(place: Path) -> None:
        if pn.state.location is not None:
            asked = quote(place.relative_to(folder).as_posix())
            pn.state.location.param.update(search=f"?path={asked}", reload=True)

    return FileChoice(folder, ENDINGS, on_choose=turn, label="Cloud in the workspace")


def open_cloud(place: Path) -> tuple[Any, str]:
    """Open a cloud; return it with the Python that does so."""
    from polaris_lab.clouds import SimulationCube

    return SimulationCube.open(place), f"lab.SimulationCube.open({place.as_posix()!r})"


@functools.cache
def synthetic() -> tuple[Any, str]:
    """Make the small cloud that a newcomer sees, once; return it with the Python that makes it."""
    from polaris_lab.clouds import synthetic_cloud

    return synthetic_cloud(128, kind="fbm"), 'lab.synthetic_cloud(128, kind="fbm")'


def first_proposals(cube: Any, patch_size: int | None) -> tuple[Any, str]:
    """Return proposals with patches of this size, or the largest that there is room for, and what went wrong."""
    largest = (
        patch_size
        or next((size for size in PATCH_SIZES if 4 * size <= min(cube.shape)), 0)
        or PATCH_SIZES[-1]
    )
    error = ""
    for size in (largest, *(size for size in PATCH_SIZES if size < largest)):
        try:
            config = PatchConfig(patch_size=size, validation_fraction=0.25)
            return propose_patches(cube, config), error and f"{error}. Shown with {size} pixels"
        except ValueError as refused:
            error = error or str(refused)
    return None, f"{error}. Serve a larger cloud"
