"""How far a density map is from the densities of catalogued cores (the report's figure 35)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from polaris_lab.config import did_you_mean
from polaris_lab.observations.cores.catalogue import pixel_positions
from polaris_lab.units import HYDROGEN_PER_H2

GAUSSIAN_PROFILE = 4 / 3 * math.pi * (8 * math.log(2)) ** 1.5 / ((2 * math.pi) ** 1.5 * math.sqrt(2))
"""<n>_M on the axis of a Gaussian core over its mean density M / (4/3 pi R^3), where R is its full width at half
maximum, as in HGBS: n_peak / sqrt(2) = 2.46 times the mean."""

DENSITY_COLUMNS = ("mean_density", "mean_density_observed", "peak_density")


@dataclasses.dataclass(frozen=True)
class CoreErrors:
    """Cores on a map: what the map says, what the catalogue says, and the difference.

    Attributes
    ----------
    name : ndarray of str
    x, y : ndarray
        Positions [pixels].
    log_column : ndarray
        log10 N_H [cm^-2] at the core.
    predicted, catalogue : ndarray
        n_H [cm^-3] of the map in the aperture, and of the catalogue as a mass-weighted density.
    error_dex : ndarray
        log10(predicted / catalogue); positive is too dense.
    definition : str
        How the catalogue's density was made comparable, in words.
    flagged : ndarray of bool or None
        Whether the pixel of the core carries a quality flag, where the prediction is known.
    """

    name: np.ndarray
    x: np.ndarray
    y: np.ndarray
    log_column: np.ndarray
    predicted: np.ndarray
    catalogue: np.ndarray
    error_dex: np.ndarray
    definition: str
    flagged: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.name)

    @property
    def bias_dex(self) -> float:
        """Median error [dex]."""
        return float(np.median(self.error_dex))

    @property
    def scatter_dex(self) -> float:
        """Robust scatter: 1.48 times the median distance from the median [dex]."""
        return float(1.4826 * np.median(np.abs(self.error_dex - self.bias_dex)))

    def moving_mean(self, window: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean error and its scatter in a window that moves over the cores by column density.

        Parameters
        ----------
        window : int
            Cores in the window.

        Returns
        -------
        log_column, mean, scatter : ndarray
            Mean log10 N_H, mean error and standard deviation [dex] of each window.

        Raises
        ------
        ValueError
            If there are fewer cores than the window holds.
        """
        columns, errors = self._windows(window)
        return columns.mean(axis=1), errors.mean(axis=1), errors.std(axis=1)

    def moving_median(self, window: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median error and its scatter in a window that moves over the cores by column density.

        As :meth:`moving_mean`, with medians, and for the scatter half of the range that holds the middle 68 % [dex].
        """
        columns, errors = self._windows(window)
        low, middle, high = np.quantile(errors, [0.16, 0.5, 0.84], axis=1)
        return np.median(columns, axis=1), middle, (high - low) / 2

    def _windows(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Return log10 N_H and error [dex] in windows over the cores by column density, shape (windows, window) each."""
        if not 1 <= window <= len(self):
            raise ValueError(f"window: expected 1 to {len(self)} cores, got {window}")
        order = np.argsort(self.log_column, kind="stable")
        columns = np.lib.stride_tricks.sliding_window_view(self.log_column[order], window)
        errors = np.lib.stride_tricks.sliding_window_view(self.error_dex[order], window)
        return columns, errors

    def by_column(self, width_dex: float = 0.25) -> Table:
        """Error in bins of column density.

        Parameters
        ----------
        width_dex : float
            Of a bin of log10 N_H; bins begin at multiples of it, and those without a core are left out.

        Returns
        -------
        Table
            ``low``, ``high`` (of log10 N_H), ``cores``, ``median_dex``, ``scatter_dex`` (half of the range of the middle
            68 %; NaN of one core) and, where flags are known, ``flagged`` (a fraction).

        Raises
        ------
        ValueError
            If the width is not positive.
        """
        if not width_dex > 0:
            raise ValueError(f"width_dex: expected a positive width [dex], got {width_dex}")
        bins = np.floor(self.log_column / width_dex + 1e-9).astype(int)
        rows = []
        for number in np.unique(bins):
            inside = bins == number
            low, middle, high = np.quantile(self.error_dex[inside], [0.16, 0.5, 0.84])
            row = {
                "low": number * width_dex,
                "high": (number + 1) * width_dex,
                "cores": int(inside.sum()),
                "median_dex": middle,
                "scatter_dex": (high - low) / 2 if inside.sum() > 1 else math.nan,
            }
            rows.append(
                row | ({} if self.flagged is None else {"flagged": float(self.flagged[inside].mean())})
            )
        return Table(rows, meta={"definition": self.definition})

    def to_table(self) -> Table:
        """Return one row a core, with units."""
        return Table(
            {
                "name": self.name,
                "x": self.x,
                "y": self.y,
                "log_column_density": self.log_column,
                "predicted": self.predicted,
                "catalogue": self.catalogue,
                "error_dex": self.error_dex,
            },
            units={"predicted": "cm-3", "catalogue": "cm-3"},
            meta={"definition": self.definition},
        )

    def __repr__(self) -> str:
        """Say how many cores, bias and scatter."""
        return (
            f"CoreErrors({len(self)} cores: median {self.bias_dex:+.2f} dex, scatter {self.scatter_dex:.2f} dex; "
            f"{self.definition})"
        )


def core_errors(
    density: np.ndarray,
    column_density: np.ndarray,
    wcs: WCS,
    catalogue: Table,
    *,
    column: str = "mean_density",
    profile_factor: float = GAUSSIAN_PROFILE,
    aperture_fwhm_pixels: float | None = None,
) -> CoreErrors:
    """Compare a density map with a catalogue of cores.

    Parameters
    ----------
    density : ndarray, shape (ny, nx)
        Mass-weighted density n_H [cm^-3], NaN where blank.
    column_density : ndarray, shape (ny, nx)
        N_H [cm^-2] on the same pixels.
    wcs : WCS
        Celestial coordinates of the pixels.
    catalogue : Table
        From a reader of this room, moved to the distance of the map (:func:`~polaris_lab.observations.cores.at_distance`).
    column : {"mean_density", "mean_density_observed", "peak_density"}
        Density of the catalogue. "peak_density" of HGBS is its column over its beam, no independent density.
    profile_factor : float
        <n>_M on the axis over that density: 2.46 for the mean density of a Gaussian core with R its FWHM.
    aperture_fwhm_pixels : float, optional
        Match the beam: the map is averaged with this Gaussian, weighted by column density (sum N n / sum N), before it
        is read at the core. None reads the pixel.

    Returns
    -------
    CoreErrors
        Cores on blank pixels or without a density in the catalogue are left out.

    Raises
    ------
    ValueError
        If shapes differ, the column is unknown, no core lies on the map (a catalogue of another cloud, galactic
        coordinates), or none has a density.

    Warns
    -----
    CatalogueWarning
        How many cores lie outside the map.

    References
    ----------
    Report, section 4.2 and figure 35.
    """
    density, column_density = np.asarray(density, float), np.asarray(column_density, float)
    if density.shape != column_density.shape or density.ndim != 2:
        raise ValueError(
            f"density, column_density: expected maps of one shape, got {density.shape} and {column_density.shape}"
        )
    if np.nanmedian(density) > 1e12 > np.nanmedian(column_density):
        raise ValueError(
            "density, column_density: expected n_H [cm^-3] first and N_H [cm^-2] second, got values that look exchanged"
        )
    if column not in DENSITY_COLUMNS or column not in catalogue.colnames:
        there = [name for name in DENSITY_COLUMNS if name in catalogue.colnames]
        raise ValueError(f"column: unknown density {column!r}: {did_you_mean(column, there)}")
    if not profile_factor > 0:
        raise ValueError(f"profile_factor: expected a positive number, got {profile_factor}")
    x, y, inside = pixel_positions(catalogue, wcs, density.shape)
    if aperture_fwhm_pixels is not None:
        density = matched_density(density, column_density, aperture_fwhm_pixels)
    stated = np.asarray(catalogue[column], float) * HYDROGEN_PER_H2 * profile_factor
    rows = np.flatnonzero(inside & (stated > 0))
    iy, ix = np.rint(y[rows]).astype(int), np.rint(x[rows]).astype(int)
    seen = np.isfinite(density[iy, ix]) & np.isfinite(column_density[iy, ix])
    rows, iy, ix = rows[seen], iy[seen], ix[seen]
    if not len(rows):
        raise ValueError(
            "catalogue: expected cores with a density on valid pixels of the map, got none; other columns: "
            + ", ".join(name for name in DENSITY_COLUMNS if name in catalogue.colnames)
        )
    predicted = density[iy, ix]
    beam = (
        "in the pixel"
        if aperture_fwhm_pixels is None
        else f"over a beam of {aperture_fwhm_pixels:.3g} pixels"
    )
    return CoreErrors(
        name=np.asarray(catalogue["name"], str)[rows],
        x=x[rows],
        y=y[rows],
        log_column=np.log10(column_density[iy, ix]),
        predicted=predicted,
        catalogue=stated[rows],
        error_dex=np.log10(predicted / stated[rows]),
        definition=f"catalogue: {column} of H2 x 2 nuclei x profile {profile_factor:.3g}; map: {beam}",
    )


def matched_density(density: np.ndarray, column_density: np.ndarray, fwhm_pixels: float) -> np.ndarray:
    """Return the density that a beam sees: sum N n / sum N over a Gaussian; blank pixels have no weight.

    Parameters
    ----------
    density, column_density : ndarray, shape (ny, nx)
        [cm^-3] and [cm^-2].
    fwhm_pixels : float
        Full width at half maximum [pixels].

    Raises
    ------
    ValueError
        If the width is not positive.
    """
    if not fwhm_pixels > 0:
        raise ValueError(f"aperture_fwhm_pixels: expected a positive number of pixels, got {fwhm_pixels}")
    valid = np.isfinite(density) & np.isfinite(column_density)
    weight = np.where(valid, column_density, 0.0)
    scale = weight.max() or 1.0
    sigma = fwhm_pixels / 2.3548200450309493
    below = gaussian_filter(weight / scale, sigma, mode="constant")
    above = gaussian_filter(np.where(valid, weight / scale * density, 0.0), sigma, mode="constant")
    return np.where(valid, above / np.maximum(below, 1e-300), np.nan)
