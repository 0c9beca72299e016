"""A cloud, a line cube, and a viewer of the cloud."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy import units as u
from PIL import Image
from scipy import ndimage

import polaris_lab as lab
from widgets import VolumeViewer

SHAPE = (20, 24, 16)


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.0)
    motion = {axis: ndimage.gaussian_filter(rng.normal(size=SHAPE), 4.0) * 20 for axis in "zyx"}
    density = 300 * np.exp(1.2 * noise / noise.std())
    return lab.SimulationCube(density, cell_size=0.1 * u.pc, velocity=motion, name="fog")


@pytest.fixture
def viewer(cloud):
    return VolumeViewer(cloud)


@pytest.fixture
def ppv():
    values = np.random.default_rng(3).random((6, 8, 10)).astype(np.float32)
    return lab.PPVCube(
        values, np.arange(6.0) * 0.5 - 1, pixel_size=0.1 * u.pc, axis="z", line=lab.Line.named("13CO")
    )


def said(viewer) -> str:
    return f"{viewer._state.title}: {viewer._state.object}"


def asked(viewer, **changes) -> np.ndarray:
    """Ask for a frame as the browser does, and return the picture that it gets."""
    canvas = viewer._picture.canvas
    size = {"width": 60, "height": 40, "moving": False, "number": canvas.answered + 1}
    canvas.request = {**viewer.camera().to_view(), **size, **changes}
    assert canvas.answered == canvas.request["number"]
    return np.asarray(Image.open(io.BytesIO(canvas.frame)))
