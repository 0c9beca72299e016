"""The text tables of the Herschel Gould Belt survey: derived and observed core catalogues, in their layouts.

Their columns agree between clouds, but not their layout (tabs or fixed width, core types as words or codes), and in
one of them two pairs of columns are exchanged against its own header. The rows decide: mean densities follow from
mass and radius.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from polaris_lab.observations.cores.catalogue import COLUMNS, CatalogueWarning, finished
from polaris_lab.units import HYDROGEN_MASS, PARSEC, SOLAR_MASS, positive

MASS_PER_H2 = 2.8
"""Gas mass per H2 molecule in m_H with which HGBS turns masses into densities."""

DISTANCES_PC = {
    "perseus": 300.0,
    "orion": 400.0,
    "aquila": 260.0,
    "ophiuchus": 139.0,
    "corona": 130.0,
    "taurus": 140.0,
}
"""Distances that HGBS adopted, by a word of the catalogue's title."""

TYPES = {"0": "tentative", "1": "starless", "2": "prestellar", "3": "protostellar"}

_DERIVED = (
    ("radius", 1.0),
    ("radius_observed", 1.0),
    ("mass", 1.0),
    ("mass_error", 1.0),
    ("temperature", 1.0),
    ("temperature_error", 1.0),
    ("peak_column_density", 1e21),
    ("mean_column_density_observed", 1e21),
    ("mean_column_density", 1e21),
    ("peak_density", 1e4),
    ("mean_density_observed", 1e4),
    ("mean_density", 1e4),
    ("bonnor_ebert_ratio", 1.0),
)
"""Columns 5 to 17 of a derived catalogue in the order of its header, with the unit in which they stand."""

_OBSERVED_FIRST, _OBSERVED_LAST = 5, 63
_OBSERVED = {  # columns of the observed catalogue that are kept, by number
    54: ("significance", 1.0, None),
    55: ("peak_column_density_hires", 1e21, "cm-2"),
    57: ("peak_column_density", 1e21, "cm-2"),
    58: ("background_column_density", 1e21, "cm-2"),
    59: ("major_fwhm", 1.0, "arcsec"),
    60: ("minor_fwhm", 1.0, "arcsec"),
    61: ("position_angle", 1.0, "deg"),
    62: ("significant_bands", 1.0, None),
}

_ROW = re.compile(r"^\s*(\d+)\s+(\S*\d{6}\.\d[+-]\d{6})\s+(\d+:\d+:[\d.]+)\s+([+-]?\d+:\d+:[\d.]+)\s+(.*)$")


def read_hgbs(path: str | Path, *, distance: u.Quantity | None = None) -> Table:
    """Read a core catalogue of the Herschel Gould Belt survey, derived (table A.2) or observed (table A.1).

    Parameters
    ----------
    path : path
        The text file as the survey delivers it, or rows of it.
    distance : Quantity, optional
        The distance for which its sizes and masses hold; by default the one that HGBS adopted, if the title names the
        cloud.

    Returns
    -------
    Table
        Of a derived catalogue the columns of :data:`polaris_lab.observations.cores.catalogue.COLUMNS`; of an observed
        one positions, sizes [arcsec], column densities and type. Densities are of H2. ``meta`` holds distance, species,
        source and notes. ``radius`` is the survey's: the geometric mean of the FWHM sizes, deconvolved from the beam.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If no row is one of HGBS, a row is cut off, mean densities fit neither radius, or the distance is unknown.

    Warns
    -----
    CatalogueWarning
        If the columns of the observed and the deconvolved radius are exchanged against the header.

    References
    ----------
    Könyves et al. 2020 (A&A 635, A34), Pezzuto et al. 2021 (A&A 645, A55).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a core catalogue, got nothing there")
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = [match.groups() for match in map(_ROW.match, text.splitlines()) if match]
    if not rows:
        raise ValueError(
            f"{path}: expected rows of an HGBS catalogue (number, name, RA and Dec in sexagesimal, ...), got none; other "
            "tables are read by read_catalogue"
        )
    title = next((line.strip("| ") for line in text.splitlines() if "TABLE" in line), "HGBS core catalogue")
    distance_pc = _distance(distance, f"{title} {path.stem}", path)
    table = Table(
        {"number": [int(row[0]) for row in rows], "name": [f"HGBS_J{row[1][-15:]}" for row in rows]}
    )
    table["ra"] = [15 * _sexagesimal(row[2]) for row in rows] * u.deg
    table["dec"] = [_sexagesimal(row[3]) for row in rows] * u.deg
    observed = len(rows[0][4].split()) > 30
    notes = _add_observed(table, rows, path) if observed else _add_derived(table, rows, path)
    return finished(table, distance_pc, source=title, notes=notes)


def is_hgbs(path: str | Path) -> bool:
    """Return whether a file holds rows of an HGBS catalogue."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return any(map(_ROW.match, text.splitlines()))


def _add_derived(table: Table, rows: list[tuple[str, ...]], path: Path) -> tuple[str, ...]:
    """Add the columns of a derived catalogue; return what had to be said about them."""
    numbers, types, comments = [], [], []
    for row in rows:
        words = row[4].split()
        if len(words) < len(_DERIVED) + 1:
            raise ValueError(
                f"{path}: expected 19 columns in the row of core {row[0]}, got {len(words) + 4}: the file was cut off"
            )
        numbers.append([_number(word, row[0], path) for word in words[: len(_DERIVED)]])
        kind = words[len(_DERIVED)]
        types.append(TYPES.get(kind, kind))
        comments.append(" ".join(words[len(_DERIVED) + 1 :]))
    values = np.array(numbers)
    for column, (name, unit) in enumerate(_DERIVED):
        factor = COLUMNS[name][0]
        table[name] = values[:, column] * unit * (u.Unit(factor) if factor else u.one)
    table["bonnor_ebert_ratio"] = values[:, -1]
    table["type"], table["comment"] = types, comments
    return _put_in_order(table, path)


def _put_in_order(table: Table, path: Path) -> tuple[str, ...]:
    """Exchange the columns of the two radii where the rows say so (mass over volume), with a warning."""
    mass, usable = np.asarray(table["mass"]), np.asarray(table["mean_density"]) > 0
    usable &= (
        (mass > 0) & (np.asarray(table["mean_density_observed"]) > 0) & (np.asarray(table["radius"]) > 0)
    )
    usable &= np.asarray(table["radius_observed"]) > 1.1 * np.asarray(table["radius"])
    if not usable.any():
        return ("the order of the mean densities could not be checked: no row tells the two radii apart",)
    expected = {
        name: mean_density(mass[usable], np.asarray(table[radius])[usable])
        for name, radius in (("mean_density", "radius"), ("mean_density_observed", "radius_observed"))
    }
    stated = {name: np.asarray(table[name])[usable] for name in expected}
    as_said = max(_misfit(stated[name], expected[name]) for name in expected)
    swapped = max(
        _misfit(stated["mean_density"], expected["mean_density_observed"]),
        _misfit(stated["mean_density_observed"], expected["mean_density"]),
    )
    if min(as_said, swapped) > 0.2:
        raise ValueError(
            f"{path}: expected mean densities M / (4/3 pi R^3 2.8 m_H), got values {10**as_said:.2g} times off for both "
            "radii: is this the derived catalogue, in solar masses, pc and 1e4 cm^-3?"
        )
    if swapped >= as_said:
        return ()
    for name in ("mean_density", "mean_column_density"):
        first, second = table[name].copy(), table[f"{name}_observed"].copy()
        table[name], table[f"{name}_observed"] = second, first
    note = (
        "columns 12/13 and 15/16 were exchanged against the header: the first of each pair goes with the deconvolved "
        f"radius, as mass and radius of {int(usable.sum())} cores show"
    )
    warnings.warn(f"{path}: {note}", CatalogueWarning, stacklevel=4)
    return (note,)


def mean_density(mass_solar: np.ndarray, radius_pc: np.ndarray) -> np.ndarray:
    """Return the mean density of H2 [cm^-3] of spheres, with 2.8 m_H a molecule.

    Examples
    --------
    >>> round(float(mean_density(np.array(1.0), np.array(0.05))))
    27584
    """
    volume = 4 / 3 * np.pi * (np.asarray(radius_pc) * PARSEC) ** 3
    return np.asarray(mass_solar) * SOLAR_MASS / (volume * MASS_PER_H2 * HYDROGEN_MASS)


def _misfit(stated: np.ndarray, expected: np.ndarray) -> float:
    """Return the median distance of two densities [dex]."""
    return float(np.median(np.abs(np.log10(stated / expected))))


def _add_observed(table: Table, rows: list[tuple[str, ...]], path: Path) -> tuple[str, ...]:
    """Add the columns of an observed catalogue that say something about the core."""
    count = _OBSERVED_LAST - _OBSERVED_FIRST + 1
    words = [row[4].split() for row in rows]
    for row, found in zip(rows, words, strict=True):
        if len(found) < count:
            raise ValueError(
                f"{path}: expected {count} columns after the position of core {row[0]}, got {len(found)}: the file was cut off"
            )
    for number, (name, factor, unit) in _OBSERVED.items():
        values = [
            _number(found[number - _OBSERVED_FIRST], row[0], path)
            for row, found in zip(rows, words, strict=True)
        ]
        table[name] = np.array(values) * factor * (u.Unit(unit) if unit else u.one)
    table["type"] = [TYPES.get(found[count - 1], found[count - 1]) for found in words]
    return ()


def _distance(distance: u.Quantity | None, title: str, path: Path) -> float:
    if distance is not None:
        return positive(distance, u.pc, "distance")
    for word, known in DISTANCES_PC.items():
        if word in title.lower():
            return known
    raise ValueError(
        f"{path}: expected the distance for which its masses and radii hold, got a title that names no known cloud; write "
        "for example distance=140 * u.pc"
    )


def _sexagesimal(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    hours, minutes, seconds = (abs(float(part)) for part in text.split(":"))
    return sign * (hours + minutes / 60 + seconds / 3600)


def _number(word: str, row: str, path: Path) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{path}: expected a number in the row of core {row}, got {word!r}") from None
