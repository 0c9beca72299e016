"""The overlay and its files: opened, predicted, refused, taken along; and what a visitor meets first."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from astropy.io import fits

import polaris_lab as lab
from polaris_lab.observations import Prediction
from tests.widgets.overlay.conftest import state, wait_for
from widgets import PredictionOverlay, prediction_overlay
from widgets.overlay import data as overlay_data
from widgets.overlay import words as overlay_words
from widgets.overlay.prediction_job import PredictionJob


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
