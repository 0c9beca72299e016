"""Figures of what a network makes of a few validation patches, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from widgets import style
from widgets.axes import block_mean, ticks_of_scale
from widgets.candidate_figures import new_figure

TILE_PIXELS = 96
"""Longest side of a patch as it is sent to the browser."""

NAMES = ("column_density", "target", "predicted", "residual")
"""What is shown of each patch, from left to right."""

RESIDUAL_DEX = 1.0
"""Residuals from minus to plus this have a colour of their own [dex]."""


class ExampleFigures:
    """A few patches, one below the other: column density, true density, predicted density, residual.

    Attributes
    ----------
    figures : list of bokeh.plotting.figure
    """

    def __init__(self) -> None:
        self._parts = {name: self._image(name) for name in NAMES}
        self.figures = [figure for figure, *_ in self._parts.values()]
        self._last: Any = None

    def show(self, examples: Any, epoch: int, *, quantity: str = "mass_weighted_density") -> None:
        """Show one of the epochs that are kept.

        Parameters
        ----------
        examples : Examples
        epoch : int
            From 0.
        quantity : str
            Name of the target, for its symbol and colours.

        Raises
        ------
        ValueError
            If the epoch is not kept.
        """
        places = np.flatnonzero(examples.epochs == epoch)
        if not len(places):
            raise ValueError(
                f"epoch: expected one that is kept, got {epoch}; kept are {examples.epochs.tolist()}"
            )
        predicted = examples.predicted[places[0]].astype(np.float32)
        target = examples.target.astype(np.float32)
        limits = _limits(target)
        looks = {"column_density": "column_density", "target": quantity, "predicted": quantity}
        maps = {
            "column_density": (examples.column_density.astype(np.float32), None),
            "target": (target, limits),
            "predicted": (predicted, limits),
        }
        for name, (values, span) in maps.items():
            if name != "predicted" and self._same(examples):
                continue  # these were sent before
            self._draw(name, values, span or _limits(values), style.quantity(looks[name]))
        figure, source, _mapper, _bar = self._parts["residual"]
        source.data = {"image": [_stack(predicted - target)]}
        error = float(np.sqrt(np.nanmean((predicted - target) ** 2)))
        figure.title.text = f"Residual: RMS {error:.3f} dex"
        count = len(target)
        if self._same(examples):
            return
        self._last = examples
        for figure, *_ in self._parts.values():
            figure.yaxis[0].ticker.ticks = [(place + 0.5) / count for place in range(count)]
            figure.yaxis[0].major_label_overrides = {
                (place + 0.5) / count: f"#{number}"
                for place, number in enumerate(reversed(examples.numbers.tolist()))
            }

    def _same(self, examples: Any) -> bool:
        """Whether the patches are those on screen."""
        last = self._last
        return last is not None and np.array_equal(last.target, examples.target, equal_nan=True)

    def _draw(self, name: str, values: np.ndarray, span: tuple[float, float], look: style.Quantity) -> None:
        """Draw maps that are logarithms in the colours of their quantity."""
        _figure, source, mapper, bar = self._parts[name]
        source.data = {"image": [10 ** _stack(values)]}
        low, high = 10 ** span[0], 10 ** span[1]
        if (mapper.low, mapper.high) != (low, high):
            mapper.update(low=low, high=high, palette=_palette(look.colours))
            bar.update(title=look.label, **ticks_of_scale(low, high, log=True, width=200))

    def _image(self, name: str) -> tuple[Any, Any, Any, Any]:
        from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LinearColorMapper, LogColorMapper

        heads = {
            "column_density": "Column density",
            "target": "True density",
            "predicted": "Predicted density",
        }
        figure = new_figure(heads.get(name, "Residual"), "", "patch", x_range=(0, 1), y_range=(0, 1))
        figure.update(height=430, min_width=200)
        figure.xaxis.visible = False
        figure.grid.visible = False
        figure.yaxis[0].ticker = FixedTicker(ticks=[])
        if name == "residual":
            look = style.QUANTITIES["residual"]
            mapper = LinearColorMapper(
                palette=_diverging(), low=-RESIDUAL_DEX, high=RESIDUAL_DEX, nan_color="rgba(0, 0, 0, 0)"
            )
            bar = ColorBar(color_mapper=mapper, title=look.label)
        else:
            mapper = LogColorMapper(palette=_palette("viridis"), low=1, high=10, nan_color="rgba(0, 0, 0, 0)")
            bar = ColorBar(color_mapper=mapper, title="")
        bar.update(width=10, title_text_font_style="normal", background_fill_alpha=0)
        source = ColumnDataSource({"image": []})
        figure.image("image", x=0, y=0, dw=1, dh=1, source=source, color_mapper=mapper)
        figure.add_layout(bar, "right")
        return figure, source, mapper, bar


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a colour scale in log10."""
    valid = values[np.isfinite(values)]
    if not valid.size:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.quantile(valid, [0.005, 0.995]))
    return (low, high) if high - low > 0.01 else (low - 0.05, high + 0.05)


def _stack(values: np.ndarray) -> np.ndarray:
    """Return patches (n, y, x) above each other, the first at the top, a narrow blank row between them."""
    tiles = []
    for patch in values[::-1]:  # the rows of an image grow upwards
        tile, _factor = block_mean(patch, TILE_PIXELS)
        tiles.append(np.pad(tile, ((1, 1), (1, 1)), constant_values=np.nan))
    return np.concatenate(tiles).astype(np.float32)


def _palette(name: str) -> Any:
    from bokeh import palettes

    return getattr(palettes, f"{name.capitalize()}256")


def _diverging() -> list[str]:
    """Return blue to red through white, as all residuals of the laboratory are shown."""
    from bokeh.palettes import interp_palette

    return list(interp_palette(["#2166AC", "#92C5DE", "#F7F7F7", "#F4A582", "#B2182B"], 256))
