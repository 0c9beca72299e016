"""What several metrics need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BIN_WIDTH_DEX = 0.25
"""Width of the density bins when none are given [dex]."""


def pearson(log_predicted: np.ndarray, log_target: np.ndarray) -> float:
    """Return Pearson's coefficient of two arrays with equal NaN, itself NaN if one does not vary."""
    valid = np.isfinite(log_predicted)
    x, y = log_predicted[valid], log_target[valid]
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float(np.clip((x * y).sum() / scale, -1.0, 1.0)) if scale > 1e-12 * x.size else np.nan


def mean_of_valid(values: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Return the mean of what is not NaN; NaN (without a warning) where nothing is."""
    valid = np.isfinite(values)
    count = valid.sum(axis=axis)
    total = np.where(valid, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def log_column(column_density: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return log10 of column densities [cm^-2] in float64, NaN where unknown.

    Raises
    ------
    ValueError
        If the shape is not that of the densities, or a value is zero, negative or infinite.
    """
    column = np.array(column_density, dtype=np.float64)
    column = column[None] if column.ndim == 2 else column
    if column.shape != shape:
        raise ValueError(f"column_density: expected the shape of the densities {shape}, got {column.shape}")
    bad = (column <= 0) | np.isinf(column)
    if bad.any():
        raise ValueError(
            f"column_density: expected positive finite values in cm^-2 (NaN where unknown), got {column[bad][0]:g}"
        )
    return np.log10(column)


def log_edges(log_density: np.ndarray, bins: int | Sequence[float] | None) -> np.ndarray:
    """Return bin edges in log10."""
    low, high = float(log_density.min()), float(log_density.max())
    if bins is None:
        first = np.floor(low / BIN_WIDTH_DEX)
        last = max(np.ceil(high / BIN_WIDTH_DEX), first + 1)
        return BIN_WIDTH_DEX * np.arange(first, last + 1)
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise ValueError(f"bins: expected at least 1, got {bins}")
        return np.linspace(low, high if high > low else low + BIN_WIDTH_DEX, int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (edges > 0).all() or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins: expected two or more increasing positive densities in cm^-3, got {bins}")
    return np.log10(edges)
