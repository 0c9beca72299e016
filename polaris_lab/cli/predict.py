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

LARGE = 16_000_000
"""Pixels of a map above which its prediction is written row by row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "maps", type=Path, nargs="+", metavar="MAP.fits", help="column density maps with a celestial WCS"
    )
    parser.add_argument("--distance", required=True, help='of the cloud, for example "300 pc" or "Orion A"')
    parser.add_argument("--species", required=True, help="what the maps count: H2, H, A_V, A_K or tau")
    parser.add_argument("--law", help="of A_V, A_K or tau: a named law, for example guver2009")
    parser.add_argument("--mu", type=float, help="gas mass per H2 [m_H] of older maps, for example 2.33")
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        help="folder of a trained run, several are averaged (default: the network that is shipped)",
    )
    parser.add_argument(
        "--classical", metavar="NAME", help="a classical estimator instead of a network: no interval"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT",
        help="a file; of several maps a folder (default: MAP_density.fits beside you)",
    )
    parser.add_argument(
        "--interval", choices=("68", "95", "both"), default="both", help="which intervals are written"
    )
    parser.add_argument("--report", type=Path, metavar="OUT.html", help="write a self-contained report too")
    parser.add_argument(
        "--literature",
        metavar="CLOUD",
        help='put published densities beside the answer: "Taurus L1495", "Polaris", "Orion A" or "Orion B" '
        "(default: the cloud that --distance names, if it is one of them)",
    )
    parser.add_argument("--unit", help='unit of the maps if a header lies, for example "cm-2" or "dex(cm-2)"')
    parser.add_argument("--hdu", help="number or name of the image in the file (default: the first one)")
    parser.add_argument("--error-hdu", help="number or name of the image with the standard error")
    parser.add_argument("--beam", help='width of the beam, for example "36 arcsec", if the header lacks it')
    parser.add_argument(
        "--blank", type=float, action="append", help="value that means no data (may be repeated)"
    )
    parser.add_argument("--foreground", help='N_H to be taken off, for example "5e20 cm-2"')
    parser.add_argument("--depth", help='depth of the cloud for networks that take it, for example "1 pc"')
    parser.add_argument("--symmetries", action="store_true", help="average over the 8 orientations")
    parser.add_argument("--samples", type=int, help="of a generative run: keep so many maps")
    parser.add_argument(
        "--overlap", type=float, help="predict in overlapping tiles, for example 0.5 as in the report"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


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
