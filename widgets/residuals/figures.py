"""Figures of residuals: correlation, violins, accuracy, errors of patches.

Bokeh figures over data sources, built once: a slider sends only what changed. Axes of densities are in log10, with
the densities themselves as labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import log_ticks, power_of_ten
from widgets.candidate_figures import finish_figure, new_figure
from widgets.performance import violin_outlines

RESIDUAL = style.QUANTITIES["residual"].label
RUN_COLOURS = (style.BLUE, style.VERMILION)
"""Of the run, and of the other beside it."""

_CLEAR = "rgba(0, 0, 0, 0)"


def density_labels(judged: Any) -> dict[str, str]:
    """Return the labels of true and predicted density of a run, by "target" and "predicted"."""
    label = style.quantity(judged.evaluation.target).label
    return {"target": f"true {label}", "predicted": f"predicted {label}"}


def label_log_axis(axis: Any, low: float, high: float, *, most: int = 6) -> None:
    """Label an axis of log10 values with the values themselves."""
    from bokeh.models import FixedTicker

    ticks = log_ticks(10**low, 10**high, most=most)
    axis.ticker = FixedTicker(ticks=[float(np.log10(tick)) for tick in ticks])
    axis.major_label_overrides = {float(np.log10(tick)): power_of_ten(tick) for tick in ticks}


class CorrelationFigure:
    """Predicted against true density, pixel by pixel, with the region that is chosen (report, figure 6).

    Parameters
    ----------
    on_choose : callable
        Called with the four ends (x0, x1, y0, y1) of a box drawn by the mouse, in log10 of the densities.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    BINS = 80

    def __init__(self, on_choose: Callable[[tuple[float, float, float, float]], None]):
        from bokeh.events import SelectionGeometry
        from bokeh.models import BoxSelectTool, ColorBar, ColumnDataSource, LogColorMapper

        self._on_choose = on_choose
        self._source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._line = ColumnDataSource({"x": [], "y": []})
        self._box = ColumnDataSource({"left": [], "right": [], "bottom": [], "top": []})
        self.figure = new_figure(
            "", "true density [cm⁻³]", "predicted density [cm⁻³]", x_range=(2, 6), y_range=(2, 6)
        )
        self._mapper = LogColorMapper(palette="Viridis256", low=1, high=10, nan_color=_CLEAR)
        image = self.figure.image(
            "image", x="x", y="y", dw="dw", dh="dh", source=self._source, color_mapper=self._mapper
        )
        self.figure.line("x", "y", source=self._line, color=style.NEUTRAL, line_dash="dashed", line_width=1.5)
        for colour, dash in (("white", "solid"), ("black", "dashed")):
            self.figure.quad(
                "left", "right", "top", "bottom", source=self._box, fill_alpha=0, line_color=colour,
                line_width=3, line_dash=dash,
            )  # fmt: skip
        bar = ColorBar(
            color_mapper=self._mapper, title="pixels", width=10, title_text_font_style="normal",
            background_fill_alpha=0,
        )  # fmt: skip
        self.figure.add_layout(bar, "right")
        tool = BoxSelectTool(renderers=[image], description="Choose a region")
        self.figure.add_tools(tool)
        self.figure.toolbar.active_drag = tool
        self.figure.on_event(SelectionGeometry, self._chosen)

    def show(self, judged: Any) -> None:
        """Count the pixels of a run."""
        x, y = (np.log10(values.ravel()) for values in (judged.target, judged.predicted.density))
        valid = np.isfinite(x) & np.isfinite(y)
        spans = [_span(values[valid]) for values in (x, y)]
        counts = np.histogram2d(y[valid], x[valid], bins=self.BINS, range=spans[::-1])[0]
        (left, right), (bottom, top) = spans
        self._source.data = {
            "image": [np.where(counts > 0, counts, np.nan).astype(np.float32)],
            "x": [left], "y": [bottom], "dw": [right - left], "dh": [top - bottom],
        }  # fmt: skip
        ends = [min(left, bottom), max(right, top)]
        self._line.data = {"x": ends, "y": ends}
        self._mapper.high = max(10, int(counts.max()))
        self.figure.x_range.update(start=left, end=right, reset_start=left, reset_end=right)
        self.figure.y_range.update(start=bottom, end=top, reset_start=bottom, reset_end=top)
        axes, labels = (self.figure.xaxis[0], self.figure.yaxis[0]), density_labels(judged).values()
        for axis, label, span in zip(axes, labels, spans, strict=True):
            axis.axis_label = label
            label_log_axis(axis, *span)
        rmse = judged.evaluation.scores["rmse_dex"]["value"]
        self.figure.title.text = f"{judged.name}: RMSE {rmse:.3f} dex"

    def mark(self, region: tuple[float, float, float, float] | None) -> None:
        """Draw the region that is chosen, (x0, x1, y0, y1) in log10; none with None."""
        ends = [[] for _ in range(4)] if region is None else [[value] for value in region]
        self._box.data = dict(zip(("left", "right", "bottom", "top"), ends, strict=True))

    def _chosen(self, event: Any) -> None:
        box = event.geometry
        if event.final and box.get("type") == "rect":
            x, y = sorted((box["x0"], box["x1"])), sorted((box["y0"], box["y1"]))
            self._on_choose((x[0], x[1], y[0], y[1]))


class ViolinFigure:
    """The distribution of the residuals in bins of density (report, figures 10 and 11).

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self):
        from bokeh.models import ColumnDataSource, HoverTool, Span

        self._bodies = ColumnDataSource({"xs": [], "ys": []})
        self._bins = ColumnDataSource({"x": [], "q16": [], "q84": [], "median": [], "n": [], "count": []})
        self.figure = new_figure("", "density [cm⁻³]", RESIDUAL, x_range=(2, 6))
        self.figure.patches(
            "xs", "ys", source=self._bodies, color=style.SKY, fill_alpha=0.6, line_color=style.BLUE
        )
        self.figure.segment("x", "q16", "x", "q84", source=self._bins, color=style.BLUE, line_width=3)
        dots = self.figure.scatter(
            "x", "median", source=self._bins, color="white", line_color=style.BLUE, size=7
        )
        zero = Span(location=0, dimension="width", line_color=style.NEUTRAL, line_dash="dashed")
        self.figure.add_layout(zero)
        tips = [
            ("density", "@n{0.00e+0} cm⁻³"),
            ("median", "@median{+0.000} dex"),
            ("68 %", "@q16{+0.000} to @q84{+0.000} dex"),
            ("pixels", "@count{0,0}"),
        ]
        self.figure.add_tools(HoverTool(tooltips=tips, renderers=[dots]))

    def show(self, judged: Any, by: str) -> None:
        """Draw the violins of a run by its "target" or "predicted" density."""
        table = judged.residuals[by]
        outlines = violin_outlines(table)
        self._bodies.data = {
            "xs": [np.log10(density).astype(np.float32) for density, _ in outlines],
            "ys": [residual.astype(np.float32) for _, residual in outlines],
        }
        filled = table.count > 0
        self._bins.data = {
            "x": np.log10(table.centres[filled]), "n": table.centres[filled], "count": table.count[filled],
            "q16": table.q16[filled], "q84": table.q84[filled], "median": table.median[filled],
        }  # fmt: skip
        low, high = np.log10(table.edges[[0, -1]])
        self.figure.x_range.update(start=low, end=high, reset_start=low, reset_end=high)
        axis = self.figure.xaxis[0]
        axis.axis_label = density_labels(judged)[by]
        label_log_axis(axis, low, high)
        words = {"target": "true", "predicted": "predicted"}[by]
        self.figure.title.text = f"{judged.name}: residuals by {words} density"


class AccuracyFigure:
    """The share of pixels within a tolerance, with 68 % of the patches, for one run or two (report, figures 8, 9).

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self):
        from bokeh.models import ColumnDataSource, HoverTool, Span

        empty = {"sigma": [], "mean": [], "q16": [], "q84": []}
        self._sources = [ColumnDataSource(dict(empty)) for _ in RUN_COLOURS]
        self.figure = new_figure(
            "Accuracy Acc(σ)", "tolerance σ [dex]", "pixels within σ [%]", x_range=(0, 1), y_range=(0, 102)
        )
        lines = []
        for source, colour, dash, name in zip(
            self._sources, RUN_COLOURS, style.DASHES, ("run", "other run"), strict=False
        ):
            self.figure.varea("sigma", "q16", "q84", source=source, color=colour, alpha=0.2)
            lines.append(
                self.figure.line(
                    "sigma", "mean", source=source, color=colour, line_dash=dash, line_width=2.5, legend_label=name
                )
            )  # fmt: skip
        self._at = Span(dimension="height", line_color=style.NEUTRAL, line_dash="dotted", line_width=2)
        self.figure.add_layout(self._at)
        tips = [
            ("σ", "@sigma{0.00} dex"), ("pixels", "@mean{0.0} %"), ("68 % of patches", "@q16{0.0} to @q84{0.0} %"),
        ]  # fmt: skip
        self.figure.add_tools(HoverTool(tooltips=tips, renderers=lines, mode="vline"))
        finish_figure(self.figure)

    def show(self, judged: list[Any]) -> None:
        """Draw the curves of the run and, if there is one, of the other."""
        for number, source in enumerate(self._sources):
            known = judged[number] if number < len(judged) else None
            table = {"tolerance_dex": [], "mean": [], "q16": [], "q84": []}
            table = table if known is None else known.evaluation.accuracy
            source.data = {
                "sigma": np.array(table["tolerance_dex"]),
                **{name: 100 * np.array(table[name], np.float64) for name in ("mean", "q16", "q84")},
            }
            item = self.figure.legend[0].items[number]
            item.update(label={"value": "" if known is None else known.name}, visible=known is not None)

    def mark(self, tolerance_dex: float) -> None:
        """Put the line at a tolerance."""
        self._at.location = tolerance_dex


class PatchErrors:
    """RMSE and mean residual of every patch, one of them chosen by a tap (report, figure 15).

    Parameters
    ----------
    on_tap : callable
        Called with the number of the patch.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self, on_tap: Callable[[int], None], *, colour: str = style.BLUE):
        from bokeh.models import ColumnDataSource, HoverTool, Span, TapTool

        self._source = ColumnDataSource({"number": [], "rmse": [], "bias": [], "cloud": [], "inside": []})
        self._marked = ColumnDataSource({"number": [], "rmse": [], "bias": []})
        self.figure = new_figure("", "patch of the validation set", "error of the patch [dex]")
        parts = (("rmse", "circle", colour, "RMSE"), ("bias", "triangle", style.GREEN, "mean residual"))
        marks = []
        for name, marker, shade, words in parts:
            mark = self.figure.scatter(
                "number", name, source=self._source, marker=marker, color=shade, size=8, legend_label=words
            )
            mark.selection_glyph = mark.nonselection_glyph = None
            marks.append(mark)
            for line, dash, width in (("white", "solid", 4), ("black", "solid", 2)):
                self.figure.scatter(
                    "number", name, source=self._marked, marker=marker, size=14, fill_alpha=0, line_color=line,
                    line_dash=dash, line_width=width,
                )  # fmt: skip
        zero = Span(location=0, dimension="width", line_color=style.NEUTRAL, line_dash="dashed")
        self.figure.add_layout(zero)
        tips = [
            ("patch", "@number"), ("cloud", "@cloud"), ("RMSE", "@rmse{0.000} dex"),
            ("mean residual", "@bias{+0.000} dex"), ("pixels in the region", "@inside{0,0}"),
        ]  # fmt: skip
        self.figure.add_tools(HoverTool(tooltips=tips, renderers=marks), TapTool(renderers=marks))
        finish_figure(self.figure)
        self._on_tap = on_tap
        self._source.selected.on_change("indices", self._tapped)

    def show(self, judged: Any, inside: np.ndarray) -> None:
        """Draw the errors of all patches; `inside` are their pixels in the chosen region."""
        maps = judged.evaluation.maps
        self._source.selected.indices = []
        self._source.data = {
            "number": list(range(len(judged))),
            "rmse": np.array(maps["rmse_dex"], np.float64), "bias": np.array(maps["bias_dex"], np.float64),
            "cloud": maps["cloud"], "inside": inside.tolist(),
        }  # fmt: skip
        self.figure.title.text = f"{judged.name}: errors of the patches"

    def count(self, inside: np.ndarray) -> None:
        """Tell how many pixels of each patch are in the chosen region."""
        self._source.patch({"inside": [(slice(None), inside.tolist())]})

    def mark(self, number: int) -> None:
        """Ring the patch that is shown."""
        names = ("number", "rmse", "bias")
        self._marked.data = {name: [self._source.data[name][number]] for name in names}

    def _tapped(self, _attr: str, _old: Any, new: list[int]) -> None:
        if new:
            self._on_tap(int(new[0]))


def _span(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of some values, apart from each other."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
