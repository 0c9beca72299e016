"""Feature maps, weights and operations of nodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.inspect import node_flops


@pytest.fixture
def model():
    return build_model(Blueprint.unet(layers=2, base_filters=4))


def test_features_of_nodes_and_levels(model, log_maps):
    maps = model.features({"column_density": log_maps})
    shapes = {name: tuple(value.shape[1:]) for name, value in maps.items()}
    assert shapes["contrast"] == (1, 48, 48)
    assert shapes["correction.encoder.0"] == (4, 48, 48)
    assert shapes["correction.encoder.1"] == (8, 24, 24)
    assert shapes["correction.bottleneck"] == (16, 12, 12)
    assert shapes["correction.gates.1"] == (8, 24, 24)
    assert shapes["correction.decoder.0"] == (4, 48, 48)
    with torch.no_grad():
        expected = model.eval()({"column_density": log_maps})
    assert torch.equal(maps["mass_weighted_density"], expected)


def test_features_leave_no_trace(model, log_maps):
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.features({"column_density": log_maps})
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_features_are_removed_after_an_error_too(model):
    with pytest.raises(ValueError, match="column_density"):
        model.features({})
    assert not any(module._forward_hooks for module in model.modules())


def test_weights_are_named_copies(model):
    arrays = model.weights("correction")
    kernel = arrays["encoder.0.0.convolution.weight"]
    assert kernel.shape == (4, 1, 3, 3)
    kernel[...] = np.nan
    assert np.isfinite(model.weights("correction")["encoder.0.0.convolution.weight"]).all()
    assert model.weights("mass_weighted_density") == {"scale": 1.0}


def test_weights_of_an_unknown_node(model):
    with pytest.raises(ValueError, match="weights: unknown node 'corection': did you mean 'correction'"):
        model.weights("corection")


def test_flops_are_those_of_the_report():
    """1.18 and 24.6 GFLOP an image of 128^2 (performance.md), counted without computing."""
    for filters, layers, expected in ((16, 3, 1.18), (64, 4, 24.6)):
        flops = node_flops(Blueprint.unet(layers, filters, convolutions=2), (128, 128))
        assert flops["correction"] / 1e9 == pytest.approx(expected, rel=0.01)
        assert flops["mass_weighted_density"] == 0


def test_a_convolution_by_hand():
    """2 operations for each of 9 kernel pixels, 1 input and 1 output channel, at each of 8 x 8 pixels."""
    from polaris_lab.models import Node

    nodes = (Node("n", "convolution", {}, ("column_density",)),)
    assert node_flops(Blueprint(("column_density",), nodes, "n"), (8, 8)) == {"n": 2 * 9 * 64}
