"""Maps of the emission explorer: one channel, a moment, and many channels at once; built once, then patched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polaris_lab.radiative_transfer import moments
from widgets import style
from widgets.axes import block_mean
from widgets.candidate_figures import new_figure

MOST_PIXELS = 256
"""Longest side of a map as it is sent to the browser."""

MOST_RANKED = 2**17
"""About so many values are put in order to find colour limits."""

FRAME = 300
"""Side of a map on the screen [px]."""

MOMENTS = {
    "integrated_intensity": "Integrated intensity",
    "centroid": "Centroid velocity",
    "dispersion": "Velocity dispersion",
    "peak": "Peak temperature",
}
"""Maps over all velocities, by their name in :class:`polaris_lab.radiative_transfer.Moments`."""

_LOOKS = {
    "integrated_intensity": style.QUANTITIES["integrated_intensity"],
    "centroid": style.QUANTITIES["centroid_velocity"],
    "dispersion": style.Quantity("σ_v [km s⁻¹]", "cividis", "Velocity dispersion"),
    "peak": style.Quantity("T_peak [K]", "magma", "Peak temperature"),
}


def moment_limits(name: str, values: list[np.ndarray]) -> tuple[float, float]:
    """Return the colour limits of maps of one moment.

    Examples
    --------
    >>> moment_limits("centroid", [np.array([[-1.0, 0.0], [0.0, 3.0]])])
    (-3.0, 3.0)
    >>> moment_limits("peak", [np.full((2, 2), np.nan)])
    (0.0, 1.0)
    """
    parts = [part[np.isfinite(part)] for part in values]
    valid = np.concatenate(parts) if parts else np.empty(0)
    if not valid.size:
        return 0.0, 1.0
    if name == "centroid":
        middle = float(np.median(valid))
        reach = max(float(np.quantile(np.abs(valid - middle), 0.98)), 0.05) if valid.size > 50 else 0.0
        reach = reach or max(float(np.abs(valid - middle).max()), 0.05)
        return middle - reach, middle + reach
    low, high = min(0.0, float(np.quantile(valid, 0.005))), float(np.quantile(valid, 0.998))
    return (low, high) if high > low else (low, low + 1.0)


def temperature_limits(cubes: list[Any]) -> tuple[float, float]:
    """Return colour limits [K] for all channels of line cubes: 0 (or what lies lower) to nearly the brightest."""
    tops, bottoms = [], []
    for cube in cubes:
        values = np.asarray(cube.data)
        values = values[:: max(1, len(values) // 64)].reshape(-1)
        values = values[:: values.size // MOST_RANKED | 1]  # odd: no row of columns is left out
        valid = values[np.isfinite(values)]
        if valid.size:
            bottom, top = np.quantile(valid, (0.005, 0.999))
            bottoms.append(float(bottom))
            tops.append(float(top))
    low, high = min([0.0, *bottoms]), max([0.0, *tops])
    return (low, high) if high - low > 1e-9 else (low, low + 1.0)


class MapFigure:
    """One map with a colour bar and the mark of the cursor; where it lies is given in the shown unit.

    Parameters
    ----------
    ranges : (Range1d, Range1d)
        Shared by all maps, so that they move together.
    on_tap : callable
        Called with x and y of a tap.
    """

    def __init__(self, ranges: tuple[Any, Any], on_tap: Callable[[float, float], None], quantity: str):
        from bokeh.events import Tap
        from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper

        self.figure = new_figure("", "", "", frame=(FRAME, FRAME), x_range=ranges[0], y_range=ranges[1])
        self.figure.grid.visible = False
        self._quantity = ""
        self._source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.mapper = LinearColorMapper(palette=_palette("magma"), low=0, high=1, nan_color=style.MISSING)
        image = self.figure.image(
            "image", x="x", y="y", dw="dw", dh="dh", source=self._source, color_mapper=self.mapper
        )
        self._bar = ColorBar(
            color_mapper=self.mapper,
            title="",
            height=10,
            title_text_font_style="normal",
            background_fill_alpha=0,
        )
        self.figure.add_layout(self._bar, "below")
        self._cursor = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("black", 4), ("white", 2)):
            self.figure.scatter(
                "x", "y", source=self._cursor, marker="cross", size=20, line_color=colour, line_width=width
            )
        self._hover = HoverTool(tooltips=[], renderers=[image], description="Value")
        self.figure.add_tools(self._hover)
        self.figure.on_event(Tap, lambda event: on_tap(event.x, event.y))
        self.name(quantity)
        self.label("pc")

    def name(self, quantity: str) -> None:
        """Take the colours and the words of a quantity: a moment, or "brightness_temperature"."""
        if quantity == self._quantity:
            return
        self._quantity = quantity
        look = _LOOKS.get(quantity) or style.QUANTITIES[quantity]
        self.mapper.palette = _palette(look.colours)
        self._bar.title = look.label
        self._hover.tooltips = [("x, y", "$x{0.[00]}, $y{0.[00]}"), (look.label, "@image{0.[000]}")]

    def label(self, unit: str) -> None:
        """Say the unit of the axes."""
        self.figure.xaxis.axis_label = f"x offset [{unit}]"
        self.figure.yaxis.axis_label = f"y offset [{unit}]"

    def show(self, values: np.ndarray, *, step: float, head: str, limits: tuple[float, float]) -> None:
        """Draw a map whose pixels are `step` wide, its centre at zero."""
        small, factor = block_mean(values, MOST_PIXELS)
        rows, columns = values.shape
        width, height = (step * factor * n for n in small.shape[::-1])
        # blocks that reach beyond the last pixel are padded: the first corner stays where it is
        self._source.data = {
            "image": [small.astype(np.float32)],
            "x": [-step * columns / 2],
            "y": [-step * rows / 2],
            "dw": [width],
            "dh": [height],
        }
        self.mapper.update(low=limits[0], high=limits[1])
        self.figure.title.text = head + (f" (at 1/{factor} resolution)" if factor > 1 else "")

    def mark(self, x: float, y: float) -> None:
        """Move the cursor."""
        self._cursor.data = {"x": [x], "y": [y]}

    @property
    def image(self) -> np.ndarray:
        """The map as it is drawn."""
        return self._source.data["image"][0]


MIN_WIDTH = 760
"""Of the channel maps [px]: with less of it their velocities would overlap, and the maps are scrolled instead."""


class ChannelStrip:
    """Twelve channel maps at once, all in the same colours; a tap chooses the velocity of one."""

    COUNT, COLUMNS, ROWS = 12, 6, 2

    def __init__(self, on_tap: Callable[[float], None]):
        from bokeh.events import Tap
        from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Range1d

        rows = self.ROWS
        self.figure = new_figure("", "", "", x_range=Range1d(0, self.COLUMNS), y_range=Range1d(0, rows))
        self.figure.update(height=330, min_width=MIN_WIDTH)
        self.figure.axis.visible = False
        self.figure.grid.visible = False
        self.mapper = LinearColorMapper(palette=_palette("magma"), low=0, high=1, nan_color=style.MISSING)
        columns = ("image", "x", "y", "text")
        self._source = ColumnDataSource({name: [] for name in columns})
        self.figure.image(
            "image",
            x="x",
            y="y",
            dw=0.98,
            dh=0.98,
            source=self._source,
            color_mapper=self.mapper,
        )
        self.figure.text(
            "x", "y", "text", source=self._source, x_offset=6, y_offset=-4, text_baseline="bottom", text_color="white",
            text_font_size="10pt", background_fill_color="black", background_fill_alpha=0.55,
        )  # fmt: skip
        self._chosen = ColumnDataSource({"x": [], "y": []})
        self.figure.rect(
            "x", "y", 0.98, 0.98, source=self._chosen, fill_alpha=0, line_color=style.SKY, line_width=4
        )
        bar = ColorBar(
            color_mapper=self.mapper, title=style.QUANTITIES["brightness_temperature"].label, width=10,
            title_text_font_style="normal", background_fill_alpha=0,
        )  # fmt: skip
        self.figure.add_layout(bar, "right")
        self.figure.on_event(Tap, lambda event: self._tapped(event.x, event.y, on_tap))
        self.velocities = np.empty(0)

    def show(self, ppv: Any, head: str) -> None:
        """Draw the channels of a cube that shine, averaged into as many maps as there is room for."""
        self.velocities, maps = moments.channel_maps(ppv, channels=self.COUNT)
        places = [divmod(number, self.COLUMNS) for number in range(len(maps))]
        valid = maps[np.isfinite(maps)]
        high = float(np.quantile(valid, 0.998)) if valid.size else 1.0
        low = min(0.0, float(np.quantile(valid, 0.005))) if valid.size else 0.0
        self.mapper.update(low=low, high=high if high > low else low + 1.0)
        self._source.data = {
            "image": [block_mean(_square(values), 128)[0].astype(np.float32) for values in maps],
            "x": [float(column) for _row, column in places],
            "y": [float(self.ROWS - 1 - row) for row, _column in places],
            "text": [f"{velocity:.2f} km/s".replace("-", "−") for velocity in self.velocities],
        }
        self.figure.title.text = head

    def mark(self, velocity: float) -> None:
        """Outline the map nearest to a velocity."""
        if not len(self.velocities):
            return
        row, column = divmod(int(np.abs(self.velocities - velocity).argmin()), self.COLUMNS)
        self._chosen.data = {"x": [column + 0.49], "y": [self.ROWS - 1 - row + 0.49]}

    def _tapped(self, x: float, y: float, on_tap: Callable[[float], None]) -> None:
        number = (self.ROWS - 1 - int(np.floor(y))) * self.COLUMNS + int(np.floor(x))
        if 0 <= x < self.COLUMNS and 0 <= number < len(self.velocities):
            on_tap(float(self.velocities[number]))


def _square(values: np.ndarray) -> np.ndarray:
    """Return a map with NaN around it, so that both sides are equal."""
    rows, columns = values.shape
    side = max(rows, columns)
    below, left = (side - rows) // 2, (side - columns) // 2
    margins = ((below, side - rows - below), (left, side - columns - left))
    return np.pad(np.asarray(values, np.float64), margins, constant_values=np.nan)


def _palette(name: str) -> list[str]:
    from holoviews.plotting.util import process_cmap

    return list(process_cmap(name, 256))
