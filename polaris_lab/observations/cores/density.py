"""From a mass-weighted density to that of the core: two media on the line of sight, of which one is the core.

A line of sight through N_H with a core of density n_c and length L_c in a diffuse medium (n_d, L_d) has
<n>_M = (L_d n_d^2 + L_c n_c^2) / N and N = L_d n_d + L_c n_c. One more thing must be known of the diffuse medium.
All densities are of hydrogen nuclei.
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from scipy.ndimage import median_filter

from polaris_lab.units import PARSEC, positive, to_unit

FADE_LOG_COLUMN, FADE_SLOPE = 25.1, 5.0
"""Above this log10 N_H the correction fades out (a sigmoid of this slope): there the core is the column."""


def cloud_length(
    mass_weighted_density: float | np.ndarray,
    *,
    core_density: u.Quantity,
    core_radius: u.Quantity,
    diffuse_density: u.Quantity,
) -> u.Quantity:
    """Length of the line of sight on which a core would give the mass-weighted density (report, eq. 7).

    It grows without bound where <n>_M approaches the diffuse density: a check of a prediction, not a measurement. It
    should lie between the size of the cloud on the sky and a few times that.

    Parameters
    ----------
    mass_weighted_density : float or ndarray
        <n_H>_M [cm^-3].
    core_density : Quantity
        n_H inside the core.
    core_radius : Quantity
        Its radius; the line crosses 2 r.
    diffuse_density : Quantity
        n_H around it.

    Returns
    -------
    Quantity
        [pc], infinite where <n>_M does not exceed the diffuse density; 2 r where it reaches the core's.

    Raises
    ------
    ValueError
        If the core is not denser than its surroundings, or a density is not positive.

    References
    ----------
    Report, eq. 7 (whose text gives 10^5 pc for Polaris; with its own numbers, n_c = 5e4 cm^-3, r = 0.03 pc and
    n_d = 30 cm^-3, that needs <n>_M of about 80 cm^-3).

    Examples
    --------
    >>> found = cloud_length(300.0, core_density=5e4 * u.cm**-3, core_radius=0.03 * u.pc, diffuse_density=30 * u.cm**-3)
    >>> print(f"{found:.3g}")
    1.84e+04 pc
    """
    dense = positive(core_density, u.cm**-3, "core_density")
    diffuse = positive(diffuse_density, u.cm**-3, "diffuse_density")
    depth = 2 * positive(core_radius, u.pc, "core_radius")
    if not dense > diffuse:
        raise ValueError(
            f"core_density: expected more than the diffuse {diffuse:g} cm^-3, got {dense:g}; exchange them"
        )
    mean = _positive_array(mass_weighted_density, "mass_weighted_density")
    excess = np.clip(dense - mean, 0, None)
    with np.errstate(divide="ignore"):
        surroundings = np.where(
            mean > diffuse, depth * dense * excess / (diffuse * np.clip(mean - diffuse, 0, None)), np.inf
        )
    return (depth + surroundings) * u.pc


def core_density_from_background(
    mass_weighted_density: np.ndarray,
    column_density: np.ndarray,
    background_column: float | np.ndarray,
) -> np.ndarray:
    """Density of the core where the column of its surroundings is known: <n>_M N / (N - N_bg).

    The diffuse medium adds column and next to nothing to the sum of n^2. Where the background reaches the column
    nothing is corrected.

    Parameters
    ----------
    mass_weighted_density : ndarray
        <n_H>_M [cm^-3].
    column_density : ndarray
        N_H [cm^-2].
    background_column : float or ndarray
        N_H of the surroundings [cm^-2], from :func:`blurred_background` or a value.

    Returns
    -------
    ndarray
        n_c [cm^-3], never below <n>_M.

    Raises
    ------
    ValueError
        If a value is not positive.
    """
    mean = _positive_array(mass_weighted_density, "mass_weighted_density")
    column = _positive_array(column_density, "column_density")
    background = np.asarray(background_column, float)
    if np.any(background < 0):
        raise ValueError("background_column: expected N_H [cm^-2] of zero or more, got negative values")
    share = np.where(background < column, 1 - background / column, 1.0)
    return _faded(mean / share, mean, column)


def blurred_background(
    column_density: np.ndarray, *, fwhm_pixels: float, median_pixels: int = 11
) -> np.ndarray:
    """Column of the surroundings: the map blurred by a Gaussian, then its median over a window.

    The report's author takes a Gaussian of 25 x 18.2" full width at half maximum and 11 pixels. NaN has no weight.

    Parameters
    ----------
    column_density : ndarray, shape (ny, nx)
        N_H [cm^-2], NaN where blank.
    fwhm_pixels : float
        Of the Gaussian [pixels].
    median_pixels : int
        Side of the window [pixels].

    Returns
    -------
    ndarray
        [cm^-2], NaN where the map is.
    """
    from scipy.ndimage import gaussian_filter

    if not fwhm_pixels > 0:
        raise ValueError(f"fwhm_pixels: expected a positive number of pixels, got {fwhm_pixels}")
    if median_pixels < 1:
        raise ValueError(f"median_pixels: expected at least 1, got {median_pixels}")
    valid = np.isfinite(column_density)
    sigma = fwhm_pixels / 2.3548200450309493
    weight = gaussian_filter(valid.astype(float), sigma, mode="constant")
    total = gaussian_filter(np.where(valid, column_density, 0.0), sigma, mode="constant")
    blurred = total / np.maximum(weight, 1e-12)
    return np.where(valid, median_filter(blurred, median_pixels, mode="nearest"), np.nan)


def background_at(
    column_density: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    fwhm_pixels: float,
    median_pixels: int = 11,
) -> np.ndarray:
    """Return :func:`blurred_background` at some pixels only: for few cores on a large map.

    Parameters
    ----------
    column_density : ndarray, shape (ny, nx)
        N_H [cm^-2], NaN where blank.
    x, y : ndarray of int
        Pixels.
    fwhm_pixels, median_pixels
        As for :func:`blurred_background`.

    Returns
    -------
    ndarray
        [cm^-2], of each pixel.

    Examples
    --------
    >>> background_at(np.full((30, 30), 2e21), np.array([4]), np.array([20]), fwhm_pixels=5.0)
    array([2.e+21])
    """
    sigma = fwhm_pixels / 2.3548200450309493
    reach = int(4 * sigma + 0.5)
    found = np.empty(len(x))
    for core, place in enumerate(zip(y, x, strict=True)):
        weights, parts = [], []
        for centre, side in zip(place, np.shape(column_density), strict=True):
            first = centre - median_pixels // 2
            pixels = np.clip(np.arange(first, first + median_pixels), 0, side - 1)
            part = slice(max(0, int(pixels[0]) - reach), min(side, int(pixels[-1]) + reach + 1))
            apart = np.arange(part.start, part.stop) - pixels[:, None]
            weights.append(np.where(np.abs(apart) <= reach, np.exp(-0.5 * (apart / sigma) ** 2), 0.0))
            parts.append(part)
        values = np.asarray(column_density[tuple(parts)], float)
        valid = np.isfinite(values)
        total = weights[0] @ np.where(valid, values, 0.0) @ weights[1].T
        blurred = (total / np.maximum(weights[0] @ valid @ weights[1].T, 1e-12)).ravel()
        found[core] = np.sort(blurred)[blurred.size // 2]  # the rank that scipy's median_filter takes
    return found


def core_density_from_depth(
    mass_weighted_density: np.ndarray,
    column_density: np.ndarray,
    *,
    core_radius: u.Quantity,
    diffuse_depth: u.Quantity = 10 * u.pc,
) -> np.ndarray:
    """Density of the core where the depth of its surroundings is known.

    n_c = N / (L_c + L_d) [1 + sqrt(1 - (L_d / L_c + 1)(1 - <n>_M L_d / N))], L_c = 2 r.

    Parameters
    ----------
    mass_weighted_density, column_density : ndarray
        <n_H>_M [cm^-3] and N_H [cm^-2].
    core_radius, diffuse_depth : Quantity
        Radius of the core and depth of the medium around it.

    Returns
    -------
    ndarray
        n_c [cm^-3], never below <n>_M; <n>_M itself where no such pair of media exists.
    """
    mean = _positive_array(mass_weighted_density, "mass_weighted_density")
    column = _positive_array(column_density, "column_density")
    length = 2 * positive(core_radius, u.pc, "core_radius") * PARSEC
    depth = positive(diffuse_depth, u.pc, "diffuse_depth") * PARSEC
    discriminant = 1 - (depth / length + 1) * (1 - mean * depth / column)
    root = np.sqrt(np.clip(discriminant, 0, None))
    return _faded(np.where(discriminant >= 0, column / (length + depth) * (1 + root), mean), mean, column)


def core_density_from_diffuse(
    mass_weighted_density: np.ndarray,
    column_density: np.ndarray,
    *,
    core_radius: u.Quantity,
    diffuse_density: u.Quantity,
) -> np.ndarray:
    """Density of the core where that of its surroundings is known.

    n_c = n_d / 2 [1 + sqrt(1 - 4 N / (L_c n_d) (1 - <n>_M / n_d))], L_c = 2 r.

    Parameters
    ----------
    mass_weighted_density, column_density : ndarray
        <n_H>_M [cm^-3] and N_H [cm^-2].
    core_radius, diffuse_density : Quantity
        Radius of the core, and n_H around it.

    Returns
    -------
    ndarray
        n_c [cm^-3], never below <n>_M; <n>_M itself where no such pair of media exists.
    """
    mean = _positive_array(mass_weighted_density, "mass_weighted_density")
    column = _positive_array(column_density, "column_density")
    length = 2 * positive(core_radius, u.pc, "core_radius") * PARSEC
    diffuse = positive(diffuse_density, u.cm**-3, "diffuse_density")
    discriminant = 1 - 4 * column / (length * diffuse) * (1 - mean / diffuse)
    root = np.sqrt(np.clip(discriminant, 0, None))
    return _faded(np.where(discriminant >= 0, diffuse / 2 * (1 + root), mean), mean, column)


def two_media(
    *,
    core_density: u.Quantity,
    core_depth: u.Quantity,
    diffuse_density: u.Quantity,
    diffuse_depth: u.Quantity,
) -> tuple[float, float]:
    """Return <n_H>_M [cm^-3] and N_H [cm^-2] of a core in a diffuse medium: what the formulas here invert.

    Examples
    --------
    >>> mean, column = two_media(
    ...     core_density=1e5 * u.cm**-3, core_depth=0.06 * u.pc, diffuse_density=100 * u.cm**-3, diffuse_depth=10 * u.pc
    ... )
    >>> print(f"{mean:.4g} {column:.3g}")
    8.573e+04 2.16e+22
    """
    dense, diffuse = (
        to_unit(n, u.cm**-3, name)
        for n, name in ((core_density, "core_density"), (diffuse_density, "diffuse_density"))
    )
    length, depth = (
        to_unit(size, u.pc, name) * PARSEC
        for size, name in ((core_depth, "core_depth"), (diffuse_depth, "diffuse_depth"))
    )
    column = length * dense + depth * diffuse
    return (length * dense**2 + depth * diffuse**2) / column, column


def _faded(corrected: np.ndarray, mean: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return max(n_c, <n>_M), where the difference fades out at the highest columns."""
    exponent = np.clip(FADE_SLOPE * (np.log10(column) - FADE_LOG_COLUMN), -60, 60)
    return mean + np.clip(corrected - mean, 0, None) / (1 + np.exp(exponent))


def _positive_array(values: float | np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, float)
    if np.any(values <= 0) or np.any(np.isinf(values)):
        raise ValueError(
            f"{name}: expected positive finite values (NaN where blank), got {np.nanmin(values):g}"
        )
    return values
