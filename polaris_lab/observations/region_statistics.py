"""What lies inside a region of the sky: its area, its mass, its columns and densities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from polaris_lab.observations.gas import dense_gas_mass
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.prediction import Prediction
from polaris_lab.observations.regions import region_mask

if TYPE_CHECKING:
    from regions import Regions, SkyRegion


@dataclass(frozen=True)
class RegionStatistics:
    """Numbers of one region. Made by :func:`region_statistics`.

    Attributes
    ----------
    pixels : int
        With their centre inside, and with a column density and a density.
    blank : int
        Pixels inside without.
    area_pc2, mass_msun : float
        Of the valid pixels; the mass counts helium.
    column_mean, column_max : float
        N_H [cm^-2].
    density_low, density_median, density_high, density_max : float
        n_H [cm^-3]: 16 %, 50 % and 84 % of the pixels, and the largest.
    density_by_mass : float
        Mean n_H weighted by N_H [cm^-3].
    interval_dex : float
        Median width of the 68 % interval [dex]; NaN where the prediction has none.
    flagged : float
        Share of the valid pixels with a quality flag.
    """

    pixels: int
    blank: int
    area_pc2: float
    mass_msun: float
    column_mean: float
    column_max: float
    density_low: float
    density_median: float
    density_high: float
    density_max: float
    density_by_mass: float
    interval_dex: float
    flagged: float


def region_statistics(
    observation: Observation, prediction: Prediction, region: SkyRegion | Regions
) -> RegionStatistics:
    """Measure a region on a map and on its prediction.

    Parameters
    ----------
    observation : Observation
        N_H [cm^-2], shape (ny, nx).
    prediction : Prediction
        n_H [cm^-3] on the same pixels.
    region : SkyRegion or Regions
        From :func:`~polaris_lab.observations.regions.parse_regions` or ``read_regions``.

    Returns
    -------
    RegionStatistics

    Raises
    ------
    ValueError
        If the maps have different shapes, or no valid pixel lies inside.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from polaris_lab.observations.regions import parse_regions
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.01, 0.01]
    >>> wcs.wcs.crpix = [24, 16]
    >>> seen = Observation(np.full((32, 48), 1e21), wcs=wcs, distance=140 * u.pc, species="H")
    >>> flat = np.full((32, 48), 500.0, np.float32)
    >>> none = np.zeros((32, 48), np.int16)
    >>> found = region_statistics(
    ...     seen, Prediction(flat, none, none, wcs), parse_regions("icrs; box(0, 0, 0.09, 0.09, 0)")
    ... )
    >>> found.pixels, round(found.density_by_mass, 3)
    (81, 500.0)
    """
    if observation.shape != prediction.shape:
        raise ValueError(
            f"prediction: expected the shape of the map {observation.shape}, got {prediction.shape}"
        )
    inside = region_mask(observation, region)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)  # large maps, small regions
    inside, column, density = inside[part], observation.column_density[part], prediction.density[part]
    valid = inside & np.isfinite(column) & np.isfinite(density)
    if not valid.any():
        raise ValueError("region: expected observed pixels inside, got blank ones only; choose another place")
    pixel = observation.pixel_size_pc
    here_column, here_density = column[valid].astype(np.float64), density[valid].astype(np.float64)
    mass = dense_gas_mass(
        np.where(valid, density, np.nan), column, pixel_size=pixel * u.pc, threshold=1e-30 * u.cm**-3
    )
    low, median, high = np.quantile(here_density, [0.16, 0.5, 0.84])
    interval = np.nan
    if prediction.lower68 is not None:
        interval = float(
            np.median(np.log10(prediction.upper68[part][valid] / prediction.lower68[part][valid]))
        )
    return RegionStatistics(
        pixels=int(valid.sum()),
        blank=int((inside & ~valid).sum()),
        area_pc2=float(valid.sum() * pixel**2),
        mass_msun=mass.value,
        column_mean=float(here_column.mean()),
        column_max=float(here_column.max()),
        density_low=float(low),
        density_median=float(median),
        density_high=float(high),
        density_max=float(here_density.max()),
        density_by_mass=float((here_column * here_density).sum() / here_column.sum()),
        interval_dex=interval,
        flagged=float((prediction.quality[part][valid] != 0).mean()),
    )
