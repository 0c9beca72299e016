"""From a map of column density and a classical estimator to a map of density, without an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from polaris_lab.estimators import WITHOUT_TARGET, fit_estimator
from polaris_lab.observations import provenance
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict_inputs import remaining_column
from polaris_lab.observations.prediction import Prediction, Quality
from polaris_lab.observations.quality import location_flags

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

EDGE_REACH = 8
"""Pixels of the map within which an edge or a blank pixel is flagged, as for networks."""

NO_INTERVAL = "A classical estimator states no uncertainty: there is no interval"


def estimate_map(
    observation: Observation, method: str, *, run: Run | None = None, foreground: u.Quantity | None = None
) -> Prediction:
    """Estimate the density behind a map with a classical estimator, on the map's own pixels.

    Parameters
    ----------
    observation : Observation
        The map.
    method : str
        A name of :data:`polaris_lab.estimators.ESTIMATORS`.
    run : Run, optional
        Whose training patches the constants are fitted to, for estimators that have any.
    foreground : Quantity, optional
        N_H that is taken off beforehand.

    Returns
    -------
    Prediction
        Without intervals, and says so.

    Raises
    ------
    ValueError
        If the name is unknown, or its constants need a run and there is none.
    FileNotFoundError
        If the dataset of the run is gone.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.01, 0.01]
    >>> column = 1e21 * (1 + np.hypot(*np.mgrid[:32, :48]) / 32)
    >>> seen = Observation(column, wcs=wcs, distance=140 * u.pc, species="H")
    >>> estimate_map(seen, "constrained_diffusion").lower68 is None
    True
    """
    if method in WITHOUT_TARGET or run is None:
        estimator = fit_estimator(method, observation.column_density, pixel_size_pc=observation.pixel_size_pc)
    else:
        dataset = run.dataset()
        rows = dataset.indices("training")
        pairs = (dataset.read(name, rows) for name in ("column_density", run.target))
        estimator = fit_estimator(method, *pairs, pixel_size_pc=run.pixel_size_pc)
    fitted = method not in WITHOUT_TARGET
    column, lost, told = remaining_column(observation, foreground)
    density = np.asarray(
        estimator(column.astype(np.float64), pixel_size_pc=observation.pixel_size_pc), np.float32
    )
    density[~(density > 0)] = np.nan
    valid = np.isfinite(density)
    quality = np.where(valid, location_flags(~np.isfinite(column), reach=EDGE_REACH), np.int16(0))
    quality = np.where(lost, np.int16(Quality.FOREGROUND), quality)
    taken = None if foreground is None else float(np.median(foreground.to_value(u.cm**-2)))
    return Prediction(
        density=density,
        quality=quality,
        coverage=valid.astype(np.int16),
        wcs=observation.wcs,
        provenance={
            "model": method,
            "target": run.target if fitted and run is not None else "density",
            "dataset_fingerprint": run.dataset_fingerprint if fitted and run is not None else None,
            "foreground_cm2": taken,
            **provenance.of_observation(observation),
        },
        notes=(NO_INTERVAL, *told),
    )
