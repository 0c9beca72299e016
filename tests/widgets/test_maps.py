from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest

from widgets import figures


def bokeh(element):
    return hv.render(element, backend="bokeh")


def colour_mapper(plot):
    from bokeh.models import ColorBar

    return plot.select_one(ColorBar).color_mapper


def test_first_row_is_at_the_bottom_as_in_fits():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    image = figures.sky_map(values, label="density", pixel_size_pc=0.5)
    assert image[0.25, 0.25] == 1.0
    assert image[0.75, 1.25] == 6.0


def test_axes_and_colour_bar_carry_units():
    plot = bokeh(figures.sky_map(np.full((4, 6), 1e21), label="column_density", pixel_size_pc=0.1))
    from bokeh.models import ColorBar

    assert plot.xaxis.axis_label == "x [pc]"
    assert plot.select_one(ColorBar).title == "N_H [cm⁻²]"
    assert bokeh(figures.sky_map(np.ones((2, 2)), label="T [K]")).yaxis.axis_label == "y [px]"


def test_the_frame_has_the_shape_of_the_map():
    plot = bokeh(figures.sky_map(np.ones((50, 100)), label="density", width=300))
    assert (plot.frame_width, plot.frame_height) == (300, 150)


def test_what_has_no_logarithm_is_missing():
    image = figures.sky_map(np.array([[1.0, 0.0], [-2.0, np.nan]]), label="density")
    assert np.isnan(image.dimension_values("value")).sum() == 3


def test_missing_pixels_are_grey_and_do_not_set_the_colours():
    values = np.full((10, 10), 100.0)
    values[0] = np.nan
    values[1] = 1000.0
    mapper = colour_mapper(bokeh(figures.sky_map(values, label="density")))
    assert mapper.nan_color == "#B8B8B8"
    assert mapper.low == pytest.approx(100.0)
    assert mapper.high == pytest.approx(1000.0)


@pytest.mark.parametrize("values", [np.full((3, 3), np.nan), np.full((3, 3), 7.0), np.zeros((3, 3))])
def test_a_map_without_a_range_can_still_be_drawn(values):
    for log in (True, False):
        mapper = colour_mapper(bokeh(figures.sky_map(values, label="density", log=log)))
        assert mapper.low < mapper.high


def test_a_reduced_map_says_so():
    plot = bokeh(figures.sky_map(np.ones((100, 400)), label="density", max_pixels=100, pixel_size_pc=1.0))
    assert "at 1/4 resolution" in plot.title.text
    assert plot.x_range.end == pytest.approx(400.0)


@pytest.mark.parametrize("values", [np.ones(3), np.ones((2, 2, 2)), np.ones((0, 3))])
def test_what_is_no_map_is_refused(values):
    with pytest.raises(ValueError, match="expected a map with axes"):
        figures.sky_map(values, label="density")


@pytest.mark.parametrize("clim", [(2.0, 1.0), (0.0, 1.0), (1.0, np.nan)])
def test_colour_limits_must_grow(clim):
    with pytest.raises(ValueError, match="clim: expected two growing numbers above 0"):
        figures.sky_map(np.ones((2, 2)), label="density", clim=clim)


def test_over_estimates_are_positive_and_limits_symmetric():
    target = np.full((8, 8), 100.0)
    image = figures.spatial_error(10 * target, target)
    assert image.dimension_values("value") == pytest.approx(1.0)
    mapper = colour_mapper(bokeh(image))
    assert mapper.low == -mapper.high


def test_an_error_map_keeps_missing_pixels_missing():
    predicted, target = np.full((2, 2), 10.0), np.full((2, 2), 10.0)
    predicted[0, 0], target[1, 1] = np.nan, 0.0
    values = figures.spatial_error(predicted, target).dimension_values("value", flat=False)
    assert np.isnan(values).sum() == 2


def test_maps_of_different_shape_are_refused():
    with pytest.raises(ValueError, match="put both on one grid"):
        figures.spatial_error(np.ones((2, 2)), np.ones((2, 3)))


def test_the_correlation_counts_every_valid_pixel_once():
    rng = np.random.default_rng(0)
    column, density = rng.lognormal(size=(64, 64)), rng.lognormal(size=(64, 64))
    column[0, :10] = np.nan
    density[1, :5] = 0.0
    counts = figures.correlation(column, density).dimension_values("count")
    assert np.nansum(counts) == 64 * 64 - 15


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [(np.ones(3), np.ones(4), "shape of abscissa"), (np.zeros(3), np.ones(3), "expected pairs of positive")],
)
def test_bad_pairs_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        figures.correlation(x, y)


def test_labels_of_a_correlation_keep_their_distance():
    """Over less than two decades Bokeh's own ticks are even steps, whose labels overlap on a logarithmic axis."""
    column = np.geomspace(5e20, 4e22, 1000)
    plot = bokeh(figures.correlation(column, column**1.2 / 1e23, width=320))
    ticks = np.log10(np.array(plot.xaxis[0].ticker.ticks, float))
    assert 3 <= len(ticks) <= 6
    assert np.diff(ticks).min() / np.log10(4e22 / 5e20) > 0.1
