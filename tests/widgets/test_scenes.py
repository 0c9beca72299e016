"""PyVista off screen; where this machine has no OpenGL library the tests say so and skip."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from widgets import scenes
from widgets.volume import gl_probe
from widgets.volume.camera import SLOPE, VIEWS, Camera
from widgets.volume.projector import march, picture


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


def test_pyvista_shows_the_lump_where_the_projector_does(gl, cloud):
    """One stage, several cameras: no frame is that of the camera before, mirrored, or upside down."""
    look = scenes.Look(mode="maximum", colours="gray")
    stage, scene = look.set(cloud)
    for view in ("oblique", "along z", "along x"):
        camera = Camera(*VIEWS[view], 1 / SLOPE, perspective=False)
        seen = stage.frame(scene, camera, size=(96, 80)).mean(-1)
        expected = np.nan_to_num(march(scene, camera, width=96, height=80))[::-1]
        places = [
            [(grid * picture).sum() / picture.sum() for grid in np.indices(seen.shape)]
            for picture in (seen, expected)
        ]
        assert places[0] == pytest.approx(places[1], abs=1.0), view
    stage.close()


@pytest.mark.parametrize("mode", ["composite", "maximum"])
def test_pyvista_s_volume_is_the_projector_s(gl, mode):
    """Colours, opacities and optical depths are those of the tested projector (its handedness: the lump above)."""
    cube = lab.synthetic_cloud(32, kind="fbm", seed=3)
    look = scenes.Look(mode=mode)
    stage, scene = look.set(cube)
    seen = stage.frame(scene, look.camera, size=(120, 100)).astype(int)
    stage.close()
    inner = {
        "clip_low": (-31 / 64,) * 3,
        "clip_high": (31 / 64,) * 3,
    }  # VTK ends at the centres of the outer cells
    expected = picture(dataclasses.replace(scene, **inner), look.camera, width=120, height=100)
    assert expected.std() > 5
    assert np.abs(seen - expected).mean() < 0.15 * expected.mean() + 1
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("kind", scenes.PICTURES)
def test_a_figure_is_written(gl, cloud, tmp_path, kind):
    from PIL import Image

    cores = [(0.4, 1.9, 0.3, "B1")]
    path = scenes.figure(cloud, tmp_path / "a.png", picture=kind, cores=cores, size=(320, 240))
    assert np.asarray(Image.open(path)).std() > 5


def test_a_movie_goes_round(gl, cloud, tmp_path):
    from PIL import Image

    path = scenes.movie(cloud, tmp_path / "a.gif", frames=3, picture="isosurfaces", size=(96, 80))
    with Image.open(path) as film:
        assert film.n_frames == 3  # equal pictures would be one
