"""Pictures of what goes on inside a network: feature maps and weights as a grid of tiles."""

from __future__ import annotations

import math

import numpy as np

from widgets import style
from widgets.axes import ticks_of_scale
from widgets.candidate_figures import new_figure

MOST = 16
"""Tiles in a picture."""


class TilesFigure:
    """Tiles of one array on one colour scale.

    Attributes
    ----------
    figure : bokeh figure
    """

    def __init__(self, colours: str, *, symmetric: bool):
        from bokeh import palettes
        from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper

        palette = palettes.diverging_palette(palettes.Blues256, palettes.Reds256, 256) if symmetric else ()
        self._symmetric = symmetric
        self._mapper = LinearColorMapper(
            palette=palette or getattr(palettes, f"{colours}256"), low=0, high=1, nan_color="rgba(0, 0, 0, 0)"
        )
        self._source = ColumnDataSource({"image": [], "tile": [], "dw": [], "dh": []})
        self.figure = new_figure("", "", "", x_range=(0, 4), y_range=(0, 4), frame=(300, 300))
        self.figure.axis.visible = False
        self.figure.grid.visible = False
        image = self.figure.image(
            "image", x=0, y=0, dw="dw", dh="dh", source=self._source, color_mapper=self._mapper, origin="top_left"
        )  # fmt: skip
        self.figure.add_tools(
            HoverTool(renderers=[image], tooltips=[("channel", "@tile"), ("value", "@image")])
        )
        self._bar = ColorBar(
            color_mapper=self._mapper, width=10, title_text_font_style="normal", background_fill_alpha=0
        )
        self.figure.add_layout(self._bar, "right")

    def show(self, values: np.ndarray, *, title: str, unit: str) -> int:
        """Show the first :data:`MOST` of tiles (count, y, x); return how many."""
        shown = np.asarray(values, np.float32)[:MOST]
        columns = math.ceil(math.sqrt(len(shown)))
        rows = math.ceil(len(shown) / columns)
        picture, numbers = _grid(shown, rows, columns)
        finite = shown[np.isfinite(shown)]
        low, high = (float(v) for v in np.quantile(finite, (0.01, 0.99))) if finite.size else (0.0, 1.0)
        if self._symmetric:
            high = float(np.abs(finite).max()) if finite.size else 1.0
            low = -high
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self._mapper.update(low=low, high=high)
        self._bar.update(title=unit, **ticks_of_scale(low, high, log=False, width=240))
        self._source.data = {
            "image": [picture],
            "tile": [numbers],
            "dw": [float(columns)],
            "dh": [float(rows)],
        }
        self.figure.x_range.update(start=0, end=columns)
        self.figure.y_range.update(start=0, end=rows)
        self.figure.title.text = title
        return len(shown)


def _grid(tiles: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tiles side by side with thin gaps, and the number of the tile of each pixel."""
    height, width = tiles.shape[1:]
    gap = 0 if len(tiles) == 1 else max(1, max(height, width) // 24)
    picture = np.full((rows * (height + gap), columns * (width + gap)), np.nan, np.float32)
    numbers = np.full(picture.shape, np.nan, np.float32)
    for index, tile in enumerate(tiles):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        picture[y : y + height, x : x + width] = tile
        numbers[y : y + height, x : x + width] = index
    return picture, numbers


def as_tiles(values: np.ndarray) -> np.ndarray:
    """Return an array of any number of axes as tiles (count, y, x): its last two axes are those of a tile.

    Examples
    --------
    >>> [as_tiles(np.zeros(shape)).shape for shape in ((), (8,), (8, 3), (8, 2, 3, 3))]
    [(1, 1, 1), (1, 1, 8), (1, 8, 3), (16, 3, 3)]
    """
    values = np.asarray(values)
    values = values.reshape((1,) * (2 - values.ndim) + values.shape)
    return values.reshape(-1, *values.shape[-2:])


def unit_of_output(name: str) -> str:
    """Return the words at the colour bar of what an output gives."""
    return f"log₁₀ {style.quantity(name).label}" if name in style.QUANTITIES else "log₁₀"
