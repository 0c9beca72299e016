"""Figures of a study: a map of two settings, a curve of one, with the scatter of the seeds; a tap chooses a cell.

Bokeh figures over data sources, built once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from widgets import style
from widgets.candidate_figures import new_figure
from widgets.complexity.study_cells import StudyCell, places
from widgets.residuals.maps import palette
from widgets.studies import is_signed, label_of, more_is_better, with_error

_STATES = {"not run": "not run", "failed": "failed", "pruned": "pruned", "part": "seeds missing"}


class StudyMap:
    """Cells of two settings, each with mean ± scatter over the seeds (report, figures 14, 17, 21).

    Parameters
    ----------
    on_tap : callable
        Called with the number of a cell.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self, on_tap: Callable[[int], None]):
        from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper

        self._on_tap = on_tap
        columns = ("x", "y", "number", "mean", "std", "seeds", "text", "ink", "words")
        self._source = ColumnDataSource({name: [] for name in columns})
        self._chosen = ColumnDataSource({"x": [], "y": []})
        self.figure = new_figure("", "", "", x_range=(-0.5, 0.5), y_range=(-0.5, 0.5))
        self.figure.update(height=420)
        self.figure.grid.visible = False
        self._mapper = LinearColorMapper(palette="Viridis256", low=0, high=1, nan_color=style.MISSING)
        cells = self.figure.rect(
            "x", "y", 0.96, 0.96, source=self._source, line_color=None,
            fill_color={"field": "mean", "transform": self._mapper},
        )  # fmt: skip
        cells.selection_glyph = cells.nonselection_glyph = None
        words = self.figure.text(
            "x", "y", "text", source=self._source, text_color="ink", text_align="center", text_baseline="middle",
            text_font_size="10pt",
        )  # fmt: skip
        words.selection_glyph = words.nonselection_glyph = None
        for colour, dash in (("white", "solid"), ("black", "dashed")):
            self.figure.rect(
                "x", "y", 0.96, 0.96, source=self._chosen, fill_alpha=0, line_color=colour, line_width=4,
                line_dash=dash,
            )  # fmt: skip
        self._bar = ColorBar(
            color_mapper=self._mapper, title="", width=10, title_text_font_style="normal", background_fill_alpha=0
        )  # fmt: skip
        self.figure.add_layout(self._bar, "right")
        _make_taps(self.figure, [cells], self._source, self._tapped)

    def show(self, study: Any, cells: dict[int, StudyCell], plane: tuple[str, str], metric: str) -> None:
        """Draw cells by their numbers on the plane of two settings, across and up."""
        known = list(cells.values())
        x, x_labels = places([cell.settings[plane[0]] for cell in known], ordered=True)
        y, y_labels = places([cell.settings[plane[1]] for cell in known], ordered=True)
        means = [cell.mean for cell in known]
        low, high, colours = _scale(means, metric)
        self._mapper.update(low=low, high=high, palette=colours)
        self._bar.title = label_of(metric)
        self._source.selected.indices = []
        self._source.data = {
            "x": x, "y": y, "number": list(cells), "mean": means, "std": [cell.std for cell in known],
            "seeds": [len(cell.values) for cell in known], "words": [cell.text for cell in known],
            "text": [_text(cell) for cell in known],
            "ink": [_ink(cell.mean, low, high, metric) for cell in known],
        }  # fmt: skip
        for axis, limits, labels, name in (
            (self.figure.xaxis[0], self.figure.x_range, x_labels, plane[0]),
            (self.figure.yaxis[0], self.figure.y_range, y_labels, plane[1]),
        ):
            _label(axis, labels, label_of(name))
            start, end = -0.5, max(labels, default=0.0) + 0.5
            limits.update(start=start, end=end, reset_start=start, reset_end=end)
        self.figure.title.text = f"{label_of(metric)}: {_seeds(study)}"

    def mark(self, number: int | None) -> None:
        """Frame one cell."""
        _mark(self._source, self._chosen, number)

    def _tapped(self, index: int) -> None:
        self._on_tap(int(self._source.data["number"][index]))


class StudyCurve:
    """A result against one setting, with error bars over the seeds (report, figures 22, 23); dots for a search.

    Parameters
    ----------
    on_tap : callable
        Called with the number of a cell.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self, on_tap: Callable[[int], None]):
        from bokeh.models import ColumnDataSource, Whisker

        self._on_tap = on_tap
        columns = ("x", "y", "number", "mean", "std", "low", "high", "seeds", "text", "words")
        self._source = ColumnDataSource({name: [] for name in columns})
        self._line = ColumnDataSource({"x": [], "y": []})
        self._chosen = ColumnDataSource({"x": [], "y": []})
        self.figure = new_figure("", "", "", x_range=(-0.5, 0.5), y_range=(0, 1))
        self.figure.update(height=420)
        self.figure.line("x", "y", source=self._line, color=style.BLUE, line_width=2)
        bars = Whisker(
            source=self._source, base="x", lower="low", upper="high", line_color=style.BLUE, line_width=2
        )
        for head in (bars.upper_head, bars.lower_head):
            head.update(size=10, line_color=style.BLUE)
        self.figure.add_layout(bars)
        dots = self.figure.scatter(
            "x", "y", source=self._source, size=11, color=style.BLUE, line_color="white"
        )
        dots.selection_glyph = dots.nonselection_glyph = None
        for colour, width in (("white", 5), ("black", 2)):
            self.figure.scatter(
                "x", "y", source=self._chosen, size=17, fill_alpha=0, line_color=colour, line_width=width
            )
        _make_taps(self.figure, [dots], self._source, self._tapped)

    def show(self, study: Any, cells: dict[int, StudyCell], axis: str, metric: str) -> None:
        """Draw cells by their numbers along one setting; those without a result have no dot."""
        known = list(cells.values())
        search = study.kind == "search"
        x, labels = places([cell.settings[axis] for cell in known], ordered=not search)
        spread = [0.0 if math.isnan(cell.std) else cell.std for cell in known]
        self._source.selected.indices = []
        self._source.data = {
            "x": x, "y": [cell.mean for cell in known], "number": list(cells),
            "mean": [cell.mean for cell in known], "std": [cell.std for cell in known],
            "low": [cell.mean - std for cell, std in zip(known, spread, strict=True)],
            "high": [cell.mean + std for cell, std in zip(known, spread, strict=True)],
            "seeds": [len(cell.values) for cell in known], "text": [_text(cell) for cell in known],
            "words": [cell.text for cell in known],
        }  # fmt: skip
        joined = sorted((place, cell.mean) for place, cell in zip(x, known, strict=True) if cell.values)
        joined = [] if search else joined
        self._line.data = {"x": [place for place, _ in joined], "y": [mean for _, mean in joined]}
        _label(self.figure.xaxis[0], labels, label_of(axis))
        start, end = min(labels, default=0.0), max(labels, default=1.0)
        edge = 0.08 * (end - start) or 0.5
        self.figure.x_range.update(
            start=start - edge, end=end + edge, reset_start=start - edge, reset_end=end + edge
        )
        ends = [value for name in ("low", "high") for value in self._source.data[name]]
        low, high = _limits(ends)
        edge = 0.08 * (high - low)
        self.figure.y_range.update(
            start=low - edge, end=high + edge, reset_start=low - edge, reset_end=high + edge
        )
        self.figure.yaxis[0].axis_label = label_of(metric)
        self.figure.title.text = f"{label_of(metric)}: {_seeds(study)}"

    def mark(self, number: int | None) -> None:
        """Ring one cell."""
        _mark(self._source, self._chosen, number)

    def _tapped(self, index: int) -> None:
        self._on_tap(int(self._source.data["number"][index]))


def _make_taps(figure: Any, renderers: list[Any], source: Any, tapped: Callable[[int], None]) -> None:
    """Let cells be pointed at and tapped."""
    from bokeh.models import HoverTool, TapTool

    tips = [
        ("cell", "@words"), ("mean", "@mean{0.0000}"), ("scatter of the seeds", "@std{0.0000}"), ("seeds", "@seeds"),
    ]  # fmt: skip
    figure.add_tools(HoverTool(tooltips=tips, renderers=renderers), TapTool(renderers=renderers))
    source.selected.on_change("indices", lambda _attr, _old, new: tapped(int(new[0])) if new else None)


def _mark(source: Any, chosen: Any, number: int | None) -> None:
    numbers = list(source.data["number"])
    if number not in numbers:
        chosen.data = {"x": [], "y": []}
        return
    index = numbers.index(number)
    chosen.data = {name: [source.data[name][index]] for name in ("x", "y")}


def _label(axis: Any, labels: dict[float, str], words: str) -> None:
    from bokeh.models import FixedTicker

    most = 12
    ticks = sorted(labels)[:: max(1, -(-len(labels) // most))]
    axis.ticker = FixedTicker(ticks=ticks)
    axis.major_label_overrides = {tick: labels[tick] for tick in ticks}
    axis.axis_label = words


def _limits(values: list[float]) -> tuple[float, float]:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    return (low, high) if high > low else (low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1))


def _scale(means: list[float], metric: str) -> tuple[float, float, Any]:
    """Return the ends of the colours and the colours: better is brighter; a bias has two hues about 0."""
    low, high = _limits(means)
    if is_signed(metric):
        edge = max(abs(low), abs(high))
        return -edge, edge, palette(style.QUANTITIES["residual"].colours)
    return low, high, palette("viridis") if more_is_better(metric) else _reversed()


def _text(cell: StudyCell) -> str:
    """Return what stands in a cell."""
    missing = _STATES.get(cell.state, "")
    if not cell.values:
        return missing
    return with_error(cell.mean, cell.std) + (f"\n{missing}" if missing else "")


def _ink(mean: float, low: float, high: float, metric: str) -> str:
    """Return the colour of letters that can be read on the colour of a cell."""
    if math.isnan(mean):
        return "black"
    share = (mean - low) / (high - low)
    if is_signed(metric):  # pale in the middle
        return "black" if abs(share - 0.5) < 0.3 else "white"
    return "black" if (share if more_is_better(metric) else 1 - share) > 0.55 else "white"


def _seeds(study: Any) -> str:
    count = len(study.seeds)
    return "one seed, no error bars" if count == 1 else f"mean ± scatter of {count} seeds"


def _reversed() -> tuple[str, ...]:
    from bokeh.palettes import Viridis256

    return tuple(reversed(Viridis256))
