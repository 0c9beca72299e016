"""`Prediction`: the density behind a map, how sure it is, where not to trust it, and its FITS file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations import prediction_files as files
from polaris_lab.observations.prediction_files import check_output
from polaris_lab.observations.provenance import CARDS, Citation, cite

__all__ = ["CARDS", "MAPS", "REASONS", "Citation", "Prediction", "Quality", "check_output"]

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
    FOREGROUND = 64
    """Blank because the foreground leaves nothing of the column density."""
    INPUT_RANGE = 128
    """Another input than the column density is outside the training set's."""
    UNCERTAIN = 256
    """The 95 % interval spans a factor of 100 or more: what is seen there, a compact core most often, has many readings."""


REASONS = {
    Quality.EDGE: "near the edge of the map",
    Quality.BLANK: "near blank pixels",
    Quality.COLUMN_RANGE: "column density outside the training set",
    Quality.DENSITY_RANGE: "density outside the training set",
    Quality.RESAMPLED: "resampled to the pixel of the model",
    Quality.UNLIKE_TRAINING: "unlike every training patch",
    Quality.FOREGROUND: "blank behind the foreground",
    Quality.INPUT_RANGE: "another input outside the training set",
    Quality.UNCERTAIN: "95 % interval wider than a factor of 100",
}
"""Each flag in words."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The density behind a column density map, on the map's grid. Made by :func:`predict_density`.

    Attributes
    ----------
    density : ndarray, shape (ny, nx)
        n_H [cm^-3 of hydrogen nuclei], the mean along the line of sight that `provenance["target"]` names; NaN where
        the map is blank. float32.
    quality : ndarray of int16
        Sum of :class:`Quality` flags, 0 where nothing speaks against the pixel.
    coverage : ndarray of int16
        How many tiles predicted the pixel; 0 where the map is blank.
    wcs : WCS
        Celestial coordinates, those of the map.
    lower68, upper68, lower95, upper95 : ndarray or None
        Ends of the intervals that hold the true density with 68 % and 95 % [cm^-3]: `provenance["interval"]` says what they
        are. They always hold `density` itself. None where nothing states them: a classical estimator.
    extra : dict of ndarray, shape (ny, nx)
        Other outputs of the network by name, such as "max_density", in the units of :mod:`polaris_lab.quantities`.
    samples : ndarray, shape (samples, ny, nx), or None
        Maps of a generative run [cm^-3], each with the correlations of its errors: for the errors of sums
        (:mod:`polaris_lab.observations.gas`).
    provenance : dict
        Run, training set, distance, species, pixels, versions.
    notes : tuple of str
        What should be known before using it, in sentences.
    """

    density: np.ndarray
    quality: np.ndarray
    coverage: np.ndarray
    wcs: WCS
    lower68: np.ndarray | None = None
    upper68: np.ndarray | None = None
    lower95: np.ndarray | None = None
    upper95: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: np.ndarray | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        maps = {name: getattr(self, name) for name in (*MAPS, "quality", "coverage")} | dict(self.extra)
        for name, values in maps.items():
            if values is None:
                continue
            if values.ndim != 2 or values.shape != self.density.shape:
                raise ValueError(
                    f"{name}: expected the shape of the density {self.density.shape}, got {values.shape}"
                )
        if self.samples is not None and self.samples.shape[1:] != self.density.shape:
            raise ValueError(
                f"samples: expected (samples, {self.density.shape[0]}, {self.density.shape[1]}), got {self.samples.shape}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along y and x."""
        return self.density.shape

    @property
    def run_fingerprint(self) -> str:
        """Name of the trained run that made it; empty for an estimator."""
        return str(self.provenance.get("run_fingerprint") or "")

    @property
    def header(self) -> fits.Header:
        """Header of its FITS file: WCS, unit and provenance (made anew at each call)."""
        return files.density_header(self.wcs, self.provenance, self.notes)

    def flagged(self, flag: Quality) -> np.ndarray:
        """Return the mask of the pixels that carry a flag."""
        return (self.quality & int(flag)) != 0

    # -- files ---------------------------------------------------------------------------------------

    def write_fits(
        self, path: str | Path, *, overwrite: bool = False, intervals: Sequence[int] = (68, 95)
    ) -> Path:
        """Write the prediction: DENSITY in the primary HDU, then one image extension for each other map.

        The file appears whole or not at all. Extra outputs are extensions of their name, samples one of three axes.

        Parameters
        ----------
        path : str or Path
            ``.fits`` or ``.fits.gz``.
        overwrite : bool
            Replace a file that exists.
        intervals : sequence of int
            Which of 68 and 95 are written.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is not set.
        PermissionError
            If it cannot be written there.
        ValueError
            If there is no such interval.
        """
        return files.write(self, path, overwrite=overwrite, intervals=intervals)

    @classmethod
    def open(cls, path: str | Path, *, memmap: bool = False) -> Prediction:
        """Read a prediction that :meth:`write_fits` wrote.

        Parameters
        ----------
        path : str or Path
        memmap : bool
            Leave the maps on disk (not of compressed files) and read only what is used: for maps that are too large to hold.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no prediction, or is cut off.
        """
        return cls(**files.read(path, memmap=memmap))

    def cite(self) -> Citation:
        """Return what a paper says: a methods paragraph and the references of data, network, training set and software.

        Made from the provenance: what it does not hold is not said.
        """
        return cite(self.provenance, self.notes)

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
        if self.lower68 is None and self.lower95 is None:
            rows.append(("interval", "no interval"))
        if self.extra:
            rows.append(("extra", ", ".join(self.extra)))
        if self.samples is not None:
            rows.append(("samples", f"{len(self.samples)} samples"))
        made_by = (
            f"run {self.run_fingerprint}"
            if self.run_fingerprint
            else str(self.provenance.get("model", "run unknown"))
        )
        rows.append(("run", made_by))
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
