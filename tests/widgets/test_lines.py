"""Plain curves: where the legend stands."""

from __future__ import annotations

import numpy as np
import pytest

from widgets import figures
from widgets.lines import _emptiest_corner

RISING = (np.linspace(0, 1, 50), np.linspace(0, 1, 50))


@pytest.mark.parametrize(
    ("curve", "corner"),
    [
        (RISING, "top_left"),
        ((RISING[0], 1 - RISING[1]), "top_right"),
        ((RISING[0], np.where(RISING[0] < 0.1, 0.0, 1.0)), "bottom_right"),
        ((np.geomspace(1, 1e6, 50), np.geomspace(1, 1e6, 50)), "top_left"),
        ((RISING[0], np.full(50, np.nan)), "top_right"),
    ],
)
def test_the_legend_stands_where_it_hides_least(curve, corner):
    log = curve[0].max() > 1
    assert _emptiest_corner([curve], logx=log, logy=log) == corner


def test_a_reader_may_place_the_legend():
    drawn = figures.lines({"a": RISING}, x_label="x", y_label="y", legend_position="bottom_left")
    assert drawn.opts.get(backend="bokeh").kwargs["legend_position"] == "bottom_left"
