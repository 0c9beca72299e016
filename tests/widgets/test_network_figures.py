"""Drawings of networks: what is drawn is what the network has."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest

from polaris_lab.models.unet import UNet
from widgets import figures


def parts(drawing, kind):
    return [part for part in drawing if isinstance(part, kind)]


def test_every_neuron_meets_every_neuron_of_the_next_layer():
    drawing = figures.network_diagram((3, 4, 2))
    (edges,), (nodes,), (words,) = (parts(drawing, kind) for kind in (hv.Segments, hv.Points, hv.Labels))
    assert len(edges) == 3 * 4 + 4 * 2
    assert len(nodes) == 9
    places = set(map(tuple, nodes.array()[:, :2].tolist()))
    ends = edges.array()[:, :4].tolist()
    assert {tuple(end[:2]) for end in ends} | {tuple(end[2:]) for end in ends} == places
    assert all(end[2] - end[0] == 1 for end in ends)
    assert list(words.dimension_values("Label")).count("f(Σ)") == 6


def test_a_kan_has_a_curve_on_each_edge_and_only_sums():
    drawing = figures.network_diagram((2, 3, 1), kan=True)
    (curves,), (boxes,), (words,) = (parts(drawing, kind) for kind in (hv.Path, hv.Rectangles, hv.Labels))
    assert len(curves.split()) == len(boxes) == 9
    assert sorted(set(words.dimension_values("Label"))) == ["x", "Σ"]
    for curve, box in zip(curves.split(), boxes.array()[:, :4], strict=True):
        x, y = curve.array()[:, 0], curve.array()[:, 1]
        assert box[0] <= x.min() <= x.max() <= box[2]
        assert box[1] <= y.min() <= y.max() <= box[3]


def test_numbers_stand_where_they_stand_in_print():
    """First row at the top, whatever the shape."""
    grids = figures.number_grids({"a": [[1, 2, 3], [4, 5, 6]], "b": [[0.25]]}, digits=2)
    first, second = (parts(panel, hv.Labels)[0] for panel in grids)
    cells = {(x, y): text for x, y, text in zip(*map(first.dimension_values, range(3)), strict=True)}
    assert cells[0.5, 1.5] == "1.00"
    assert cells[2.5, 0.5] == "6.00"
    assert list(second.dimension_values(2)) == ["0.25"]


@pytest.mark.parametrize(("layers", "base_filters"), [(1, 4), (2, 8), (3, 4)])
def test_the_drawn_unet_has_the_channels_and_sides_of_the_real_one(layers, base_filters):
    import torch

    net, seen = UNet(layers=layers, base_filters=base_filters), []
    for block in [*net.encoder, net.bottleneck, *reversed(net.decoder)]:
        block.register_forward_hook(lambda part, given, out: seen.append(f"{out.shape[1]}\n{out.shape[2]}²"))
    net(torch.zeros(2, 1, 32, 32))
    drawing = figures.unet_diagram(layers, base_filters, size=32)
    assert list(parts(drawing, hv.Labels)[0].dimension_values("Label")) == seen
    lines = {part.label: len(part) for part in parts(drawing, hv.Segments)}
    assert list(lines.values()) == [layers] * 3


def test_lines_keep_their_data_names_and_options():
    x = np.linspace(0, 1, 5)
    drawing = figures.lines(
        {"one": (x, x), "two": (x, 2 * x)},
        x_label="n_H [cm^-3]",
        y_label="f",
        points=(x, x**2),
        verticals={"here": 0.25},
        legend_position="top_left",
        ylim=(0, 2),
    )
    one, two = parts(drawing, hv.Curve)
    assert (one.label, two.label) == ("one", "two")
    assert np.array_equal(two.dimension_values(1), 2 * x)
    assert len(parts(drawing, hv.Scatter)[0]) == 5
    plot = hv.render(drawing, backend="bokeh")
    assert plot.xaxis.axis_label == "n_H [cm⁻³]"
    assert (plot.y_range.start, plot.y_range.end) == (0, 2)
    assert plot.legend[0].location == "top_left"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.network_diagram((3,)), "widths: expected two or more layers of 1 to 12"),
        (lambda: figures.network_diagram((3, 13)), "widths: expected two or more layers of 1 to 12"),
        (lambda: figures.number_grids({}), "grids: expected arrays by name"),
        (lambda: figures.number_grids({"a": np.ones((13, 2))}), "a: expected an array of at most 12 x 12"),
        (lambda: figures.number_grids({"a": np.ones(3)}), "a: expected an array of at most 12 x 12"),
        (lambda: figures.unet_diagram(0), "layers: expected 1 to 6, got 0"),
        (lambda: figures.unet_diagram(3, 8, size=20), "a multiple of 8 pixels, got 8, 20"),
        (lambda: figures.unet_diagram(3, 0), "expected at least 1"),
        (lambda: figures.lines({}, x_label="x", y_label="y"), "curves: expected pairs by name"),
        (lambda: figures.lines({"a": ([1, 2], [1])}, x_label="x", y_label="y"), "a: expected abscissa and"),
        (
            lambda: figures.lines({"a": ([1], [1])}, x_label="x", y_label="y", points=([1], [])),
            "points: expected abscissa and ordinate of equal length, got 1 and 0",
        ),
    ],
)
def test_refuses(call, words):
    with pytest.raises(ValueError, match=words):
        call()
