"""The layout in which Galactica delivers cubes: a folder with a FITS file a field and `processing_config.json`.

Galactica needs an account: its Terminus servers cut the cube on demand and send a link; unpack what it delivers and
open the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polaris_lab.clouds.readers import fits_files
from polaris_lab.clouds.readers.stored import FIELD_UNITS, StoredCube, StoredField

FILES = {
    "density": "datacube",
    "temperature": "datacube_temp",
    "velocity_x": "datacube_velx",
    "velocity_y": "datacube_vely",
    "velocity_z": "datacube_velz",
}
"""Field and the file that holds it, without its suffix."""

CONFIG = "processing_config.json"
"""Says which part of the run was cut: ``run_parameters`` with size, nres, xcenter, ycenter, zcenter."""


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of this layout, or its config file."""
    folder = path.parent if path.name == CONFIG else path
    return folder.is_dir() and any(
        (folder / f"datacube{suffix}").exists() for suffix in (".fits", ".fits.gz")
    )


def read(path: Path, box_size_pc: float | None) -> tuple[StoredCube, dict[str, Any]]:
    """Find the fields of a folder; `box_size_pc` is the side of the whole run, of which this is a part.

    Returns
    -------
    StoredCube
        Fields in cm^-3, K and km s^-1 where the files state no unit; the cell size if the size is known.
    dict
        For the provenance: the part of the run, in fractions of the box.
    """
    folder = path.parent if path.name == CONFIG else path
    fields: dict[str, StoredField] = {}
    for field, stem in FILES.items():
        for suffix in (".fits", ".fits.gz"):
            file = folder / f"{stem}{suffix}"
            if file.exists():
                stored = fits_files.read(file).fields
                if "density" not in stored:
                    raise ValueError(f"{file}: expected one 3D image, got {len(stored)} images")
                values, unit = stored["density"]
                fields[field] = StoredField(values, unit or FIELD_UNITS[field])
    part = _part(folder / CONFIG)
    cell = None
    if box_size_pc is not None:
        cells = fields["density"].values.shape[-1]
        if part.get("nres") not in (None, cells):
            raise ValueError(
                f"{folder / CONFIG}: expected nres as the cube's {cells} cells, got {part['nres']}: the file belongs to another cube"
            )
        cell = box_size_pc * part.get("size", 1.0) / cells
    return StoredCube(fields, None, cell), part


def _part(config: Path) -> dict[str, Any]:
    """Return what the config says of the part: size (fraction of the box), nres, centre."""
    if not config.exists():
        raise FileNotFoundError(
            f"{config}: expected the file that says which part of the run this is, got none; write one: "
            '{"run_parameters": {"size": 1.0, "xcenter": 0.5, "ycenter": 0.5, "zcenter": 0.5}}'
        )
    try:
        parameters = json.loads(config.read_text())["run_parameters"]
        part = {
            key: float(parameters[key])
            for key in ("size", "xcenter", "ycenter", "zcenter")
            if key in parameters
        }
        if "nres" in parameters:
            part["nres"] = int(parameters["nres"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{config}: expected {{"run_parameters": {{"size": ..., ...}}}}, got a fault: {error!r}'
        ) from error
    if not 0 < part.get("size", 0.0) <= 1:
        raise ValueError(
            f"{config}: expected run_parameters.size, the fraction of the box, above 0 up to 1, got {part.get('size')}"
        )
    return part
