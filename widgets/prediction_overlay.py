"""A map of the sky and the density predicted behind it, side by side in true coordinates: :class:`PredictionOverlay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from widgets import parts, shell
from widgets.dashboard import Dashboard
from widgets.overlay import controls as overlay_controls
from widgets.overlay import core_figure
from widgets.overlay import cores as overlay_cores
from widgets.overlay import data as overlay_data
from widgets.overlay import desk as overlay_desk
from widgets.overlay import figures as overlay_figures
from widgets.overlay import regions as overlay_regions
from widgets.overlay import view as overlay_view
from widgets.overlay import words as overlay_words
from widgets.overlay.controls import SETTINGS
from widgets.overlay.data import Sources
from widgets.overlay.sky_panel import STRETCHES, log_limits
from widgets.overlay.sky_ticks import View

TITLE = "Prediction overlay"

PURPOSE = (
    "See a map and the density predicted behind it side by side on the sky, and where not to believe it."
)


class PredictionOverlay(Dashboard):
    """Column density and predicted density on one pair of sky axes, with what speaks for and against the prediction.

    Parameters
    ----------
    observation : Observation
        The map.
    prediction : Prediction or None
        On its pixels, of :func:`polaris_lab.predict_density`; None: not predicted yet.
    cores : Table, optional
        Dense cores, from a reader of :mod:`polaris_lab.observations.cores`, at the distance of the map.
    tiles : ndarray, shape (tiles, 4), optional
        Outlines of the tiles, of :func:`polaris_lab.observations.footprint.tile_outlines`.
    sources : Sources, optional
        Lines of Python that give all these, for the lines to copy.
    workspace_folder : str or Path
        The folder that maps are opened from and predictions are written into.

    Examples
    --------
    >>> from widgets.overlay.data import sample
    >>> observation, prediction, cores, _ = sample()
    >>> overlay = PredictionOverlay(observation, prediction, cores=cores)
    >>> overlay.go_to("03:47:36 +32:54:00")
    >>> "RA 03 47 36.0" in overlay.reading
    True
    """

    centre = param.String("", doc="Middle of the view, RA and Dec [deg, ICRS]; empty: of the map.")
    width = param.Number(0.0, bounds=(0, None), doc="Width of the view [arcmin]; 0: the whole map.")
    column_limits = param.Range((20.0, 23.0), doc="Ends of the colours, log10 N_H [cm^-2].")
    density_limits = param.Range((1.0, 6.0), doc="Ends of the colours, log10 n_H [cm^-3].")
    column_stretch = param.Selector(default="log", objects=list(STRETCHES))
    density_stretch = param.Selector(default="log", objects=list(STRETCHES))
    uncertainty = param.Number(0.0, bounds=(0, 1), doc="Opacity of the width of the 68 % interval.")
    coverage = param.Number(0.0, bounds=(0, 1), doc="Opacity of the number of predictions per pixel.")
    outside = param.Number(0.8, bounds=(0, 1), doc="Opacity of the pixels outside the training set.")
    graticule = param.Boolean(True)
    show_tiles = param.Boolean(False, doc="Whether the outlines of the tiles are drawn.")
    place = param.String("", doc="Where the marked reading is taken, RA and Dec [deg, ICRS].")
    region = param.String("", doc="DS9 words, the name of a region of the report, or a .reg file.")
    core = param.Integer(None, allow_None=True, doc="Number of the chosen core in the table.")

    def __init__(
        self,
        observation: Any,
        prediction: Any,
        *,
        cores: Any = None,
        tiles: np.ndarray | None = None,
        sources: Sources | None = None,
        workspace_folder: str | Path = ".",
        **params: Any,
    ):
        self._auto: dict[str, tuple[float, float]] = {}
        super().__init__()
        self.workspace = Path(workspace_folder)
        self._moving, self._error = False, ""
        self._done = shell.Afterwards(self._show_lines)
        self._maps = overlay_figures.LinkedMaps(
            on_view=self._moved, on_pointer=self._point, on_tap=self._tap, on_box=self._box,
            on_core=lambda number: self.param.update(core=number),
        )  # fmt: skip
        self._errors = core_figure.CoreErrorFigure(self._choose_by_name)
        figures = [*self._maps.figures, self._errors.figure]
        self.parts = overlay_view.OverlayView(self, figures)
        self.controls, self._limits = overlay_controls.make_controls(self)
        self.observation, self.prediction = observation, prediction
        self.desk = overlay_desk.Desk(self)
        self.show(
            observation, prediction, cores=cores, tiles=tiles,
            sources=sources or overlay_data.AT_HAND, keep=params,
        )  # fmt: skip
        self.main = self.parts.main
        self._view = pn.Row(
            pn.Column(self.desk.view, self.controls, width=300), self.main, sizing_mode="stretch_width"
        )

    # -- what is shown -------------------------------------------------------------------------------

    def show(
        self,
        observation: Any,
        prediction: Any,
        *,
        cores: Any = None,
        tiles: np.ndarray | None = None,
        sources: Sources,
        warned: list[str] | None = None,
        keep: dict[str, Any] | None = None,
    ) -> None:
        """Turn to another map; the view begins anew, but for the parameters in `keep`.

        Raises
        ------
        ValueError
            If the prediction lies on other pixels.
        """
        prediction = overlay_data.blank_prediction(observation) if prediction is None else prediction
        overlay_data.check_pair(observation, prediction, "prediction")
        placed = overlay_cores.PlacedCores(cores, observation, prediction)
        self.observation, self.prediction, self.sources = observation, prediction, sources
        self.given, self._placed = {"cores": cores, "tiles": tiles}, placed
        self._error, self.warned = "", warned or []
        name = observation.name or "map"
        self._maps.set_maps(observation, prediction, (f"Observed: {name}", "Predicted density"))
        self._auto = {
            "column_limits": log_limits(observation.column_density),
            "density_limits": log_limits(prediction.density),
        }
        start = {name: self.param[name].default for name in SETTINGS} | self._auto | (keep or {})
        overlay_controls.reach(self._limits, self._auto, start)
        self.param.update(**start)
        self._show_all()

    def changes(self) -> dict[str, Any]:
        """Return the parameters of the view that differ from those it begins with."""
        begin = {name: self.param[name].default for name in SETTINGS} | self._auto
        return {name: getattr(self, name) for name in SETTINGS if getattr(self, name) != begin[name]}

    def code(self) -> str:
        """Return the Python lines that give this view."""
        changed = self.changes()
        if self.region.endswith(".reg"):
            changed["workspace_folder"] = self.workspace.as_posix()
        given = [
            name for name, value in self.given.items() if value is not None and getattr(self.sources, name)
        ]
        return overlay_words.code(self.sources, changed, given)

    @property
    def reading(self) -> str:
        """What the maps say at the marked place, in HTML."""
        return self.parts.marked.object

    @property
    def statistics(self) -> Any:
        """Numbers of the region, None without one."""
        return self._found

    def view(self) -> View:
        """Return the part of the map that is seen [pixels]."""
        width = self.width * 60 / self.observation.pixel_size_arcsec
        return self._maps.view_of(self._pixel(self.centre) if self.centre else None, width)

    # -- what a visitor does -------------------------------------------------------------------------

    def go_to(self, text: str) -> None:
        """Mark a place and bring it into the middle.

        Raises
        ------
        ValueError
            If the words mean no place, or one outside the map.
        """
        place = overlay_data.place_on(self.observation, text)
        self.param.update(place=place, centre=place)

    def zoom(self, factor: float) -> None:
        """Make the view narrower (a factor above 1) or wider; 0 shows the whole map."""
        if factor == 0:
            self.param.update(centre="", width=0.0)
            return
        seen, whole = self.view(), self._maps.home()
        pixels = min((seen.right - seen.left) / factor, 2 * (whole.right - whole.left))
        self.width = float(f"{pixels * self.observation.pixel_size_arcsec / 60:.5g}")

    def figure(self) -> Any:
        """Return what is seen as a matplotlib figure with WCSAxes."""
        return overlay_view.figure_of(self, self._placed.columns, self._region_outlines)

    def fail(self, words: str) -> None:
        """Say over the maps that something could not be; they stay as they are."""
        self._error = words
        self._show_state()

    # -- derived -------------------------------------------------------------------------------------

    def _show_all(self) -> None:
        """Draw everything of a map that is new."""
        self._maps.warn(overlay_words.warning(self.prediction))
        self._maps.set_cores(self._placed.columns)
        self._errors.show(self._placed.errors)
        self.parts.panes[-1].visible = self._placed.errors is not None
        self.parts.core_words.object = parts.plain(self._placed.words)
        self.parts.core_choice.options = {"none": None} | {
            f"{i}: {name}": i for i, name in enumerate(self._placed.columns["name"])
        }
        self._show_colours()
        self._show_layers()
        self._look()
        self._show_region()
        self._show_place()
        self._show_core()
        self._show_state()

    @param.depends("column_limits", "density_limits", "column_stretch", "density_stretch", watch=True)
    def _show_colours(self) -> None:
        again = False
        with pn.io.hold():
            for panel, name in zip(self._maps.panels, ("column", "density"), strict=True):
                low, high = getattr(self, f"{name}_limits")
                again |= panel.set_colours(
                    getattr(self, f"{name}_stretch"), 10.0**low, 10.0 ** max(high, low + 0.01)
                )
            if again:
                self._draw()
        self._done()

    @param.depends("uncertainty", "coverage", "outside", "show_tiles", watch=True)
    def _show_layers(self) -> None:
        panel = self._maps.panels[1]
        for name in panel.layers:
            if panel.layers[name].set_opacity(getattr(self, name)):
                panel.redraw_layer(name, self.view())
        self._maps.set_tiles(self.given["tiles"] if self.show_tiles else None)
        self.parts.layers.object = overlay_words.layers(
            self.prediction, self.given["tiles"], {name: getattr(self, name) for name in _LAYERS}
        )
        self._done()

    @param.depends("centre", "width", watch=True)
    def _look(self) -> None:
        if self._moving:
            return
        try:
            view = self.view()
        except ValueError:
            self.centre = ""  # said by the notification of the error
            raise
        self._maps.look(view)
        self._draw()
        self._done()

    @param.depends("graticule", watch=True)
    def _draw(self) -> None:
        with pn.io.hold():
            self._maps.draw(self.observation.wcs, self.view(), graticule=self.graticule)
        factor = max(panel.factor for panel in self._maps.panels)
        self.parts.factor.object = overlay_words.blocks(factor)

    @param.depends("place", watch=True)
    def _show_place(self) -> None:
        place = self._pixel(self.place) if self.place else None
        self._maps.set_place(place)
        self.parts.marked.object = (
            overlay_words.reading(self.observation, self.prediction, *place, "Marked")
            if place
            else overlay_words.NO_PLACE
        )
        self._done()

    @param.depends("region", watch=True)
    def _show_region(self) -> None:
        self._found, self._region_outlines, error = overlay_regions.shown(
            self.region, self.workspace, self.observation, self.prediction
        )
        self._maps.set_region(*self._region_outlines)
        self.parts.region.object = overlay_words.region(self._found, error)
        self._done()

    @param.depends("core", watch=True)
    def _show_core(self) -> None:
        if self.core is not None and not 0 <= self.core < len(self._placed.columns["x"]):
            self.core = None
            return
        columns = self._placed.columns
        self.parts.cores.object = overlay_words.cores_table(columns, self.core)
        self._errors.mark("" if self.core is None else columns["name"][self.core])
        place = self._maps.choose_core(self.core)
        if place is not None:
            self.place = overlay_data.written(self.observation.wcs.pixel_to_world(*place))
        self._done()

    def _show_state(self) -> None:
        severity, title, words = overlay_words.state(
            self.observation, self.prediction, self._error, self.warned
        )
        self.parts.state.param.update(severity=severity, title=title, object=words)

    def _show_lines(self) -> None:
        """Keep the lines and a notebook up to date."""
        self.parts.lines.show(self.code())
        pn.io.push_notebook(*self.parts.panes)  # in a notebook; does nothing on a served page

    def _pixel(self, text: str) -> tuple[float, float]:
        x, y = overlay_data.parse_place(text).to_pixel(self.observation.wcs)
        if not np.isfinite([x, y]).all():
            raise ValueError(
                f"place: expected one on the map, got {text!r}, which its projection does not show"
            )
        return float(x), float(y)

    # -- what the browser tells ----------------------------------------------------------------------

    def _moved(self, view: View) -> None:
        """Follow a visitor who moved or zoomed."""
        home = self._maps.home()
        whole = np.allclose(view, home, atol=1e-3 * (home.right - home.left))
        new = {"centre": "", "width": 0.0} if whole else overlay_data.view_words(self.observation, view)
        if all(getattr(self, name) == value for name, value in new.items()):
            return
        self._moving = True
        try:
            with pn.io.hold():  # one message with all of the picture; the lines of Python come after it
                self.param.update(**new)
                self._draw()
        finally:
            self._moving = False
        self._done()

    def _point(self, x: float, y: float) -> None:
        self.parts.pointed.object = overlay_words.reading(self.observation, self.prediction, x, y, "Pointer")

    def _tap(self, x: float, y: float) -> None:
        self.place = overlay_data.written(self.observation.wcs.pixel_to_world(x, y))

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.region = overlay_regions.box_words(self.observation.wcs, (x0, y0), (x1, y1))

    def _choose_by_name(self, name: str) -> None:
        self.core = self._placed.columns["name"].index(name)

    def __panel__(self) -> Any:
        return self._view


_LAYERS = ("uncertainty", "coverage", "outside", "show_tiles")


def app(path: str | None = None, *, workspace_folder: str | Path = ".", **options: str) -> Any:
    """Return the page of one visitor.

    Parameters
    ----------
    path : str, optional
        A map or a prediction inside the workspace folder; None shows a simulated observation.
    workspace_folder : str or Path
        The folder that nothing leaves.
    **options
        distance and species of the map ("300 pc", "H2"; asked for where they are missing), prediction and catalogue (files
        in the workspace).

    Notes
    -----
    What cannot be opened is said on the page, over the sample. All of it stands in the page's address.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    observation, estimate, cores, sources = overlay_data.sample()
    overlay = PredictionOverlay(observation, estimate, cores=cores, sources=sources, workspace_folder=folder)
    overlay.desk.param.update(path=path or "", **options)
    page = shell.page(
        TITLE,
        [overlay.desk.view],
        shell.in_turn(overlay.main, 5),
        later=[overlay.controls, pmui.Markdown(overlay_words.HELP)],
        purpose=PURPOSE,
    )
    location = pn.state.location
    if location is not None:
        location.sync(overlay.desk, list(overlay_desk.ADDRESS), on_error=overlay.desk.refuse)
    overlay.desk.restore()
    if location is not None:  # of the view, now that the map is there
        location.sync(overlay, list(SETTINGS), on_error=overlay.desk.refuse)
    return page
