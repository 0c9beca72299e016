"""The maps of one patch: what went in, the truth, what came out, and the error between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from widgets import style
from widgets.axes import ticks_of_scale
from widgets.candidate_figures import new_figure
from widgets.maps import colour_limits

NAMES = ("column_density", "target", "predicted", "residual")
TITLES = {"column_density": "Column density", "target": "True", "predicted": "Predicted", "residual": "Error"}

FRAME = 168
"""Sides of a map on the screen [px]: its pixels stay squares, however wide the page is."""

MOST_PIXELS = 4_000_000
"""Of patches, evenly chosen, that the colours are found from: the page waits for it."""

_VEIL = "#8A8A8A"
"""Lies over the pixels outside the chosen region: grey tells itself from every colour scale."""


class PatchMaps:
    """Four maps of a patch; with a chosen region, its pixels stand out (report, figures 12 and 13).

    Attributes
    ----------
    figures : list of bokeh.plotting.figure
        Column density, true and predicted density, residual; axes in pc.
    """

    def __init__(self):
        from bokeh.models import ColumnDataSource

        self._veil = ColumnDataSource({"veil": [], "side": []})  # of all maps; there is none without a region
        self._maps = {name: self._map(name) for name in NAMES}
        self.figures = [figure for figure, *_ in self._maps.values()]
        self._judged: Any = None
        self._side = 1.0

    def show(self, judged: Any, number: int, chosen: np.ndarray | None) -> None:
        """Show one patch.

        Parameters
        ----------
        judged : Judged
        number : int
            Of the validation patch.
        chosen : ndarray of bool, shape (y, x), optional
            Pixels of the chosen region; None where none is chosen.
        """
        if judged is not self._judged:
            self._scale(judged)
        veil = [] if chosen is None else [np.where(chosen, np.nan, 1.0).astype(np.float32)]
        if veil or len(self._veil.data["veil"]):
            self._veil.data = {"veil": veil, "side": [self._side] * len(veil)}
        for name, values in maps_of(judged, number).items():
            self._maps[name][1].data = {"image": [values.astype(np.float32)], "side": [self._side]}

    def _scale(self, judged: Any) -> None:
        """Choose colours and axes, the same for all patches: they can be compared, and a new one costs no new layout."""
        self._judged, self._side = judged, judged.target.shape[1] * judged.evaluation.pixel_size_pc
        some = max(1, judged.target.size // MOST_PIXELS)
        maps = maps_of(judged, slice(None, None, some))
        limits = {name: colour_limits(maps[name], True, None) for name in NAMES[:3]}
        both = np.array([limits["target"], limits["predicted"]])
        limits["target"] = limits["predicted"] = (float(both[:, 0].min()), float(both[:, 1].max()))
        valid = np.abs(maps["residual"][np.isfinite(maps["residual"])])
        reach = max(0.3, float(np.quantile(valid, 0.98))) if valid.size else 0.3
        limits["residual"] = (-reach, reach)
        for name, (figure, _source, mapper, bar) in self._maps.items():
            low, high = limits[name]
            mapper.update(low=low, high=high)
            if name in ("target", "predicted"):
                bar.title = style.quantity(judged.evaluation.target).label
            if name != "residual":
                bar.update(**ticks_of_scale(low, high, log=True, width=200))
            for axis_range in (figure.x_range, figure.y_range):
                axis_range.update(start=0, end=self._side, reset_start=0, reset_end=self._side)

    def _map(self, name: str) -> tuple[Any, Any, Any, Any]:
        from bokeh.models import (
            ColorBar,
            ColumnDataSource,
            HoverTool,
            LinearColorMapper,
            LogColorMapper,
            Range1d,
        )

        quantity = style.QUANTITIES[{"target": "density", "predicted": "density"}.get(name, name)]
        ranges = {"x_range": Range1d(0, 1), "y_range": Range1d(0, 1)}
        figure = new_figure(TITLES[name], "x [pc]", "y [pc]", frame=(FRAME, FRAME), **ranges)
        figure.update(toolbar_location="above")  # beside it, the map would not fit into a quarter of the page
        figure.grid.visible = False
        for axis in (*figure.xaxis, *figure.yaxis):
            axis.ticker.desired_num_ticks = 4
        source = ColumnDataSource({"image": [], "side": []})
        kind = LinearColorMapper if name == "residual" else LogColorMapper
        mapper = kind(palette=palette(quantity.colours), low=0.1, high=1, nan_color=style.MISSING)
        shape = {"x": 0, "y": 0, "dw": "side", "dh": "side"}
        image = figure.image("image", color_mapper=mapper, source=source, **shape)
        veil = LinearColorMapper(palette=[_VEIL], low=0, high=1, nan_color="rgba(0, 0, 0, 0)")
        figure.image("veil", color_mapper=veil, alpha=0.8, source=self._veil, **shape)
        bar = ColorBar(
            color_mapper=mapper, title=quantity.label, height=10, title_text_font_style="normal",
            background_fill_alpha=0,
        )  # fmt: skip
        figure.add_layout(bar, "below")
        digits = "+0.000" if name == "residual" else "0.00e+0"
        tips = [("x, y [pc]", "$x{0.00}, $y{0.00}"), (quantity.label, f"@image{{{digits}}}")]
        figure.add_tools(HoverTool(tooltips=tips, renderers=[image]))
        return figure, source, mapper, bar


def maps_of(judged: Any, number: Any) -> dict[str, np.ndarray]:
    """Return the maps of one patch, or of a slice of patches, by their names; the residual in dex."""
    target, predicted = judged.target[number], judged.predicted.density[number]
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.log10(predicted) - np.log10(target)
    column = judged.column_density[number]
    return {"column_density": column, "target": target, "predicted": predicted, "residual": residual}


def palette(name: str) -> Any:
    """Return 256 colours of a scale of :mod:`widgets.style`."""
    from bokeh import palettes

    if name == "RdBu_r":
        from bokeh.palettes import interp_palette

        return interp_palette(tuple(palettes.RdBu[11]), 256)  # blue below zero, red above
    return getattr(palettes, f"{name.capitalize()}256")
