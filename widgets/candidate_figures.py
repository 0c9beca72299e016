"""Figures of candidates for patches: where they lie on the faces of a cloud, and their scores.

Bokeh figures over data sources, built once: a slider sends only what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from polaris_lab.datasets import acceptance_probability
from polaris_lab.datasets.split import face_axes
from widgets import style
from widgets.axes import block_mean, map_size, ticks_of_scale
from widgets.maps import colour_limits

FACE_PIXELS = 512
"""Longest side of a face as it is sent to the browser."""


class Look(NamedTuple):
    """How candidates of one fate are shown."""

    words: str
    colour: str
    marker: str
    meaning: str


LOOKS = {
    "too close": Look("overlaps", style.ORANGE, "x", "nearer to a kept patch than the minimum distance"),
    "too diffuse": Look("too diffuse", style.GREEN, "triangle", "too many pixels below the low-density cut"),
    "across the slab": Look("across the slab", style.PURPLE, "diamond", "would mix training and validation gas"),
    "score": Look("score refused", style.VERMILION, "square", "not drawn with the probability f(s)"),
    "repacked": Look("jammed", style.NEUTRAL, "hex", "given up for a layout that holds more patches"),
    "accepted": Look("kept", style.BLUE, "circle", "goes into the training set"),
}  # fmt: skip
"""By fate, from the least to the most important: the last is drawn on top."""


def same_candidate(old: Any, new: Any, number: int) -> int | None:
    """Return the candidate of other proposals that has the window of this one; None if it was not drawn there."""
    row = {name: old.table[name][number] for name in ("line_of_sight", "origin")}
    same = new.table["line_of_sight"] == row["line_of_sight"]
    same = same & (new.table["origin"] == row["origin"]).all(axis=1)
    found = np.flatnonzero(same)
    return int(found[-1]) if len(found) else None


_COLUMNS = ("x", "y", "fate", "number", "score", "probability", "diffuse")
"""Of the candidates on a face, as they are sent to the browser; a fate is its place in :data:`LOOKS`."""


def _codes(fates: np.ndarray) -> np.ndarray:
    """Return the place of each fate in :data:`LOOKS`."""
    names = np.array(list(LOOKS))
    order = np.argsort(names)
    return order[np.searchsorted(names, fates, sorter=order)].astype(np.uint8)


class FaceFigure:
    """One face of a cloud with the windows of all its candidates.

    Parameters
    ----------
    face : Face
        Of :class:`polaris_lab.Proposals`.
    pixel_size_pc : float
    on_tap : callable
        Called with the number of a candidate that was tapped.

    Attributes
    ----------
    figure : bokeh.plotting.figure
        Axes in pc.
    """

    def __init__(self, face: Any, *, pixel_size_pc: float, on_tap: Callable[[int], None], width: int = 290):
        from bokeh.models import CDSView, ColumnDataSource, GroupFilter, HoverTool, TapTool

        self._axis, self._pixel = face.line_of_sight, pixel_size_pc
        self._windows, self._renderers = [], {}
        self._on_tap = on_tap
        self.figure = self._map(face.maps["column_density"], width)
        # one source for all fates: what a slider changes is the fate of a window, and few messages are quick ones
        self._source = source = ColumnDataSource({name: [] for name in _COLUMNS})
        source.selected.on_change("indices", lambda _attr, _old, new: self._tapped(new))
        for code, (fate, look) in enumerate(LOOKS.items()):
            kept = fate == "accepted"
            view = CDSView(filter=GroupFilter(column_name="fate", group=code))
            window = self.figure.rect(
                "x", "y", 1, 1, source=source, view=view, fill_alpha=0, line_color=look.colour,
                line_alpha=1.0, line_width=2.5 if kept else 1,
            )  # fmt: skip
            mark = self.figure.scatter(
                "x", "y", source=source, view=view, marker=look.marker, size=9 if kept else 4, color=look.colour,
                line_color="white" if kept else look.colour, alpha=1.0 if kept else 0.8,
            )  # fmt: skip
            for renderer in (window, mark):
                renderer.selection_glyph = renderer.nonselection_glyph = None
            tips = [
                (f"#@number{{0}}: {look.words}", look.meaning),
                ("score s", "@score{0.000}"),
                ("f(s)", "@probability{0.0 %}"),
                ("diffuse pixels", "@diffuse{0.0 %}"),
            ]
            self.figure.add_tools(HoverTool(tooltips=tips, renderers=[mark], description=look.words))
            self._renderers[fate] = (window, mark)
            self._windows.append(window.glyph)
        marks = [mark for _window, mark in self._renderers.values()]
        self.figure.add_tools(TapTool(renderers=marks))
        self.figure.toolbar.active_inspect = list(self.figure.select(HoverTool))
        self._chosen = ColumnDataSource({"x": [], "y": []})
        for colour, dash in (("white", "solid"), ("black", "dashed")):
            chosen = self.figure.rect(
                "x", "y", 1, 1, source=self._chosen, fill_alpha=0, line_color=colour, line_width=4,
                line_dash=dash,
            )  # fmt: skip
            self._windows.append(chosen.glyph)

    def show(self, proposals: Any) -> None:
        """Show what became of the candidates of this face."""
        table, side = proposals.table, proposals.config.patch_size
        for glyph in self._windows:
            glyph.update(width=side * self._pixel, height=side * self._pixel)
        here = np.flatnonzero(table["line_of_sight"] == self._axis)
        fates = _codes(table["fate"][here])
        for code, fate in enumerate(LOOKS):
            if fate != "accepted":  # however many there are, the map stays visible
                count = int((fates == code).sum())
                self._renderers[fate][0].glyph.line_alpha = min(0.5, max(0.04, 10 / max(1, count)))
        centre = (table["origin"][here] + side / 2) * self._pixel
        new = {
            "x": centre[:, 1].astype(np.float32),
            "y": centre[:, 0].astype(np.float32),
            "fate": fates,
            "number": here.astype(np.int32),
            "score": table["score"][here].astype(np.float32),
            "probability": table["probability"][here].astype(np.float32),
            "diffuse": table["diffuse_fraction"][here].astype(np.float32),
        }
        if not all(np.array_equal(values, self._source.data[name]) for name, values in new.items()):
            self._source.selected.indices = []
            self._source.data = new

    def show_fates(self, fates: tuple[str, ...]) -> None:
        """Show the windows of these fates only."""
        for fate, renderers in self._renderers.items():
            for renderer in renderers:
                renderer.visible = fate in fates

    def mark(self, proposals: Any, number: int | None) -> None:
        """Outline the window of one candidate, if it lies on this face."""
        if number is None or proposals.table["line_of_sight"][number] != self._axis:
            if len(self._chosen.data["x"]):
                self._chosen.data = {"x": [], "y": []}
            return
        row, column = (proposals.table["origin"][number] + proposals.config.patch_size / 2) * self._pixel
        self._chosen.data = {"x": [float(column)], "y": [float(row)]}

    def count(self, fate: str) -> int:
        """Return how many windows of a fate are drawn."""
        return len(self.drawn(fate)["number"])

    def drawn(self, fate: str) -> dict[str, np.ndarray]:
        """Return what is drawn of one fate, as columns: x and y [pc], number, score, probability, diffuse."""
        columns = {name: np.asarray(values) for name, values in self._source.data.items()}
        rows = columns["fate"] == list(LOOKS).index(fate)
        return {name: values[rows] for name, values in columns.items()}

    def _tapped(self, indices: list[int]) -> None:
        if indices:  # of several marks under the pointer the one that is drawn on top
            top = max(indices, key=lambda row: (self._source.data["fate"][row], row))
            self._on_tap(int(self._source.data["number"][top]))

    def _map(self, column_density: np.ndarray, width: int) -> Any:
        """Return a figure with the column density in greys, so that any colour of a window can be told from it."""
        from bokeh.models import ColorBar, LogColorMapper
        from bokeh.palettes import Greys256

        rows, columns = column_density.shape
        small, _factor = block_mean(column_density, FACE_PIXELS)
        low, high = colour_limits(small, True, None)
        across, along = face_axes(self._axis)[::-1]
        frame = map_size(rows, columns, width)
        figure = new_figure(
            f"Line of sight {self._axis}", f"{across} [pc]", f"{along} [pc]", frame=frame,
            x_range=(0, columns * self._pixel), y_range=(0, rows * self._pixel),
        )  # fmt: skip
        # the darkest greys would hide dark windows
        mapper = LogColorMapper(palette=Greys256[:90:-1], low=low, high=high, nan_color=style.MISSING)
        figure.image(
            [small.astype(np.float32)], x=0, y=0, dw=columns * self._pixel, dh=rows * self._pixel,
            color_mapper=mapper,
        )  # fmt: skip
        bar = ColorBar(
            color_mapper=mapper, title=style.QUANTITIES["column_density"].label, height=10,
            title_text_font_style="normal", background_fill_alpha=0,
            **ticks_of_scale(low, high, log=True, width=frame[0]),
        )  # fmt: skip
        figure.add_layout(bar, "below")
        return figure


class ScoreFigure:
    """The scores of all and of the kept candidates, and the probability f(s) (report, figure 46)."""

    BINS = 40

    def __init__(self):
        from bokeh.models import ColumnDataSource, LinearAxis, Range1d, Span

        self._bars = ColumnDataSource({"left": [], "right": [], "all": [], "kept": []})
        self._curve = ColumnDataSource({"s": [], "f": []})
        self.figure = new_figure("Scores and acceptance f(s)", "score s", "share of the group [%]")
        self.figure.y_range.start = 0
        self.figure.quad(
            "left", "right", "all", 0, source=self._bars, color="#999999", alpha=0.55, legend_label="all candidates"
        )  # fmt: skip
        self.figure.quad(
            "left", "right", "kept", 0, source=self._bars, fill_alpha=0.25, fill_color=style.BLUE,
            line_color=style.BLUE, line_width=1.5, legend_label="kept",
        )  # fmt: skip
        self.figure.extra_y_ranges = {"f": Range1d(0, 1.02)}
        right = LinearAxis(y_range_name="f", axis_label="acceptance probability f(s)")
        self.figure.add_layout(right, "right")
        self.figure.line(
            "s", "f", source=self._curve, y_range_name="f", color=style.VERMILION, line_width=3, legend_label="f(s)"
        )  # fmt: skip
        self._half = Span(dimension="height", line_color=style.VERMILION, line_dash="dashed", line_width=1.5)
        self.figure.add_layout(self._half)
        finish_figure(self.figure)
        self.figure.y_range.renderers = [
            renderer for renderer in self.figure.renderers if renderer.y_range_name == "default"
        ]

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and f(s) as drawn."""
        return self._curve.data["s"], self._curve.data["f"]

    def show(self, proposals: Any) -> None:
        """Draw the scores as they stand."""
        config = proposals.config
        quantile = config.score_scale == "quantile"
        scores = proposals.table["quantile" if quantile else "score"]
        kept = scores[proposals.table["fate"] == "accepted"]
        top = float(np.quantile(scores, 0.995)) if len(scores) else 1.0
        edges = np.linspace(0, 1.0 if quantile else max(top, 1.5 * config.offset, 1e-6), self.BINS + 1)
        self._bars.data = {
            "left": edges[:-1],
            "right": edges[1:],
            "all": _shares(scores, edges),
            "kept": _shares(kept, edges),
        }
        s = np.linspace(edges[0], edges[-1], 201)
        f = acceptance_probability(s, steepness=config.steepness, offset=config.offset)
        self._curve.data = {"s": s, "f": np.asarray(f)}
        self._half.location = config.offset
        self.figure.xaxis[0].axis_label = (
            "quantile of the score (0 to 1)" if quantile else "score s (no unit)"
        )


def _shares(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the percentage of scores in each bin; what lies beyond the last counts into it."""
    counts = np.histogram(np.minimum(scores, edges[-1]), edges)[0]
    return 100.0 * counts / max(1, len(scores))


def new_figure(
    title: str,
    x_label: str,
    y_label: str,
    *,
    frame: tuple[int, int] | None = None,
    **choices: Any,
) -> Any:
    """Return an empty Bokeh figure in the fonts of the room; it fills its width unless a frame [px] is given."""
    from bokeh.plotting import figure

    size = (
        {"frame_width": frame[0], "frame_height": frame[1]}
        if frame
        else {"height": 330, "min_width": 280, "sizing_mode": "stretch_width"}
    )
    shown = figure(
        title=title,
        x_axis_label=x_label,
        y_axis_label=y_label,
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_scroll=None,
        **size,
        **choices,
    )
    return finish_figure(shown)


def finish_figure(shown: Any) -> Any:
    """Give a figure its fonts and put its legend above the frame."""
    shown.toolbar.logo = None
    shown.toolbar.autohide = True
    shown.axis.axis_label_text_font_style = "normal"
    shown.axis.axis_label_text_font_size = style.FONT_SIZES["labels"]
    shown.axis.major_label_text_font_size = style.FONT_SIZES["xticks"]
    shown.title.text_font_size = style.FONT_SIZES["title"]
    if shown.legend:
        shown.add_layout(shown.legend[0], "above")
        shown.legend.update(
            orientation="horizontal", background_fill_alpha=0, border_line_alpha=0, margin=0, padding=4
        )
        shown.legend.label_text_font_size = style.FONT_SIZES["legend"]
    return shown
