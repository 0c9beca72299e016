"""Drawings of what networks do: neurons and edges, small arrays with their numbers, the levels of a U-Net."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from widgets import style
from widgets.axes import bokeh_options, common_options

_PALE = ("#FFFFFF", "#E6F2FA", "#CCE5F5", "#A6D3EF", "#7FC1E8")
"""Colours of cells, pale enough for black numbers."""


def network_diagram(
    widths: Sequence[int], *, kan: bool = False, title: str = "", width: int = 320, height: int = 220
) -> hv.Overlay:
    """Draw a network of fully connected layers (report, figures 1, 2 and 4).

    Parameters
    ----------
    widths : sequence of int
        Neurons of each layer, inputs first.
    kan : bool
        Whether each edge is a function of its own (drawn as a small curve) and a neuron only adds; else an edge is
        a number (a weight) and a neuron adds and applies one fixed function f.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If there are fewer than two layers, or one has no neuron or more than 12.

    Examples
    --------
    >>> network_diagram((3, 1)).Segments.I.shape  # three edges of four coordinates
    (3, 4)
    """
    if len(widths) < 2 or not all(1 <= count <= 12 for count in widths):
        raise ValueError(f"widths: expected two or more layers of 1 to 12 neurons, got {tuple(widths)}")
    opts = bokeh_options()
    layers = [[(float(x), (count - 1) / 2 - i) for i in range(count)] for x, count in enumerate(widths)]
    edges = [
        (*start, *end)
        for before, after in itertools.pairwise(layers)
        for start, end in itertools.product(before, after)
    ]
    nodes = [place for layer in layers for place in layer]
    inside = ["x"] * widths[0] + ["Σ" if kan else "f(Σ)"] * (len(nodes) - widths[0])
    parts: list[hv.Element] = [
        hv.Segments(edges).opts(opts.Segments(backend="bokeh", color=style.NEUTRAL, line_width=1))
    ]
    if kan:
        boxes, curves = _edge_curves(edges, max(widths))
        parts.append(
            hv.Rectangles(boxes).opts(
                opts.Rectangles(backend="bokeh", color="white", line_color=style.NEUTRAL)
            )
        )
        parts.append(hv.Path(curves).opts(opts.Path(backend="bokeh", color=style.VERMILION, line_width=1.5)))
    dots = opts.Points(
        backend="bokeh", size=30, color="#CCE5F5", line_color=style.BLUE, line_width=1.5, tools=[]
    )
    words = opts.Labels(backend="bokeh", text_font_size="9pt", text_color="black")
    parts += [hv.Points(nodes).opts(dots), hv.Labels((*zip(*nodes, strict=True), inside)).opts(words)]
    tall = max(widths) / 2
    frame = {"xlim": (-0.3, len(widths) - 0.7), "ylim": (-tall - 0.2, tall + 0.2)}
    return _bare(hv.Overlay(parts), title, width, height, **frame)


def number_grids(
    grids: Mapping[str, Any], *, digits: int = 0, cell: int = 38, columns: int | None = None
) -> hv.Layout:
    """Draw small arrays with their numbers, first row at the top, larger numbers darker (report, figures 43 to 45).

    Parameters
    ----------
    grids : mapping of str to array_like, shape (rows, columns) each
        At most 12 a side, by the head of the panel.
    digits : int
        Decimals of the numbers.
    cell : int
        Side of a cell [px].
    columns : int, optional
        Panels in a row; all by default.

    Raises
    ------
    ValueError
        If there is no array, or one is not a small map.

    Examples
    --------
    >>> len(number_grids({"input": [[1, 2], [3, 4]], "largest": [[4]]}))
    2
    """
    if not isinstance(grids, Mapping) or not grids:
        raise ValueError(f'grids: expected arrays by name, such as {{"input": array}}, got {grids!r:.80}')
    opts, panels = bokeh_options(), []
    for name, values in grids.items():
        array = np.asarray(values, np.float64)
        if array.ndim != 2 or not 1 <= min(array.shape) <= max(array.shape) <= 12:
            raise ValueError(f"{name}: expected an array of at most 12 x 12, got shape {array.shape}")
        rows, across = np.indices(array.shape)
        x, y = across.ravel() + 0.5, array.shape[0] - rows.ravel() - 0.5
        boxes = hv.Rectangles((x - 0.5, y - 0.5, x + 0.5, y + 0.5, array.ravel()), vdims="value")
        low, high = float(array.min()), float(array.max())
        boxes = boxes.opts(
            opts.Rectangles(
                backend="bokeh",
                color="value",
                cmap=list(_PALE),
                clim=(low, high if high > low else low + 1),
                line_color=style.NEUTRAL,
                line_width=1,
            )
        )
        text = [f"{value:.{digits}f}" for value in array.ravel() + 0.0]
        words = hv.Labels((x, y, text)).opts(
            opts.Labels(backend="bokeh", text_font_size="10pt", text_color="black")
        )
        high_px, wide_px = (cell * count for count in array.shape)
        limits = {"xlim": (0, array.shape[1]), "ylim": (0, array.shape[0])}
        panels.append(_bare(boxes * words, name, wide_px, high_px, **limits))
    layout = hv.Layout(panels).cols(columns or len(panels))
    return layout.opts(opts.Layout(backend="bokeh", shared_axes=False, toolbar=None, merge_tools=False))


def unet_diagram(
    layers: int = 4, base_filters: int = 64, *, size: int = 128, width: int = 640, height: int = 320
) -> hv.Overlay:
    """Draw the levels of a U-Net (report, figure 3): channels above each box, side of its image below.

    Parameters
    ----------
    layers : int
        Poolings, 1 to 6.
    base_filters : int
        Channels of the first block; each level doubles them.
    size : int
        Side of the image [pixels], a multiple of 2^layers.
    width, height : int
        Frame [px].

    Raises
    ------
    ValueError
        If the settings are out of range.

    Examples
    --------
    >>> drawn = unet_diagram(2, 16, size=64)
    >>> [text.split("\\n")[0] for text in drawn.Labels.I["Label"]]
    ['16', '32', '64', '32', '16']
    """
    if not 1 <= layers <= 6:
        raise ValueError(f"layers: expected 1 to 6, got {layers}")
    if base_filters < 1 or size < 1 or size % 2**layers:
        raise ValueError(
            f"base_filters, size: expected at least 1 and a multiple of {2**layers} pixels, got {base_filters}, {size}"
        )
    opts = bokeh_options()
    levels = [*range(layers), layers, *reversed(range(layers))]
    places = [(float(x), -1.0 * level) for x, level in enumerate(levels)]
    half = [0.2 + 0.2 * level / layers for level in levels]
    boxes = [(x - side, y - 0.34, x + side, y + 0.34) for (x, y), side in zip(places, half, strict=True)]
    labels = [f"{base_filters * 2**level}\n{size // 2**level}²" for level in levels]
    skips = [(boxes[i][2], -1.0 * i, boxes[2 * layers - i][0], -1.0 * i) for i in range(layers)]
    ways = [(boxes[i][2], places[i][1], boxes[i + 1][0], places[i + 1][1]) for i in range(2 * layers)]
    parts = [
        hv.Segments(lines, label=name).opts(
            opts.Segments(backend="bokeh", color=colour, line_width=2, line_dash=dash)
        )
        for name, lines, colour, dash in (
            ("skip connection, concatenated", skips, style.NEUTRAL, "dashed"),
            ("pooling: side / 2", ways[:layers], style.VERMILION, "solid"),
            ("transposed convolution: side × 2", ways[layers:], style.GREEN, "solid"),
        )
    ]
    parts.append(
        hv.Rectangles(boxes).opts(
            opts.Rectangles(backend="bokeh", color="#CCE5F5", line_color=style.BLUE, line_width=1.5)
        )
    )
    parts.append(
        hv.Labels(([x for x, _ in places], [y for _, y in places], labels)).opts(
            opts.Labels(backend="bokeh", text_font_size="9pt", text_color="black")
        )
    )
    frame = {"xlim": (-0.5, 2 * layers + 0.5), "ylim": (-layers - 0.5, 1.0)}
    title = f"U-Net: {layers} layers, {base_filters} base filters"
    shown = _bare(hv.Overlay(parts), title, width, height, **frame)
    return shown.opts(
        opts.Overlay(backend="bokeh", show_legend=True, legend_position="bottom", legend_cols=3)
    )


def _edge_curves(edges: Sequence[tuple[float, ...]], tall: int) -> tuple[list[Any], list[Any]]:
    """Return a small box on each edge and a curve in it; boxes of one neuron stand apart."""
    rng, t = np.random.default_rng(0), np.linspace(-1, 1, 21)
    wide, high = 0.07, 0.05 * tall
    boxes, curves = [], []
    for number, (x0, y0, x1, y1) in enumerate(edges):
        share = (0.36, 0.64)[number % 2] if len(edges) > 2 else 0.5
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        shape = np.sin(rng.uniform(1, 3) * t + rng.uniform(-1, 1)) * np.exp(-(t**2) * rng.uniform(0, 1))
        boxes.append((x - wide, y - high, x + wide, y + high))
        curves.append(np.column_stack([x + 0.8 * wide * t, y + 0.7 * high * shape]))
    return boxes, curves


def _bare(
    overlay: hv.Overlay, title: str, width: int, height: int, **limits: tuple[float, float]
) -> hv.Overlay:
    """Return a drawing without axes and tools."""
    opts = bokeh_options()
    common = common_options(width, height, title) | {"active_tools": []}
    return overlay.opts(
        opts.Overlay(
            backend="bokeh",
            **common,
            xaxis=None,
            yaxis=None,
            toolbar=None,
            show_legend=False,
            shared_axes=False,
            **limits,
        )
    )
