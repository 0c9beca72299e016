"""The door of every metric: a predicted and a true map, checked and brought to logarithms."""

from __future__ import annotations

import numpy as np
from astropy import units as u


def log_pair(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log10 of two density maps, each NaN where either is.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3], positive; NaN (or masked) where unknown. A Quantity is converted.

    Returns
    -------
    log_predicted, log_target : ndarray, float64, shape (images, y, x)

    Raises
    ------
    ValueError
        If shapes differ, no pixel is valid in both, or a value is zero, negative or infinite.
    UnitsError
        If a Quantity is no number density.
    """
    predicted, target = _plain(predicted, "predicted"), _plain(target, "target")
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted, target: expected equal shapes, got {predicted.shape} and {target.shape}"
        )
    if predicted.ndim not in (2, 3):
        raise ValueError(f"predicted: expected the shape (images, y, x) or (y, x), got {predicted.shape}")
    logs = [_log10(predicted, "predicted"), _log10(target, "target")]
    invalid = np.isnan(logs[0]) | np.isnan(logs[1])
    if invalid.all():
        raise ValueError("predicted, target: expected at least one pixel that is valid in both, got none")
    for values in logs:
        values[invalid] = np.nan
    return logs[0], logs[1]


def _plain(density: np.ndarray, name: str) -> np.ndarray:
    """Return densities in cm^-3 as a plain array, masked pixels as NaN."""
    if isinstance(density, u.Quantity):
        if not density.unit.is_equivalent("cm-3"):
            raise u.UnitsError(
                f"{name}: expected a unit that converts to cm-3, got {str(density.unit) or 'no unit'}"
            )
        density = density.to_value("cm-3")
    if np.ma.is_masked(density):
        density = density.astype(np.float64).filled(np.nan)
    return np.asarray(density)


def _log10(density: np.ndarray, name: str) -> np.ndarray:
    """Return log10 in float64, shape (images, y, x); refuse what has none."""
    density = density.astype(np.float64)  # a copy: the caller's array stays as it is
    bad = (density <= 0) | np.isinf(density)
    if bad.any():
        raise ValueError(
            f"{name}: expected positive finite densities in cm^-3 (NaN where unknown), got {density[bad][0]:g} "
            f"in {int(bad.sum())} pixels; a map of logarithms is given as 10**map"
        )
    logarithm = np.log10(density)
    return logarithm[None] if logarithm.ndim == 2 else logarithm
