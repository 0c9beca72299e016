"""Where not to trust a prediction: near edges and blanks, and outside what the network has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt

from polaris_lab.observations.prediction import REASONS, Quality

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run

Range = tuple[float, float]

SAMPLE = 500
"""Training patches, evenly spread over the set, that are read to learn its ranges."""


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
        From :func:`training_ranges`; what it lacks is not judged.
    log_column, log_density : ndarray, shape (ny, nx)
        log10 of N_H [cm^-2] and of the predicted n_H [cm^-3].
    contrast : sequence of ndarray
        What a scale-equivariant network sees instead of the column density; then this is judged.

    Returns
    -------
    ndarray of int16
    """
    flags = np.zeros(log_column.shape, np.int16)
    seen = {f"contrast {i}": values for i, values in enumerate(contrast)} or {"column": log_column}
    for name, values in seen.items():
        flags[_outside(values, ranges.get(name))] |= Quality.COLUMN_RANGE
    flags[_outside(log_density, ranges.get("density"))] |= Quality.DENSITY_RANGE
    return flags


def training_ranges(run: Run, model: BlueprintModel) -> dict[str, Range]:
    """Return the smallest and largest values that the network was trained on.

    Parameters
    ----------
    run : Run
        Its training set is read where it is at hand; else only the densities of its validation are known.
    model : BlueprintModel
        Its network.

    Returns
    -------
    dict
        "density", and "column" or "contrast 0", "contrast 1" ...; log10 but for the contrast.
    """
    try:
        dataset = run.dataset()
    except (FileNotFoundError, ValueError):  # moved or changed: the run predicts without it
        centres = run.validation()["calibration"]["log_density"]
        return {"density": (centres[0] - 0.1, centres[-1] + 0.1)}
    rows = dataset.indices("training")
    rows = rows[:: max(1, len(rows) // SAMPLE)]
    column = np.log10(dataset.read("column_density", rows))
    target = dataset.read(run.target, rows)
    ranges = {"density": _extent(np.log10(target)), "column": _extent(column)}
    with torch.inference_mode():
        for number, block in enumerate(contrast_blocks(model)):
            parts = torch.from_numpy(column[:, None]).split(64)  # (n, 1, y, x)
            ranges[f"contrast {number}"] = _extent(np.concatenate([block(part).numpy() for part in parts]))
    return ranges


def contrast_blocks(model: BlueprintModel) -> list[torch.nn.Module]:
    """Return the blocks that form the contrast of the column density: log N_H over its local mean."""
    return [model.nodes[node.name] for node in model.blueprint.nodes if node.block == "local_contrast"]


def flags_in_words(quality: np.ndarray, valid: np.ndarray) -> list[str]:
    """Return one sentence for each flag that speaks against a part of the map (not for edges: every map has them)."""
    total = max(int(valid.sum()), 1)
    sentences = []
    for flag in (Quality.COLUMN_RANGE, Quality.DENSITY_RANGE):
        count = int((((quality & int(flag)) != 0) & valid).sum())
        if count:
            sentences.append(f"{count} pixels ({100 * count / total:.2g} %): {REASONS[flag]}")
    return sentences


def _extent(values: np.ndarray) -> Range:
    return float(np.nanmin(values)), float(np.nanmax(values))


def _outside(values: np.ndarray, known: Range | None) -> np.ndarray:
    if known is None:
        return np.zeros(values.shape, bool)
    return (values < known[0]) | (values > known[1])
