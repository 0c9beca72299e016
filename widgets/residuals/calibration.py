"""Pages of the explorer of residuals that change with the run only: stated errors, and a correction's before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from widgets import parts, style
from widgets.candidate_figures import finish_figure, new_figure
from widgets.residuals import words as residual_words
from widgets.residuals.figures import RESIDUAL, RUN_COLOURS, density_labels, label_log_axis

NO_ERRORS = (
    "This run states no error of its own, so there is nothing to calibrate. Train one whose head does, for example "
    'lab.Blueprint.unet(head="gaussian") or head="quantiles", or a generative one; or look at the residuals by predicted '
    "density, which say what to expect of it."
)


class CalibrationView:
    """Do the stated errors hold: coverage, place of the truth, spread against skill, CRPS.

    Attributes
    ----------
    view : panel Column
    """

    def __init__(self):
        wide = {"sizing_mode": "stretch_width"}
        self.state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self.coverage = RunLines(
            "Do the intervals hold what they say?", "stated probability [%]", "truth inside [%]"
        )
        self.pit = RunLines(
            "Place of the truth in what is stated",
            "stated probability of a smaller density [%]",
            "frequency / stated",
        )
        self.skill = RunLines("Is the error as large as stated?", "stated σ [dex]", "RMS residual [dex]")
        lines = (self.coverage, self.pit, self.skill)
        self.panes = [pn.pane.Bokeh(one.figure, **wide) for one in lines]
        self._table = pn.pane.HTML("", stylesheets=[parts.STYLE], **wide)
        half = {"styles": {"flex": "1 1 330px", "min-width": "0"}}
        self._figures = pn.FlexBox(*(pn.Column(pane, **half) for pane in self.panes), **wide)
        self.view: Any = pmui.Column(self.state, self._figures, self._table, **wide)

    def show(self, judged: list[Any]) -> None:
        """Draw what the runs state of their errors."""
        stated = {one.name: one.evaluation for one in judged if one.evaluation.calibration is not None}
        self._figures.visible = bool(stated)
        if not stated:
            self.state.param.update(severity="info", title="No stated errors", object=parts.plain(NO_ERRORS))
            self._table.object = ""
            return
        self._draw({name: one.calibration for name, one in stated.items()})
        self._table.object = residual_words.scores(list(stated.items()), starting=("crps", "coverage"))
        name, one = next(iter(stated.items()))
        inside = one.score("coverage_0.68").value
        said = "too narrow" if inside < 0.63 else "too wide" if inside > 0.73 else "about right"
        words = f"{name}: the 68 % intervals hold {100 * inside:.1f} % of the pixels: they are {said}."
        self.state.param.update(
            severity="success" if said == "about right" else "warning",
            title="Calibration",
            object=parts.plain(words),
        )

    def _draw(self, tables: dict[str, Any]) -> None:
        """Draw the tables of evaluations by name."""
        percent = {
            name: [100 * np.array(table[f"coverage_{part}"]) for part in ("level", "share")]
            for name, table in tables.items()
        }
        self.coverage.show(percent, right=([0, 100], [0, 100]))
        steps = {}
        for name, table in tables.items():
            edges, share = np.array(table["pit_edges"]), np.array(table["pit_share"])
            steps[name] = [np.repeat(100 * edges, 2)[1:-1], np.repeat(share / np.diff(edges), 2)]
        self.pit.show(steps, right=([0, 100], [1, 1]))
        skills = {name: table["spread_skill"] for name, table in tables.items() if table["spread_skill"]}
        points = {
            f"{name}, slope {skill['slope']:.2f}": [skill["spread"], skill["error"]]
            for name, skill in skills.items()
        }
        ends = [value for pair in points.values() for values in pair for value in values] or [0, 1]
        self.skill.show(points, right=([min(ends), max(ends)], [min(ends), max(ends)]))


class RunLines:
    """A line for each of two runs, and what would be right.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self, title: str, x_label: str, y_label: str):
        from bokeh.models import ColumnDataSource

        self.figure = new_figure(title, x_label, y_label)
        right = self.figure.line([], [], color=style.NEUTRAL, line_dash="dashed", legend_label="right")
        self._right = right.data_source
        self._sources, self._items = [], []
        for colour, dash, marker in zip(RUN_COLOURS, style.DASHES, ("circle", "square"), strict=False):
            source = ColumnDataSource({"x": [], "y": []})
            choices = {"source": source, "color": colour}
            self.figure.line("x", "y", line_dash=dash, line_width=2.5, legend_label=marker, **choices)
            self.figure.scatter("x", "y", marker=marker, size=4, legend_label=marker, **choices)
            self._sources.append(source)
        finish_figure(self.figure)

    def show(self, lines: dict[str, Any], *, right: tuple[Any, Any]) -> None:
        """Draw (x, y) of one run or two by what they are called, and the line of what would be right."""
        known = list(lines.items())
        for number, source in enumerate(self._sources):
            name, (x, y) = known[number] if number < len(known) else ("", ([], []))
            source.data = {"x": list(x), "y": list(y)}
            self.figure.legend[0].items[number + 1].update(label={"value": name}, visible=bool(name))
        self._right.data = {"x": right[0], "y": right[1]}


class BeforeAfterFigure:
    """Mean and 68 % range of the residuals without and with a correction (report, figures 47 and 48).

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self):
        from bokeh.models import ColumnDataSource, Span

        self.figure = new_figure("", "density [cm⁻³]", RESIDUAL, x_range=(2, 6))
        self.sources = {}
        looks = (("before", style.VERMILION, "dashed"), ("after", style.BLUE, "solid"))
        for name, colour, dash in looks:
            source = ColumnDataSource({"x": [], "mean": [], "q16": [], "q84": []})
            self.figure.varea("x", "q16", "q84", source=source, color=colour, alpha=0.2)
            self.figure.line(
                "x", "mean", source=source, color=colour, line_dash=dash, line_width=2.5,
                legend_label=f"{name}: mean, 68 % of pixels",
            )  # fmt: skip
            self.sources[name] = source
        zero = Span(location=0, dimension="width", line_color=style.NEUTRAL, line_dash="dashed")
        self.figure.add_layout(zero)
        finish_figure(self.figure)

    def show(self, judged: Any, by: str) -> None:
        """Draw a run with a correction by its "target" or "predicted" density."""
        for name, one in (("before", judged.before), ("after", judged)):
            table = one.evaluation.bins[by]
            self.sources[name].data = {
                "x": np.log10(np.array(table["centres"], np.float64)),
                **{column: np.array(table[column], np.float64) for column in ("mean", "q16", "q84")},
            }
        ends = np.concatenate([source.data["x"] for source in self.sources.values()])
        low, high = float(ends.min()) - 0.1, float(ends.max()) + 0.1
        self.figure.x_range.update(start=low, end=high, reset_start=low, reset_end=high)
        axis = self.figure.xaxis[0]
        axis.axis_label = density_labels(judged)[by]
        label_log_axis(axis, low, high)
        words = {"target": "true", "predicted": "predicted"}[by]
        self.figure.title.text = f"{judged.name}: residuals by {words} density"


class BeforeAfterView:
    """Residuals and scores with and without the correction, of one run or two.

    Attributes
    ----------
    view : panel Column
    """

    def __init__(self):
        wide = {"sizing_mode": "stretch_width"}
        self.figures = [BeforeAfterFigure() for _ in RUN_COLOURS]
        self.panes = [pn.pane.Bokeh(one.figure, **wide) for one in self.figures]
        self._table = pn.pane.HTML("", stylesheets=[parts.STYLE], **wide)
        half = {"styles": {"flex": "1 1 330px", "min-width": "0"}}
        self._boxes = [
            pn.Column(visible=False, **half) for _ in self.panes
        ]  # filled when there is a correction
        self.view: Any = pmui.Column(
            pmui.Typography("Before and after the correction", variant="h6"),
            pn.FlexBox(*self._boxes, **wide),
            self._table,
            visible=False,
            **wide,
        )

    def show(self, judged: list[Any], by: str) -> None:
        """Draw the runs that have a correction; nothing is seen without one."""
        corrected = [one for one in judged if one.before is not None]
        self.view.visible = bool(corrected)
        columns = []
        for number, (figure, box) in enumerate(zip(self.figures, self._boxes, strict=True)):
            box.visible = number < len(corrected)
            if box.visible:
                one = corrected[number]
                figure.show(one, by)
                if not len(box):
                    box.append(self.panes[number])
                columns += [
                    (f"{one.name}, before", one.before.evaluation),
                    (f"{one.name}, after", one.evaluation),
                ]
        self._table.object = residual_words.scores(columns) if columns else ""
