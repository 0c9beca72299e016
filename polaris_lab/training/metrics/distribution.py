"""The distribution of densities, wherever the dense gas lies."""

from __future__ import annotations

import numpy as np

from polaris_lab.training.pairs import log_pair


def wasserstein_dex(predicted: np.ndarray, target: np.ndarray) -> float:
    """Distance of the density PDFs: the mean shift that turns one into the other [dex].

    W1 = integral over q of |log10 n(q) predicted - log10 n(q) true|, n(q) being the quantiles.

    Examples
    --------
    >>> wasserstein_dex([[1000.0, 10.0]], [[10.0, 100.0]])
    0.5
    """
    log_predicted, log_target = log_pair(predicted, target)
    valid = np.isfinite(log_predicted)
    return float(np.abs(np.sort(log_predicted[valid]) - np.sort(log_target[valid])).mean())


def width_dex(density: np.ndarray) -> float:
    """Return the standard deviation of log10 n over the pixels [dex] (times 2.303 it is sigma_s of ln n).

    Examples
    --------
    >>> width_dex([[10.0, 1000.0, float("nan")]])
    1.0
    """
    log_density, _ = log_pair(density, density)
    return float(np.nanstd(log_density))


def tail_slope(density: np.ndarray, *, above: float) -> float:
    """Slope alpha of the power-law tail of the PDF: dV / d ln n ~ n^-alpha above a density (Hill's estimator).

    Parameters
    ----------
    density : array_like, shape (images, y, x) or (y, x)
        [cm^-3].
    above : float
        Where the tail starts [cm^-3]; use the same for prediction and truth.

    Returns
    -------
    float
        1 / mean(ln(n / above)) over the pixels above it; a larger one is a steeper tail.

    Raises
    ------
    ValueError
        If the start is not positive or fewer than two pixels lie above it.

    References
    ----------
    Hill (1975), Annals of Statistics 3, 1163.

    Examples
    --------
    >>> quantiles = (np.arange(100_000) + 0.5) / 100_000
    >>> round(tail_slope([100.0 * (1 - quantiles) ** (-1 / 1.5)], above=100.0), 2)
    1.5
    """
    if not above > 0:
        raise ValueError(f"above: expected a positive density in cm^-3, got {above}")
    log_density, _ = log_pair(density, density)
    excess = np.log(10.0) * (log_density[log_density > np.log10(above)] - np.log10(above))
    if excess.size < 2:
        raise ValueError(
            f"above: expected at least 2 pixels above {above:g} cm^-3, got {excess.size}; lower it"
        )
    return float(1.0 / excess.mean())
