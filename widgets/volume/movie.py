"""A movie of the camera going once around what is seen, drawn by the server one frame at a time: the page stays alive."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from widgets.volume.camera import Camera

FRAMES = 48
"""Pictures of one round."""

SECONDS = 4.8
"""That one round takes."""

SIZE = (480, 300)
"""Width and height [px]."""

PAUSE_MS = 60
"""Time between two frames in which the server answers its pages [ms]."""


class Movie:
    """A button that makes the movie, counts its frames, and stops it when pressed again.

    Parameters
    ----------
    begin : callable
        Without arguments; returns the camera to begin with, and what draws a frame: ``draw(camera, width, height)``
        returns the bytes of a picture file.
    deliver : callable
        Takes the bytes of the WebP file.

    Attributes
    ----------
    button : panel_material_ui.Button
    drawn : int
        Frames so far.
    """

    def __init__(
        self,
        begin: Callable[[], tuple[Camera, Callable[[Camera, int, int], bytes]] | None],
        deliver: Callable[[bytes], Any],
    ):
        self._begin, self._deliver, self._timer = begin, deliver, None
        self._frames: list[Any] = []
        self.button = pmui.Button(label="", icon="movie", variant="outlined")
        self.button.on_click(lambda _event: self.stop() if self.running else self.start())
        self._say()

    @property
    def running(self) -> bool:
        """Whether frames are being drawn."""
        return self._timer is not None

    @property
    def drawn(self) -> int:
        """Frames so far."""
        return len(self._frames)

    def start(self) -> None:
        """Begin a movie of what is seen now; nothing happens where nothing is shown."""
        begun = self._begin()
        if begun is None:
            return
        self._camera, self._draw = begun
        self._frames = []
        self._timer = pn.state.add_periodic_callback(self.step, period=PAUSE_MS)
        self._say()

    def stop(self) -> None:
        """Give the movie up."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = None
        self._say()

    def step(self) -> None:
        """Draw the next frame; after the last one deliver the movie."""
        from PIL import Image

        azimuth = (self._camera.azimuth + 360 * self.drawn / FRAMES) % 360
        try:
            picture = self._draw(dataclasses.replace(self._camera, azimuth=azimuth), *SIZE)
        except Exception:
            self.stop()  # the page tells the error, once
            raise
        self._frames.append(Image.open(io.BytesIO(picture)))
        if self.drawn < FRAMES:
            self._say()
            return
        self.stop()
        self._deliver(webp(self._frames))

    def _say(self) -> None:
        label = f"Stop the movie ({self.drawn} of {FRAMES})" if self.running else "Save movie"
        self.button.param.update(label=label, icon="stop" if self.running else "movie")


def webp(frames: list[Any]) -> bytes:
    """Return pictures of PIL as a movie that goes on for ever, the bytes of a WebP file."""
    file = io.BytesIO()
    duration = round(1000 * SECONDS / len(frames))
    frames[0].save(
        file, "WEBP", save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=85
    )
    return file.getvalue()
