"""A catalogue of cores in any layout that is read here: which reader it needs is seen from the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from astropy import units as u
from astropy.table import Table

from polaris_lab.observations.cores.catalogue import read_catalogue
from polaris_lab.observations.cores.hgbs import is_hgbs, read_hgbs


def open_catalogue(
    path: str | Path,
    *,
    distance: u.Quantity | None = None,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str | u.UnitBase] | None = None,
) -> Table:
    """Read a catalogue of cores: a text table of HGBS in any of its layouts, or a table that astropy reads.

    Parameters
    ----------
    path : path
        HGBS text (derived or observed), CSV, ECSV, FITS or VOTable.
    distance : Quantity, optional
        For which its sizes, masses and densities hold. HGBS titles name their cloud; an ECSV table may state ``distance_pc``
        in its meta; any other table needs it.
    columns, units : mapping, optional
        As for :func:`~polaris_lab.observations.cores.catalogue.read_catalogue`; not for HGBS text tables.

    Returns
    -------
    Table

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is no catalogue, or its distance is not known.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a catalogue of cores, got nothing there")
    if path.is_dir():
        raise ValueError(f"{path}: expected a catalogue of cores, got a folder; name the file in it")
    if is_hgbs(path):
        if columns or units:
            raise ValueError(f"{path}: columns: expected none for a table of HGBS, whose columns are known")
        return read_hgbs(path, distance=distance)
    return read_catalogue(path, distance=distance, columns=columns, units=units)
