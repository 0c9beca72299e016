"""The picture of a volume viewer: the browser's component, what it is sent, and the frames that the server draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from widgets.volume import scene as volume_scene
from widgets.volume import server as volume_server
from widgets.volume import words as volume_words
from widgets.volume.camera import Camera
from widgets.volume.data import Grid, VolumeData
from widgets.volume.movie import Movie
from widgets.volume.projector import Scene
from widgets.volume.ray_marcher import VolumeCanvas

PLACES = ("depth", "row", "column")


WAIT_MS = 300
"""Time between two looks at whether the browser has built the page [ms]."""


class Picture:
    """The component, and the state that it shares with a viewer.

    Attributes
    ----------
    canvas : VolumeCanvas
    movie : Movie
    """

    def __init__(self, viewer: Any):
        self._viewer, self._server = viewer, volume_server.Server()
        self._data: VolumeData | None = None
        self._grid: Grid | None = None
        self._scene: Scene | None = None
        self._sent: dict[str, Any] = {}
        self._fallback, self._drawn = "", viewer.renderer
        view = viewer.camera().to_view()
        self.canvas = VolumeCanvas(
            view=view,
            home={**view, "azimuth": 225.0, "elevation": 25.0, "distance": 2.6, "target": [0.0, 0.0, 0.0]},
            height=560,
            renderer=viewer.renderer,
            sizing_mode="stretch_width",
        )
        self.canvas.param.watch(self._take_view, "view")
        self.canvas.param.watch(self._take_status, "status")
        self.canvas.param.watch(self._answer, "request")
        self.canvas.param.watch(lambda event: viewer.param.update(spin=event.new), "spin")
        viewer.param.watch(lambda event: self.canvas.param.update(spin=event.new), "spin")
        self.canvas.spin = viewer.spin
        self.movie = Movie(self._round, lambda film: self.canvas.param.update(movie=film))

    def load(self, data: VolumeData, grid: Grid) -> None:
        """Take another volume; its textures are sent with the next drawing."""
        self.movie.stop()
        self._data, self._grid, self._sent = data, grid, {}
        self._server.load(data, grid)

    def aim(self, camera: Camera) -> None:
        """Send the camera to the browser, unless it came from there."""
        view = camera.to_view()
        if self.canvas.view != view:
            self.canvas.view = view

    def shoot(self) -> None:
        """Let the browser save its picture as a file."""
        self.canvas.shoot += 1

    def draw(self, scene: Scene) -> str:
        """Send what a frame depends on; return why the wanted renderer cannot draw it, "" if it can."""
        viewer = self._viewer
        self._scene = scene
        why = volume_server.why_not(viewer.renderer, viewer.mode, self._fallback)
        self._drawn = "torch" if why else viewer.renderer
        textures = self._textures(scene) if self._drawn == "webgl" else {}
        self.canvas.shapes = textures.pop("shapes", self.canvas.shapes)  # before what they belong to
        self.canvas.param.update(
            renderer=self._drawn,
            lut=scene.lut.tobytes(),
            file_name=f"{self._data.name.replace(' ', '_').replace('/', '_')}.png",
            scene=self._numbers(scene),
            **textures,
        )
        return why

    def _textures(self, scene: Scene) -> dict[str, Any]:
        """Return the textures that the browser does not have yet."""
        shapes, changed = dict(self.canvas.shapes), {}
        largest = scene.mode == "maximum" and self._grid.factor > 1
        if self._sent.get("texture") != largest:
            self._sent["texture"] = largest
            shapes["values"] = list(scene.texture.shape)
            changed["texture"] = scene.texture.tobytes()
        if scene.gas is not None and self._sent.get("gas") is not scene.gas:
            self._sent["gas"] = scene.gas
            shapes |= {
                "gas": list(scene.gas.shape[:3]),
                "kelvin": list(scene.kelvin.shape),
                "gas_kind": "half" if scene.thin else "halves",
            }
            changed |= {"gas": scene.gas.tobytes(), "kelvin": scene.kelvin.tobytes()}
        return {"shapes": shapes, **changed}

    def _numbers(self, scene: Scene) -> dict[str, Any]:
        """Return the numbers of the scene with what is drawn over it."""
        viewer, data, grid, more = self._viewer, self._data, self._grid, []
        bar = {"label": data.label, "low": viewer.window[0], "high": viewer.window[1]}
        logarithmic = grid.logarithmic
        if scene.mode == "emission":
            made = viewer.emission()
            bar, logarithmic = {"label": made.label, "low": 0.0, "high": scene.line["peak"]}, False
            more = volume_words.emission(
                made, viewer.line, velocity=scene.line["channel"], dispersion=viewer.dispersion
            )
        if self._drawn != "webgl":
            more.append(f"drawn by the server: {'PyVista' if self._drawn == 'pyvista' else 'torch'}")
        places = [
            float((2 * (getattr(viewer, name) + 0.5) / axis.cells - 1) * half)
            for name, axis, half in zip(PLACES, data.axes, data.half[::-1], strict=True)
        ]
        return {
            **volume_scene.for_browser(scene),
            "corner": volume_words.corner(data, grid, scene.mode, more),
            "axes": [{"label": axis.label, "ends": list(axis.ends)} for axis in data.axes[::-1]],
            "show_axes": viewer.show_axes,
            "show_planes": viewer.show_planes,
            "planes": places[::-1],
            "markers": viewer.markers if viewer.show_cores else [],
            "bar": volume_scene.bar_of(**bar, logarithmic=logarithmic, colours=viewer.colours),
            "drawing": [self._drawn, viewer.picture, viewer.level],
        }

    # -- from the browser ------------------------------------------------------------------------------

    def _take_view(self, event: Any) -> None:
        """Follow the mouse."""
        camera = Camera.from_view(event.new)
        if camera != self._viewer.camera():
            names = ("azimuth", "elevation", "distance", "target", "perspective")
            self._viewer.param.update({name: getattr(camera, name) for name in names})

    def _take_status(self, event: Any) -> None:
        """Draw on the server where the browser cannot."""
        if event.new:
            self._fallback = volume_words.no_webgl(event.new)
            _later(self._viewer.draw)

    def _answer(self, event: Any) -> None:
        """Draw the frame that the browser waits for; whatever happens, it hears of it."""
        if not pn.state.loaded:
            _later(lambda: self._answer(event))
            return
        asked, frame = event.new, b""
        if self._scene is None or not asked:
            return
        try:
            frame = self._frames(moving=bool(asked["moving"]))(
                Camera.from_view(asked), int(asked["width"]), int(asked["height"])
            )
        finally:
            self.canvas.param.update(frame=frame, answered=int(asked["number"]))

    def _frames(self, *, moving: bool) -> Callable[[Camera, int, int], bytes]:
        """Return what draws the scene as it stands now, on the server."""
        viewer, scene = self._viewer, self._scene
        choices = {
            "with_pyvista": self._drawn == "pyvista",
            "moving": moving,
            "picture": viewer.picture,
            "level": viewer.level,
            "cell": (viewer.depth, viewer.row, viewer.column),
        }
        return lambda camera, width, height: self._server.frame(
            scene, camera, width=width, height=height, **choices
        )

    def _round(self) -> tuple[Camera, Callable[[Camera, int, int], bytes]] | None:
        """Return where a movie begins and what draws it, None where nothing is shown."""
        return None if self._scene is None else (self._viewer.camera(), self._frames(moving=False))


def _later(action: Callable[[], Any]) -> None:
    """Do something when the browser has built the page: what is sent before gets lost."""
    if pn.state.loaded:
        action()
        return
    pn.state.add_periodic_callback(lambda: _later(action), period=WAIT_MS, count=1)
