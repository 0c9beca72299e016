"""`Observation`: a map of the column density of hydrogen nuclei on the sky, at a known distance."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations.blanks import mark_spikes
from polaris_lab.observations.errors import column_error
from polaris_lab.observations.headers import header_beam, pixel_scale, read_image, read_values
from polaris_lab.observations.map_files import describe, write_map
from polaris_lab.observations.opening import (
    distance_from,
    distance_in_pc,
    error_in_unit,
    hydrogen_nuclei,
    plain_values,
)
from polaris_lab.observations.species import SPECIES, check_species, conversion
from polaris_lab.units import positive

if TYPE_CHECKING:
    from polaris_lab.clouds import SimulationCube
    from polaris_lab.observations.line_data import ObservedLine
    from polaris_lab.radiative_transfer import Line, PPVCube

ARCSEC = math.pi / (180 * 3600)
"""One arcsecond [rad]."""


class Observation:
    """A map of N_H on the sky.

    Parameters
    ----------
    values : array_like, shape (ny, nx)
        Column density of `species` [cm^-2], extinction [mag] for "A_V" and "A_K", or what `unit` says.
    wcs : WCS
        Celestial coordinates of its pixels, two axes.
    distance : Quantity or str
        Distance of the cloud, a length, or the name of a known cloud
        (:func:`~polaris_lab.observations.places.known_distance`). Required: the density goes with its inverse.
    species : {"H2", "H", "A_V", "A_K", "tau"}
        What `values` count. Required: between H2 and H lies a factor of 2. N(H2) is doubled, extinction and optical
        depth are converted: :attr:`column_density` is always of hydrogen nuclei.
    law : str or Quantity, optional
        Of "A_V", "A_K" and "tau": a name in :data:`~polaris_lab.observations.species.LAWS`, or for an optical depth a
        cross-section per hydrogen nucleus. An optical depth has no default.
    mu : float, optional
        Of "H2": gas mass per molecule [m_H] with which the map was made, if it was not 2.8 (older maps: 2.33).
    unit : str or Unit, optional
        "cm-2", "1e21 cm-2", "dex(cm-2)" for log10 N, "mag"; by default the header's BUNIT, and without a header
        the unit of the species.
    blank : float or sequence of float, optional
        Values that mean "not observed"; by default 0, -1 and the header's BLANK, with a warning that counts
        them. NaN always does, and so does a value that has no logarithm.
    beam : Quantity, optional
        Full width at half maximum of the beam, an angle; by default from BMAJ and BMIN.
    error : array_like, shape (ny, nx), optional
        Standard error of `values`, in the same unit (in dex for a map in dex).
    mask : array_like of bool, shape (ny, nx), optional
        True where a pixel is not to be used.
    spikes : float or bool
        Pixels that rise more than so many times above the median of those around them are taken as failed fits, not
        observed; True stands for 30, False keeps them all.
    name : str, optional
        What the map is called in reports.
    header : Header, optional
        The header it came with.
    path : str or Path, optional
        The file it came from.

    Raises
    ------
    TypeError
        If the distance or the species is missing, or the distance is a bare number.
    ValueError
        If the map is not 2D or blank everywhere, or its unit is missing or contradicts the values.

    Warns
    -----
    BlankPixelWarning
        If values were taken as not observed.

    Examples
    --------
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.01, 0.01]
    >>> Observation(np.full((32, 48), 1e21), wcs=wcs, distance=140 * u.pc, species="H2")
    Observation(32 x 48 pixels of 36" = 0.02443 pc at 140 pc; N_H 2e+21 .. 2e+21 cm^-2 (N_H = 2 N(H2)); 0 blank)
    """

    def __init__(
        self,
        values: np.ndarray,
        *,
        wcs: WCS,
        distance: u.Quantity | str | None = None,
        species: str | None = None,
        unit: str | u.UnitBase | None = None,
        law: str | u.Quantity | None = None,
        mu: float | None = None,
        blank: float | Sequence[float] | None = None,
        beam: u.Quantity | None = None,
        error: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        spikes: float | bool = True,
        name: str | None = None,
        header: fits.Header | None = None,
        path: str | Path | None = None,
    ) -> None:
        self._distance_pc, self.distance_source = distance_in_pc(distance), distance_from(distance)
        self._species = check_species(species)
        self.path = None if path is None else Path(path)
        where = str(path or name or "map")
        values, unit, error = plain_values(values, unit, error)
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise ValueError(
                f"{where}: expected a 2D array of real numbers, got shape {values.shape} of {values.dtype}"
            )
        if not isinstance(wcs, WCS) or wcs.naxis != 2 or not wcs.has_celestial:
            axes = f" with {wcs.naxis} axes; use wcs.celestial" if isinstance(wcs, WCS) else ""
            raise ValueError(
                f"{where}: wcs: expected a celestial astropy WCS with 2 axes, got {type(wcs).__name__}{axes}"
            )
        if header is None and unit is None:
            unit = SPECIES[self._species].unit or None
        self._law = conversion(self._species, law=law, mu=mu)
        self.wcs = wcs
        self.header = fits.Header() if header is None else header.copy()
        self.name = (
            name
            or str(self.header.get("OBJECT", "")).strip()
            or (self.path and self.path.name.split(".fit")[0])
        )
        nuclei = hydrogen_nuclei(
            values, self._species, unit, blank, self.header, where, law=law, mu=mu, mask=mask
        )
        self._column_density, self.spikes = mark_spikes(nuclei, factor=spikes, where=where)
        self._error = column_error(error, nuclei, values, unit, self.header, where)
        self.line: ObservedLine | None = None
        self.truth: np.ndarray | None = None
        self._scale = pixel_scale(wcs, self.shape)
        self._beam_arcsec = (
            header_beam(
                self.header, pixel_arcsec=self.pixel_size_arcsec, where=where, most_pixels=max(self.shape)
            )
            if beam is None
            else positive(beam, u.arcsec, "beam")
        )

    @classmethod
    def from_fits(
        cls,
        path: str | Path,
        *,
        distance: u.Quantity | str | None = None,
        species: str | None = None,
        hdu: int | str | None = None,
        error_hdu: int | str | None = None,
        mask_hdu: int | str | None = None,
        **choices: Any,
    ) -> Observation:
        """Open a map from a FITS file.

        Nothing is guessed: a header whose unit is missing or contradicts the values is refused with the words that
        settle it, and `distance` and `species` must be given.

        Parameters
        ----------
        path : str or Path
            A FITS file, also compressed. Axes of one pixel are dropped; more than two axes are refused.
        hdu : int or str, optional
            Number or name of the extension; by default the first with a 2D image.
        error_hdu, mask_hdu : int or str, optional
            Extensions with the standard error of the map, and with a mask (not 0 where a pixel is not to be used).
        distance, species, **choices
            As for :class:`Observation`: unit, law, mu, blank, beam, spikes, name (by default OBJECT, else the name of the
            file).

        Returns
        -------
        Observation

        Raises
        ------
        TypeError
            If the distance or the species is missing, or the distance is a bare number.
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is empty, cut off or no FITS, has no 2D image or no celestial WCS, has only blank
            pixels, or its unit is missing or wrong.

        Warns
        -----
        BlankPixelWarning
            If values were taken as not observed.
        HeaderWarning
            If a card makes no sense and was ignored (EQUINOX = 0).
        """
        distance_in_pc(distance)  # what the caller forgot is said before a large file is read
        conversion(check_species(species), law=choices.get("law"), mu=choices.get("mu"))
        image = read_image(path, hdu=hdu)
        for role, number in (("error", error_hdu), ("mask", mask_hdu)):
            if number is not None:
                extra, its = read_values(path, hdu=number, shape=image.values.shape)
                choices[role] = (
                    error_in_unit(extra, its, image.header, choices.get("unit"))
                    if role == "error"
                    else extra != 0
                )
        return cls(
            image.values,
            wcs=image.wcs,
            distance=distance,
            species=species,
            header=image.header,
            path=path,
            **choices,
        )

    @classmethod
    def from_cube(
        cls,
        cube: SimulationCube,
        *,
        distance: u.Quantity,
        beam: u.Quantity | None = None,
        noise: float = 0.0,
        **choices: Any,
    ) -> Observation:
        """Observe a simulated cloud (:func:`~polaris_lab.observations.observe_cube` explains every choice).

        `beam` is a full width at half maximum, an angle or a length; `noise` the rms of a pixel as a fraction of the
        median. :attr:`truth` then holds the mass-weighted density behind the beam [cm^-3].
        """
        from polaris_lab.observations.simulate import observe_cube

        seen = observe_cube(cube, distance=distance, beam_fwhm=beam, noise=noise, **choices)
        seen.observation.truth = seen.density
        return seen.observation

    # -- what it holds -------------------------------------------------------------------------------

    @property
    def column_density(self) -> np.ndarray:
        """N_H [cm^-2] of hydrogen nuclei, (ny, nx), NaN where not observed; the precision of the file."""
        return self._column_density

    @property
    def error(self) -> np.ndarray | None:
        """Standard error of N_H [cm^-2], None where the map came without."""
        return self._error

    @property
    def conversion_law(self) -> str:
        """How the map became N_H, in words, with the source."""
        return self._law.law

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along y and x."""
        return self._column_density.shape

    @property
    def species(self) -> str:
        """What the map counted before it became N_H."""
        return self._species

    @property
    def distance_pc(self) -> float:
        """Distance of the cloud [pc]."""
        return self._distance_pc

    @property
    def distance(self) -> u.Quantity:
        """Distance of the cloud."""
        return self._distance_pc * u.pc

    @property
    def pixel_size_arcsec(self) -> float:
        """Square root of the solid angle of a pixel at the centre of the map [arcsec]."""
        return self._scale.size_arcsec

    @property
    def pixel_size_pc(self) -> float:
        """The same at the distance of the cloud [pc]."""
        return self.pixel_size_arcsec * ARCSEC * self._distance_pc

    @property
    def pixel_sides_pc(self) -> tuple[float, float]:
        """Extent of a pixel along y and along x [pc]; equal when the pixels are square."""
        along_y, along_x = self._scale.side_arcsec
        return along_y * ARCSEC * self._distance_pc, along_x * ARCSEC * self._distance_pc

    @property
    def beam_arcsec(self) -> float | None:
        """Full width at half maximum of the beam [arcsec], None if unknown."""
        return self._beam_arcsec

    def with_line(
        self,
        cube: PPVCube,
        line: Line | None = None,
        *,
        efficiency: float = 1.0,
        v_lsr: u.Quantity | None = None,
        velocity: u.Quantity | None = None,
        cube_beam: u.Quantity | None = None,
    ) -> Observation:
        """Return this map with a line cube beside it, on its grid, its beam and given channels.

        Its :attr:`line` is an :class:`~polaris_lab.observations.line_data.ObservedLine`;
        :func:`~polaris_lab.observations.line_data.on_map` explains the arguments and what is refused.
        """
        from polaris_lab.observations.line_data import on_map

        new = copy.copy(self)
        new.line = on_map(
            self, cube, line, efficiency=efficiency, v_lsr=v_lsr, velocity=velocity, cube_beam=cube_beam
        )
        return new

    def with_map(
        self,
        column_density: np.ndarray,
        *,
        wcs: WCS | None = None,
        error: np.ndarray | None = None,
        beam: u.Quantity | None = None,
    ) -> Observation:
        """Return an observation of the same cloud with another map of N_H [cm^-2], such as a part of it.

        Parameters
        ----------
        column_density : ndarray, shape (ny, nx)
            NaN where blank.
        wcs : WCS, optional
            Of its pixels; by default as before, for a map of the same shape.
        error : ndarray, optional
            Standard error of N_H [cm^-2].
        beam : Quantity, optional
            By default as before.

        Raises
        ------
        ValueError
            If the shape differs from that of the map while `wcs` does not.
        """
        column_density = np.asarray(column_density)
        if column_density.ndim != 2 or (wcs is None and column_density.shape != self.shape):
            raise ValueError(
                f"column_density: expected the shape {self.shape}, or a wcs of its own, got {column_density.shape}"
            )
        new = copy.copy(self)
        new._column_density, new._error = column_density, error
        new.spikes = np.zeros(column_density.shape, bool)
        new.line = new.truth = None  # they lie on the pixels of one map
        if wcs is not None:
            new.wcs = wcs
            new._scale = pixel_scale(wcs, column_density.shape)
        if beam is not None:
            new._beam_arcsec = positive(beam, u.arcsec, "beam")
        return new

    # -- files ---------------------------------------------------------------------------------------

    def write_fits(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the map: N(H2) for species "H2", N_H for any other, in cm^-2, with WCS, distance and species.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is not set.
        """
        return write_map(self, path, overwrite=overwrite)

    # -- words ---------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Say shape, pixel, distance, range and blanks, in one line."""
        title = f"{self.name!r}: " if self.name else ""
        return f"Observation({title}" + "; ".join(text for _, text in describe(self)) + ")"

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in describe(self)
        )
        return f"<table><caption><b>Observation</b> {escape(self.name or 'unnamed')}</caption>{cells}</table>"
