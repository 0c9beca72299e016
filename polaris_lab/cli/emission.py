"""Compute the line cube that a telescope would see of a simulated cloud.

Writes FITS cubes of brightness temperature [K] (Rayleigh-Jeans, background subtracted, LTE) over velocity and
the two axes that remain: one file a line. All lines are computed in one pass over the cube.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.cli.line_options import (
    parse_center,
    parse_dispersion,
    parse_line,
    parse_pairs,
    parse_quantity,
    parse_velocity,
)
from polaris_lab.cli.predict import parse_distance

if TYPE_CHECKING:
    from polaris_lab.clouds import SimulationCube
    from polaris_lab.radiative_transfer import Line, PPVCube


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser._negative_number_matcher = re.compile(r"^-\.?\d")  # "-1e-6" and "-5km/s" are values, not options
    add = parser.add_argument
    add("cube", type=Path, metavar="CUBE", help="cube with density, temperature and velocity")
    add(
        "--line", action="append", required=True, metavar="13CO:1-0",
        help="12CO, 13CO or C18O and its transition, or a LAMDA file and its transition (13co.dat:2-1); may be repeated",
    )  # fmt: skip
    add(
        "--abundance", action="append", type=float,
        help="molecules per hydrogen nucleus, once or once for each line (default: 12CO 1e-4, 13CO 1e-4/70, C18O 1e-4/500)",
    )  # fmt: skip
    add("--axis", choices=("z", "y", "x"), default="z", help="line of sight (default: z)")
    add(
        "--output", action="append", type=Path, metavar="OUT.fits",
        help="FITS or zarr, once for each line, or a folder (default: CUBE_13CO_1-0.fits beside you)",
    )  # fmt: skip
    gas = parser.add_argument_group("gas")
    gas.add_argument("--cell-size", help='edge of a cell, for a file without it, for example "0.05 pc"')
    gas.add_argument("--temperature", help='of isothermal gas, for a file without it, for example "10 K"')
    gas.add_argument(
        "--field", action="append", metavar="NAME=KEY", help="what density, velocity_z … are called in the file"
    )  # fmt: skip
    gas.add_argument(
        "--unit", action="append", metavar="NAME=UNIT", help='a unit that the file does not state, "density=g cm-3"'
    )  # fmt: skip
    gas.add_argument(
        "--turbulent-dispersion", metavar="SIGMA",
        help='1D dispersion of motion below a cell, for example "0.2 km/s", or gradient (with --in-cell-velocity constant)',
    )  # fmt: skip
    gas.add_argument(
        "--in-cell-velocity", choices=("linear", "constant"), default="linear",
        help="velocity through a cell; constant is the report's scheme (default: linear)",
    )  # fmt: skip
    gas.add_argument(
        "--background", default="2.72548 K", help="black body behind (default: 2.72548 K; 0 K for none)"
    )
    seen = parser.add_argument_group("telescope")
    seen.add_argument(
        "--velocity", metavar='"MIN MAX STEP UNIT"',
        help='centres of the channels, for example "-5 5 0.1 km/s" (default: chosen from the cube)',
    )  # fmt: skip
    seen.add_argument(
        "--channel", choices=("centre", "average"), default="centre", help="what a channel is (default: centre)"
    )  # fmt: skip
    seen.add_argument("--distance", help='of the cloud, sets the pixels on the sky, for example "400 pc"')
    seen.add_argument(
        "--center", help='where it is put (ICRS), "85.2 -1.8" in degrees or "05:41:00 -01:51:00"'
    )
    seen.add_argument("--beam", help='full width at half maximum, "30 arcsec" (with --distance) or "0.1 pc"')
    seen.add_argument("--noise", help='standard deviation in each pixel and channel, for example "0.1 K"')
    seen.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    add("--precision", choices=("float32", "float64"), default="float32", help="default: float32")
    add("--overwrite", action="store_true", help="replace existing output")
    add("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Open the cube, compute the lines, write the files, and say what came out."""
    from polaris_lab.radiative_transfer import synthesize_ppv

    lines = [parse_line(text) for text in arguments.line]
    abundances = choose_abundances(arguments.abundance, lines)
    choices: dict[str, Any] = {
        "background": parse_quantity(arguments.background, "K", "--background", "2.72548 K"),
        "turbulent_dispersion": parse_dispersion(arguments.turbulent_dispersion),
        "velocity": parse_velocity(arguments.velocity),
    }
    telescope = _Telescope(arguments)
    outputs = choose_outputs(arguments.output, arguments.cube, lines)
    _check_outputs(outputs, arguments.cube, overwrite=arguments.overwrite, only_fits=telescope.looks)
    cube = open_gas(arguments)
    with _remarks() as remarks:
        cubes = synthesize_ppv(
            cube,
            lines,
            abundance=abundances,
            axis=arguments.axis,
            in_cell_velocity=arguments.in_cell_velocity,
            channel=arguments.channel,
            precision=arguments.precision,
            output=None if telescope.looks else outputs,
            overwrite=arguments.overwrite,
            progress=not arguments.quiet,
            **choices,
        )
    if telescope.looks:
        cubes = [telescope.write(ppv, path) for ppv, path in zip(cubes, outputs, strict=True)]
    for text in remarks:
        print(f"warning: {text}", file=sys.stderr)
    answer = {
        "axis": arguments.axis,
        "cubes": [
            _describe(ppv, path, number) for ppv, path, number in zip(cubes, outputs, abundances, strict=True)
        ],
        "warnings": remarks,
    }
    if not arguments.json:
        _say(answer, chosen=choices["velocity"] is None)
    return answer


def open_gas(arguments: argparse.Namespace) -> SimulationCube:
    """Open the cube and see that it holds what a line needs.

    Raises
    ------
    ValueError
        If the size of a cell, the temperature or the velocity along the line of sight is nowhere, with the
        option that gives it.
    """
    import numpy as np

    from polaris_lab.clouds import SimulationCube

    choices: dict[str, Any] = {
        "fields": parse_pairs(arguments.field, "--field"),
        "units": parse_pairs(arguments.unit, "--unit"),
    }
    if arguments.cell_size is not None:
        choices["cell_size"] = parse_quantity(arguments.cell_size, "pc", "--cell-size", "0.05 pc")
    try:
        cube = SimulationCube.open(arguments.cube, **choices)
    except ValueError as error:
        if "cell_size" in str(error) and arguments.cell_size is None:
            raise ValueError(
                f'{arguments.cube}: expected the size of a cell, the file does not state it; give --cell-size "0.05 pc"'
            ) from error
        remedy = re.sub(r'(field|unit)s=\{"(\w+)": "([^"]*)"\}', r'--\1 "\2=\3"', str(error))
        raise type(error)(remedy) from error
    if arguments.axis not in cube.velocity:
        carried = ", ".join(f"velocity_{axis}" for axis in cube.velocity) or "no velocity"
        remedy = " or ".join(f"--axis {axis}" for axis in cube.velocity)
        raise ValueError(
            f"{arguments.cube}: expected velocity_{arguments.axis} [km/s] for the line of sight, got {carried}; give "
            + (f"{remedy}, or " if remedy else "")
            + f"--field velocity_{arguments.axis}=KEY if the file calls it otherwise"
        )
    temperature = cube.temperature
    if arguments.temperature is not None:
        kelvin = parse_quantity(arguments.temperature, "K", "--temperature", "10 K", positive=True)
        temperature = np.full(cube.shape, kelvin.to_value("K"), np.float32)
    elif temperature is None:
        raise ValueError(
            f"{arguments.cube}: expected a temperature [K] for the level populations, got a cube without one; give "
            '--temperature "10 K" for isothermal gas, or --field temperature=KEY if the file calls it otherwise'
        )
    return SimulationCube(
        cube.density,
        cell_size=cube.cell_size,
        temperature=temperature,
        velocity={arguments.axis: cube.velocity[arguments.axis]},
        name=cube.name,
        provenance=cube.provenance,
    )


def choose_abundances(given: Sequence[float] | None, lines: Sequence[Line]) -> list[float]:
    """Return one abundance a line: those given, else the report's for each molecule.

    Raises
    ------
    ValueError
        If one is negative, their number fits neither one nor the lines, one is to serve several molecules,
        or the molecule has no usual abundance.
    """
    from polaris_lab.radiative_transfer.abundance import ABUNDANCE

    molecules = list(dict.fromkeys(line.molecule for line in lines))
    if not given:
        unusual = [name for name in molecules if name not in ABUNDANCE]
        if unusual:
            raise ValueError(
                f"--abundance: expected one for {unusual[0]}, got none; only {', '.join(ABUNDANCE)} have a usual one"
            )
        return [ABUNDANCE[line.molecule] for line in lines]
    for number in given:
        if not 0 <= number < float("inf"):
            raise ValueError(
                f"--abundance: expected zero or more molecules per hydrogen nucleus, got {number:g}; 13CO has 1.4e-6"
            )
    if len(given) == 1 and len(molecules) == 1:
        return [given[0]] * len(lines)
    if len(given) != len(lines):
        raise ValueError(
            f"--abundance: expected one for each of the {len(lines)} lines, in their order, got {len(given)}"
            + (f"; {' and '.join(molecules)} are not equally abundant" if len(molecules) > 1 else "")
        )
    return list(given)


def choose_outputs(given: Sequence[Path] | None, cube: Path, lines: Sequence[Line]) -> list[Path]:
    """Return one path a line: those given, or names made from cube and line in a folder.

    Raises
    ------
    ValueError
        If there is neither one path for each line nor one folder, or two are the same.

    Examples
    --------
    >>> from polaris_lab.radiative_transfer import Line
    >>> print(choose_outputs(None, Path("run/cloud.npz"), [Line.named("13CO")])[0])
    cloud_13CO_1-0.fits
    """
    names = [
        Path(re.sub(r"[^\w.+-]", "_", f"{cube.stem}_{line.molecule}_{line.transition}.fits"))
        for line in lines
    ]
    given = list(given or [Path()])
    folder = len(given) == 1 and given[0].suffix not in (".fits", ".zarr") and given[0].is_dir()
    paths = [given[0] / name for name in names] if folder else given
    if len(paths) != len(lines):
        raise ValueError(
            f"--output: expected a path for each of the {len(lines)} lines, in their order, or one existing folder, "
            f"got {len(paths)}"
        )
    if len({path.resolve() for path in paths}) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ValueError(f"--output: expected another path for each line, got {twice} twice")
    return paths


def _check_outputs(paths: Sequence[Path], cube: Path, *, overwrite: bool, only_fits: bool) -> None:
    """Refuse paths that are taken, are the cube itself, or have no known suffix."""
    known = (".fits",) if only_fits else (".fits", ".zarr")
    for path in paths:
        if path.suffix not in known:
            reason = " with --distance, --beam or --noise" if only_fits else ""
            raise ValueError(
                f"--output: expected a path ending in {' or '.join(known)}{reason}, or an existing folder, got {str(path)!r}"
            )
        if not path.exists():
            continue
        if cube.exists() and path.samefile(cube):
            raise FileExistsError(
                f"{path}: expected another file than the cube, got the cube itself, which would be lost; give another --output"
            )
        if path.is_dir() and (path.suffix == ".fits" or not (path / "zarr.json").exists()):
            raise FileExistsError(
                f"{path}: expected a free name, it is a folder of something else; give another --output"
            )
        if not overwrite:
            raise FileExistsError(
                f"{path}: expected a free name, the file exists; give --overwrite or another --output"
            )


class _Telescope:
    """What is done to a cube after the transfer: beam, place on the sky, noise."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.distance = None if arguments.distance is None else parse_distance(arguments.distance)
        self.center = parse_center(arguments.center)
        self.beam = self.noise = None
        if arguments.seed < 0:
            raise ValueError(f"--seed: expected a whole number from 0 up, got {arguments.seed}")
        self.seed, self.overwrite = arguments.seed, arguments.overwrite
        if arguments.beam is not None:
            self.beam = parse_quantity(arguments.beam, ("arcsec", "pc"), "--beam", "30 arcsec", positive=True)
        if arguments.noise is not None:
            self.noise = parse_quantity(arguments.noise, "K", "--noise", "0.1 K", positive=True)
        angle = self.beam is not None and self.beam.unit.is_equivalent("arcsec")
        if self.distance is None and (angle or self.center is not None):
            raise ValueError(
                f'--distance: expected one with --{"beam in angles" if angle else "center"}, got none; give --distance "400 pc"'
            )

    @property
    def looks(self) -> bool:
        """Whether anything is asked for."""
        return any(item is not None for item in (self.distance, self.beam, self.noise))

    def write(self, ppv: PPVCube, path: Path) -> PPVCube:
        """Observe a cube and write it."""
        from polaris_lab.radiative_transfer import instrument

        if self.beam is not None:
            ppv = instrument.convolve_beam(ppv, self.beam, distance=self.distance)
        if self.noise is not None:
            ppv = instrument.add_noise(ppv, self.noise, seed=self.seed)
        if self.center is not None:
            ppv = instrument.place_on_sky(ppv, self.center, distance=self.distance)
        ppv.to_fits(path, distance=self.distance, overwrite=self.overwrite)
        return ppv


@contextlib.contextmanager
def _remarks() -> Iterator[list[str]]:
    """Collect what the transfer warns of; its log is said by the answer."""
    from polaris_lab.radiative_transfer import ChannelRangeWarning, VelocityStepWarning

    logger = logging.getLogger("polaris_lab.radiative_transfer")
    level, texts = logger.level, []
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as caught:
            for category in (ChannelRangeWarning, VelocityStepWarning):
                warnings.simplefilter("always", category)
            yield texts
        texts += [str(warning.message) for warning in caught]
    finally:
        logger.setLevel(level)


def _describe(ppv: PPVCube, path: Path, abundance: float) -> dict[str, Any]:
    """Return what a cube holds, in plain numbers."""
    import numpy as np

    from polaris_lab.radiative_transfer import integrated_intensity, peak_temperature

    return {
        "output": str(path),
        "line": ppv.line.name,
        "rest_frequency_hz": ppv.line.rest_frequency_hz,
        "abundance_per_hydrogen": abundance,
        "shape": list(ppv.shape),
        "velocity_km_s": {
            "first": float(ppv.velocity[0]),
            "last": float(ppv.velocity[-1]),
            "step": ppv.channel_width,
        },
        "pixel_size": {"value": ppv.pixel_size.value, "unit": str(ppv.pixel_size.unit)},
        "peak_K": float(peak_temperature(ppv).max()),
        "mean_integrated_intensity_K_km_s": float(np.mean(integrated_intensity(ppv))),
    }


def _say(answer: dict[str, Any], *, chosen: bool) -> None:
    for made in answer["cubes"]:
        channels, rows, columns = made["shape"]
        velocity, pixel = made["velocity_km_s"], made["pixel_size"]
        print(
            f"wrote {made['output']}: {made['line']} along {answer['axis']}, {channels} channels of "
            f"{velocity['step']:.4g} km/s from {velocity['first']:.4g} to {velocity['last']:.4g} km/s"
            f"{' (chosen from the cube)' if chosen else ''}, {rows} x {columns} pixels of {pixel['value']:.4g} {pixel['unit']}; "
            f"peak {made['peak_K']:.4g} K, mean integrated intensity {made['mean_integrated_intensity_K_km_s']:.4g} K km/s, "
            f"abundance {made['abundance_per_hydrogen']:.4g} per hydrogen nucleus"
        )
