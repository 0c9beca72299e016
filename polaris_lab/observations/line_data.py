"""A line cube on the grid, the beam and the channels of a map, so that networks with several inputs see the sky."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from polaris_lab.radiative_transfer import Line, PPVCube
from polaris_lab.radiative_transfer.instrument import convolve_beam, resample_channels, resample_to
from polaris_lab.radiative_transfer.moments import moments
from polaris_lab.units import positive, to_unit

if TYPE_CHECKING:
    from polaris_lab.observations.maps import Observation

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ObservedLine:
    """A line beside a map, pixel for pixel.

    Attributes
    ----------
    ppv_cube : ndarray, shape (channels, ny, nx)
        Main-beam brightness temperature [K], NaN where the line was not observed.
    velocity : ndarray, shape (channels,)
        Channel centres relative to the cloud [km/s].
    line : Line
    notes : tuple of str
        What was done to it.
    """

    ppv_cube: np.ndarray
    velocity: np.ndarray
    line: Line
    notes: tuple[str, ...]

    @property
    def observed(self) -> np.ndarray:
        """Which pixels of the map have the line, bool (ny, nx)."""
        return np.isfinite(self.ppv_cube).all(axis=0)

    def inputs(self) -> dict[str, np.ndarray]:
        """Return what a network may be given, by the names of datasets; NaN where the line was not observed.

        Returns
        -------
        dict
            "ppv_cube" [K] (channels, ny, nx); "integrated_intensity" [K km/s], "centroid_velocity" and
            "velocity_dispersion" [km/s] and "peak_temperature" [K], each (ny, nx). Where a line is too weak for a centroid or
            a width, these are 0.
        """
        found = moments(PPVCube(self.ppv_cube, self.velocity, line=self.line))
        seen = self.observed
        maps = {
            "integrated_intensity": found.integrated_intensity,
            "centroid_velocity": np.nan_to_num(found.centroid),
            "velocity_dispersion": np.nan_to_num(found.dispersion),
            "peak_temperature": found.peak,
        }
        return {"ppv_cube": self.ppv_cube} | {k: np.where(seen, v, np.nan) for k, v in maps.items()}

    def __repr__(self) -> str:
        """Say line, channels and coverage."""
        share = self.observed.mean()
        return (
            f"ObservedLine({self.line.molecule} {self.line.transition}: {len(self.velocity)} channels from "
            f"{self.velocity[0]:.3g} to {self.velocity[-1]:.3g} km/s, on {share:.0%} of the map)"
        )


def on_map(
    observation: Observation,
    cube: PPVCube,
    line: Line | None = None,
    *,
    efficiency: float = 1.0,
    v_lsr: u.Quantity | None = None,
    velocity: u.Quantity | None = None,
    cube_beam: u.Quantity | None = None,
) -> ObservedLine:
    """Bring a line cube to the grid, the beam and the channels of a map.

    Parameters
    ----------
    observation : Observation
        The map; its beam must be known.
    cube : PPVCube
        With celestial coordinates, finer than the map.
    line : Line, optional
        What it shows; by default what it says itself.
    efficiency : float
        Main-beam efficiency that divides T_A*; 1 for T_mb.
    v_lsr : Quantity, optional
        Velocity of the cloud, which becomes 0; by default the centroid of the mean spectrum above half its peak.
    velocity : Quantity, optional
        Channel centres to reach, such as those of a training set; by default the cube's.
    cube_beam : Quantity, optional
        Beam of the cube (full width at half maximum), where its header does not say.

    Returns
    -------
    ObservedLine

    Raises
    ------
    ValueError
        If the cube lies elsewhere, a beam is unknown, the cube's is wider than the map's, the line is not named, the
        efficiency is no fraction, or the channels lie outside those observed.
    """
    line = cube.line if line is None else line
    if not isinstance(line, Line):
        raise ValueError(
            f'line: expected what the cube shows, for example Line.named("13CO", "1-0"), got {line!r}'
        )
    if not 0 < efficiency <= 1:
        raise ValueError(f"efficiency: expected a main-beam efficiency above 0 up to 1, got {efficiency}")
    notes = [] if efficiency == 1 else [f"T_A* divided by a main-beam efficiency of {efficiency:g}"]
    cube = cube.with_data(np.asarray(cube.data, float) / efficiency)
    cube, smoothed = _to_beam(observation, cube, cube_beam)
    cube = resample_to(cube, observation.wcs, observation.shape)
    seen = np.isfinite(cube.data).all(axis=0)
    if not seen.any():
        raise ValueError(
            "cube: expected one that covers pixels of the map, got one that lies elsewhere on the sky; are both of the same "
            "cloud, and the coordinates right (EQUINOX, galactic or equatorial)?"
        )
    centre = _v_lsr(cube, seen) if v_lsr is None else to_unit(v_lsr, u.km / u.s, "v_lsr")
    notes += [
        *smoothed,
        f"velocities relative to {centre:.3g} km/s" + (" (its mean spectrum)" if v_lsr is None else ""),
    ]
    cube = cube.with_data(cube.data, velocity=cube.velocity - centre)
    if velocity is not None:
        wanted = resample_channels(cube, velocity)
        beyond = ~np.isfinite(wanted.data[:, seen]).all(axis=1)
        if beyond.all():
            raise ValueError(
                f"velocity: expected channels within {cube.velocity[0]:.3g} to {cube.velocity[-1]:.3g} km/s of the cloud, "
                "got none; is v_lsr right?"
            )
        if beyond.any():
            data = wanted.data.copy()
            data[np.ix_(beyond, *map(range, seen.shape))] = 0.0
            wanted = wanted.with_data(data)
            notes.append(f"{int(beyond.sum())} channels beyond the observed velocities are taken as empty")
        cube = wanted
    data = np.where(seen, cube.data, np.nan).astype(np.float32)
    for note in notes:
        log.info("%s", note)
    return ObservedLine(data, np.array(cube.velocity), line, tuple(notes))


def _to_beam(
    observation: Observation, cube: PPVCube, cube_beam: u.Quantity | None
) -> tuple[PPVCube, list[str]]:
    """Return the cube smoothed to the beam of the map, and a note."""
    header = cube.header or {}
    if cube_beam is not None:
        own = positive(cube_beam, u.arcsec, "cube_beam")
    elif "BMAJ" in header:
        own = 3600 * math.sqrt(float(header["BMAJ"]) * float(header.get("BMIN", header["BMAJ"])))
    else:
        raise ValueError(
            "cube_beam: expected the beam of the cube, got a header without BMAJ; write cube_beam=46 * u.arcsec"
        )
    wanted = observation.beam_arcsec
    if wanted is None:
        raise ValueError(
            "beam: expected a map whose beam is known, got none; open it with beam=5 * u.arcmin, for example"
        )
    if own > wanted * 1.02:
        raise ValueError(
            f'cube_beam: expected a beam no wider than the map\'s {wanted:.4g}", got {own:.4g}"; smooth the map first '
            "(polaris_lab.observations.beams.smooth)"
        )
    if own >= wanted * 0.98:
        return cube, []
    width = math.sqrt(wanted**2 - own**2)
    return convolve_beam(cube, width * u.arcsec), [
        f'line cube smoothed from {own:.4g}" to the map\'s {wanted:.4g}"'
    ]


def _v_lsr(cube: PPVCube, seen: np.ndarray) -> float:
    """Return the centroid of the mean spectrum above half its peak [km/s]: noise and baselines have no say."""
    spectrum = cube.data[:, seen].mean(axis=1)
    weight = np.where(spectrum > 0.5 * spectrum.max(), spectrum, 0.0)
    if not weight.sum() > 0:
        raise ValueError(
            "v_lsr: expected a line in the cube, got a mean spectrum without; write v_lsr=5 * u.km / u.s"
        )
    return float((weight * cube.velocity).sum() / weight.sum())
