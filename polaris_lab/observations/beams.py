"""Bringing a map to a wider beam, to other pixels, and two maps into one."""

from __future__ import annotations

import math
import warnings

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from polaris_lab.observations.maps import ARCSEC, Observation
from polaris_lab.units import to_unit

FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))


class MosaicWarning(UserWarning):
    """Two maps that are joined do not agree where they overlap."""


def smooth(observation: Observation, beam: u.Quantity) -> Observation:
    """Smooth a map to a wider Gaussian beam; blank pixels have no weight and stay blank.

    Parameters
    ----------
    observation : Observation
        Its beam must be known.
    beam : Quantity
        Full width at half maximum to reach, an angle or a length at the distance of the cloud.

    Returns
    -------
    Observation

    Raises
    ------
    ValueError
        If the map's own beam is unknown, or wider than `beam`: what it has averaged away cannot be put back.

    Notes
    -----
    Errors are smoothed as those of independent pixels: sqrt(sum w^2 e^2) / sum w.
    """
    own = observation.beam_arcsec
    wanted = _arcsec(beam, observation)
    if own is None:
        raise ValueError(
            "beam: expected a map whose own beam is known, got none; open it with beam=18.2 * u.arcsec"
        )
    if wanted < own * (1 - 1e-6):
        raise ValueError(
            f'beam: expected at least the map\'s own {own:.4g}", got {wanted:.4g}"; what a beam has averaged away cannot be '
            "put back"
        )
    width = math.sqrt(max(wanted**2 - own**2, 0.0)) * ARCSEC
    sigma = tuple(
        width / (side / observation.distance_pc) / FWHM_PER_SIGMA for side in observation.pixel_sides_pc
    )
    column = gaussian_mean(observation.column_density, sigma)
    error = observation.error
    if error is not None and max(sigma) > 0:
        narrow = tuple(s / math.sqrt(2) for s in sigma)  # the square of a Gaussian
        share = 1 / (4 * math.pi * sigma[0] * sigma[1]) if min(sigma) > 0.3 else 1.0
        error = np.sqrt(gaussian_mean(error.astype(float) ** 2, narrow) * min(share, 1.0))
    return observation.with_map(column, error=error, beam=wanted * u.arcsec)


def gaussian_mean(values: np.ndarray, sigma: tuple[float, float]) -> np.ndarray:
    """Return the Gaussian mean over valid pixels, NaN where the map is; beyond its edge nothing has weight."""
    from scipy.ndimage import gaussian_filter

    if max(sigma) <= 0:
        return np.array(values)
    valid = np.isfinite(values)
    scale = float(np.median(values[valid])) or 1.0
    weight = gaussian_filter(valid.astype(float), sigma, mode="constant")
    total = gaussian_filter(np.where(valid, values / scale, 0.0).astype(float), sigma, mode="constant")
    return np.where(valid, scale * total / np.maximum(weight, 1e-12), np.nan).astype(values.dtype)


def prepare(
    observation: Observation, *, pixel_size: u.Quantity, beam_pixels: float | None = None
) -> Observation:
    """Bring a map to the pixel of a model, and to the number of pixels that its beam covers there.

    The map is smoothed first, then averaged by area onto the coarser grid (mass is conserved: the sum of N times area is
    that of the valid pixels). What a model learned behind a beam is sum(N n) / sum(N), so its answer keeps its meaning.

    Parameters
    ----------
    observation : Observation
    pixel_size : Quantity
        Side of the model's pixel, a length or an angle.
    beam_pixels : float, optional
        Full width at half maximum of the beam in those pixels; None leaves the map's own.

    Returns
    -------
    Observation

    Raises
    ------
    ValueError
        If the map is coarser than the pixel asked for, or its beam wider than the one asked for or unknown.
    """
    from polaris_lab.observations.resample import Resampling

    wanted_pc = _arcsec(pixel_size, observation) * ARCSEC * observation.distance_pc
    sides = observation.pixel_sides_pc
    ratio = tuple(wanted_pc / side for side in sides)
    if min(ratio) < 1 - 1e-6:
        raise ValueError(
            f"pixel_size: expected at least the map's pixel of {max(sides):.4g} pc, got {wanted_pc:.4g} pc; what a coarser "
            "pixel averages away cannot be put back"
        )
    if beam_pixels is not None:
        observation = smooth(
            observation, beam_pixels * wanted_pc / observation.distance_pc / ARCSEC * u.arcsec
        )
    grid = Resampling(observation.shape, tuple(max(r, 1.0) for r in ratio))
    column = grid.average(observation.column_density)
    error = observation.error
    if error is not None:
        error = np.sqrt(grid.average(error.astype(float) ** 2) / (grid.ratio[0] * grid.ratio[1]))
    return observation.with_map(column, wcs=coarser_wcs(observation.wcs, grid.ratio), error=error)


def coarser_wcs(wcs: WCS, ratio: tuple[float, float]) -> WCS:
    """Return the coordinates of a grid whose pixels are `ratio` (along y, along x) times larger, with the same corner."""
    new = wcs.deepcopy()
    for axis, factor in ((0, ratio[1]), (1, ratio[0])):
        new.wcs.crpix[axis] = (wcs.wcs.crpix[axis] - 0.5) / factor + 0.5
        if wcs.wcs.has_cd():
            new.wcs.cd[:, axis] = wcs.wcs.cd[:, axis] * factor
        elif wcs.wcs.has_pc():
            new.wcs.pc[:, axis] = wcs.wcs.pc[:, axis] * factor
        else:
            new.wcs.cdelt[axis] = wcs.wcs.cdelt[axis] * factor
    new.wcs.set()
    return new


def mosaic(first: Observation, second: Observation, *, tolerance: float = 0.2) -> Observation:
    """Join two maps of one cloud on a common grid; where both have a value they are averaged.

    Parameters
    ----------
    first, second : Observation
        At the same distance and with the same beam (smooth the sharper one first).
    tolerance : float
        Median difference in the overlap [dex] above which a warning says that the maps disagree.

    Returns
    -------
    Observation
        On a grid with the pixels of the first that covers both. Fluxes are averaged over pixels (reproject's exact areas).

    Raises
    ------
    ValueError
        If distances or beams differ, or the maps are so far apart that the grid would be mostly empty.

    Warns
    -----
    MosaicWarning
        If the maps disagree where they overlap.
    """
    from reproject import reproject_exact
    from reproject.mosaicking import find_optimal_celestial_wcs

    if abs(first.distance_pc / second.distance_pc - 1) > 1e-6:
        raise ValueError(
            f"mosaic: expected one distance, got {first.distance_pc:g} and {second.distance_pc:g} pc; open both with the same"
        )
    beams = (first.beam_arcsec, second.beam_arcsec)
    if None not in beams and abs(beams[0] / beams[1] - 1) > 0.02:
        raise ValueError(
            f'mosaic: expected one beam, got {beams[0]:.4g}" and {beams[1]:.4g}"; smooth the sharper map first '
            "(polaris_lab.observations.beams.smooth)"
        )
    resolution = first.pixel_size_arcsec * u.arcsec
    inputs = [(part.column_density, part.wcs) for part in (first, second)]
    wcs, shape = find_optimal_celestial_wcs(inputs, resolution=resolution, auto_rotate=False)
    pixels = sum(
        part.column_density.size * (part.pixel_size_arcsec / first.pixel_size_arcsec) ** 2
        for part in (first, second)
    )
    if shape[0] * shape[1] > 20 * pixels:
        raise ValueError(
            f"mosaic: expected maps beside each other, got two whose common grid has {shape[0]} x {shape[1]} pixels, most of "
            "them empty; are both of the same cloud?"
        )
    layers = [_onto(part, wcs, shape, reproject_exact) for part in (first, second)]
    both = np.isfinite(layers[0]) & np.isfinite(layers[1])
    if both.any():
        difference = float(np.median(np.log10(layers[0][both] / layers[1][both])))
        if abs(difference) > tolerance:
            warnings.warn(
                f"mosaic: the first map is {difference:+.2f} dex above the second in the median of {int(both.sum())} common "
                "pixels; check species, units and zero levels",
                MosaicWarning,
                stacklevel=2,
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that neither has
        joined = np.nanmean(layers, axis=0)
    return first.with_map(joined, wcs=wcs)


def _onto(part: Observation, wcs: WCS, shape: tuple[int, int], reproject: object) -> np.ndarray:
    """Return a map on another grid, averaged over the area of each pixel, blank where less than half is covered."""
    valid = np.isfinite(part.column_density)
    scale = float(np.median(part.column_density[valid]))
    values, _ = reproject((np.where(valid, part.column_density / scale, 0.0), part.wcs), wcs, shape_out=shape)
    share, footprint = reproject((valid.astype(float), part.wcs), wcs, shape_out=shape)
    covered = np.nan_to_num(share) * np.nan_to_num(footprint)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(covered > 0.5, scale * values / share, np.nan)


def _arcsec(size: u.Quantity, observation: Observation) -> float:
    """Return an angle, or a length at the cloud, in arcsec."""
    if isinstance(size, u.Quantity) and size.unit.is_equivalent(u.pc):
        return to_unit(size, u.pc, "size") / observation.distance_pc / ARCSEC
    value = to_unit(size, u.arcsec, "size")
    if value <= 0:
        raise ValueError(f"size: expected a positive angle or length, got {size}")
    return value
