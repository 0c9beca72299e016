"""Densities of nearby clouds from the literature, and a prediction beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from polaris_lab.config import did_you_mean
from polaris_lab.units import HYDROGEN_PER_H2

if TYPE_CHECKING:
    from polaris_lab.observations.prediction import Prediction


@dataclasses.dataclass(frozen=True)
class LiteratureDensity:
    """One published density.

    Attributes
    ----------
    cloud : str
    value : float
        As published [cm^-3].
    species : {"H", "H2"}
        What it counts.
    distance_pc : float or None
        For which distance it holds, where it depends on one.
    definition : str
        What density of what gas, in words.
    kind : {"diffuse", "dense", "filament", "core"}
        What of a map it is compared with.
    reference : str
    note : str
    """

    cloud: str
    value: float
    species: str
    distance_pc: float | None
    definition: str
    kind: str
    reference: str
    note: str = ""

    def nuclei(self, distance_pc: float | None = None) -> float:
        """Return n_H [cm^-3], moved to another distance (n as 1/d) where it depends on one."""
        value = self.value * (HYDROGEN_PER_H2 if self.species == "H2" else 1.0)
        if distance_pc is not None and self.distance_pc is not None:
            value *= self.distance_pc / distance_pc
        return value


_REPORT = "Ribeiro 2025, report of this project (U-Net trained on ORION)"
_XU = "Xu et al. 2023 (ApJ 950, 146)"
_GACHES = "Gaches & Grudic 2025 (A&A 696, A20)"

LITERATURE = (
    LiteratureDensity("Taurus L1495", 7.5e4, "H", 140.0, "central density of the filament's radial profile", "filament", "Palmeirim et al. 2013 (A&A 550, A38)", "nuclei as the report quotes it"),
    LiteratureDensity("Taurus L1495", 1.8e4, "H2", None, "mean density from cyanoacetylene lines", "filament", "Li & Goldsmith 2012 (ApJ 756, 12)", "excitation: does not depend on the distance"),
    LiteratureDensity("Taurus L1495", 4.7e4, "H", 140.0, "mass-weighted density of the line of sight", "filament", _XU),
    LiteratureDensity("Taurus L1495", 2e3, "H", 140.0, "turbulent component, diffuse regions", "diffuse", _GACHES),
    LiteratureDensity("Taurus L1495", 1e5, "H", 140.0, "gravitational component, filament", "dense", _GACHES),
    LiteratureDensity("Taurus L1495", 1e5, "H", 140.0, "highest mass-weighted density", "dense", _REPORT),
    LiteratureDensity("Taurus L1495", 2e4, "H", 140.0, "mass-weighted density on the filament", "filament", _REPORT),
    LiteratureDensity("Taurus L1495", 50.0, "H", 140.0, "median mass-weighted density", "diffuse", _REPORT),
    LiteratureDensity("Polaris", 5e4, "H", 150.0, "mean density of five cores of radius 0.03 pc", "core", "Ward-Thompson et al. 2010 (A&A 518, L92)", "nuclei as the report quotes it"),
    LiteratureDensity("Polaris", 1e2, "H", 150.0, "turbulent component", "diffuse", _GACHES),
    LiteratureDensity("Polaris", 3e3, "H", 150.0, "gravitational component, up to a few 1e3", "dense", _GACHES),
    LiteratureDensity("Polaris", 30.0, "H", 150.0, "diffuse mass-weighted density", "diffuse", _REPORT, "the report calls it wrong"),
    LiteratureDensity("Polaris", 3e2, "H", 150.0, "highest mass-weighted density", "dense", _REPORT, "the report calls it wrong"),
    LiteratureDensity("Orion A", 50.0, "H", 414.0, "diffuse mass-weighted density", "diffuse", _REPORT),
    LiteratureDensity("Orion A", 3e5, "H", 414.0, "highest mass-weighted density", "dense", _REPORT),
    LiteratureDensity("Orion B", 50.0, "H", 400.0, "diffuse mass-weighted density", "diffuse", _REPORT),
    LiteratureDensity("Orion B", 2.5e6, "H", 400.0, "highest mass-weighted density", "dense", _REPORT),
)  # fmt: skip
"""Values that the report compares with, and its own. Distances are those for which the values were derived; where a
paper's species is not known for sure the note says so."""

KINDS = {
    "diffuse": ("median over the map", lambda density: float(np.nanmedian(density))),
    "filament": (
        "median of the densest 1 % of the map",
        lambda density: float(np.nanmedian(density[density >= np.nanquantile(density, 0.99)])),
    ),
    "dense": ("0.999 quantile of the map", lambda density: float(np.nanquantile(density, 0.999))),
    "core": ("0.999 quantile of the map", lambda density: float(np.nanquantile(density, 0.999))),
}
"""What of a map stands beside a published value of each kind."""


@dataclasses.dataclass(frozen=True)
class LiteratureComparison:
    """A prediction beside published values, one row each.

    Attributes
    ----------
    cloud : str
    distance_pc : float
    rows : tuple
        (LiteratureDensity, n_H at this distance, predicted n_H, difference [dex], what was taken of the map).
    """

    cloud: str
    distance_pc: float
    rows: tuple[tuple[LiteratureDensity, float, float, float, str], ...]

    def records(self) -> list[dict[str, float | str]]:
        """Return the rows as JSON values."""
        return [
            {
                "published_cm-3": published,
                "predicted_cm-3": predicted,
                "difference_dex": difference,
                "definition": entry.definition,
                "of_the_map": taken,
                "reference": entry.reference,
            }
            for entry, published, predicted, difference, taken in self.rows
        ]

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows as text, in the order of :attr:`head`."""
        return [
            (
                f"{published:.3g}",
                f"{predicted:.3g}",
                f"{difference:+.2f}",
                entry.definition,
                taken,
                entry.reference,
            )
            for entry, published, predicted, difference, taken in self.rows
        ]

    head: ClassVar = ("published n_H [cm^-3]", "predicted", "dex", "definition", "of the map", "reference")

    def __str__(self) -> str:
        """Return the table as text."""
        rows = [self.head, *self.cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.head))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return "\n".join([f"{self.cloud} at {self.distance_pc:g} pc", *lines])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.cells()
        )
        title = f"{escape(self.cloud)} at {self.distance_pc:g} pc"
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def clouds() -> tuple[str, ...]:
    """Return the clouds of which there are published densities."""
    return tuple(sorted({entry.cloud for entry in LITERATURE}))


def published(cloud: str) -> tuple[LiteratureDensity, ...]:
    """Return the published densities of a cloud.

    Raises
    ------
    ValueError
        If none is known ("did you mean").

    Examples
    --------
    >>> [entry.nuclei() for entry in published("Polaris") if entry.kind == "core"]
    [50000.0]
    """
    found = tuple(entry for entry in LITERATURE if entry.cloud.lower() == str(cloud).lower())
    if not found:
        raise ValueError(f"cloud: unknown name {cloud!r}: {did_you_mean(str(cloud), clouds())}")
    return found


def compare_with_literature(
    density: np.ndarray | Prediction,
    cloud: str,
    *,
    distance_pc: float | None = None,
    entries: Sequence[LiteratureDensity] | None = None,
) -> LiteratureComparison:
    """Put a predicted density map beside what has been published of the cloud.

    Published values count nuclei (H2 doubled) and are moved to the distance of the map (n as 1/d).

    Parameters
    ----------
    density : Prediction or ndarray, shape (ny, nx)
        n_H [cm^-3], NaN where blank.
    cloud : str
        A name of :func:`clouds`.
    distance_pc : float, optional
        Of the prediction [pc]; by default the one that a `Prediction` states.
    entries : sequence of LiteratureDensity, optional
        Other values than those of :data:`LITERATURE`.

    Returns
    -------
    LiteratureComparison

    Raises
    ------
    ValueError
        If the cloud is unknown, the map has no valid pixel, or the distance is not positive.
    """
    from polaris_lab.observations.prediction import Prediction

    if isinstance(density, Prediction):
        distance_pc = density.provenance.get("distance_pc") if distance_pc is None else distance_pc
        density = density.density
    if distance_pc is None:
        raise ValueError(
            "distance_pc: expected that of the map [pc], got none; write for example distance_pc=140.0"
        )
    density = np.asarray(density, float)
    if not np.isfinite(density).any():
        raise ValueError("density: expected at least one valid pixel, got none")
    if not distance_pc > 0:
        raise ValueError(f"distance_pc: expected a positive number of parsecs, got {distance_pc}")
    rows = []
    for entry in published(cloud) if entries is None else entries:
        taken, function = KINDS[entry.kind]
        value, predicted = entry.nuclei(distance_pc), function(density[np.isfinite(density)])
        rows.append((entry, value, predicted, float(np.log10(predicted / value)), taken))
    return LiteratureComparison(cloud, float(distance_pc), tuple(rows))
