"""Where not to trust a prediction: near edges and blanks, and outside what the network has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import distance_transform_cdt

from polaris_lab.observations.prediction import REASONS, Quality

Range = tuple[float, float]

TOLD = (Quality.COLUMN_RANGE, Quality.DENSITY_RANGE, Quality.INPUT_RANGE, Quality.UNCERTAIN)
"""Flags that are said in words."""

WIDE_DEX = 2.0
"""Width of a 95 % interval [dex] from which a pixel is flagged."""


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
    return edge_flags(blank.shape, reach=reach) | blank_flags(blank, reach=reach)


def edge_flags(shape: tuple[int, int], *, reach: int, rows: slice = slice(None)) -> np.ndarray:
    """Flag the pixels near the edge of a map, in some of its rows (int16)."""
    down, across = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in shape)
    near = np.minimum(down[rows, None], across[None, :]) < reach
    return np.where(near, Quality.EDGE, 0).astype(np.int16)


def blank_flags(blank: np.ndarray, *, reach: int) -> np.ndarray:
    """Flag the pixels near a blank one (int16)."""
    flags = np.zeros(blank.shape, np.int16)
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
    flags = density_flags(ranges, log_density)
    seen = {f"contrast {i}": values for i, values in enumerate(contrast)} or {"column_density": log_column}
    for name, values in seen.items():
        flags[_outside(values, ranges.get(name))] |= Quality.COLUMN_RANGE
    return flags


def density_flags(ranges: Mapping[str, Range], log_density: np.ndarray) -> np.ndarray:
    """Flag the pixels whose predicted log10 density the training set does not hold (int16)."""
    outside = _outside(log_density, ranges.get("density"))
    return np.where(outside, Quality.DENSITY_RANGE, 0).astype(np.int16)


def interval_flags(log_lower: np.ndarray, log_upper: np.ndarray) -> np.ndarray:
    """Flag the pixels whose 95 % interval is so wide that the value says little (int16).

    Examples
    --------
    >>> interval_flags(np.array([2.0, 2.0]), np.array([3.0, 4.5])).tolist()
    [0, 256]
    """
    with np.errstate(invalid="ignore"):
        wide = log_upper - log_lower >= WIDE_DEX
    return np.where(wide, Quality.UNCERTAIN, 0).astype(np.int16)


def input_flags(ranges: Mapping[str, Range], seen: Mapping[str, np.ndarray]) -> np.ndarray | int:
    """Flag the pixels where an input beside the column density is outside the training set's.

    Parameters
    ----------
    ranges : mapping
        As for :func:`range_flags`.
    seen : mapping of ndarray, shape (ny, nx) or (channels, ny, nx)
        The inputs as the network sees them; blank pixels are not judged.
    """
    flags: np.ndarray | int = 0
    for name, values in seen.items():
        outside = _outside(values, ranges.get(name))
        outside = outside.any(axis=0) if outside.ndim == 3 else outside
        flags = flags | np.where(outside, np.int16(Quality.INPUT_RANGE), np.int16(0))
    return flags


def flag_counts(quality: np.ndarray, valid: np.ndarray) -> dict[Quality, int]:
    """Return how many valid pixels carry each flag that :func:`flags_in_words` tells of."""
    return {flag: int((((quality & int(flag)) != 0) & valid).sum()) for flag in TOLD}


def flags_in_words(quality: np.ndarray, valid: np.ndarray) -> list[str]:
    """Return one sentence for each flag that speaks against a part of the map (not for edges: every map has them)."""
    return counts_in_words(flag_counts(quality, valid), int(valid.sum()))


def counts_in_words(counts: Mapping[Quality, int], total: int) -> list[str]:
    """Return the same from the counts of the flags and of the valid pixels."""
    return [
        f"{count} pixels ({100 * count / max(total, 1):.2g} %): {REASONS[flag]}"
        for flag, count in counts.items()
        if count
    ]


def _outside(values: np.ndarray, known: Range | None) -> np.ndarray:
    if known is None:
        return np.zeros(values.shape, bool)
    return (values < known[0]) | (values > known[1])
