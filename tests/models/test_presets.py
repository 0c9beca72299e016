"""The U-Net's preset: which nodes stand for which choice, and what it refuses."""

from __future__ import annotations

import pytest

from polaris_lab.models import Blueprint, check_shapes, parameter_count


@pytest.mark.parametrize(
    ("choices", "blocks"),
    [
        ({}, ["local_contrast", "unet", "equivariant_power_law", "add_residual"]),
        ({"residual": False}, ["local_contrast", "unet", "offset", "add_residual"]),
        ({"scale_equivariant": False}, ["standardize", "unet", "power_law", "add_residual"]),
        ({"scale_equivariant": False, "residual": False}, ["standardize", "unet", "destandardize"]),
    ],
)
def test_blocks(choices, blocks):
    assert [node.block for node in Blueprint.unet(layers=2, base_filters=4, **choices).nodes] == blocks


@pytest.mark.parametrize("choices", [{}, {"residual": False}, {"scale_equivariant": False}])
def test_physics_blocks_train_nothing(choices):
    """The parameters are the U-Net's: the report's counts hold for each choice."""
    assert parameter_count(Blueprint.unet(layers=3, base_filters=16, convolutions=2, **choices)) == 488_930


def test_settings_reach_the_network():
    blueprint = Blueprint.unet(3, 8, False, convolutions=2, dropout=0.05, reference_scale=9)
    assert blueprint.node("correction").settings == {
        "in_channels": 1, "out_channels": 1, "layers": 3, "base_filters": 8,
        "attention": False, "convolutions": 2, "dropout": 0.05, "residual_blocks": False,
        "dimensions": 2, "pad": True,
    }  # fmt: skip
    assert blueprint.node("contrast").settings["scale"] == 9


@pytest.mark.parametrize("scale_equivariant", [True, False])
def test_more_inputs_are_more_channels(scale_equivariant):
    blueprint = Blueprint.unet(
        2, 4, inputs=("column_density", "temperature"), scale_equivariant=scale_equivariant
    )
    assert blueprint.inputs == ("column_density", "temperature")
    assert check_shapes(blueprint)["channels"] == (2, 64, 64)


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"layers": 0}, ValueError, "layers: expected a whole number of at least 1, got 0"),
        ({"layers": 2.5}, TypeError, "layers: expected int, got 2.5"),
        ({"base_filters": 0}, ValueError, "base_filters: expected a whole number of at least 1, got 0"),
        ({"attention": "yes"}, TypeError, "attention: expected bool, got 'yes'"),
        ({"convolutions": 3}, ValueError, "convolutions: expected 1 or 2"),
        ({"dropout": 2.0}, ValueError, "dropout: expected a probability"),
        ({"residual": "no"}, TypeError, "residual: expected True or False, got 'no'"),
        ({"scale_equivariant": 1}, TypeError, "scale_equivariant: expected True or False, got 1"),
        ({"reference_scale": 0}, ValueError, "reference_scale: expected a positive number of pixels, got 0"),
        ({"reference_scale": "16"}, TypeError, "reference_scale: expected a number of pixels, got '16'"),
        ({"inputs": ()}, ValueError, "unet: expected at least one input, got none"),
        ({"inputs": ("column density",)}, ValueError, "expected letters, digits and underscores"),
        ({"output": "n_H [cm-3]"}, ValueError, "expected letters, digits and underscores"),
        ({"output": "column_density"}, ValueError, "got that of an input"),
    ],
)
def test_bad_arguments(choices, error, message):
    with pytest.raises(error, match=message):
        Blueprint.unet(**({"layers": 2, "base_filters": 4} | choices))


def test_the_shortcut_takes_every_setting():
    choices = {
        "outputs": ("mass_weighted_density", "max_density"), "bounds": True, "residual_blocks": True,
        "head": "quantiles",
    }  # fmt: skip
    assert Blueprint.unet(2, 4, **choices) == Blueprint.preset("unet", layers=2, base_filters=4, **choices)
    assert Blueprint.unet(2, 4, **choices).outputs == choices["outputs"]
