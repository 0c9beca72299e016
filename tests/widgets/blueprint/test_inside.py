"""What the editor shows of a trained network."""

from __future__ import annotations

import shutil

import numpy as np

import polaris_lab as lab
from polaris_lab.models.presets.registry import tiny_settings
from widgets import BlueprintEditor
from widgets.blueprint.figures import as_tiles


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
