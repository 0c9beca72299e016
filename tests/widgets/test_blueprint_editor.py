from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pytest
from bokeh.models import Plot

import polaris_lab as lab
from polaris_lab.models import preset_names
from polaris_lab.models.draft import Draft
from polaris_lab.models.presets.registry import tiny_settings
from widgets import BlueprintEditor, blueprint_editor
from widgets.blueprint import training as blueprint_training
from widgets.blueprint import words as blueprint_words
from widgets.blueprint.canvas import ACROSS, layered
from widgets.blueprint.figures import as_tiles


@pytest.fixture
def editor(tmp_path):
    return BlueprintEditor(lab.Blueprint.unet(layers=2, base_filters=4), workspace_folder=tmp_path)


def state(editor) -> tuple[str, str, str]:
    alert = editor._parts._state
    return alert.severity, alert.title, alert.object


def send(editor, **message) -> None:
    """Do what a browser does: change the drawing, and tell the server."""
    editor.canvas.flow._handle_msg(message)


def shown(editor) -> dict:
    return {node["id"]: node for node in editor.canvas.flow.nodes}


def wires(editor) -> list[tuple[str, str, str]]:
    return [(e["source"], e["target"], e["targetHandle"]) for e in editor.canvas.flow.edges]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_opens_lies_in_columns_and_comes_back_the_same(editor, name):
    settings = tiny_settings(name)
    editor.preset(name, **settings)
    assert editor.blueprint == lab.Blueprint.preset(name, **settings)
    places = {node["id"]: (node["position"]["x"], node["position"]["y"]) for node in editor.canvas.flow.nodes}
    assert len(set(places.values())) == len(editor.draft.names)
    assert all(places[source][0] < places[target][0] for source, target, _port in editor.draft.wires)
    assert wires(editor) == editor.draft.wires
    path = editor.save("net.json")
    editor.preset("just_kan")
    editor.load("net.json")
    assert editor.blueprint == lab.Blueprint.from_json(path.read_text())
    assert editor.blueprint == lab.Blueprint.preset(name, **settings)


def test_nodes_of_a_column_do_not_lie_over_each_other():
    places = layered(Draft.of(lab.Blueprint.preset("multi_input")))
    columns: dict[float, list[float]] = {}
    for x, y in places.values():
        columns.setdefault(x, []).append(y)
    assert sorted(columns) == [k * ACROSS for k in range(len(columns))]
    assert all(np.diff(sorted(rows)).min() >= 100 for rows in columns.values() if len(rows) > 1)


def test_shape_and_parameters_stand_on_each_node_and_follow(editor):
    label = shown(editor)["correction"]["label"]
    assert label.splitlines() == ["correction", "unet", "1 × 64 × 64", "3821 parameters"]
    editor.set("correction", base_filters=8)
    assert "14.8 k parameters" in shown(editor)["correction"]["label"]
    editor.image_side = 32
    assert "1 × 32 × 32" in shown(editor)["correction"]["label"]
    assert "14.8 k parameters" in state(editor)[2]


def test_a_network_drawn_by_mouse_is_the_one_drawn_by_methods(editor, tmp_path):
    by_methods = BlueprintEditor(workspace_folder=tmp_path)
    node = by_methods.add("power_law")
    by_methods.connect("column_density", node)
    by_methods.answer(node, "mass_weighted_density")
    editor.open(Draft(inputs=("column_density",)))
    editor._parts.palette.narrow("power_law")
    item = editor._parts.palette._list.items[0]["items"]
    editor._parts.palette._click(next(entry for entry in item if entry["label"] == "power_law"))
    edge = {"id": "x", "source": "column_density", "target": "power_law", "sourceHandle": "out"}
    send(editor, type="edge_added", edge={**edge, "targetHandle": "column_density"})
    assert editor.node == "power_law"
    editor._parts._output.param.trigger("clicks")
    assert editor.blueprint == by_methods.blueprint
    assert state(editor)[0] == "success"


def test_what_is_dropped_lies_where_it_was_dropped(editor):
    editor._parts.palette.narrow("double_convolution")
    send(editor, type="drop", drop_type="x", data={"path": [0, 0], "label": "?"}, position={"x": 7, "y": 9})
    assert shown(editor)["double_convolution"]["position"] == {"x": 7, "y": 9}
    send(editor, type="drop", drop_type="x", data={"path": [5, 99]}, position={"x": 7, "y": 9})
    send(editor, type="drop", drop_type="x", data="soup", position={"x": 7, "y": 9})
    assert "Not done" not in state(editor)[1]


def test_the_palette_holds_every_block_preset_and_input(editor):
    palette = editor._parts.palette
    keys = {item["key"] for head in palette._list.items for item in head["items"]}
    assert {f"preset:{name}" for name in preset_names()} <= keys
    assert {f"block:{name}" for name in lab.models.block_names()} <= keys
    assert "input:ppv_cube" in keys
    palette.narrow("kan_u")
    assert [item["label"] for head in palette._list.items for item in head["items"]] == ["kan_unet"]
    palette.narrow("no such thing")
    assert "Nothing of this name" in palette._list.items[0]["label"]


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (("mass_weighted_density", "contrast", "x"), "a cycle"),
        (("contrast", "correction", "x"), "there already"),
        (("baseline", "correction", "x"), "remove that wire first"),
        (("contrast", "nowhere", "x"), "unknown node"),
        (("contrast", "wide", "x"), "set in_channels=1"),
    ],
)
def test_a_bad_wire_is_refused_at_the_pointer_on_the_page_and_in_python(editor, wire, words):
    editor.add("convolution", name="wide", in_channels=2)
    before = editor.draft
    assert words in editor.reason_against(*wire)
    with pytest.raises(ValueError, match=words):
        editor.connect(*wire)
    assert (state(editor)[0], state(editor)[1]) == ("error", "Not done")
    assert words in state(editor)[2].replace("&#95;", "_")
    edge = {"id": "new", "source": wire[0], "target": wire[1], "sourceHandle": "out", "targetHandle": wire[2]}
    sent = editor.canvas.flow.edges[0]["data"]
    send(editor, type="edge_added", edge=edge)  # a browser that drew it all the same
    assert editor.draft == before
    assert wires(editor) == before.wires
    assert editor.canvas.flow.edges[0]["data"] != sent  # told anew, as its own drawing differs


def test_the_browser_is_told_the_reason_for_each_port(editor):
    told = []
    editor.canvas.flow._send_msg = told.append
    ask = {"type": "connection_validation_requested", "request_id": 1, "node_id": "mass_weighted_density"}
    send(editor, **ask, handle_id="out", handle_type="source")
    reasons = {(r["node_id"], r["handle_id"]): r["reason"] for r in told[0]["results"]}
    assert "cycle" in reasons["correction", "x"]
    editor.add("offset")
    send(editor, **ask, handle_id="out", handle_type="source")
    assert {(r["node_id"], r["handle_id"]): r["reason"] for r in told[-1]["results"]}["offset", "x"] is None


def test_deleting_in_the_drawing_is_one_step(editor):
    send(editor, type="node_deleted", node_ids=["contrast", "baseline"])
    assert "contrast" not in editor.draft.names
    assert editor.draft.node("correction").missing == ["x"]
    editor.undo()
    assert editor.blueprint == lab.Blueprint.unet(layers=2, base_filters=4)
    edge = next(e["id"] for e in editor.canvas.flow.edges if e["target"] == "correction")
    send(editor, type="edge_deleted", edge_ids=[edge])
    assert editor.draft.node("correction").missing == ["x"]
    assert state(editor)[1] == "Not finished"
    assert "needs a wire at x" in shown(editor)["correction"]["label"]


def test_undo_and_redo_by_methods_buttons_and_keys(editor):
    first = editor.draft
    assert editor._parts._undo.disabled
    with pytest.raises(ValueError, match="nothing to undo"):
        editor.undo()
    editor.set("correction", layers=3)
    editor.rename("contrast", "relief")
    last = editor.draft
    editor.undo()
    editor._parts.keys._handle_msg("undo")
    assert editor.draft == first
    editor._parts.keys._handle_msg("redo")
    editor._parts._redo.param.trigger("clicks")
    assert editor.draft == last
    assert editor._parts._redo.disabled
    editor.undo()
    editor.add("offset")  # another way on: what was undone is forgotten
    with pytest.raises(ValueError, match="nothing to redo"):
        editor.redo()


def test_a_move_is_kept_and_arrange_can_be_undone(editor):
    send(editor, type="node_moved", node_id="contrast", position={"x": 5.0, "y": 6.0})
    editor.set("correction", layers=3)
    assert shown(editor)["contrast"]["position"] == {"x": 5.0, "y": 6.0}
    editor.layout()
    assert shown(editor)["contrast"]["position"]["x"] == ACROSS
    editor.undo()
    assert shown(editor)["contrast"]["position"] == {"x": 5.0, "y": 6.0}


def test_the_form_has_a_field_for_every_setting(editor):
    editor.node = "correction"
    fields = editor._parts.form.fields
    assert set(fields) == set(editor.draft.node("correction").settings)
    fields["base_filters"].value = 8
    assert editor.draft.node("correction").settings["base_filters"] == 8
    editor.undo()
    assert fields["base_filters"].value == 4
    fields["attention"].value = False
    assert editor.draft.node("correction").settings["attention"] is False
    editor._parts.form._name.value = "net"
    assert editor.draft.node("net")
    assert editor.node == "net"


@pytest.mark.parametrize(
    ("block", "setting", "typed", "value"),
    [
        ("pixel_kan", "widths", "4, 5", [4, 5]),
        ("kan_convolution", "form", "bottleneck", "bottleneck"),
        ("multi_unet", "branch_filters", "8", 8),
        ("column_closing_volume", "cell_size_pc", "0.25", 0.25),
        ("convolution", "kernel_size", 5, 5),
        ("local_contrast", "scale", 4.0, 4.0),
    ],
)
def test_a_typed_setting_is_taken(editor, block, setting, typed, value):
    name = editor.add(block)
    editor._parts.form.fields[setting].value = typed
    assert editor.draft.node(name).settings[setting] == value


@pytest.mark.parametrize(
    ("block", "setting", "typed", "words"),
    [
        ("pixel_kan", "widths", "four", "expected a list"),
        ("convolution", "kernel_size", 4, "odd"),
        ("unet", "layers", 0, "at least 1"),
        ("multi_unet", "merge", "soup", "soup"),
    ],
)
def test_an_invalid_setting_is_refused_and_the_field_goes_back(editor, block, setting, typed, words):
    name = editor.add(block)
    field, before = editor._parts.form.fields[setting], editor.draft
    old = field.value
    field.value = typed
    assert editor.draft == before
    assert field.value == old
    assert state(editor)[1] == "Not done"
    assert words in state(editor)[2]
    with pytest.raises((ValueError, TypeError), match=words):
        editor.set(name, **{setting: typed})


def test_everything_goes_by_keyboard(editor):
    form = editor._parts
    form._source.value = "contrast"
    editor.add("convolution", name="wide")
    form._source.value, form._target.value = "contrast", ("wide", "x")
    form._connect.param.trigger("clicks")
    assert ("contrast", "wide", "x") in editor.draft.wires
    form._wire.value = ("contrast", "wide", "x")
    form._cut.param.trigger("clicks")
    assert ("contrast", "wide", "x") not in editor.draft.wires
    form._choice.value = "column_density"
    assert editor.node == "column_density"
    form._choice.value = "wide"
    form._remove.param.trigger("clicks")
    assert "wide" not in editor.draft.names
    assert editor.node == ""


def test_a_chosen_node_is_marked_and_a_click_chooses(editor):
    send(editor, type="selection_changed", nodes=["baseline"], edges=[])
    assert editor.node == "baseline"
    assert "equivariant" in editor._parts.form._words.object
    editor.node = "contrast"
    assert [node["id"] for node in editor.canvas.flow.nodes if node.get("selected")] == ["contrast"]
    editor.node = "nowhere"
    assert editor.node == ""


def test_optional_inputs_and_further_outputs(editor):
    editor.add_input("integrated_intensity", optional=True)
    assert "may be missing" in shown(editor)["integrated_intensity"]["label"]
    editor._parts._optional.value = False
    assert editor.draft.optional_inputs == ()
    editor.remove("integrated_intensity")
    editor.answer("baseline", "max_density", extra=True)
    assert editor.blueprint.outputs == ("mass_weighted_density", "max_density")
    editor.no_answer("max_density")
    assert editor.draft.outputs == ("mass_weighted_density",)


@pytest.mark.parametrize("changed", [False, True])
def test_the_lines_of_python_give_what_is_seen(editor, changed):
    editor.preset("context_unet")
    if changed:
        editor.set("network", layers=3)
    assert (".preset(" in editor.code()) is not changed
    names: dict = {}
    *lines, last = editor.code().splitlines()
    exec("\n".join([*lines, f"again = {last}"]), names)
    assert names["again"].blueprint == editor.blueprint
    assert editor._parts._lines._pane.tags == [editor.code()]


def test_the_lines_of_an_unfinished_drawing_give_it_too(editor):
    editor.remove("contrast")
    assert "# not finished: node" in editor.code()
    names: dict = {}
    *lines, last = editor.code().splitlines()
    exec("\n".join([*lines, f"again = {last}"]), names)
    assert names["again"].draft == editor.draft


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


def test_two_editors_share_nothing(editor, tmp_path):
    other = BlueprintEditor(lab.Blueprint.unet(layers=2, base_filters=4), workspace_folder=tmp_path)
    other.remove("contrast")
    other.node = "baseline"
    assert "contrast" in shown(editor)
    assert editor.node == ""
    assert other.canvas.flow is not editor.canvas.flow


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


def test_the_inside_of_a_trained_run(trained_run, tmp_path):
    run = lab.Run.open(trained_run)
    editor = BlueprintEditor(run, workspace_folder=tmp_path)
    inside = editor.inside
    assert not inside._figures.visible
    editor.node = "correction"
    assert inside._figures.visible
    arrays = run.model().weights("correction")
    inside.array.value = key = "encoder.0.0.convolution.weight"
    drawn = inside.weights._source.data
    assert f"of {np.prod(arrays[key].shape[:2])} tiles" in inside.weights.figure.title.text
    assert np.array_equal(drawn["image"][0][:3, :3], arrays[key][0, 0])
    inside.part.value = "correction.encoder.1"
    dataset = run.dataset()
    import torch

    for patch in (0, 5):
        inside.patch.value = patch
        inside.part.value = "correction.encoder.1"
        image = torch.from_numpy(np.log10(dataset.read("column_density", [patch]))[:, None])
        expected = run.model().features({"column_density": image})["correction.encoder.1"][0].numpy()
        side = expected.shape[-1]
        assert np.allclose(inside.maps._source.data["image"][0][:side, :side], expected[0], atol=1e-4)
    inside.patch.value = 99
    assert "expected a number from 0 to 15" in inside._words.object
    inside.patch.value = 1
    editor.add("offset", name="extra")
    assert "has no node of this name" in inside._words.object.replace("&#95;", "_")
    editor.set("correction", base_filters=8)
    editor.node = "correction"
    assert "Changed since" in inside._words.object


def test_a_run_that_is_deleted_or_not_trained_is_said(trained_run, new_run, tmp_path):
    editor = BlueprintEditor(lab.Run.open(new_run), workspace_folder=tmp_path)
    assert editor.inside._words.title == "Nothing to see inside yet"
    editor = BlueprintEditor(lab.Run.open(trained_run), workspace_folder=tmp_path)
    editor.node = "correction"
    shutil.rmtree(trained_run)
    editor.inside.patch.value = 2
    assert editor.inside._words.title == "No feature maps"
    editor.set("correction", layers=3)  # the drawing lives on


def test_the_curve_that_a_kan_has_learned(new_run, tmp_path):
    dataset = lab.PatchDataset.open(new_run / "dataset.zarr")
    blueprint = lab.Blueprint.preset("just_kan", **tiny_settings("just_kan"))
    config = lab.TrainingConfig(epochs=1, batch_size=4, device="cpu")
    run = lab.Run.create(tmp_path / "kan", blueprint, dataset, config).train(progress=False)
    editor = BlueprintEditor(workspace_folder=tmp_path)
    editor.load("kan")
    node = next(n.name for n in blueprint.nodes if n.block == "pixel_kan")
    editor.node = node
    (pane,) = editor.inside._curve
    from polaris_lab.models.kan import learned_curve

    drawn = [r.data_source.data for r in pane.object.renderers if hasattr(r, "data_source")]
    expected = 10 ** learned_curve(run.model()).y
    assert any(np.allclose(data["density"], expected, rtol=1e-5) for data in drawn if "density" in data)
    editor.node = blueprint.nodes[0].name
    assert not len(editor.inside._curve)


def test_tiles_keep_the_last_two_axes():
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert np.array_equal(as_tiles(values)[5], values[1, 2])


def test_a_cell_of_a_notebook_holds_the_drawing_and_the_figures(editor):
    root = editor.__panel__().get_root()
    models = list(root.references())
    assert len([model for model in models if isinstance(model, Plot)]) == 2
    assert any(
        "ReactFlow" in type(model).__name__ or "reactflow" in str(getattr(model, "bundle", ""))
        for model in models
    )
    assert editor.controls in editor.__panel__()[0]


def test_something_else_than_a_blueprint_is_refused():
    with pytest.raises(TypeError, match="expected a Blueprint, a Draft or a Run"):
        BlueprintEditor("unet")


def test_words_of_an_empty_drawing_say_what_to_do():
    editor = BlueprintEditor()
    assert state(editor)[0] == "warning"
    assert "choose a node and make it the output" in state(editor)[2]
    assert blueprint_words.code(editor.draft).startswith("import polaris_lab as lab")


def test_a_change_costs_the_server_less_than_a_tenth_of_a_second(editor, capsys):
    """CPU time of changes that need no new block, on the preset with most nodes; the machine is shared: best of 3."""
    editor.preset("multi_input", **tiny_settings("multi_input"))

    def seconds(work) -> float:
        begin = time.process_time()
        work()
        return time.process_time() - begin

    spent = {}
    for name, work in {
        "undo": editor.undo, "redo": editor.redo, "arrange": editor.layout,
        "choose": lambda: setattr(editor, "node", "" if editor.node else editor.draft.nodes[0].name),
    }.items():  # fmt: skip
        times = []
        for _ in range(3):
            times.append(seconds(work))
            if name in ("undo", "redo"):
                getattr(editor, "redo" if name == "undo" else "undo")()
        if name == "undo":
            editor.undo()
        spent[name] = min(times)
    with capsys.disabled():
        print("\nblueprint editor, server CPU:", {name: f"{1e3 * s:.0f} ms" for name, s in spent.items()})
    assert max(spent.values()) < 0.3
