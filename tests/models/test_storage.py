"""One file, no pickle: what is saved comes back, what is foreign is refused."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from polaris_lab.models import Blueprint, build_model, load_model, save_model
from polaris_lab.models.storage import put_weights


@pytest.fixture
def model():
    return build_model(Blueprint.unet(2, 4))


def test_weights_of_another_blueprint_name_the_node(model):
    wider, deeper = build_model(Blueprint.unet(2, 8)), build_model(Blueprint.unet(3, 4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"w: node 'correction': expected the tensor 'nodes.correction.encoder.0.0.convolution.weight' of shape "
        r"\(4, 1, 3, 3\), got shape \(8, 1, 3, 3\): the weights belong to another blueprint; restore",
    ):
        put_weights(model, wider.state_dict(), where="w")
    with pytest.raises(
        ValueError, match=r"node 'correction': expected no tensor 'nodes\.correction\.encoder\.2"
    ):
        put_weights(model, {**deeper.state_dict(), **before}, where="w")
    with pytest.raises(ValueError, match=r"node 'contrast': expected the tensor .*, got none"):
        put_weights(model, {}, where="w")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a file of save_model, found none"):
        load_model(tmp_path / "none.safetensors")


class Boom:
    """What a pickle can do: run code on opening."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_pickles_are_not_opened(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Boom()))
    with pytest.raises(
        ValueError, match=r"expected weights in the safetensors format.*pickles .* are not opened"
    ):
        load_model(path)


def test_weights_without_a_blueprint(tmp_path, model):
    save_file(dict(model.state_dict()), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="expected a blueprint beside the weights, got none"):
        load_model(tmp_path / "w.safetensors")


def test_a_blueprint_of_a_newer_version(tmp_path, model):
    data = {**model.blueprint.to_dict(), "schema": 99}
    save_file(dict(model.state_dict()), tmp_path / "w.safetensors", {"blueprint": json.dumps(data)})
    with pytest.raises(
        ValueError, match="got 99, which a newer polaris-lab wrote; install the newest version"
    ):
        load_model(tmp_path / "w.safetensors")


def test_a_blueprint_that_names_code(tmp_path, model):
    """A block is looked up by name among the registered ones: a path into a module is no name."""
    data = model.blueprint.to_dict()
    data["nodes"][1]["block"] = "os.system"
    save_file(dict(model.state_dict()), tmp_path / "w.safetensors", {"blueprint": json.dumps(data)})
    with pytest.raises(ValueError, match=r"node 'correction': unknown block 'os\.system'"):
        load_model(tmp_path / "w.safetensors")


def test_a_cut_off_file(tmp_path, model):
    path = save_model(tmp_path / "m.safetensors", model)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match="expected weights in the safetensors format, got another or a damaged"
    ):
        load_model(path)
