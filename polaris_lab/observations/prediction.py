"""`Prediction`: the density behind a map, how sure it is, where not to trust it, and its FITS file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations.headers import quiet

MAPS = ("density", "lower68", "upper68", "lower95", "upper95")
"""The maps of density [cm^-3], in the order of the file."""


class Quality(IntFlag):
    """Reasons to look twice at a pixel; a pixel without any has 0."""

    EDGE = 1
    """Near the edge of the map: part of what the network looks at is a reflection."""
    BLANK = 2
    """Near blank pixels: part of what the network looks at is filled in."""
    COLUMN_RANGE = 4
    """Column density (or its contrast, where the network sees only that) outside the training set's."""
    DENSITY_RANGE = 8
    """Predicted density outside the training set's: the interval is that of its end."""
    RESAMPLED = 16
    """Predicted on larger pixels than the map's, and interpolated."""
    UNLIKE_TRAINING = 32
    """In a part of the map that looks like no training patch (:mod:`~polaris_lab.observations.coverage`)."""


REASONS = {
    Quality.EDGE: "near the edge of the map",
    Quality.BLANK: "near blank pixels",
    Quality.COLUMN_RANGE: "column density outside the training set",
    Quality.DENSITY_RANGE: "density outside the training set",
    Quality.RESAMPLED: "resampled to the pixel of the model",
    Quality.UNLIKE_TRAINING: "unlike every training patch",
}
"""Each flag in words."""

CARDS = {
    "run_fingerprint": ("RUNFP", "fingerprint of the trained run"),
    "dataset_fingerprint": ("DATAFP", "fingerprint of its training set"),
    "model": ("MODEL", "network"),
    "target": ("TARGET", "which mean density along the line of sight"),
    "distance_pc": ("DISTANCE", "[pc] adopted distance"),
    "species": ("SPECIES", "what the input map counted"),
    "model_pixel_pc": ("MODPIX", "[pc] pixel of the training set"),
    "map_pixel_pc": ("MAPPIX", "[pc] pixel of the input map"),
    "scheme": ("SCHEME", "how the map was cut into tiles"),
    "object": ("OBJECT", "name of the map"),
    "source": ("SOURCE", "file of the input map"),
    "created": ("DATE", "UTC"),
    "software": ("CREATOR", "software and version"),
}
"""Header card and comment of each entry of the provenance."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The density behind a column density map, on the map's grid. Made by :func:`predict_density`.

    Attributes
    ----------
    density : ndarray, shape (ny, nx)
        n_H [cm^-3 of hydrogen nuclei], the mean along the line of sight that `provenance["target"]` names; NaN where
        the map is blank. float32.
    lower68, upper68, lower95, upper95 : ndarray
        Ends of the intervals that held 68 % and 95 % of the true densities of validation pixels predicted
        at this density [cm^-3]. They always hold `density` itself.
    quality : ndarray of int16
        Sum of :class:`Quality` flags, 0 where nothing speaks against the pixel.
    coverage : ndarray of int16
        How many tiles predicted the pixel; 0 where the map is blank.
    wcs : WCS
        Celestial coordinates, those of the map.
    provenance : dict
        Run, training set, distance, species, pixels, versions.
    notes : tuple of str
        What should be known before using it, in sentences.
    """

    density: np.ndarray
    lower68: np.ndarray
    upper68: np.ndarray
    lower95: np.ndarray
    upper95: np.ndarray
    quality: np.ndarray
    coverage: np.ndarray
    wcs: WCS
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*MAPS, "quality", "coverage"):
            values = getattr(self, name)
            if values.ndim != 2 or values.shape != self.density.shape:
                raise ValueError(
                    f"{name}: expected the shape of the density {self.density.shape}, got {values.shape}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along y and x."""
        return self.density.shape

    @property
    def run_fingerprint(self) -> str:
        """Name of the trained run that made it."""
        return str(self.provenance.get("run_fingerprint", ""))

    @property
    def header(self) -> fits.Header:
        """Header of its FITS file: WCS, unit and provenance (made anew at each call)."""
        header = self.wcs.to_header(relax=True)
        header["EXTNAME"] = "DENSITY"
        header["BUNIT"] = ("cm-3", "hydrogen nuclei")
        for name, value in self.provenance.items():
            if name in CARDS and value is not None:
                _add_card(header, CARDS[name][0], value, CARDS[name][1])
        for number, note in enumerate(self.notes, start=1):
            _add_card(header, f"NOTE{number}", note, "")
        return header

    def flagged(self, flag: Quality) -> np.ndarray:
        """Return the mask of the pixels that carry a flag."""
        return (self.quality & int(flag)) != 0

    # -- files ---------------------------------------------------------------------------------------

    def write_fits(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the prediction: DENSITY in the primary HDU, then one image extension for each other map.

        The file appears whole or not at all.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is not set.
        PermissionError
            If it cannot be written there.
        """
        path = check_output(path, overwrite=overwrite)
        header = self.header
        hdus = fits.HDUList([fits.PrimaryHDU(self.density, header)])
        shared = self.wcs.to_header(relax=True)
        for name in MAPS[1:]:
            hdus.append(fits.ImageHDU(getattr(self, name), shared, name=name.upper()))
            hdus[-1].header["BUNIT"] = ("cm-3", f"{name[:-2]} end of the {name[-2:]} % interval")
        hdus.append(fits.ImageHDU(self.quality.astype(np.int16), shared, name="QUALITY"))
        for flag, reason in REASONS.items():
            hdus[-1].header[f"FLAG{int(flag)}"] = reason
        hdus.append(fits.ImageHDU(self.coverage.astype(np.int16), shared, name="COVERAGE"))
        hdus[-1].header["BUNIT"] = ("", "tiles that predicted the pixel")
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            hdus.writeto(temporary, overwrite=True)
            os.replace(temporary, path)
        except OSError as error:
            raise PermissionError(
                f"{path}: expected a place to write to, got {error}; choose another folder"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @classmethod
    def open(cls, path: str | Path) -> Prediction:
        """Read a prediction that :meth:`write_fits` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no prediction, or is cut off.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path}: expected a prediction, got no such file; check the path")
        try:
            with quiet(), fits.open(path, memmap=False) as hdus:
                header = hdus[0].header
                if header.get("EXTNAME") != "DENSITY" or "RUNFP" not in header:
                    raise KeyError("the cards EXTNAME = 'DENSITY' and RUNFP")
                arrays = {name: _native(hdus[name.upper()].data) for name in (*MAPS, "quality", "coverage")}
                wcs = WCS(header)
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: expected a prediction written by polaris-lab, got a file without {error}"
            ) from error
        provenance = {name: header[card] for name, (card, _) in CARDS.items() if card in header}
        notes = tuple(str(header[f"NOTE{number}"]) for number in range(1, 100) if f"NOTE{number}" in header)
        return cls(**arrays, wcs=wcs, provenance=provenance, notes=notes)

    # -- words ---------------------------------------------------------------------------------------

    def _lines(self) -> list[tuple[str, str]]:
        valid = np.isfinite(self.density)
        low, high = (np.nanmin(self.density), np.nanmax(self.density)) if valid.any() else (np.nan, np.nan)
        rows = [
            ("grid", f"{self.shape[0]} x {self.shape[1]} pixels, {valid.size - int(valid.sum())} blank"),
            ("density", f"n_H {low:.3g} .. {high:.3g} cm^-3 ({self.provenance.get('target', 'density')})"),
        ]
        count = max(int(valid.sum()), 1)
        flags = [
            f"{int((self.flagged(flag) & valid).sum()) / count:.0%} {reason}"
            for flag, reason in REASONS.items()
            if (self.flagged(flag) & valid).any()
        ]
        rows.append(("quality", ", ".join(flags) or "no pixel flagged"))
        rows.append(("run", f"run {self.run_fingerprint or 'unknown'}"))
        return rows

    def __repr__(self) -> str:
        """Say shape, range, flags and run, in one line."""
        return "Prediction(" + "; ".join(text for _, text in self._lines()) + ")"

    def _repr_html_(self) -> str:
        rows = [*self._lines(), *[("note", note) for note in self.notes]]
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in rows
        )
        return f"<table><caption><b>Prediction</b></caption>{cells}</table>"


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


def _add_card(header: fits.Header, keyword: str, value: object, comment: str) -> None:
    """Add a card; a text in ASCII, as FITS demands, and without the comment where both do not fit."""
    if isinstance(value, str):
        value = value.encode("ascii", "replace").decode()
        comment = comment if len(value) + len(comment) < 60 else ""
    header[keyword] = (value, comment) if comment else value


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("="))
