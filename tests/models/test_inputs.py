"""What reaches the nodes: shapes by quantity, optional inputs, several outputs."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models import Blueprint, Node, build_model, check_shapes

COLUMN = torch.full((2, 1, 16, 16), 21.0)


def line_blueprint(**choices) -> Blueprint:
    """log N, and a line cube of 12 channels brought to one by a convolution, added to it."""
    return Blueprint(
        inputs=("column_density", "ppv_cube"),
        nodes=(
            Node("line", "convolution", {"in_channels": 12, "kernel_size": 1}, ("ppv_cube",)),
            Node("line_seen", "standardize", {}, ("line",)),
            Node("mass_weighted_density", "add", {}, ("column_density", "line_seen")),
        ),
        output="mass_weighted_density",
        **choices,
    )


def two_outputs() -> Blueprint:
    return Blueprint(
        inputs=("column_density",),
        nodes=(
            Node("mass_weighted_density", "power_law", {}, ("column_density",)),
            Node("max_density", "power_law", {}, ("column_density",)),
        ),
        output="mass_weighted_density",
        extra_outputs=("max_density",),
    )


def test_a_cube_has_the_channels_that_its_block_takes():
    blueprint = line_blueprint()
    assert check_shapes(blueprint)["line"] == (1, 64, 64)
    with pytest.raises(
        ValueError, match=r"'ppv_cube': expected the shape \(N, 12, H, W\), got \(2, 5, 16, 16\)"
    ):
        build_model(blueprint)({"column_density": COLUMN, "ppv_cube": torch.zeros(2, 5, 16, 16)})


def test_a_missing_optional_input_counts_as_nan():
    model = build_model(line_blueprint(optional_inputs=("ppv_cube",))).eval()
    without = model({"column_density": COLUMN})
    blank = model({"column_density": COLUMN, "ppv_cube": torch.full((2, 12, 16, 16), torch.nan)})
    assert torch.isfinite(without).all()
    assert torch.equal(without, blank)


def test_a_missing_input_is_refused_where_it_is_not_optional():
    with pytest.raises(ValueError, match="'ppv_cube' is missing"):
        build_model(line_blueprint())({"column_density": COLUMN})


@pytest.mark.parametrize(
    ("optional", "match"),
    [(("ppv_cub",), "did you mean 'ppv_cube'"), (("column_density", "ppv_cube"), "always there")],
)
def test_optional_inputs_are_inputs_and_not_all(optional, match):
    with pytest.raises(ValueError, match=match):
        line_blueprint(optional_inputs=optional)


def test_a_number_has_no_height_and_width():
    blueprint = Blueprint(
        inputs=("column_density", "depth"),
        nodes=(
            Node("floor", "mean_density_floor", {}, ("column_density", "depth")),
            Node("mass_weighted_density", "power_law", {}, ("floor",)),
        ),
        output="mass_weighted_density",
    )
    model = build_model(blueprint)
    assert model({"column_density": COLUMN, "depth": torch.ones(2, 1, 1, 1)}).shape == COLUMN.shape
    with pytest.raises(ValueError, match="one number an image"):
        model({"column_density": COLUMN, "depth": COLUMN})


def test_several_outputs_come_by_name_each_fitted_to_its_own_target():
    blueprint = two_outputs()
    assert blueprint.outputs == ("mass_weighted_density", "max_density")
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    model = build_model(blueprint)
    column = 21 + torch.arange(32.0).reshape(2, 1, 4, 4) / 10
    model.fit_constants(
        {"column_density": column}, {"mass_weighted_density": column - 18, "max_density": 2 * column - 38}
    )
    raw = model({"column_density": column})
    assert torch.allclose(model.point(raw), column - 18, atol=1e-5)
    assert torch.allclose(model.point(raw, "max_density"), 2 * column - 38, atol=1e-5)


def test_a_target_that_is_missing_is_named():
    with pytest.raises(ValueError, match=r"expected the targets .*max_density"):
        build_model(two_outputs()).fit_constants({"column_density": COLUMN}, COLUMN)


@pytest.mark.parametrize("extra", [("median_density",), ("mass_weighted_density",)])
def test_extra_outputs_are_nodes_of_their_own(extra):
    with pytest.raises(ValueError, match=r"expected a node named like its output|outputs that differ"):
        Blueprint(("column_density",), two_outputs().nodes, "mass_weighted_density", extra_outputs=extra)


def test_files_written_before_there_were_extra_outputs_keep_their_fingerprint():
    stored = Blueprint.unet(2, 4).to_dict()
    assert not {"extra_outputs", "optional_inputs"} & set(stored)


@pytest.mark.parametrize(
    ("values", "got"), [(COLUMN.numpy(), "ndarray"), (COLUMN.long(), r"a tensor of torch\.int64")]
)
def test_what_is_no_tensor_of_floating_point_numbers_is_refused(values, got):
    model = build_model(two_outputs())
    with pytest.raises(
        TypeError, match=rf"input 'column_density': expected a tensor of floating .*got {got}; give"
    ):
        model({"column_density": values})
