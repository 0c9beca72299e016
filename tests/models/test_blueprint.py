"""Blueprints as data: round trips, fingerprints, and every way in which one can be wrong."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest

from polaris_lab import config
from polaris_lab.models import Blueprint, Node, check_shapes

UNET = {"layers": 2, "base_filters": 4}


@pytest.fixture
def data() -> dict:
    return Blueprint.unet(**UNET).to_dict()


def graph(*nodes: Node, output: str = "n") -> Blueprint:
    return Blueprint(inputs=("column_density",), nodes=nodes, output=output)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("scale_equivariant", [True, False])
def test_round_trip_is_exact(residual, scale_equivariant):
    blueprint = Blueprint.unet(**UNET, residual=residual, scale_equivariant=scale_equivariant)
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    assert Blueprint.from_dict(blueprint.to_dict()) == blueprint
    assert config.from_dict(Blueprint, config.to_dict(blueprint)) == blueprint
    assert Blueprint.from_json(blueprint.to_json()).to_json() == blueprint.to_json()


def test_copies_are_equal():
    blueprint = Blueprint.unet(**UNET)
    assert copy.deepcopy(blueprint) == pickle.loads(pickle.dumps(blueprint)) == blueprint
    assert len({blueprint, copy.deepcopy(blueprint)}) == 1


def test_fingerprint_changes_with_any_setting():
    choices = [{}, {"dropout": 0.1}, {"convolutions": 2}, {"reference_scale": 8.0}, {"output": "max_density"}]
    assert len({Blueprint.unet(**UNET, **choice).fingerprint for choice in choices}) == len(choices)


def test_fingerprint_knows_defaults():
    """Written out or left out, a default is the same network."""
    short = Node("n", "local_contrast", {}, ("column_density",))
    long = Node("n", "local_contrast", {"truncation": 2, "scale": 16}, ("column_density",))
    assert graph(short).fingerprint == graph(long).fingerprint


def test_nothing_can_be_changed():
    blueprint = Blueprint.unet(**UNET)
    with pytest.raises(dataclasses.FrozenInstanceError):
        blueprint.output = "max_density"
    with pytest.raises(TypeError, match="do not change; make a new Node"):
        blueprint.node("correction").settings["layers"] = 7
    with pytest.raises(TypeError, match="do not change"):
        blueprint.node("correction").settings.update(layers=7)


def test_settings_are_a_copy():
    settings = {"layers": 2, "base_filters": 4}
    node = Node("unet", "unet", settings, ("column_density",))
    settings["layers"] = 9
    assert node.settings["layers"] == 2


def test_node_by_name():
    blueprint = Blueprint.unet(**UNET)
    assert blueprint.node("baseline").block == "equivariant_power_law"
    with pytest.raises(ValueError, match="unknown node 'basline': did you mean 'baseline'"):
        blueprint.node("basline")


@pytest.mark.parametrize(
    ("path", "key", "value", "error", "message"),
    [
        ((), "imputs", [], ValueError, "blueprint: unknown key 'imputs': did you mean 'inputs'"),
        ((), "inputs", "column_density", TypeError, "blueprint.inputs: expected a list, got 'column_density'"),
        ((), "nodes", {"a": 1}, TypeError, "blueprint.nodes: expected a list"),
        ((), "output", 3, TypeError, "blueprint.output: expected str, got 3"),
        ((), "schema", None, ValueError, "blueprint: expected a schema version"),
        ((), "schema", 99, ValueError, "got 99, which a newer polaris-lab wrote; install"),
        (("nodes", 1), "bloc", "unet", ValueError, r"blueprint.nodes\[1\]: unknown key 'bloc': did you mean 'block'"),
        (("nodes", 1), "block", "u_net", ValueError, "node 'correction': unknown block 'u_net': did you mean 'unet'"),
        (("nodes", 1), "inputs", "contrast", TypeError, r"nodes\[1\].inputs: expected a list, got 'contrast'"),
        (("nodes", 1), "settings", [1], TypeError, r"nodes\[1\].settings: expected .*got \[1\]"),
        (("nodes", 1, "settings"), "lairs", 3, ValueError, "node 'correction': unknown key 'lairs': did you mean 'layers'"),
        (("nodes", 1, "settings"), "layers", "3", TypeError, "node 'correction'.layers: expected int, got '3'"),
        (("nodes", 1, "settings"), "layers", 2.0, TypeError, "node 'correction'.layers: expected int, got 2.0"),
        (("nodes", 1, "settings"), "layers", True, TypeError, "node 'correction'.layers: expected int, got True"),
        (("nodes", 1, "settings"), "attention", 1, TypeError, "node 'correction'.attention: expected bool, got 1"),
        (("nodes", 1, "settings"), "layers", 0, ValueError, "node 'correction': layers: expected .* at least 1, got 0"),
        (("nodes", 0, "settings"), "scale", -1, ValueError, "node 'contrast': scale: expected a positive number"),
    ],
)  # fmt: skip
def test_faults_in_json_are_named(data, path, key, value, error, message):
    place = data
    for step in path:
        place = place[step]
    place[key] = value
    with pytest.raises(error, match=message):
        Blueprint.from_json(json.dumps(data))


@pytest.mark.parametrize("key", ["inputs", "nodes", "output"])
def test_missing_key(data, key):
    del data[key]
    with pytest.raises(ValueError, match=f"blueprint: expected the key '{key}'"):
        Blueprint.from_dict(data)


def test_cut_off_json():
    with pytest.raises(ValueError, match="blueprint: expected JSON, got a fault in line"):
        Blueprint.from_json(Blueprint.unet(**UNET).to_json()[:-20])


def test_json_of_something_else():
    with pytest.raises(TypeError, match="blueprint: expected an object with named values, got list"):
        Blueprint.from_json("[]")


def test_dangling_input():
    with pytest.raises(
        ValueError, match="node 'n': nothing gives its input 'column_densty': did you mean 'column_density'"
    ):
        graph(Node("n", "standardize", {}, ("column_densty",)))


def test_node_before_its_input():
    with pytest.raises(
        ValueError,
        match=r"node 'n': its input 'z' comes later; expected one of \['column_density'\].*no cycles",
    ):
        graph(Node("n", "standardize", {}, ("z",)), Node("z", "standardize", {}, ("column_density",)))


def test_cycle():
    with pytest.raises(
        ValueError, match=r"node 'n': expected inputs out of .*got its own output.*a blueprint has no cycles"
    ):
        graph(Node("n", "add", {}, ("column_density", "n")))


@pytest.mark.parametrize("layers", ["4", 0])
def test_a_bad_setting_is_told_with_its_default(layers):
    with pytest.raises(
        (TypeError, ValueError), match=r"node 'n'.*layers: expected .*got .*; the default is 4$"
    ):
        Node("n", "unet", {"layers": layers}, ("column_density",))


def test_json_that_is_no_text():
    with pytest.raises(
        TypeError, match="blueprint: expected JSON text, got NoneType; give what to_json returned"
    ):
        Blueprint.from_json(None)


def test_name_used_twice():
    twice = Node("n", "standardize", {}, ("column_density",))
    with pytest.raises(ValueError, match="node 'n': expected a name of its own, got that of an earlier node"):
        graph(twice, twice)


def test_name_of_an_input():
    with pytest.raises(ValueError, match=r"node 'column_density': .*got that of an input"):
        graph(Node("column_density", "standardize", {}, ("column_density",)), output="column_density")


def test_no_output():
    with pytest.raises(ValueError, match=r"expected a node named like its output 'max_density', got \['n'\]"):
        graph(Node("n", "standardize", {}, ("column_density",)), output="max_density")


@pytest.mark.parametrize("inputs", [("column_density",), ("column_density",) * 3, ()])
def test_wrong_number_of_inputs(inputs):
    with pytest.raises(
        ValueError,
        match=rf"node 'n': add_residual takes 2 inputs \(baseline, correction\), got {len(inputs)}",
    ):
        Node("n", "add_residual", {}, inputs)


def test_too_few_inputs_of_a_sum():
    with pytest.raises(ValueError, match=r"node 'n': add takes 2 inputs or more \(first, second\), got 1"):
        Node("n", "add", {}, ("column_density",))


def test_no_inputs():
    with pytest.raises(ValueError, match="blueprint: expected at least one input, got none"):
        Blueprint((), (Node("n", "standardize", {}, ("column_density",)),), "n")


def test_bare_text_is_no_tuple():
    with pytest.raises(TypeError, match=r"inputs: expected a tuple of names, got 'unet'; write \('unet',\)"):
        Node("n", "standardize", {}, "unet")


@pytest.mark.parametrize("name", ["", "a b", 3])
def test_bad_node_name(name):
    with pytest.raises(ValueError, match="a node's name: expected letters, digits and underscores"):
        Node(name, "standardize", {}, ("column_density",))


def test_nodes_are_nodes():
    with pytest.raises(TypeError, match=r"expected nodes of type Node, got \{'name': 'n'\}"):
        Blueprint(("column_density",), ({"name": "n"},), "n")


def test_bad_label():
    with pytest.raises(TypeError, match="name of the blueprint: expected a text, got 3"):
        Blueprint(("column_density",), (Node("n", "standardize", {}, ("column_density",)),), "n", name=3)


def test_a_node_that_nothing_takes():
    nodes = (
        Node("unused", "standardize", {}, ("column_density",)),
        Node("n", "power_law", {}, ("column_density",)),
    )
    with pytest.raises(
        ValueError, match="node 'unused': expected something that takes what it gives, got nothing"
    ):
        graph(*nodes)


@pytest.mark.parametrize("name", ["type", "keys", "forward", "training", "pop"])
def test_a_name_of_pytorch_itself(name):
    with pytest.raises(
        ValueError, match=f"node '{name}': expected a name that PyTorch's .* call it {name}_1"
    ):
        Node(name, "standardize", {}, ("column_density",))


def test_an_unknown_preset():
    with pytest.raises(ValueError, match="preset: unknown name 'u_net': did you mean 'unet'"):
        Blueprint.preset("u_net")


def law(*inputs: str) -> Blueprint:
    return Blueprint(inputs, (Node("n", "power_law", {}, ("column_density",)),), "n")


def test_an_input_that_nothing_takes():
    """Data would be asked for that change nothing."""
    with pytest.raises(
        ValueError, match=r"input 'temperature': expected a node that takes it, got none of \['n'\]; name it"
    ):
        law("column_density", "temperature")
    values = law("column_density").to_dict()
    with pytest.raises(ValueError, match="input 'depth': expected a node that takes it"):
        Blueprint.from_dict({**values, "inputs": ["column_density", "depth"]})


def test_an_input_named_twice():
    with pytest.raises(ValueError, match=r"expected inputs that differ, got \['column_density', 'column"):
        law("column_density", "column_density")


@pytest.mark.parametrize("nodes", [None, "n", 3])
def test_nodes_that_are_no_sequence(nodes):
    with pytest.raises(TypeError, match="blueprint: expected nodes as a tuple of Node, got"):
        Blueprint(("column_density",), nodes, "n")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("[" * 100_000, "brackets too deep"),
        (b"\x80\x81", "bytes that are no text"),
        ('{"schema": 1', "a fault in line 1"),
    ],
)
def test_json_that_is_none(text, got):
    with pytest.raises(
        ValueError, match=f"blueprint: expected JSON, got {got}.*; give what to_json returned"
    ):
        Blueprint.from_json(text)


@pytest.mark.parametrize("block", [["unet"], {}, 3, None])
def test_a_block_that_is_no_name(block):
    with pytest.raises(ValueError, match="node 'n': unknown block"):
        Node("n", block, {}, ("column_density",))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_hold(value):
    with pytest.raises(ValueError, match=r"node 'n'\.scale: expected finite numbers, got (nan|inf); JSON"):
        Node("n", "local_contrast", {"scale": value}, ("column_density",))


def test_more_weights_than_can_be_counted():
    with pytest.raises(ValueError, match=r"node 'n': .*overflow"):
        Node("n", "unet", {"base_filters": 10**9}, ("column_density",))


@pytest.mark.parametrize("size", [(0, 5), 64, "64", (64.0, 64), (True, 3)])
def test_a_size_that_is_none(size):
    with pytest.raises(ValueError, match=r"size: expected whole numbers of pixels such as \(64, 64\)"):
        check_shapes(Blueprint.unet(2, 4), size)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"inputs": 3}, TypeError, "unet: expected inputs such as .* got 3"),
        ({"inputs": ("column_density",) * 2}, ValueError, "unet: expected inputs that differ"),
        ({"outputs": ("max_density",) * 2}, ValueError, "outputs: expected names that differ"),
    ],
)
def test_names_of_a_preset_that_are_none(settings, error, message):
    with pytest.raises(error, match=message):
        Blueprint.unet(2, 4, **settings)
