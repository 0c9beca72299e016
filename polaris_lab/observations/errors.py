"""The standard error of a map, in the unit of its column density."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.io import fits

from polaris_lab.observations.species import parse_unit


def column_error(
    error: np.ndarray | None,
    column_density: np.ndarray,
    values: np.ndarray,
    unit: str | u.UnitBase | None,
    header: fits.Header,
    where: str,
) -> np.ndarray | None:
    """Return the standard error of N_H [cm^-2] from that of a map.

    Parameters
    ----------
    error : ndarray, shape (ny, nx), or None
        In the unit of the map; in dex for a map in dex.
    column_density : ndarray, shape (ny, nx)
        N_H [cm^-2] that the map became.
    values : ndarray, shape (ny, nx)
        The map.
    unit, header
        What the map is in: the caller's word, else BUNIT.
    where : str
        What the map is called in errors.

    Returns
    -------
    ndarray or None
        NaN where the map is blank or the error is none.

    Raises
    ------
    ValueError
        If the shape differs.
    """
    if error is None:
        return None
    error = np.asarray(error, column_density.dtype)
    if error.shape != values.shape:
        raise ValueError(f"{where}: error: expected the shape of the map {values.shape}, got {error.shape}")
    error = np.where(np.isfinite(error) & (error >= 0), error, np.nan)
    found = parse_unit(unit if unit is not None else str(header.get("BUNIT", "")))
    if isinstance(found, u.function.logarithmic.DexUnit):
        return column_density * np.log(10.0).astype(column_density.dtype) * error
    # the map itself says what one of its units is in N_H: the unit and the law in one number
    good = np.isfinite(column_density)
    scale = float(np.median(column_density[good].astype(np.float64) / values[good]))
    return np.where(np.isfinite(column_density), (error.astype(np.float64) * scale), np.nan).astype(
        column_density.dtype
    )
