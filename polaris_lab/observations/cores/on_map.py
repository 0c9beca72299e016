"""Catalogued cores on a prediction: their density behind the diffuse gas, its interval, and the error (figure 35)."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import Table

from polaris_lab.observations.cores.catalogue import CatalogueWarning, at_distance, pixel_positions
from polaris_lab.observations.cores.density import background_at, core_density_from_background
from polaris_lab.observations.cores.errors import DENSITY_COLUMNS, GAUSSIAN_PROFILE, CoreErrors
from polaris_lab.observations.prediction import REASONS, Prediction, Quality
from polaris_lab.units import HYDROGEN_PER_H2, positive

if TYPE_CHECKING:
    from polaris_lab.observations.maps import Observation

BACKGROUND_FWHM = 25 * 18.2
"""Full width [arcsec] of the Gaussian that blurs the column density to that of a core's surroundings (the report's)."""

LEAST_SHARE = 0.05
"""Share of the column that must rise above the surroundings: below, a core cannot be told from them, n_c would grow
without bound, and nothing is taken off."""

INTERVALS = ("lower68", "upper68", "lower95", "upper95")


@dataclasses.dataclass(frozen=True, eq=False)
class CoresOnMap:
    """The cores of a catalogue that lie on a prediction. Made by :func:`cores_on_map`.

    Attributes
    ----------
    table : Table
        A row a core: ``name``, ``ra``, ``dec`` [deg], ``x``, ``y`` [pixels], ``log_column_density`` (of N_H [cm^-2]),
        ``catalogue_density`` (n_H [cm^-3] at the distance of the map, NaN where the catalogue has none),
        ``mean_density`` (<n_H>_M of the prediction), ``core_density`` (n_H behind the diffuse gas) and the ends of its
        intervals ``lower68`` ... ``upper95`` where the prediction states them, ``error_dex`` and ``flags`` in words.
    errors : CoreErrors or None
        Of the cores whose density the catalogue states.
    notes : tuple of str
        What was moved, left out or is not comparable, in sentences.
    """

    table: Table
    errors: CoreErrors | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        """Say how many cores and how far off they are."""
        return f"CoresOnMap({len(self)} cores; {self.errors or 'no density in the catalogue'})"


def cores_on_map(
    observation: Observation,
    prediction: Prediction,
    catalogue: Table,
    *,
    column: str | None = None,
    profile_factor: float = GAUSSIAN_PROFILE,
    background_fwhm: u.Quantity = BACKGROUND_FWHM * u.arcsec,
) -> CoresOnMap:
    """Put a catalogue of cores beside a prediction.

    The catalogue is moved to the distance of the map (n as 1/d, M as d^2, R as d). Two media lie on the line of sight
    to a core: its density is n_c = <n_H>_M N / (N - N_bg), with N_bg the column density blurred by `background_fwhm`
    and a median over 11 pixels; the ends of the intervals are moved by the same factor. The density of the catalogue
    is doubled from H2 to nuclei, and for the error multiplied by `profile_factor`: a mass-weighted mean on the axis.

    Parameters
    ----------
    observation : Observation
        The map that was predicted from.
    prediction : Prediction
        Of that map. If it is not of the mass-weighted density, no medium is taken off, and a note says so.
    catalogue : Table
        From a reader of this room.
    column : {"mean_density", "mean_density_observed", "peak_density"}, optional
        Density of the catalogue that is compared; by default the first of these that it has.
    profile_factor : float
        <n>_M on the axis over that density; 2.46 for the mean density of a Gaussian core with R its FWHM.
    background_fwhm : Quantity
        An angle.

    Returns
    -------
    CoresOnMap

    Raises
    ------
    ValueError
        If the shapes differ, the column is unknown, or no core lies on a valid pixel.

    Warns
    -----
    CatalogueWarning
        How many cores lie outside the map.

    References
    ----------
    Report, section 4.2, figure 35 and its author's later two-medium correction.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> import polaris_lab as lab
    >>> from polaris_lab.observations import Prediction
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [52, 31], [-0.01, 0.01]
    >>> seen = lab.Observation(np.full((20, 20), 1e22), wcs=wcs, distance=300 * u.pc, species="H")
    >>> flat = np.full((20, 20), 1e4)
    >>> found = Prediction(flat, np.zeros((20, 20), int), np.ones((20, 20), int), wcs)
    >>> table = Table({"name": ["a"], "ra": [51.9] * u.deg, "dec": [31.1] * u.deg, "mean_density": [2e3] / u.cm**3})
    >>> table.meta["distance_pc"] = 300.0
    >>> print(f"{cores_on_map(seen, found, table).errors.error_dex[0]:.3f}")
    0.008
    """
    if not isinstance(prediction, Prediction):
        raise TypeError(
            f"prediction: expected a Prediction of the map, got {type(prediction).__name__}; arrays are compared by core_errors"
        )
    column_density = observation.column_density
    if prediction.shape != column_density.shape:
        raise ValueError(
            f"prediction: expected the shape of the map {column_density.shape}, got {prediction.shape}"
        )
    column = density_column(catalogue, column)
    if not profile_factor > 0:
        raise ValueError(f"profile_factor: expected a positive number, got {profile_factor}")
    moved, notes = _moved(catalogue, observation)
    x, y, inside = pixel_positions(moved, observation.wcs, prediction.shape, where=observation.name or "map")
    if not inside.all():
        notes.append(f"{int((~inside).sum())} of {len(x)} cores lie outside the map and are left out")
    rows = np.flatnonzero(inside)
    at = np.rint(y[rows]).astype(int), np.rint(x[rows]).astype(int)
    seen = np.isfinite(prediction.density[at]) & np.isfinite(column_density[at])
    if not seen.any():
        raise ValueError(
            f"catalogue: expected cores on valid pixels of the map, got {len(rows)} that all lie on blank ones"
        )
    if not seen.all():
        notes.append(f"{int((~seen).sum())} cores lie on pixels that are not observed and are left out")
    rows, at = rows[seen], (at[0][seen], at[1][seen])
    table = _positions(moved, rows, x, y, column_density[at])
    mean = np.asarray(prediction.density[at], float)
    factor, told = _two_media(observation, prediction, at, mean, background_fwhm)
    notes.append(told)
    table["mean_density"], table["core_density"] = mean / u.cm**3, mean * factor / u.cm**3
    for name in INTERVALS:
        if getattr(prediction, name) is not None:
            table[name] = np.asarray(getattr(prediction, name)[at], float) * factor / u.cm**3
    quality = np.asarray(prediction.quality[at]) & ~int(Quality.RESAMPLED)
    errors = _compared(table, moved, rows, column, profile_factor, flagged=quality != 0)
    if errors is None:
        notes.append("The catalogue states no density of these cores: there is nothing to compare with")
    table["flags"] = [
        "; ".join(words for flag, words in REASONS.items() if value & int(flag)) for value in quality
    ]
    table.meta = {
        "distance_pc": observation.distance_pc,
        "catalogue": str(catalogue.meta.get("source", "")),
        "definition": errors.definition if errors is not None else "",
        "notes": list(notes),
    }
    return CoresOnMap(table, errors, tuple(notes))


def density_column(catalogue: Table, column: str | None) -> str | None:
    """Return which density of a catalogue is compared, None if it has none; ValueError if it lacks the one asked for."""
    there = [name for name in DENSITY_COLUMNS if name in catalogue.colnames]
    if column is None:
        return there[0] if there else None
    if column not in there:
        raise ValueError(
            f"column: expected a density of the catalogue ({', '.join(there) or 'it has none'}), got {column!r}"
        )
    return column


def _moved(catalogue: Table, observation: Observation) -> tuple[Table, list[str]]:
    """Return the catalogue at the distance of the map, and its notes."""
    if abs(catalogue.meta.get("distance_pc", 0.0) / observation.distance_pc - 1) > 1e-6:
        catalogue = at_distance(catalogue, observation.distance)
    return catalogue, [f"Catalogue: {note}" for note in catalogue.meta.get("notes", [])]


def _positions(moved: Table, rows: np.ndarray, x: np.ndarray, y: np.ndarray, column: np.ndarray) -> Table:
    names = (
        moved["name"] if "name" in moved.colnames else [f"core {number + 1}" for number in range(len(moved))]
    )
    return Table(
        {
            "name": np.asarray(names, str)[rows],
            "ra": np.asarray(moved["ra"], float)[rows] * u.deg,
            "dec": np.asarray(moved["dec"], float)[rows] * u.deg,
            "x": x[rows],
            "y": y[rows],
            "log_column_density": np.log10(column.astype(float)),
        }
    )


def _two_media(
    observation: Observation,
    prediction: Prediction,
    at: tuple[np.ndarray, np.ndarray],
    mean: np.ndarray,
    background_fwhm: u.Quantity,
) -> tuple[np.ndarray, str]:
    """Return n_c / <n>_M of each core, and what was done in words."""
    target = str(prediction.provenance.get("target", "mass_weighted_density"))
    if target not in ("mass_weighted_density", "density"):
        words = target.replace("_", " ")
        return np.ones_like(
            mean
        ), f"The density of a core is the predicted {words} itself: the two-medium formula needs <n_H>_M"
    width = positive(background_fwhm, u.arcsec, "background_fwhm")
    column = observation.column_density
    background = background_at(column, at[1], at[0], fwhm_pixels=width / observation.pixel_size_arcsec)
    own = column[at].astype(float)
    lost = background > (1 - LEAST_SHARE) * own
    dense = core_density_from_background(mean, own, np.where(lost, 0.0, background))
    return dense / mean, (
        f"Density of a core: <n_H>_M N / (N - N_bg), N_bg the column density blurred to {width:.0f} arcsec "
        f"(median factor {np.median(dense / mean):.2f})"
        + (f"; {int(lost.sum())} of {len(own)} do not rise above that and keep <n_H>_M" if lost.any() else "")
    )


def _compared(
    table: Table,
    moved: Table,
    rows: np.ndarray,
    column: str | None,
    profile_factor: float,
    *,
    flagged: np.ndarray,
) -> CoreErrors | None:
    """Add the catalogue's density and the error to the table; return the errors of the cores that have one."""
    stated = np.full(len(rows), np.nan)
    if column is not None:
        stated = np.asarray(moved[column], float)[rows] * HYDROGEN_PER_H2
    stated = np.where(stated > 0, stated, np.nan)
    predicted = np.asarray(table["core_density"], float)
    error = np.log10(predicted / (stated * profile_factor))
    table.add_column(stated / u.cm**3, name="catalogue_density", index=table.colnames.index("mean_density"))
    table["error_dex"] = error
    known = np.isfinite(error)
    if not known.any():
        return None
    return CoreErrors(
        name=np.asarray(table["name"])[known],
        x=np.asarray(table["x"])[known],
        y=np.asarray(table["y"])[known],
        log_column=np.asarray(table["log_column_density"])[known],
        predicted=predicted[known],
        catalogue=stated[known] * profile_factor,
        error_dex=error[known],
        definition=f"catalogue: {column} of H2 x 2 nuclei x profile {profile_factor:.3g}; map: core behind diffuse gas",
        flagged=flagged[known],
    )


def lie_on(catalogue: Table, observation: Observation) -> int:
    """Return how many cores of a catalogue lie on a map; none is refused before the work begins.

    Raises
    ------
    ValueError
        If none does (:func:`~polaris_lab.observations.cores.catalogue.pixel_positions`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CatalogueWarning)
        return int(
            pixel_positions(catalogue, observation.wcs, observation.shape, where=observation.name or "map")[
                2
            ].sum()
        )
