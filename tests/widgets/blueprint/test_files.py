"""Blueprints opened, saved, exported and trained from the editor."""

from __future__ import annotations

import json
import shutil

import pytest

import polaris_lab as lab
from tests.widgets.blueprint.conftest import state
from widgets import blueprint_editor
from widgets.blueprint import training as blueprint_training


def test_exported_python_is_the_same_network(editor):
    import torch

    names: dict = {}
    exec(editor.python(), names)
    model = lab.build_model(editor.blueprint)
    network = names["Network"]()
    network.load_state_dict(model.state_dict())
    x = torch.full((1, 1, 16, 16), 21.5)
    assert torch.equal(network.eval()(x), model.eval()({"column_density": x}))
    editor._parts._export.param.trigger("clicks")
    assert editor._parts._python._pane.tags == [editor.python()]
    editor.remove("contrast")
    assert editor._parts._export.disabled
    with pytest.raises(ValueError, match="expected a wire"):
        editor.python()


def test_saving_asks_before_it_replaces_another_file(editor, tmp_path):
    editor.set("correction", layers=3)
    assert editor.unsaved
    assert editor._parts.keys.unsaved
    path = editor.save("blueprints/net.json")
    assert lab.Blueprint.from_json(path.read_text()) == editor.blueprint
    assert not editor._parts.keys.unsaved
    editor.set("correction", layers=2)
    editor.save("blueprints/net.json")  # our own
    path.write_text("mine now")
    editor._parts._name.value = "blueprints/net.json"
    editor._parts._save.param.trigger("clicks")
    assert "stands there already" in state(editor)[2]
    assert path.read_text() == "mine now"
    assert editor._parts._overwrite.visible
    editor._parts._overwrite.param.trigger("clicks")
    assert lab.Blueprint.from_json(path.read_text()) == editor.blueprint
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../net.json", "inside the workspace"),
        ("/etc/net.json", "inside the workspace"),
        ("", "inside the workspace"),
        ("net.txt", "ends in .json"),
    ],
)
def test_a_bad_file_name_is_refused(editor, name, words):
    with pytest.raises(ValueError, match=words):
        editor.save(name)
    assert words in state(editor)[2]


def test_an_unfinished_drawing_is_not_saved_as_a_blueprint(editor, tmp_path):
    editor.remove("contrast")
    with pytest.raises(ValueError, match="expected a wire"):
        editor.save("net.json")
    assert not (tmp_path / "net.json").exists()


def _broken(kind: str) -> bytes:
    data = lab.Blueprint.unet(layers=2, base_filters=4).to_dict()
    if kind == "unknown block":
        data["nodes"][0]["block"] = "local_contrest"
    if kind == "bad setting":
        data["nodes"][1]["settings"]["layers"] = 0
    if kind == "newer":
        data["schema"] = 999
    if kind == "no blueprint":
        data = {"a": 1}
    text = json.dumps(data)
    return {"half": text[:100].encode(), "bytes": b"\xff\xfe\x00", "list": b"[]"}.get(kind, text.encode())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("half", "fault in line"),
        ("bytes", "UTF-8"),
        ("list", "expected an object"),
        ("unknown block", "did you mean 'local_contrast'"),
        ("bad setting", "at least 1"),
        ("newer", "schema|version"),
        ("no blueprint", "unknown key|schema"),
    ],
)
def test_a_broken_file_is_told_and_changes_nothing(editor, tmp_path, kind, words):
    before = editor.draft
    (tmp_path / "net.json").write_bytes(_broken(kind))
    with pytest.raises((ValueError, TypeError), match=words):
        editor.load("net.json")
    assert editor.draft == before
    assert state(editor)[1] == "Not done"
    editor._parts.open_field.field.value = "net.json"  # on the page it is told, and goes no further
    assert editor.draft == before


def test_a_page_opens_what_its_address_names_or_says_why_not(editor, tmp_path):
    editor.save("nets/net.json")
    page = blueprint_editor.app("nets/net.json", workspace_folder=tmp_path)
    assert "3821 parameters" in page.main[-1][0].object.replace("&#32;", " ")
    for bad in ("gone.json", "../x.json"):
        page = blueprint_editor.app(bad, workspace_folder=tmp_path)
        assert page.main[-1][0].severity == "error"


def test_an_address_with_nonsense_is_said(editor):
    editor.refuse({"image_side": "soup"})
    assert "image&#95;side=soup" in state(editor)[2]


def test_training_makes_a_run_and_starts_a_worker(editor, new_run, tmp_path, monkeypatch):
    shutil.copytree(new_run / "dataset.zarr", tmp_path / "sets" / "fog.zarr")
    started = []
    monkeypatch.setattr("widgets.run_watcher.start_worker", started.append)
    run = editor.train("sets/fog.zarr", "runs/drawn", epochs=2)
    assert started == [run.path]
    assert lab.Run.open(tmp_path / "runs" / "drawn").blueprint == editor.blueprint
    assert run.config.epochs == 2
    assert editor.training._link.object == blueprint_training.monitor_link("runs/drawn")
    with pytest.raises(FileExistsError):
        editor.train("sets/fog.zarr", "runs/drawn")
    with pytest.raises((ValueError, OSError)):
        editor.train("sets/none.zarr", "runs/other")
    with pytest.raises(ValueError, match="expected one of the list"):
        editor.train("", "runs/other")
    with pytest.raises(ValueError, match="inside the workspace"):
        editor.train("sets/fog.zarr", "../runs")
    editor.remove("contrast")
    with pytest.raises(ValueError, match="expected a wire"):
        editor.train("sets/fog.zarr", "runs/other")
