"""A large cube read behind a page: how far it is, stopped, and what cannot be read."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from widgets import VolumeViewer
from widgets.volume import data as volume_data

from .conftest import said


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    monkeypatch.setattr(volume_data, "LARGE", 1000)
    monkeypatch.setattr(volume_data, "MOST_CELLS", 12)


@pytest.fixture
def gate(monkeypatch):
    """Let layers be read only while it is open; it is taken down when a layer is asked for."""
    opened, asked = threading.Event(), threading.Event()
    read = volume_data.VolumeData.layers

    def layers(self, start, stop):
        asked.set()
        assert opened.wait(30)
        return read(self, start, stop)

    monkeypatch.setattr(volume_data.VolumeData, "layers", layers)
    return opened, asked


def test_the_page_lives_while_a_cube_is_read(cloud, gate):
    opened, asked = gate

    async def visit():
        viewer = VolumeViewer(cloud)
        viewer._reading.button.clicks += 1  # comes back at once
        assert asked.wait(30)
        viewer._reading.look()
        assert viewer._reading.button.label == "Stop reading (0 %)"
        assert viewer._grid is None
        opened.set()
        viewer._reading.wait()
        assert viewer._grid.mean.shape == (10, 12, 8)
        assert not viewer._reading.button.visible
        assert "reduced 2×" in viewer._picture.canvas.scene["corner"][0]

    asyncio.run(visit())


def test_a_reading_is_stopped_by_the_button_and_begun_again(cloud, gate):
    opened, asked = gate

    async def visit():
        viewer = VolumeViewer(cloud)
        viewer.read()
        work = viewer._reading._work
        assert asked.wait(30)
        viewer._reading.button.clicks += 1
        opened.set()
        assert work.ended.wait(30)
        assert isinstance(work.found, InterruptedError)
        assert not viewer._reading.running
        assert viewer._grid is None
        assert viewer._reading.button.label == "Read it, reduced 2×"
        viewer.read()
        viewer._reading.wait()
        assert viewer._grid.mean.shape == (10, 12, 8)

    asyncio.run(visit())


def test_another_cube_ends_the_reading(cloud, gate):
    opened, asked = gate

    async def visit():
        viewer = VolumeViewer(cloud)
        viewer.read()
        work = viewer._reading._work
        assert asked.wait(30)
        opened.set()
        small = lab.SimulationCube(np.full((4, 5, 6), 100.0), cell_size=0.1 * u.pc, name="small")
        viewer.show(small)
        assert work.ended.wait(30)
        assert viewer._grid.mean.shape == (4, 5, 6)
        assert not viewer._reading.button.visible

    asyncio.run(visit())


def test_a_cube_that_cannot_be_read_is_said_and_what_was_shown_stays(cloud, tmp_path):
    np.save(tmp_path / "blank.npy", np.full((20, 24, 16), np.nan, np.float32))
    viewer = VolumeViewer(cloud, workspace_folder=tmp_path)
    viewer.read()
    before = viewer._grid
    viewer.open("blank.npy")
    viewer.read()
    assert "Not read" in said(viewer)
    assert "NaN or infinity everywhere" in said(viewer)
    assert viewer._grid is before
    assert viewer._reading.button.visible


def test_nothing_to_read_is_said():
    with pytest.raises(ValueError, match="a large cube that waits to be read, got none; show or open one"):
        VolumeViewer().read()


def test_means_and_maxima_are_those_of_the_blocks_with_and_without_blanks():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(8, 12, 4)).astype(np.float32)
    for blank in (False, True):
        if blank:
            values[0, 0, 0] = np.nan
        blocks = values.reshape(4, 2, 6, 2, 2, 2).transpose(0, 2, 4, 1, 3, 5).reshape(4, 6, 2, 8)
        grid = volume_data.make_grid(volume_data.volume_data(values), 2)
        assert grid.mean == pytest.approx(np.nanmean(blocks, axis=-1), rel=1e-6)
        assert (grid.peak == np.nanmax(blocks, axis=-1)).all()
