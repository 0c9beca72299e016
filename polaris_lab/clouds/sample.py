"""`sample_cloud`: real self-gravitating MHD gas inside the package, so that nothing need be downloaded.

The file beside this module is an output of this project's own simulation, repacked: log10 of the density as
float16, velocities as int16 of 0.01 km/s, shuffled and compressed with zstd; the magnetic field was left out.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from astropy import units as u
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from polaris_lab.clouds.simulation import AXES, SimulationCube

FILE = Path(__file__).with_name("data") / "mhd_m8_128_late.zarr.zip"
"""Where the sample lies."""

DO_NOT_TRAIN = "do_not_train"
"""Key of a provenance that keeps a cloud out of training sets; its value says why."""

VELOCITY_STEP = 0.01
"""Unit of the stored velocities [km s^-1]."""

FACTS: dict[str, Any] = {
    "source": "simulation",
    "file": "mhd_m8_128_late",
    DO_NOT_TRAIN: (
        "it is the development transfer set: the real gas on which networks trained on synthetic clouds are judged"
    ),
    "code": "Athena++ (Stone et al. 2020, ApJS 249, 4); this project's own run",
    "method": (
        "isothermal ideal MHD, periodic box, VL2 + PLM + HLLD + constrained transport, CFL 0.35, FFT self-gravity; "
        "driven at 64^3 for 1.7 turnover times without gravity (|k| L/2pi < 3, P(k) ~ k^-4, equal solenoidal and "
        "compressive amplitudes), refined to 128^3, continued with driving and self-gravity"
    ),
    "seeds": [4321, 4322],
    "box_pc": 6.4,
    "mean_density_cm3": 470.0,
    "temperature_K": 10.0,
    "sound_speed_kms": 0.2,
    "mach_number": 8.4,
    "mean_field_uG": 5.9,
    "mean_field_axis": "x",
    "magnetic_field": "left out of this file",
    "virial_parameter": 0.75,
    "time_since_gravity_Myr": 0.63,
    "time_since_gravity_free_fall": 0.31,
    "density_floor_cm3": 1.4,
    "measured": {
        "dispersion_of_ln_density": 1.28,
        "tail_slope_dlogV_dlogn": -1.9,
        "power_slope_ln_density": -3.41,
        "power_slope_density": -2.01,
        "power_slope_velocity": -3.96,
        "compressive_fraction": 0.19,
        "log_mass_weighted_density_against_log_column_slope": 1.29,
        "scatter_dex": 0.21,
    },
    "limits": (
        "No sink particles; above n_H = 2e4 cm^-3 the Jeans length is below 4 cells, so the insides of cores are "
        "unresolved lumps. Scales below 5 cells (0.25 pc) carry numerical dissipation. The density was stored with "
        "11 bits of its logarithm (0.1 to 0.2 % a cell), velocities to 0.005 km/s."
    ),
    "rescaling": "The same run holds at fixed n_H L^2, for example 12.8 pc and 117 cm^-3, with the same velocities.",
}
"""Provenance of the sample."""


def sample_cloud() -> SimulationCube:
    """Return real turbulent gas: a self-gravitating MHD simulation of a cloud of 4300 solar masses.

    128^3 cells of 0.05 pc, Mach 8, 0.31 free-fall times after gravity was switched on: filaments and the first
    collapsing cores. It carries a do-not-train stamp, because networks are judged on it:
    :func:`polaris_lab.build_dataset` refuses it without an explicit word.

    Returns
    -------
    SimulationCube
        Density [cm^-3], temperature (10 K everywhere) and the velocities [km s^-1] along z, y, x; the mean
        magnetic field of the run lay along x. Its facts and limits stand in `provenance`.

    Raises
    ------
    FileNotFoundError
        If the installation lost the file.

    Examples
    --------
    >>> cloud = sample_cloud()
    >>> print(cloud.shape, cloud.cell_size, f"{cloud.density.mean():.0f}", sorted(cloud.velocity))
    (128, 128, 128) 0.05 pc 470 ['x', 'y', 'z']
    """
    if not FILE.exists():
        raise FileNotFoundError(
            f"{FILE}: expected the sample cloud of the package, got no such file; install polaris-lab again"
        )
    store = ZipStore(FILE, mode="r")
    try:
        group = zarr.open_group(store, mode="r")
        density = np.power(10.0, group["log10_density"][...], dtype=np.float32)
        velocity = {
            axis: group[f"velocity_{axis}"][...] * np.float32(VELOCITY_STEP) for axis in AXES
        }  # (128, 128, 128) each
    finally:
        store.close()
    return SimulationCube(
        density,
        cell_size=FACTS["box_pc"] / density.shape[0] * u.pc,
        temperature=np.full_like(density, FACTS["temperature_K"]),
        velocity=velocity,
        name="MHD sample cloud",
        provenance=deepcopy(FACTS),
    )


def repack(source: str | Path, path: str | Path) -> Path:
    """Write the sample's file from the simulation's npz (how the package's file was made).

    Parameters
    ----------
    source : path
        npz with ``log10_nH`` (z, y, x) and ``v_kms`` (3, z, y, x), components vx, vy, vz.
    path : path
        The ``.zarr.zip`` to write.

    Returns
    -------
    Path
        `path`.
    """
    with np.load(source) as arrays:
        fields = {"log10_density": arrays["log10_nH"]}
        for axis, component in zip(("x", "y", "z"), arrays["v_kms"], strict=True):
            steps = np.rint(component.astype(np.float64) / VELOCITY_STEP)
            fields[f"velocity_{axis}"] = steps.astype(np.int16)
    units = {"log10_density": "dex(cm-3)"}
    store = ZipStore(path, mode="w")
    try:
        group = zarr.create_group(store, attributes={"cell_size_pc": 0.05, "provenance": FACTS})
        for name, values in fields.items():
            group.create_array(
                name,
                data=values,
                chunks=values.shape,
                compressors=BloscCodec(cname="zstd", clevel=9, shuffle="shuffle"),
                dimension_names=AXES,
                attributes={"units": units.get(name, f"{VELOCITY_STEP} km s-1")},
            )
    finally:
        store.close()
    return Path(path)
