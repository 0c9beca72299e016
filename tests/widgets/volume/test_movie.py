"""The movie of the volume viewer: one round, frame by frame, of what is seen."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import polaris_lab as lab
from widgets import VolumeViewer
from widgets.volume import movie


class Timer:
    """A timer that the test rings."""

    def __init__(self):
        self.stopped = False

    def stop(self):
        self.stopped = True


@pytest.fixture
def timers(monkeypatch):
    """Return the timers that are started; none of them rings by itself."""
    made = []

    def add(_callback, period):
        made.append(Timer())
        return made[-1]

    monkeypatch.setattr(movie.pn.state, "add_periodic_callback", add)
    monkeypatch.setattr(movie, "FRAMES", 4)
    monkeypatch.setattr(movie, "SIZE", (60, 40))
    return made


@pytest.fixture
def viewer(timers):
    cube = lab.synthetic_cloud(16, kind="fbm", seed=1)
    return VolumeViewer(cube, renderer="torch", azimuth=300.0)


def frames_of(film: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(film)) as opened:
        shown = []
        for number in range(opened.n_frames):
            opened.seek(number)
            shown.append(np.asarray(opened.convert("RGB"), int))
        return shown


def test_a_round_begins_with_what_is_seen_and_is_delivered_once(viewer, timers):
    made, canvas = viewer._picture.movie, viewer._picture.canvas
    made.start()
    for number in range(4):
        assert made.running
        assert f"{number} of 4" in made.button.label
        assert canvas.movie == b""
        made.step()
    assert not made.running
    assert timers[0].stopped
    assert made.button.label == "Save movie"
    shown = frames_of(canvas.movie)
    assert len(shown) == 4
    assert shown[0].shape == (40, 60, 3)
    still = viewer._picture._frames(moving=False)(viewer.camera(), 60, 40)
    assert viewer.azimuth == 300.0, "the movie does not turn the page's camera"
    wanted = np.asarray(Image.open(io.BytesIO(still)).convert("RGB"), int)
    assert np.abs(shown[0] - wanted).mean() < 4  # WebP is lossy
    assert all(np.abs(one - shown[0]).mean() > 4 for one in shown[1:])


def test_what_is_changed_meanwhile_does_not_change_the_movie(viewer):
    made = viewer._picture.movie
    made.start()
    made.step()
    viewer.colours = "viridis"
    for _ in range(3):
        made.step()
    shown = frames_of(viewer._picture.canvas.movie)
    assert all(one[..., 0].sum() > one[..., 1].sum() for one in shown)  # magma is red, viridis green


def test_a_second_press_and_another_cube_stop_it(viewer, timers):
    made = viewer._picture.movie
    made.start()
    made.step()
    made.button.param.trigger("clicks")
    assert not made.running
    made.start()
    viewer.show(lab.synthetic_cloud(24, seed=2))
    assert not made.running
    assert all(timer.stopped for timer in timers)
    assert viewer._picture.canvas.movie == b""


def test_a_frame_that_fails_ends_the_movie_and_is_told(viewer, timers, monkeypatch):
    made = viewer._picture.movie
    made.start()
    monkeypatch.setattr(viewer._picture._server, "frame", lambda *_a, **_k: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # on a page the exception handler tells the user
        made.step()
    assert not made.running
    assert timers[0].stopped


def test_without_a_cube_nothing_begins(timers):
    viewer = VolumeViewer()
    viewer._picture.movie.start()
    assert not timers
