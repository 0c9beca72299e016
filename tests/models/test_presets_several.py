"""Presets of several inputs: what is missing, what scales, what a tile changes, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polaris_lab.datasets.normalize import symmetry, symmetry_of
from polaris_lab.models import Blueprint, block_names, build_model

LINE = ("integrated_intensity", "centroid_velocity", "velocity_dispersion", "peak_temperature")
CONTEXT = ("context_column_density", "context_mask")
OTHERS = ("ppv_cube", "temperature", "position", "number_of_components", "aviator_density")
ALL = ("column_density", *LINE, *OTHERS, *CONTEXT, "pixel_size", "depth")
SMALL = {"layers": 2, "base_filters": 4, "reference_scale": 4.0}


def everything(log_maps: Tensor) -> dict[str, Tensor]:
    """Every input for the maps of the fixture, as a network sees them."""
    generator = torch.Generator().manual_seed(9)
    count = len(log_maps)

    def draw(channels: int, *size: int) -> Tensor:
        return torch.randn(count, channels, *(size or log_maps.shape[2:]), generator=generator)

    inputs = {name: draw(1) for name in (*LINE, *CONTEXT, "temperature", "number_of_components")}
    inputs |= {"ppv_cube": draw(6), "position": draw(2), "aviator_density": log_maps - 18 + 0.2 * draw(1)}
    inputs |= {name: draw(1, 1, 1) for name in ("pixel_size", "depth")}
    return inputs | {"column_density": log_maps, "context_column_density": log_maps.flip(-1) - 0.3}


def built(disturb, log_maps, log_target, inputs=ALL, **settings):
    """A network with fitted constants, whose answers differ from its baseline."""
    if "ppv_cube" in inputs:
        settings = {"velocity_channels": 6, "line_features": 4, **settings}
    model = build_model(Blueprint.preset("multi_input", inputs=inputs, **SMALL, **settings))
    given = everything(log_maps)
    model.fit_constants({name: given[name] for name in inputs}, log_target)
    with torch.no_grad():
        model.nodes["network"].last.weight.mul_(10)
        for modulation in model.nodes["network"].modulations:
            modulation.linear.weight.mul_(10)
    return disturb(model)


@torch.no_grad()
def test_any_input_but_the_column_may_be_missing(disturb, log_maps, log_target):
    """Not given is NaN everywhere; the answer is finite, and another one than with it."""
    model = built(disturb, log_maps, log_target)
    inputs = everything(log_maps)
    whole = model(inputs)
    assert torch.isfinite(whole).all()
    for name in ALL[1:]:
        without = model({other: values for other, values in inputs.items() if other != name})
        blank = model({**inputs, name: torch.full_like(inputs[name], torch.nan)})
        assert torch.isfinite(without).all(), name
        assert torch.equal(without, blank), name
        assert (without - whole).abs().max() > 1e-4, name
    alone = model({"column_density": log_maps})
    assert torch.isfinite(alone).all()
    with pytest.raises(ValueError, match="'column_density' is missing"):
        model({name: values for name, values in inputs.items() if name != "column_density"})


@torch.no_grad()
def test_a_patch_without_a_line_beside_one_with_it(disturb, log_maps, log_target):
    """Missing in one image of a batch: that image answers as if alone, the others as if nothing were missing."""
    model = built(disturb, log_maps, log_target)
    inputs = everything(log_maps)
    mixed = {**inputs, "ppv_cube": inputs["ppv_cube"].clone()}
    mixed["ppv_cube"][2] = torch.nan
    answer, whole = model(mixed), model(inputs)
    others = [0, 1, 3, 4, 5]
    assert torch.allclose(answer[others], whole[others], atol=1e-5)
    one = {name: values[2:3] for name, values in inputs.items() if name != "ppv_cube"}
    assert torch.allclose(answer[2:3], model(one), atol=1e-5)


@torch.no_grad()
def test_a_brighter_sky_is_denser_gas(disturb, log_maps, log_target):
    """N -> 5 N with what is made of N alike: n -> 5 n; and without equivariance it is not so."""
    shift = math.log10(5)
    scaled = ("column_density", "context_column_density", "aviator_density")
    for equivariant in (True, False):
        model = built(disturb, log_maps, log_target, scale_equivariant=equivariant)
        inputs = everything(log_maps)
        brighter = {name: x + shift if name in scaled else x for name, x in inputs.items()}
        change = (model(brighter) - model(inputs) - shift).abs().max()
        assert (change < 2e-4) == equivariant


@torch.no_grad()
def test_centroids_do_not_know_v_lsr(disturb, log_maps, log_target):
    model = built(disturb, log_maps, log_target, ("column_density", *LINE))
    inputs = everything(log_maps)
    moving = {**inputs, "centroid_velocity": inputs["centroid_velocity"] + 8.0}
    assert (model(moving) - model(inputs)).abs().max() < 1e-4


@torch.no_grad()
def test_tiles_do_not_matter_where_the_context_is_given(disturb, log_target, log_maps):
    """A tile with its margin, given the context of the whole map, answers as the whole map does."""
    inputs = ("column_density", *CONTEXT, "pixel_size", "depth")
    model = built(disturb, log_maps, log_target, inputs)
    noise = torch.randn(1, 1, 224, 64, generator=torch.Generator().manual_seed(1))
    wide = 21.5 + torch.nn.functional.avg_pool2d(noise, 17, 1)[..., :48]  # (1, 1, 208, 48)
    condition = {name: values[:1] for name, values in everything(log_maps).items() if name in inputs[1:]}
    margin = -(-model.receptive_margin // model.stride) * model.stride
    whole = model({"column_density": wide, **condition})[..., 80:128, :]
    tile = model({"column_density": wide[..., 80 - margin : 128 + margin, :], **condition})
    assert torch.allclose(tile[..., margin : margin + 48, :], whole, atol=2e-5)
    other = {**condition, "context_column_density": condition["context_column_density"].flip(-2) * 1.02}
    assert (model({"column_density": wide, **other})[..., 80:128, :] - whole).abs().max() > 1e-4


@torch.no_grad()
def test_the_mean_over_symmetries_turns_with_the_map(disturb, log_maps, log_target):
    """Turn all inputs, positions as vectors: the mean of the eight answers, turned back, is turned as they are."""
    model = built(disturb, log_maps, log_target)
    inputs = {name: values[:1] for name, values in everything(log_maps).items()}

    def mean(given):
        turned = [model({n: symmetry_of(n, x, k) for n, x in given.items()}) for k in range(8)]
        back = (0, 3, 2, 1, 4, 5, 6, 7)
        return torch.stack([symmetry(x, back[k]) for k, x in enumerate(turned)]).mean(0)

    for number in (1, 4, 6):
        turned = mean({n: symmetry_of(n, x, number) for n, x in inputs.items()})
        assert torch.allclose(turned, symmetry(mean(inputs), number), atol=1e-4)


@pytest.mark.parametrize("head", ["point", "gaussian", "quantiles"])
def test_several_targets_with_every_head(head, log_maps, log_target):
    """<n>_M, n_max and the number of components, which nothing scales with N."""
    outputs = ("max_density", "number_of_components")
    blueprint = Blueprint.preset(
        "multi_input", inputs=("column_density", *LINE), extra_outputs=outputs, head=head, **SMALL
    )
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    model = build_model(blueprint)
    components = (3 * torch.rand(log_target.shape)).round()
    targets = {"mass_weighted_density": log_target, "max_density": log_target + 0.5,
               "number_of_components": components}  # fmt: skip
    inputs = {name: values for name, values in everything(log_maps).items() if name in blueprint.inputs}
    model.fit_constants(inputs, targets)
    raw = model(inputs)
    assert set(raw) == set(targets)
    assert all(model.point(raw, name).shape == log_target.shape for name in targets)
    assert (model.point(raw, "number_of_components") - components.mean()).abs().mean() < 1.5
    assert float(model.point(raw, "max_density").detach().mean()) == pytest.approx(
        float(log_target.mean()) + 0.5, abs=0.3
    )
    sum(values.square().mean() for values in raw.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("merge", ["sum", "concatenate", "kan_convolution"])
def test_merges_by_name(merge, log_maps):
    if merge == "kan_convolution" and merge not in block_names():
        pytest.skip("there is no KAN convolution yet")
    blueprint = Blueprint.preset(
        "multi_input", inputs=("column_density", "temperature"), merge=merge, **SMALL
    )
    assert torch.isfinite(build_model(blueprint)({"column_density": log_maps})).all()


@pytest.mark.slow
def test_training_with_missing_lines(log_maps, log_target):
    """A target that the line shows: trained with half of the lines blank, one network serves both kinds of maps."""
    from polaris_lab.training.losses import mean_square

    line = torch.randn(log_maps.shape, generator=torch.Generator().manual_seed(2))
    line = torch.nn.functional.avg_pool2d(line, 5, 1, 2) * 5
    target = log_maps - 18.5 + 0.3 * line
    model = build_model(
        Blueprint.preset("multi_input", inputs=("column_density", "integrated_intensity"), **SMALL)
    )
    model.fit_constants({"column_density": log_maps, "integrated_intensity": line}, target)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(3)
    for _ in range(60):
        blank = torch.rand(6, 1, 1, 1, generator=generator) < 0.5
        given = {"column_density": log_maps, "integrated_intensity": torch.where(blank, torch.nan, line)}
        loss = mean_square(model(given), target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        seen = (
            mean_square(model({"column_density": log_maps, "integrated_intensity": line}), target)
            .mean()
            .sqrt()
        )
        unseen = mean_square(model({"column_density": log_maps}), target).mean().sqrt()
    scatter = 0.3 * line.std()
    assert seen < 0.6 * scatter  # it uses the line
    assert 0.7 * scatter < unseen < 1.3 * scatter  # and knows that without it this scatter is left


@pytest.mark.parametrize(
    ("context", "mask", "got"),
    [((1, 1), (1, 1), "1 x 1"), ((1, 8), (1, 8), "1 x 8"), ((8, 8), (9, 9), "8 x 8 and 9 x 9")],
)
def test_surroundings_that_are_none(context, mask, got):
    """One pixel has no surroundings; a mask of another size does not say where the patch lies."""
    model = build_model(Blueprint.preset("context_unet", layers=2, base_filters=4)).eval()
    inputs = {
        "column_density": torch.full((1, 1, 16, 16), 21.5),
        "context_column_density": torch.full((1, 1, *context), 21.5),
        "context_mask": torch.zeros(1, 1, *mask),
    }
    with pytest.raises(
        ValueError, match=f"node 'context': context_encoder needs .* at least 2 x 2 pixels, got {got}; a data"
    ):
        model(inputs)
    smallest = {name: values[..., :2, :2] for name, values in inputs.items()} | {
        "column_density": inputs["column_density"]
    }
    if min(context) > 1:
        assert torch.isfinite(model(smallest)).all()


def test_inputs_of_another_number_of_images(log_maps):
    model = build_model(Blueprint.preset("context_unet", layers=2, base_filters=4))
    for name, values in (("pixel_size", torch.zeros(2, 1, 1, 1)), ("context_mask", torch.zeros(1, 1, 8, 8))):
        with pytest.raises(
            ValueError, match=f"input '{name}': expected as many images .* 6, got {len(values)}"
        ):
            model({"column_density": log_maps, name: values})


def test_bad_input():
    for match, name, settings in [
        ("unknown input 'temprature'.*temperature", "multi_input", {"inputs": ("column_density", "temprature")}),
        ('expected "column_density" as the first', "multi_input", {"inputs": ("temperature", "column_density")}),
        ("inputs that differ", "multi_input", {"inputs": ("column_density", "depth", "depth", "pixel_size")}),
        ("'pixel_size' among the inputs with 'depth'", "context_unet", {"inputs": ("column_density", "depth")}),
        ("'context_mask' among the inputs with 'context_column_density'", "context_unet",
         {"inputs": ("column_density", "context_column_density")}),
        ("'context_column_density' among the inputs with 'context_mask'", "multi_input",
         {"inputs": ("column_density", "context_mask")}),
        ("expected velocity_channels with", "multi_input", {"inputs": ("column_density", "ppv_cube")}),
        ("expected velocity_channels with", "multi_input", {"velocity_channels": 8}),
        ("a density as the main output", "multi_input", {"output": "number_of_components"}),
        ("line: unknown form 'spectre'.*spectra", "multi_input", {"line": "spectre"}),
        ("merge: unknown name", "multi_input", {"merge": "concat"}),
        ("head: unknown name 'gauss'", "multi_input", {"head": "gauss"}),
        ("optional_inputs: 'depth' is no input", "multi_input", {"optional_inputs": ("depth",)}),
        ("unknown setting 'filters'", "context_unet", {"filters": 8}),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            build_model(Blueprint.preset(name, **settings))


@pytest.mark.parametrize(
    ("name", "settings", "error", "match"),
    [
        (
            "multi_input",
            {"extra_outputs": "max_density"},
            TypeError,
            r"extra_outputs: .*; write \('max_density',\)",
        ),
        (
            "multi_input",
            {"extra_outputs": ("max_density",) * 2},
            ValueError,
            "extra_outputs: .* names that differ",
        ),
        (
            "context_unet",
            {"extra_outputs": ("mass_weighted_density",)},
            ValueError,
            "extra_outputs: .* differ",
        ),
        (
            "multi_input",
            {"optional_inputs": "temperature"},
            TypeError,
            "optional_inputs: expected a list of names",
        ),
        ("multi_input", {"channel_width": "0.5"}, TypeError, "channel_width: expected a number of km/s"),
        ("volume", {"outputs": ("max_density",) * 2}, ValueError, "outputs: expected names that differ"),
        ("volume", {"outputs": 3}, TypeError, "outputs: expected a list of names, got 3"),
    ],
)
def test_names_that_are_none(name, settings, error, match):
    with pytest.raises(error, match=match):
        Blueprint.preset(name, **settings)
