"""PyVista off screen; where this machine has no OpenGL library the tests say so and skip."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from widgets import scenes
from widgets.volume import gl_probe
from widgets.volume.camera import SLOPE, VIEWS, Camera
from widgets.volume.projector import march


@pytest.fixture
def cloud():
    values = np.full((20, 24, 16), 1.0)
    values[2:6, 16:22, 1:5] = 1e4  # one lump, off the middle along every axis
    return lab.SimulationCube(values, cell_size=0.1 * u.pc, name="lump")


@pytest.fixture
def gl():
    if problem := gl_probe.gl_problem():
        pytest.skip(problem)


@pytest.mark.parametrize(
    ("code", "words"),
    [(-11, "install libegl1"), (1, "install libegl1"), (0, "")],
    ids=["killed", "black", "draws"],
)
def test_a_child_that_dies_is_told_with_the_remedy(monkeypatch, code, words):
    ended = subprocess.CompletedProcess([], code, b"", b"")
    monkeypatch.setattr(gl_probe.subprocess, "run", lambda *_a, **_k: ended)
    problem = gl_probe.gl_problem.__wrapped__()
    assert (words in problem) if words else problem == ""


def test_a_probe_that_is_killed_leaves_this_process_alive(monkeypatch):
    monkeypatch.setattr(gl_probe, "_PROBE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert "install libegl1" in gl_probe.gl_problem.__wrapped__()
    assert sys.is_finalizing() is False


@pytest.mark.parametrize(
    ("choice", "words"),
    [({"picture": "cube"}, "volume, isosurfaces, slices"), ({"mode": "emission"}, "composite, maximum")],
)
def test_unknown_choices_are_refused(choice, words):
    with pytest.raises(ValueError, match=words):
        scenes.Look(**choice)


def test_a_movie_needs_a_known_ending(cloud, tmp_path):
    with pytest.raises(ValueError, match="gif or"):
        scenes.movie(cloud, tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="two or more"):
        scenes.movie(cloud, tmp_path / "a.gif", frames=1)


@pytest.mark.parametrize("view", ["along z", "oblique"])
def test_pyvista_shows_the_lump_where_the_projector_does(gl, cloud, view):
    look = scenes.Look(
        mode="maximum", colours="gray", camera=Camera(*VIEWS[view], 1 / SLOPE, perspective=False)
    )
    stage, scene = look.set(cloud)
    seen = stage.frame(scene, look.camera, size=(96, 80)).mean(-1)
    expected = np.nan_to_num(march(scene, look.camera, width=96, height=80))[::-1]
    stage.close()
    places = [
        [(grid * picture).sum() / picture.sum() for grid in np.indices(seen.shape)]
        for picture in (seen, expected)
    ]
    assert places[0] == pytest.approx(places[1], abs=1.0)  # not mirrored, not upside down, as large


def test_a_figure_and_a_movie_are_written(gl, cloud, tmp_path):
    from PIL import Image

    path = scenes.figure(
        cloud, tmp_path / "a.png", picture="isosurfaces", cores=[(0.4, 1.9, 0.3, "B1")], size=(320, 240)
    )
    assert np.asarray(Image.open(path)).std() > 5
    with Image.open(
        scenes.movie(cloud, tmp_path / "a.gif", frames=3, picture="slices", size=(96, 80))
    ) as film:
        assert film.n_frames == 3
