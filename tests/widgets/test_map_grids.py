from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest

from widgets import figures


def colour_mappers(layout):
    from bokeh.models import ColorMapper

    return list(hv.render(layout, backend="bokeh").select({"type": ColorMapper}))


def test_all_maps_share_one_colour_scale():
    """A bright and a faint map: equal limits, between the faintest and the brightest."""
    maps = {"faint": np.geomspace(1e20, 1e21, 64).reshape(8, 8), "bright": np.full((4, 6), 1e23)}
    mappers = colour_mappers(figures.map_grid(maps, pixel_size_pc={"faint": 0.1, "bright": 0.05}))
    assert len({(mapper.low, mapper.high) for mapper in mappers}) == 1
    assert 1e20 <= mappers[0].low < 1.1e20
    assert mappers[0].high == pytest.approx(1e23)


def test_a_large_map_does_not_outweigh_a_small_one():
    maps = {"large": np.full((500, 500), 1.0), "small": np.full((5, 5), 100.0)}
    assert colour_mappers(figures.map_grid(maps))[0].high == pytest.approx(100.0)


def test_names_units_and_extents():
    from bokeh.models import ColorBar, Plot

    maps = {name: np.full((4, 8), 1e21) for name in ("one", "two", "three", "four")}
    sizes = {"one": 0.1, "two": 0.2, "three": 0.1, "four": 0.1}
    page = hv.render(figures.map_grid(maps, pixel_size_pc=sizes, columns=2), backend="bokeh")
    plots = {plot.title.text: plot for plot in page.select({"type": Plot})}
    assert set(plots) == set(maps)
    assert plots["one"].xaxis.axis_label == "x [pc]"
    assert plots["one"].x_range.end == pytest.approx(0.8)
    assert plots["two"].x_range.end == pytest.approx(1.6)  # each map has its own extent
    bars = {name for name, plot in plots.items() if plot.select({"type": ColorBar})}
    assert bars == {"three", "four"}  # the scale stands under the last row
    assert {bar.title for bar in page.select({"type": ColorBar})} == {"N_H [cm⁻²]"}


def test_missing_pixels_do_not_set_the_scale():
    values = np.full((4, 4), 1e21)
    values[0] = np.nan
    values[1] = -5
    mapper = colour_mappers(figures.map_grid({"a": values, "b": np.full((4, 4), np.nan)}))[0]
    assert mapper.low < 1e21 < mapper.high < 2e21


@pytest.mark.parametrize(
    ("maps", "choices", "words"),
    [
        ({}, {}, "maps: expected maps by their names"),
        (np.ones((4, 4)), {}, "maps: expected maps by their names"),
        ({"cube": np.ones((2, 3, 4))}, {}, r"cube: expected a map with axes \(y, x\), got shape \(2, 3, 4\)"),
        ({"a": np.ones((4, 4))}, {"columns": 0}, "columns: expected a whole number from 1 up, got 0"),
        (
            {"a": np.ones((4, 4))},
            {"pixel_size_pc": {"b": 1}},
            "pixel_size_pc: expected the pixel size of 'a'",
        ),
        ({"a": np.ones((4, 4))}, {"clim": (2, 1)}, "clim: expected two growing numbers"),
    ],
)
def test_bad_input(maps, choices, words):
    with pytest.raises(ValueError, match=words):
        figures.map_grid(maps, **choices)
