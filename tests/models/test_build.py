"""Built models: equivariance, blanks, tiles, constants, shapes, state."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models import Blueprint, Node, build_model, check_shapes, parameter_count

CHOICES = [
    {"residual": residual, "scale_equivariant": equivariant}
    for residual in (True, False)
    for equivariant in (True, False)
]


@pytest.fixture
def fitted(log_maps, log_target, disturb):
    """Return a function that makes a small model with fitted constants, for evaluation."""

    def make(**choices):
        blueprint = Blueprint.unet(layers=2, base_filters=4, **choices)
        return disturb(build_model(blueprint).fit_constants({"column_density": log_maps}, log_target))

    return make


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("factor", [0.01, 0.3, 25.0, 1e4])
def test_brighter_map_denser_cloud(fitted, log_maps, residual, factor):
    """N -> lambda N shifts log n by log lambda, to the rounding of float32 at log N = 21."""
    model = fitted(residual=residual)
    shift = torch.log10(torch.tensor(factor, dtype=torch.float64))
    before = model({"column_density": log_maps}).double()
    after = model({"column_density": (log_maps + shift).float()}).double()
    torch.testing.assert_close(after - before, shift.expand_as(before), rtol=0, atol=2e-5)


def test_brighter_map_denser_cloud_exactly(fitted, log_maps):
    model = fitted().double()
    before, after = (model({"column_density": log_maps.double() + shift}) for shift in (0.0, 1.234))
    torch.testing.assert_close(after - before, torch.full_like(before, 1.234), rtol=0, atol=1e-12)


def test_absolute_network_is_not_equivariant(fitted, log_maps):
    """The test above can fail."""
    model = fitted(scale_equivariant=False)
    shift = model({"column_density": log_maps + 1}) - model({"column_density": log_maps})
    assert (shift - 1).abs().max() > 0.05


@pytest.mark.parametrize("choices", CHOICES)
def test_untrained_network_starts_from_its_baseline(choices, log_maps, log_target):
    """The correction is small, so that training begins at the power law (or at the mean)."""
    blueprint = Blueprint.unet(layers=3, base_filters=8, **choices)
    model = build_model(blueprint).fit_constants({"column_density": log_maps}, log_target)
    error = (model({"column_density": log_maps}) - log_target).detach().std()
    scale = getattr(model.nodes["mass_weighted_density"], "scale", log_target.std())
    assert float(error) == pytest.approx(float(scale), rel=0.15)


@pytest.mark.parametrize("choices", CHOICES[:3])
def test_blanks_stay_blank_and_spoil_no_neighbour(fitted, log_maps, choices):
    model = fitted(**choices)
    x = log_maps.clone()
    x[:, :, 5:15, 20:23] = torch.nan
    out = model({"column_density": x})
    assert torch.equal(torch.isnan(out), torch.isnan(x))


def test_answer_does_not_depend_on_the_tile(fitted, log_maps):
    """A tile with the margin around it, cut at a multiple of the stride, gives what the whole map gives."""
    model = fitted(reference_scale=3.0)
    x = torch.cat([log_maps.reshape(1, 1, 288, 48)] * 3, dim=-1)  # (1, 1, 288, 144)
    x[..., 100:104, 60:90] = torch.nan
    whole = model({"column_density": x})
    margin, stride = model.receptive_margin, model.stride
    top = (80 - margin) // stride * stride
    left = (60 - margin) // stride * stride
    tile = model({"column_density": x[..., top : 120 + margin, left : 84 + margin]})
    got = tile[..., 80 - top : 120 - top, 60 - left : 84 - left]
    torch.testing.assert_close(got, whole[..., 80:120, 60:84], rtol=0, atol=1e-5, equal_nan=True)


def test_margin_and_stride(fitted):
    model = fitted(reference_scale=3.0)
    assert model.stride == 4
    assert model.receptive_margin == 13 + 6
    assert fitted(scale_equivariant=False).receptive_margin == 13
    x = torch.full((1, 1, 80, 80), 21.0, requires_grad=True)
    model({"column_density": x + 0.1 * torch.randn(x.shape)})[0, 0, 41, 42].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert max((rows - 41).abs().max(), (columns - 42).abs().max()) <= 19


def test_margins_add_along_the_longest_path():
    nodes = (
        Node("a", "convolution", {"kernel_size": 5}, ("column_density",)),
        Node("b", "convolution", {"kernel_size": 3}, ("a",)),
        Node("n", "add", {}, ("b", "column_density")),
    )
    assert build_model(Blueprint(("column_density",), nodes, "n")).receptive_margin == 3


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("size", [(48, 48), (31, 50), (3, 2)])
def test_any_size(fitted, choices, size):
    out = fitted(**choices)({"column_density": 21 + torch.rand(2, 1, *size)})
    assert out.shape == (2, 1, *size)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("choices", CHOICES)
def test_gradient_reaches_every_parameter(fitted, log_maps, log_target, choices):
    model = fitted(**choices)
    (model({"column_density": log_maps}) - log_target).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_constants_do_not_depend_on_weights_nor_change_them(log_maps, log_target):
    models = [build_model(Blueprint.unet(2, 4), seed=seed) for seed in (0, 1)]
    weights = [p.detach().clone() for p in models[0].parameters()]
    for model in models:
        model.fit_constants({"column_density": log_maps}, log_target)
    assert all(torch.equal(p, w) for p, w in zip(models[0].parameters(), weights, strict=True))
    constants = [
        {name: value for name, value in model.named_buffers() if "correction" not in name} for model in models
    ]
    assert all(torch.equal(constants[0][name], constants[1][name]) for name in constants[0])


def test_fit_leaves_blanks_out(log_maps, log_target):
    x, y = log_maps.clone(), log_target.clone()
    y[4:] = torch.nan
    models = [build_model(Blueprint.unet(2, 4, scale_equivariant=False)) for _ in range(2)]
    models[0].fit_constants({"column_density": x}, y)
    models[1].fit_constants({"column_density": x[:4]}, y[:4])
    for constant in ("slope", "value"):
        a, b = (getattr(model.nodes["baseline"], constant) for model in models)
        torch.testing.assert_close(a, b)


def test_seed_gives_the_weights_and_leaves_the_global_state():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    a, b, c = (build_model(Blueprint.unet(2, 4), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    pairs = [list(zip(a.parameters(), other.parameters(), strict=True)) for other in (b, c)]
    assert all(torch.equal(x, y) for x, y in pairs[0])
    assert not all(torch.equal(x, y) for x, y in pairs[1])


@pytest.mark.parametrize("choices", CHOICES)
def test_state_is_all_there_is(fitted, log_maps, choices):
    """Blueprint and state dict give the model back: constants, statistics and weights."""
    model = fitted(**choices)
    again = build_model(Blueprint.from_json(model.blueprint.to_json()), seed=9)
    again.load_state_dict(model.state_dict())
    again.eval()
    assert torch.equal(again({"column_density": log_maps}), model({"column_density": log_maps}))


def test_weights_of_another_blueprint_are_refused():
    small, large = (build_model(Blueprint.unet(2, width)) for width in (2, 4))
    with pytest.raises(RuntimeError, match="size mismatch"):
        large.load_state_dict(small.state_dict())


def test_autocast_changes_little_and_returns_float32(fitted, log_maps):
    model = fitted()
    expected = model({"column_density": log_maps})
    with torch.autocast("cpu", torch.bfloat16):
        got = model({"column_density": log_maps})
    assert got.dtype == torch.float32
    scale = float(model.nodes["mass_weighted_density"].scale)
    assert float((got - expected).detach().abs().max()) < 0.1 * scale


def test_names_that_it_does_not_know_are_left_aside(fitted, log_maps):
    model = fitted()
    more = {"column_density": log_maps, "temperature": log_maps}
    assert torch.equal(model(more), model({"column_density": log_maps}))


def test_missing_input(fitted):
    with pytest.raises(
        ValueError,
        match=r"expected the inputs \['column_density'\], got \['N'\]; 'column_density' is missing",
    ):
        fitted()({"N": torch.zeros(1, 1, 8, 8)})


def test_a_bare_map_has_no_name(fitted):
    with pytest.raises(
        TypeError, match=r"expected log10 maps by name, .*'column_density': tensor.*got Tensor"
    ):
        fitted()(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 2, 8, 8), (0, 1, 8, 8)])
def test_wrong_shape(fitted, shape):
    with pytest.raises(ValueError, match=r"input 'column_density': expected the shape \(N, 1, H, W\), got"):
        fitted()({"column_density": torch.zeros(*shape)})


def test_target_of_another_shape(log_maps, log_target):
    with pytest.raises(
        ValueError,
        match=r"target to have the shape of 'column_density' \(6, 1, 48, 48\), got \(5, 1, 48, 48\)",
    ):
        build_model(Blueprint.unet(2, 4)).fit_constants({"column_density": log_maps}, log_target[:5])


def test_constant_maps_name_the_node(log_target):
    with pytest.raises(ValueError, match="node 'contrast': fit_constants: expected values that differ"):
        build_model(Blueprint.unet(2, 4)).fit_constants(
            {"column_density": torch.full_like(log_target, 21.0)}, log_target
        )


def test_constants_behind_trained_weights_are_refused(log_maps, log_target):
    nodes = (Node("a", "convolution", {}, ("column_density",)), Node("n", "power_law", {}, ("a",)))
    model = build_model(Blueprint(("column_density",), nodes, "n"))
    with pytest.raises(
        ValueError, match="node 'n': its constants depend on 'a', which has weights to be trained"
    ):
        model.fit_constants({"column_density": log_maps}, log_target)


def test_build_needs_a_blueprint():
    with pytest.raises(TypeError, match="build_model: expected a Blueprint, got dict"):
        build_model(Blueprint.unet(2, 4).to_dict())


def test_what_has_passed_is_checked_once_and_what_has_not_every_time(monkeypatch):
    from polaris_lab.models import build

    checked = []
    monkeypatch.setattr(
        build, "check_shapes", lambda blueprint: checked.append(blueprint) or check_shapes(blueprint)
    )
    good = Blueprint.unet(layers=1, base_filters=3, reference_scale=7.0)  # no other test builds it
    first, second = build_model(good), build_model(Blueprint.from_json(good.to_json()))
    assert checked == [good]
    assert first.state_dict().keys() == second.state_dict().keys()
    nodes = (
        Node("features", "convolution", {"out_channels": 8}, ("column_density",)),
        Node("fuse", "add", {}, ("features", "column_density")),
    )
    for _ in range(2):
        with pytest.raises(ValueError, match="node 'fuse': add needs equal shapes"):
            build_model(Blueprint(("column_density",), nodes, "fuse"))
    assert len(checked) == 3


class TestShapes:
    """check_shapes finds the node at fault without computing anything."""

    def test_shapes(self):
        assert check_shapes(Blueprint.unet(2, 4), (30, 50)) == dict.fromkeys(
            ["contrast", "correction", "baseline", "mass_weighted_density"], (1, 30, 50)
        )

    def test_the_largest_network_takes_no_memory(self):
        assert parameter_count(Blueprint.unet(layers=6, base_filters=128, convolutions=2)) > 1_000_000_000

    def test_node_at_fault_is_named(self):
        nodes = (
            Node("features", "convolution", {"out_channels": 8}, ("column_density",)),
            Node("fuse", "add", {}, ("features", "column_density")),
        )
        with pytest.raises(
            ValueError, match=r"^node 'fuse': add needs equal shapes, got \(8, 32, 32\) and \(1, 32, 32\)$"
        ):
            check_shapes(Blueprint(("column_density",), nodes, "fuse"), (32, 32))

    def test_wrong_channels_name_the_node(self):
        nodes = (
            Node("features", "convolution", {"out_channels": 3}, ("column_density",)),
            Node("n", "unet", {"layers": 1, "base_filters": 2}, ("features",)),
        )
        with pytest.raises(ValueError, match=r"node 'n': unet needs 1 input channels, got \(3, 64, 64\)"):
            build_model(Blueprint(("column_density",), nodes, "n"))

    def test_answer_must_be_one_map(self):
        nodes = (Node("n", "convolution", {"out_channels": 2}, ("column_density",)),)
        with pytest.raises(
            ValueError,
            match=r"node 'n': expected one map of the size of the input, \(1, 64, 64\), got \(2, 64, 64\)",
        ):
            check_shapes(Blueprint(("column_density",), nodes, "n"))


class TestSummary:
    """The table that a person reads before training."""

    def test_text_names_nodes_shapes_and_parameters(self):
        text = Blueprint.unet(3, 16, convolutions=2).summary((48, 32))
        assert "correction" in text
        assert "1 x 48 x 32" in text
        assert text.count("488,930") == 2
        assert "tiles in steps of 8 pixels" in text

    def test_html_holds_the_same_cells_and_escapes(self):
        nodes = (Node("n", "standardize", {}, ("column_density",)),)
        html = Blueprint(("column_density",), nodes, "n", name="<b>")._repr_html_()
        assert "<td>standardize</td>" in html
        assert "&lt;b&gt;" in html
        assert html.count("<tr>") == 2


def test_a_size_that_does_not_divide_names_the_node():
    """Networks pad by themselves; one that must not says which size it wants."""
    nodes = (Node("n", "unet", {"layers": 3, "base_filters": 2, "pad": False}, ("column_density",)),)
    blueprint = Blueprint(("column_density",), nodes, "n")
    assert check_shapes(blueprint, (64, 32))["n"] == (1, 64, 32)
    message = r"node 'n': unet needs sides that are multiples of 8 .*got \(50, 37\); cut .* to \(56, 40\), or set pad"
    with pytest.raises(ValueError, match=message):
        check_shapes(blueprint, (50, 37))
    with pytest.raises(ValueError, match=message):
        build_model(blueprint)({"column_density": torch.zeros(1, 1, 50, 37)})


def test_what_a_node_refuses_when_it_runs_is_said_with_its_name():
    nodes = (
        Node("cut", "select_channels", {"first": 1}, ("ppv_cube",)),
        Node("n", "add", {}, ("column_density", "cut")),
    )
    model = build_model(Blueprint(("column_density", "ppv_cube"), nodes, "n"))
    inputs = {"column_density": torch.zeros(1, 1, 8, 8), "ppv_cube": torch.zeros(1, 1, 8, 8)}
    with pytest.raises(
        ValueError, match="node 'cut': select_channels needs at least 2 input channels, got 1"
    ):
        model(inputs)
