"""Catalogues of dense cores as tables with units, and moving them to another distance.

Every catalogue is an :class:`astropy.table.Table` with the columns of :data:`COLUMNS` (those that it has), densities
of H2 molecules as the surveys give them, and in its ``meta`` the distance, the species, the source and notes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from polaris_lab.config import did_you_mean
from polaris_lab.units import positive

COLUMNS = {
    "number": (None, 0),
    "name": (None, 0),
    "ra": ("deg", 0),
    "dec": ("deg", 0),
    "radius": ("pc", 1),
    "radius_observed": ("pc", 1),
    "mass": ("solMass", 2),
    "mass_error": ("solMass", 2),
    "temperature": ("K", 0),
    "temperature_error": ("K", 0),
    "peak_column_density": ("cm-2", 0),
    "mean_column_density": ("cm-2", 0),
    "mean_column_density_observed": ("cm-2", 0),
    "peak_density": ("cm-3", -1),
    "mean_density": ("cm-3", -1),
    "mean_density_observed": ("cm-3", -1),
    "bonnor_ebert_ratio": (None, -1),
    "type": (None, 0),
    "comment": (None, 0),
}
"""Unit of each column, and the power of the distance with which it goes (column densities do not; the Bonnor-Ebert
ratio M_BE/M goes as R/M)."""

_SUBSET = {  # the names of a retyped HGBS table: what they are called here, and in which unit they stand
    "ra_deg": ("ra", 1.0),
    "dec_deg": ("dec", 1.0),
    "R_deconv_pc": ("radius", 1.0),
    "R_obs_pc": ("radius_observed", 1.0),
    "M_Msun": ("mass", 1.0),
    "e_M_Msun": ("mass_error", 1.0),
    "Tdust_K": ("temperature", 1.0),
    "e_Tdust_K": ("temperature_error", 1.0),
    "NH2_peak_1e21cm2": ("peak_column_density", 1e21),
    "NH2_ave_deconv_1e21cm2": ("mean_column_density", 1e21),
    "NH2_ave_obs_1e21cm2": ("mean_column_density_observed", 1e21),
    "nH2_peak_1e4cm3": ("peak_density", 1e4),
    "nH2_ave_deconv_1e4cm3": ("mean_density", 1e4),
    "nH2_ave_obs_1e4cm3": ("mean_density_observed", 1e4),
    "alpha_BE": ("bonnor_ebert_ratio", 1.0),
}


class CatalogueWarning(UserWarning):
    """Something in a catalogue is not as its header says, or rows were left out."""


def read_catalogue(
    path: str | Path,
    *,
    distance: u.Quantity | None = None,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str | u.UnitBase] | None = None,
    source: str = "",
    **reading: object,
) -> Table:
    """Read a catalogue from a table file that astropy understands (CSV, ECSV, FITS, VOTable ...).

    Parameters
    ----------
    path : path
    distance : Quantity, optional
        The distance for which its sizes, masses and densities hold; by default ``distance_pc`` in its meta.
    columns : mapping, optional
        Our name of a column (see :data:`COLUMNS`) to that of the file, where they differ.
    units : mapping, optional
        Unit of a column by our name, where the file does not state it; else that of :data:`COLUMNS` is taken for plain
        numbers.
    source : str
        What to cite.
    **reading
        For :meth:`astropy.table.Table.read`, such as ``format="ascii.csv"``.

    Returns
    -------
    Table
        Densities are of H2, as in the file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or it is no table; if it has no positions; if a column asked for is not there.
    UnitsError
        If a unit does not convert.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a catalogue of cores, got nothing there")
    try:
        raw = Table.read(path, **reading)
    except Exception as error:
        raise ValueError(
            f"{path}: expected a table (CSV, ECSV, FITS, VOTable), got none ({error}); name its format, for example "
            'format="ascii.csv"; HGBS text tables are read by read_hgbs'
        ) from error
    if distance is None:
        distance = _stated_distance(raw, path)
    return from_columns(raw, distance=distance, columns=columns, units=units, where=str(path), source=source)


def _stated_distance(raw: Table, path: Path) -> u.Quantity:
    """Return the distance that a table states in its meta."""
    known = {str(key).lower(): value for key, value in raw.meta.items()}
    try:
        return float(known["distance_pc"]) * u.pc
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path}: expected the distance for which its masses and radii hold, got none in the table; write for example "
            'distance=300 * u.pc (in the shell --core-distance "300 pc")'
        ) from None


def from_columns(
    raw: Table,
    *,
    distance: u.Quantity,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str | u.UnitBase] | None = None,
    where: str = "catalogue",
    source: str = "",
) -> Table:
    """Return a table with our names and units (errors as :func:`read_catalogue`)."""
    distance_pc = positive(distance, u.pc, "distance")
    columns, units = dict(columns or {}), dict(units or {})
    for name in [*columns, *units]:
        if name not in COLUMNS:
            raise ValueError(f"{where}: unknown column {name!r}: {did_you_mean(name, list(COLUMNS))}")
    table = Table()
    factors = dict(_SUBSET.values())
    subset = {ours: theirs for theirs, (ours, _) in _SUBSET.items() if theirs in raw.colnames}
    spelled = {theirs.lower(): theirs for theirs in reversed(raw.colnames)}  # RA and DEC are ra and dec
    for name, (unit, _) in COLUMNS.items():
        theirs = columns.get(name, subset.get(name, spelled.get(name, name)))
        if theirs not in raw.colnames:
            if name in columns:
                raise ValueError(
                    f"{where}: expected a column {theirs!r} for {name}, got none: {did_you_mean(theirs, raw.colnames)}"
                )
            continue
        if unit is None:
            table[name] = raw[theirs]
            continue
        given = units.get(name) or raw[theirs].unit or unit
        try:
            values = np.ma.filled(np.ma.asarray(raw[theirs], dtype=float), np.nan)
        except ValueError as error:
            raise ValueError(
                f"{where}: expected numbers in the column {theirs!r} ({name}), got {error}; write positions in degrees"
            ) from error
        scale = factors[name] if name not in columns and name in subset else 1.0
        table[name] = (values * scale * u.Unit(given)).to(unit)
    notes = _from_galactic(table, raw) if not {"ra", "dec"} & set(table.colnames) else ()
    if "name" not in table.colnames:
        table.add_column([f"core {row + 1}" for row in range(len(table))], name="name", index=0)
    for name in ("ra", "dec"):
        if name not in table.colnames:
            raise ValueError(
                f"{where}: expected positions, got no column {name!r}; say what it is called, for example "
                f'columns={{"{name}": "RAJ2000"}}; the file has {", ".join(raw.colnames)}'
            )
    return finished(table, distance_pc, source=source, notes=notes)


def _from_galactic(table: Table, raw: Table) -> tuple[str, ...]:
    """Add right ascension and declination where a table has galactic coordinates [deg] only; say so."""
    from astropy.coordinates import SkyCoord

    known = {name.lower().strip("_"): name for name in raw.colnames}
    pair = next(
        (names for names in (("glon", "glat"), ("l", "b")) if all(name in known for name in names)), None
    )
    if pair is None:
        return ()
    longitude, latitude = (np.ma.filled(np.ma.asarray(raw[known[name]], float), np.nan) for name in pair)
    if not (np.isfinite(longitude) & (np.abs(latitude) <= 90)).all():
        return ()
    sky = SkyCoord(longitude, latitude, unit="deg", frame="galactic").icrs
    table["ra"], table["dec"] = sky.ra.deg * u.deg, sky.dec.deg * u.deg
    return (f"positions were converted from galactic ({known[pair[0]]}, {known[pair[1]]}) to equatorial",)


def read_vizier(
    identifier: str,
    *,
    distance: u.Quantity,
    columns: Mapping[str, str],
    units: Mapping[str, str | u.UnitBase] | None = None,
    table: int = 0,
) -> Table:
    """Read a catalogue from VizieR by its identifier, such as "J/A+A/645/A55" (needs the network and astroquery).

    Parameters
    ----------
    identifier : str
    distance, columns, units
        As for :func:`read_catalogue`; each survey names its columns in its own way.
    table : int
        Which table of the catalogue.

    Raises
    ------
    ImportError
        If astroquery is not installed (it comes with the extra "lab").
    ConnectionError
        If VizieR cannot be reached.
    ValueError
        If there is no such catalogue or table.
    """
    try:
        from astroquery.vizier import Vizier
    except ImportError as error:
        raise ImportError(
            "read_vizier: expected astroquery, got none; install it with pip install 'polaris-lab[lab]', or download the "
            "table and use read_catalogue"
        ) from error
    import requests

    try:
        tables = Vizier(columns=["**", "_RAJ2000", "_DEJ2000"], row_limit=-1).get_catalogs(identifier)
    except (requests.RequestException, OSError) as error:
        raise ConnectionError(
            f"{identifier}: expected an answer of VizieR, got {error}; without a network download the table once and use "
            "read_catalogue"
        ) from error
    if table >= len(tables):
        raise ValueError(
            f"{identifier}: expected table {table}, got {len(tables)} tables; look up the identifier at "
            "https://vizier.cds.unistra.fr"
        )
    return from_columns(
        tables[table],
        distance=distance,
        columns=columns,
        units=units,
        where=identifier,
        source=f"VizieR {identifier}",
    )


def finished(table: Table, distance_pc: float, *, source: str, notes: tuple[str, ...] = ()) -> Table:
    """Return a table with what every catalogue says of itself, after a look at its positions."""
    ra, dec = np.asarray(table["ra"], float), np.asarray(table["dec"], float)
    if not len(table):
        raise ValueError("catalogue: expected at least one core, got a table without rows")
    bad = ~(np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90) & (ra >= -180) & (ra <= 360))
    if bad.any():
        raise ValueError(
            f"catalogue: expected right ascensions and declinations in degrees, got {ra[bad][0]:g}, {dec[bad][0]:g} in "
            f"{int(bad.sum())} rows"
        )
    table.meta.update(distance_pc=float(distance_pc), species="H2", source=source, notes=list(notes))
    return table


def at_distance(catalogue: Table, distance: u.Quantity) -> Table:
    """Return a catalogue moved to another distance: R as d, M as d^2, n as 1/d; columns and angles stay.

    Parameters
    ----------
    catalogue : Table
        From a reader of this room.
    distance : Quantity
        The adopted distance.

    Returns
    -------
    Table
        A copy, whose ``meta["notes"]`` say from where it was moved.

    Raises
    ------
    ValueError
        If the catalogue does not state its distance.
    TypeError, UnitsError
        If `distance` is no length.

    Examples
    --------
    >>> cores = Table({"ra": [52.0] * u.deg, "dec": [31.0] * u.deg, "mass": [1.0] * u.Msun})
    >>> moved = at_distance(finished(cores, 300.0, source=""), 150 * u.pc)
    >>> float(moved["mass"][0]), moved.meta["distance_pc"]
    (0.25, 150.0)
    """
    if "distance_pc" not in catalogue.meta:
        raise ValueError(
            "catalogue: expected meta['distance_pc'], got none; read it with a reader of this room"
        )
    new, old = positive(distance, u.pc, "distance"), catalogue.meta["distance_pc"]
    moved = catalogue.copy()
    for name in moved.colnames:
        power = COLUMNS.get(name, (None, 0))[1]
        if power:
            moved[name] = moved[name] * (new / old) ** power
            moved[name].unit = catalogue[name].unit
    moved.meta["distance_pc"] = new
    moved.meta["notes"] = [
        *catalogue.meta.get("notes", []),
        f"moved from {old:g} to {new:g} pc (R as d, M as d^2, n as 1/d)",
    ]
    return moved


def select(catalogue: Table, *, types: tuple[str, ...] | None = None, sed_fit: bool = False) -> Table:
    """Return the rows of some core types, or of those whose temperature was fitted.

    Parameters
    ----------
    catalogue : Table
    types : tuple of str, optional
        Of "starless", "prestellar", "protostellar", "tentative".
    sed_fit : bool
        Leave out cores with the comment "no SED fit": their temperature, and so their mass, was assumed.

    Raises
    ------
    ValueError
        If a type does not occur, or no row is left.
    """
    keep = np.ones(len(catalogue), bool)
    if types is not None:
        known = sorted(set(map(str, catalogue["type"])))
        for name in types:
            if name not in known:
                raise ValueError(f"types: unknown type {name!r}: {did_you_mean(str(name), known)}")
        keep &= np.isin(np.asarray(catalogue["type"], str), types)
    if sed_fit and "comment" in catalogue.colnames:
        keep &= np.array(["no SED fit" not in str(comment) for comment in catalogue["comment"]])
    if not keep.any():
        raise ValueError(f"catalogue: expected at least one core of that kind, got none of {len(catalogue)}")
    return catalogue[keep]


def pixel_positions(
    catalogue: Table, wcs: object, shape: tuple[int, int], *, where: str = "map"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y [pixels] of the cores on a map, and which of them lie on it.

    Raises
    ------
    ValueError
        If none lies on the map.

    Warns
    -----
    CatalogueWarning
        How many lie outside.
    """
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(np.asarray(catalogue["ra"], float), np.asarray(catalogue["dec"], float), unit="deg")
    x, y = (np.asarray(values, float) for values in sky.to_pixel(wcs))
    ny, nx = shape
    inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    if not inside.any():
        centre = wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2).icrs
        raise ValueError(
            f"{where}: expected cores on the map, whose centre is RA {centre.ra.deg:.3f} Dec {centre.dec.deg:.3f} deg, got "
            f"{len(x)} cores that all lie outside, the first at RA {sky[0].ra.deg:.3f} Dec {sky[0].dec.deg:.3f}; is this the "
            "catalogue of that cloud, and are its coordinates equatorial, not galactic?"
        )
    if not inside.all():
        warnings.warn(
            f"{where}: {int((~inside).sum())} of {len(x)} cores lie outside the map and are left out",
            CatalogueWarning,
            stacklevel=3,
        )
    return x, y, inside
