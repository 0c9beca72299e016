"""What all figures share: the Bokeh backend, sizes of frames, ticks of colour bars, maps too large for a screen."""

from __future__ import annotations

import functools
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np

from widgets import style

TITLE_CHARACTER = 0.775
"""Mean width of a character of a title [px per pt of its size]."""

TITLE_SIZES = (9.0, 12.0)
"""Smallest and usual size of a title [pt]."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def bokeh_options() -> Any:
    """Load the Bokeh backend of HoloViews once, when the first figure needs it; return its options."""
    _load_backend()
    return hv.opts


@functools.cache
def _load_backend() -> None:
    """Load the Bokeh backend, and tell a notebook how to show figures; a dashboard may have loaded the former."""
    from bokeh.core.validation import silence
    from bokeh.core.validation.warnings import FIXED_SIZING_MODE

    if "bokeh" not in hv.Store.renderers:
        hv.extension("bokeh", logo=False, inline=True)
    if "ipykernel" in sys.modules:
        _fetch_nothing_in_notebooks()
    silence(FIXED_SIZING_MODE, True)  # HoloViews sizes the frame and leaves the rest to the browser


def _fetch_nothing_in_notebooks() -> None:
    """Let a notebook carry scripts and styles itself, so that figures draw without a network.

    HoloViews alone would link style sheets from outside; Panel, asked to, puts them into the output.
    """
    import panel as pn
    from IPython import get_ipython
    from panel.theme import Native  # another design would wrap each figure in scripts of its own

    from widgets.dashboard import load_in_notebook

    load_in_notebook()
    shell = get_ipython()
    if shell is not None:
        shell.display_formatter.mimebundle_formatter.for_type(
            hv.core.Dimensioned,
            lambda figure, **choices: pn.pane.HoloViews(figure, design=Native)._repr_mimebundle_(**choices),
        )


def common_options(width: int, height: int, title: str) -> dict[str, Any]:
    """Return the options that all figures share."""
    text, points = fitted_title(style.typeset(title), width)
    return {
        "title": text,
        "fontsize": style.FONT_SIZES | {"title": f"{points:g}pt"},
        "frame_width": width,
        "frame_height": height,
        "active_tools": ["pan"],  # the wheel scrolls the page until a reader asks for zoom
        "hooks": [clean_plot],
    }


def fitted_title(title: str, width: int) -> tuple[str, float]:
    """Return a title and its size [pt] so that the frame below it is wide enough; Bokeh would cut it.

    It gets smaller first, then it is broken into lines: figures in a row stay aligned as long as they have equally many.

    Examples
    --------
    >>> fitted_title("Coherence of predicted and true log n", 330)
    ('Coherence of predicted and true log n', 11.5)
    >>> fitted_title("Coherence of predicted and true log n", 200)
    ('Coherence of predicted and\\ntrue log n', 9.0)
    """
    fitting = width / TITLE_CHARACTER / max(1, len(title))
    points = float(np.clip(np.floor(2 * fitting) / 2, *TITLE_SIZES))
    characters = max(12, int(width / TITLE_CHARACTER / points))
    return "\n".join(textwrap.wrap(title, characters, break_long_words=False)), points


def curve_options(title: str, width: int, height: int, **more: Any) -> Any:
    """Return the options of an overlay of curves."""
    return bokeh_options().Overlay(
        backend="bokeh",
        **common_options(width, height, title),
        legend_position="top_right",
        show_grid=True,
        padding=(0.03, 0.05),
        legend_opts={"background_fill_alpha": 0.85, "border_line_alpha": 0.0, "padding": 4},
        **more,
    )


def clean_plot(plot: Any, _element: Any) -> None:
    """Give a Bokeh plot upright labels, no logo, and tools that show under the pointer (a HoloViews hook)."""
    from bokeh.models import ColorBar

    figure = plot.state
    figure.toolbar.logo = None
    figure.toolbar.autohide = True
    figure.axis.axis_label_text_font_style = "normal"
    for bar in figure.select(ColorBar):
        bar.title_text_font_style = "normal"


def map_size(rows: int, columns: int, width: int) -> tuple[int, int]:
    """Return width and height [px] of a frame that holds a map with square pixels, neither side out of hand.

    Examples
    --------
    >>> map_size(64, 128, 320)
    (320, 160)
    >>> map_size(1000, 10, 320)
    (60, 480)
    """
    height = width * rows / columns
    if height > 1.5 * width:
        return max(60, round(1.5 * width * columns / rows)), round(1.5 * width)
    return width, max(60, round(height))


def block_mean(values: np.ndarray, max_pixels: int) -> tuple[np.ndarray, int]:
    """Reduce a map to at most `max_pixels` a side by means over square blocks; NaN pixels do not count.

    Parameters
    ----------
    values : ndarray, shape (y, x)
        A map; rows and columns that do not fill a block are padded with NaN.
    max_pixels : int
        Longest side allowed.

    Returns
    -------
    ndarray, int
        The map and the side of a block (1: untouched).
    """
    factor = -(-max(values.shape) // max_pixels)
    if factor <= 1:
        return values, 1
    rows, columns = (-(-n // factor) * factor for n in values.shape)
    padded = np.full((rows, columns), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows // factor, factor, columns // factor, factor)  # (Y, f, X, f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a block of NaN has no mean: it stays NaN
        return np.nanmean(blocks, axis=(1, 3)), factor  # (Y, X)


def power_of_ten(value: float) -> str:
    """Write a tick with the signs of print.

    Examples
    --------
    >>> [power_of_ten(v) for v in (1e21, 2e21, 0.05, 300.0)]
    ['10²¹', '2×10²¹', '0.05', '300']
    """
    exponent = int(np.floor(np.log10(value) + 1e-9))
    if -3 <= exponent <= 3:
        return f"{value:.4g}"
    factor = value / 10.0**exponent
    power = "10" + str(exponent).translate(_SUPERSCRIPT)
    return power if abs(factor - 1) < 1e-6 else f"{factor:.3g}×{power}"


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values between two limits of a logarithmic scale: powers of ten, and 2 and 5 where few.

    Examples
    --------
    >>> log_ticks(1.0, 1e4)
    [1.0, 10.0, 100.0, 1000.0, 10000.0]
    >>> log_ticks(15.0, 70.0)
    [20.0, 30.0, 40.0, 50.0, 60.0, 70.0]
    """
    exponents = np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
    choices: list[list[float]] = []
    for steps in (range(1, 10), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = sorted(float(f"{s}e{int(e)}") for e in exponents for s in steps)
        choices.append([tick for tick in ticks if low * (1 - 1e-6) <= tick <= high * (1 + 1e-6)])
    fitting = next((ticks for ticks in choices if len(ticks) <= most), None)
    if fitting is None:
        stride = -(-len(choices[-1]) // most)
        return choices[-1][::stride]
    if len(fitting) < 2:  # less than one step of the scale: the limits themselves, rounded
        return [float(f"{low:.3g}"), float(f"{high:.3g}")]
    return fitting


def label_log_axes(
    x: tuple[float, float], y: tuple[float, float], *, length: int
) -> Callable[[Any, Any], None]:
    """Return a HoloViews hook that labels two logarithmic axes, as densely as their length [px] has room for.

    Bokeh's own ticks are even steps where an axis spans less than two decades: their labels overlap.
    """

    def hook(plot: Any, _element: Any) -> None:
        for axis, limits in ((plot.state.xaxis, x), (plot.state.yaxis, y)):
            axis.update(**ticks_of_scale(*limits, log=True, width=length))

    return hook


def ticks_of_scale(low: float, high: float, *, log: bool, width: int) -> dict[str, Any]:
    """Return the ticks of a colour bar or an axis as Bokeh options, as many as its width [px] has room for."""
    if not log:
        return {}
    from bokeh.models import FixedTicker

    ticks = log_ticks(low, high, most=max(2, width // 55))
    return {
        "ticker": FixedTicker(ticks=ticks),
        "major_label_overrides": {tick: power_of_ten(tick) for tick in ticks},
    }
