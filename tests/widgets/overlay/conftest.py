"""A map, its prediction, the overlay of both, and a folder with files of every kind."""

from __future__ import annotations

import time

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations import Observation, Prediction, Quality
from widgets import PredictionOverlay


def turned_pair(rotation: float = 35.0, *, flagged: float = 0.0):
    """Return a turned map of 60 x 80 pixels with one bright pixel, and a prediction with intervals."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [40.5, 30.5], [56.9, 32.9]
    turn = np.radians(rotation)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = matrix @ np.diag([-0.005, 0.005])
    rng = np.random.default_rng(1)
    column = 10 ** rng.normal(21.5, 0.1, (60, 80))
    column[40, 20] = 7e22
    column[:4] = np.nan
    density = (column / 1e18).astype(np.float32)
    quality = np.zeros(column.shape, np.int16)
    quality[4 : 4 + round(56 * flagged)] = int(Quality.DENSITY_RANGE)
    coverage = np.where(np.isfinite(column), 2, 0).astype(np.int16)
    prediction = Prediction(
        density, quality, coverage, wcs, lower68=density / 2, upper68=density * 2, lower95=density / 4,
        upper95=density * 4, provenance={"model": "network", "target": "density", "run_fingerprint": "abc"},
    )  # fmt: skip
    return Observation(column, wcs=wcs, distance=300 * u.pc, species="H", name="turned"), prediction


@pytest.fixture
def pair():
    return turned_pair()


@pytest.fixture
def overlay(pair, tmp_path):
    return PredictionOverlay(*pair, workspace_folder=tmp_path)


@pytest.fixture
def workspace(pair, tmp_path):
    """Return a folder with a map and its prediction, and files that are neither."""
    observation, prediction = pair
    observation.write_fits(tmp_path / "map.fits")
    header = fits.getheader(tmp_path / "map.fits")
    del header["DISTANCE"], header["SPECIES"]
    fits.PrimaryHDU(observation.column_density, header).writeto(tmp_path / "bare.fits")
    prediction.write_fits(tmp_path / "density.fits")
    whole = (tmp_path / "map.fits").read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.fits").write_text("<html>moved</html>")
    (tmp_path / "cores.csv").write_text(
        "name,ra,dec,mean_density\nfirst,56.9,32.9,3e4\nsecond,56.95,32.95,2e3\nfar,10,10,1e3\n"
    )
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    return tmp_path


def state(overlay) -> str:
    return f"{overlay.parts.state.title}: {overlay.parts.state.object}"


def wait_for(desk, *states: str):
    end = time.monotonic() + 240
    while (seen := desk.refresh()).status not in states:
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    return seen
