"""Figures of the patches that are kept: pairs of images, and density against column density."""

from __future__ import annotations

from typing import Any

import numpy as np

from polaris_lab.datasets.patches import read_window
from widgets import style
from widgets.axes import block_mean, log_ticks, power_of_ten, ticks_of_scale
from widgets.candidate_figures import new_figure
from widgets.maps import colour_limits

TILE_PIXELS = 64
"""Longest side of a patch as it is sent to the browser."""

MIN_WIDTH = 860
"""Of a row of patches [px]: with less of it the words under them would overlap, and the row is scrolled instead."""

_NAMES = ("column_density", "mass_weighted_density")


class PatchGallery:
    """Pairs of column density and density of a few patches, in one row each (report, figure 7).

    Attributes
    ----------
    figures : list of bokeh.plotting.figure
        Column density, mass-weighted density.
    """

    def __init__(self, faces: Any, *, columns: int = 6):
        self.columns = columns
        self._parts = [self._row(name, faces) for name in _NAMES]
        self.figures = [figure for figure, _source in self._parts]

    @property
    def pages(self) -> int:
        """Pages of the last set shown."""
        return max(1, -(-self._kept // self.columns))

    _kept = 0

    def show(self, proposals: Any, *, page: int = 0, chosen: int | None = None) -> list[int]:
        """Show one page of the kept patches, highest score first, after the chosen one; return their numbers."""
        kept = np.flatnonzero(proposals.table["fate"] == "accepted")
        self._kept = len(kept)
        kept = kept[np.argsort(-proposals.scores[kept], kind="stable")]
        numbers = kept[page * self.columns : (page + 1) * self.columns].tolist()
        shown = ([] if chosen is None else [chosen]) + numbers
        for name, (figure, source) in zip(_NAMES, self._parts, strict=True):
            source.data = {"image": [_mosaic(proposals, name, shown)], "dw": [float(max(1, len(shown)))]}
            axis = figure.xaxis[0]
            axis.ticker.ticks = [index + 0.5 for index in range(len(shown))]
            axis.major_label_overrides = {
                index + 0.5: ("chosen " if index == 0 and chosen is not None else "")
                + f"#{number}: s = {proposals.scores[number]:.2f}"
                for index, number in enumerate(shown)
            }
            side = proposals.config.patch_size
            size = side * proposals.pixel_size_pc
            head = style.QUANTITIES[name].title
            figure.title.text = f"{head}, {side} × {side} pixels = {size:.3g} pc × {size:.3g} pc each"
        return numbers

    def _row(self, name: str, faces: Any) -> tuple[Any, Any]:
        from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LogColorMapper

        limits = [colour_limits(face.maps[name], True, None) for face in faces]
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        figure = new_figure("", "candidate: score", "", x_range=(0, self.columns + 1), y_range=(0, 1))
        figure.update(height=205, min_width=MIN_WIDTH, sizing_mode="stretch_width")
        figure.yaxis.visible = False
        figure.grid.visible = False
        figure.xaxis[0].ticker = FixedTicker(ticks=[])
        figure.xaxis[0].major_label_text_font_size = "9pt"
        mapper = LogColorMapper(
            palette=_palette(style.QUANTITIES[name].colours), low=low, high=high, nan_color="rgba(0, 0, 0, 0)"
        )
        source = ColumnDataSource({"image": [], "dw": []})
        figure.image("image", x=0, y=0, dw="dw", dh=1, source=source, color_mapper=mapper)
        bar = ColorBar(
            color_mapper=mapper, title=style.QUANTITIES[name].label, width=10, title_text_font_style="normal",
            background_fill_alpha=0, **ticks_of_scale(low, high, log=True, width=200),
        )  # fmt: skip
        figure.add_layout(bar, "right")
        return figure, source


class JointFigure:
    """Pixels of the kept patches in the plane of column density and density (report, figure 6)."""

    BINS = 80

    def __init__(self, faces: Any):
        from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LogColorMapper

        maps = [[np.log10(face.maps[name]) for face in faces] for name in _NAMES]
        spans = [(min(m.min() for m in each), max(m.max() for m in each)) for each in maps]
        spans = [(low, high) if high > low else (low - 0.5, high + 0.5) for low, high in spans]
        self._cells = {
            face.line_of_sight: _cells(maps[0][index], spans[0], self.BINS)
            + self.BINS * _cells(maps[1][index], spans[1], self.BINS)
            for index, face in enumerate(faces)
        }
        self._centres = [low + (np.arange(self.BINS) + 0.5) * (high - low) / self.BINS for low, high in spans]
        self._source = ColumnDataSource({"image": []})
        labels = [style.QUANTITIES[name].label for name in _NAMES]
        self.figure = new_figure("", *labels, x_range=spans[0], y_range=spans[1])
        self._mapper = LogColorMapper(
            palette=_palette("viridis"), low=1, high=10, nan_color="rgba(0, 0, 0, 0)"
        )
        self.figure.image(
            "image", x=spans[0][0], y=spans[1][0], dw=spans[0][1] - spans[0][0], dh=spans[1][1] - spans[1][0],
            source=self._source, color_mapper=self._mapper,
        )  # fmt: skip
        for axis, (low, high) in zip((self.figure.xaxis[0], self.figure.yaxis[0]), spans, strict=True):
            ticks = log_ticks(10**low, 10**high, most=6)
            axis.ticker = FixedTicker(ticks=[float(np.log10(tick)) for tick in ticks])
            axis.major_label_overrides = {float(np.log10(tick)): power_of_ten(tick) for tick in ticks}
        bar = ColorBar(
            color_mapper=self._mapper, title="pixels", width=10, title_text_font_style="normal",
            background_fill_alpha=0,
        )  # fmt: skip
        self.figure.add_layout(bar, "right")

    def show(self, proposals: Any) -> float | None:
        """Count the pixels of the kept patches; return the correlation of the logarithms, None without patches."""
        side, rows = proposals.config.patch_size, proposals.accepted
        cut = [
            self._cells[axis][row : row + side, column : column + side].ravel()
            for axis, (row, column) in zip(
                rows["line_of_sight"].tolist(), rows["origin"].tolist(), strict=True
            )
        ]
        if not cut:
            self._source.data = {"image": [np.full((self.BINS, self.BINS), np.nan, np.float32)]}
            self.figure.title.text = "No patch is kept"
            return None
        counts = np.bincount(np.concatenate(cut), minlength=self.BINS**2).reshape(self.BINS, self.BINS)
        self._source.data = {"image": [np.where(counts > 0, counts, np.nan).astype(np.float32)]}
        self._mapper.high = max(10, int(counts.max()))
        value = _correlation(counts, *self._centres)
        known = "undefined" if value is None else f"{value:.2f}"
        self.figure.title.text = f"Kept patches: r = {known} of the logarithms"
        return value


def _cells(logarithms: np.ndarray, span: tuple[float, float], bins: int) -> np.ndarray:
    """Return the number of the bin of each pixel."""
    low, high = span
    return np.clip(((logarithms - low) * (bins / (high - low))).astype(np.int32), 0, bins - 1)


def _correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> float | None:
    """Return Pearson's r of binned pairs, counts of shape (y, x)."""
    weights = counts / counts.sum()
    dx, dy = x - (weights.sum(axis=0) * x).sum(), y - (weights.sum(axis=1) * y).sum()
    spread = (weights.sum(axis=0) * dx**2).sum() * (weights.sum(axis=1) * dy**2).sum()
    return float(dy @ weights @ dx / np.sqrt(spread)) if spread > 0 else None


def _mosaic(proposals: Any, name: str, numbers: list[int]) -> np.ndarray:
    """Return patches side by side, a narrow blank column between them, in cm^-2 or cm^-3."""
    side = proposals.config.patch_size
    tiles = []
    for number in numbers:
        face = proposals.face(str(proposals.table["line_of_sight"][number]))
        origin = tuple(int(pixel) for pixel in proposals.table["origin"][number])
        tile, _factor = block_mean(read_window(face.maps[name], origin, (side, side)), TILE_PIXELS)
        gap = max(1, tile.shape[1] // 32)
        tiles.append(np.pad(tile, ((0, 0), (0, gap)), constant_values=np.nan))
    return np.concatenate(tiles, axis=1).astype(np.float32) if tiles else np.full((1, 1), np.nan, np.float32)


def _palette(name: str) -> Any:
    from bokeh import palettes

    return getattr(palettes, f"{name.capitalize()}256")
