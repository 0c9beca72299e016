"""What an observation is opened with: its distance, and its values as N_H."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.io import fits

from polaris_lab.observations.blanks import BlankPixelWarning, mark_blanks
from polaris_lab.observations.places import known_distance
from polaris_lab.observations.species import to_hydrogen
from polaris_lab.units import positive


def distance_in_pc(distance: u.Quantity | str | None) -> float:
    """Return a distance [pc]: a length, or that of a known cloud by its name."""
    if distance is None:
        raise TypeError(
            "distance: expected the distance of the cloud, got nothing; write for example distance=140 * u.pc "
            "(from astropy import units as u): the density goes with its inverse"
        )
    if isinstance(distance, str) and not distance.strip()[:1].isdigit():  # "140 pc" lacks its astropy unit
        distance = known_distance(distance)
    return positive(distance, u.pc, "distance")


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
