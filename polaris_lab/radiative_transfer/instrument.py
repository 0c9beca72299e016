"""The telescope: beam, channels, noise, baseline, pixels. Each function takes a line cube and returns another.

A typical chain: ``convolve_beam``, ``smooth_channels`` or ``resample_channels``, ``resample_pixels`` (or
``place_on_sky`` and ``resample_to``), ``add_noise``, ``add_baseline``.
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.convolution import Gaussian1DKernel, convolve
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import convolve1d

from polaris_lab.radiative_transfer.choices import check_velocity
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.radiative_transfer.solve import channel_edges
from polaris_lab.units import positive, to_unit

_FWHM = np.sqrt(8 * np.log(2))


def convolve_beam(ppv: PPVCube, fwhm: u.Quantity, *, distance: u.Quantity | None = None) -> PPVCube:
    """Convolve every channel with a Gaussian beam.

    Parameters
    ----------
    ppv : PPVCube
        With a known pixel size.
    fwhm : Quantity
        Full width at half maximum of the beam: an angle, or a length for a cube in pc.
    distance : Quantity, optional
        Turns an angle into pc for a cube in pc.

    Returns
    -------
    PPVCube
        Same grid. Beyond the edges and at NaN the beam is filled by what it still sees (so a uniform map
        stays uniform); NaN pixels stay NaN.

    Raises
    ------
    ValueError
        If the pixel size or the distance is missing.
    """
    size = _pixel(ppv, fwhm, distance)
    sigma = positive(fwhm, fwhm.unit, "fwhm") * fwhm.unit.to(size.unit) / size.value / _FWHM
    kernel = Gaussian1DKernel(sigma, mode="oversample", factor=10) if sigma < 0.8 else Gaussian1DKernel(sigma)
    smooth = _smooth_maps(np.asarray(ppv.data), kernel.array / kernel.array.sum())
    header = None if ppv.header is None else ppv.header.copy()
    width = float(sigma * _FWHM * ppv.pixel_size.value)  # in the unit of the pixel
    note = {}
    if ppv.pixel_size.unit == u.pc:
        note["beam_fwhm_pc"] = width
    elif header is not None:
        header["BMAJ"] = header["BMIN"] = width / 3600
        header["BPA"] = 0.0
    return ppv.with_data(
        smooth.astype(ppv.data.dtype, copy=False), header=header, provenance=ppv.provenance | note
    )


def _smooth_maps(data: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve maps (channel, row, column) with a kernel along rows and columns; NaN and beyond count for nothing.

    A round Gaussian is the product of two of one dimension, which is ten times less work than the square.
    """

    def blur(values: np.ndarray) -> np.ndarray:
        once = convolve1d(values, kernel, axis=-1, mode="constant")
        return convolve1d(once, kernel, axis=-2, mode="constant")

    kind = np.float64 if data.dtype.itemsize > 4 else np.float32
    known = np.isfinite(data)
    same = bool((known == known[:1]).all())  # mostly every channel misses the same pixels
    weight = blur((known[:1] if same else known).astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = blur(np.where(known, data, 0).astype(kind)) / weight.astype(kind)
    return np.where(known, smooth, np.nan)


def _pixel(ppv: PPVCube, like: u.Quantity, distance: u.Quantity | None) -> u.Quantity:
    """Return the pixel size in a unit that compares with `like` (arcsec or pc)."""
    size = ppv.pixel_size
    if size is None:
        raise ValueError("pixel_size: expected a cube with a known pixel size; give PPVCube(pixel_size=...)")
    if like.unit.is_equivalent(size.unit):
        return size
    if distance is None:
        raise ValueError(
            f"distance: expected one to compare {like} with pixels of {size:.4g}; give distance=140 * u.pc"
        )
    parsec = positive(distance, u.pc, "distance")
    if size.unit == u.pc:
        return (size.value / parsec * u.rad).to(u.arcsec)
    return size.to_value(u.rad) * parsec * u.pc


def smooth_channels(ppv: PPVCube, fwhm: u.Quantity, *, shape: str = "gaussian") -> PPVCube:
    """Convolve every spectrum with the response of the spectrometer.

    Parameters
    ----------
    ppv : PPVCube
        With equally spaced channels.
    fwhm : Quantity
        Full width at half maximum of the response (velocity).
    shape : {"gaussian", "hanning"}
        Form of the response; a Hanning response is a triangle in channels.

    Returns
    -------
    PPVCube
        Same channels; the integral of a line that ends inside the cube is kept.

    Raises
    ------
    ValueError
        If channels are uneven or the shape is unknown.
    """
    width = positive(fwhm, "km/s", "fwhm") / _even(ppv)
    if shape == "gaussian":
        kernel = Gaussian1DKernel(width / _FWHM, mode="oversample").array
    elif shape == "hanning":
        reach = int(np.ceil(width))
        kernel = np.maximum(1 - np.abs(np.arange(-reach, reach + 1)) / width, 0)
    else:
        raise ValueError(f'shape: expected "gaussian" or "hanning", got {shape!r}')
    smooth = convolve(
        np.asarray(ppv.data, dtype=np.float64),
        (kernel / kernel.sum())[:, None, None],
        boundary="fill",
        fill_value=0.0,
        preserve_nan=True,
    )
    return ppv.with_data(smooth.astype(ppv.data.dtype))


def _even(ppv: PPVCube) -> float:
    if not ppv.uniform or ppv.channel_width == 0:
        raise ValueError(
            "velocity: expected at least two equally spaced channels; resample them with resample_channels"
        )
    return ppv.channel_width


def add_noise(
    ppv: PPVCube, rms: u.Quantity, *, seed: int | np.random.Generator, beam: u.Quantity | None = None
) -> PPVCube:
    """Add thermal noise.

    Parameters
    ----------
    ppv : PPVCube
        The cube.
    rms : Quantity
        Standard deviation of the noise in a channel [K].
    seed : int or Generator
        Of the noise.
    beam : Quantity, optional
        Full width at half maximum over which the noise of neighbouring pixels is correlated; by default each
        pixel has its own. The rms is kept.

    Returns
    -------
    PPVCube
        Noisy cube.
    """
    level = positive(rms, u.K, "rms")
    noise = np.random.default_rng(seed).standard_normal(ppv.shape)
    if beam is not None:
        noise = np.array(convolve_beam(ppv.with_data(noise, header=None), beam).data)
        noise /= noise.std()
    note = {"noise_rms_K": float(np.hypot(level, ppv.provenance.get("noise_rms_K", 0.0)))}
    return ppv.with_data(
        (np.asarray(ppv.data) + level * noise).astype(ppv.data.dtype), provenance=ppv.provenance | note
    )


def add_baseline(ppv: PPVCube, offset: u.Quantity, *, order: int = 0, seed: int | None = None) -> PPVCube:
    """Add a baseline to every spectrum.

    Parameters
    ----------
    ppv : PPVCube
        The cube.
    offset : Quantity
        Baseline [K]: without a seed the same everywhere; with one, the standard deviation from pixel to pixel
        of each coefficient.
    order : int
        Degree of the polynomial (Legendre, over the width of the cube); above 0 it needs a seed.
    seed : int, optional
        Of the coefficients.

    Returns
    -------
    PPVCube
        Cube with a baseline.
    """
    level = to_unit(offset, u.K, "offset")
    if seed is None:
        if order:
            raise ValueError(f"seed: expected one for a random baseline of order {order}, got None")
        return ppv.with_data((np.asarray(ppv.data) + level).astype(ppv.data.dtype))
    coefficients = np.random.default_rng(seed).normal(0, abs(level), (order + 1, *ppv.shape[1:]))
    grid = np.linspace(-1, 1, ppv.shape[0])
    curves = np.einsum("ck,kyx->cyx", np.polynomial.legendre.legvander(grid, order), coefficients)
    return ppv.with_data((np.asarray(ppv.data) + curves).astype(ppv.data.dtype))


def _overlap(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the share of each old interval in each new one: rows sum to 1 where the new is covered, else NaN."""
    low = np.maximum(old[None, :-1], new[:-1, None])
    high = np.minimum(old[None, 1:], new[1:, None])
    share = np.clip(high - low, 0, None) / np.diff(new)[:, None]
    share[share.sum(1) < 1 - 1e-6] = np.nan
    return share


def resample_channels(ppv: PPVCube, velocity: u.Quantity) -> PPVCube:
    """Average the spectra over other channels; integrals are kept.

    Parameters
    ----------
    ppv : PPVCube
        The cube.
    velocity : Quantity
        Centres of the new channels, ascending; their edges lie half way between.

    Returns
    -------
    PPVCube
        New channels; those that reach beyond the old ones are NaN.
    """
    centres = check_velocity(velocity)
    share = _overlap(channel_edges(ppv.velocity), channel_edges(centres))
    data = np.einsum("nc,cyx->nyx", share, np.asarray(ppv.data, dtype=np.float64))
    return ppv.with_data(data.astype(ppv.data.dtype), velocity=centres)


def resample_pixels(ppv: PPVCube, pixel_size: u.Quantity, *, distance: u.Quantity | None = None) -> PPVCube:
    """Average over larger (or cut into smaller) square pixels, from the first corner on.

    Parameters
    ----------
    ppv : PPVCube
        With a known pixel size.
    pixel_size : Quantity
        Side of the new pixels; an angle needs `distance` for a cube in pc.
    distance : Quantity, optional
        Of the cloud.

    Returns
    -------
    PPVCube
        Whole new pixels only; a remainder at the far edges is left out.

    Raises
    ------
    ValueError
        If not one new pixel fits, or sizes cannot be compared.
    """
    old = _pixel(ppv, pixel_size, distance)
    factor = positive(pixel_size, old.unit, "pixel_size") / old.value
    rows, columns = (int(np.floor(n / factor + 1e-9)) for n in ppv.shape[1:])
    if min(rows, columns) < 1:
        raise ValueError(
            f"pixel_size: expected at most the size of the map, got {factor:.3g} pixels of {ppv.shape[1:]}"
        )
    down, across = (
        np.nan_to_num(_overlap(np.arange(n + 1.0), factor * np.arange(m + 1.0)))
        for n, m in zip(ppv.shape[1:], (rows, columns), strict=True)
    )
    data = np.einsum("ry,vyx,cx->vrc", down, np.asarray(ppv.data, dtype=np.float64), across, optimize=True)
    header = None
    if ppv.header is not None:
        header = WCS(ppv.header).celestial.to_header()
        for axis in (1, 2):
            header[f"CRPIX{axis}"] = (header.get(f"CRPIX{axis}", 0.0) - 0.5) / factor + 0.5
            header[f"CDELT{axis}"] = header[f"CDELT{axis}"] * factor
    return ppv.with_data(data.astype(ppv.data.dtype), pixel_size=factor * ppv.pixel_size, header=header)


def place_on_sky(ppv: PPVCube, center: SkyCoord, *, distance: u.Quantity) -> PPVCube:
    """Give a simulated cube a place on the sky.

    Parameters
    ----------
    ppv : PPVCube
        With pixels in pc.
    center : SkyCoord
        Where its centre goes.
    distance : Quantity
        Of the cloud.

    Returns
    -------
    PPVCube
        With celestial coordinates (tangential projection, columns towards decreasing longitude).
    """
    size = _pixel(ppv, 1 * u.arcsec, distance)
    wcs = WCS(naxis=2)
    galactic = center.frame.name == "galactic"
    wcs.wcs.ctype = ("GLON-TAN", "GLAT-TAN") if galactic else ("RA---TAN", "DEC--TAN")
    wcs.wcs.crval = center.spherical.lon.deg, center.spherical.lat.deg
    wcs.wcs.crpix = (ppv.shape[2] + 1) / 2, (ppv.shape[1] + 1) / 2
    wcs.wcs.cdelt = -size.to_value(u.deg), size.to_value(u.deg)
    header = wcs.to_header()
    if "beam_fwhm_pc" in ppv.provenance:
        beam = ppv.provenance["beam_fwhm_pc"] / ppv.pixel_size.value * size.to_value(u.deg)
        header["BMAJ"], header["BMIN"], header["BPA"] = beam, beam, 0.0
    note = {"distance_pc": positive(distance, u.pc, "distance")}
    return ppv.with_data(ppv.data, header=header, pixel_size=size, provenance=ppv.provenance | note)


def resample_to(ppv: PPVCube, header: fits.Header | WCS, shape: tuple[int, int]) -> PPVCube:
    """Resample every channel onto the pixels of a map.

    Parameters
    ----------
    ppv : PPVCube
        With celestial coordinates (observed, or placed with :func:`place_on_sky`), no coarser than the target
        resolves: convolve with the beam first.
    header : Header or WCS
        Celestial coordinates of the target.
    shape : (int, int)
        Its rows and columns.

    Returns
    -------
    PPVCube
        Bilinear interpolation; NaN outside the cube.

    Raises
    ------
    ValueError
        If the cube has no celestial coordinates.
    """
    from reproject import reproject_interp

    if ppv.wcs is None:
        raise ValueError("ppv: expected a cube with celestial coordinates; give it some with place_on_sky")
    target = header if isinstance(header, WCS) else WCS(header)
    target = target.celestial
    data = np.stack(
        [
            reproject_interp(
                (np.asarray(channel, dtype=np.float64), ppv.wcs), target, shape, return_footprint=False
            )
            for channel in ppv.data
        ]
    )
    size = float(np.sqrt(abs(np.linalg.det(target.pixel_scale_matrix)))) * u.deg
    return ppv.with_data(data.astype(ppv.data.dtype), header=target.to_header(), pixel_size=size)
