"""Dense gas: is it found, and is there the right amount of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from polaris_lab.training.metrics.shared import log_column
from polaris_lab.training.pairs import log_pair

DENSE_CM3 = 1e4
"""Gas above it is called dense unless told otherwise [cm^-3]."""


def densest(predicted: np.ndarray, target: np.ndarray, *, fraction: float = 0.01) -> dict[str, float]:
    """Errors of the pixels whose true density is in the highest `fraction` of all.

    Returns
    -------
    dict
        ``rmse_dex``, ``bias_dex``, ``above`` (the true density where they start [cm^-3]) and ``pixels``.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1; as :func:`polaris_lab.training.metrics.residual`.

    Examples
    --------
    >>> densest([[10.0, 10.0]], [[10.0, 1000.0]], fraction=0.5)["bias_dex"]
    -2.0
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a share between 0 and 1, got {fraction}")
    log_predicted, log_target = log_pair(predicted, target)
    start = np.quantile(log_target[np.isfinite(log_target)], 1 - fraction)
    dense = log_target >= start
    values = (log_predicted - log_target)[dense]
    return {
        "rmse_dex": float(np.sqrt((values**2).mean())),
        "bias_dex": float(values.mean()),
        "above": float(10**start),
        "pixels": int(dense.sum()),
    }


def dense_mass_fraction(
    density: np.ndarray, column_density: np.ndarray, *, threshold: float = DENSE_CM3
) -> float:
    """M(n > threshold) / M: the share of the mass on lines of sight whose density is above a threshold.

    Parameters
    ----------
    density : array_like, shape (images, y, x) or (y, x)
        [cm^-3], predicted or true.
    column_density : array_like, same shape
        N_H [cm^-2]: the mass of each pixel. Pixels that are NaN in either are left out.
    threshold : float
        [cm^-3].

    Examples
    --------
    >>> round(dense_mass_fraction([[1e3, 2e4]], [[1e21, 3e21]]), 6)
    0.75
    """
    log_threshold = _log_threshold(threshold)
    log_density, _ = log_pair(density, density)
    mass = 10 ** log_column(column_density, log_density.shape)
    valid = np.isfinite(log_density) & np.isfinite(mass)
    return float(mass[valid & (log_density > log_threshold)].sum() / mass[valid].sum())


@dataclasses.dataclass(frozen=True)
class Detection:
    """Which pixels above a threshold are found."""

    threshold: float
    """[cm^-3]."""
    recall: float | None
    """Share of the truly dense pixels that are predicted dense; None without any."""
    precision: float | None
    """Share of the pixels predicted dense that are truly dense; None without any."""
    true_pixels: int
    """Truly dense pixels."""
    predicted_pixels: int
    """Pixels predicted dense."""
    both: int
    """Pixels that are both."""


def detection(predicted: np.ndarray, target: np.ndarray, *, threshold: float = DENSE_CM3) -> Detection:
    """Return recall and precision of the gas above a threshold [cm^-3].

    Examples
    --------
    >>> found = detection([[1e3, 2e4, 2e4]], [[2e4, 2e4, 1e3]])
    >>> found.recall, found.precision
    (0.5, 0.5)
    """
    log_threshold = _log_threshold(threshold)
    log_predicted, log_target = log_pair(predicted, target)
    found, true = log_predicted > log_threshold, log_target > log_threshold
    both = int((found & true).sum())
    return Detection(
        threshold=float(threshold),
        recall=both / int(true.sum()) if true.any() else None,
        precision=both / int(found.sum()) if found.any() else None,
        true_pixels=int(true.sum()),
        predicted_pixels=int(found.sum()),
        both=both,
    )


def _log_threshold(threshold: float) -> float:
    if not threshold > 0 or not np.isfinite(threshold):
        raise ValueError(f"threshold: expected a positive density in cm^-3, got {threshold}")
    return float(np.log10(threshold))
