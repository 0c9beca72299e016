"""A map of column density in words, and as a FITS file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
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


def describe(observation: Observation) -> list[tuple[str, str]]:
    """Return what the map says of itself: (label, text) pairs."""
    rows, columns = observation.shape
    valid = np.isfinite(observation.column_density)
    low, high = np.nanmin(observation.column_density), np.nanmax(observation.column_density)
    law = observation.conversion_law
    pairs = [
        (
            "grid",
            f'{rows} x {columns} pixels of {observation.pixel_size_arcsec:.4g}" = {observation.pixel_size_pc:.4g} pc '
            f"at {observation.distance_pc:.4g} pc",
        ),
        ("column density", f"N_H {low:.3g} .. {high:.3g} cm^-2 ({law})"),
        ("blank", f"{valid.size - int(valid.sum())} blank"),
    ]
    if observation.beam_arcsec is not None:
        pairs.insert(1, ("beam", f'beam {observation.beam_arcsec:.4g}"'))
    return pairs
