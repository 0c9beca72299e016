"""Figures that grow: Bokeh figures over a data source, so that only new points travel to the browser."""

from __future__ import annotations

from typing import Any

import pandas as pd

from widgets import style
from widgets.curves import HISTORY_COLUMNS, history_table

_HOVER = [
    ("epoch", "@epoch{0}"),
    ("training", "@training{0.0000} dex"),
    ("validation", "@validation{0.0000} dex"),
    ("within 0.3 dex", "@accuracy{0.0} %"),
    ("learning rate", "@learning_rate{0.0e+0}"),
]


class LiveHistory:
    """The curves of one training, fed with epoch records as they come.

    Attributes
    ----------
    figures : list of bokeh.plotting.figure
        Errors, accuracy and learning rate against the epoch.
    """

    def __init__(self):
        from bokeh.models import ColumnDataSource

        empty = history_table([])
        self._source = ColumnDataSource({name: empty[name].to_numpy() for name in HISTORY_COLUMNS})
        self._best = ColumnDataSource({"epoch": [], "validation": []})
        self.figures = [self._errors(), self._accuracy(), self._learning_rate()]

    @property
    def epochs(self) -> list[float]:
        """Epochs that are drawn."""
        return list(self._source.data["epoch"])

    @property
    def best_epoch(self) -> list[float]:
        """The epoch marked as best, in a list that is empty before the first."""
        return list(self._best.data["epoch"])

    def show(self, records: tuple) -> int:
        """Draw these records, sending only what is new; return how many points were sent.

        A history that is not the continuation of the one on screen (another run, or a run made anew) is
        drawn afresh.
        """
        table = history_table(records)
        drawn = self.epochs
        if (
            len(table) < len(drawn)
            or list(table["epoch"][: len(drawn)]) != drawn
            or not self._continues(table)
        ):
            self._source.data = _columns(table)
            sent = len(table)
        else:
            fresh = table.iloc[len(drawn) :]
            sent = len(fresh)
            if sent:
                self._source.stream(_columns(fresh))
        best = table[table["best"].astype(bool)].tail(1)
        if list(best["epoch"]) != self.best_epoch or list(best["validation"]) != list(
            self._best.data["validation"]
        ):
            self._best.data = {"epoch": list(best["epoch"]), "validation": list(best["validation"])}
        return sent

    def _continues(self, table: pd.DataFrame) -> bool:
        """Whether the last point on screen is the same in the table."""
        count = len(self._source.data["epoch"])
        if not count:
            return True
        last, same = self._source.data["training"][-1], table["training"].iloc[count - 1]
        return bool(last == same or (last != last and same != same))

    def _errors(self) -> Any:
        figure = _figure("Error of log₁₀ n", "RMS error [dex]", log=True)
        figure.line("epoch", "training", source=self._source, color=style.BLUE, line_dash="dashed", line_width=2, legend_label="training")  # fmt: skip
        figure.line("epoch", "validation", source=self._source, color=style.VERMILION, line_width=2, legend_label="validation")  # fmt: skip
        figure.scatter(
            "epoch", "validation", source=self._source, color=style.VERMILION, size=4, name="points"
        )
        figure.scatter("epoch", "validation", source=self._best, color=style.VERMILION, size=11, line_color="white", line_width=2, legend_label="best so far")  # fmt: skip
        return _finish(figure)

    def _accuracy(self) -> Any:
        figure = _figure("Validation accuracy", "pixels within 0.3 dex [%]")
        figure.line("epoch", "accuracy", source=self._source, color=style.GREEN, line_width=2)
        figure.scatter("epoch", "accuracy", source=self._source, color=style.GREEN, size=4, name="points")
        return _finish(figure)

    def _learning_rate(self) -> Any:
        figure = _figure("Learning rate", "learning rate", log=True)
        figure.step(
            "epoch", "learning_rate", source=self._source, color=style.PURPLE, line_width=2, mode="center"
        )
        figure.scatter(
            "epoch", "learning_rate", source=self._source, color=style.PURPLE, size=4, name="points"
        )
        return _finish(figure)


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as the columns of a data source."""
    return {name: table[name].to_numpy() for name in HISTORY_COLUMNS}


def _figure(title: str, label: str, *, log: bool = False) -> Any:
    """Return an empty figure over epochs."""
    from bokeh.models import DataRange1d
    from bokeh.plotting import figure

    return figure(
        title=title,
        x_axis_label="epoch",
        y_axis_label=label,
        y_axis_type="log" if log else "linear",
        x_range=DataRange1d(range_padding=0.04, default_span=10, min_interval=1),
        y_range=DataRange1d(range_padding=0.08, default_span=1),
        height=300,
        min_width=300,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_scroll=None,
    )


def _finish(figure: Any) -> Any:
    """Give a figure its fonts, its tools and its hover text."""
    from bokeh.models import BasicTickFormatter, HoverTool, PrintfTickFormatter

    figure.add_tools(HoverTool(tooltips=_HOVER, renderers=figure.select(name="points"), mode="vline"))
    figure.toolbar.logo = None
    figure.toolbar.autohide = True
    figure.axis.axis_label_text_font_style = "normal"
    figure.axis.axis_label_text_font_size = style.FONT_SIZES["labels"]
    figure.axis.major_label_text_font_size = style.FONT_SIZES["xticks"]
    figure.title.text_font_size = style.FONT_SIZES["title"]
    figure.xaxis.formatter = BasicTickFormatter(use_scientific=False, precision=0)
    if figure.yaxis[0].axis_label == "learning rate":
        figure.yaxis.formatter = PrintfTickFormatter(format="%.1e")
    elif figure.yaxis[0].axis_label.endswith("[dex]"):
        figure.yaxis.formatter = PrintfTickFormatter(format="%.4g")
    if figure.legend:
        figure.add_layout(figure.legend[0], "above")  # inside, it would lie on a curve sooner or later
        figure.legend.orientation = "horizontal"
        figure.legend.background_fill_alpha = 0
        figure.legend.border_line_alpha = 0
        figure.legend.margin = 0
        figure.legend.label_text_font_size = style.FONT_SIZES["legend"]
        figure.legend.padding = 4
    return figure
