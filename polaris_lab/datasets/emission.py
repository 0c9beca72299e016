"""Line emission for a training set: what clouds need for it, the shared velocity axis, and faces one at a time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds import SimulationCube
from polaris_lab.clouds.simulation import layer_ranges
from polaris_lab.config import to_dict
from polaris_lab.datasets.emission_config import EmissionConfig
from polaris_lab.radiative_transfer import PPVCube, synthesize_ppv
from polaris_lab.radiative_transfer.choices import default_velocity
from polaris_lab.radiative_transfer.components import component_number
from polaris_lab.radiative_transfer.moments import moments
from polaris_lab.radiative_transfer.rays import face_of

MOST_CHANNELS = 4096
"""More are taken for a mistake in the unit."""

FACE_BYTES = 2**30
"""The line cube of a larger face is kept on disk while its patches are cut."""


def check_gas(cubes: Sequence[SimulationCube], names: Sequence[str], axes: Sequence[str]) -> None:
    """Refuse clouds without the temperature, or the velocity along each line of sight, that a line needs.

    Raises
    ------
    ValueError
        With the cloud, what it carries and the remedy.
    """
    for cube, name in zip(cubes, names, strict=True):
        if cube.temperature is None:
            raise ValueError(
                f"cubes: expected a temperature [K] for the line emission, got {name} without one; build it with "
                "temperature=array, or leave the quantities of the line out"
            )
        missing = [axis for axis in axes if axis not in cube.velocity]
        if missing:
            carried = ", ".join(f'"{axis}"' for axis in cube.velocity) or "none"
            raise ValueError(
                f'cubes: expected the velocity along "{missing[0]}" [km/s] for the line emission, got {name}, which '
                f'carries {carried}; build it with velocity={{"{missing[0]}": array}}, or leave that face out with '
                "lines_of_sight"
            )


def gas_sha256(cube: SimulationCube, name: str, axes: Sequence[str]) -> str:
    """Return the SHA-256 of the temperature and of the velocities along `axes`: float32, in the order z, y, x.

    Raises
    ------
    ValueError
        If a velocity is not finite or a temperature not positive and finite.
    """
    digest = hashlib.sha256()
    for what, values in [("temperature", cube.temperature), *((axis, cube.velocity[axis]) for axis in axes)]:
        digest.update(what.encode())
        for start, stop in layer_ranges(cube.shape):
            slab = np.ascontiguousarray(values[start:stop], "<f4")
            low, high = float(slab.min()), float(slab.max())
            positive = what == "temperature"
            if not (low > (0 if positive else -np.inf) and high < np.inf):  # NaN fails the first comparison
                field = "temperature" if positive else f'velocity["{what}"]'
                raise ValueError(
                    f"{field}: expected {'positive ' if positive else ''}finite values in {name}, got {low:g} .. "
                    f"{high:g} in layers {start}..{stop - 1}; mend these cells before the line is computed"
                )
            digest.update(slab.data)
    return digest.hexdigest()


def velocity_axis(
    cubes: Sequence[SimulationCube], config: EmissionConfig, axes: Sequence[str]
) -> tuple[np.ndarray, str]:
    """Return the channel centres [km/s] of all clouds and faces, and one sentence that says where they come from.

    Raises
    ------
    ValueError
        If there are none, or too many.
    """
    given = (config.velocity_min_km_s, config.velocity_max_km_s, config.channel_width_km_s)
    first, last, width = given
    if None in given:
        found = [
            default_velocity(
                cube, face_of(cube.shape, axis), (config.spectral_line,), config.turbulent_dispersion_km_s
            )
            for cube in cubes
            for axis in axes
        ]
        width = min(round(float(v[1] - v[0]), 9) for v in found) if width is None else width
        first = np.floor(min(v[0] for v in found) / width + 1e-6) * width if first is None else first
        last = np.ceil(max(v[-1] for v in found) / width - 1e-6) * width if last is None else last
    if not first < last:
        raise ValueError(
            f"velocity: expected a first channel below the last, got {first:g} and {last:g} km/s; the clouds lie "
            "outside the bound given: give both velocity_min_km_s and velocity_max_km_s"
        )
    count = int((last - first) / width + 1e-6) + 1
    if count > MOST_CHANNELS:
        raise ValueError(
            f"channel_width_km_s: expected at most {MOST_CHANNELS} channels, got {count} of {width:g} km/s; widen it"
        )
    channels = np.round(first + width * np.arange(count), 9)
    chosen = "chosen from the clouds" if None in given else "given"
    return channels, (
        f"{count} channels of {width:g} km/s from {channels[0]:g} to {channels[-1]:g} km/s, {chosen}"
    )


def line_recipe(config: EmissionConfig) -> dict[str, Any]:
    """Return what decides on the line cubes beside the velocity axis, as JSON values, defaults filled in."""
    return {
        "config": to_dict(config),
        "line": to_dict(config.spectral_line),
        "abundance_per_hydrogen": config.molecules_per_hydrogen,
    }


class LineFaces:
    """Patches of line cubes: the cube of one face at a time, computed when its first patch is asked for.

    Parameters
    ----------
    config : EmissionConfig
    velocity : ndarray, shape (channels,)
        Channel centres [km/s].
    quantities : sequence of str
        Names out of :data:`polaris_lab.datasets.emission_config.LINE_UNITS`.
    side : int
        Of a patch [pixels].
    scratch : Path
        Folder for the cubes of large faces; it is made and removed here.
    client : dask.distributed.Client, optional
        Where rays are computed.
    progress : bool
        Show bars.
    """

    def __init__(
        self,
        config: EmissionConfig,
        velocity: np.ndarray,
        quantities: Sequence[str],
        side: int,
        scratch: Path,
        *,
        client: Any = None,
        progress: bool = True,
    ) -> None:
        self.config, self.velocity, self.quantities, self.side = config, velocity, tuple(quantities), side
        self._scratch, self._client, self._progress = scratch, client, progress
        self._face: tuple[SimulationCube, str, PPVCube] | None = None

    def cut(self, cube: SimulationCube, line_of_sight: str, origin: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the quantities of one patch by name, float32: (v, y, x) for the cube, (y, x) for maps.

        Parameters
        ----------
        cube : SimulationCube
        line_of_sight : {"z", "y", "x"}
        origin : (int, int)
            Row and column of its first pixel on the face, as of the maps.
        """
        whole = self._of_face(cube, line_of_sight)
        row, column = origin
        window = np.array(
            whole.data[:, row : row + self.side, column : column + self.side], np.float32
        )  # (v, y, x)
        patch = {"ppv_cube": window}
        if "number_of_components" in self.quantities:
            noise = self.config.component_noise_K * u.K
            patch["number_of_components"] = component_number(whole.with_data(window), noise=noise)
        if set(self.quantities) - set(patch):
            maps = moments(whole.with_data(window))
            patch |= {
                "integrated_intensity": maps.integrated_intensity,
                "centroid_velocity": maps.centroid,
                "velocity_dispersion": maps.dispersion,
                "peak_temperature": maps.peak,
            }
        return {name: patch[name].astype(np.float32, copy=False) for name in self.quantities}

    def _of_face(self, cube: SimulationCube, line_of_sight: str) -> PPVCube:
        if self._face is not None and self._face[0] is cube and self._face[1] == line_of_sight:
            return self._face[2]
        self.close()  # one face at a time in memory
        face = face_of(cube.shape, line_of_sight)
        large = 4 * len(self.velocity) * face.rows * face.columns > FACE_BYTES
        config, dispersion = self.config, self.config.turbulent_dispersion_km_s
        ppv = synthesize_ppv(
            cube,
            config.spectral_line,
            abundance=config.molecules_per_hydrogen,
            axis=line_of_sight,
            velocity=self.velocity * u.km / u.s,
            turbulent_dispersion=dispersion if isinstance(dispersion, str) else dispersion * u.km / u.s,
            in_cell_velocity=config.in_cell_velocity,
            background=config.background_K * u.K,
            channel=config.channel,
            output=self._scratch / "face.zarr" if large else None,
            overwrite=True,
            client=self._client,
            progress=self._progress,
        )
        self._face = (cube, line_of_sight, ppv)
        return ppv

    def close(self) -> None:
        """Let go of the face."""
        self._face = None
        shutil.rmtree(self._scratch, ignore_errors=True)
