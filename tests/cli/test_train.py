"""`polaris-lab train` from a file and again, `evaluate`."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import types

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.cli import main
from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset and a file of choices beside it, as a user would have them."""
    folder = tmp_path_factory.mktemp("choices")
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(8, 16, 16)))
    PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 6 + ["validation"] * 2,
        path=folder / "data.zarr",
    )
    return folder


CHOICES = {
    "preset": {"name": "unet", "layers": 1, "base_filters": 4, "attention": False, "reference_scale": 2.0, "dropout": 0.1},
    "dataset": "data.zarr",
    "training": {"epochs": 2, "batch_size": 3, "device": "cpu", "seed": 5},
    "output": "runs/first",
    "validate": True,
}  # fmt: skip


def choices(folder, name="config.json", **changes):
    data = {key: value for key, value in {**CHOICES, **changes}.items() if value is not None}
    path = folder / name
    path.write_text(json.dumps(data))
    return str(path)


@pytest.fixture(scope="module")
def first(folder) -> Run:
    assert main(["train", choices(folder), "--quiet"]) == 0
    return Run.open(folder / "runs" / "first")


def test_a_file_makes_trains_and_validates_a_run(first, folder, capsys):
    assert first.state == "finished"
    assert first.config.epochs == 2
    assert first.blueprint.name == "U-Net 4 x 1"
    assert first.validation()["epoch"] == first.best.epoch
    assert main(["train", choices(folder), "--quiet", "--json"]) == 0  # again: nothing is left to do
    answer = json.loads(capsys.readouterr().out)
    assert answer["state"] == "finished"
    assert answer["validation_loss"] == first.best.validation_loss
    assert answer["slips"] == []


def test_a_repetition_gives_the_same_metrics_to_the_last_digit(first, capsys):
    assert main(["train", "--repeat", str(first.path), "--quiet", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["same"] is True
    second = Run.open(first.path.with_name("first_repeated"))
    assert answer["run"] == str(second.path)
    assert second.validation()["metrics"] == first.validation()["metrics"]
    assert [r.training_loss for r in second.history()] == [r.training_loss for r in first.history()]
    assert main(["train", "--repeat", str(first.path), "--quiet"]) == 0  # it is there already
    assert "to the last digit" in capsys.readouterr().out


def test_a_difference_is_named_and_fails(first, folder, capsys):
    changed = folder / "changed"
    shutil.copytree(first.path, changed, dirs_exist_ok=True)
    lines = (changed / "history.jsonl").read_text().replace('"validation_loss": 0.', '"validation_loss": 1.')
    (changed / "history.jsonl").write_text(lines)
    assert main(["train", "--repeat", str(changed), "--output", str(first.path), "--quiet"]) == 1
    assert "validation_loss of epoch 0 is 0." in capsys.readouterr().out


def test_a_blueprint_and_weights_to_start_from(first, folder):
    written = json.loads(first.blueprint.to_json())
    path = choices(
        folder, "second.json", preset=None, blueprint=written, start_from="runs/first", output="runs/second"
    )
    assert main(["train", path, "--quiet"]) == 0
    second = Run.open(folder / "runs" / "second")
    assert second.description.start_from["fingerprint"] == first.fingerprint
    assert main(["train", path, "--quiet"]) == 0


def test_slips_are_printed(folder, capsys):
    path = choices(folder, "slip.json", training={**CHOICES["training"], "step": "epoch"}, output="runs/slip")
    assert main(["train", path, "--quiet", "--tensorboard", str(folder / "board")]) == 0
    assert 'reproduces a slip of the report\'s code: step="epoch"' in capsys.readouterr().out
    assert list((folder / "board" / "slip").glob("events*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datset": "x"}, "unknown key 'datset': did you mean 'dataset'"),
        ({"training": {"epoch": 3}}, "config.json.training: unknown key 'epoch': did you mean 'epochs'"),
        ({"training": {"learning_rate": 0}}, "learning_rate: expected a number above 0"),
        ({"training": {"epochs": "many"}}, "training.epochs: expected int, got 'many'"),
        ({"training": {"batch_size": 7}}, "batch_size: expected at most the 6 training patches"),
        ({"training": {"loss": "mze"}}, "did you mean 'mse'"),
        ({"preset": {"name": "unnet"}}, "preset: .*did you mean 'unet'"),
        ({"preset": {"name": "unet", "layer": 3}}, "preset: .*did you mean 'layers'"),
        ({"preset": {"layers": 3}}, "preset: expected the key 'name'"),
        ({"preset": None}, "one of the keys 'blueprint' and 'preset', got neither"),
        ({"blueprint": {}}, "one of the keys 'blueprint' and 'preset', got both"),
        ({"output": None}, "expected the key 'output'"),
        ({"dataset": "nowhere.zarr"}, "nowhere.zarr: expected a dataset, got nothing there"),
        ({"start_from": "runs/none"}, "none: expected the folder of a run"),
        ({"output": "data.zarr"}, "not a run; choose another"),
    ],
)
def test_a_wrong_file_is_refused_by_the_key(folder, capsys, changes, message):
    status = main(["train", choices(folder, **{"output": "runs/wrong", **changes}), "--quiet"])
    _, err = capsys.readouterr()
    assert status == 1
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert not (folder / "runs" / "wrong").exists()


def test_other_choices_do_not_go_on_in_a_run(first, folder, capsys):
    path = choices(folder, training={**CHOICES["training"], "seed": 6})
    assert main(["train", path, "--quiet"]) == 1
    assert "got a run of other choices" in capsys.readouterr().err
    assert main(["train", path, "--quiet", "--output", str(folder / "runs" / "sixth")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "got none of them"),
        (["a", "--repeat", "b"], "got two of them"),
        (["--repeat", "nowhere"], "nothing there"),
    ],
)
def test_what_to_train_must_be_said_once(words, message, capsys):
    assert main(["train", *words]) == 1
    assert message in capsys.readouterr().err


def test_a_run_folder_is_trained_where_it_is(folder, first, capsys):
    assert main(["train", str(first.path), "--output", "x"]) == 1
    assert "trained where it is" in capsys.readouterr().err
    assert main(["train", str(first.path), "--quiet"]) == 0
    assert "is finished after 2 epochs" in capsys.readouterr().out


class Stub:
    """Stands for the result of `evaluate`, which has its own tests."""

    def __init__(self, run, dataset, split):
        self.what = (run, dataset, split)

    def to_dict(self):
        return {"rmse_dex": 0.1}

    def __str__(self):
        return f"rmse 0.1 dex on {len(self.what[1])} patches, {self.what[2]}"


def test_evaluate_judges_its_own_or_another_dataset(first, folder, capsys, monkeypatch):
    stub = types.ModuleType("polaris_lab.training.evaluation")
    stub.evaluate = lambda run, dataset, split: Stub(run, dataset, split)
    monkeypatch.setitem(sys.modules, "polaris_lab.training.evaluation", stub)
    assert main(["evaluate", str(first.path)]) == 0
    assert capsys.readouterr().out == "rmse 0.1 dex on 8 patches, validation\n"
    PatchDataset.from_arrays(
        {"column_density": np.full((3, 16, 16), 1e21)},
        {"mass_weighted_density": np.full((3, 16, 16), 1e3)},
        pixel_size=0.1 * u.pc,
        split=["training", "training", "validation"],
        path=folder / "coarse.zarr",
    )
    assert (
        main(["evaluate", str(first.path), str(folder / "coarse.zarr"), "--split", "training", "--json"]) == 0
    )
    out, err = capsys.readouterr()
    assert json.loads(out)["rmse_dex"] == 0.1
    assert "trained on pixels of 0.05 pc, this dataset has pixels of 0.1 pc" in err
    assert main(["evaluate", str(folder / "nowhere")]) == 1


def test_the_help_shows_a_file_that_works(folder, first, capsys):
    import polaris_lab.cli.train as command

    text = command.__doc__.split("is JSON:")[1].split("In place of")[0]
    data = json.loads(text)
    assert set(data) <= {field.name for field in dataclasses.fields(command.TrainingFile)}
    settings = dict(data["preset"])
    assert Blueprint.preset(settings.pop("name"), **settings) is not None


RECIPE = {
    "schema": 1,
    "name": "tiny",
    "description": "a recipe of seconds",
    "clouds": {"seed": 5, "groups": [{"kind": "copula", "size": 16, "training": 2, "validation": 1}]},
    "patches": {"seed": 1, "size": 16, "training": 12, "validation": 8},
    "preset": {
        "name": "context_unet", "inputs": ["column_density", "pixel_size", "depth", "beam_fwhm"], "layers": 1,
        "base_filters": 2, "attention": False, "head": "gaussian",
    },
    "training": {"epochs": 1, "batch_size": 4, "input_dropout": 0.5, "device": "cpu"},
}  # fmt: skip


def test_a_recipe_makes_a_run_that_predicts_and_goes_on_where_it_was(tmp_path, capsys):
    from polaris_lab.observations.training_set import kept_features
    from polaris_lab.training.recipes import load_recipe
    from polaris_lab.training.recipes.gas import make_faces

    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(RECIPE))
    make_faces(
        load_recipe(path).clouds, tmp_path / "work" / "clouds", workers=1
    )  # as if it had been killed then
    words = ["train", "--recipe", str(path), "--output", str(tmp_path / "work"), "--quiet", "--json"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    run = Run.open(answer["run"])
    assert run.path == tmp_path / "work" / "tiny"
    assert answer["state"] == run.state == "finished"
    assert kept_features(run)["patch_size"] == 16
    weights = (run.path / "best.safetensors").read_bytes()
    assert main(words) == 0  # nothing is left to do
    assert (run.path / "best.safetensors").read_bytes() == weights


def test_a_recipe_takes_no_other_choices(folder, capsys):
    assert main(["train", choices(folder), "--recipe", "default"]) != 0
    assert "--recipe" in capsys.readouterr().err
    assert main(["train", "--recipe", "nothing"]) != 0
    assert "unknown name 'nothing'" in capsys.readouterr().err
