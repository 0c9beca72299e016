"""Predictions of maps that are too large to hold: rows go to the FITS file as they are done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.io import fits

from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict import as_runs
from polaris_lab.observations.predict_prepare import prepare
from polaris_lab.observations.predict_work import Work, map_rows
from polaris_lab.observations.prediction_files import (
    INTERVALS,
    check_output,
    checked_intervals,
    density_header,
    interval_names,
    map_header,
    whole_file,
)
from polaris_lab.observations.quality import TOLD, counts_in_words, flag_counts

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

BLOCK = 2880
"""Bytes of a FITS block."""

HEADER_BLOCKS = 12
"""Blocks kept for the first header: its notes are known at the end."""


def predict_to_fits(
    run: Run | Sequence[Run],
    observation: Observation,
    path: str | Path,
    *,
    overwrite: bool = False,
    intervals: Sequence[int] = INTERVALS,
    tile: int | None = None,
    average_symmetries: bool = False,
    depth: u.Quantity | None = None,
    foreground: u.Quantity | None = None,
    client: Any = None,
    progress: bool = True,
) -> Path:
    """Predict the density behind a map of any size, into a file.

    The file is that of :meth:`Prediction.write_fits`, pixel for pixel what
    :func:`~polaris_lab.observations.predict.predict_density` gives; only some rows of it are in memory at a time.

    Parameters
    ----------
    run, observation, tile, average_symmetries, depth, foreground, client, progress
        As for ``predict_density``. Maps of more than 16 million pixels are not compared with the training set.
    path : str or Path
        A ``.fits`` file; it appears when it is whole.
    overwrite : bool
        Replace a file that exists.
    intervals : sequence of int
        Which of 68 and 95 are written.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError, PermissionError
        If it cannot be written there.
    ValueError, TypeError
        As ``predict_density``; if the run is generative, whose samples need the whole map, or the file is to be compressed.
    """
    wanted = interval_names(checked_intervals(intervals))
    path = check_output(path, overwrite=overwrite)
    if path.suffix not in (".fits", ".fit", ".fts"):
        raise ValueError(
            f"{path}: expected the name of a FITS file (.fits), got {path.suffix or 'no ending'}; rows cannot be written to a "
            "compressed file: compress it afterwards"
        )
    runs = as_runs(run)
    models = tuple(each.model() for each in runs)
    if any(model.is_generative for model in models):
        raise ValueError("run: expected one that answers directly, got a generative one; use predict_density")
    work = prepare(
        runs,
        models,
        observation,
        overlap=None,
        tile=tile,
        symmetries=average_symmetries,
        depth=depth,
        foreground=foreground,
        compare=True,
    )
    with whole_file(path) as temporary, temporary.open("wb") as file:
        _write(work, file, wanted, client, progress=progress)
    return path


def _write(work: Work, file: IO[bytes], wanted: Sequence[str], client: Any, *, progress: bool) -> None:
    """Write all maps of the work to an empty file."""
    offsets: dict[str, int] = {}
    counts, valid, width = dict.fromkeys(TOLD, 0), 0, work.observation.shape[1]
    names = ["density", *wanted, "quality", "coverage", *work.network.extra_outputs]
    for rows, maps in map_rows(work, client=client, progress=progress):
        if not offsets:
            offsets = _laid_out(work, file, {name: maps[name].dtype for name in names})
        for name, offset in offsets.items():
            values = maps[name].astype(maps[name].dtype.newbyteorder(">"), copy=False)
            file.seek(offset + rows.start * width * values.dtype.itemsize)
            file.write(np.ascontiguousarray(values).data)
        good = np.isfinite(maps["density"])
        valid += int(good.sum())
        counts = {flag: counts[flag] + found for flag, found in flag_counts(maps["quality"], good).items()}
    notes = (*work.notes, *counts_in_words(counts, valid))
    file.seek(0)
    file.write(_first_header(work, np.dtype(np.float32), notes))


def _laid_out(work: Work, file: IO[bytes], dtypes: dict[str, np.dtype]) -> dict[str, int]:
    """Write all headers but the first, and return where the data of each map begin."""
    offsets = {}
    pixels = int(np.prod(work.observation.shape))
    position = 0
    for name, dtype in dtypes.items():
        if name == "density":
            text = b" " * (HEADER_BLOCKS * BLOCK)
        else:
            given = map_header(work.observation.wcs, name)
            text = _header(work, dtype, given, primary=False).tostring(padding=True).encode("ascii")
        file.seek(position)
        file.write(text)
        offsets[name] = position + len(text)
        size = pixels * dtype.itemsize
        position = offsets[name] + -(-size // BLOCK) * BLOCK
    file.truncate(position)  # zeros to the end of the last block
    return offsets


def _first_header(work: Work, dtype: np.dtype, notes: Sequence[str]) -> bytes:
    """Return the header of the density in the space that was kept for it; notes that do not fit are left out."""
    kept = list(notes)
    while True:
        given = density_header(work.observation.wcs, work.provenance, kept)
        text = _header(work, dtype, given, primary=True).tostring(endcard=False, padding=False)
        if len(text) <= HEADER_BLOCKS * BLOCK - 80:
            break
        kept.pop()
    return (text.ljust(HEADER_BLOCKS * BLOCK - 80) + "END".ljust(80)).encode("ascii")


def _header(work: Work, dtype: np.dtype, given: fits.Header, *, primary: bool) -> fits.Header:
    """Return the header of an image of the map's size."""
    rows, columns = work.observation.shape
    header = fits.Header()
    header["SIMPLE" if primary else "XTENSION"] = True if primary else "IMAGE"
    header["BITPIX"] = {"f": -8, "i": 8}[dtype.kind] * dtype.itemsize
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, columns, rows
    if primary:
        header["EXTEND"] = True
    else:
        header["PCOUNT"], header["GCOUNT"] = 0, 1
    header.extend(given, unique=False)
    return header
