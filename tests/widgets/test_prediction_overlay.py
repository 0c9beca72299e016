from __future__ import annotations

import io
import shutil
import time

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from bokeh.models import Plot

import polaris_lab as lab
from polaris_lab.observations import Observation, Prediction, Quality
from polaris_lab.observations.coverage import MUCH
from polaris_lab.observations.region_statistics import region_statistics
from polaris_lab.observations.regions import parse_regions
from widgets import PredictionOverlay, prediction_overlay
from widgets.overlay import data as overlay_data
from widgets.overlay import words as overlay_words
from widgets.overlay.figures import OUTSIDE
from widgets.overlay.prediction_job import PredictionJob


def turned_pair(rotation: float = 35.0, *, flagged: float = 0.0):
    """Return a turned map of 60 x 80 pixels with one bright pixel, and a prediction with intervals."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [40.5, 30.5], [56.9, 32.9]
    turn = np.radians(rotation)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = matrix @ np.diag([-0.005, 0.005])
    rng = np.random.default_rng(1)
    column = 10 ** rng.normal(21.5, 0.1, (60, 80))
    column[40, 20] = 7e22
    column[:4] = np.nan
    density = (column / 1e18).astype(np.float32)
    quality = np.zeros(column.shape, np.int16)
    quality[4 : 4 + round(56 * flagged)] = int(Quality.DENSITY_RANGE)
    coverage = np.where(np.isfinite(column), 2, 0).astype(np.int16)
    prediction = Prediction(
        density, quality, coverage, wcs, lower68=density / 2, upper68=density * 2, lower95=density / 4,
        upper95=density * 4, provenance={"model": "network", "target": "density", "run_fingerprint": "abc"},
    )  # fmt: skip
    return Observation(column, wcs=wcs, distance=300 * u.pc, species="H", name="turned"), prediction


@pytest.fixture
def pair():
    return turned_pair()


@pytest.fixture
def overlay(pair, tmp_path):
    return PredictionOverlay(*pair, workspace_folder=tmp_path)


@pytest.fixture
def workspace(pair, tmp_path):
    """Return a folder with a map and its prediction, and files that are neither."""
    observation, prediction = pair
    observation.write_fits(tmp_path / "map.fits")
    header = fits.getheader(tmp_path / "map.fits")
    del header["DISTANCE"], header["SPECIES"]
    fits.PrimaryHDU(observation.column_density, header).writeto(tmp_path / "bare.fits")
    prediction.write_fits(tmp_path / "density.fits")
    whole = (tmp_path / "map.fits").read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.fits").write_text("<html>moved</html>")
    (tmp_path / "cores.csv").write_text(
        "name,ra,dec,mean_density\nfirst,56.9,32.9,3e4\nsecond,56.95,32.95,2e3\nfar,10,10,1e3\n"
    )
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    return tmp_path


def state(overlay) -> str:
    return f"{overlay.parts.state.title}: {overlay.parts.state.object}"


def wait_for(desk, *states: str):
    end = time.monotonic() + 240
    while (seen := desk.refresh()).status not in states:
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    return seen


# -- what is drawn -----------------------------------------------------------------------------------


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


# -- the desk ----------------------------------------------------------------------------------------


def test_a_map_of_the_workspace_with_prediction_and_cores(overlay, workspace):
    desk = overlay.desk
    desk._maps.choose("map.fits")  # its header says distance and species
    assert overlay.observation.name == "turned"
    assert "not predicted" in state(overlay)
    desk._maps.choose("density.fits")
    assert np.isfinite(overlay.prediction.density).any()
    assert desk.prediction == "density.fits"
    desk._catalogues.choose("cores.csv")
    assert len(overlay._placed.columns["x"]) == 2
    names = {}
    exec(overlay.code().replace("PredictionOverlay(obs", "again = PredictionOverlay(obs"), names)
    assert np.array_equal(names["again"].prediction.density, overlay.prediction.density, equal_nan=True)
    assert names["again"]._placed.columns["error"] == overlay._placed.columns["error"]


def test_a_header_without_distance_is_asked_for(overlay, workspace):
    overlay.desk._maps.choose("bare.fits")
    assert overlay.parts.state.title == "Not opened"
    assert "distance: expected that of the cloud, got none" in state(overlay)
    overlay.desk.distance = "Barnard 5"
    overlay.desk.open()
    assert overlay.observation.distance_pc == 302
    overlay.desk.distance = "140"
    overlay.desk._try(overlay.desk.open)
    assert "expected a length such as" in state(overlay)


@pytest.mark.parametrize(
    ("name", "answer"),
    [("cut.fits", "cut off"), ("page.fits", "web page"), ("notes.csv", "starts with")],
)
def test_files_that_are_no_map_are_said_and_change_nothing(overlay, workspace, name, answer):
    before = overlay.observation
    overlay.desk.param.update(path=name, distance="300 pc")
    overlay.desk._try(overlay.desk.open)
    assert overlay.observation is before
    assert answer in state(overlay).replace("&#95;", "_")


def test_a_broken_file_of_the_list_is_said_before_anything_is_asked(overlay, workspace):
    overlay.desk._maps.choose("page.fits")
    assert "it is a web page" in state(overlay)


def test_cores_are_not_searched_on_a_map_that_would_stop_the_page(overlay, monkeypatch):
    monkeypatch.setattr(overlay_data, "MOST_SEARCHED", 100)
    assert not overlay.desk._try(overlay.desk.find_cores)
    assert "expected at most 100 pixels" in state(overlay)


def test_what_leads_out_of_the_workspace_is_refused(overlay, workspace):
    for name in ("../map.fits", "/etc/passwd"):
        overlay.desk.path = name
        assert not overlay.desk._try(overlay.desk.open)
        assert "expected a name inside the workspace folder" in state(overlay)
    overlay.desk._name.value = "../out.fits"
    overlay.desk.predict()
    assert "expected a name inside the workspace folder" in overlay.desk._state.object


def test_a_prediction_of_another_map_and_a_catalogue_that_is_none_are_said(overlay, workspace):
    small = Prediction(
        *(np.ones((5, 5), kind) for kind in ("f4", "i2", "i2")),
        overlay.observation.wcs,
        provenance={"model": "x", "target": "density"},
    )
    small.write_fits(workspace / "small.fits")
    overlay.desk._maps.choose("map.fits")
    overlay.desk._maps.choose("small.fits")
    assert "expected a prediction of this map" in state(overlay)
    overlay.desk._catalogues.choose("notes.csv")
    assert "expected positions" in state(overlay)


def test_predict_in_a_process_and_open_what_it_wrote(overlay, workspace):
    overlay.desk._maps.choose("map.fits")
    overlay.desk.run = "constrained_diffusion"
    overlay.desk.predict()
    assert overlay.desk._predict.disabled
    wait_for(overlay.desk, "finished")
    path = workspace / overlay.desk.prediction
    assert path.parent.name == "predictions"
    direct = lab.observations.predict_classical.estimate_map(overlay.observation, "constrained_diffusion")
    assert np.allclose(overlay.prediction.density, direct.density, equal_nan=True)
    assert "Prediction.open(" in overlay.code()
    job = PredictionJob(overlay.observation, path)
    with pytest.raises(ValueError, match="expected a name that is free"):
        job.start()


def test_cancel_leaves_nothing(overlay, workspace):
    overlay.desk._maps.choose("map.fits")
    overlay.desk.predict()
    overlay.desk.cancel()
    assert "Stopped" in overlay.desk._state.title
    assert not list(workspace.glob("predictions/*"))
    assert not overlay.desk._predict.disabled


def test_predict_with_a_run_keeps_the_tiles_and_a_deleted_run_is_said(overlay, workspace, trained_run):
    lab.Run.open(trained_run).validate()
    shutil.copytree(trained_run, workspace / "runs" / "small")
    overlay.desk._maps.choose("map.fits")
    overlay.desk.find_runs()
    assert overlay.desk.run in overlay.desk._runs.options.values()
    overlay.desk.run = "runs/small"
    overlay.desk.predict()
    seen = wait_for(overlay.desk, "finished", "failed", "idle")
    assert seen.status == "finished", seen
    overlay.show_tiles = True
    assert len(overlay._maps._tiles.data["left"]) >= 1
    assert overlay.prediction.lower68 is not None
    names = {}
    exec(overlay.code().replace("PredictionOverlay(obs", "again = PredictionOverlay(obs"), names)
    assert len(names["again"]._maps._tiles.data["left"]) == len(overlay._maps._tiles.data["left"])
    shutil.rmtree(workspace / "runs")
    overlay.desk.predict()
    assert "it may have been deleted" in overlay.desk._state.object.replace("&#95;", "_")


# -- the page ----------------------------------------------------------------------------------------


def test_a_newcomer_sees_a_simulated_observation_whose_lines_run():
    observation, prediction, cores, sources = overlay_data.sample()
    shown = PredictionOverlay(observation, prediction, cores=cores, sources=sources)
    shown.param.update(width=30.0, uncertainty=0.5, region="icrs; circle(56.9, 32.9, 0.1)", core=2)
    assert "states no interval" in shown.parts.layers.object
    names = {}
    exec(shown.code().replace("PredictionOverlay(obs", "again = PredictionOverlay(obs"), names)
    again = names["again"]
    assert again.changes() == shown.changes()
    assert again.statistics == shown.statistics
    assert again._placed.columns["error"] == shown._placed.columns["error"]


def test_two_visitors_share_nothing_that_changes(pair):
    one, two = PredictionOverlay(*pair), PredictionOverlay(*pair)
    one.param.update(width=3.0, graticule=False, region="icrs; circle(56.9, 32.9, 0.05)")
    assert two.changes() == {}
    assert two._maps._region.data["xs"] == []
    assert not set(map(id, one._maps.figures)) & set(map(id, two._maps.figures))


def test_the_page_opens_what_it_is_given_and_says_what_it_cannot(workspace):
    for choices in (
        {},
        {"path": "map.fits"},
        {"path": "bare.fits"},
        {"path": "../x.fits"},
        {"path": "cut.fits", "distance": "300 pc"},
    ):
        page = prediction_overlay.app(workspace_folder=workspace, **choices)
        assert page.title == prediction_overlay.TITLE


def test_a_callback_that_fails_reaches_the_user(overlay, monkeypatch):
    from widgets import shell

    shell.page("x", [], [overlay.main])
    import panel as pn

    assert pn.config.exception_handler is shell.notify_user
    with pytest.raises(ValueError, match="place: expected"):
        overlay.parts.go.value = "nowhere"


def test_figures_and_file_to_take_along(overlay, pair):
    overlay.region = "icrs; circle(56.9, 32.9, 0.05)"
    for download, magic in zip(overlay.parts.downloads, (b"\x89PNG", b"%PDF", b"SIMPLE"), strict=True):
        assert download.callback().read().startswith(magic)
    figure = overlay.figure()
    assert [type(axes).__name__ for axes in figure.axes].count("WCSAxes") == 2
    file = io.BytesIO(overlay.parts.downloads[2].callback().read())
    with fits.open(file) as hdus:
        assert np.array_equal(hdus["DENSITY"].data, pair[1].density, equal_nan=True)


def test_a_map_without_prediction_says_what_to_do(pair):
    shown = PredictionOverlay(pair[0], None)
    assert overlay_words.NO_PREDICTION.split(".")[0] in state(shown).replace("&#40;", "(")
    with pytest.raises(ValueError, match="no prediction"):
        shown.parts.downloads[2].callback()
    shown.go_to("56.9 32.9")
    assert "no prediction" in shown.reading


def test_real_maps_of_every_projection(shared_data):
    files = (
        ("column/perseus_b5_herschel_NH2.fits", "H2", {}),
        ("column/perseus_ic348_NH2.fits", "H2", {"unit": "cm-2"}),
        ("extinction/perseus_2mass_AV_galactic.fits", "A_V", {"unit": "mag"}),
    )
    for name, species, choices in files:
        observation, _, _ = overlay_data.open_map(shared_data / name, "300 pc", species, **choices)
        shown = PredictionOverlay(observation, None)
        assert 2 <= len(shown._maps.figures[0].xaxis[0].ticker.ticks) <= 8
