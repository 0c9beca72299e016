"""What an observation is opened with: its distance, and its values as N_H."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.io import fits

from polaris_lab.observations.blanks import BlankPixelWarning, mark_blanks
from polaris_lab.observations.places import distance_source, known_distance
from polaris_lab.observations.species import parse_unit, to_hydrogen
from polaris_lab.units import positive


def distance_in_pc(distance: u.Quantity | str | None) -> float:
    """Return a distance [pc]: a length, or that of a known cloud by its name."""
    if distance is None:
        raise TypeError(
            "distance: expected the distance of the cloud, got nothing; write for example distance=140 * u.pc "
            "(from astropy import units as u): the density goes with its inverse"
        )
    if _names_a_cloud(distance):
        distance = known_distance(distance)
    if isinstance(distance, str):
        raise TypeError(
            f"distance: expected a Quantity with a unit that converts to pc, got the text {distance!r}; write for example "
            "distance=140 * u.pc"
        )
    return positive(distance, u.pc, "distance")


def distance_from(distance: u.Quantity | str | None) -> str | None:
    """Return the source of a distance that was given by the name of a cloud, None of any other."""
    return distance_source(distance) if _names_a_cloud(distance) else None


def _names_a_cloud(distance: object) -> bool:
    return isinstance(distance, str) and not distance.strip()[:1].isdigit()  # "140 pc" lacks its astropy unit


def hydrogen_nuclei(
    values: np.ndarray,
    species: str,
    unit: str | u.UnitBase | None,
    blank: float | Sequence[float] | None,
    header: fits.Header,
    where: str,
    *,
    law: str | u.Quantity | None,
    mu: float | None,
    mask: np.ndarray | None,
) -> np.ndarray:
    """Return N_H [cm^-2] with NaN at every pixel that has no logarithm."""
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != values.shape or mask.dtype != bool:
            raise ValueError(
                f"{where}: mask: expected True and False in the shape of the map {values.shape}, got {mask.shape} of {mask.dtype}"
            )
        values = np.where(mask, np.nan, values)
    values = mark_blanks(values, blank=blank, header=header, where=where)
    if not np.isfinite(values).any():
        raise ValueError(
            f"{where}: expected at least one valid pixel, got a map that is blank everywhere; another extension "
            "(hdu=) may hold the data, and blank= says which values are blank"
        )
    _check_card(header, species, unit, where)
    bunit = str(header.get("BUNIT", ""))
    nuclei = to_hydrogen(values, species=species, unit=unit, header_unit=bunit, where=where, law=law, mu=mu)
    bad = ~np.isnan(nuclei) & ~((nuclei > 0) & (nuclei < np.inf))
    if bad.any():
        warnings.warn(
            f"{where}: {int(bad.sum())} of {bad.size} pixels have no logarithm (zero, negative or too large) and are "
            "taken as not observed; noise around zero or a wrong zero level does this",
            BlankPixelWarning,
            stacklevel=4,
        )
        nuclei = np.where(bad, nuclei.dtype.type(np.nan), nuclei)
    return nuclei


def _check_card(header: fits.Header, species: str, unit: object, where: str) -> None:
    """Refuse a species that contradicts the card SPECIES, which :meth:`Observation.write_fits` writes."""
    card = str(header.get("SPECIES", "")).strip()
    if unit is None and {card, species} == {"H", "H2"}:
        raise ValueError(
            f'{where}: expected species="{card}", which its card SPECIES says, got "{species}": between N(H2) and N_H lies a '
            'factor of 2; if the card is wrong, write unit="cm-2"'
        )


def plain_values(
    values: object, unit: str | u.UnitBase | None, error: object
) -> tuple[np.ndarray, str | u.UnitBase | None, object]:
    """Return values, unit and error of a map, of which values and error may be quantities: their unit is not lost.

    Raises
    ------
    ValueError
        If a quantity and `unit` say different things.
    """
    if isinstance(values, u.Quantity):
        if unit is not None and u.Unit(values.unit) != parse_unit(unit):
            raise ValueError(
                f"unit: expected none beside values with the unit {values.unit}, got {unit!r}; leave it out"
            )
        unit, values = values.unit, values.value
    if isinstance(error, u.Quantity):
        into = parse_unit(unit) if unit is not None else None
        if into is None:
            raise ValueError(
                f"error: expected plain numbers in the unit of the map, got {error.unit}; say unit= of the map, or give its "
                "values as a quantity too"
            )
        error = error.to_value(into)
    return np.asarray(values), unit, error


def error_in_unit(
    error: np.ndarray, header: fits.Header, map_header: fits.Header, unit: str | u.UnitBase | None
) -> np.ndarray:
    """Return an error map of a file in the unit of its map, where both headers state one and they differ."""
    own = parse_unit(str(header.get("BUNIT", "")))
    wanted = parse_unit(unit if unit is not None else str(map_header.get("BUNIT", "")))
    logarithmic = u.function.logarithmic.DexUnit
    if own is None or wanted is None or isinstance(own, logarithmic) or isinstance(wanted, logarithmic):
        return error
    if not own.is_equivalent(wanted):
        raise ValueError(
            f"error_hdu: expected an error in the unit of the map ({wanted}), got BUNIT = {header['BUNIT']!r}; is it an error "
            "map of this map?"
        )
    return error * error.dtype.type(own.to(wanted))
