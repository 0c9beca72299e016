"""Reading one map out of a FITS file: the image, its celestial WCS, its pixel scale, its beam."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

log = logging.getLogger(__name__)

PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x1f\x9d")
"""First bytes of the compressed files that astropy opens."""


class HeaderWarning(UserWarning):
    """A card of a header makes no sense and was ignored; the message says which."""


class Image(NamedTuple):
    """One 2D image of a FITS file."""

    values: np.ndarray
    """Shape (ny, nx), as stored (scaled by BSCALE and BZERO), native byte order."""
    header: fits.Header
    """Its whole header."""
    wcs: WCS
    """Celestial, two axes in the order of the file."""


class PixelScale(NamedTuple):
    """Size of a pixel on the sky at the centre of a map."""

    size_arcsec: float
    """Square root of its solid angle."""
    side_arcsec: tuple[float, float]
    """Its extent along y and along x."""
    anisotropy: float
    """Ratio of the longest to the shortest axis of a unit circle drawn in pixels; 1 for square pixels."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep astropy's remarks on odd cards to itself: dates, unit spellings and padding do not touch a map.

    What does matter (geometry, truncated data, blanks) is checked here and raised or warned of by name.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield


def read_image(path: str | Path, *, hdu: int | str | None = None) -> Image:
    """Read a 2D image with a celestial WCS.

    Parameters
    ----------
    path : str or Path
        A FITS file, also compressed (.gz, .bz2, .xz, .fz).
    hdu : int or str, optional
        Number or name of the extension; by default the first that holds a 2D image.

    Returns
    -------
    Image

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, cut off or no FITS, if the extension holds no 2D image, or it has no celestial WCS.
    """
    path = Path(path)
    _check_file(path)
    try:
        with quiet(), fits.open(path, memmap=False) as hdus:
            chosen = _choose(hdus, hdu, path)
            header = chosen.header.copy()
            values = np.asarray(chosen.data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}: expected a whole compressed FITS file, got one that is cut off or broken ({error}); "
            "fetch it again"
        ) from error
    except (OSError, TypeError, ValueError, IndexError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(
            f"{path}: expected a whole FITS file, got one that cannot be read ({error}); it is cut off or "
            "damaged: fetch it again"
        ) from error
    wcs = celestial_wcs(header, where=str(path))
    values = values.reshape([n for n in values.shape if n > 1])
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return Image(values, header, wcs)


def first_image(path: str | Path) -> tuple[fits.Header, tuple[int, ...]] | None:
    """Return the header and shape of the first image of a FITS file, without reading its pixels; None without one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, cut off or no FITS.
    """
    path = Path(path)
    _check_file(path)
    packed = path.suffix.lower() in (".gz", ".bz2", ".xz", ".z", ".zip")
    try:
        with quiet(), fits.open(path, memmap=not packed, lazy_load_hdus=True) as hdus:
            for hdu in hdus:
                if _axes(hdu):
                    if not packed and path.stat().st_size < hdu.fileinfo()["datLoc"] + hdu.size:
                        raise OSError("it ends before its data do")
                    return hdu.header.copy(), tuple(hdu.shape)
    except (EOFError, zlib.error, OSError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path}: expected a whole FITS file, got one that cannot be read ({error}); it is cut off or "
            "damaged: fetch it again"
        ) from error
    return None


def read_values(
    path: str | Path, *, hdu: int | str, shape: tuple[int, int]
) -> tuple[np.ndarray, fits.Header]:
    """Read another 2D image of a file, such as an error map, without coordinates of its own, and its header.

    Raises
    ------
    ValueError
        If there is no such extension, or it has another shape.
    """
    path = Path(path)
    with quiet(), fits.open(path, memmap=False) as hdus:
        chosen = _choose(hdus, hdu, path)
        values, header = np.asarray(chosen.data), chosen.header.copy()
    values = values.reshape([n for n in values.shape if n > 1])
    if values.shape != shape:
        raise ValueError(f"{path}: hdu {hdu!r}: expected the shape of the map {shape}, got {values.shape}")
    return values.astype(values.dtype.newbyteorder("="), copy=False), header


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a FITS file, got no such file; check the path")
    if path.is_dir():
        raise ValueError(f"{path}: expected a FITS file, got a folder; name the file in it")
    with path.open("rb") as file:
        start = file.read(80)
    if not start:
        raise ValueError(f"{path}: expected a FITS file, got an empty file (0 bytes); fetch it again")
    if not start.startswith((b"SIMPLE", *PACKED)):
        page = "; it is a web page: the address has moved" if start.lstrip().startswith(b"<") else ""
        raise ValueError(f"{path}: expected a FITS file, got one that starts with {start[:20]!r}{page}")


def _choose(hdus: fits.HDUList, hdu: int | str | None, path: Path) -> fits.ImageHDU:
    """Return the HDU asked for, or the first one with a 2D image."""
    listed = "; ".join(f"{i} {item.name or 'unnamed'}: {_describe(item)}" for i, item in enumerate(hdus))
    if hdu is None:
        maps = [item for item in hdus if _axes(item) == 2]
        if maps:
            if len(maps) > 1:
                log.info("%s holds %d images, the first is taken (%s)", path, len(maps), listed)
            return maps[0]
        images = [item for item in hdus if _axes(item)]
        raise ValueError(
            f"{path}: expected an image with 2 axes, got none ({listed or 'no data'})"
            + ("; a cube is integrated or cut to one map first" if any(_axes(i) > 2 for i in images) else "")
        )
    try:
        chosen = hdus[hdu]
    except (IndexError, KeyError) as error:
        raise ValueError(
            f"{path}: hdu: expected an extension of the file, got {hdu!r}; it holds {listed}"
        ) from error
    if _axes(chosen) != 2:
        raise ValueError(
            f"{path}: hdu: expected an image with 2 axes, got {_describe(chosen)} in {hdu!r}; it holds {listed}"
        )
    return chosen


def _axes(hdu: fits.ImageHDU) -> int:
    """Count the axes of an image that are longer than one pixel (0 for a table or no data)."""
    return sum(n > 1 for n in hdu.shape) if hdu.is_image else 0


def _describe(hdu: fits.ImageHDU) -> str:
    if not hdu.is_image:
        return "a table"
    if not hdu.shape:
        return "no data"
    return f"an image of {len(hdu.shape)} axes, {' x '.join(str(n) for n in reversed(hdu.shape))} pixels"


def celestial_wcs(header: fits.Header, *, where: str) -> WCS:
    """Return the WCS of the two sky axes of an image, in the order of its pixels.

    Raises
    ------
    ValueError
        If the header has no celestial coordinates on the two axes that are longer than one pixel.

    Warns
    -----
    HeaderWarning
        If EQUINOX is 0, which no catalogue has: it is left out, and RADESYS or J2000 holds.
    """
    header = header.copy()
    for card in ("EQUINOX", "EPOCH"):
        if card in header and not _is_year(header[card]):
            warnings.warn(
                f"{where}: {card} = {header[card]!r} is no equinox and is ignored; the coordinates are taken as "
                f"{header.get('RADESYS', 'FK5, J2000')}",
                HeaderWarning,
                stacklevel=3,
            )
            del header[card]
            if "RADESYS" not in header:
                header["RADESYS"] = "FK5"
                header["EQUINOX"] = 2000.0
    axes = [i + 1 for i in range(int(header["NAXIS"])) if int(header[f"NAXIS{i + 1}"]) > 1]
    try:
        with quiet():
            wcs = WCS(header).sub(axes)
            celestial = wcs.has_celestial
            centre = wcs.all_pix2world([[(int(header[f"NAXIS{i}"]) - 1) / 2 for i in axes]], 0)
    except Exception as error:  # wcslib raises many kinds, all of which mean the same here
        raise ValueError(f"{where}: expected a WCS that can be read, got {error}") from error
    if not celestial or not np.isfinite(centre).all():
        types = ", ".join(repr(str(header.get(f"CTYPE{i}", ""))) for i in axes)
        raise ValueError(
            f"{where}: expected a celestial WCS on both axes, got CTYPE {types}; without it the pixel has no size "
            "on the sky: add the cards CTYPE, CRVAL, CRPIX, CDELT (for example RA---TAN and DEC--TAN)"
        )
    bare = [
        i
        for i in axes
        if not any(header[card] for card in (f"CD{i}_*", f"PC{i}_*")) and f"CDELT{i}" not in header
    ]
    if bare:
        raise ValueError(
            f"{where}: expected the size of a pixel (CDELT{bare[0]}, or a CD matrix), got a WCS without it, which "
            "would mean one degree: add the cards"
        )
    return wcs


def _is_year(value: object) -> bool:
    try:
        return 1000.0 < float(value) < 3000.0
    except (TypeError, ValueError):
        return False


def pixel_scale(wcs: WCS, shape: tuple[int, int]) -> PixelScale:
    """Measure the pixel on the sky at the centre of a map.

    The derivative of the position is taken on the sphere, so that rotation, flips, CD matrices and
    projections whose scale varies over the field (CAR, SFL far from their centre) all count.

    Examples
    --------
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.005, 0.005]
    >>> f"{pixel_scale(wcs, (100, 100)).size_arcsec:.2f}"
    '18.00'
    """
    y, x = ((n - 1) / 2 for n in shape)
    corners = np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]])
    with quiet():
        world = np.radians(wcs.all_pix2world(corners, 0))
    longitude, latitude = world[:, wcs.wcs.lng], world[:, wcs.wcs.lat]
    vectors = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
    jacobian = np.stack([vectors[1] - vectors[0], vectors[3] - vectors[2]], axis=1)  # (3, 2)
    long, short = np.linalg.svd(jacobian, compute_uv=False)
    if not short > 0:
        raise ValueError("wcs: expected pixels with an area on the sky, got none at the centre of the map")
    arcsec = math.degrees(1.0) * 3600.0
    along_x, along_y = np.linalg.norm(jacobian, axis=0) * arcsec
    return PixelScale(math.sqrt(long * short) * arcsec, (float(along_y), float(along_x)), float(long / short))


def header_beam(
    header: fits.Header, *, pixel_arcsec: float, where: str, most_pixels: float = 1e4
) -> float | None:
    """Return the beam's full width at half maximum [arcsec] from BMAJ and BMIN [deg], None if there is none.

    Warns
    -----
    HeaderWarning
        If it is finer than a third of a pixel or wider than `most_pixels` (the map), which BMAJ in other units looks like.
    """
    try:
        major = float(header["BMAJ"])
        minor = float(header.get("BMIN", major))
    except (KeyError, TypeError, ValueError):
        return None
    if not (major > 0 and minor > 0):
        return None
    beam = 3600.0 * math.sqrt(major * minor)
    if not pixel_arcsec / 3 <= beam <= most_pixels * pixel_arcsec:
        warnings.warn(
            f"{where}: BMAJ = {major:g} is ignored: in degrees it would be {beam / pixel_arcsec:.3g} pixels; write "
            "beam=36 * u.arcsec to give the beam",
            HeaderWarning,
            stacklevel=3,
        )
        return None
    return beam
