"""One map of the sky as a Bokeh figure: drawn in pixels, ticked in true coordinates, sent in parts that fit the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import log_ticks, power_of_ten
from widgets.candidate_figures import new_figure
from widgets.maps import colour_limits
from widgets.overlay import sky_ticks
from widgets.overlay.map_pyramid import MapPyramid
from widgets.overlay.sky_ticks import View

FRAME = 380
"""Width of the picture [px]."""

MOST = 640
"""Blocks a side that are sent at most."""

ROOM = 0.2
"""So much more than the view is sent on each side, so that a short pan needs nothing new."""

STRETCHES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "log": (np.log10, "logarithmic"),
    "sqrt": (np.sqrt, "square root"),
    "linear": (np.asarray, "linear"),
}
"""How values become colours: the function and its words."""

CLEAR = "rgba(0, 0, 0, 0)"


def colours_of(name: str) -> Any:
    """Return the 256 colours of a scale by its name in :mod:`widgets.style`."""
    from bokeh import palettes

    return getattr(palettes, f"{name.capitalize()}256")


def log_limits(values: np.ndarray) -> tuple[float, float]:
    """Return limits of colours, log10, from a part of the pixels of a large map."""
    step = max(1, max(values.shape) // 512)
    low, high = colour_limits(values[::step, ::step], True, None)
    return round(float(np.log10(low)), 2), round(float(np.log10(high)) + 0.005, 2)


def hatched(share: np.ndarray) -> np.ndarray:
    """Return oblique lines where a share is above 0, NaN elsewhere.

    Examples
    --------
    >>> float(np.isfinite(hatched(np.ones((8, 8)))).mean())
    0.5
    """
    rows, columns = np.indices(share.shape)
    period = max(4, 2 * (max(share.shape) // 80))
    lines = (rows + columns) % period < period / 2
    with np.errstate(invalid="ignore"):
        return np.where((share > 0) & lines, 1.0, np.nan).astype(np.float32)


class Layer:
    """A map over a map, with an opacity of its own; nothing of it is sent while it is invisible."""

    def __init__(self, figure: Any, label: str, colours: Any, *, bar: bool = True):
        from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper

        self.pyramid: MapPyramid | None = None
        self.alter: Callable[[np.ndarray], np.ndarray] = np.asarray
        self._make: Callable[[], np.ndarray] | None = None
        self._source = ColumnDataSource(_nothing())
        self._mapper = LinearColorMapper(palette=colours, low=0, high=1, nan_color=CLEAR)
        self.renderer = figure.image(
            "image", "x", "y", "dw", "dh", source=self._source, color_mapper=self._mapper, visible=False
        )
        self._bar = None
        if bar:
            self._bar = ColorBar(
                color_mapper=self._mapper, title=label, height=8, visible=False, background_fill_alpha=0,
                title_text_font_style="normal",
            )  # fmt: skip
            figure.add_layout(self._bar, "below")

    def set_map(
        self, make: Callable[[], np.ndarray] | None, limits: Callable[[np.ndarray], tuple[float, float]]
    ) -> None:
        """Take another map, which is made when it is first seen; None: there is none."""
        self._make, self._limits, self.pyramid = make, limits, None
        self.renderer.visible = False

    def set_opacity(self, opacity: float) -> bool:
        """Show it so strongly; return whether it must be drawn anew."""
        shown = opacity > 0 and self._make is not None
        again = shown and not self.renderer.visible
        if again and self.pyramid is None:
            values = self._make()
            low, high = self._limits(values)
            self._mapper.update(low=low, high=high)
            self.pyramid = MapPyramid(values)
        self.renderer.glyph.global_alpha = float(opacity)
        self.renderer.visible = shown
        if self._bar is not None:
            self._bar.visible = shown
        return again

    def draw(self, view: View) -> None:
        """Send the part that a view needs."""
        if self.renderer.visible and self.pyramid is not None:
            self._source.data = _data(self.pyramid, view, self.alter)[0]


class SkyPanel:
    """A map with its coordinates, its colours and the layers over it.

    Parameters
    ----------
    title : str
    quantity : str
        Of :data:`widgets.style.QUANTITIES`: label and colours.
    ranges : mapping, optional
        ``x_range`` and ``y_range`` of a panel beside it, which then moves with this one.

    Attributes
    ----------
    figure : bokeh.plotting.figure
        In pixels of the map, 0 in the middle of the first; ticks in sky coordinates.
    """

    def __init__(self, title: str, quantity: str, ranges: Mapping[str, Any] | None = None):
        from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LinearColorMapper, Range1d

        shown = style.quantity(quantity)
        ranges = ranges or {"x_range": Range1d(0, 1), "y_range": Range1d(0, 1)}
        self.figure = new_figure(title, "", "", frame=(FRAME, FRAME), **ranges)
        self.figure.grid.visible = False
        self.figure.background_fill_color = style.MISSING
        self.figure.axis.axis_label_standoff = 4
        for axis in (self.figure.xaxis[0], self.figure.yaxis[0]):
            axis.ticker = FixedTicker(ticks=[])  # one for each
        self._mapper = LinearColorMapper(palette=colours_of(shown.colours), nan_color=style.MISSING)
        self._image = ColumnDataSource(_nothing())
        self.figure.image(
            "image", "x", "y", "dw", "dh", source=self._image, color_mapper=self._mapper, level="image"
        )
        self._bar = ColorBar(
            color_mapper=self._mapper, title=shown.label, height=10, background_fill_alpha=0,
            title_text_font_style="normal", ticker=FixedTicker(ticks=[]),
        )  # fmt: skip
        self.figure.add_layout(self._bar, "below")
        self.layers: dict[str, Layer] = {}
        self._lines = ColumnDataSource({"xs": [], "ys": []})
        self._graticule = self.figure.multi_line(
            "xs", "ys", source=self._lines, color="white", alpha=0.6, line_width=1, line_dash=[4, 4],
            level="glyph",
        )  # fmt: skip
        self._pyramid: MapPyramid | None = None
        self._stretch = "log"
        self._coloured: tuple[str, float, float] | None = None
        self._sent: View | None = None
        self.factor = 1

    def add_layer(self, name: str, label: str, colours: Any, *, bar: bool = True) -> Layer:
        """Add a layer under the graticule."""
        self.layers[name] = Layer(self.figure, label, colours, bar=bar)
        return self.layers[name]

    def set_map(self, values: np.ndarray, title: str, frame: tuple[int, int]) -> None:
        """Take another map, of a picture of so many px; it is drawn by :meth:`draw`."""
        self._pyramid, self._sent = MapPyramid(values), None
        self.figure.update(frame_width=frame[0], frame_height=frame[1])
        self.figure.title.text = title

    def set_colours(self, stretch: str, low: float, high: float) -> bool:
        """Colour values [physical] between two limits; return whether the map must be drawn anew."""
        if (stretch, low, high) == self._coloured:
            return False
        function, _ = STRETCHES[stretch]
        self._mapper.update(low=float(function(low)), high=float(function(high)))
        _set_ticks(self._bar, function, low, high, log=stretch == "log")
        again, self._stretch, self._coloured = stretch != self._stretch, stretch, (stretch, low, high)
        if again:
            self._sent = None
        return again

    def draw(self, view: View, grid: sky_ticks.SkyGrid, *, graticule: bool = True) -> None:
        """Draw one view: what is missing of the map, the layers, the ticks."""
        for axis, ticks in ((self.figure.xaxis[0], grid.bottom), (self.figure.yaxis[0], grid.left)):
            axis.update(
                axis_label=ticks.label,
                major_label_overrides=dict(zip(ticks.pixels, ticks.words, strict=True)),
            )
            axis.ticker.ticks = ticks.pixels
        self._lines.data = {"xs": grid.xs, "ys": grid.ys}
        self._graticule.visible = graticule
        if self._pyramid is None or not self._stale(view):
            return
        wide = _roomy(view)
        data, self.factor = _data(self._pyramid, wide, STRETCHES[self._stretch][0])
        self._image.data = data
        for layer in self.layers.values():
            layer.draw(wide)
        self._sent = wide

    def redraw_layer(self, name: str, view: View) -> None:
        """Send one layer that has just become visible."""
        self.layers[name].draw(self._sent or _roomy(view))

    def _stale(self, view: View) -> bool:
        """Return whether the part that was sent does not hold a view, or is too coarse for it."""
        sent = self._sent
        if sent is None:
            return True
        rows, columns = self._pyramid.shape
        low = max(view.left, -0.5) >= sent.left and max(view.bottom, -0.5) >= sent.bottom
        high = min(view.right, columns - 0.5) <= sent.right and min(view.top, rows - 0.5) <= sent.top
        if not (low and high):
            return True
        wide = _roomy(view)
        side = max(min(wide.right, columns) - max(wide.left, 0), min(wide.top, rows) - max(wide.bottom, 0))
        return self.factor > 1 and side / self.factor <= MOST / 2


def _roomy(view: View) -> View:
    wide, high = ROOM * (view.right - view.left), ROOM * (view.top - view.bottom)
    return View(view.left - wide, view.right + wide, view.bottom - high, view.top + high)


def _nothing() -> dict[str, list[Any]]:
    return {"image": [], "x": [], "y": [], "dw": [], "dh": []}


def _data(pyramid: MapPyramid, view: View, alter: Callable[[Any], Any]) -> tuple[dict[str, list[Any]], int]:
    """Return a part of a map as the columns of a source, and the side of its blocks."""
    part = pyramid.part((view.bottom + 0.5, view.top + 0.5), (view.left + 0.5, view.right + 0.5), most=MOST)
    with np.errstate(invalid="ignore", divide="ignore"):
        image = np.asarray(alter(part.image), np.float32)
    return (
        {"image": [image], "x": [part.x], "y": [part.y], "dw": [part.width], "dh": [part.height]},
        part.factor,
    )


def _set_ticks(bar: Any, function: Callable[[Any], Any], low: float, high: float, *, log: bool) -> None:
    """Give a colour bar ticks at round values, if it has not got them: to change them lays the whole figure out anew."""
    values = log_ticks(low, high, most=6) if log else _round_values(low, high)
    places = [float(function(value)) for value in values]
    words = {
        place: power_of_ten(value) if value else "0" for place, value in zip(places, values, strict=True)
    }
    if bar.ticker.ticks != places:
        bar.ticker.ticks = places
        bar.major_label_overrides = words


def _round_values(low: float, high: float) -> list[float]:
    """Return about five round values between two limits.

    Examples
    --------
    >>> _round_values(0.5, 10.0)
    [2.0, 4.0, 6.0, 8.0, 10.0]
    """
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{number * step:.6g}") for number in range(first, last + 1)]
