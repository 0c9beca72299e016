"""Figures that grow: Bokeh figures over data sources, so that only new points travel to the browser."""

from __future__ import annotations

from typing import Any

import numpy as np

from widgets import style
from widgets.curves import HISTORY_COLUMNS, history_table

SMOOTHED = ("training", "validation", "accuracy", "training_loss", "validation_loss")
"""Columns that may be smoothed; errors are smoothed in their logarithm."""

ERRORS = SMOOTHED[:2]
"""Those that are positive."""

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex")
"""Of the runs, in order: they tell the curves apart without colour."""

MOST = len(MARKERS)
"""Runs that are drawn at once, at most."""

_HOVER = [
    ("run", "@run"),
    ("epoch", "@epoch{0}"),
    ("training", "@training{0.0000} dex"),
    ("validation", "@validation{0.0000} dex"),
    ("training loss", "@training_loss{0.0000}"),
    ("validation loss", "@validation_loss{0.0000}"),
    ("within 0.3 dex", "@accuracy{0.0} %"),
    ("learning rate", "@learning_rate{0.0e+0}"),
    ("speed", "@images_per_second{0.0} images/s"),
]


class Smoother:
    """A running mean that forgets: weight w for what was, 1 - w for what comes, without a bias to the first value.

    A value that is not a number is left out, and stays a gap.

    Examples
    --------
    >>> Smoother(0.5).add([4.0, 1.0, 1.0]).round(2).tolist()
    [4.0, 2.0, 1.43]
    """

    def __init__(self, weight: float) -> None:
        self._weight, self._sum, self._share = weight, 0.0, 0.0

    def add(self, values: Any) -> np.ndarray:
        """Return the means after each of these further values."""
        means = np.full(len(values), np.nan)
        for place, value in enumerate(values):
            if np.isfinite(value):
                self._sum = self._weight * self._sum + (1 - self._weight) * value
                self._share = self._weight * self._share + (1 - self._weight)
                means[place] = self._sum / self._share
        return means


class Curve:
    """One run on the figures: its points, raw and smoothed.

    Attributes
    ----------
    source, best : bokeh ColumnDataSource
        All epochs, and the one whose weights are kept.
    """

    def __init__(self, name: str = "", smoothing: float = 0.0):
        from bokeh.models import ColumnDataSource

        self.name = name
        self._records: tuple = ()
        self._smoothing = smoothing
        self._start()
        self.source = ColumnDataSource(self._columns(()))
        self.best = ColumnDataSource({"epoch": [], "validation": [], "validation_loss": []})

    def _start(self) -> None:
        self._positive = True
        self._smoothers = {name: Smoother(self._smoothing) for name in SMOOTHED}

    def show(self, records: tuple) -> int:
        """Draw these records, sending only what is new; return how many points were sent.

        A history that is not the continuation of the one on screen (another run, or a run made anew) is drawn
        afresh.
        """
        count = len(self._records)
        if count > len(records) or (count and not _same(self._records[-1], records[count - 1])):
            return self._redraw(records)
        fresh = records[count:]
        if fresh:
            self.source.stream(self._columns(fresh))
        self._records = records
        self._mark()
        return len(fresh)

    @property
    def positive(self) -> bool:
        """Whether no loss is 0 or less: then it is drawn on a logarithmic axis."""
        return self._positive

    def smooth(self, weight: float) -> None:
        """Smooth with another weight; the raw points stay what they are."""
        if weight != self._smoothing:
            self._smoothing = weight
            self._redraw(self._records)

    def _redraw(self, records: tuple) -> int:
        self._start()
        self.source.data = self._columns(records)
        self._records = records
        self._mark()
        return len(records)

    def _columns(self, records: tuple) -> dict[str, Any]:
        """Return further records as columns of the data source."""
        columns = _columns(records)
        for name in SMOOTHED:
            values = columns[name]
            if name in ERRORS:
                with np.errstate(divide="ignore", invalid="ignore"):
                    columns[f"{name}_smooth"] = 10 ** self._smoothers[name].add(np.log10(values))
            else:
                columns[f"{name}_smooth"] = self._smoothers[name].add(values)
        self._positive &= not any((columns[name] <= 0).any() for name in ("training_loss", "validation_loss"))
        columns["run"] = np.full(len(records), self.name, dtype=object)
        return columns

    def _mark(self) -> None:
        """Mark the epoch whose weights are kept, which the loss chose."""
        record = next((record for record in reversed(self._records) if record.best), None)
        rows = [] if record is None else [record]
        best = {
            "epoch": [float(r.epoch + 1) for r in rows],
            "validation": [_number(r.validation_rmse_dex) for r in rows],
            "validation_loss": [r.validation_loss for r in rows],
        }
        if {name: list(values) for name, values in self.best.data.items()} != best:
            self.best.data = best


class LiveHistory:
    """The curves of one training or of several, fed with epoch records as they come.

    Attributes
    ----------
    figures : list of bokeh.plotting.figure
        Errors, loss, accuracy, learning rate and speed against the epoch.
    curves : list of Curve
        Of the runs, in the order of their colours.
    """

    def __init__(self) -> None:
        self._losses = [_figure("Loss that the training lowers", "loss", log=log) for log in (True, False)]
        self._others = [
            _figure("Error of log₁₀ n", "RMS error [dex]", log=True),
            _figure("Validation accuracy", "pixels within 0.3 dex [%]"),
            _figure("Learning rate", "learning rate", log=True),
            _figure("Speed", "images per second [1/s]"),
        ]
        self.curves: list[Curve] = []
        self._words: dict[int, str] = {}
        self._raw: list[Any] = []
        self._smooth: list[Any] = []
        self._all: list[list[Any]] = []
        self._smoothing = 0.0
        self._add()
        for figure in (*self._others, *self._losses):
            _finish(figure)

    @property
    def figures(self) -> list[Any]:
        """Errors, loss, accuracy, learning rate and speed; a loss that is not positive is drawn on a linear axis."""
        positive = all(curve.positive for curve in self.curves)
        return [self._others[0], self._losses[0 if positive else 1], *self._others[1:]]

    @property
    def errors_known(self) -> bool:
        """Whether a run says its errors in dex; one of an older version, or a generative network, does not."""
        return any(np.isfinite(curve.source.data[name]).any() for curve in self.curves for name in ERRORS)

    @property
    def epochs(self) -> list[float]:
        """Epochs of the first run that are drawn."""
        return list(self.curves[0].source.data["epoch"])

    @property
    def best_epoch(self) -> list[float]:
        """The epoch of the first run marked as best, in a list that is empty before the first."""
        return list(self.curves[0].best.data["epoch"])

    def show(self, records: tuple, *, place: int = 0, name: str = "", loss: str = "") -> int:
        """Draw the records of one of the runs, whose loss is so called; return how many points were sent."""
        while len(self.curves) <= place:
            self._add()
        curve = self.curves[place]
        if curve.name != name:
            curve.name = name
            curve.show(())
        for renderer in self._all[place]:
            renderer.visible = self._visible(renderer)
        self._words[place] = loss
        self._name_losses()
        return curve.show(records)

    def keep(self, count: int) -> None:
        """Hide all runs after the first `count`."""
        for place in range(count, len(self.curves)):
            self.curves[place].show(())
            for renderer in self._all[place]:
                renderer.visible = False
            self._words.pop(place, None)
        self._name_losses()

    def _name_losses(self) -> None:
        """Write on the axis what the loss is; runs with different ones do not compare."""
        found = {words for words in self._words.values() if words}
        label = f"loss: {found.pop()}" if len(found) == 1 else "loss of each run" if found else "loss"
        for figure in self._losses:
            if figure.yaxis[0].axis_label != label:
                figure.yaxis[0].axis_label = label

    def smooth(self, weight: float) -> None:
        """Draw smoothed curves over pale raw ones; 0 draws the raw ones alone."""
        self._smoothing = weight
        for curve in self.curves:
            curve.smooth(weight)
        for renderer in self._smooth:
            renderer.visible = self._visible(renderer)
        self._pale()

    def _visible(self, renderer: Any) -> bool:
        return self._smoothing > 0 or renderer not in self._smooth

    def _pale(self) -> None:
        for renderer in self._raw:
            renderer.glyph.line_alpha = 0.3 if self._smoothing else 1.0

    def _add(self) -> None:
        """Give one more run its lines and marks, in a colour of its own."""
        place = len(self.curves)
        colour, marker = style.SERIES[place % len(style.SERIES)], MARKERS[place % MOST]
        curve = Curve(smoothing=self._smoothing)
        errors, accuracy, rate, speed = self._others
        words = (lambda text: {"legend_label": text}) if place == 0 else (lambda text: {})
        line = {"source": curve.source, "line_width": 2, "color": colour}
        smooth = {**line, "line_width": 3}
        dots = {"source": curve.source, "size": 4, "color": colour, "marker": marker, "name": "points"}
        raw = [
            errors.line("epoch", "training", line_dash="dashed", **line, **words("training")),
            errors.line("epoch", "validation", **line, **words("validation")),
            accuracy.line("epoch", "accuracy", **line),
        ]
        over = [
            errors.line("epoch", "training_smooth", line_dash="dashed", **smooth),
            errors.line("epoch", "validation_smooth", **smooth),
            accuracy.line("epoch", "accuracy_smooth", **smooth),
        ]
        marks = {"source": curve.best, "size": 12, "color": colour, "marker": marker,
                 "line_color": style.NEUTRAL, "line_width": 2}  # fmt: skip
        others = [
            errors.scatter("epoch", "validation", **dots),
            errors.scatter("epoch", "validation", **marks, **words("best so far")),
            accuracy.scatter("epoch", "accuracy", **dots),
            rate.step("epoch", "learning_rate", mode="center", **line),
            rate.scatter("epoch", "learning_rate", **dots),
            speed.line("epoch", "images_per_second", **line),
            speed.scatter("epoch", "images_per_second", **dots),
        ]
        for loss in self._losses:
            raw += [
                loss.line("epoch", "training_loss", line_dash="dashed", **line, **words("training")),
                loss.line("epoch", "validation_loss", **line, **words("validation")),
            ]
            over += [
                loss.line("epoch", "training_loss_smooth", line_dash="dashed", **smooth),
                loss.line("epoch", "validation_loss_smooth", **smooth),
            ]
            others += [
                loss.scatter("epoch", "validation_loss", **dots),
                loss.scatter("epoch", "validation_loss", **marks, **words("best so far")),
            ]
        self.curves.append(curve)
        self._raw += raw
        self._smooth += over
        self._all.append([*raw, *over, *others])
        for renderer in over:
            renderer.visible = self._smoothing > 0
        self._pale()
        for figure in (*self._others, *self._losses):
            for tool in figure.hover:
                tool.renderers = figure.select(name="points")


def _columns(records: tuple) -> dict[str, np.ndarray]:
    """Return records as columns: what :func:`widgets.curves.history_table` gives, fast for a single record, and the losses."""
    losses = {
        name: np.array([getattr(record, name) for record in records], float)
        for name in ("training_loss", "validation_loss")
    }
    if len(records) > 1:
        table = history_table(records)
        return {name: table[name].to_numpy() for name in HISTORY_COLUMNS} | losses
    rows = {
        "epoch": [record.epoch + 1.0 for record in records],
        "training": [_number(record.training_rmse_dex) for record in records],
        "validation": [_number(record.validation_rmse_dex) for record in records],
        "accuracy": [100.0 * record.validation_accuracy for record in records],
        "learning_rate": [record.learning_rate for record in records],
        "images_per_second": [record.images_per_second for record in records],
        "best": [bool(record.best) for record in records],
    }
    return {
        name: np.array(values, dtype=bool if name == "best" else float) for name, values in rows.items()
    } | losses


def _number(value: float | None) -> float:
    """Return a value that may be unknown as a number."""
    return float("nan") if value is None else value


def _same(first: Any, second: Any) -> bool:
    """Whether two records are one; a loss that is not a number equals itself."""
    return first is second or repr(first) == repr(second)


def _figure(title: str, label: str, *, log: bool = False) -> Any:
    """Return an empty figure over epochs."""
    from bokeh.models import DataRange1d
    from bokeh.plotting import figure

    return figure(
        title=title,
        x_axis_label="epoch",
        y_axis_label=label,
        y_axis_type="log" if log else "linear",
        x_range=DataRange1d(range_padding=0.04, default_span=10, min_interval=1, only_visible=True),
        y_range=DataRange1d(range_padding=0.08, default_span=1, only_visible=True),
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
