"""The two maps of the overlay: column density and predicted density, moved together, with all that lies over them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from polaris_lab.observations.prediction import Quality
from widgets import style
from widgets.overlay import sky_ticks
from widgets.overlay.sky_panel import FRAME, SkyPanel, colours_of, hatched
from widgets.overlay.sky_ticks import View

OUTSIDE = Quality.UNLIKE_TRAINING | Quality.COLUMN_RANGE | Quality.DENSITY_RANGE | Quality.INPUT_RANGE
"""Flags of a pixel that the training set does not answer for."""

PERIOD_MS = 80
"""Least time between two positions of the pointer that are sent to the server."""

_POINTER = f"""
const now = Date.now(), place = [cb_obj.x, cb_obj.y]
const send = () => {{ source.data = {{x: [place[0]], y: [place[1]]}} }}
clearTimeout(source._waiting)
if (now - (source._last ?? 0) > {PERIOD_MS}) {{ source._last = now; send() }}
else source._waiting = setTimeout(() => {{ source._last = Date.now(); send() }}, {PERIOD_MS})
"""
"""Send the place of the pointer, not each of its steps."""


class LinkedMaps:
    """Two panels on one pair of ranges, one cross-hair, one set of cores.

    Parameters
    ----------
    on_view : callable
        Called with the :class:`View` when a visitor moved or zoomed.
    on_pointer, on_tap : callable
        Called with x, y [pixels].
    on_box : callable
        Called with the corners x0, y0, x1, y1 [pixels] of a box that was drawn.
    on_core : callable
        Called with the number of a core that was tapped.

    Attributes
    ----------
    panels : (SkyPanel, SkyPanel)
        Column density and prediction.
    """

    def __init__(
        self,
        *,
        on_view: Callable[[View], None],
        on_pointer: Callable[[float, float], None],
        on_tap: Callable[[float, float], None],
        on_box: Callable[[float, float, float, float], None],
        on_core: Callable[[int], None],
    ):
        from bokeh.models import ColumnDataSource

        first = SkyPanel("Observed", "column_density")
        ranges = {"x_range": first.figure.x_range, "y_range": first.figure.y_range}
        second = SkyPanel("Predicted", "density", ranges)
        second.add_layer("uncertainty", style.QUANTITIES["interval_width"].label, colours_of("magma"))
        second.add_layer("coverage", style.QUANTITIES["coverage"].label, colours_of("cividis"))
        outside = second.add_layer("outside", "", [style.VERMILION], bar=False)
        outside.alter = hatched
        self.panels = first, second
        self.figures = [first.figure, second.figure]
        self._tiles = ColumnDataSource({"left": [], "bottom": [], "right": [], "top": []})
        self._region = ColumnDataSource({"xs": [], "ys": []})
        self._place = ColumnDataSource({"x": [], "y": []})
        self._pointer = ColumnDataSource({"x": [], "y": []})
        self._cores = ColumnDataSource({name: [] for name in CORE_COLUMNS})
        self._chosen = ColumnDataSource({"x": [], "y": []})
        self._draw_marks()
        self.banner = self._make_banner(second.figure)
        self._make_tools(on_view, on_tap, on_box)
        self._pointer.on_change("data", lambda _attr, _old, new: _first(new, on_pointer))
        self._cores.selected.on_change("indices", lambda _attr, _old, new: new and on_core(int(new[0])))
        self._shape = 1, 1

    # -- what is shown -------------------------------------------------------------------------------

    def set_maps(self, observation: Any, prediction: Any, titles: tuple[str, str]) -> None:
        """Take another map and its prediction; nothing is drawn before :meth:`draw`."""
        self._shape = observation.shape
        frame = frame_of(*observation.shape)
        self.panels[0].set_map(observation.column_density, titles[0], frame)
        self.panels[1].set_map(prediction.density, titles[1], frame)
        layers = self.panels[1].layers
        known = prediction.lower68 is not None
        layers["uncertainty"].set_map((lambda: interval_width(prediction)) if known else None, _limits)
        layers["coverage"].set_map(lambda: tiles_per_pixel(prediction), _up_to_largest)
        outside = has_outside(prediction)
        layers["outside"].set_map(
            (lambda: outside_map(prediction)) if outside else None, lambda _map: (0.0, 1.0)
        )

    def home(self) -> View:
        """Return the view that shows the whole map, in the shape of the picture."""
        rows, columns = self._shape
        wide, high = frame_of(rows, columns)
        pixel = max(columns / wide, rows / high)
        x, y = (columns - 1) / 2, (rows - 1) / 2
        return View(x - pixel * wide / 2, x + pixel * wide / 2, y - pixel * high / 2, y + pixel * high / 2)

    def view_of(self, middle: tuple[float, float] | None, width: float) -> View:
        """Return the view around a place [pixels] that is so wide; None is the middle of the map, 0 all of it."""
        rows, columns = self._shape
        whole = self.home()
        x, y = middle or ((columns - 1) / 2, (rows - 1) / 2)
        width = width or whole.right - whole.left
        height = width * (whole.top - whole.bottom) / (whole.right - whole.left)
        return View(x - width / 2, x + width / 2, y - height / 2, y + height / 2)

    def look(self, view: View) -> None:
        """Move both panels."""
        first = self.figures[0]
        first.x_range.update(start=view.left, end=view.right)
        first.y_range.update(start=view.bottom, end=view.top)
        whole = self.home()
        first.x_range.update(reset_start=whole.left, reset_end=whole.right)
        first.y_range.update(reset_start=whole.bottom, reset_end=whole.top)

    def draw(self, wcs: Any, view: View, *, graticule: bool) -> None:
        """Draw what a view shows in both panels."""
        wide, high = frame_of(*self._shape)
        grid = sky_ticks.sky_grid(wcs, view, across=max(2, wide // 72), up=max(2, high // 50))
        for panel in self.panels:
            panel.draw(view, grid, graticule=graticule)

    def set_tiles(self, outlines: np.ndarray | None) -> None:
        """Show the windows in which a network read the map; None: none."""
        columns = np.zeros((4, 0)) if outlines is None else np.asarray(outlines, float).T
        self._tiles.data = dict(zip(("left", "bottom", "right", "top"), columns, strict=True))

    def set_region(self, xs: list[np.ndarray], ys: list[np.ndarray]) -> None:
        """Outline regions [pixels]."""
        self._region.data = {"xs": xs, "ys": ys}

    def set_place(self, place: tuple[float, float] | None) -> None:
        """Mark the place that was chosen [pixels]."""
        self._place.data = _points(place)

    def set_cores(self, columns: dict[str, Any]) -> None:
        """Show cores: the columns of :data:`CORE_COLUMNS`."""
        self._cores.selected.indices = []
        self._chosen.data = _points(None)
        self._cores.data = columns

    def choose_core(self, number: int | None) -> tuple[float, float] | None:
        """Mark one core and return where it is [pixels]."""
        place = None
        if number is not None and 0 <= number < len(self._cores.data["x"]):
            place = float(self._cores.data["x"][number]), float(self._cores.data["y"][number])
        self._chosen.data = _points(place)
        return place

    def warn(self, words: str) -> None:
        """Write a warning into the picture of the prediction; "" takes it away."""
        self.banner.update(text="\n".join(textwrap.wrap(words, 48)), visible=bool(words))

    # -- parts ---------------------------------------------------------------------------------------

    def _draw_marks(self) -> None:
        """Draw everything that lies over the maps."""
        second = self.figures[1]
        second.quad(
            "left", "right", "bottom", "top", source=self._tiles, fill_alpha=0, line_color="white",
            line_width=1.5, line_dash="dotted",
        )  # fmt: skip
        for figure in self.figures:
            for colour, width in (("black", 3.5), ("white", 1.8)):
                figure.multi_line("xs", "ys", source=self._region, color=colour, line_width=width)
            rings = [
                figure.scatter(
                    "x", "y", source=self._cores, size=size, fill_alpha=0, line_color=colour, line_width=width,
                )
                for size, colour, width in ((10, "black", 3.2), (10, "white", 1.4))
            ]  # fmt: skip
            for ring in rings:
                ring.selection_glyph = ring.nonselection_glyph = None
            for colour, width in (("black", 5), (style.ORANGE, 3)):
                look = {"size": 20, "line_color": colour, "line_width": width}
                marks = [
                    figure.scatter("x", "y", source=self._chosen, fill_alpha=0, **look),
                    figure.scatter("x", "y", source=self._place, marker="cross", **look),
                ]
                for mark in marks:
                    mark.selection_glyph = mark.nonselection_glyph = None
            self._add_hover(figure, rings[1])

    def _add_hover(self, figure: Any, rings: Any) -> None:
        from bokeh.models import HoverTool, TapTool

        tips = [
            ("core", "@name"),
            ("RA, Dec", "@sky"),
            ("N_H [cm⁻²]", "@column{0.00e}"),
            ("n_H predicted [cm⁻³]", "@predicted{0.00e}"),
            ("n_H catalogue [cm⁻³]", "@catalogue"),
            ("error [dex]", "@error"),
        ]
        figure.add_tools(
            HoverTool(tooltips=tips, renderers=[rings], description="Cores"), TapTool(renderers=[rings])
        )

    def _make_banner(self, figure: Any) -> Any:
        from bokeh.models import Label

        banner = Label(
            x=6, y=6, x_units="screen", y_units="screen", text="", visible=False, padding=6,
            text_color="white", text_font_size="11px", text_line_height=1.15,
            background_fill_color="#8A2300", background_fill_alpha=0.92, border_line_color="white",
        )  # fmt: skip
        figure.add_layout(banner)
        return banner

    def _make_tools(
        self,
        on_view: Callable[[View], None],
        on_tap: Callable[[float, float], None],
        on_box: Callable[[float, float, float, float], None],
    ) -> None:
        """Give both panels one cross-hair, a box for regions, and what they tell the server."""
        from bokeh import events
        from bokeh.models import BoxSelectTool, BoxZoomTool, CrosshairTool, CustomJS, Span

        spans = [Span(dimension=way, line_color="white", line_width=1) for way in ("width", "height")]
        seen = CustomJS(args={"source": self._pointer}, code=_POINTER)

        def moved(event: Any) -> None:
            on_view(View(event.x0, event.x1, event.y0, event.y1))

        def boxed(event: Any) -> None:
            box = event.geometry
            if event.final and box.get("type") == "rect":
                on_box(box["x0"], box["y0"], box["x1"], box["y1"])

        for figure in self.figures:
            for tool in figure.select(BoxZoomTool):
                tool.match_aspect = True
            figure.add_tools(
                CrosshairTool(overlay=spans),
                BoxSelectTool(description="Draw a region", renderers=list(figure.renderers[-1:])),
            )
            figure.on_event(events.RangesUpdate, moved)
            figure.on_event(events.SelectionGeometry, boxed)
            figure.on_event(events.Tap, lambda event: on_tap(event.x, event.y))
            figure.js_on_event(events.MouseMove, seen)


CORE_COLUMNS = ("x", "y", "name", "sky", "column", "predicted", "catalogue", "error")
"""Columns of the cores: place [pixels], what is said of each."""


def frame_of(rows: int, columns: int) -> tuple[int, int]:
    """Return width and height [px] of the picture of a map.

    Examples
    --------
    >>> frame_of(100, 200), frame_of(10, 1000)
    ((380, 230), (380, 230))
    """
    return FRAME, int(np.clip(round(FRAME * rows / columns), 230, 480))


def interval_width(prediction: Any) -> np.ndarray:
    """Return the width of the 68 % interval [dex]."""
    return np.log10(prediction.upper68 / prediction.lower68)


def tiles_per_pixel(prediction: Any) -> np.ndarray:
    """Return how often each pixel was predicted, NaN where the map is blank."""
    return np.where(np.isfinite(prediction.density), prediction.coverage, np.nan).astype(np.float32)


def outside_map(prediction: Any) -> np.ndarray:
    """Return 1 where the training set does not answer for a pixel, else 0."""
    return ((prediction.quality & int(OUTSIDE)) != 0).astype(np.float32)


def has_outside(prediction: Any) -> bool:
    """Return whether there is any such pixel."""
    return bool((prediction.quality & int(OUTSIDE)).any())


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return limits of a layer that hold 99 % of it, from 0."""
    known = values[np.isfinite(values)]
    return 0.0, float(np.percentile(known, 99)) if known.size else 1.0


def _up_to_largest(values: np.ndarray) -> tuple[float, float]:
    return 0.0, float(np.nanmax(values, initial=1.0))


def _points(place: tuple[float, float] | None) -> dict[str, list[float]]:
    return {"x": [], "y": []} if place is None else {"x": [place[0]], "y": [place[1]]}


def _first(data: dict[str, Any], callback: Callable[[float, float], None]) -> None:
    if len(data["x"]):
        callback(float(data["x"][0]), float(data["y"][0]))
