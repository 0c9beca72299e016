"""Observations of simulated clouds: what a telescope would show of a cube, and the truth behind its beam."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from polaris_lab.clouds.projection import project
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.observations.maps import ARCSEC, Observation
from polaris_lab.observations.resample import Resampling
from polaris_lab.observations.species import check_species
from polaris_lab.units import HYDROGEN_PER_H2, positive

FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
"""Full width at half maximum of a Gaussian in units of its standard deviation."""


class SimulatedObservation(NamedTuple):
    """A map as a telescope would give it, and what it hides; all on one grid."""

    observation: Observation
    """With beam, noise, zero level and blank corner."""
    density: np.ndarray
    """True mass-weighted mean density behind the beam [cm^-3], sum(N n) / sum(N); also where the map is blank."""
    column_density: np.ndarray
    """True N_H behind the beam [cm^-2], without noise."""


def observe_cube(
    cube: SimulationCube,
    *,
    axis: str = "z",
    distance: u.Quantity,
    pixel_size: u.Quantity | None = None,
    beam_fwhm: u.Quantity | None = None,
    noise: float = 0.0,
    relative_noise: float = 0.0,
    zero_level: float = 0.0,
    blank_corner: float = 0.0,
    mask: np.ndarray | Observation | None = None,
    species: str = "H2",
    centre: SkyCoord | None = None,
    seed: int = 0,
) -> SimulatedObservation:
    """Observe a cube: projection, beam, pixels, noise, and a corner that was not observed.

    Parameters
    ----------
    cube : SimulationCube
        The cloud.
    axis : {"z", "y", "x"}
        Line of sight.
    distance : Quantity
        Of the cloud, a length.
    pixel_size : Quantity, optional
        Side of a pixel, an angle or a length at the distance of the cloud; by default a cell of the cube. It
        cannot be smaller than a cell.
    beam_fwhm : Quantity, optional
        Full width at half maximum of a Gaussian beam, an angle or a length; none by default. Beyond the edge of the
        cube the cloud is continued by reflection.
    noise : float
        Rms of white noise added to each pixel, as a fraction of the median column density.
    relative_noise : float
        Rms of a factor on each pixel (calibration, temperature along the line), as a fraction.
    zero_level : float
        Foreground or background added everywhere, as a fraction of the median; negative for a zero level set
        too high.
    blank_corner : float
        Legs of the triangle at the first corner that is blank, as a fraction of the sides.
    mask : ndarray of bool or Observation, optional
        Pixels that are blank, in the shape of the simulated map; of an observation its blank pixels, stretched over the
        simulated map (nearest pixel).
    species : {"H2", "H"}
        What the map counts when written; :attr:`Observation.column_density` is N_H in any case.
    centre : SkyCoord, optional
        Where on the sky; by default in the Perseus cloud.
    seed : int
        Of the noise.

    Returns
    -------
    SimulatedObservation
        Named: `observation`, `density`, `column_density`.

    Raises
    ------
    ValueError
        If a number is out of range.

    Warns
    -----
    BlankPixelWarning
        If noise or zero level make a column negative.

    Examples
    --------
    >>> cube = SimulationCube(np.full((20, 20, 20), 1e3), cell_size=0.05 * u.pc)
    >>> seen = observe_cube(cube, distance=300 * u.pc, beam_fwhm=60 * u.arcsec)
    >>> seen.observation.shape, f"{seen.density[0, 0]:.0f}"
    ((20, 20), '1000')
    """
    _check_fractions(noise=noise, relative_noise=relative_noise, blank_corner=blank_corner)
    if check_species(species) not in ("H2", "H"):
        raise ValueError(f'species: expected "H2" or "H" for a simulated map, got {species!r}')
    distance_pc = positive(distance, u.pc, "distance")
    cell = cube.cell_size_pc
    pixel = cell if pixel_size is None else _length(pixel_size, distance_pc, "pixel_size")
    if pixel < cell * (1 - 1e-6):
        raise ValueError(
            f"pixel_size: expected a cell of the cube ({cell:.4g} pc) or more, got {pixel:.4g} pc; a nearer distance "
            "or a finer cube would resolve it"
        )
    beam = None if beam_fwhm is None else _length(beam_fwhm, distance_pc, "beam_fwhm")
    column, density = _behind_beam(cube, axis, beam_cells=(beam or 0.0) / cell, ratio=max(pixel / cell, 1.0))
    rng = np.random.default_rng(seed)
    median = np.median(column)
    observed = column * (1 + relative_noise * rng.standard_normal(column.shape))
    observed += median * (noise * rng.standard_normal(column.shape) + zero_level)
    observed[_corner(column.shape, blank_corner)] = np.nan
    if mask is not None:
        observed[_mask(mask, column.shape)] = np.nan
    pixel_deg = math.degrees(pixel / distance_pc)
    observation = Observation(
        observed / (HYDROGEN_PER_H2 if species == "H2" else 1.0),
        wcs=_tangent_plane(column.shape, pixel_deg, centre),
        distance=distance,
        species=species,
        beam=None if beam is None else beam / distance_pc / ARCSEC * u.arcsec,
        name=f"{cube.name or 'cube'} along {axis}",
    )
    return SimulatedObservation(observation, density, column)


def _behind_beam(
    cube: SimulationCube, axis: str, *, beam_cells: float, ratio: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return N_H and the mass-weighted density as a beam and pixels average them: sum(N n) / sum(N)."""
    maps = project(cube, axis=axis)
    column, moment = maps.column_density, maps.column_density * maps.mass_weighted_density
    if beam_cells > 0:
        sigma = beam_cells / FWHM_PER_SIGMA
        column, moment = (gaussian_filter(field, sigma, mode="reflect") for field in (column, moment))
    if ratio > 1:
        # Only whole pixels: at the far edges a part of a pixel would not be observed.
        whole = [math.floor(n / ratio + 1e-6) for n in column.shape]
        if min(whole) < 1:
            raise ValueError(f"pixel_size: expected at most a side of the cube, got {ratio:.3g} cells")
        grid = Resampling(column.shape, (ratio, ratio))
        column, moment = (grid.average(field)[: whole[0], : whole[1]] for field in (column, moment))
    return column, moment / column


def _length(size: u.Quantity, distance_pc: float, name: str) -> float:
    """Return a length, or an angle at a distance, in pc."""
    if isinstance(size, u.Quantity) and size.unit.is_equivalent(u.rad):
        return positive(size, u.rad, name) * distance_pc
    return positive(size, u.pc, name)


def _check_fractions(**fractions: float) -> None:
    for name, value in fractions.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected a fraction from 0 to below 1, got {value!r}")


def _corner(shape: tuple[int, int], legs: float) -> np.ndarray:
    """Return a mask of the triangle at the first corner."""
    if legs == 0:
        return np.zeros(shape, bool)
    y, x = ((np.arange(n) + 0.5) / n for n in shape)
    return y[:, None] + x[None, :] < legs


def _tangent_plane(shape: tuple[int, int], pixel_deg: float, centre: SkyCoord | None) -> WCS:
    """Return a TAN projection around a position, north up and east left."""
    centre = centre or SkyCoord(56.9, 32.9, unit="deg")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [centre.icrs.ra.deg, centre.icrs.dec.deg]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [-pixel_deg, pixel_deg]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs


def _mask(mask: np.ndarray | Observation, shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels are blank."""
    if isinstance(mask, Observation):
        blank = ~np.isfinite(mask.column_density)
        rows, columns = ((np.arange(n) * m) // n for n, m in zip(shape, blank.shape, strict=True))
        return blank[rows[:, None], columns[None, :]]
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(
            f"mask: expected True and False in the shape of the simulated map {shape}, got {mask.shape} of {mask.dtype}"
        )
    return mask
