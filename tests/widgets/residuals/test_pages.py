"""The explorer of residuals on a page: progress, faults, and where runs are found."""

from __future__ import annotations

import shutil
import threading
import time

import pytest
from bokeh.models import Plot

import polaris_lab as lab
from polaris_lab.training import Run
from widgets import ResidualExplorer, residual_explorer
from widgets.residuals import jobs as residual_jobs


def test_progress_is_shown_and_can_be_cancelled(workspace, monkeypatch):
    import polaris_lab.training as room

    gate, plain = threading.Event(), room.predict

    def slowly(*arguments, on_progress, **choices):
        on_progress(4, 12)
        assert gate.wait(30)
        on_progress(8, 12)
        return plain(*arguments, **choices)

    monkeypatch.setattr(room, "predict", slowly, raising=False)
    explorer = ResidualExplorer(workspace / "plain", wait=False)
    side = explorer.sides[0]
    deadline = time.monotonic() + 30
    while side.bar.value != 33:
        assert explorer.refresh()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "Predicting: 4 of 12 patches" in side.state.object
    assert side.stop.visible
    side.cancel()
    explorer.refresh()
    assert side.stop.disabled
    gate.set()
    side.wait()
    explorer.refresh()
    assert side.state.title == "plain: stopped"
    assert side.again.visible
    explorer._wait = True
    explorer.again()
    assert side.state.severity == "success"


def test_a_run_deleted_while_shown_is_said_and_the_page_lives(workspace):
    explorer = ResidualExplorer(workspace / "plain")
    shutil.move(workspace / "plain", workspace / "elsewhere")
    explorer.refresh()
    assert explorer.sides[0].state.title == "plain: missing"
    assert "What is seen was computed before" in explorer.sides[0].state.object
    explorer.patch = 2  # the page lives
    shutil.move(workspace / "elsewhere", workspace / "plain")
    explorer.refresh()
    assert explorer.sides[0].state.severity == "success"


def test_weights_that_changed_are_said(workspace):
    explorer = ResidualExplorer(workspace / "plain")
    (workspace / "plain" / "best.safetensors").touch()
    explorer.refresh()
    assert explorer.sides[0].state.title == "plain: changed since"
    assert explorer.sides[0].again.visible


def test_a_run_without_weights_is_said(workspace):
    for name in ("best.safetensors", "history.jsonl", "last.ckpt"):
        (workspace / "plain" / name).unlink()
    explorer = ResidualExplorer(workspace / "plain")
    state = explorer.sides[0].state
    assert state.severity == "error"
    assert "Train it" in state.object
    assert explorer.sides[0].again.visible
    assert not explorer._seen.visible


def test_a_run_whose_dataset_is_gone_is_said(workspace, dataset, tmp_path):
    moved = shutil.copytree(dataset.path, tmp_path / "moved.zarr")
    blueprint = lab.Blueprint.unet(layers=1, base_filters=4, attention=False, reference_scale=2.0)
    config = lab.TrainingConfig(epochs=1, batch_size=4, device="cpu")
    Run.create(workspace / "third", blueprint, lab.PatchDataset.open(moved), config).train(progress=False)
    shutil.rmtree(moved)
    explorer = ResidualExplorer(workspace / "third")
    assert "expected its dataset at" in explorer.sides[0].state.object
    assert "Put the dataset back" in explorer.sides[0].state.object
    given = Run.open(workspace / "third", dataset=dataset.path)
    assert ResidualExplorer(given).sides[0].judged is not None


@pytest.mark.parametrize("broken", ['{"epoch": 2, "training_lo', "soup\nsoup\n"])
def test_a_half_written_or_damaged_history_does_not_matter(workspace, broken):
    with (workspace / "plain" / "history.jsonl").open("a") as file:
        file.write(broken)
    assert ResidualExplorer(workspace / "plain").sides[0].state.severity == "success"


@pytest.mark.parametrize("name", ["../plain", "/etc", "link"])
def test_a_path_outside_the_workspace_is_refused(workspace, name, tmp_path_factory):
    (workspace / "link").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    explorer = ResidualExplorer(workspace_folder=workspace, run_path=name)
    assert "inside the workspace folder" in explorer.sides[0].state.object
    explorer.run_path = "plain"
    assert explorer.sides[0].state.severity == "success"


def test_the_page_begins_with_a_trained_run_and_lists_the_others(workspace):
    page = residual_explorer.app(workspace_folder=workspace)
    assert page.title == residual_explorer.TITLE
    field = page.sidebar[0][0][0]
    assert field.value == "plain"
    assert field.options == ["plain", "stated"]


def test_an_empty_workspace_says_how_to_make_a_run(tmp_path):
    page = residual_explorer.app(workspace_folder=tmp_path)
    state = page.main[-1][0][0]
    assert state.title == "No run"
    assert "polaris-lab demo" in state.object


def test_a_cell_of_a_notebook_holds_choices_and_figures(explorer):
    root = explorer.__panel__().get_root()
    titles = {model.title.text for model in root.references() if isinstance(model, Plot)}
    assert {"Accuracy Acc(σ)", "plain: errors of the patches", "True"} <= titles
    assert explorer.controls in explorer.__panel__()[0]


def test_few_results_are_kept(runs, explorer, monkeypatch):
    monkeypatch.setattr(residual_jobs, "KEPT", 1)
    explorer.correction = "isotonic"
    assert len(residual_jobs._RESULTS) == 1
