"""Errors of a predicted cube: what the order along the line of sight cannot change, and what a mirror cannot."""

from __future__ import annotations

import dataclasses

import numpy as np
from astropy import units as u

from polaris_lab.training.metrics.shared import pearson
from polaris_lab.units import positive


@dataclasses.dataclass(frozen=True)
class VolumeScores:
    """Errors of a predicted density cube; lines of sight run along its first axis."""

    closure: float
    """Largest relative error of the column density: max |N predicted - N true| / N true."""
    mass_weighted_rmse_dex: float
    """Root mean square of log10 of the predicted over the true <n>_M of the lines of sight [dex]."""
    mass_weighted_bias_dex: float
    """Its mean [dex]."""
    max_rmse_dex: float
    """The same for the largest density on each line of sight [dex]."""
    max_bias_dex: float
    """Its mean [dex]."""
    sorted_wasserstein_dex: float
    """Mean distance of the densities of each line of sight once both are sorted [dex]: right gas in any order."""
    correlation: float
    """Pearson's coefficient of log10 n with the truth or its mirror image along z, whichever is larger."""
    mirrored: bool
    """Whether the mirror image (z -> -z, which a thin line cannot tell apart) fits better."""


def volume_scores(
    predicted: np.ndarray,
    target: np.ndarray,
    *,
    column_density: np.ndarray | None = None,
    cell_size: u.Quantity | None = None,
) -> VolumeScores:
    """Return the errors of a predicted cube.

    Parameters
    ----------
    predicted, target : ndarray, shape (z, y, x)
        Densities [cm^-3], positive and finite.
    column_density : ndarray, shape (y, x), optional
        N_H [cm^-2] that the prediction must close to, with `cell_size`; by default that of the true cube.
    cell_size : Quantity, optional
        Length of a cell along z.

    Returns
    -------
    VolumeScores

    Raises
    ------
    ValueError
        If shapes differ, a value is not positive and finite, or only one of `column_density` and `cell_size` is
        given.

    Examples
    --------
    >>> cube = np.random.default_rng(0).lognormal(5, 1, (8, 4, 4))
    >>> scores = volume_scores(cube[::-1], cube)
    >>> scores.mirrored, round(scores.correlation, 6), scores.sorted_wasserstein_dex, scores.closure < 1e-12
    (True, 1.0, 0.0, True)
    """
    predicted, target = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if predicted.ndim != 3 or predicted.shape != target.shape:
        raise ValueError(
            f"predicted, target: expected equal shapes (z, y, x), got {predicted.shape} and {target.shape}"
        )
    for name, cube in (("predicted", predicted), ("target", target)):
        if not (np.isfinite(cube).all() and (cube > 0).all()):
            raise ValueError(f"{name}: expected positive finite densities in cm^-3 in every cell")
    sums = predicted.sum(axis=0), target.sum(axis=0)
    mean = np.log10((predicted**2).sum(axis=0) / sums[0]) - np.log10((target**2).sum(axis=0) / sums[1])
    peak = np.log10(predicted.max(axis=0)) - np.log10(target.max(axis=0))
    a, b = np.log10(predicted), np.log10(target)
    straight, turned = (float(np.nan_to_num(pearson(part, b))) for part in (a, a[::-1]))
    return VolumeScores(
        closure=_closure(sums, column_density, cell_size),
        mass_weighted_rmse_dex=float(np.sqrt((mean**2).mean())),
        mass_weighted_bias_dex=float(mean.mean()),
        max_rmse_dex=float(np.sqrt((peak**2).mean())),
        max_bias_dex=float(peak.mean()),
        sorted_wasserstein_dex=float(np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean()),
        correlation=max(straight, turned),
        mirrored=turned > straight,
    )


def _closure(
    sums: tuple[np.ndarray, np.ndarray], column_density: np.ndarray | None, cell_size: u.Quantity | None
) -> float:
    """Return the largest relative error of the column density."""
    if (column_density is None) != (cell_size is None):
        raise ValueError("column_density, cell_size: expected both or neither, got one")
    if column_density is None or cell_size is None:
        return float((np.abs(sums[0] - sums[1]) / sums[1]).max())
    given = np.asarray(column_density, np.float64)
    if given.shape != sums[0].shape or not (given > 0).all():
        raise ValueError(
            f"column_density: expected positive values in cm^-2 of shape {sums[0].shape}, got {given.shape}"
        )
    length = positive(cell_size, u.cm, "cell_size")
    return float((np.abs(sums[0] * length - given) / given).max())
