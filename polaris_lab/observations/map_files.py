"""Writing a map of column density as FITS."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from astropy.io import fits

from polaris_lab.config import write_bytes
from polaris_lab.units import HYDROGEN_PER_H2

if TYPE_CHECKING:
    from polaris_lab.observations.maps import Observation


def write_map(observation: Observation, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a map, whole or not at all (see :meth:`Observation.write_fits`)."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: expected a new file, got one that exists; overwrite=True replaces it")
    molecular = observation.species == "H2"
    values = observation.column_density / (HYDROGEN_PER_H2 if molecular else 1.0)
    header = observation.wcs.to_header(relax=True)
    header["BUNIT"] = "cm-2"
    header["SPECIES"] = ("H2" if molecular else "H", "what the map counts")
    header["DISTANCE"] = (observation.distance_pc, "[pc] adopted distance")
    if observation.name:
        header["OBJECT"] = observation.name.encode("ascii", "replace").decode()  # FITS knows nothing else
    if observation.beam_arcsec is not None:
        header["BMAJ"] = header["BMIN"] = observation.beam_arcsec / 3600.0
        header["BPA"] = 0.0
    buffer = io.BytesIO()
    fits.PrimaryHDU(values, header).writeto(buffer)
    return write_bytes(path, buffer.getvalue())
