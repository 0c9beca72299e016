"""Regions of the sky on a page: from words or a drawn box, as outlines, and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from polaris_lab.observations.places import BOXES
from polaris_lab.observations.region_statistics import RegionStatistics, region_statistics
from polaris_lab.observations.regions import box_region, parse_regions, read_regions
from widgets import workspace

Lines = tuple[list[np.ndarray], list[np.ndarray]]
"""x and y [pixels] of each line."""


def shown(
    text: str, workspace_folder: str | Path, observation: Any, prediction: Any
) -> tuple[RegionStatistics | None, Lines, str]:
    """Return the numbers of the regions that a text means, their outlines, and what was wrong with it."""
    if not text.strip():
        return None, ([], []), ""
    try:
        regions = of_text(text, workspace_folder)
        return region_statistics(observation, prediction, regions), outlines(regions, observation.wcs), ""
    except (ValueError, OSError, TypeError) as error:
        return None, ([], []), str(error)


def of_text(text: str, workspace_folder: str | Path) -> list[Any]:
    """Return the regions that a text means.

    Parameters
    ----------
    text : str
        The words of DS9, the name of a region of the report, or a ``.reg`` file inside the workspace.
    workspace_folder : str or Path

    Raises
    ------
    ValueError, FileNotFoundError
        If it means none.

    Examples
    --------
    >>> type(of_text("L1495", ".")[0]).__name__
    'RectangleSkyRegion'
    """
    words = text.strip()
    if words.lower().endswith(".reg"):
        return list(read_regions(workspace.inside(workspace_folder, words)))
    named = next((name for name in BOXES if name.lower() == words.lower()), None)
    return [box_region(named)] if named else list(parse_regions(words))


def box_words(wcs: Any, first: tuple[float, float], last: tuple[float, float]) -> str:
    """Return a box drawn between two corners [pixels] in the words of DS9: a polygon, true on any map."""
    (x0, y0), (x1, y1) = first, last
    sky = wcs.pixel_to_world(np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1])).icrs
    if not np.isfinite(sky.ra.deg).all():
        raise ValueError("region: expected a box on the sky, got one that reaches beyond the projection")
    numbers = ", ".join(f"{ra:.6f}, {dec:.6f}" for ra, dec in zip(sky.ra.deg, sky.dec.deg, strict=True))
    return f"icrs; polygon({numbers})"


def outlines(regions: list[Any], wcs: Any) -> Lines:
    """Return x and y [pixels] of the lines around regions."""
    xs, ys = [], []
    for region in regions:
        artist = region.to_pixel(wcs).as_artist()
        path = getattr(artist, "get_path", lambda: None)()
        if path is None:
            continue
        for line in artist.get_transform().transform_path(path).to_polygons(closed_only=False):
            xs.append(np.append(line[:, 0], line[0, 0]))
            ys.append(np.append(line[:, 1], line[0, 1]))
    return xs, ys
