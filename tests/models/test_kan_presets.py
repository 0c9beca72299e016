"""The presets with Kolmogorov-Arnold layers: their nodes, heads and bad settings; all of them take a step."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.kan import KANConv
from polaris_lab.models.presets import tiny_settings

NAMES = ["just_kan", "knet", "ukan", "unet_and_kan"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale_equivariant", [True, False])
@pytest.mark.parametrize("head", ["point", "gaussian", "quantiles"])
def test_every_choice_learns(name, scale_equivariant, head, learns, log_maps):
    """Blanks stay blank and spoil nobody."""
    model = learns(
        Blueprint.preset(
            name, **tiny_settings(name), scale_equivariant=scale_equivariant, head=head, residual=True
        )
    )
    x = log_maps.clone()
    x[:, :, 5:9, 20:23] = torch.nan
    out = model.eval()({"column_density": x})
    assert torch.equal(torch.isnan(out[:, :1]), torch.isnan(x))


@pytest.mark.parametrize("name", NAMES)
def test_scale_equivariance(name, log_maps, log_target):
    model = build_model(
        Blueprint.preset(name, **tiny_settings(name), scale_equivariant=True, residual=True)
    ).fit_constants({"column_density": log_maps}, log_target)
    model = model.double().eval()
    before, after = (model({"column_density": log_maps.double() + shift}) for shift in (0.0, 1.234))
    torch.testing.assert_close(after - before, torch.full_like(before, 1.234), rtol=0, atol=1e-9)


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_the_symbolic_network_is_three_nodes(combine):
    blueprint = Blueprint.preset("unet_and_kan", layers=2, base_filters=2, combine=combine)
    assert [node.block for node in blueprint.nodes] == [
        "standardize", "unet", "pixel_kan", {"sum": "add", "product": "multiply"}[combine], "destandardize",
    ]  # fmt: skip
    assert blueprint.node("kan").settings["widths"] == [10, 10, 10]


def test_the_blueprint_has_it_by_name():
    """Blueprint.unet_and_kan is the preset: its defaults, its settings, its errors."""
    assert Blueprint.unet_and_kan() == Blueprint.preset("unet_and_kan")
    given = {
        "layers": 2,
        "base_filters": 4,
        "attention": False,
        "widths": (3, 3),
        "combine": "product",
        "head": "gaussian",
    }
    assert Blueprint.unet_and_kan(**given) == Blueprint.preset("unet_and_kan", **given)
    assert Blueprint.unet_and_kan(2, 4, False) == Blueprint.unet_and_kan(
        layers=2, base_filters=4, attention=False
    )
    with pytest.raises((TypeError, ValueError), match="did you mean 'widths'"):
        Blueprint.unet_and_kan(width=(3, 3))


def test_a_kan_of_pixels_sees_one_pixel():
    assert build_model(Blueprint.preset("just_kan")).receptive_margin == 0


@pytest.mark.parametrize("head", ["point", "gaussian"])
def test_more_inputs(head):
    for name in NAMES:
        model = build_model(
            Blueprint.preset(name, **tiny_settings(name), inputs=("column_density", "temperature"), head=head)
        )
        maps = {"column_density": torch.full((1, 1, 8, 8), 21.0), "temperature": torch.ones(1, 1, 8, 8)}
        assert model.point(model(maps)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("unet_and_kan", {"combine": "sums"}, ValueError, "combine: unknown name 'sums': did you mean 'sum'"),
        ("unet_and_kan", {"widths": (0,)}, ValueError, "node 'kan': in_channels, widths, out_channels"),
        ("just_kan", {"widths": "10"}, TypeError, "node 'kan'"),
        ("just_kan", {"widths": ()}, ValueError, r"widths: expected .* at least one, such as .* got \(\)"),
        ("just_kan", {"widths": (), "layers": 2}, ValueError, r"widths: expected .* at least one"),
        ("unet_and_kan", {"widths": ()}, ValueError, "node 'kan': widths: expected .* at least one layer"),
        ("just_kan", {"basis": "fourier"}, ValueError, "node 'kan': basis: unknown name 'fourier'"),
        ("just_kan", {"inputs": ()}, ValueError, "just_kan: expected at least one input, got none"),
        ("just_kan", {"residual": "no"}, TypeError, "residual: expected True or False, got 'no'"),
        ("knet", {"grid_size": 1}, ValueError, "node 'correction': grid_size: .* got 1"),
        ("knet", {"head": "gauss"}, ValueError, "head: unknown name 'gauss': did you mean 'gaussian'"),
        ("ukan", {"kan_levels": 9}, ValueError, r"node 'correction': kan_levels: expected 0 to 5"),
        ("ukan", {"form": "thin"}, ValueError, "node 'correction': form: unknown name 'thin'"),
        ("ukan", {"layers": 2.5}, TypeError, "layers: expected int, got 2.5"),
        ("ukan", {"kan_level": 1}, ValueError, "unknown setting 'kan_level': did you mean 'kan_levels'"),
    ],
)
def test_bad_settings(name, settings, error, message):
    with pytest.raises(error, match=message):
        Blueprint.preset(name, **settings)


@pytest.mark.parametrize("form", ["full", "bottleneck"])
def test_compiled_equals_plain(form):
    """Traced with its backward pass; without the code generator, which takes a minute."""
    layer = KANConv(2, 3, form=form).eval()
    x = torch.randn(1, 2, 8, 8)
    grads = []
    for function in (layer, torch.compile(layer, backend="aot_eager")):
        layer.zero_grad()
        function(x).square().sum().backward()
        grads.append([p.grad.clone() for p in layer.parameters()])
    for plain, compiled in zip(*grads, strict=True):
        torch.testing.assert_close(plain, compiled)
