"""Three slices through a volume that belong together, and the editor of its opacity: Bokeh figures built once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import clean_plot, ticks_of_scale
from widgets.volume.data import Grid, VolumeData
from widgets.volume.textures import palette

PLANES = (style.VERMILION, style.ORANGE, style.SKY)
"""Colours of the planes across depth, rows and columns."""


class _Plot:
    """What a HoloViews hook takes: a figure by its `state`."""

    def __init__(self, figure: Any):
        self.state = figure


class SliceFigure:
    """One slice across an axis, with the places of the other two on it.

    Parameters
    ----------
    axis : {0, 1, 2}
        Index of the axis that is cut.
    on_tap : callable
        Called with the fractions (depth, row, column) of a tapped place, None for the axis that is cut.
    """

    def __init__(self, axis: int, *, on_tap: Callable[[list[float | None]], None], width: int = 270):
        from bokeh.events import Tap
        from bokeh.models import ColumnDataSource, LinearColorMapper, Range1d, Span
        from bokeh.plotting import figure

        self._axis, self._on_tap = axis, on_tap
        self._others = [i for i in range(3) if i != axis]  # rows, columns
        self._source = ColumnDataSource(
            {"image": [np.zeros((2, 2))], "x": [0], "y": [0], "dw": [1], "dh": [1]}
        )
        self._mapper = LinearColorMapper(palette="Viridis256", low=0, high=1, nan_color=style.MISSING)
        self.figure = figure(
            width=width,
            height=width,
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            match_aspect=True,
            tools="tap",
        )
        self.figure.image(
            "image", x="x", y="y", dw="dw", dh="dh", source=self._source, color_mapper=self._mapper
        )
        self._lines = [
            Span(dimension=side, location=0, line_color=PLANES[i], line_width=1.5)
            for side, i in (("width", self._others[0]), ("height", self._others[1]))
        ]
        for line in self._lines:
            self.figure.add_layout(line)
        self.figure.on_event(Tap, self._tapped)
        self.figure.min_border_right = 12
        self.figure.toolbar_location = None
        clean_plot(_Plot(self.figure), None)

    def load(self, data: VolumeData, grid: Grid) -> None:
        """Take another volume: its axes and values. What the observer of the axis sees is not mirrored."""
        self._data, self._grid = data, grid
        rows, columns = (data.axes[i] for i in self._others)
        (bottom, top), (left, right) = rows.ends, columns.ends
        if self._axis != 1:  # columns grow to the left, as x on the sky
            left, right = right, left
        self.figure.y_range.update(start=bottom, end=top)
        self.figure.x_range.update(start=left, end=right)
        self.figure.yaxis.axis_label, self.figure.xaxis.axis_label = rows.label, columns.label
        long = max(data.extents[i] for i in self._others)
        sides = [max(90, round(230 * data.extents[i] / long)) for i in self._others]
        self.figure.update(height=sides[0] + 90, width=sides[1] + 90)

    def show(self, index: int, places: tuple[int, int, int]) -> None:
        """Show the slice at a cell of the full volume, and the places of the two others."""
        factor = self._grid.factor
        values = np.take(
            self._grid.mean, min(index // factor, self._grid.mean.shape[self._axis] - 1), self._axis
        )
        if self._grid.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        rows, columns = (self._data.axes[i] for i in self._others)
        if columns.step < 0:
            values = values[:, ::-1]
        height, width = (abs(a.step) * n * factor for a, n in zip((rows, columns), values.shape, strict=True))
        corner = [min(a.ends) for a in (columns, rows)]
        if columns.step < 0:
            corner[0] = max(columns.ends) - width
        self._source.data = {
            "image": [values],
            "x": [corner[0]],
            "y": [corner[1]],
            "dw": [width],
            "dh": [height],
        }
        for line, i in zip(self._lines, self._others, strict=True):
            line.location = self._data.axes[i].at(places[i])
        axis = self._data.axes[self._axis]
        words = f" (mean of {factor} cells a side)" if factor > 1 else ""
        self.figure.title.text = f"{axis.name} = {axis.at(index):.3g} {axis.unit}{words}"

    def paint(self, colours: str, low: float, high: float) -> None:
        """Change the colours and their limits."""
        shades = ["#{:02x}{:02x}{:02x}".format(*shade) for shade in palette(colours)]
        self._mapper.update(palette=shades, low=low, high=high)

    def _tapped(self, event: Any) -> None:
        parts: list[float | None] = [None, None, None]
        for i, place in zip(self._others, (event.y, event.x), strict=True):
            parts[i] = self._data.axes[i].index(place)
        self._on_tap(parts)


class OpacityFigure:
    """A histogram of the values with the curve of the opacity over it, whose points can be dragged.

    Parameters
    ----------
    on_change : callable
        Called with the points, (position in the window, opacity), after one was moved, added or taken away.
    """

    def __init__(self, *, on_change: Callable[[list[tuple[float, float]]], None]):
        from bokeh.models import ColumnDataSource, PointDrawTool, Range1d
        from bokeh.plotting import figure

        self._on_change, self._window = on_change, (0.0, 1.0)
        self._bars = ColumnDataSource({"left": [], "right": [], "top": []})
        self._points = ColumnDataSource({"x": [], "y": []})
        self.figure = figure(
            height=210,
            sizing_mode="stretch_width",
            x_range=Range1d(0, 1),
            y_range=Range1d(-0.04, 1.06),
            tools="",
        )
        self.figure.quad(
            "left", "right", "top", 0, source=self._bars, color=style.NEUTRAL, line_color=None, alpha=0.55
        )
        self.figure.line("x", "y", source=self._points, color=style.VERMILION, line_width=2)
        dots = self.figure.scatter("x", "y", source=self._points, size=12, color=style.VERMILION)
        tool = PointDrawTool(renderers=[dots], add=True, num_objects=12)
        self.figure.add_tools(tool)
        self.figure.toolbar.active_tap = tool
        self.figure.yaxis.axis_label = "opacity"
        self.figure.toolbar_location = None
        self._busy = False
        self._points.on_change("data", self._moved)
        clean_plot(_Plot(self.figure), None)

    def load(self, data: VolumeData, grid: Grid) -> None:
        """Take another volume: the histogram of its values."""
        values = grid.mean.ravel()[:: max(1, grid.mean.size // 500_000)]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values) if grid.logarithmic else values
        counts, edges = np.histogram(values[np.isfinite(values)], 64, range=(grid.low, grid.high))
        heights = np.log10(1.0 + counts) / np.log10(1.0 + counts.max())
        self._bars.data = {"left": edges[:-1], "right": edges[1:], "top": heights}
        margin = 0.03 * (grid.high - grid.low)  # a point at the end is seen whole
        self.figure.x_range.update(start=grid.low - margin, end=grid.high + margin)
        self.figure.xaxis.axis_label = data.label
        if grid.logarithmic:
            ticks = ticks_of_scale(10**grid.low, 10**grid.high, log=True, width=260)
            places = [float(np.log10(tick)) for tick in ticks["ticker"].ticks]
            self.figure.xaxis.ticker = places
            self.figure.xaxis.major_label_overrides = dict(
                zip(places, ticks["major_label_overrides"].values(), strict=True)
            )
        else:
            from bokeh.models import BasicTicker

            self.figure.xaxis.ticker = BasicTicker()
            self.figure.xaxis.major_label_overrides = {}

    def show(self, points: Any, window: tuple[float, float]) -> None:
        """Show control points, given within a window of the scale."""
        self._window = window
        low, high = window
        self._busy = True
        self._points.data = {"x": [low + x * (high - low) for x, _ in points], "y": [y for _, y in points]}
        self._busy = False

    def _moved(self, _name: str, _old: Any, new: Any) -> None:
        if self._busy:
            return
        low, high = self._window
        pairs = [
            (float(np.clip((x - low) / max(high - low, 1e-9), 0, 1)), float(np.clip(y, 0, 1)))
            for x, y in zip(new["x"], new["y"], strict=True)
        ]
        self._on_change(sorted(pairs))
