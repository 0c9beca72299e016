"""Plain curves of one quantity against another, for what needs no figure of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from widgets import style
from widgets.axes import bokeh_options, curve_options


def lines(
    curves: Mapping[str, tuple[Any, Any]],
    *,
    x_label: str,
    y_label: str,
    points: tuple[Any, Any] | None = None,
    verticals: Mapping[str, float] | None = None,
    title: str = "",
    width: int = 420,
    height: int = 260,
    **options: Any,
) -> hv.Overlay:
    """Draw named curves, points behind them if given, and dotted lines at places of the abscissa.

    Parameters
    ----------
    curves : mapping of str to (array_like, array_like)
        Abscissa and ordinate of equal length, by the name in the legend.
    x_label, y_label : str
        Quantity and unit of the axes, as in :func:`widgets.maps.sky_map`.
    points : (array_like, array_like), optional
        Drawn as grey dots.
    verticals : mapping of str to float, optional
        Places of the abscissa to mark, by the words beside them.
    title, width, height
        Head and frame [px].
    **options
        Of the HoloViews overlay, such as ``logx=True`` or ``ylim=(0, 1)``.

    Raises
    ------
    ValueError
        If there is no curve, or abscissa and ordinate differ in length.

    Examples
    --------
    >>> x = np.linspace(-2, 2, 9)
    >>> drawn = lines({"ReLU": (x, np.maximum(0, x))}, x_label="x", y_label="f(x)")
    >>> [layer.label for layer in drawn]
    ['ReLU']
    """
    if not isinstance(curves, Mapping) or not curves:
        raise ValueError(f'curves: expected pairs by name, such as {{"f": (x, y)}}, got {curves!r:.80}')
    opts, layers = bokeh_options(), []
    axes = [hv.Dimension(name, label=style.typeset(text)) for name, text in (("x", x_label), ("y", y_label))]
    if points is not None:
        dots = opts.Scatter(backend="bokeh", color=style.MISSING, size=4)
        layers.append(hv.Scatter(_pair("points", points), *axes).opts(dots))
    for number, (name, pair) in enumerate(curves.items()):
        look = opts.Curve(
            backend="bokeh",
            color=style.SERIES[number % len(style.SERIES)],
            line_dash=style.DASHES[number % len(style.DASHES)],
            line_width=2,
        )
        layers.append(hv.Curve(_pair(name, pair), *axes, label=name).opts(look))
    for words, place in (verticals or {}).items():
        mark = opts.VLine(backend="bokeh", color=style.NEUTRAL, line_dash="dotted", line_width=1.5)
        layers.append(hv.VLine(place, label=words).opts(mark))
    look = curve_options(title, width, height, xlabel=axes[0].label, ylabel=axes[1].label)
    drawn = [*curves.values()] + ([] if points is None else [points])
    corner = _emptiest_corner(drawn, logx=options.get("logx", False), logy=options.get("logy", False))
    return (
        hv.Overlay(layers)
        .opts(look)
        .opts(opts.Overlay(backend="bokeh", **({"legend_position": corner} | options)))
    )


def _emptiest_corner(drawn: Sequence[tuple[Any, Any]], *, logx: bool, logy: bool) -> str:
    """Return the corner that hides least of what is drawn; the upper right one if several hide nothing."""
    x, y = (np.concatenate([np.asarray(pair[axis], float).ravel() for pair in drawn]) for axis in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (_place(np.log10(v) if log else v) for v, log in ((x, logx), (y, logy)))
    hidden = {
        f"{upright}_{side}": np.count_nonzero((high > 0.7) & (far > 0.55))
        for upright, high in (("top", y), ("bottom", 1 - y))
        for side, far in (("right", x), ("left", 1 - x))
    }
    return min(hidden, key=hidden.get)


def _place(values: np.ndarray) -> np.ndarray:
    """Return where values lie between the smallest (0) and the largest (1) finite one."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    return (values - low) / ((high - low) or 1.0)


def _pair(name: str, pair: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return abscissa and ordinate as arrays of equal length."""
    x, y = (np.asarray(values, np.float64).ravel() for values in pair)
    if len(x) != len(y):
        raise ValueError(f"{name}: expected abscissa and ordinate of equal length, got {len(x)} and {len(y)}")
    return x, y
