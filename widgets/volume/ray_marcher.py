"""The component that shows a volume in the browser: WebGL2 marches the rays, or the server sends frames."""

from __future__ import annotations

from pathlib import Path

import param
from panel.custom import JSComponent

SCRIPTS = ("marcher.js", "overlay.js", "canvas.js")
"""Scripts in the folder `volume`, in the order in which they are put together."""


class VolumeCanvas(JSComponent):
    """A picture of a volume that follows mouse, wheel and keys.

    Numbers travel, not pictures: textures once, then the scene and the view. With a `renderer` other than "webgl", or
    where the browser has no WebGL2 (`status` says so), the component sends a `request` and shows the `frame` that
    comes with its number as `answered`.
    """

    texture = param.Bytes(b"", doc="Values on their scale, uint8, z slowest.")
    gas = param.Bytes(b"", doc="float16: v_z, v_y, v_x and opacity of each cell, or what is added up.")
    kelvin = param.Bytes(b"", doc="float16: temperature of the gas [K].")
    lut = param.Bytes(b"", doc="Table of colours and opacities, (2, 256, 4) uint8.")
    shapes = param.Dict({}, doc="Shapes of the textures, by name.")
    scene = param.Dict({}, doc="All that a frame depends on but the camera.")
    view = param.Dict({}, doc="The camera; the browser changes it when the mouse rests.")
    home = param.Dict({}, doc="The camera that the key R goes back to.")
    renderer = param.String("webgl", doc='"webgl", or anything else for frames of the server.')
    status = param.String("", doc="Why the browser cannot march the rays; empty if it can.")
    request = param.Dict({}, doc="The frame that the browser waits for.")
    frame = param.Bytes(b"", doc="A picture of the server, PNG.")
    answered = param.Integer(0, doc="Number of the request that `frame` answers.")
    spin = param.Boolean(False, doc="Whether the camera goes round.")
    shoot = param.Integer(0, doc="Counts up to save the picture as a file.")
    movie = param.Bytes(b"", doc="A movie of the server, WebP, which the browser saves as a file.")
    file_name = param.String("volume.png", doc="Name of the picture's file.")

    _esm = "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS)
