"""Where the spectra go as they are computed: memory, a FITS file or a zarr group, block by block.

Files grow under the name NAME.partial and are renamed when they are whole; whatever stops the work before
removes them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.radiative_transfer.rays import Face
from polaris_lab.radiative_transfer.solve import Scheme


def open_store(
    output: Any,
    scheme: Scheme,
    provenance: dict[str, Any],
    face: Face,
    cube: SimulationCube,
    *,
    overwrite: bool,
) -> _MemoryStore | _FileStore:
    """Return the store for a job: memory without `output`, else one file a line.

    Raises
    ------
    ValueError
        If there is not one path a line, or its suffix is unknown.
    FileExistsError
        If a file exists and `overwrite` is false.
    """
    dtype = np.dtype(scheme.precision)
    shape = (len(scheme.channels), face.rows, face.columns)
    blanks = []
    for number, line in enumerate(scheme.lines):
        own = {"abundance_per_hydrogen": provenance["abundance_per_hydrogen"][number]}
        blanks.append(
            PPVCube(
                np.broadcast_to(np.zeros((), dtype), shape),
                scheme.channels,
                line=line,
                pixel_size=cube.cell_size_pc * u.pc,
                axis=face.axis,
                unit="K" if scheme.quantity == "brightness" else "",
                provenance=provenance | own,
            )
        )
    if output is None:
        return _MemoryStore(blanks)
    several = isinstance(output, Sequence) and not isinstance(output, str)
    paths = [Path(path) for path in (output if several else [output])]
    if len(paths) != len(blanks):
        raise ValueError(f"output: expected one path for each of the {len(blanks)} lines, got {len(paths)}")
    for path in paths:
        if path.suffix not in (".fits", ".zarr"):
            raise ValueError(f"output: expected a path ending in .fits or .zarr, got {path.name!r}")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; give another path, or overwrite=True to replace it")
    return _FileStore(blanks, paths)


class _MemoryStore:
    """Arrays in memory."""

    def __init__(self, blanks: list[PPVCube]) -> None:
        self._blanks = blanks
        self._arrays: list[np.ndarray] = []

    def write(self, start: int, stop: int, spectra: list[np.ndarray]) -> None:
        """Keep the spectra of some rows, arrays of shape (channels, rays)."""
        if stop - start == self._blanks[0].shape[1]:  # all in one block: no copy
            self._arrays = [
                block.reshape(blank.shape) for block, blank in zip(spectra, self._blanks, strict=True)
            ]
            return
        if not self._arrays:
            self._arrays = [np.empty(blank.shape, blank.data.dtype) for blank in self._blanks]
        for array, block in zip(self._arrays, spectra, strict=True):
            array[:, start:stop] = block.reshape(block.shape[0], stop - start, -1)

    def discard(self) -> None:
        """Drop everything."""
        self._arrays = []

    def finish(self) -> list[PPVCube]:
        """Return the cubes."""
        return [blank.with_data(array) for blank, array in zip(self._blanks, self._arrays, strict=True)]


class _FileStore:
    """One FITS file or zarr group a line."""

    def __init__(self, blanks: list[PPVCube], paths: list[Path]) -> None:
        from polaris_lab.radiative_transfer.ppv_files import create_fits, create_zarr

        self._paths = paths
        self._partial = [path.with_name(path.name + ".partial") for path in paths]
        self.discard()
        self._arrays = []
        try:
            for blank, path in zip(blanks, self._partial, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                create = create_fits if ".fits" in path.suffixes else create_zarr
                self._arrays.append(create(blank, path))
        except BaseException:
            self.discard()
            raise

    def write(self, start: int, stop: int, spectra: list[np.ndarray]) -> None:
        """Write the spectra of some rows, arrays of shape (channels, rays)."""
        for array, block in zip(self._arrays, spectra, strict=True):
            array[:, start:stop] = block.reshape(block.shape[0], stop - start, -1)

    def discard(self) -> None:
        """Remove what was written so far."""
        self._arrays = []
        for path in self._partial:
            _remove(path)

    def finish(self) -> list[PPVCube]:
        """Give the files their names and open them."""
        for array in self._arrays:
            if isinstance(array, np.memmap):
                array.flush()
        self._arrays = []
        for partial, path in zip(self._partial, self._paths, strict=True):
            _remove(path)
            os.replace(partial, path)
        return [PPVCube.open(path) for path in self._paths]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
