"""Frames that the server draws for a browser that cannot, or for PyVista: coarser while the camera moves."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np

from widgets.volume import projector
from widgets.volume.camera import Camera
from widgets.volume.data import Grid, VolumeData

ROWS = {True: 110, False: 300}
"""Rows of a picture of the projector while the camera moves, and when it rests."""

MOVING = 0.4
"""Sides of a frame of PyVista while the camera moves, as part of the whole."""


class Server:
    """Draws frames of one volume."""

    def __init__(self) -> None:
        self._stage: Any = None
        self._volume: tuple[VolumeData, Grid] | None = None

    def load(self, data: VolumeData, grid: Grid) -> None:
        """Take another volume."""
        if self._stage is not None:
            self._stage.close()
        self._stage, self._volume = None, (data, grid)

    def frame(
        self,
        scene: projector.Scene,
        camera: Camera,
        *,
        with_pyvista: bool,
        width: int,
        height: int,
        moving: bool,
        **choices: Any,
    ) -> bytes:
        """Return a picture as PNG, smaller than asked for where that would take too long.

        Parameters
        ----------
        scene, camera
            What is seen, and from where.
        with_pyvista : bool
            Else the projector draws.
        width, height : int
            Of the place that the picture fills [px].
        moving : bool
            Whether the next one is waited for.
        **choices
            Of :meth:`widgets.scenes.Stage.frame`.
        """
        if with_pyvista:
            part = MOVING if moving else 1.0
            size = [max(32, round(part * min(side, 1600))) for side in (width, height)]
            return png(self._make_stage().frame(scene, camera, size=tuple(size), **choices))
        part = min(1.0, ROWS[moving] / max(height, 1))
        size = {"width": max(8, round(part * width)), "height": max(8, round(part * height))}
        coarse = dataclasses.replace(scene, stride=scene.stride * (2 if moving else 1))
        return png(projector.picture(coarse, camera, **size))

    def _make_stage(self) -> Any:
        if self._stage is None:
            from widgets import scenes

            self._stage = scenes.Stage(*self._volume)
        return self._stage


def png(picture: np.ndarray) -> bytes:
    """Return a picture, (height, width, 3) uint8, as the bytes of a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def why_not(renderer: str, mode: str, no_webgl: str) -> str:
    """Return why a renderer cannot draw a mode, "" if it can.

    Examples
    --------
    >>> why_not("torch", "emission", "")
    ''
    """
    if renderer == "webgl":
        return no_webgl
    if renderer == "pyvista":
        from widgets.volume.gl_probe import gl_problem

        if problem := gl_problem():
            return problem
        if mode == "emission":
            return "PyVista knows no radiative transfer: the emission is drawn by torch, on the server"
    return ""
