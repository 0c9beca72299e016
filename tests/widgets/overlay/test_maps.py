"""What the overlay draws, reads and measures on a map and its prediction."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from bokeh.models import Plot

import polaris_lab as lab
from polaris_lab.observations import Observation, Prediction
from polaris_lab.observations.coverage import MUCH
from polaris_lab.observations.region_statistics import region_statistics
from polaris_lab.observations.regions import parse_regions
from tests.widgets.overlay.conftest import turned_pair
from widgets import PredictionOverlay
from widgets.overlay import data as overlay_data
from widgets.overlay.figures import OUTSIDE


def test_the_maps_are_sent_as_they_are(overlay, pair):
    for panel, values in zip(overlay._maps.panels, (pair[0].column_density, pair[1].density), strict=True):
        sent = panel._image.data
        assert np.allclose(sent["image"][0], np.log10(values), equal_nan=True)
        assert (sent["x"], sent["y"], sent["dw"], sent["dh"]) == ([-0.5], [-0.5], [80], [60])
    overlay.column_stretch = "sqrt"
    assert np.allclose(
        overlay._maps.panels[0]._image.data["image"][0], np.sqrt(pair[0].column_density), equal_nan=True
    )
    low, high = overlay.column_limits
    mapper = overlay._maps.panels[0]._mapper
    assert (mapper.low, mapper.high) == pytest.approx((10 ** (low / 2), 10 ** (high / 2)))


def test_limits_change_colours_and_send_no_map(overlay):
    before = overlay._maps.panels[0]._image.data
    overlay.column_limits = (21.0, 22.0)
    assert overlay._maps.panels[0]._mapper.low == pytest.approx(21)
    assert overlay._maps.panels[0]._image.data is before


def test_both_panels_share_ranges_and_cross_hair(overlay):
    first, second = overlay._maps.figures
    assert first.x_range is second.x_range
    assert first.y_range is second.y_range
    from bokeh.models import CrosshairTool

    assert first.select_one(CrosshairTool).overlay[0] is second.select_one(CrosshairTool).overlay[0]
    assert first.frame_width / first.frame_height == pytest.approx(
        (first.x_range.end - first.x_range.start) / (first.y_range.end - first.y_range.start)
    )  # square pixels


def test_layers_are_sent_when_they_are_seen(overlay, pair):
    layers = overlay._maps.panels[1].layers
    assert layers["uncertainty"]._source.data["image"] == []
    overlay.uncertainty = 0.4
    width = layers["uncertainty"]._source.data["image"][0]
    assert np.nanmedian(width) == pytest.approx(np.log10(4), rel=1e-5)
    assert layers["uncertainty"].renderer.glyph.global_alpha == 0.4
    overlay.coverage = 1.0
    assert np.nanmax(layers["coverage"]._source.data["image"][0]) == 2
    overlay.uncertainty = 0.0
    assert not layers["uncertainty"].renderer.visible


def test_the_warning_stands_on_the_picture():
    quiet = PredictionOverlay(*turned_pair(flagged=MUCH / 2))
    assert not quiet._maps.banner.visible
    loud = PredictionOverlay(*turned_pair(flagged=0.5))
    assert loud._maps.banner.visible
    assert "OUTSIDE THE TRAINING SET: 50%" in loud._maps.banner.text.replace("\n", " ")
    assert loud.parts.state.severity == "warning"
    hatches = loud._maps.panels[1].layers["outside"]._source.data["image"][0]
    marked = (loud.prediction.quality & int(OUTSIDE)) != 0
    assert 0.3 < np.isfinite(hatches[marked]).mean() < 0.7  # lines
    assert not np.isfinite(hatches[~marked]).any()


def test_the_words_of_the_coverage_are_the_warning():
    import dataclasses

    observation, prediction = turned_pair()
    note = "OUTSIDE THE TRAINING SET: 80% of the map has structure it does not hold: the model does not apply to this map"
    shown = PredictionOverlay(observation, dataclasses.replace(prediction, notes=(note,)))
    assert shown._maps.banner.text.replace("\n", " ") == note


def test_a_large_map_is_sent_in_parts_and_says_so():
    wcs = turned_pair()[0].wcs
    column = np.full((2048, 2048), 1e21, np.float32)
    observation = Observation(column, wcs=wcs, distance=300 * u.pc, species="H")
    none = np.zeros(column.shape, np.int16)
    shown = PredictionOverlay(observation, Prediction(column / 1e18, none, none, wcs))
    image = shown._maps.panels[0]._image
    assert max(image.data["image"][0].shape) <= 640
    assert "means of 4 × 4 pixels" in shown.parts.factor.object
    shown.param.update(centre="56.9 32.9", width=30.0)
    assert shown.parts.factor.object == ""
    sent = image.data
    assert image.data["image"][0].shape[1] < 200
    view = shown.view()
    shown._moved(view._replace(left=view.left + 2, right=view.right + 2))
    assert image.data is sent  # what was sent reaches so far


def test_every_axis_has_words(overlay):
    for pane in overlay.parts.panes:
        assert isinstance(pane.object, Plot)
        assert all(axis.axis_label for axis in pane.object.axis if axis.visible)


# -- reading, going, regions, cores ------------------------------------------------------------------


def test_a_place_is_read_where_it_lies_on_a_turned_map(overlay, pair):
    sky = pair[0].wcs.pixel_to_world(20, 40)
    overlay.go_to(sky.to_string("hmsdms"))
    assert "7×10²² cm⁻²" in overlay.reading
    assert "n_H 7×10⁴ cm⁻³" in overlay.reading
    assert "68 %: 3.5×10⁴ … 1.4×10⁵" in overlay.reading
    assert overlay._maps._place.data["x"][0] == pytest.approx(20, abs=0.1)
    view = overlay.view()
    assert (view.left + view.right) / 2 == pytest.approx(20, abs=0.1)
    galactic = sky.galactic
    overlay.go_to(f"l={galactic.l.deg:.6f} b={galactic.b.deg:.6f}")
    assert "7×10²²" in overlay.reading
    overlay._point(20.3, 39.8)
    assert "7×10²²" in overlay.parts.pointed.object
    overlay._point(20, 1)
    assert "not observed" in overlay.parts.pointed.object
    overlay._point(500, 1)
    assert "outside the map" in overlay.parts.pointed.object


@pytest.mark.parametrize("words", ["nowhere", "10 10", "12:99:99 nonsense"])
def test_places_that_are_none_are_refused(overlay, words):
    before = overlay.centre
    with pytest.raises(ValueError, match="place: expected"):
        overlay.go_to(words)
    assert overlay.centre == before


def test_moving_in_the_browser_becomes_the_state_and_back(overlay):
    home = overlay.view()
    half = (home.right - home.left) / 4
    overlay._moved(overlay._maps.view_of((30.0, 20.0), half))
    assert overlay.view() == pytest.approx(overlay._maps.view_of((30.0, 20.0), half), abs=0.05)
    assert overlay.width == pytest.approx(half * 0.3, rel=1e-3)
    overlay.zoom(2)
    assert overlay.width == pytest.approx(half * 0.15, rel=1e-3)
    assert overlay._maps.figures[0].x_range.end - overlay._maps.figures[0].x_range.start == pytest.approx(
        half / 2, rel=1e-3
    )
    overlay._moved(home)
    assert (overlay.centre, overlay.width) == ("", 0.0)


def test_a_drawn_box_is_measured(overlay, pair):
    overlay._box(9.5, 19.5, 19.5, 29.5)
    assert overlay.statistics.pixels == 100
    assert overlay.statistics.column_mean == pytest.approx(
        pair[0].column_density[20:30, 10:20].mean(), rel=1e-6
    )
    outline = np.array([overlay._maps._region.data[name][0] for name in ("xs", "ys")])
    assert outline.min(axis=1) == pytest.approx([9.5, 19.5], abs=0.01)
    assert "icrs; polygon(" in overlay.code()


def test_regions_by_words_by_name_and_by_file(overlay, pair, tmp_path):
    overlay.region = "icrs; circle(56.9, 32.9, 0.05)"
    expected = region_statistics(*pair, parse_regions(overlay.region))
    assert overlay.statistics == expected
    assert "pc²" in overlay.parts.region.object
    (tmp_path / "mine.reg").write_text("icrs\ncircle(56.9, 32.9, 0.05)\n")
    overlay.region = "mine.reg"
    assert overlay.statistics == expected
    names = dict(zip(("observation", "prediction"), pair, strict=True))
    lines = overlay.code().split("\n")[-1].replace("PredictionOverlay(", "again = PredictionOverlay(", 1)
    exec(f"from widgets import PredictionOverlay\n{lines}", names)
    assert names["again"].statistics == expected


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("circle of fire", "region: expected"),
        ("icrs; circle(10, 10, 0.1)", "covers pixels of the map"),
        ("../mine.reg", "expected a name inside the workspace folder"),
        ("none.reg", "got nothing there"),
        ("L1495", "covers pixels of the map"),
    ],
)
def test_regions_that_cannot_be_are_said(overlay, words, answer):
    overlay.region = words
    assert answer in overlay.parts.region.object
    assert overlay.statistics is None
    assert overlay._maps._region.data["xs"] == []


def test_cores_are_where_they_are_and_their_errors_are_the_librarys(pair, workspace):
    cores, lines = overlay_data.open_cores(workspace / "cores.csv", pair[0])
    shown = PredictionOverlay(
        *pair, cores=cores, sources=overlay_data.Sources("", "", lines), workspace_folder=workspace
    )
    assert "2 of 3 cores lie on the map" in shown.parts.core_words.object
    found = lab.observations.cores.core_errors(
        pair[1].density, pair[0].column_density, pair[0].wcs, cores[:2]
    )
    assert shown._errors._points.data["error"] == pytest.approx(found.error_dex)
    x, _y = pair[0].wcs.world_to_pixel_values(56.9, 32.9)
    assert shown._maps._cores.data["x"][0] == pytest.approx(float(x))
    assert shown._maps._cores.data["error"][0] == f"{found.error_dex[0]:+.2f}"
    shown._maps._cores.selected.indices = [1]  # a tap
    assert shown.core == 1
    assert shown._maps._chosen.data["y"] == [shown._maps._cores.data["y"][1]]
    assert "outline" in shown.parts.cores.object
    assert len(shown._errors._chosen.data["error"]) == 1
    shown._errors._points.selected.indices = [0]
    assert shown.core == 0
    assert "Marked" in shown.reading
