"""Cores of our own map: the leaves of its dendrogram."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from polaris_lab.observations.cores.catalogue import finished
from polaris_lab.units import (
    HYDROGEN_MASS,
    HYDROGEN_PER_H2,
    MEAN_MASS_PER_HYDROGEN,
    PARSEC,
    SOLAR_MASS,
    positive,
)


def find_cores(
    column_density: np.ndarray,
    wcs: WCS,
    *,
    distance: u.Quantity,
    minimum: u.Quantity,
    contrast: u.Quantity,
    smallest_pixels: int = 9,
    density: np.ndarray | None = None,
) -> Table:
    """Find the leaves of the dendrogram of a column density map.

    Parameters
    ----------
    column_density : ndarray, shape (ny, nx)
        N_H [cm^-2], NaN where blank.
    wcs : WCS
        Celestial coordinates of its pixels.
    distance : Quantity
    minimum, contrast : Quantity
        Lowest N_H of a structure, and how far it must rise above what it merges into [a column density of nuclei].
    smallest_pixels : int
        Pixels of the smallest structure; it should cover a beam.
    density : ndarray, optional
        Mass-weighted density n_H [cm^-3] on the same pixels: its column-weighted mean and highest value are added.

    Returns
    -------
    Table
        The columns of :data:`polaris_lab.observations.cores.catalogue.COLUMNS` that a map gives: position of the peak,
        ``radius`` (of the circle of equal area), ``mass`` above the level at which the core merges, ``mean_density`` of that
        mass in a sphere of that radius [H2], ``peak_column_density`` and ``mean_column_density`` [H2]; and with `density`
        ``predicted_density`` and ``predicted_peak`` [n_H]. Sorted by mass; the index map stands in ``meta["labels"]``.

    Raises
    ------
    ImportError
        If astrodendro is not installed (it comes with the extra "lab").
    ValueError
        If nothing rises above `minimum`, or shapes differ.
    """
    try:
        from astrodendro import Dendrogram
    except ImportError as error:
        raise ImportError(
            "find_cores: expected astrodendro, got none; install it with pip install 'polaris-lab[lab]'"
        ) from error
    from astropy.wcs.utils import proj_plane_pixel_area

    column = np.asarray(column_density, float)
    if density is not None and np.shape(density) != column.shape:
        raise ValueError(
            f"density: expected the shape of the column density {column.shape}, got {np.shape(density)}"
        )
    distance_pc = positive(distance, u.pc, "distance")
    floor, delta = positive(minimum, "cm-2", "minimum"), positive(contrast, "cm-2", "contrast")
    tree = Dendrogram.compute(
        np.where(np.isfinite(column), column, 0.0), min_value=floor, min_delta=delta, min_npix=smallest_pixels
    )
    leaves = list(tree.leaves)
    if not leaves:
        raise ValueError(
            f"minimum: expected structures above {floor:.3g} cm^-2, got none in a map that reaches "
            f"{np.nanmax(column):.3g}; lower minimum, contrast or smallest_pixels"
        )
    pixel_cm = np.sqrt(proj_plane_pixel_area(wcs)) * np.pi / 180 * distance_pc * PARSEC
    labels = np.full(column.shape, -1, np.int32)
    rows = [_describe(leaf, column, pixel_cm, density) for leaf in leaves]
    order = np.argsort([-row["mass"] for row in rows])
    for number, index in enumerate(order):
        labels[leaves[index].indices()] = number
    table = Table(rows=[rows[index] for index in order])
    sky = wcs.pixel_to_world(table["x"], table["y"]).icrs
    table.add_columns([sky.ra.deg * u.deg, sky.dec.deg * u.deg], names=["ra", "dec"], indexes=[0, 0])
    table.add_column(np.arange(len(table)), name="number", index=0)
    table.add_column([f"leaf {number}" for number in range(len(table))], name="name", index=1)
    for name, unit in _UNITS.items():
        if name in table.colnames:
            table[name].unit = unit
    settings = f"minimum {floor:.3g} cm^-2, contrast {delta:.3g} cm^-2, at least {smallest_pixels} pixels"
    table = finished(table, distance_pc, source=f"dendrogram of this map ({settings})")
    table.meta["labels"] = labels
    return table


_UNITS = {
    "radius": "pc",
    "mass": "solMass",
    "peak_column_density": "cm-2",
    "mean_column_density": "cm-2",
    "mean_density": "cm-3",
    "predicted_density": "cm-3",
    "predicted_peak": "cm-3",
}


def _describe(
    leaf: object, column: np.ndarray, pixel_cm: float, density: np.ndarray | None
) -> dict[str, float]:
    """Return one row: what a leaf holds above the level at which it merges."""
    values = column[leaf.indices()]
    base = leaf.parent.height if leaf.parent is not None else values.min()
    y, x = leaf.get_peak()[0]
    area = values.size * pixel_cm**2
    radius = np.sqrt(area / np.pi)
    nuclei = np.clip(values - base, 0, None).sum() * pixel_cm**2
    row = {
        "x": float(x),
        "y": float(y),
        "radius": radius / PARSEC,
        "mass": nuclei * MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS / SOLAR_MASS,
        "peak_column_density": values.max() / HYDROGEN_PER_H2,
        "mean_column_density": values.mean() / HYDROGEN_PER_H2,
        "mean_density": nuclei / (4 / 3 * np.pi * radius**3) / HYDROGEN_PER_H2,
    }
    if density is not None:
        inside = np.asarray(density, float)[leaf.indices()]
        good = np.isfinite(inside)
        row["predicted_density"] = (
            float((inside[good] * values[good]).sum() / values[good].sum()) if good.any() else np.nan
        )
        row["predicted_peak"] = float(inside[good].max()) if good.any() else np.nan
    return row
