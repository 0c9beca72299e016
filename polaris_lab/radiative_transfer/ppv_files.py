"""Line cubes written to disk: FITS that the ecosystem reads, and zarr.

A FITS cube has axes (velocity, declination, right ascension), CTYPE3 = VRAD in m/s, RESTFRQ, SPECSYS, BUNIT = K. A
simulation has no place on the sky: it is put at a nominal position and distance (argument `distance`), which
the header says, together with the pixel in pc.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.config import to_dict
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.units import positive

NOMINAL_DISTANCE = 1000 * u.pc
"""Where a simulated cube is put when no distance is given."""


CARDS = {
    "abundance_per_hydrogen": ("ABUNDANC", "molecules per hydrogen nucleus"),
    "turbulent_dispersion_km_s": ("TURBSIG", "[km/s] 1D dispersion sigma below the cell"),
    "in_cell_velocity": ("INCELLV", "velocity inside a cell"),
    "channel": ("CHANNEL", "what a channel is"),
    "background_K": ("TBACK", "[K] black body behind, subtracted"),
    "noise_rms_K": ("NOISERMS", "[K] thermal noise that was added"),
    "source": ("ORIGIN", "cube of the gas"),
    "polaris_lab": ("CREATOR", "version of polaris_lab"),
}
"""How provenance stands in a header."""


def fits_header(ppv: PPVCube, *, distance: u.Quantity | None = None) -> fits.Header:
    """Return the FITS header of a cube.

    Parameters
    ----------
    ppv : PPVCube
        With equally spaced channels.
    distance : Quantity, optional
        Turns the pixels of a simulation from pc into degrees; by default `NOMINAL_DISTANCE`.

    Returns
    -------
    Header
        Axes 1 and 2 celestial, axis 3 velocity.

    Raises
    ------
    ValueError
        If the channels are not equally spaced: FITS keeps only their first and their width.
    """
    if not ppv.uniform:
        raise ValueError(
            "velocity: expected equally spaced channels for FITS, got spacings from "
            f"{np.diff(ppv.velocity).min():.4g} to {np.diff(ppv.velocity).max():.4g} km/s; "
            "resample them with instrument.resample_channels, or write .zarr"
        )
    header = fits.Header()
    channels, rows, columns = ppv.shape
    header["SIMPLE"] = True
    header["BITPIX"] = -32 if np.dtype(ppv.data.dtype).itemsize <= 4 else -64
    header["NAXIS"] = 3
    header["NAXIS1"], header["NAXIS2"], header["NAXIS3"] = columns, rows, channels
    if ppv.header is not None:
        header.update(WCS(ppv.header).celestial.to_header())
        for key in ("BMAJ", "BMIN", "BPA", "OBJECT", "TELESCOP"):
            if key in ppv.header:
                header[key] = ppv.header[key]
        if "distance_pc" in ppv.provenance:
            header["DISTPC"] = (ppv.provenance["distance_pc"], "[pc] distance")
    else:
        _nominal_sky(header, ppv, distance)
    header["WCSAXES"] = 3
    step = ppv.channel_width or 1e-3
    header["CTYPE3"], header["CUNIT3"] = ("VRAD", "radio convention, positive recedes"), "m s-1"
    header["CRPIX3"], header["CDELT3"], header["CRVAL3"] = 1.0, 1e3 * step, 1e3 * float(ppv.velocity[0])
    header["SPECSYS"] = "LSRK"
    header["BUNIT"] = ppv.unit
    if ppv.line is not None:
        header["RESTFRQ"] = (ppv.line.rest_frequency_hz, "[Hz]")
        header["MOLECULE"], header["TRANSITI"] = ppv.line.molecule, ppv.line.transition
        header["EINSTA"] = (ppv.line.einstein_a, "[s-1] Einstein A")
        header["LINESRC"] = (ppv.line.source, "of the molecular data")
    if ppv.unit == "K":
        header["BTYPE"] = ("Brightness temperature", "Rayleigh-Jeans, background subtracted")
    if ppv.axis is not None:
        header["LOSAXIS"] = (ppv.axis, "line of sight; observer before index 0")
    for key, (name, comment) in CARDS.items():
        if key in ppv.provenance:
            header[name] = (_printable(ppv.provenance[key]), comment)
    return header


def _printable(value: Any) -> Any:
    """Write a text in the characters that a FITS header may hold: "nuage é" becomes "nuage ?"."""
    if not isinstance(value, str):
        return value
    return "".join(letter if " " <= letter <= "~" else "?" for letter in value)


def _nominal_sky(header: fits.Header, ppv: PPVCube, distance: u.Quantity | None) -> None:
    """Write celestial axes for a cube that has no place on the sky."""
    size = ppv.pixel_size if ppv.pixel_size is not None else 1 * u.arcsec
    if size.unit.is_equivalent(u.pc):
        parsec = positive(distance if distance is not None else NOMINAL_DISTANCE, u.pc, "distance")
        degrees = np.degrees(size.value / parsec)
        header["PIXPC"] = (size.value, "[pc] side of a pixel")
        if "beam_fwhm_pc" in ppv.provenance:
            header["BMAJ"] = header["BMIN"] = float(np.degrees(ppv.provenance["beam_fwhm_pc"] / parsec))
            header["BPA"] = 0.0
        header["DISTPC"] = (parsec, "[pc] distance" + ("" if distance is not None else ", nominal"))
    else:
        degrees = size.to_value(u.deg)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["CRVAL1"], header["CRVAL2"] = 0.0, 0.0
    header["CRPIX1"], header["CRPIX2"] = (ppv.shape[2] + 1) / 2, (ppv.shape[1] + 1) / 2
    header["CDELT1"], header["CDELT2"] = -degrees, degrees
    header["RADESYS"] = "ICRS"


def write_fits(
    ppv: PPVCube, path: str | Path, *, distance: u.Quantity | None = None, overwrite: bool = False
) -> Path:
    """Write a line cube as FITS, whole or not at all.

    Parameters
    ----------
    ppv : PPVCube
        The cube.
    path : path
        Target; its folder is made.
    distance : Quantity, optional
        See :func:`fits_header`.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If it exists and `overwrite` is false.
    ValueError
        If the channels are not equally spaced.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; give another path, or overwrite=True to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        target = create_fits(ppv, partial, distance=distance)
        for channel in range(ppv.shape[0]):
            target[channel] = ppv.data[channel]
        target.flush()
        del target
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def create_fits(ppv: PPVCube, path: Path, *, distance: u.Quantity | None = None) -> np.memmap:
    """Create a FITS file with the header of a cube and return its empty data, mapped for writing."""
    text = fits_header(ppv, distance=distance).tostring().encode("ascii")
    dtype = np.dtype(">f4" if np.dtype(ppv.data.dtype).itemsize <= 4 else ">f8")
    size = int(np.prod(ppv.shape, dtype=np.int64)) * dtype.itemsize
    with open(path, "wb") as file:
        file.write(text)
        file.truncate(len(text) + -(-size // 2880) * 2880)
    return np.memmap(path, dtype=dtype, mode="r+", offset=len(text), shape=ppv.shape)


def create_zarr(ppv: PPVCube, path: Path) -> Any:
    """Create a zarr group with the axes and attributes of a cube and return its empty array."""
    import zarr

    channels, rows, columns = ppv.shape
    group = zarr.open_group(path, mode="w")
    attributes = {
        "schema": 1,
        "kind": "ppv_cube",
        "line": to_dict(ppv.line) if ppv.line else None,
        "axis": ppv.axis,
        "provenance": ppv.provenance,
        "pixel_size_pc": None
        if ppv.pixel_size is None or ppv.pixel_size.unit != u.pc
        else ppv.pixel_size.value,
    }
    group.attrs.update(attributes)
    velocity = group.create_array(
        "velocity", shape=(channels,), dtype="float64", chunks=(channels,), dimension_names=("velocity",)
    )
    velocity[:] = ppv.velocity
    velocity.attrs["units"] = "km s-1"
    array = group.create_array(
        "ppv_cube",
        shape=ppv.shape,
        dtype=np.dtype(ppv.data.dtype).name,
        chunks=(channels, min(rows, 16), min(columns, 128)),
        dimension_names=("velocity", "row", "column"),
    )
    array.attrs["units"] = ppv.unit
    return array
