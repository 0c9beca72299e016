"""Predict the volume density behind FITS column density maps.

Writes a FITS file on the grid of each map: density n_H [cm^-3], 68 % and 95 % intervals, quality flags, coverage.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from astropy import units as u

from polaris_lab.estimators.names import FITTED, WITHOUT_TARGET

LARGE = 16_000_000
"""Pixels of a map above which its prediction is written row by row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("maps", type=Path, nargs="+", metavar="MAP.fits", help="column density maps with a celestial WCS")
    add(
        "--distance",
        required=True,
        help='of the cloud, a length with its unit or a name: "300 pc" or "Orion A"; no default',
    )
    add(
        "--species",
        required=True,
        help="what the maps count: H2, H [cm^-2], A_V, A_K [mag] or tau [1]; no default",
    )
    add(
        "--law",
        help="of A_V, A_K or tau: a named law, for example guver2009 (default: bohlin1978, rieke1985; tau has none)",
    )
    add(
        "--mu",
        type=float,
        help="gas mass per H2 molecule of older maps [m_H], for example 2.33 (default: 2.8)",
    )
    add(
        "--run",
        type=Path,
        action="append",
        help="folder of a trained run, several are averaged (default: the network that is shipped)",
    )
    add(
        "--classical",
        metavar="NAME",
        help=f"a classical estimator instead of a network, without interval: {', '.join(WITHOUT_TARGET)}; and, fitted to the "
        f"training set of --run, {', '.join(FITTED)} (default: none)",
    )
    add(
        "--output",
        type=Path,
        metavar="OUT",
        help="a file; of several maps a folder (default: MAP_density.fits in the working folder)",
    )
    add(
        "--interval",
        choices=("68", "95", "both"),
        default="both",
        help="which intervals are written [per cent] (default: both)",
    )
    add("--report", type=Path, metavar="OUT.html", help="write a self-contained report too (default: none)")
    _add_cores(parser)
    add(
        "--literature",
        metavar="CLOUD",
        help='put published densities beside the answer: "Taurus L1495", "Polaris", "Orion A" or "Orion B" '
        "(default: the cloud that --distance names, if it is one of them)",
    )
    add(
        "--unit", help='unit of the maps if a header lies, for example "cm-2" or "dex(cm-2)" (default: BUNIT)'
    )
    add("--hdu", help="number or name of the image in the file (default: the first one)")
    add("--error-hdu", help="number or name of the image with the standard error (default: none)")
    add("--beam", help='full width of the beam, an angle such as "36 arcsec" (default: that of the header)')
    add(
        "--blank",
        type=float,
        action="append",
        help="value of a pixel without data, in the unit of the map; may be repeated (default: 0, -1 and BLANK)",
    )
    add("--foreground", help='N_H to be taken off, for example "5e20 cm-2" (default: none)')
    add("--depth", help='depth of the cloud for networks that take it, for example "1 pc" (default: unknown)')
    add("--symmetries", action="store_true", help="average over the 8 orientations (default: one pass)")
    add(
        "--samples",
        type=int,
        help="of a generative run: number of maps to keep (default: 16 drawn, none kept)",
    )
    add(
        "--overlap",
        type=float,
        help="predict in tiles that overlap by this fraction, 0.5 as in the report (default: large tiles with a margin)",
    )
    add("--overwrite", action="store_true", help="replace existing output files (default: refuse)")
    add("--quiet", action="store_true", help="no progress bar (default: one on a terminal)")


def _add_cores(parser: argparse.ArgumentParser) -> None:
    """Declare what is said of a catalogue of cores."""
    add = parser.add_argument
    add(
        "--cores",
        type=Path,
        metavar="CATALOGUE",
        help="dense cores to compare with: an HGBS text table, CSV, ECSV, FITS or VOTable; they are shown in the report, and "
        "their table goes to OUT_cores.ecsv (default: none)",
    )
    add(
        "--core-distance",
        metavar="DISTANCE",
        help='for which the catalogue holds, for example "300 pc" (default: that which it states; HGBS tables do)',
    )
    add(
        "--core-column",
        action="append",
        metavar="NAME=COLUMN",
        help="what the file calls a column, for example ra=RAJ2000 or mean_density=nH2; may be repeated (default: our names)",
    )
    add(
        "--core-density",
        metavar="NAME",
        help="density that is compared: mean_density (deconvolved radius), mean_density_observed or peak_density [H2 cm^-3] "
        "(default: the first of these that the catalogue has)",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predict every map; of several, those that fail do not stop the others, and the status at the end is 1."""
    logger = logging.getLogger("polaris_lab.observations")
    level = logger.level
    if not arguments.json:  # the notes are printed with the answer
        logger.setLevel(logging.ERROR)
    try:
        return _predict(arguments)
    finally:
        logger.setLevel(level)


def _predict(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predict one map, or many."""
    from polaris_lab.cli.predict_maps import Job

    job = Job(arguments)
    if len(arguments.maps) == 1:
        answer = job.predict(arguments.maps[0], job.output(arguments.maps[0]))
        return job.reported(answer)
    job.check_names()
    done, failed = [], []
    for path in arguments.maps:
        try:
            done.append(job.predict(path, job.output(path)))
        except (OSError, TypeError, ValueError) as error:
            if arguments.debug:
                raise
            words = " ".join(str(error).split()) or type(error).__name__
            failed.append({"map": str(path), "type": type(error).__name__, "message": words})
            job.failed.append(words if str(path) in words else f"{path}: {words}")
            print(f"polaris-lab: {job.failed[-1]}", file=sys.stderr)
    if not arguments.json:
        print(f"{len(done)} of {len(arguments.maps)} maps predicted")
    return job.reported({"files": done, "failed": failed, "status": 1 if failed else 0})


def parse_distance(text: str) -> u.Quantity:
    """Return a distance written as number and unit, or that of a known cloud by its name.

    Raises
    ------
    ValueError
        If it has no unit, is no length, or is no name of a known cloud.

    Examples
    --------
    >>> parse_distance("0.3 kpc").to("pc"), parse_distance("Taurus L1495")
    (<Quantity 300. pc>, <Quantity 129.9 pc>)
    """
    from polaris_lab.observations.places import known_distance

    words = text.strip()
    if words[:1].isalpha():
        try:
            return known_distance(words)
        except ValueError as error:
            raise ValueError(
                f'--distance: expected a length such as "300 pc", got {text!r}; {error}'
            ) from error
    return parse_quantity(text, u.pc, "--distance", "300 pc", kind="a length")


def parse_quantity(text: str, unit: u.UnitBase, option: str, example: str, *, kind: str) -> u.Quantity:
    """Return a quantity written as number and unit.

    Raises
    ------
    ValueError
        If it has no unit or another kind of unit; the error names the option and shows an example.
    """
    try:
        value = u.Quantity(text)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{option}: expected a number and a unit such as "{example}", got {text!r}'
        ) from error
    if not value.unit.is_equivalent(unit):
        raise ValueError(
            f'{option}: expected {kind} such as "{example}", got {text!r}; the unit is not optional'
        )
    return value


def find_run(named: Path | None) -> Path:
    """Return the folder of the run to predict with: the one named, else that which is shipped."""
    from polaris_lab.training.recipes import pretrained

    return pretrained().path if named is None else named


def stem(path: Path) -> str:
    """Return the name of a file without .fits and .gz.

    Examples
    --------
    >>> stem(Path("maps/b5.fits.gz"))
    'b5'
    """
    name = path.name
    for suffix in (".gz", ".bz2", ".fits", ".fit", ".fts"):
        name = name.removesuffix(suffix)
    return name
