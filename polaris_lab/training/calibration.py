"""How far the truth lies from a prediction: quantiles of the residual at each predicted density."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from polaris_lab.training.pairs import log_pair

QUANTILES = {"q02.5": 0.025, "q16": 0.16, "q50": 0.5, "q84": 0.84, "q97.5": 0.975}
"""Names and values of the quantiles that a table lists."""

BIN_WIDTH_DEX = 0.1
"""Width of a bin of predicted density, before bins with few pixels are joined [dex]."""

MINIMUM_COUNT = 400
"""Pixels that a bin holds at least (a tail of 2.5 % is then 10 pixels)."""


def calibration_table(predicted: np.ndarray, target: np.ndarray) -> dict[str, list[Any]]:
    """Quantiles of the residual in bins of the predicted density.

    The density behind a prediction n lies, with the frequency of the validation set, between
    n / 10^q84 and n / 10^q16 (68 %), and between n / 10^q97.5 and n / 10^q02.5 (95 %).

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x)
        Densities [cm^-3].

    Returns
    -------
    dict
        Lists of equal length, by increasing density: ``log_density``, the mean log10 of the predicted density
        in each bin [dex of cm^-3]; ``q02.5``, ``q16``, ``q50``, ``q84``, ``q97.5`` of log10(predicted / target)
        [dex]; ``count``, its pixels. Bins are 0.1 dex wide, joined with their upper neighbours (the last with
        its lower) until each holds 400 pixels, or a fifth of all where there are fewer than 2000.

    Raises
    ------
    ValueError
        As :func:`polaris_lab.training.metrics.residual`.
    """
    log_predicted, log_target = log_pair(predicted, target)
    valid = np.isfinite(log_predicted)
    density, residual = log_predicted[valid], (log_predicted - log_target)[valid]
    order = np.argsort(density, kind="stable")
    density, residual = density[order], residual[order]
    table: dict[str, list[Any]] = {"log_density": [], **{name: [] for name in QUANTILES}, "count": []}
    for part in _bins(density):
        table["log_density"].append(float(density[part].mean()))
        table["count"].append(part.stop - part.start)
        for name, value in zip(QUANTILES, np.quantile(residual[part], list(QUANTILES.values())), strict=True):
            table[name].append(float(value))
    return table


def _bins(density: np.ndarray) -> list[slice]:
    """Cut sorted logarithms of density into bins that hold enough pixels each."""
    minimum = min(MINIMUM_COUNT, max(1, len(density) // 5))
    edges = np.arange(density[0], density[-1] + BIN_WIDTH_DEX, BIN_WIDTH_DEX)[1:]
    cuts = [0]
    for stop in np.searchsorted(density, edges):
        if stop - cuts[-1] >= minimum:
            cuts.append(int(stop))
    if len(cuts) > 1 and len(density) - cuts[-1] < minimum:
        cuts.pop()
    if cuts[-1] < len(density):
        cuts.append(len(density))
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]
