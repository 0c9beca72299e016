"""Cubes in files: FITS, npy, npz, HDF5, zarr, VTK, Galactica folders and adaptive grids, with names and units.

Opening a file reads its description, not its data. A format is a module with two functions, `read(path)` and
`write(path, description, fields)`; :data:`FORMATS` names it by suffix, and a further format is a further
module and line there.
"""

from __future__ import annotations

import importlib
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.readers.galactica import is_folder
from polaris_lab.clouds.readers.galactica import read as read_galactica
from polaris_lab.clouds.readers.stored import (
    FIELD_UNITS,
    StoredCube,
    convert,
    describe,
    fields_of,
    unit_factor,
)
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.config import check_schema, did_you_mean
from polaris_lab.units import MEAN_MASS_PER_HYDROGEN, positive

FORMATS = {
    ".fits": "fits_files",
    ".fit": "fits_files",
    ".npy": "npy_files",
    ".npz": "npz_files",
    ".h5": "hdf5_files",
    ".hdf5": "hdf5_files",
    ".zarr": "zarr_groups",
}
"""Module of this package that reads and writes the files with a suffix."""

READ_ONLY = {".vtk": "vtk_files"}
"""Module that reads the files with a suffix; nothing is written in these formats, as they keep no units."""


def open_cube(
    path: str | Path,
    *,
    cell_size: u.Quantity | None = None,
    fields: Mapping[str, str] | None = None,
    units: Mapping[str, str | u.UnitBase] | None = None,
    name: str | None = None,
    box_size: u.Quantity | None = None,
    mass_per_hydrogen: float = MEAN_MASS_PER_HYDROGEN,
    snapshot: tuple[int, int] | None = None,
    chunks: int | tuple[int, int, int] | None = None,
    resolution: int | tuple[int, int, int] | None = None,
    center: u.Quantity | None = None,
    width: u.Quantity | None = None,
    **amr: Any,
) -> SimulationCube:
    """Open a cube without reading its data; the format follows from the suffix.

    A file written by :func:`save_cube` needs nothing but its path. For a file from elsewhere say what it
    does not: the size of a cell, what its fields are called, their units.

    Parameters
    ----------
    path : str or Path
        A ``.fits``, ``.npy``, ``.npz``, ``.h5`` (``.hdf5``; also The Well's layout) or legacy ``.vtk`` file, a
        ``.zarr`` folder, a Galactica folder (``datacube.fits`` ... ``processing_config.json``), or the output of an
        adaptive grid code (RAMSES, Athena++, or what else yt reads): then say `resolution`.
    cell_size : Quantity, optional
        Edge of a cell, a length; needed when the file does not state it.
    fields : mapping, optional
        Names in the file of "density", "temperature", "velocity_z", "velocity_y", "velocity_x", where they
        differ from these.
    units : mapping, optional
        Units by the same five names, where the file does not state them. A density may be a number density
        of hydrogen nuclei or a mass density, which is divided by 1.4 m_H. Plain npy and npz arrays cannot
        carry a unit and are taken as cm^-3, K and km s^-1.
    name : str, optional
        What the cloud is called; by default as stored, else the name of the file.
    box_size : Quantity, optional
        Instead of `cell_size`: side of the box along x. Of a Galactica folder: side of the whole run, of which the
        folder holds a part.
    mass_per_hydrogen : float
        Gas mass per hydrogen nucleus in m_H, which turns mass densities into n_H.
    snapshot : (int, int), optional
        Trajectory and step, in a file of The Well.
    chunks : int or (int, int, int), optional
        Wrap the fields as Dask arrays of these chunks (extra ``cluster``), for work that Dask is to plan. Without it they
        are read block by block all the same.
    resolution, center, width, **amr
        Of an adaptive grid: see :func:`polaris_lab.clouds.amr_grid.regrid` and :func:`polaris_lab.clouds.open_amr`,
        which gives the leaves without a cube.

    Returns
    -------
    SimulationCube
        Its fields are read block by block when they are used; a compressed or scaled file is read at once.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If the file is cut off, not 3D, written by a newer version, or does not say what it must, with the
        argument that says it.
    UnitsError
        If a unit does not fit its field.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from astropy import units as u
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "rho.npy", np.full((4, 4, 4), 2.3e-22))
    >>> cube = open_cube(folder / "rho.npy", cell_size=0.05 * u.pc, units={"density": "g cm-3"})
    >>> print(f"{cube.density[0, 0, 0]:.2f}")
    98.17
    """
    path = Path(path)
    if is_output(path) or resolution is not None or (amr and path.suffix.lower() not in FORMATS | READ_ONLY):
        return _open_grid(path, resolution, center, width, name, mass_per_hydrogen, amr)
    if amr or center is not None or width is not None:
        given = [*amr, *(key for key, value in (("center", center), ("width", width)) if value is not None)]
        raise TypeError(
            f"{given[0]}: expected for outputs of adaptive grids only; leave it out, or say resolution= too"
        )
    galactic = is_folder(path)
    reader = None if galactic else _format(path, FORMATS | READ_ONLY)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a simulation cube, got no such file or folder")
    for argument, given in (("fields", fields), ("units", units)):
        for key in given or {}:
            if key not in FIELD_UNITS:
                raise ValueError(f"{argument}: unknown field {key!r}: {did_you_mean(key, list(FIELD_UNITS))}")
    side = None if box_size is None else positive(box_size, u.pc, "box_size")
    part: dict[str, Any] = {}
    if galactic:
        if side is None and cell_size is None:
            raise ValueError(
                f"{path}: expected the size of the whole run's box, got none in the folder; state it, for example with "
                "box_size=66.0948 * u.pc"
            )
        stored, part = read_galactica(path, side)
    elif snapshot is not None:
        if FORMATS.get(path.suffix.lower()) != "hdf5_files":
            raise TypeError(f"{path}: snapshot: expected for HDF5 files of The Well only; leave it out")
        stored = reader.read(path, snapshot)
    else:
        stored = reader.read(path)
    if stored.description is not None:
        check_schema(stored.description.get("schema"), str(path))
        lost = [field for field in stored.description["units"] if field not in stored.fields]
        if lost:
            raise ValueError(
                f"{path}: expected the fields {', '.join(lost)}: it is cut off; copy or write it again"
            )
    found = _choose(path, stored, dict(fields or {}), dict(units or {}), mass_per_hydrogen)
    if chunks is not None:
        found = {field: _as_dask(values, chunks) for field, values in found.items()}
    description = stored.description or {}
    if side is not None and not galactic:
        if cell_size is not None:
            raise ValueError(f"{path}: cell_size, box_size: expected one of them, got both")
        cell_size = side / found["density"].shape[-1] * u.pc
    size = _cell_size(path, stored.cell_size_pc, cell_size)
    origin = {"source": "file", "file": path.name, **({"part_of_run": part} if part else {})}
    try:
        return SimulationCube(
            found["density"],
            cell_size=size,
            temperature=found.get("temperature"),
            velocity={key[-1]: values for key, values in found.items() if key.startswith("velocity_")},
            subcell={
                key.removeprefix("density_"): values
                for key, values in found.items()
                if key.startswith("density_")
            },
            name=name or (description.get("name") if stored.description else path.stem),
            provenance=description.get("provenance", origin),
        )
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error


def save_cube(cube: SimulationCube, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a cube with its names, units and provenance, whole or not at all.

    The data are streamed block by block, so a cube larger than memory can be converted. What is written
    opens in other tools as well: the first FITS image, the first npy array and the array ``density`` of
    npz, HDF5 and zarr are the density in cm^-3.

    Parameters
    ----------
    cube : SimulationCube
        What to write.
    path : str or Path
        The suffix names the format: ``.fits``, ``.npy``, ``.npz``, ``.h5`` (``.hdf5``) or ``.zarr``.
    overwrite : bool
        Replace what is there; refused by default.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is not set, or is a folder that is no zarr group.
    ValueError
        If the suffix is unknown, or a cell read on the way is NaN, zero or negative.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from astropy import units as u
    >>> cube = SimulationCube(np.full((4, 4, 4), 100.0), cell_size=0.05 * u.pc, name="slab")
    >>> written = save_cube(cube, Path(tempfile.mkdtemp()) / "slab.h5")
    >>> open_cube(written)
    SimulationCube('slab': 4 x 4 x 4 cells of 0.05 pc, 0.2 x 0.2 x 0.2 pc (z, y, x); n_H 100 .. 100 cm^-3 (on disk); no temperature; no velocity)
    """
    path = Path(path)
    writer = _format(path, FORMATS)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path}: expected a new path, got one that exists; choose another or say overwrite=True"
        )
    if path.is_dir() and not (path / "zarr.json").exists() and any(path.iterdir()):
        raise FileExistsError(f"{path}: expected a file or a zarr group to replace, got another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        writer.write(temporary, describe(cube), fields_of(cube))
        _put_in_place(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    return path


def is_output(path: Path) -> bool:
    """Whether a path is a RAMSES output (its folder or info file) or an Athena++ file."""
    if path.is_dir():
        return any(path.glob("info_*.txt"))
    return bool(re.fullmatch(r"info_\d+\.txt", path.name)) or path.suffix == ".athdf"


def _format(path: Path, formats: Mapping[str, str]) -> ModuleType:
    suffix = path.suffix.lower()
    if suffix not in formats:
        known = ", ".join(formats)
        grids = (
            ""
            if formats is FORMATS
            else "; the output of a grid code that yt reads is opened with resolution="
        )
        raise ValueError(f"{path}: expected one of the suffixes {known}, got {suffix or 'none'!r}{grids}")
    return importlib.import_module(f"{__name__}.{formats[suffix]}")


def _as_dask(values: Any, chunks: Any) -> Any:
    given = chunks if isinstance(chunks, tuple) else (chunks,)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in given)
    if not whole or len(given) not in (1, 3):
        raise ValueError(
            f"chunks: expected a whole number of cells from 1 up, or three (z, y, x), got {chunks!r}"
        )
    try:
        from dask import array
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "chunks: expected Dask, it is not installed; pip install 'polaris-lab[cluster]'"
        ) from error
    return array.from_array(values, chunks=chunks, asarray=False, meta=np.empty((0, 0, 0), np.float32))


def _open_grid(
    path: Path,
    resolution: Any,
    center: Any,
    width: Any,
    name: str | None,
    mass_per_hydrogen: float,
    amr: dict,
) -> SimulationCube:
    """Open the output of an adaptive grid code and put it on a uniform grid."""
    from polaris_lab.clouds.readers.amr_outputs import open_amr

    if path.exists() and resolution is None:
        raise ValueError(
            f"{path}: expected resolution=, as an adaptive grid is no cube, got none; or take its leaves with "
            "lab.clouds.open_amr, which the maps accept"
        )
    subcell = amr.pop("subcell", False)
    cloud = open_amr(path, name=name, mass_per_hydrogen=mass_per_hydrogen, **amr)
    return cloud.to_cube(resolution=resolution, center=center, width=width, subcell=subcell)


def _choose(
    path: Path, stored: StoredCube, names: dict[str, str], units: dict, mass_per_hydrogen: float
) -> dict:
    """Return the fields that a cube takes from a file, in its units."""
    found = {}
    for field, unit in FIELD_UNITS.items():
        key = names.get(field, field)
        if key not in stored.fields and key.lower() in stored.fields:  # names of FITS images know no case
            key = key.lower()
        if key not in stored.fields:
            if field == "density" or field in names:
                held = list(stored.fields)
                raise ValueError(
                    f'{path}: expected the field "{key}", got none of that name: {did_you_mean(key, held)}; '
                    f'name the right one with fields={{"{field}": "..."}}'
                )
            continue
        values, stated = stored.fields[key]
        stated = units.get(field, stated)
        if stated is None:
            raise ValueError(
                f'{path}: expected the unit of "{key}", got none in the file; '
                f'state it with units={{"{field}": "{unit}"}}'
            )
        factor = unit_factor(stated, field, f'{path}: "{key}"', mass_per_hydrogen)
        found[field] = convert(values, factor)
    return found


def _cell_size(path: Path, stored_pc: float | None, given: u.Quantity | None) -> u.Quantity:
    if given is None:
        if stored_pc is None:
            raise ValueError(
                f"{path}: expected the size of a cell, got none in the file; "
                "state it, for example with cell_size=0.05 * u.pc"
            )
        return stored_pc * u.pc
    size = positive(given, u.pc, "cell_size")
    if stored_pc is not None and abs(size - stored_pc) > 1e-6 * stored_pc:
        raise ValueError(
            f"{path}: cell_size: expected that of the file, {stored_pc:g} pc, got {size:g} pc; leave it out"
        )
    return (size if stored_pc is None else stored_pc) * u.pc


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename what was written to where it belongs; an old folder steps aside first."""
    if not path.is_dir():
        if temporary.is_dir() and path.exists():
            path.unlink()
        os.replace(temporary, path)
        return
    aside = path.with_name(f"{temporary.name}.old")
    os.replace(path, aside)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.replace(aside, path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    """Delete a file or folder of ours; what resists is named, not raised over another error."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"{path}: a temporary file is left behind ({error})", UserWarning, stacklevel=2)
