"""The 68 % and 95 % intervals of a prediction: from the network's own distribution, or from its validation errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from polaris_lab.config import read_json

if TYPE_CHECKING:
    from polaris_lab.models.heads import Head
    from polaris_lab.training.run import Run

log = logging.getLogger(__name__)

ENDS = {"lower95": 0.025, "lower68": 0.16, "upper68": 0.84, "upper95": 0.975}
"""The maps of an interval and the quantile that each stands for."""

RESIDUALS = {"lower95": "q97.5", "lower68": "q84", "upper68": "q16", "upper95": "q02.5"}
"""The quantile of log10(predicted / true) that gives each end: an over-estimate speaks for a lower truth."""

RECALIBRATION = "recalibration.json"
"""File in the folder of a run with ``levels`` and ``probits``: where the quantiles of its distribution really stand."""


def residual_table(run: Run) -> Mapping[str, np.ndarray]:
    """Return the table of validation residuals of a run, or say how to get it.

    Raises
    ------
    ValueError
        If it has not been validated.
    """
    try:
        table = run.validation()["calibration"]
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f"run: expected validation residuals for the intervals, got none ({error}); call run.validate() once, which "
            "measures them on the validation patches"
        ) from error
    return {name: np.asarray(values, dtype=float) for name, values in table.items()}


def stated_levels(run: Run, head: Head) -> tuple[tuple[float, ...], str]:
    """Return the levels at which a head is asked for the ends of the intervals, and a note on them.

    Returns
    -------
    levels : tuple of float
        In the order of :data:`ENDS`; empty for a head that says nothing of its error.
    note : str
        Where the interval comes from.

    Raises
    ------
    ValueError
        If the recalibration of the run is damaged.
    """
    if head.kind == "point":
        return (), "The intervals are the errors on validation patches predicted at the same density"
    stated = "Gaussian" if head.kind == "gaussian" else "quantiles"
    found = _recalibration(run)
    if found is None:
        return tuple(ENDS.values()), (
            f"The intervals are the network's own ({stated}), not compared with validation errors: "
            "polaris_lab.training.recalibration.recalibrate(run) does so"
        )
    levels, probits = found
    wanted = np.interp(list(ENDS.values()), levels, probits)
    places = np.clip(special.ndtr(wanted), 1e-12, 1 - 1e-12)
    return tuple(map(float, places)), (
        f"The intervals are the network's own ({stated}), brought to the frequencies of the validation patches"
    )


def _recalibration(run: Run) -> tuple[np.ndarray, np.ndarray] | None:
    """Return levels and probits of a run's recalibration, None where it has none."""
    path = Path(run.path) / RECALIBRATION if getattr(run, "path", None) is not None else None
    if path is None or not path.exists():
        return None
    try:
        data = read_json(path)
        levels, probits = (np.asarray(data[name], float) for name in ("levels", "probits"))
        if levels.shape != probits.shape or len(levels) < 2 or not (np.diff(levels) > 0).all():
            raise ValueError(f"{levels.shape} levels and {probits.shape} probits")
        if not np.isfinite(probits).all() or (np.diff(probits) < 0).any():
            raise ValueError("probits that do not increase")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected increasing levels and their probits, got {error}; call recalibrate(run) again"
        ) from error
    return levels, probits


def log_ends(
    log_density: np.ndarray,
    answers: Mapping[str, np.ndarray],
    tables: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Return log10 of the ends of the intervals.

    Parameters
    ----------
    log_density : ndarray
        log10 of the predicted density.
    answers : mapping
        What the networks said: under the names of :data:`ENDS` the distance of each end to the value [dex] where
        they have a distribution, and under "spread" the standard deviation between them [dex].
    tables : sequence of mapping
        Validation residuals (:func:`residual_table`) of each network without a distribution; beyond the ends of a
        table its last quantiles are kept, between them they are interpolated, and several tables are averaged in square.

    Returns
    -------
    dict
        By the names of :data:`ENDS`. A spread widens them in square. They always hold the value itself, also where
        the validation set shows a bias larger than the scatter.

    Examples
    --------
    >>> ends = log_ends(np.array([3.0]), {"lower68": np.array([-0.3]), "spread": np.array([0.4])} |
    ...     {name: np.array([0.0]) for name in ("lower95", "upper68", "upper95")}, [])
    >>> round(float(ends["lower68"][0]), 2)
    2.5
    """
    spread = answers.get("spread")
    ends = {}
    for name, level in ENDS.items():
        sign = -1.0 if name.startswith("lower") else 1.0
        if name in answers:
            width = np.maximum(sign * answers[name], 0.0)
        else:
            widths = [_width(log_density, table, name, sign) for table in tables]
            width = widths[0] if len(widths) == 1 else np.sqrt(np.mean(np.square(widths), axis=0))
        if spread is not None:
            width = np.hypot(width, abs(special.ndtri(level)) * spread)
        ends[name] = log_density + (sign * width).astype(log_density.dtype)
    return ends


def _width(log_density: np.ndarray, table: Mapping[str, np.ndarray], name: str, sign: float) -> np.ndarray:
    shift = -np.interp(log_density, table["log_density"], table[RESIDUALS[name]])
    return np.maximum(sign * shift, 0.0)
