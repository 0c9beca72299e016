"""The tiles in which a map was predicted, as rectangles on its pixels (report, figure 37)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.table import Table

if TYPE_CHECKING:
    from polaris_lab.observations.predict_work import Work

COLUMNS = ("left", "bottom", "right", "top")
"""Edges of a tile [pixels of the map, 0 in the middle of the first]."""


def tile_outlines(work: Work) -> np.ndarray:
    """Return the windows that the network reads, clipped to the map.

    Parameters
    ----------
    work : Work
        Of :func:`polaris_lab.observations.predict_prepare.prepare`.

    Returns
    -------
    ndarray, shape (tiles, 4)
        left, bottom, right, top [pixels of the map].
    """
    down, across = (1.0, 1.0) if work.grid is None else work.grid.ratio
    height, width = work.observation.shape
    rows = np.array([[tile.origin[0], tile.origin[0] + tile.shape[0]] for tile in work.plan], float) * down
    columns = (
        np.array([[tile.origin[1], tile.origin[1] + tile.shape[1]] for tile in work.plan], float) * across
    )
    rows, columns = np.clip(rows, 0, height) - 0.5, np.clip(columns, 0, width) - 0.5
    return np.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], axis=1)


def add_tiles(path: str | Path, outlines: np.ndarray) -> None:
    """Add outlines to the file of a prediction, as a table TILES."""
    table = Table(np.asarray(outlines, np.float32), names=COLUMNS)
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU(table, name="TILES"))


def read_tiles(path: str | Path) -> np.ndarray | None:
    """Return the outlines that the file of a prediction holds, None if it has none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    with fits.open(path) as hdus:
        if "TILES" not in hdus:
            return None
        data = hdus["TILES"].data
        return np.stack([np.asarray(data[name], float) for name in COLUMNS], axis=1)
