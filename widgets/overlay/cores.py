"""Cores on a map, with what catalogue and prediction say of each."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from polaris_lab.observations.cores import CatalogueWarning, core_errors
from polaris_lab.observations.cores.catalogue import pixel_positions
from polaris_lab.observations.cores.errors import GAUSSIAN_PROFILE
from polaris_lab.units import HYDROGEN_PER_H2
from widgets.overlay.figures import CORE_COLUMNS
from widgets.overlay.words import power, sky_words


class PlacedCores:
    """The cores of a catalogue that lie on a map.

    Parameters
    ----------
    catalogue : Table or None
        Of :mod:`polaris_lab.observations.cores`.
    observation, prediction
        On the same pixels.

    Attributes
    ----------
    columns : dict
        By the names of :data:`widgets.overlay.figures.CORE_COLUMNS`.
    errors : CoreErrors or None
        None where nothing can be compared.
    words : str
        How many, and what was compared with what, or why not.
    """

    def __init__(self, catalogue: Any, observation: Any, prediction: Any):
        self.columns: dict[str, Any] = {name: [] for name in CORE_COLUMNS}
        self.errors: Any = None
        self.words = ""
        if catalogue is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CatalogueWarning)  # how many lie outside is said below
            x, y, inside = pixel_positions(catalogue, observation.wcs, observation.shape)
            rows = np.flatnonzero(inside)
            self.words = f"{len(rows)} of {len(catalogue)} cores lie on the map. "
            self._compare(catalogue, observation, prediction)
        self._fill(catalogue[rows], x[rows], y[rows], observation, prediction)

    def _compare(self, catalogue: Any, observation: Any, prediction: Any) -> None:
        if not np.isfinite(prediction.density).any():
            self.words += "No errors: the map has no prediction yet."
            return
        try:
            self.errors = core_errors(
                prediction.density, observation.column_density, observation.wcs, catalogue
            )
        except (ValueError, KeyError) as error:
            self.words += f"No errors: {error}"
        else:
            found = self.errors
            self.words += f"Median error {found.bias_dex:+.2f} dex, scatter {found.scatter_dex:.2f} dex ({found.definition})."

    def _fill(self, catalogue: Any, x: np.ndarray, y: np.ndarray, observation: Any, prediction: Any) -> None:
        iy, ix = np.rint(y).astype(int), np.rint(x).astype(int)
        stated = np.full(len(x), np.nan)
        if "mean_density" in catalogue.colnames:
            stated = np.asarray(catalogue["mean_density"], float) * HYDROGEN_PER_H2 * GAUSSIAN_PROFILE
        predicted = prediction.density[iy, ix].astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.log10(predicted / np.where(stated > 0, stated, np.nan))
        names = catalogue["name"] if "name" in catalogue.colnames else [f"core {i}" for i in range(len(x))]
        places = zip(np.asarray(catalogue["ra"], float), np.asarray(catalogue["dec"], float), strict=True)
        self.columns = {
            "x": x,
            "y": y,
            "name": [str(name) for name in names],
            "sky": [sky_words(ra, dec) for ra, dec in places],
            "column": observation.column_density[iy, ix].astype(float),
            "predicted": predicted,
            "catalogue": [power(value) if value > 0 else "–" for value in stated],
            "error": [f"{value:+.2f}" if np.isfinite(value) else "–" for value in error],
        }
