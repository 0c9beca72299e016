"""Where not to trust a prediction: near edges and blanks, and outside what the network has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import distance_transform_cdt

from polaris_lab.observations.prediction import REASONS, Quality

Range = tuple[float, float]


def location_flags(blank: np.ndarray, *, reach: int) -> np.ndarray:
    """Flag the pixels near the edge of a map or a blank pixel.

    Parameters
    ----------
    blank : ndarray of bool, shape (ny, nx)
        True where the map is blank.
    reach : int
        Distance up to which a pixel is near [pixels, the larger of the two coordinates].

    Returns
    -------
    ndarray of int16

    Examples
    --------
    >>> location_flags(np.zeros((5, 5), bool), reach=1)[:2].tolist()
    [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1]]
    """
    flags = np.zeros(blank.shape, np.int16)
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in blank.shape)
    flags[np.minimum(rows[:, None], columns[None, :]) < reach] |= Quality.EDGE
    if blank.any():
        flags[distance_transform_cdt(~blank, metric="chessboard") <= reach] |= Quality.BLANK
    return flags


def range_flags(
    ranges: Mapping[str, Range],
    log_column: np.ndarray,
    log_density: np.ndarray,
    contrast: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Flag the pixels outside the ranges of the training set.

    Parameters
    ----------
    ranges : mapping
        The smallest and largest training value, from the run's validation: "density", and "column_density" or
        "contrast 0", "contrast 1" ...; log10 but for the contrast. What it lacks is not judged.
    log_column, log_density : ndarray, shape (ny, nx)
        log10 of N_H [cm^-2] and of the predicted n_H [cm^-3].
    contrast : sequence of ndarray
        What a scale-equivariant network sees instead of the column density; then this is judged.

    Returns
    -------
    ndarray of int16
    """
    flags = np.zeros(log_column.shape, np.int16)
    seen = {f"contrast {i}": values for i, values in enumerate(contrast)} or {"column_density": log_column}
    for name, values in seen.items():
        flags[_outside(values, ranges.get(name))] |= Quality.COLUMN_RANGE
    flags[_outside(log_density, ranges.get("density"))] |= Quality.DENSITY_RANGE
    return flags


def flags_in_words(quality: np.ndarray, valid: np.ndarray) -> list[str]:
    """Return one sentence for each flag that speaks against a part of the map (not for edges: every map has them)."""
    total = max(int(valid.sum()), 1)
    sentences = []
    for flag in (Quality.COLUMN_RANGE, Quality.DENSITY_RANGE):
        count = int((((quality & int(flag)) != 0) & valid).sum())
        if count:
            sentences.append(f"{count} pixels ({100 * count / total:.2g} %): {REASONS[flag]}")
    return sentences


def _outside(values: np.ndarray, known: Range | None) -> np.ndarray:
    if known is None:
        return np.zeros(values.shape, bool)
    return (values < known[0]) | (values > known[1])
