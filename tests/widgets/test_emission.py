from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
from astropy import units as u

from polaris_lab.radiative_transfer import Line, PPVCube
from widgets import figures, style


def line_cube(shape=(24, 6, 8), **changes) -> PPVCube:
    """A Gaussian line that drifts along x, up to 10 K."""
    velocity = np.linspace(-3, 3, shape[0])
    drift = np.linspace(-1, 1, shape[2])
    data = 10 * np.exp(-((velocity[:, None, None] - drift) ** 2) / 0.2) * np.ones(shape)
    facts = {"line": Line.named("13CO"), "pixel_size": 0.1 * u.pc, "axis": "z"}
    return PPVCube(data.astype(np.float32), velocity, **(facts | changes))


def bokeh(element):
    return hv.render(element, backend="bokeh")


def mapper(image):
    from bokeh.models import GlyphRenderer

    return bokeh(image).select_one(GlyphRenderer).glyph.color_mapper


def test_channel_maps_share_their_colours_and_name_their_velocities():
    grid = figures.channel_maps(line_cube(), channels=6, columns=3)
    limits = {(mapper(image).low, mapper(image).high) for image in grid}
    assert len(grid) == 6
    assert len(limits) == 1
    assert limits.pop()[0] == 0.0
    labels = [image.label for image in grid]
    speeds = [float(label.removesuffix(" km s⁻¹").replace("−", "-")) for label in labels]
    assert speeds == sorted(speeds)
    assert sum(speeds) == pytest.approx(0, abs=0.1)


def test_each_row_of_channel_maps_has_one_scale_and_units():
    from bokeh.models import ColorBar

    plots = [bokeh(image) for image in figures.channel_maps(line_cube(), channels=6, columns=3)]
    assert [len(plot.select(ColorBar)) for plot in plots] == [0, 0, 1, 0, 0, 1]
    assert plots[2].select_one(ColorBar).title == "T [K]"
    assert [plot.yaxis.visible for plot in plots] == [True, False, False] * 2
    assert [plot.xaxis.visible for plot in plots] == [False] * 3 + [True] * 3
    assert plots[3].xaxis.axis_label == "x [pc]"
    assert plots[0].title.text.startswith("−")
    assert plots[0].title.text.endswith(" km s⁻¹")


def test_channel_maps_hold_the_mean_of_their_channels():
    cube = line_cube()
    total = sum(
        np.nansum(image.dimension_values("temperature")) for image in figures.channel_maps(cube, channels=24)
    )
    assert total == pytest.approx(cube.data.sum(), rel=0.02)


def test_no_more_maps_than_channels():
    assert len(figures.channel_maps(line_cube((3, 4, 4)), channels=50)) <= 3
    assert len(figures.channel_maps(line_cube())) == 12


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_cube_without_emission_can_be_drawn(value):
    cube = line_cube().with_data(np.full((24, 6, 8), value, np.float32))
    assert bokeh(figures.channel_maps(cube)) is not None
    assert bokeh(figures.integrated_map(cube)) is not None
    assert bokeh(figures.centroid_map(cube)) is not None
    assert bokeh(figures.spectrum(cube, y=0, x=0)) is not None


@pytest.mark.parametrize("choice", [{"channels": 0}, {"channels": 2.5}, {"columns": -1}, {"channels": True}])
def test_bad_numbers_of_maps_are_refused(choice):
    with pytest.raises(ValueError, match="expected a whole number from 1 up"):
        figures.channel_maps(line_cube(), **choice)


def test_a_spectrum_is_a_step_line_with_units():
    cube = line_cube()
    overlay = figures.spectrum(cube, y=2, x=5)
    curve = next(element for element in overlay if isinstance(element, hv.Curve))
    np.testing.assert_allclose(curve["temperature"], cube.data[:, 2, 5])
    np.testing.assert_allclose(curve["velocity"], cube.velocity)
    assert curve.opts.get("plot", backend="bokeh").kwargs["interpolation"] == "steps-mid"
    plot = bokeh(overlay)
    assert (plot.xaxis.axis_label, plot.yaxis.axis_label) == ("velocity [km s⁻¹]", "T [K]")
    assert plot.title.text == "13CO 1-0 spectrum of pixel y = 2, x = 5"


def test_spectra_lie_over_each_other_in_different_colours():
    overlay = figures.spectrum(line_cube(), y=0, x=0, label="left") * figures.spectrum(
        line_cube(), y=0, x=7, label="right"
    )
    from bokeh.models import Line as BokehLine

    plot = bokeh(overlay)
    colours = {glyph.line_color for glyph in plot.select(BokehLine)}
    assert {style.BLUE, style.VERMILION} <= colours


def test_a_pixel_outside_the_cube_is_refused():
    with pytest.raises(IndexError, match="expected a pixel of 6 x 8"):
        figures.spectrum(line_cube(), y=6, x=0)


def test_the_integrated_map_is_the_integral():
    image = figures.integrated_map(line_cube())
    cube = line_cube()
    expected = cube.data.sum(axis=0)[0] * cube.channel_width
    np.testing.assert_allclose(image.dimension_values("value", flat=False)[0], expected, rtol=1e-5)
    plot = bokeh(image)
    from bokeh.models import ColorBar

    assert plot.select_one(ColorBar).title == "W [K km s⁻¹]"
    assert plot.xaxis.axis_label == "x [pc]"


def test_pixels_of_an_observed_cube_are_counted():
    plot = bokeh(figures.integrated_map(line_cube(pixel_size=30 * u.arcsec, line=None)))
    assert plot.yaxis.axis_label == "y [px]"


def test_gas_that_recedes_is_red_and_limits_are_symmetric():
    image = figures.centroid_map(line_cube())
    values = image.dimension_values("value", flat=False)[0]
    assert (np.diff(values) > 0).all()  # the drift of the line
    colours = mapper(image)
    assert colours.low + colours.high == pytest.approx(2 * values.mean(), abs=1e-3)
    red, blue = (int(colours.palette[i][1:3], 16) - int(colours.palette[i][5:7], 16) for i in (-1, 0))
    assert red > 0 > blue


def test_a_line_of_sight_has_units():
    plots = [bokeh(curve) for curve in figures.line_of_sight([0.05, 0.15], [1e2, 1e4], [-1.0, 1.0])]
    assert [plot.yaxis.axis_label for plot in plots] == ["n_H [cm⁻³]", "v [km s⁻¹]"]
    assert {plot.xaxis.axis_label for plot in plots} == {"depth from the observer's side [pc]"}


def test_a_ray_names_its_velocities():
    overlay = figures.ray_tracing([0.05, 0.15], {"+1 km/s": [5.0, 1.0], "-1 km/s": [0.0, 0.0]})
    assert [curve.label for curve in overlay] == ["+1 km/s", "-1 km/s"]
    with pytest.raises(ValueError, match="expected 2 values for 'a', one a cell"):
        figures.ray_tracing([0.05, 0.15], {"a": [1.0]})
