"""The files of a run: faulty, damaged, foreign or old ones."""

import json
import pickle
import shutil

import pytest
import torch

from polaris_lab.models import Blueprint
from polaris_lab.training import Run
from polaris_lab.training.folder import read_history


def change_json(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def copy_of(run: Run, path) -> Run:
    return Run.open(shutil.copytree(run.path, path))


def test_unknown_keys_are_named(run):
    change_json(run.path / "run.json", lambda data: data["training"].update(epoch=3))
    with pytest.raises(ValueError, match=r"run\.json\.training: unknown key 'epoch': did you mean 'epochs'"):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(blueprnt={}), "unknown key 'blueprnt': did you mean 'blueprint'"),
        (lambda data: data["blueprint"].update(nods=[]), "unknown key 'nods': did you mean 'nodes'"),
        (lambda data: data["blueprint"]["nodes"][1]["settings"].update(layer=3), "did you mean 'layers'"),
        (lambda data: data["dataset"].pop("fingerprint"), "expected the key 'fingerprint'"),
        (lambda data: data["training"].update(optimizer="adma"), "did you mean 'adam'"),
        (lambda data: data.update(schema=99), "newer polaris-lab"),
        (lambda data: data.pop("schema"), "expected a schema version"),
    ],
)
def test_a_faulty_description_is_refused(run, change, message):
    change_json(run.path / "run.json", change)
    with pytest.raises(ValueError, match=message):
        Run.open(run.path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing there.*Run\.create"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"without run\.json"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 1,')
    with pytest.raises(ValueError, match="fault in line 1"):
        Run.open(tmp_path)


def test_weights_of_another_blueprint_are_refused(trained, tmp_path):
    run = copy_of(trained, tmp_path / "wide")
    wider = Blueprint.unet(layers=2, base_filters=8, attention=False, reference_scale=2.0, dropout=0.05)
    change_json(run.path / "run.json", lambda data: data.update(blueprint=wider.to_dict()))
    with pytest.raises(
        ValueError,
        match=r"best\.safetensors: node 'correction': expected the tensor '.*' of shape \(8, .*got shape \(4, .*belong to another blueprint",
    ):
        Run.open(run.path).model()
    deeper = Blueprint.unet(layers=3, base_filters=4, attention=False, reference_scale=2.0, dropout=0.05)
    change_json(run.path / "run.json", lambda data: data.update(blueprint=deeper.to_dict()))
    with pytest.raises(ValueError, match=r"expected the tensor"):
        Run.open(run.path).model()


def test_weights_of_a_blueprint_with_equal_tensors_are_refused(trained, run, tmp_path):
    """Another scale of the reference changes what the network computes, and no tensor."""

    def change(data):
        for node in data["blueprint"]["nodes"]:
            if "scale" in node["settings"]:
                node["settings"]["scale"] *= 2

    finished = copy_of(trained, tmp_path / "other")
    change_json(finished.path / "run.json", change)
    with pytest.raises(
        ValueError, match=r"best\.safetensors: expected weights of the blueprint with fingerp"
    ):
        Run.open(finished.path).model()
    next(loop := run.epochs())
    loop.close()
    change_json(run.path / "run.json", change)
    with pytest.raises(ValueError, match=r"last\.ckpt: expected weights of the blueprint with fingerprint"):
        Run.open(run.path).train(progress=False)


def test_weights_beyond_the_blueprint_are_refused(trained, tmp_path):
    run = copy_of(trained, tmp_path / "run")
    law = Blueprint.from_dict(
        {**run.blueprint.to_dict(), "nodes": [
            {"name": "mass_weighted_density", "block": "power_law", "settings": {}, "inputs": ["column_density"]}
        ]}
    )  # fmt: skip
    change_json(run.path / "run.json", lambda data: data.update(blueprint=law.to_dict()))
    with pytest.raises(ValueError, match=r"tensor '.*'"):
        Run.open(run.path).model()


def test_damaged_files_are_named(trained, tmp_path):
    run = copy_of(trained, tmp_path / "run")
    weights, checkpoint = run.path / "best.safetensors", run.path / "last.ckpt"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"best\.safetensors: expected weights in the safetensors format"):
        run.model()
    weights.write_bytes(whole)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"last\.ckpt: expected a checkpoint, got a damaged file"):
        next(run.epochs())
    checkpoint.unlink()
    with pytest.raises(FileNotFoundError, match=r"can be used but not trained further"):
        next(run.epochs())
    assert run.model() is not None


class Trap:
    """Executes code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_checkpoint_is_never_unpickled(run, tmp_path):
    (run.path / "last.ckpt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        next(run.epochs())
    torch.save({"model": Trap(tmp_path / "sprung")}, run.path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        next(run.epochs())
    assert not (tmp_path / "sprung").exists()


def test_a_run_without_a_finished_epoch_has_no_model(run):
    with pytest.raises(ValueError, match=r"got one that is new; train it first"):
        run.model()
    with pytest.raises(FileNotFoundError, match=r"validate\(\) first"):
        run.validation()


def test_histories_without_errors_in_dex_are_completed_where_the_loss_tells_them(trained, tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(trained.path, folder)
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    older = [{key: value for key, value in line.items() if "rmse" not in key} for line in lines]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in older))
    read = read_history(folder)
    assert [record.training_rmse_dex for record in read] == pytest.approx(
        [line["training_rmse_dex"] for line in lines], rel=1e-6
    )
    assert [record.validation_rmse_dex for record in read] == pytest.approx(
        [line["validation_rmse_dex"] for line in lines], rel=1e-6
    )
    description = json.loads((folder / "run.json").read_text())
    description["training"]["loss"] = "huber"
    (folder / "run.json").write_text(json.dumps(description))
    assert {record.validation_rmse_dex for record in read_history(folder)} == {None}
