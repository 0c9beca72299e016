"""The error at each core against its column density (report, figure 35), as a figure that other maps can be put into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import ticks_of_scale
from widgets.candidate_figures import finish_figure, new_figure

WINDOW = 10
"""Cores in the moving mean."""


class CoreErrorFigure:
    """Points, moving mean and its scatter; a tap on a point chooses the core.

    Parameters
    ----------
    on_tap : callable
        Called with the name of a core.
    """

    def __init__(self, on_tap: Callable[[str], None]):
        from bokeh.models import ColumnDataSource, HoverTool, Span, TapTool

        self._points = ColumnDataSource({"column": [], "error": [], "name": []})
        self._mean = ColumnDataSource({"column": [], "mean": [], "low": [], "high": []})
        self._chosen = ColumnDataSource({"column": [], "error": []})
        self.figure = new_figure(
            "Density of cores: map against catalogue", "N_H [cm⁻²]", "log₁₀(map / catalogue) [dex]",
            x_axis_type="log",
        )  # fmt: skip
        self.figure.add_layout(
            Span(location=0, dimension="width", line_color=style.NEUTRAL, line_dash="dashed")
        )
        self.figure.varea(
            "column", "low", "high", source=self._mean, color=style.BLUE, alpha=0.2, legend_label="scatter"
        )
        self.figure.line(
            "column", "mean", source=self._mean, color=style.BLUE, line_width=3, legend_label="moving mean"
        )
        marks = self.figure.scatter(
            "column", "error", source=self._points, size=7, color=style.VERMILION, alpha=0.6, legend_label="cores"
        )  # fmt: skip
        marks.selection_glyph = marks.nonselection_glyph = None
        self.figure.scatter(
            "column", "error", source=self._chosen, size=16, fill_alpha=0, line_color=style.ORANGE, line_width=3
        )  # fmt: skip
        tips = [("core", "@name"), ("N_H [cm⁻²]", "@column{0.00e}"), ("error [dex]", "@error{+0.00}")]
        self.figure.add_tools(HoverTool(tooltips=tips, renderers=[marks]), TapTool(renderers=[marks]))
        finish_figure(self.figure)
        self._points.selected.on_change(
            "indices", lambda _attr, _old, new: new and on_tap(str(self._points.data["name"][new[0]]))
        )

    def show(self, errors: Any | None) -> None:
        """Draw the errors of :func:`polaris_lab.observations.cores.core_errors`; None: none."""
        self._points.selected.indices = []
        self._chosen.data = {"column": [], "error": []}
        if errors is None:
            self._points.data = {"column": [], "error": [], "name": []}
            self._mean.data = {"column": [], "mean": [], "low": [], "high": []}
            return
        column = 10.0**errors.log_column
        self._points.data = {"column": column, "error": errors.error_dex, "name": errors.name}
        log_column, mean, scatter = errors.moving_mean(min(WINDOW, len(errors)))
        self._mean.data = {
            "column": 10.0**log_column,
            "mean": mean,
            "low": mean - scatter,
            "high": mean + scatter,
        }
        low, high = float(column.min()) / 1.1, float(column.max()) * 1.1
        self.figure.x_range.update(start=low, end=high)
        self.figure.xaxis.update(**ticks_of_scale(low, high, log=True, width=330))
        ends = min(float(errors.error_dex.min()), 0.0), max(float(errors.error_dex.max()), 0.0)
        room = 0.05 * (ends[1] - ends[0]) + 0.05
        self.figure.y_range.update(start=ends[0] - room, end=ends[1] + room)

    def mark(self, name: str) -> None:
        """Ring one core, if it has an error."""
        rows = np.flatnonzero(np.asarray(self._points.data["name"], str) == name)
        self._chosen.data = {
            "column": [float(self._points.data["column"][row]) for row in rows],
            "error": [float(self._points.data["error"][row]) for row in rows],
        }
