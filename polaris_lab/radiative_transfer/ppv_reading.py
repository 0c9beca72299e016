"""Line cubes read from disk: our own, and observed ones whatever their axes, units and habits."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from polaris_lab.config import from_dict
from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.molecules import MOLECULES
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.radiative_transfer.ppv_files import CARDS

_logger = logging.getLogger(__name__)


def open_ppv(
    path: str | Path,
    *,
    hdu: int | str | None = None,
    line: Line | None = None,
    rest_frequency: u.Quantity | None = None,
    velocity_unit: str | u.Unit | None = None,
    main_beam_efficiency: float = 1.0,
) -> PPVCube:
    """Open a line cube, computed or observed.

    Parameters
    ----------
    path : path
        A FITS file whatever the order of its axes (degenerate ones are dropped), or a ``.zarr`` group.
    hdu : int or str, optional
        Extension; by default the first one with at least three axes.
    line : Line, optional
        What was observed, where the header does not say.
    rest_frequency : Quantity, optional
        Converts a frequency axis into radio velocities; without it such a cube is refused.
    velocity_unit : str or Unit, optional
        Unit of a velocity axis whose header has none.
    main_beam_efficiency : float
        Divides antenna temperatures T_A* into main-beam temperatures; 1 leaves them as they are.

    Returns
    -------
    PPVCube
        float32 in memory, axes (velocity, latitude, longitude), velocities ascending; NaN kept.

    Raises
    ------
    ValueError
        No cube in the file, no velocity axis, a frequency axis without `rest_frequency`, an efficiency
        outside 0..1.

    Notes
    -----
    What had to be guessed is logged as a warning and kept in ``provenance["notes"]``: the unit of a velocity
    axis that has none (m/s as FITS has it, km/s where channels would be narrower than 1 m/s), an equinox
    that is no year (dropped).
    """
    path = Path(path)
    if not 0 < main_beam_efficiency <= 1:
        raise ValueError(f"main_beam_efficiency: expected above 0 and at most 1, got {main_beam_efficiency}")
    if path.is_dir():
        ppv = _open_zarr(path)
    else:
        with fits.open(path, memmap=True) as file:
            unit = _cube_hdu(file, path, hdu)
            ppv = _from_hdu(unit.data, unit.header, str(path), line, rest_frequency, velocity_unit)
    if main_beam_efficiency == 1:
        return ppv
    note = {"main_beam_efficiency": main_beam_efficiency}
    return ppv.with_data(
        np.asarray(ppv.data) / np.float32(main_beam_efficiency), provenance=ppv.provenance | note
    )


def _open_zarr(path: Path) -> PPVCube:
    import zarr

    group = zarr.open_group(path, mode="r")
    if group.attrs.get("kind") != "ppv_cube":
        raise ValueError(
            f"{path}: expected a line cube (a group with an array ppv_cube), got {sorted(group.keys())}"
        )
    data = dict(group.attrs["line"]) if group.attrs["line"] else None
    size = group.attrs["pixel_size_pc"]
    return PPVCube(
        group["ppv_cube"],
        group["velocity"][:],
        line=from_dict(Line, data) if data else None,
        pixel_size=None if size is None else size * u.pc,
        axis=group.attrs["axis"],
        unit=group["ppv_cube"].attrs["units"],
        provenance=group.attrs["provenance"],
    )


def _cube_hdu(file: fits.HDUList, path: Path, hdu: int | str | None) -> Any:
    if hdu is not None:
        chosen = file[hdu]
        if chosen.header.get("NAXIS", 0) < 3:
            raise ValueError(f"{path}: expected three axes in HDU {hdu}, got {chosen.header.get('NAXIS', 0)}")
        return chosen
    for candidate in file:
        if candidate.is_image and candidate.header.get("NAXIS", 0) >= 3:
            return candidate
    found = ", ".join(f"{item.name or i}: {item.header.get('NAXIS', 0)} axes" for i, item in enumerate(file))
    raise ValueError(
        f"{path}: expected a cube with three axes, got {found}; a map is opened with Observation.from_fits"
    )


_VELOCITY = ("VRAD", "VELO", "VOPT", "FELO", "VLSR", "VELOCITY")
_OTHER_SPECTRAL = ("FREQ", "WAVE", "AWAV", "ENER", "WAVN", "ZOPT", "BETA")


def _from_hdu(
    data: np.ndarray, header: fits.Header, where: str, line: Line | None, rest: Any, velocity_unit: Any
) -> PPVCube:
    axes = header["NAXIS"]
    types = [str(header.get(f"CTYPE{i + 1}", "")).upper() for i in range(axes)]
    spectral = [i for i, kind in enumerate(types) if kind.startswith(_VELOCITY + _OTHER_SPECTRAL)]
    if not spectral:
        raise ValueError(
            f"{where}: expected a velocity axis (CTYPE VRAD, VOPT or VELO), got {types}; set CTYPEn in the header"
        )
    index = spectral[0]
    notes: list[str] = []
    header = _mend(header, notes)
    velocity, convention = _velocities(header, index + 1, types[index], where, rest, velocity_unit, notes)
    for note in notes:
        _logger.warning("%s: %s", where, note)
    sky = [i for i in range(axes) if i != index and header[f"NAXIS{i + 1}"] > 1]
    sky = sky or [i for i in range(axes) if i != index]
    if len(sky) < 2:  # a slit or a single pixel: keep two axes of the sky
        sky = [i for i in range(axes) if i != index][:2]
    if len(sky) > 2:
        raise ValueError(f"{where}: expected one spectral and two sky axes, got {axes} axes {types}")
    celestial = _celestial(header)
    if celestial is not None and types[sky[0]].startswith(("DEC", "GLAT", "ELAT")):
        sky = sky[::-1]
    order = [axes - 1 - i for i in (index, sky[1], sky[0])]
    rest_axes = [i for i in range(axes) if i not in order]
    cube = np.transpose(np.asarray(data), order + rest_axes).reshape([data.shape[i] for i in order])
    if len(velocity) > 1 and velocity[1] < velocity[0]:
        velocity, cube = velocity[::-1], cube[::-1]
    kind = np.float64 if cube.dtype.itemsize == 8 and cube.dtype.kind == "f" else np.float32
    known = {key: header[name] for key, (name, _) in CARDS.items() if name in header}
    unit = str(header.get("BUNIT", "K")).strip()
    return PPVCube(
        np.ascontiguousarray(cube, dtype=kind),
        velocity,
        line=line or _line_of(header),
        pixel_size=_pixel_size(header, celestial),
        axis=header.get("LOSAXIS"),
        unit="K" if unit.upper().startswith("K") else unit,
        header=None if celestial is None or "PIXPC" in header else _sky_header(header, celestial),
        provenance={"file": where, "velocity_convention": convention, "notes": notes} | known,
    )


def _mend(header: fits.Header, notes: list[str]) -> fits.Header:
    """Return a copy of the header without an impossible equinox."""
    header = header.copy()
    for key in ("EQUINOX", "EPOCH"):
        year = header.get(key)
        if year is not None and not (isinstance(year, int | float) and 1800 <= year <= 2200):
            notes.append(f"{key} = {year!r} is no year and was dropped")
            del header[key]
    return header


def _velocities(
    header: fits.Header, number: int, kind: str, where: str, rest: Any, velocity_unit: Any, notes: list[str]
) -> tuple[np.ndarray, str]:
    """Return the channel centres in km/s and the convention of the axis."""
    steps = header.get(f"CDELT{number}", header.get(f"CD{number}_{number}", 1.0))
    steps *= header.get(f"PC{number}_{number}", 1.0) if f"CDELT{number}" in header else 1.0
    pixels = np.arange(1, header[f"NAXIS{number}"] + 1) - header.get(f"CRPIX{number}", 0.0)
    values = header.get(f"CRVAL{number}", 0.0) + pixels * steps
    unit = str(header.get(f"CUNIT{number}", "")).strip()
    if kind.startswith(_VELOCITY):
        return values * _velocity_scale(unit, steps, velocity_unit, notes), kind[:4]
    if not kind.startswith("FREQ"):
        raise ValueError(
            f"{where}: expected a velocity axis in km/s or m/s, got {kind}; convert it to VRAD first"
        )
    if rest is None:
        stated = header.get("RESTFRQ", header.get("RESTFREQ"))
        hint = f"{stated / 1e9:.10g} * u.GHz" if stated else "110.2013543 * u.GHz (13CO 1-0)"
        raise ValueError(
            f"{where}: expected a velocity axis in km/s, got a frequency axis (CTYPE{number} = {kind}); "
            f"open it with rest_frequency={hint} to convert it (radio convention)"
        )
    frequency = values * u.Unit(unit or "Hz")
    return frequency.to_value(u.km / u.s, u.doppler_radio(rest)), "VRAD"


def _velocity_scale(unit: str, step: float, given: Any, notes: list[str]) -> float:
    """Return km/s per unit of the axis."""
    if given is not None:
        return u.Unit(given).to("km/s")
    if unit:
        return u.Unit(unit.replace("KM/S", "km/s").replace("M/S", "m/s")).to("km/s")
    inferred = "m/s" if abs(step) >= 1 else "km/s"
    notes.append(
        f"the velocity axis has no unit; its step of {step:g} was taken as {inferred} (velocity_unit= says otherwise)"
    )
    return u.Unit(inferred).to("km/s")


def _celestial(header: fits.Header) -> WCS | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    return wcs.celestial if wcs.has_celestial else None


def _sky_header(header: fits.Header, celestial: WCS) -> fits.Header:
    kept = celestial.to_header()
    for key in ("BMAJ", "BMIN", "BPA", "OBJECT", "TELESCOP", "BUNIT"):
        if key in header:
            kept[key] = header[key]
    return kept


def _pixel_size(header: fits.Header, celestial: WCS | None) -> u.Quantity | None:
    if "PIXPC" in header:
        return header["PIXPC"] * u.pc
    if celestial is None:
        return None
    return float(np.sqrt(abs(np.linalg.det(celestial.pixel_scale_matrix)))) * 3600 * u.arcsec


def _line_of(header: fits.Header) -> Line | None:
    """Return the line that the header names, or the named one at its rest frequency (within 1 MHz)."""
    if header.get("MOLECULE") in MOLECULES and "TRANSITI" in header:
        line = Line.named(header["MOLECULE"], header["TRANSITI"])
        return dataclasses.replace(line, einstein_a=header.get("EINSTA", line.einstein_a))
    stated = header.get("RESTFRQ", header.get("RESTFREQ"))
    for molecule, data in MOLECULES.items():
        for lower, frequency in enumerate(data.frequencies_ghz):
            if stated and abs(stated - frequency * 1e9) < 1e6:
                return Line.named(molecule, f"{lower + 1}-{lower}")
    return None
