"""The overlay opened by a link to a file: what the file itself says is not asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

from polaris_lab.observations import Observation, Prediction
from widgets import PredictionOverlay, prediction_overlay


@pytest.fixture
def workspace(tmp_path):
    """Return a folder with a map and its prediction one level down."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.5, 8.5], [56.9, 32.9]
    wcs.wcs.cdelt = [-0.005, 0.005]
    column = 10 ** np.random.default_rng(1).normal(21.5, 0.1, (16, 20))
    folder = tmp_path / "demo"
    folder.mkdir()
    Observation(column, wcs=wcs, distance=300 * u.pc, species="H2", name="small").write_fits(
        folder / "map.fits"
    )
    made = Prediction(
        (column / 1e18).astype(np.float32), np.zeros((16, 20), np.int16), np.ones((16, 20), np.int16), wcs,
        provenance={"model": "network", "target": "density", "source": "map.fits"},
    )  # fmt: skip
    made.write_fits(folder / "density.fits")
    dataclasses.replace(made, provenance=made.provenance | {"source": "gone.fits"}).write_fits(
        folder / "alone.fits"
    )
    return tmp_path


def linked(workspace, path: str) -> PredictionOverlay:
    """Return the overlay of the sample, turned to a file as a link of the home page turns it."""
    overlay = PredictionOverlay(*prediction_overlay.overlay_data.sample()[:2], workspace_folder=workspace)
    overlay.desk.path = path
    overlay.desk.restore()
    return overlay


def test_a_link_to_a_prediction_opens_its_map_too(workspace):
    overlay = linked(workspace, "demo/density.fits")
    assert (overlay.observation.shape, overlay.prediction.shape) == ((16, 20), (16, 20))
    assert overlay.observation.distance_pc == 300
    assert np.isfinite(overlay.prediction.density).all()
    assert (overlay.desk.path, overlay.desk.prediction) == ("demo/map.fits", "demo/density.fits")


def test_a_link_to_a_map_takes_distance_and_species_from_its_header(workspace):
    overlay = linked(workspace, "demo/map.fits")
    assert overlay.observation.shape == (16, 20)
    assert overlay.observation.distance_pc == 300


def test_a_prediction_whose_map_is_gone_says_which_to_open(workspace):
    overlay = linked(workspace, "demo/alone.fits")
    assert overlay.observation.shape == (128, 128)
    assert "open the map that it was made of first" in overlay.parts.state.object
