"""The FITS file of a prediction: written whole or not at all, and read back as it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations.headers import quiet
from polaris_lab.observations.provenance import CARDS
from polaris_lab.quantities import quantity, quantity_names

if TYPE_CHECKING:
    from polaris_lab.observations.prediction import Prediction

INTERVALS = (68, 95)
"""Per cent of the truth that the intervals hold."""

DENSITY_WORDS = ("cm-3", "hydrogen nuclei")


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return a path that can be written to, making its folder; call it before a long computation.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is not set.
    PermissionError
        If the folder cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise FileExistsError(
            f"{path}: expected the name of a file, got a folder; add a name such as density.fits"
        )
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: expected a new file, got one that exists; overwrite=True replaces it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{path}: expected a folder to write to, got {error}; choose another"
        ) from error
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"{path}: expected a folder to write to, got one that is read-only; choose another"
        )
    return path


def checked_intervals(intervals: Sequence[int]) -> tuple[int, ...]:
    """Return per cents of intervals, or say which there are."""
    intervals = tuple(intervals) if isinstance(intervals, list | tuple) else (intervals,)
    if not set(intervals) <= set(INTERVALS):
        raise ValueError(f"intervals: expected some of {INTERVALS}, got {intervals}")
    return intervals


def density_header(wcs: WCS, provenance: Mapping[str, Any], notes: Sequence[str]) -> fits.Header:
    """Return the header of the density: WCS, unit, provenance and notes."""
    header = wcs.to_header(relax=True)
    header["EXTNAME"] = "DENSITY"
    header["BUNIT"] = DENSITY_WORDS
    for name, value in provenance.items():
        if name in CARDS and value is not None:
            _add_card(header, CARDS[name][0], value, CARDS[name][1])
    for number, note in enumerate(notes, start=1):
        _add_card(header, f"NOTE{number}", note, "")
    return header


def map_header(wcs: WCS, name: str) -> fits.Header:
    """Return the header of any other map."""
    from polaris_lab.observations.prediction import REASONS

    header = wcs.to_header(relax=True)
    header["EXTNAME"] = name.upper()
    if name == "quality":
        for flag, reason in REASONS.items():
            header[f"FLAG{int(flag)}"] = reason
    elif name == "coverage":
        header["BUNIT"] = ("", "tiles that predicted the pixel")
    elif name.endswith(tuple(map(str, INTERVALS))):
        header["BUNIT"] = ("cm-3", f"{name[:-2]} end of the {name[-2:]} % interval")
    elif name == "samples":
        header["BUNIT"] = ("cm-3", "hydrogen nuclei; one map a plane")
    else:
        header["BUNIT"] = quantity(name).unit if name in quantity_names() else "cm-3"
        header["OUTPUT"] = (name, "another output of the network")
    return header


def interval_names(intervals: Sequence[int]) -> list[str]:
    """Return the names of the maps of intervals."""
    return [f"{end}{share}" for share in INTERVALS if share in intervals for end in ("lower", "upper")]


def write(
    prediction: Prediction, path: str | Path, *, overwrite: bool, intervals: Sequence[int] = INTERVALS
) -> Path:
    """Write a prediction (:meth:`Prediction.write_fits` explains it)."""
    wanted = interval_names(checked_intervals(intervals))
    path = check_output(path, overwrite=overwrite)
    hdus = fits.HDUList([fits.PrimaryHDU(prediction.density, prediction.header)])
    for name, values in _maps(prediction, wanted):
        hdus.append(fits.ImageHDU(values, map_header(prediction.wcs, name), name=name.upper()))
    with whole_file(path) as temporary:
        hdus.writeto(temporary, overwrite=True)
    return path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes `path` at the end; where something goes wrong, nothing is left.

    Raises
    ------
    PermissionError
        If it cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise PermissionError(
            f"{path}: expected a place to write to, got {error}; choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _maps(prediction: Prediction, wanted: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    for name in wanted:
        if getattr(prediction, name) is not None:
            yield name, getattr(prediction, name)
    yield "quality", prediction.quality.astype(np.int16)
    yield "coverage", prediction.coverage.astype(np.int16)
    yield from prediction.extra.items()
    if prediction.samples is not None:
        yield "samples", prediction.samples


def read(path: str | Path, *, memmap: bool = False) -> dict[str, Any]:
    """Return the fields of a prediction that was written to a file (:meth:`Prediction.open` explains it)."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a prediction, got no such file; check the path")
    try:
        kept = (lambda values: values) if memmap else _native
        with quiet(), fits.open(path, memmap=memmap) as hdus:
            header = hdus[0].header
            if header.get("EXTNAME") != "DENSITY" or "MODEL" not in header or "TARGET" not in header:
                raise KeyError("the cards EXTNAME = 'DENSITY', MODEL and TARGET")
            names = {hdu.name for hdu in hdus}
            optional = [*interval_names(INTERVALS), "samples"]
            fields = {name: kept(hdus[name.upper()].data) for name in ("density", "quality", "coverage")}
            fields |= {name: kept(hdus[name.upper()].data) for name in optional if name.upper() in names}
            extra = {hdu.header["OUTPUT"]: kept(hdu.data) for hdu in hdus[1:] if "OUTPUT" in hdu.header}
            wcs = WCS(header)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a prediction written by polaris-lab, got a file without {error}"
        ) from error
    provenance = {name: header[card] for name, (card, _) in CARDS.items() if card in header}
    notes = tuple(str(header[f"NOTE{number}"]) for number in range(1, 100) if f"NOTE{number}" in header)
    return {**fields, "extra": extra, "wcs": wcs, "provenance": provenance, "notes": notes}


def _add_card(header: fits.Header, keyword: str, value: object, comment: str) -> None:
    """Add a card; a text in ASCII, as FITS demands, and without the comment where both do not fit."""
    if isinstance(value, str):
        value = value.encode("ascii", "replace").decode()
        comment = comment if len(value) + len(comment) < 60 else ""
    header[keyword] = (value, comment) if comment else value


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("="))
