"""Volumes through PyVista (VTK): figures, movies, and frames for a page, always off screen.

Where the graphics libraries are missing VTK would end the process: :mod:`widgets.volume.gl_probe` asks before anything is drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from widgets.volume.camera import SLOPE, Camera
from widgets.volume.data import Grid, VolumeData, make_grid, volume_data
from widgets.volume.gl_probe import require_gl
from widgets.volume.projector import Scene
from widgets.volume.scene import bar_of, build_scene, markers_of
from widgets.volume.textures import COLOURS, DENSITY, EMPTY, OPACITY, colour_table, parse_points

PICTURES = ("volume", "isosurfaces", "slices")
"""What PyVista shows of a volume."""

_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def _plain(text: str) -> str:
    """Write powers in a way that the fonts of VTK have.

    Examples
    --------
    >>> _plain("n_H [cm⁻³]")
    'n_H [cm^-3]'
    """
    return re.sub("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "^" + found.group().translate(_POWERS), text)


class Stage:
    """A volume before a camera of PyVista; the box is drawn as in the browser, its longest side is 1.

    Parameters
    ----------
    data, grid
        The volume, and as it is shown.

    Attributes
    ----------
    plotter : pyvista.Plotter
        For whoever wants to add to it.

    Raises
    ------
    RuntimeError
        If this machine cannot draw.
    """

    def __init__(self, data: VolumeData, grid: Grid):
        self._pyvista = require_gl()
        self.data, self.grid = data, grid
        self.plotter = self._pyvista.Plotter(off_screen=True, window_size=(64, 64))
        self.plotter.background_color = "black"
        self._key: Any = None

    def frame(
        self,
        scene: Scene,
        camera: Camera,
        *,
        size: tuple[int, int],
        picture: str = "volume",
        level: float = 0.6,
        cell: tuple[int, int, int] | None = None,
    ) -> np.ndarray:
        """Return a picture, shape (height, width, 3) uint8.

        Parameters
        ----------
        scene : Scene
            Its colours, opacities, mode and clipping planes.
        camera : Camera
        size : (int, int)
            Width and height [px].
        picture : {"volume", "isosurfaces", "slices"}
        level : float
            Of the outer isosurface, as part of the visible window.
        cell : (int, int, int), optional
            Where the slices meet (depth, row, column); by default in the middle.
        """
        key = (
            scene.mode,
            scene.lut.tobytes(),
            scene.clip_low,
            scene.clip_high,
            scene.density,
            picture,
            level,
            cell,
        )
        if key != self._key:
            self._set(scene, picture, level, cell)
            self._key = key
        self.plotter.window_size = list(size)
        self.aim(camera)
        self.plotter.render()  # a screenshot alone is of the camera before
        return np.asarray(self.plotter.screenshot(None, return_img=True))[..., :3]

    def close(self) -> None:
        """Let go of the graphics card."""
        self.plotter.close()

    def _set(self, scene: Scene, picture: str, level: float, cell: tuple[int, int, int] | None) -> None:
        plotter, image, lut = self.plotter, self._image(scene), scene.lut[0] / 255.0
        plotter.clear_actors()
        seen = np.flatnonzero(scene.lut[0, :, :3].any(axis=1)) / 255  # the window of the colours
        look = {
            "cmap": ["#{:02x}{:02x}{:02x}".format(*shade) for shade in scene.lut[0, :, :3]],
            "clim": (0, 255),
            "show_scalar_bar": False,
        }
        if picture == "isosurfaces":
            low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
            for part, opacity in ((level, 0.35), (0.5 * (1 + level), 0.9)):
                surface = image.contour([255 * (low + part * (high - low))])
                if surface.n_points:
                    plotter.add_mesh(surface, opacity=opacity, smooth_shading=True, **look)
        elif picture == "slices":
            middle = tuple(n // 2 for n in self.data.shape)
            parts = [(i + 0.5) / n for i, n in zip(cell or middle, self.data.shape, strict=True)]
            place = [float((2 * p - 1) * h) for p, h in zip(parts[::-1], self.data.half, strict=True)]
            plotter.add_mesh(
                image.slice_orthogonal(x=place[0], y=place[1], z=place[2]), lighting=False, **look
            )
        else:
            opacity = np.full(256, 255.0) if scene.mode == "maximum" else 255 * -np.expm1(-lut[:, 3])
            volume = plotter.add_volume(
                image,
                opacity=opacity.astype(np.uint8),
                opacity_unit_distance=1 / scene.density,
                blending="maximum" if scene.mode == "maximum" else "composite",
                mapper="gpu",
                shade=False,
                **look,
            )
            # PyVista steps by 1, the whole box: nothing would be seen
            volume.mapper.SetSampleDistance(scene.stride)

    def label(self, colours: str, window: tuple[float, float]) -> None:
        """Add a box with ticks in the units of the axes, and a colour bar."""
        titles = [_plain(axis.label) for axis in self.data.axes[::-1]]
        box = self._pyvista.Box([float(side * half) for half in self.data.half for side in (-1, 1)])
        self.plotter.add_mesh(box, style="wireframe", color="gray", line_width=1)
        self.plotter.show_bounds(
            mesh=box,
            axes_ranges=[float(end) for axis in self.data.axes[::-1] for end in axis.ends],
            color="white",
            xtitle=titles[0],
            ytitle=titles[1],
            ztitle=titles[2],
            font_size=10,
            location="outer",
        )
        low, high = (self.grid.low + part * (self.grid.high - self.grid.low) for part in window)
        bar = bar_of(self.data.label, low, high, logarithmic=self.grid.logarithmic, colours=colours)
        rgba = [(*(int(c[i : i + 2], 16) for i in (1, 3, 5)), 255) for c in bar["colours"]]
        table = self._pyvista.LookupTable(values=np.array(rgba, np.uint8))
        table.scalar_range = (0.0, 1.0)
        table.annotations = {tick["at"]: _plain(tick["text"]) for tick in bar["ticks"]}
        mapper = self._pyvista.DataSetMapper(
            self._pyvista.Sphere(radius=1e-6)
        )  # draws nothing: a bar needs one
        mapper.lookup_table, mapper.scalar_range = table, (0.0, 1.0)
        place = {"position_x": 0.88, "position_y": 0.25, "height": 0.5, "width": 0.06}
        self.plotter.add_scalar_bar(
            title=_plain(self.data.label), mapper=mapper, color="white", vertical=True, n_labels=0, **place
        )

    def _image(self, scene: Scene) -> Any:
        """Return the part of the texture between the clipping planes, its points at the centres of the cells."""
        values, fill = scene.texture, np.array(scene.fill)
        counts = np.array(values.shape[::-1])
        spacing = 2 * np.array(scene.half) / (counts * fill)
        ends = [np.array(end) + scene.half for end in (scene.clip_low, scene.clip_high)]
        first = np.clip(np.ceil(ends[0] / spacing - 0.5).astype(int), 0, counts - 2)
        last = np.clip(np.floor(ends[1] / spacing - 0.5).astype(int) + 1, first + 2, counts)
        part = values[first[2] : last[2], first[1] : last[1], first[0] : last[0]]
        image = self._pyvista.ImageData(
            dimensions=part.shape[::-1],
            spacing=spacing,
            origin=-np.array(scene.half) + (first + 0.5) * spacing,
        )
        image.point_data["values"] = part.ravel()  # x runs fastest in both
        image.set_active_scalars("values")
        return image

    def aim(self, camera: Camera) -> None:
        """Put the eye where a camera is."""
        view = self.plotter.camera
        view.position, view.focal_point, view.up = (
            tuple(camera.eye),
            tuple(camera.target),
            tuple(camera.frame[2]),
        )
        view.view_angle = 40.0
        view.parallel_projection = not camera.perspective
        view.parallel_scale = camera.distance * SLOPE
        view.clipping_range = (1e-3, camera.distance + 5.0)


@dataclass(frozen=True)
class Look:
    """How a figure or a movie shows a volume; the names are those of :class:`widgets.VolumeViewer`."""

    camera: Camera = field(default_factory=lambda: Camera(distance=2.9))  # room for ticks
    picture: str = "volume"
    mode: str = "composite"
    colours: str = "magma"
    opacity: str = OPACITY
    density: float = DENSITY
    level: float = 0.6

    def __post_init__(self) -> None:
        for name, known in (("picture", PICTURES), ("mode", ("composite", "maximum")), ("colours", COLOURS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")

    def window(self, grid: Grid) -> tuple[float, float]:
        """Return the part of the scale that the colours span: without the lowest quarter of a logarithmic one."""
        return (EMPTY, 1.0) if grid.logarithmic else (0.0, 1.0)

    def set(self, cube: Any) -> tuple[Stage, Scene]:
        """Return a stage with a cube, and the scene of the whole of it."""
        data = volume_data(cube)
        grid = make_grid(data)
        lut = colour_table(self.colours, self.window(grid), parse_points(self.opacity))
        whole = [(0.0, 1.0)] * 3
        scene = build_scene(data, grid, mode=self.mode, lut=lut, clips=whole, density=self.density)
        return Stage(data, grid), scene


def figure(
    cube: Any, path: str | Path, *, cores: Any = None, size: tuple[int, int] = (1000, 800), **look: Any
) -> Path:
    """Write a figure of a volume with its axes, its colour bar and markers of cores.

    Parameters
    ----------
    cube : SimulationCube, PPVCube or array_like
    path : str or Path
        A ``.png`` file.
    cores : table, mapping or rows, optional
        See :func:`widgets.volume.scene.markers_of`.
    size : (int, int)
        Width and height [px].
    **look
        Fields of :class:`Look`.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If a choice is unknown.
    RuntimeError
        If this machine cannot draw (it says what to install).

    Examples
    --------
    >>> import polaris_lab as lab
    >>> figure(lab.sample_cloud(), "cloud.png", picture="isosurfaces")  # doctest: +SKIP
    """
    chosen = Look(**look)
    stage, scene = chosen.set(cube)
    stage.frame(scene, chosen.camera, size=size, picture=chosen.picture, level=chosen.level)
    stage.label(chosen.colours, chosen.window(stage.grid))
    for marker in markers_of(cores, stage.data):
        stage.plotter.add_point_labels(
            [marker["place"]],
            [marker["name"]],
            text_color="white",
            shape=None,
            point_color="white",
            point_size=12,
        )
    stage.aim(chosen.camera)
    stage.plotter.render()
    stage.plotter.screenshot(str(path))
    stage.close()
    return Path(path)


def movie(
    cube: Any,
    path: str | Path,
    *,
    frames: int = 60,
    seconds: float = 6.0,
    size: tuple[int, int] = (480, 400),
    **look: Any,
) -> Path:
    """Write a movie of the camera going once around a volume.

    Parameters
    ----------
    cube : SimulationCube, PPVCube or array_like
    path : str or Path
        A ``.gif``, or ``.webp`` (smaller, in full colour).
    frames : int
        Pictures of one round.
    seconds : float
        That one round takes.
    size : (int, int)
        Width and height [px].
    **look
        Fields of :class:`Look`; the azimuth of its camera is where the round begins.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the ending is another, there are fewer than two frames, or a choice is unknown.
    RuntimeError
        If this machine cannot draw.
    """
    from PIL import Image

    path, chosen = Path(path), Look(**look)
    if path.suffix.lower() not in (".gif", ".webp"):
        raise ValueError(f"path: expected a .gif or .webp file, got {path.name!r}")
    if frames < 2:
        raise ValueError(f"frames: expected two or more, got {frames}")
    stage, scene = chosen.set(cube)
    shown = []
    for number in range(frames):
        azimuth = (chosen.camera.azimuth + 360 * number / frames) % 360
        turned = replace(chosen.camera, azimuth=azimuth)
        picture = stage.frame(scene, turned, size=size, picture=chosen.picture, level=chosen.level)
        shown.append(Image.fromarray(picture))
    stage.close()
    shown[0].save(
        path, save_all=True, append_images=shown[1:], duration=round(1000 * seconds / frames), loop=0
    )
    return path
