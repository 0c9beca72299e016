"""What every generative block and model does with constants, blanks, seeds and wrong arguments."""

from __future__ import annotations

import sys

import pytest
import torch

from polaris_lab.models import Blueprint, build_model, check_shapes
from polaris_lab.models.generative import schedulers
from polaris_lab.models.generative.diffusion import Diffusion
from polaris_lab.models.generative.flow_matching import FlowMatching
from polaris_lab.models.generative.invertible import Invertible
from polaris_lab.models.presets import tiny_settings

NAMES = ("flow_matching", "diffusion", "diffusion_xu", "bridge", "invertible")
STEPS = {"flow_matching": 2, "diffusion": 2, "diffusion_xu": 2, "bridge": 2, "invertible": 1}


def maps(count: int = 3, size: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    column = 21.5 + 0.3 * torch.randn(count, 1, size, size, generator=generator)
    target = 1.4 * (column - 21) + 2.5 + 0.1 * torch.randn(column.shape, generator=generator)
    return column, target


def tiny(name: str, **more):
    column, target = maps()
    blueprint = Blueprint.preset(name, **{**tiny_settings(name), **more})
    return build_model(blueprint, seed=1).fit_constants({"column_density": column}, target).eval()


@pytest.mark.parametrize("name", NAMES)
def test_samples_differ_and_are_repeated_by_their_seed(name):
    model, inputs = tiny(name), {"column_density": maps()[0]}
    first = model.sample(inputs, samples=3, steps=STEPS[name], seed=7)
    assert first.shape == (3, 3, 1, 24, 24)
    assert torch.equal(first, model.sample(inputs, samples=3, steps=STEPS[name], seed=7))
    assert not torch.equal(first, model.sample(inputs, samples=3, steps=STEPS[name], seed=8))
    assert float((first[0] - first[1]).abs().mean()) > 0.01
    assert model.is_generative
    assert Blueprint.preset("unet", layers=1, base_filters=2) != model.blueprint


@pytest.mark.parametrize("name", NAMES)
def test_drawing_leaves_the_global_random_state_and_the_mode(name):
    model = tiny(name).train()
    state = torch.get_rng_state()
    model.sample({"column_density": maps()[0]}, samples=1, steps=STEPS[name])
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_reaches_every_parameter(name):
    model = tiny(name).train()
    column, target = maps()
    for seed in range(3):
        model.training_loss(
            {"column_density": column}, target, torch.Generator().manual_seed(seed)
        ).mean().backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [key for key in still if not key.endswith("attention.key.bias")] == []


@pytest.mark.parametrize("name", ["flow_matching", "diffusion", "invertible"])
def test_samples_follow_the_scale_of_the_map(name):
    """N -> lambda N gives lambda n, sample by sample."""
    model, (column, _) = tiny(name), maps()
    one, other = (
        model.sample({"column_density": column + shift}, samples=2, steps=STEPS[name], seed=3)
        for shift in (0.0, 2.0)
    )
    torch.testing.assert_close(other, one + 2.0, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["flow_matching", "diffusion", "invertible"])
@pytest.mark.parametrize("scale_equivariant", [True, False])
def test_a_blank_pixel_stays_blank_and_spoils_no_other(name, scale_equivariant):
    model = tiny(name, scale_equivariant=scale_equivariant)
    column, _ = maps(1)
    column[0, 0, 10, 12] = torch.nan
    drawn = model.sample({"column_density": column}, samples=2, steps=STEPS[name])
    blank = torch.isnan(drawn)
    assert bool(blank[:, 0, 0, 10, 12].all())
    assert int(blank.sum()) == 2


def test_what_is_unknown_of_the_target_has_no_weight():
    """A NaN in the target: the same loss whatever the noise there, no gradient, and the other pixels count fully."""
    model, (column, target) = tiny("invertible"), maps()
    hole = target.clone()
    hole[:, :, :12] = torch.nan
    whole = model.training_loss({"column_density": column}, target, torch.Generator())
    half = model.training_loss({"column_density": column}, hole, torch.Generator())
    density = model.generative.log_density
    baseline, image = model.condition({"column_density": column})
    block = model.generative
    y = (target - baseline - block.offset[:, None, None]) / block.scale[:, None, None]
    expected = -density(y, block.picture([image]))[:, 12:].mean(dim=(1, 2))
    torch.testing.assert_close(half, expected)
    assert not torch.allclose(whole, half)


def test_constants_are_those_of_the_residual():
    block, generator = FlowMatching(base_filters=4), torch.Generator().manual_seed(0)
    baseline = torch.randn(200, 1, 16, 16, generator=generator)
    target = baseline + 0.7 + 0.2 * torch.randn(baseline.shape, generator=generator)
    target[0, 0, 0, 0] = torch.nan
    block.fit(baseline, target=target)
    assert float(block.offset) == pytest.approx(0.7, abs=0.005)
    assert float(block.scale) == pytest.approx(0.2, rel=0.01)
    assert 3 < float(block.extent) < 6


def test_the_papers_normalisation_brings_the_target_to_one():
    """Xu et al.: y = 2 u - 1, u in 0..1 over the training pixels; c = 2 (log N - 19) / 6 - 1."""
    model, (column, target) = tiny("diffusion_xu"), maps()
    baseline, image = model.condition({"column_density": column})
    block = model.generative
    y = (target - baseline - block.offset) / block.scale
    assert float(y.min()) == pytest.approx(-1, abs=1e-4)
    assert float(y.max()) == pytest.approx(1, abs=1e-4)
    assert float(block.extent) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(image, 2 * (column - 19) / 6 - 1)
    assert not block.local


@pytest.mark.parametrize("name", NAMES)
def test_blueprints_of_generative_networks_are_blueprints(name):
    blueprint = Blueprint.preset(name, **tiny_settings(name))
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    assert check_shapes(blueprint, (32, 40))[blueprint.output] == (1, 32, 40)
    with_temperature = {} if name == "diffusion_xu" else {"inputs": ("column_density", "temperature")}
    settings = {**tiny_settings(name), **with_temperature}
    assert check_shapes(Blueprint.preset(name, **settings))[blueprint.output] == (1, 64, 64)


@pytest.mark.parametrize("samples", [0, -1, 2.5, True, "4"])
def test_a_number_of_samples_is_a_count(samples):
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 1, got"):
        tiny("flow_matching").sample({"column_density": maps()[0]}, samples=samples)


@pytest.mark.parametrize("steps", [0, -3, 1.0])
def test_a_number_of_steps_is_a_count(steps):
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 1, got"):
        tiny("flow_matching").sample({"column_density": maps()[0]}, steps=steps)


def test_steps_that_a_network_cannot_take():
    with pytest.raises(ValueError, match="steps: expected at most the 1000 levels"):
        tiny("diffusion").sample({"column_density": maps()[0]}, steps=1001)
    with pytest.raises(ValueError, match=r"steps: expected 1 .an invertible network needs no more., got 4"):
        tiny("invertible").sample({"column_density": maps()[0]}, steps=4)


def test_a_network_with_one_answer_draws_nothing():
    model = build_model(Blueprint.unet(1, 2, False))
    assert not model.is_generative
    with pytest.raises(ValueError, match=r'expected a generative network .*"flow_matching", "diffusion"'):
        model.sample({"column_density": maps()[0]})


def test_an_input_that_is_missing_is_named():
    with pytest.raises(ValueError, match="'column_density' is missing"):
        tiny("flow_matching").sample({"temperature": maps()[0]})


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Diffusion, {"scheduler": "ddmi"}, "scheduler: unknown name 'ddmi': did you mean 'ddpm'"),
        (Diffusion, {"network": "unet"}, "network: unknown name 'unet': did you mean"),
        (Diffusion, {"levels": 1}, "levels: expected a whole number of at least 2, got 1"),
        (Diffusion, {"beta_start": 0.5, "beta_end": 0.1}, "expected 0 < beta_start <= beta_end < 1"),
        (Diffusion, {"in_channels": 0}, "in_channels: expected a whole number of at least 1, got 0"),
        (FlowMatching, {"in_channels": 0}, "in_channels: expected a whole number of at least 1, got 0"),
        (FlowMatching, {"channels": 0}, "channels: expected a whole number of at least 1, got 0"),
        (FlowMatching, {"standardize": "devation"}, "standardize: unknown name .* did you mean 'deviation'"),
        (Invertible, {"coupling": "splines"}, "coupling: unknown name 'splines': did you mean 'spline'"),
        (Invertible, {"bins": 1}, "bins: expected 2 to 100, got 1"),
        (Invertible, {"couplings": 0}, "couplings: expected a whole number of at least 1, got 0"),
        (Invertible, {"couplings": 1, "channels": 2}, "couplings: expected at least 2 for 2 channels"),
    ],
)
def test_settings_out_of_range_are_named(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_a_target_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="expected a target of 2 channels, got 1; set channels=1"):
        Invertible(channels=2, base_filters=4).fit(torch.zeros(2, 1, 8, 8), target=torch.ones(2, 1, 8, 8))


@pytest.fixture
def without_diffusers(monkeypatch):
    """Make `import diffusers` fail."""
    schedulers.library.cache_clear()
    monkeypatch.setitem(sys.modules, "diffusers", None)
    yield
    schedulers.library.cache_clear()


@pytest.mark.usefixtures("without_diffusers")
def test_without_the_library_diffusion_says_how_to_install_it():
    column, target = maps()
    with pytest.raises(ImportError, match=r"got none; install it with\s+pip install 'polaris-lab\[lab\]'"):
        Diffusion(base_filters=4).fit(column, target=target)
    model = tiny("flow_matching")  # needs none
    assert model.sample({"column_density": column}, samples=1, steps=1).shape == (1, 3, 1, 24, 24)
