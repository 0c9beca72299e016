"""Outputs of adaptive grid codes through yt (extra ``amr``): RAMSES and Athena++ are tested, others are offered."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds.amr import AmrCloud
from polaris_lab.clouds.synthetic import MEAN_MOLECULAR_WEIGHT
from polaris_lab.units import BOLTZMANN, HYDROGEN_MASS, MEAN_MASS_PER_HYDROGEN, PARSEC, SOLAR_MASS

TESTED = ("ramses", "athena_pp")
"""Kinds of output (yt's names) that the tests of this package read."""

CATALOGUES = ("sink", "star", "core", "cores")
"""Particle kinds that are kept beside the gas."""


def open_amr(
    path: str | Path,
    *,
    mass_per_hydrogen: float = MEAN_MASS_PER_HYDROGEN,
    mean_molecular_weight: float = MEAN_MOLECULAR_WEIGHT,
    units_override: Mapping[str, tuple[float, str]] | None = None,
    name: str | None = None,
) -> AmrCloud:
    """Open the output of an adaptive grid code as its leaf cells.

    RAMSES and Athena++ are tested. What else yt reads as a grid of cells is offered with a warning that it is
    not.

    Parameters
    ----------
    path : str or Path
        RAMSES: the folder ``output_00042`` or its ``info_00042.txt``. Else the file that yt opens.
    mass_per_hydrogen : float
        Gas mass per hydrogen nucleus in m_H: n_H = rho / (mass_per_hydrogen m_H).
    mean_molecular_weight : float
        Mass per particle in m_H, for the temperature from pressure: T = P mu m_H / (rho k).
    units_override : mapping, optional
        Units of an output that does not state them (Athena++), as yt takes them:
        ``{"length_unit": (1, "pc"), "time_unit": (1, "Myr"), "mass_unit": (1, "Msun")}``.
    name : str, optional
        By default the name of the output.

    Returns
    -------
    AmrCloud
        Density, velocities, and temperature where there is a pressure. ``particles`` holds tables of what lies beside the
        gas, with positions [pc] from the corner of the box, velocities [km/s] and masses [Msun]: of RAMSES the sinks of
        ``sink_*.csv`` ("sink_csv") or ``sink_*.out*`` ("sink") and the stars of ``part_*`` ("star"), all three tested;
        of other codes what yt calls sink, star, core or cores, untested. The test particles around RAMSES sinks, dark
        matter and tracers are left out, and catalogues that yt does not read (halo finders, HOP, ...) as well.

    Raises
    ------
    ModuleNotFoundError
        If yt is not installed, with how to install it.
    FileNotFoundError
        If there is nothing at `path`, or a file of the output is missing.
    ValueError
        If a file is cut off, a field is absent, or the output states no units.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected the output of a simulation, got no such file or folder")
    entry = _checked_entry(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # yt's own, of its dependencies
        dataset = _load(entry, units_override)
        kind = str(dataset.dataset_type)
        try:
            cloud = _leaves(dataset, path, mass_per_hydrogen, mean_molecular_weight, name)
        except _yt_errors() as error:
            raise ValueError(
                f"{path}: expected gas in the cells of a grid, got an output of the kind {kind!r} that has none (particles, a "
                f"moving mesh): {str(error)[:200]}; put it on a grid with its own tools first"
            ) from error
    if kind not in TESTED:
        warnings.warn(
            f"{path}: read through yt as {kind!r}, which this package does not test; compare mass and extent with what you "
            "know of the run",
            UserWarning,
            stacklevel=2,
        )
    return cloud


def _yt_errors() -> type[Exception]:
    from yt.utilities.exceptions import YTException

    return YTException


def _load(entry: Path, units_override: Mapping[str, Any] | None) -> Any:
    try:
        import yt
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{entry}: expected yt to read this output, it is not installed; pip install 'polaris-lab[amr]'"
        ) from error
    yt.set_log_level("error")
    choices = {"units_override": dict(units_override)} if units_override else {}
    try:
        dataset = yt.load(str(entry), **choices)
    except Exception as error:  # yt raises its own kinds; each means the same here
        raise ValueError(f"{entry}: expected an output that yt reads, got: {error}") from error
    if str(dataset.dataset_type) == "athena_pp" and not units_override:
        raise ValueError(
            f"{entry}: expected the units of an Athena++ output, got none in the file; state them with "
            'units_override={"length_unit": (1, "pc"), "time_unit": (1, "Myr"), "mass_unit": (1, "Msun")}'
        )
    return dataset


def _checked_entry(path: Path) -> Path:
    """Return what yt is to open; a RAMSES output is checked for missing and cut-off files first."""
    if path.is_dir():
        found = sorted(path.glob("info_*.txt"))
        if not found:
            raise FileNotFoundError(
                f"{path}: expected the folder of a RAMSES output with info_*.txt, got none"
            )
        info = found[0]
    else:
        info = path
    match = re.fullmatch(r"info_(\d+)\.txt", info.name)
    if match:
        _check_ramses(info, match.group(1))
    return info


def _check_ramses(info: Path, number: str) -> None:
    text = info.read_text(errors="replace")
    header = dict(re.findall(r"^\s*(\w+)\s*=\s*(\S+)", text, re.MULTILINE))
    lost = [key for key in ("ncpu", "boxlen", "unit_l", "unit_d", "unit_t") if key not in header]
    if lost:
        raise ValueError(
            f"{info}: expected the entries {', '.join(lost)}, got none: it is cut off, or a box without a size; copy it "
            "again"
        )
    for kind in ("amr", "hydro"):
        for cpu in range(1, int(header["ncpu"]) + 1):
            file = info.with_name(f"{kind}_{number}.out{cpu:05d}")
            if not file.exists():
                raise FileNotFoundError(
                    f"{file}: expected a file for each of the {header['ncpu']} processors, this one is missing; copy the "
                    "whole folder"
                )
            _check_whole(file)


def _check_whole(file: Path) -> None:
    """Refuse a file of Fortran records that does not end with the end of a record."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        if size >= 8:
            stream.seek(size - 4)
            (length,) = struct.unpack("<i", stream.read(4))
            if 0 <= length <= size - 8:
                stream.seek(size - 8 - length)
                if struct.unpack("<i", stream.read(4))[0] == length:
                    return
    raise ValueError(
        f"{file}: expected whole records, got a file of {size} bytes that is cut off; copy it again"
    )


def _leaves(
    dataset: Any, path: Path, mass_per_hydrogen: float, molecular_weight: float, name: str | None
) -> AmrCloud:
    known = set(dataset.derived_field_list)
    _need_field(known, ("gas", "density"), path)
    data = dataset.all_data()
    try:
        edge = {axis: np.asarray(data["index", f"d{axis}"].to("code_length")) for axis in "xyz"}
        left = np.asarray(dataset.domain_left_edge.to("code_length"), np.float64)
        sides = np.asarray(dataset.domain_width.to("code_length"), np.float64)
        finest = float(min(values.min() for values in edge.values()))
        if any(np.abs(edge[axis] / edge["x"] - 1).max() > 1e-6 for axis in "yz"):
            raise ValueError(f"{path}: expected cubic cells, got cells with different edges along x, y and z")
        corner = np.empty((len(edge["x"]), 3), np.int32)
        for column, axis in enumerate("zyx"):
            middle = np.asarray(data["index", axis].to("code_length"))
            corner[:, column] = np.rint((middle - edge[axis] / 2 - left["xyz".index(axis)]) / finest)
        width = np.rint(edge["x"] / finest).astype(np.int32)
        mass_density = np.asarray(data["gas", "density"].to("g/cm**3"))
        velocity = {
            axis: np.asarray(data["gas", f"velocity_{axis}"].to("km/s"))
            for axis in "zyx"
            if ("gas", f"velocity_{axis}") in known
        }
        temperature = None
        if ("gas", "pressure") in known:
            pressure = np.asarray(data["gas", "pressure"].to("dyne/cm**2"))
            temperature = pressure / mass_density * (molecular_weight * HYDROGEN_MASS / BOLTZMANN)
        finest_pc = float(dataset.quan(finest, "code_length").to("pc"))
        particles = _catalogues(dataset, data)
        if any(kind == "sink_csv" for kind, _ in known):
            particles["sink_csv"] = _ramses_sinks(Path(dataset.parameter_filename), dataset.parameters)
        time_myr = float(dataset.current_time.to("Myr"))
    except (OSError, EOFError, IndexError, KeyError, struct.error) as error:
        raise ValueError(f"{path}: expected a whole output, got one that does not read: {error!r}") from error
    return AmrCloud(
        corner,
        width,
        mass_density / (mass_per_hydrogen * HYDROGEN_MASS),
        shape=tuple(int(n) for n in np.rint(sides[::-1] / finest)),
        cell_size=finest_pc * u.pc,
        temperature=temperature,
        velocity=velocity,
        particles=particles,
        name=name or path.stem,
        provenance={
            "source": "file",
            "file": path.name,
            "read_through": f"yt {dataset.dataset_type}",
            "mass_per_hydrogen": mass_per_hydrogen,
            "mean_molecular_weight": molecular_weight if temperature is not None else None,
            "time_Myr": time_myr,
        },
    )


def _need_field(known: set, field: tuple[str, str], path: Path) -> None:
    if field not in known:
        held = ", ".join(sorted({name for kind, name in known if kind != "index"})[:20]) or "no fields"
        raise ValueError(f'{path}: expected the field "{field[1]}", got none of that name among: {held}')


def _catalogues(dataset: Any, data: Any) -> dict[str, dict[str, np.ndarray]]:
    """Return sink particles and cores: position [pc] from the corner of the box, mass [Msun], velocity [km/s]."""
    found = {}
    known = set(dataset.derived_field_list)
    left = dataset.domain_left_edge
    for kind in CATALOGUES:
        if (kind, "particle_position_x") not in known:
            continue
        table = {}
        for column, axis in enumerate("xyz"):
            position = data[kind, f"particle_position_{axis}"] - left[column]
            table[f"position_{axis}_pc"] = np.asarray(position.to("pc"))
            if (kind, f"particle_velocity_{axis}") in known:
                table[f"velocity_{axis}_kms"] = np.asarray(data[kind, f"particle_velocity_{axis}"].to("km/s"))
        if (kind, "particle_mass") in known:
            table["mass_Msun"] = np.asarray(data[kind, "particle_mass"].to("Msun"))
        found[kind] = table
    return found


def _ramses_sinks(info: Path, parameters: Any) -> dict[str, np.ndarray]:
    """Read the text catalogue of sinks beside a RAMSES output; yt announces it but cannot read it with pandas 3."""
    file = info.with_name(info.name.replace("info_", "sink_")).with_suffix(".csv")
    with open(file) as stream:
        names = [name.strip(" #\n") for name in stream.readline().split(",")]
        rows = [line.split(",") for line in stream if line.strip() and not line.lstrip().startswith("#")]
    lost = [name for name in ("msink", "x", "y", "z") if name not in names]
    if lost or any(len(row) != len(names) for row in rows):
        raise ValueError(
            f"{file}: expected a catalogue with msink, x, y, z and {len(names)} entries a row, got another: it is cut off"
        )
    table = {name: np.array([float(row[k]) for row in rows]) for k, name in enumerate(names)}
    length, density, time = (float(parameters[f"unit_{kind}"]) for kind in "ldt")
    found = {f"position_{axis}_pc": table[axis] * (length / PARSEC) for axis in "xyz"}
    found |= {f"velocity_{a}_kms": table[f"v{a}"] * (length / time / 1e5) for a in "xyz" if f"v{a}" in table}
    found["mass_Msun"] = table["msink"] * (density * length**3 / SOLAR_MASS)
    return found
