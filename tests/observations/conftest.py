"""Small maps on disk and in memory, with the traps of real files on demand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS


def sky_wcs(shape: tuple[int, int], *, pixel_arcsec: float = 20.0, rotation: float = 0.0) -> WCS:
    """Return a TAN projection centred on a map, north up by `rotation` degrees, east left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [65.0, 27.0]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    angle, step = np.radians(rotation), pixel_arcsec / 3600
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = turn @ np.diag([-step, step])
    return wcs


def smooth_column(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return a lognormal map of N [cm^-2] with structure on all scales."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    wave = np.hypot(y, x)
    wave[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * wave**-1.4, s=shape)
    return 10 ** (21.3 + 0.3 * field / field.std())


@pytest.fixture
def make_fits(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of FITS maps: ``make_fits(values, BUNIT="cm-2", ...)``; None drops a card."""

    def write(
        values: np.ndarray | None = None, *, wcs: WCS | None = None, name: str = "map.fits", **cards
    ) -> Path:
        values = smooth_column((24, 40)) if values is None else values
        header = (wcs or sky_wcs(values.shape[-2:])).to_header()
        for key, value in {"BUNIT": "cm-2", **cards}.items():
            if value is None:
                header.remove(key, ignore_missing=True)
            else:
                header[key] = value
        path = tmp_path / name
        with warnings.catch_warnings():  # a BLANK in a floating point image is part of a trap
            warnings.simplefilter("ignore", AstropyWarning)
            fits.PrimaryHDU(values, header).writeto(path)
        return path

    return write
