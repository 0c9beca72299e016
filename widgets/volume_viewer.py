"""See a cloud, a line cube or a predicted cube in three dimensions: :class:`VolumeViewer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from polaris_lab.clouds import sample_cloud
from widgets import parts, shell, workspace
from widgets.dashboard import Dashboard
from widgets.file_choice import FileChoice
from widgets.volume import files as volume_files
from widgets.volume import scene as volume_scene
from widgets.volume import words as volume_words
from widgets.volume.camera import Camera
from widgets.volume.controls import Controls
from widgets.volume.data import make_grid, volume_data
from widgets.volume.picture import Picture
from widgets.volume.projector import MODES
from widgets.volume.reading import Reading
from widgets.volume.slices import OpacityFigure, SliceFigure
from widgets.volume.textures import (
    COLOURS,
    DENSITY,
    EMPTY,
    OPACITY,
    colour_table,
    parse_points,
    write_points,
)
from widgets.volume.words import PURPOSE, TITLE

CAMERA = ("azimuth", "elevation", "distance", "target", "perspective")
LOOKS = ("mode", "colours", "window", "opacity", "density", "line", "channel", "dispersion", "brightest")
CUTS = ("clip_depth", "clip_row", "clip_column", "depth", "row", "column")
EXTRAS = ("show_axes", "show_planes", "show_cores", "spin", "renderer", "picture", "level")
STATE = (*CAMERA, *LOOKS, *CUTS, *EXTRAS)
"""Parameters that make the view; they stand in the page's address and in the lines of Python."""

FITTED = ("window", "channel", "brightest", *CUTS)
"""Parameters that None fits to the volume."""


class VolumeViewer(Dashboard):
    """A volume that is turned with the mouse, with slices, opacity editor and markers.

    Parameters
    ----------
    cube : SimulationCube, PPVCube or array_like
        A cloud (also one of :func:`polaris_lab.models.volume.predicted_cube`), a line cube, or a plain 3D array.
    quantity : str, optional
        Of a SimulationCube: "density", "temperature", "velocity_z" ...
    cores : table, mapping or rows, optional
        Markers, see :func:`widgets.volume.scene.markers_of`.
    source : str
        Python that gives the cube, for the lines to copy.
    **params
        Any parameter of the view, for example ``mode="emission"``, ``renderer="pyvista"``.

    Raises
    ------
    ValueError
        If the cube does not hold the quantity, a core has no place, or a choice cannot be.

    Examples
    --------
    >>> import polaris_lab as lab
    >>> viewer = VolumeViewer(lab.synthetic_cloud(16, kind="fbm"), mode="maximum")
    >>> viewer.azimuth = 90.0
    >>> "mode='maximum'" in viewer.code() and "azimuth=90.0" in viewer.code()
    True
    """

    azimuth = param.Number(225.0, bounds=(0, 360), doc="Of the look [degrees].")
    elevation = param.Number(25.0, bounds=(-90, 90), doc="From above, if positive [degrees].")
    distance = param.Number(2.6, bounds=(0.05, 12), doc="From the eye to the target [longest sides].")
    target = param.NumericTuple(
        (0.0, 0.0, 0.0), length=3, doc="x, y, z of what is turned about; 0 is the middle."
    )
    perspective = param.Boolean(True, doc="Else parallel rays.")
    mode = param.Selector(default="composite", objects=list(MODES))
    colours = param.Selector(default="magma", objects=list(COLOURS))
    window = param.Range(None, allow_None=True, doc="Values that the colours span (log10 where logarithmic).")
    opacity = param.String(OPACITY, doc="Control points, position:opacity.")
    density = param.Number(DENSITY, bounds=(1, 200), doc="Optical depth of opacity 1 per side of the box.")
    line = param.Selector(default="13CO 1-0", objects=list(volume_scene.LINES))
    channel = param.Number(None, allow_None=True, doc="Velocity of the channel [km/s].")
    dispersion = param.Number(0.1, bounds=(0, 1), doc="Unresolved motion sigma [km/s].")
    brightest = param.Number(None, allow_None=True, doc="Brightness of the upper end of the colours.")
    clip_depth = param.Range(None, allow_None=True, doc="The part that is seen, in the unit of the axis.")
    clip_row = param.Range(None, allow_None=True)
    clip_column = param.Range(None, allow_None=True)
    depth = param.Integer(None, allow_None=True, bounds=(0, None), doc="Cell of the slice.")
    row = param.Integer(None, allow_None=True, bounds=(0, None))
    column = param.Integer(None, allow_None=True, bounds=(0, None))
    show_axes = param.Boolean(True)
    show_planes = param.Boolean(False)
    show_cores = param.Boolean(True)
    spin = param.Boolean(False, doc="Whether the camera goes round.")
    renderer = param.Selector(default="webgl", objects=["webgl", "torch", "pyvista"])
    picture = param.Selector(default="volume", objects=["volume", "isosurfaces", "slices"], doc="Of PyVista.")
    level = param.Number(0.6, bounds=(0.05, 0.95), doc="Of the isosurfaces, as part of the window.")
    path = param.String("", doc="File in the workspace folder.")

    def __init__(
        self,
        cube: Any = None,
        *,
        quantity: str | None = None,
        cores: Any = None,
        source: str = "cube",
        workspace_folder: str | Path = ".",
        **params: Any,
    ):
        super().__init__(**params)
        self._given = {name: getattr(self, name) for name in FITTED if getattr(self, name) is not None}
        self._folder, self._data, self._grid, self._emission = workspace_folder, None, None, {}
        self._source, self.markers, self._fitted = source, [], {}
        self._loading = False
        self._make_parts()
        self._view = pn.Row(pn.Column(self.controls, width=300), self.main, sizing_mode="stretch_width")
        if cube is None:
            self._say("info", "Nothing is shown yet", volume_words.EMPTY)
        else:
            self.show(cube, source=source, quantity=quantity, cores=cores)

    # -- another volume ------------------------------------------------------------------------------

    def show(
        self, cube: Any, *, source: str = "cube", quantity: str | None = None, cores: Any = None
    ) -> None:
        """Show another cube; one of more than 2^28 cells is read when :meth:`read` is called.

        Raises
        ------
        ValueError, TypeError
            If it is no cube, or its values cannot be shown; what was shown before stays.
        """
        data = volume_data(cube, quantity)
        markers = volume_scene.markers_of(cores, data)
        if not data.large:
            grid = make_grid(data)
        self._pending = (data, markers, source, quantity)
        self._reading.offer(data if data.large else None)
        if data.large:
            self._say("warning", "A large cube", volume_words.reduce_request(data))
            return
        self._load(grid)

    def read(self) -> None:
        """Read the large cube that waits, reduced as far as a browser needs, and show it; on a page, while it goes on."""
        self._reading.start()

    def _load(self, grid: Any) -> None:
        """Show what was read of the cube that waits."""
        data, markers, source, quantity = self._pending
        self._reading.offer(None)
        self._data, self._grid, self.markers, self._source = data, grid, markers, source
        self._quantity, self._emission = quantity, {}
        self._loading = True
        try:
            self._fit()
            self._controls.load(data, grid.low, grid.high)
            self._opacity.load(data, grid)
            for figure in self._slices:
                figure.load(data, grid)
        finally:
            self._loading = False
        self._picture.load(data, grid)
        self._say("success", data.name, "")
        self._draw_all()

    def open(self, path: str | Path) -> None:
        """Open a file inside the workspace folder; what goes wrong is said on the page."""
        try:
            place = workspace.inside(self._folder, str(path))
            cube, code = volume_files.open_volume(place)
            self.show(cube, source=code)
        except volume_files.BROKEN as error:
            self._say("error", "Not opened", str(error))
            return
        self.path = place.relative_to(Path(self._folder).resolve()).as_posix()

    def start(self) -> None:
        """Show the file of the address, or else the sample cloud."""
        self._given = {name: getattr(self, name) for name in FITTED if getattr(self, name) is not None}
        if self.path:
            self.open(self.path)
        else:
            self.show(sample_cloud(), source="lab.sample_cloud()")

    def refuse(self, values: dict[str, Any]) -> None:
        """Say that values of the page's address cannot be; all of the address is left aside."""
        words = ", ".join(f"{name}={value}" for name, value in values.items())
        self._say("error", "Address", volume_words.ADDRESS.format(words))

    def _fit(self) -> None:
        """Put what depends on the volume where it belongs: the whole of it, slices through its middle."""
        grid, data, given = self._grid, self._data, self._given
        self._given = {}
        start: dict[str, Any] = {"window": (grid.low, grid.high)}
        if grid.logarithmic:
            start["window"] = (grid.low + EMPTY * (grid.high - grid.low), grid.high)
        for clip, cut, axis in zip(CUTS[:3], CUTS[3:], data.axes, strict=True):
            start |= {clip: tuple(sorted(axis.ends)), cut: axis.cells // 2}
        start |= {"channel": 0.0, "brightest": None}
        self._fitted = start
        self.param.update(**(start | given))
        for cut, axis in zip(CUTS[3:], data.axes, strict=True):
            setattr(self, cut, min(getattr(self, cut), axis.cells - 1))

    # -- derived -------------------------------------------------------------------------------------

    def camera(self) -> Camera:
        """Return the camera as it stands."""
        return Camera(self.azimuth, self.elevation, self.distance, tuple(self.target), self.perspective)

    def code(self) -> str:
        """Return the Python lines that give this view."""
        if self._data is None:
            return "from widgets import VolumeViewer\n\nVolumeViewer()"
        changed = {
            name: value
            for name in STATE
            if (value := getattr(self, name)) not in (self._fitted.get(name), self.param[name].default)
        }
        quantity = {"quantity": self._quantity} if self._quantity else {}
        return volume_words.code(self._source, quantity | changed)

    def emission(self) -> volume_scene.Emission:
        """Return the gas that emits the chosen line, made when first asked for."""
        if self.line not in self._emission:
            made = volume_scene.emission_of(self._data, self._grid, self.line)
            self._emission = {self.line: made}
            velocities = volume_scene.velocities_of(self._data)
            self._controls.load_emission(
                line=made.fields is not None, velocities=velocities, peak=made.peak, label=made.label
            )
            chosen, self._fitted["brightest"] = self.brightest, float(made.peak)
            if chosen in (None, self._automatic):
                self._loading, before = True, self._loading
                self.brightest = float(made.peak)
                self._loading = before
            self._automatic = float(made.peak)
        return self._emission[self.line]

    def scene(self) -> Any:
        """Return the scene of the picture, as :func:`widgets.volume.projector.picture` takes it."""
        low, span = self._grid.low, self._grid.high - self._grid.low
        window = tuple((value - low) / span for value in self.window)
        fractions = [
            tuple((value - axis.ends[0]) / (axis.ends[1] - axis.ends[0]) for value in getattr(self, name))
            for name, axis in zip(CUTS[:3], self._data.axes, strict=True)
        ]
        return volume_scene.build_scene(
            self._data,
            self._grid,
            mode=self.mode,
            lut=colour_table(self.colours, window, parse_points(self.opacity)),
            clips=fractions,
            density=self.density,
            emission=self.emission() if self.mode == "emission" else None,
            channel=self.channel or 0.0,
            dispersion=self.dispersion,
            peak=self.brightest,
        )

    # -- view ----------------------------------------------------------------------------------------

    def _draw_all(self) -> None:
        self._aim()
        self.draw()
        self._cut()

    @param.depends(*CAMERA, watch=True)
    def _aim(self) -> None:
        """Send the camera to the browser, unless it came from there."""
        self._picture.aim(self.camera())
        self._lines.show(self.code())

    @param.depends(*LOOKS, *CUTS[:3], *(name for name in EXTRAS if name != "spin"), watch=True)
    def draw(self) -> None:
        """Send what a frame depends on."""
        if self._data is None or self._loading:
            return
        self._controls.refresh()
        try:
            scene = self.scene()
        except ValueError as error:
            self._say("error", "This cannot be", str(error))
            return
        self._scene = scene
        why = self._picture.draw(scene)
        self._say("warning" if why else "success", "Drawn by the server", why)
        self._opacity.show(parse_points(self.opacity), self.window)
        for figure in self._slices:
            figure.paint(self.colours, *self.window)
        self._lines.show(self.code())
        pn.io.push_notebook(*self._panes)

    @param.depends(*CUTS[3:], watch=True)
    def _cut(self) -> None:
        """Show the three slices."""
        if self._data is None or self._loading:
            return
        cell = tuple(
            min(getattr(self, name), n - 1) for name, n in zip(CUTS[3:], self._data.shape, strict=True)
        )
        for figure, index in zip(self._slices, cell, strict=True):
            figure.show(index, cell)
        self._value.object = volume_words.value(self._data, cell)
        self._lines.show(self.code())
        if self.show_planes or self.renderer == "pyvista":
            self._picture.draw(self._scene)
        pn.io.push_notebook(*self._panes)

    def _tapped(self, places: list[float | None]) -> None:
        names = zip(CUTS[3:], places, self._data.shape, strict=True)
        self.param.update(
            {name: int(np.clip(round(at), 0, n - 1)) for name, at, n in names if at is not None}
        )

    def _say(self, severity: str, title: str, words: str) -> None:
        self._state.param.update(
            severity=severity, title=title, object=parts.plain(words), visible=severity != "success"
        )

    def _make_parts(self) -> None:
        """Make what is shown, once."""
        wide = {"sizing_mode": "stretch_width"}
        self._pending = self._scene = self._quantity = self._automatic = None
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._reading = Reading(self._load, lambda error: self._say("error", "Not read", str(error)))
        self._picture = Picture(self)
        self._opacity = OpacityFigure(
            on_change=lambda points: self.param.update(opacity=write_points(points))
        )
        self._slices = [SliceFigure(axis, on_tap=self._tapped) for axis in range(3)]
        self._panes = [pn.pane.Bokeh(figure.figure) for figure in (*self._slices, self._opacity)]
        self._panes[-1].sizing_mode = "stretch_width"
        self._value = pmui.Typography("", variant="body2", **wide)
        self._lines = parts.CodeLines("")
        shoot = pmui.Button(label="Save picture", icon="photo_camera", variant="outlined")
        shoot.on_click(lambda _event: self._picture.shoot())
        self._controls = Controls(self, opacity=self._panes[-1])
        self.controls = self._controls.view
        self.main = pmui.Column(
            self._state,
            self._reading.button,
            self._picture.canvas,
            pn.FlexBox(shoot, self._picture.movie.button, align_items="center", **wide),
            self._value,
            pn.FlexBox(*self._panes[:3], **wide),
            pmui.Typography("The same in Python", variant="body2"),
            self._lines.view,
            **wide,
        )

    def __panel__(self) -> Any:
        return self._view


def app(path: str | None = None, *, workspace_folder: str | Path = ".", **options: Any) -> Any:
    """Return the page of one visitor.

    Parameters
    ----------
    path : str, optional
        A cube inside the workspace folder; by default the address names one (``?path=...``), else the sample cloud
        that comes with the library is shown.
    workspace_folder : str or Path
        The folder that files are chosen from.
    **options
        Parameters of :class:`VolumeViewer`.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    viewer = VolumeViewer(workspace_folder=folder, **options)
    choice = FileChoice(folder, volume_files.ENDINGS, on_choose=lambda place: viewer.open(place))
    location = pn.state.location
    if path:
        viewer.path = str(path)
    page = shell.page(
        TITLE,
        [choice.view, viewer.controls],
        [viewer.main],
        later=[pmui.Markdown(volume_words.HELP)],
        purpose=PURPOSE,
    )
    if location is not None:
        location.sync(viewer, ["path", *STATE], on_error=viewer.refuse)
    viewer.start()
    return page
