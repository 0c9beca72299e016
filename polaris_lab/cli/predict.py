"""Predict the volume density behind a FITS column density map.

Writes a FITS file on the map's grid: density n_H [cm^-3], 68 % and 95 % intervals, quality flags, coverage.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

DEMO_RUN = Path("demo") / "run"
"""Where `polaris-lab demo` leaves its run, looked for when no run is named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("map", type=Path, metavar="MAP.fits", help="column density map with a celestial WCS")
    parser.add_argument("--distance", required=True, help='distance of the cloud, for example "300 pc"')
    parser.add_argument("--species", required=True, help="what the map counts: H2, H, A_V or A_K")
    parser.add_argument(
        "--run", type=Path, help=f"folder of a trained run (default: {DEMO_RUN}, if it is there)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="OUT.fits", help="default: MAP_density.fits beside you"
    )
    parser.add_argument(
        "--unit", help='unit of the map if its header lies, for example "cm-2" or "dex(cm-2)"'
    )
    parser.add_argument("--hdu", help="number or name of the image in the file (default: the first one)")
    parser.add_argument(
        "--blank", type=float, action="append", help="value that means no data (may be repeated)"
    )
    parser.add_argument(
        "--overlap", type=float, help="predict in overlapping tiles, for example 0.5 as in the report"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output file")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Open the map, predict, write the FITS file, and say what came out."""
    from polaris_lab.observations import Observation, predict_density
    from polaris_lab.observations.prediction import Quality, check_output
    from polaris_lab.training import Run

    output = arguments.output or Path(f"{_stem(arguments.map)}_density.fits")
    _check_free(output, arguments.map, overwrite=arguments.overwrite)
    if not arguments.json:  # the notes are printed with the answer
        logging.getLogger("polaris_lab.observations").setLevel(logging.WARNING)
    choices = {
        name: getattr(arguments, name) for name in ("unit", "blank") if getattr(arguments, name) is not None
    }
    if arguments.hdu is not None:
        choices["hdu"] = int(arguments.hdu) if arguments.hdu.lstrip("-").isdigit() else arguments.hdu
    observation = Observation.from_fits(
        arguments.map, distance=parse_distance(arguments.distance), species=arguments.species, **choices
    )
    model_run = Run.open(find_run(arguments.run))
    check_output(
        output, overwrite=arguments.overwrite
    )  # makes its folder, so not before the rest is known to be there
    prediction = predict_density(
        model_run, observation, overlap=arguments.overlap, progress=not arguments.quiet
    )
    prediction.write_fits(output, overwrite=arguments.overwrite)
    valid = np.isfinite(prediction.density)
    density = prediction.density[valid]
    low, median, high = (float(value) for value in np.percentile(density, [1, 50, 99]))
    answer = {
        "output": str(output),
        "run": str(model_run.path),
        "run_fingerprint": model_run.fingerprint,
        "pixels": int(density.size),
        "density_cm-3": {
            "percentile_1": low,
            "median": median,
            "percentile_99": high,
            "max": float(density.max()),
        },
        "flagged_fraction": float(np.mean((prediction.quality[valid] & ~int(Quality.RESAMPLED)) != 0)),
        "notes": list(prediction.notes),
    }
    if not arguments.json:
        print(
            f"wrote {output}: {density.size} pixels of n_H, median {median:.3g} cm^-3, 1-99 % {low:.3g} .. {high:.3g}"
        )
        for note in prediction.notes:
            print(note)
        print(
            f"model {model_run.path} ({model_run.fingerprint}); {answer['flagged_fraction']:.0%} of the pixels carry a quality flag"
        )
    return answer


def _check_free(output: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse a name that is taken, and in any case that of the map itself."""
    if output.exists() and source.exists() and output.samefile(source):
        raise FileExistsError(
            f"{output}: expected another file than the map, got the map itself, which would be lost; give another --output"
        )
    if output.is_file() and not overwrite:
        raise FileExistsError(
            f"{output}: expected a free name, the file exists; give --overwrite or another --output"
        )


def parse_distance(text: str) -> u.Quantity:
    """Return a distance written as number and unit.

    Raises
    ------
    ValueError
        If it has no unit, or is no length.

    Examples
    --------
    >>> parse_distance("0.3 kpc").to("pc")
    <Quantity 300. pc>
    """
    try:
        distance = u.Quantity(text)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'--distance: expected a number and a unit such as "300 pc", got {text!r}'
        ) from error
    if not distance.unit.is_equivalent(u.pc):
        raise ValueError(
            f'--distance: expected a length such as "300 pc", got {text!r}; the unit is not optional'
        )
    return distance


def find_run(named: Path | None) -> Path:
    """Return the run to predict with: the one named, else the demo's.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    if named is not None:
        return named
    if (DEMO_RUN / "run.json").exists():
        return DEMO_RUN
    raise FileNotFoundError(
        f"expected --run FOLDER, got none, and there is no demo run in {DEMO_RUN}; train one (polaris-lab demo) or name one"
    )


def _stem(path: Path) -> str:
    """Return the name of a file without .fits and .gz.

    Examples
    --------
    >>> _stem(Path("maps/b5.fits.gz"))
    'b5'
    """
    name = path.name
    for suffix in (".gz", ".bz2", ".fits", ".fit", ".fts"):
        name = name.removesuffix(suffix)
    return name
