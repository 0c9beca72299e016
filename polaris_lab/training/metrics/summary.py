"""The numbers of one row of a comparison table."""

from __future__ import annotations

import numpy as np

from polaris_lab.training.metrics.accuracies import TOLERANCES_DEX, image_accuracies
from polaris_lab.training.metrics.shared import pearson
from polaris_lab.training.pairs import log_pair


def scores(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return the numbers of one row of a comparison table.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].

    Returns
    -------
    dict
        ``rmse_dex``, ``bias_dex``, ``accuracy_0.1`` ... ``accuracy_0.5`` (eqs. 5-6 at that tolerance in dex),
        ``correlation`` (0 if either map is uniform), and ``densest_1_percent_rmse_dex`` and ``..._bias_dex`` over the pixels whose true
        density is in the highest hundredth.

    Raises
    ------
    ValueError
        As :func:`residual`.
    """
    log_predicted, log_target = log_pair(predicted, target)
    difference = log_predicted - log_target
    valid = np.isfinite(difference)
    dense = difference[valid & (log_target >= np.quantile(log_target[valid], 0.99))]
    accuracies = image_accuracies(difference, TOLERANCES_DEX).mean(axis=1)
    return {
        "rmse_dex": float(np.sqrt(np.nanmean(difference**2))),
        "bias_dex": float(np.nanmean(difference)),
        **{f"accuracy_{t:g}": float(a) for t, a in zip(TOLERANCES_DEX, accuracies, strict=True)},
        "correlation": float(np.nan_to_num(pearson(log_predicted, log_target))),
        "densest_1_percent_rmse_dex": float(np.sqrt((dense**2).mean())),
        "densest_1_percent_bias_dex": float(dense.mean()),
    }
