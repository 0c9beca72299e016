"""Cubes in FITS: one image a field (DENSITY first), BUNIT, the cell size in parsec, and the provenance."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from polaris_lab.clouds.readers.stored import (
    FieldToWrite,
    StoredCube,
    StoredField,
    bytes_of_file,
    parse_description,
)
from polaris_lab.config import canonical_json

BLOCK = 2880
"""FITS files come in blocks of this many bytes."""

_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_PIECE = 60  # characters of the description in one card


def read(path: Path) -> StoredCube:
    """Find the images of a FITS file by their EXTNAME; a single unnamed 3D image is the density."""
    fields: dict[str, StoredField] = {}
    description, cell_size = None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", AstropyUserWarning
            )  # a cut-off file is refused below, with numbers
            with fits.open(path, memmap=False) as units:
                for number, unit in enumerate(units):
                    header = unit.header
                    description = description or _description(header, path)
                    cell_size = cell_size or header.get("CELLSIZE")
                    if unit.is_image and header["NAXIS"] >= 2:
                        name = str(header.get("EXTNAME", f"image {number}")).lower()
                        fields[name] = StoredField(_image(path, unit), header.get("BUNIT"))
    except OSError as error:
        raise ValueError(f"{path}: expected a FITS file, got one that does not open: {error}") from error
    cubes = [name for name, field in fields.items() if len(field.values.shape) == 3]
    if "density" not in fields and description is None and len(fields) == 1:
        fields["density"] = next(iter(fields.values()))
    elif "density" not in fields and description is None and len(cubes) == 1:
        fields["density"] = fields[cubes[0]]
    return StoredCube(fields, description, _exact_cell_size(cell_size, description))


def _image(path: Path, unit: Any) -> Any:
    """Return the data of an image: lazily where they lie in the file as they are."""
    header = unit.header
    plain = not isinstance(unit, fits.CompImageHDU) and path.suffix.lower() in (".fits", ".fit")
    scaled = header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0 or "BLANK" in header
    if not plain or scaled:
        return unit.data
    shape = tuple(header[f"NAXIS{axis}"] for axis in range(header["NAXIS"], 0, -1))
    return bytes_of_file(path, np.dtype(_TYPES[header["BITPIX"]]), shape, unit.fileinfo()["datLoc"])


def _description(header: fits.Header, path: Path) -> dict[str, Any] | None:
    pieces = []
    while f"CUBE{len(pieces) + 1:04d}" in header:
        pieces.append(str(header[f"CUBE{len(pieces) + 1:04d}"]))
    return parse_description("".join(pieces), str(path)) if pieces else None


def _exact_cell_size(card: Any, description: dict[str, Any] | None) -> float | None:
    """Return the cell size: the card is what people edit, but it has fewer digits than the description."""
    stored = (description or {}).get("cell_size_pc")
    if card is None or (stored is not None and abs(float(card) - stored) < 1e-14 * stored):
        return stored
    return float(card)


def write(path: Path, description: dict[str, Any], fields: list[FieldToWrite]) -> None:
    """Write one image a field, streaming its slabs."""
    with open(path, "wb") as file:
        for number, field in enumerate(fields):
            header = _header(field, description, first=number == 0, extended=len(fields) > 1)
            file.write(header.tostring().encode("ascii"))
            for slab in field.slabs():
                file.write(slab.astype(">f4").tobytes())
            file.write(b"\0" * (-file.tell() % BLOCK))


def _header(field: FieldToWrite, description: dict[str, Any], *, first: bool, extended: bool) -> fits.Header:
    cell = description["cell_size_pc"]
    header = fits.Header()
    if first:
        header["SIMPLE"] = (True, "conforms to FITS standard")
    else:
        header["XTENSION"] = ("IMAGE", "image extension")
    header["BITPIX"] = (-32, "32-bit floating point")
    header["NAXIS"] = 3
    for axis, length in enumerate(reversed(field.shape), start=1):
        header[f"NAXIS{axis}"] = length
    if first:
        if extended:
            header["EXTEND"] = True
    else:
        header["PCOUNT"], header["GCOUNT"] = 0, 1
    header["EXTNAME"] = field.name.upper()
    header["BUNIT"] = (field.unit, _MEANINGS[field.name])
    header["CELLSIZE"] = (cell, "[pc] edge of a cubic cell")
    for axis, name in enumerate(("X", "Y", "Z"), start=1):
        header[f"CTYPE{axis}"] = name
        header[f"CUNIT{axis}"] = "pc"
        header[f"CRPIX{axis}"] = (0.5, "the box begins at 0 pc")
        header[f"CRVAL{axis}"] = 0.0
        header[f"CDELT{axis}"] = cell
    header["ORIGIN"] = "polaris_lab"
    name = description["name"] or ""
    if name and name.isascii() and name.isprintable() and len(name) <= 60:
        header["OBJECT"] = name
    if first:
        for number, piece in enumerate(_pieces(canonical_json(description)), start=1):
            header[f"CUBE{number:04d}"] = piece
    return header


_MEANINGS = {
    "density": "hydrogen nuclei per volume, n_H",
    "temperature": "gas temperature",
    "velocity_z": "positive recedes from an observer at z < 0",
    "velocity_y": "positive recedes from an observer at y < 0",
    "velocity_x": "positive recedes from an observer at x < 0",
}


def _pieces(text: str) -> list[str]:
    """Cut JSON into card values; no piece ends in a space (cards lose it) or holds a quote (cards double it)."""
    text = text.replace("'", "\\u0027").replace("  ", "\\u0020\\u0020")
    pieces = []
    while text:
        end = _PIECE - 1 if text[:_PIECE].endswith(" ") else _PIECE
        pieces.append(text[:end])
        text = text[end:]
    return pieces
