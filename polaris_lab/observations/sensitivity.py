"""How much a prediction hangs on what the map does not show: a foreground, and the depth of the cloud."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict import as_runs, predict_density
from polaris_lab.observations.predict_inputs import remaining_column

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

FOREGROUND_UNIT = 1e21
"""N_H [cm^-2] of foreground that the sensitivity is given for."""

STEP_SHARE = 0.02
"""Step of the foreground, as a share of the column density behind it that 95 % of the pixels exceed."""

DEPTH_STEP = 0.05
"""Step of the depth to either side [dex]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sensitivity:
    """Change of log10 of the density with what is assumed, pixel by pixel.

    Attributes
    ----------
    foreground : ndarray, shape (ny, nx)
        d log10 n / d foreground [dex for N_H = 1e21 cm^-2]; NaN where the map is blank.
    depth : ndarray, shape (ny, nx), or None
        d log10 n / d log10 depth; None for networks that are not told the depth.
    """

    foreground: np.ndarray
    depth: np.ndarray | None

    def __repr__(self) -> str:
        """Say the medians."""
        parts = [f"foreground {np.nanmedian(self.foreground):.2g} dex for N_H = 1e21 cm^-2"]
        if self.depth is not None:
            parts.append(f"depth {np.nanmedian(self.depth):.2g} dex a dex")
        return f"Sensitivity(medians: {', '.join(parts)})"


def sensitivity(
    run: Run | Sequence[Run],
    observation: Observation,
    *,
    depth: u.Quantity | None = None,
    foreground: u.Quantity | None = None,
    **choices: Any,
) -> Sensitivity:
    """Return how much a prediction changes with the foreground and the depth that are assumed.

    Finite differences: a foreground a little larger than the one given (or none), and a depth 0.05 dex to either
    side. Two predictions, or four where the network takes the depth.

    Parameters
    ----------
    run, observation, foreground
        As for :func:`~polaris_lab.observations.predict.predict_density`.
    depth : Quantity, optional
        About which the depth is varied; by default where the map is as deep as it is wide (the square root of its
        area), for want of a better guess.
    **choices
        Others of that function: tile, overlap, average_symmetries.

    Returns
    -------
    Sensitivity

    Raises
    ------
    ValueError, TypeError
        As that function.
    """
    choices = {"compare": False, "progress": False, **choices}
    runs = as_runs(run)
    told = any("depth" in each.blueprint.inputs for each in runs)
    if depth is None and told:
        rows, columns = observation.shape
        depth = np.sqrt(rows * columns) * observation.pixel_size_pc * u.pc
    if depth is not None:
        choices["depth"] = depth  # refused, with the reason, where no network takes it
    step = _step(observation, foreground)
    before = 0.0 / u.cm**2 if foreground is None else foreground
    low, high = (
        _log_density(runs, observation, foreground=before + extra / u.cm**2, **choices)
        for extra in (0.0, step)
    )
    by_foreground = (high - low) / (step / FOREGROUND_UNIT)
    if not told:
        return Sensitivity(by_foreground, None)
    near, far = (
        _log_density(
            runs,
            observation,
            foreground=foreground,
            **{**choices, "depth": depth * 10 ** (sign * DEPTH_STEP)},
        )
        for sign in (-1, 1)
    )
    return Sensitivity(by_foreground, (far - near) / (2 * DEPTH_STEP))


def _step(observation: Observation, foreground: u.Quantity | None) -> float:
    """Return a small foreground [cm^-2] that hardly takes anything of nearly every pixel."""
    column, _, _ = remaining_column(observation, foreground)
    return STEP_SHARE * float(np.nanpercentile(column, 5))


def _log_density(runs: Sequence[Run], observation: Observation, **choices: Any) -> np.ndarray:
    return np.log10(predict_density(runs, observation, **choices).density.astype(np.float64))
