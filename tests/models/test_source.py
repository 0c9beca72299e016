"""Blueprints as Python source: names, imports, optional inputs. Equality of answers: test_every_preset."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from polaris_lab.models import Blueprint, Node, build_model, register_block, registry, to_python


def network(blueprint: Blueprint) -> nn.Module:
    """The module that the source defines, with the weights of the model of seed 0."""
    scope: dict = {"__name__": "exported"}
    exec(to_python(blueprint), scope)
    made = scope["Network"]()
    made.load_state_dict(build_model(blueprint).state_dict())
    return made.eval()


def imported(source: str) -> set[str]:
    tree = ast.parse(source)
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }


def test_it_imports_torch_and_the_blocks_only():
    assert imported(Blueprint.unet(2, 4).to_python()) == {
        "torch",
        "polaris_lab.models.contrast",
        "polaris_lab.models.unet",
        "polaris_lab.models.reference",
    }


def test_names_that_python_keeps_for_itself(log_maps):
    nodes = (
        Node("lambda", "convolution", {}, ("column_density",)),
        Node("nn", "convolution", {}, ("lambda",)),
        Node("Convolution", "add", {}, ("nn", "lambda")),
        Node("self", "add", {}, ("Convolution", "column_density")),
    )
    blueprint = Blueprint(("column_density",), nodes, "self", name='a "quoted"\n\\ name """')
    expected = build_model(blueprint).eval()({"column_density": log_maps})
    assert torch.equal(network(blueprint)(log_maps), expected)


def test_a_title_executes_nothing(tmp_path):
    """Text from a file stays text."""
    nodes = (Node("n", "convolution", {}, ("column_density",)),)
    evil = f'"""\nopen({str(tmp_path / "x")!r}, "w")\n"""'
    network(Blueprint(("column_density",), nodes, "n", name=evil))
    assert not (tmp_path / "x").exists()


def test_optional_inputs_may_be_left_out(log_maps):
    nodes = (
        Node("seen", "standardize", {}, ("temperature",)),
        Node("n", "add", {}, ("column_density", "seen")),
    )
    blueprint = Blueprint(("column_density", "temperature"), nodes, "n", optional_inputs=("temperature",))
    made, model = network(blueprint), build_model(blueprint).eval()
    assert torch.equal(made(log_maps), model({"column_density": log_maps}))
    both = {"column_density": log_maps, "temperature": torch.ones_like(log_maps)}
    assert torch.equal(made(**both), model(both))


def test_a_block_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_BLOCKS", dict(registry._BLOCKS))

    @register_block("local")
    class Local(nn.Module):
        def forward(self, x):
            return x

    blueprint = Blueprint(("column_density",), (Node("n", "local", {}, ("column_density",)),), "n")
    with pytest.raises(
        ValueError, match=r"node 'n': expected a block that can be imported, got .*Local; move"
    ):
        blueprint.to_python()
