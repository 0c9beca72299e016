"""N/L <= <n>_M <= n_max, for any weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.bounds import AboveAnswer, AboveFloor, MeanDensityFloor
from polaris_lab.units import PARSEC

OUTPUTS = ("mass_weighted_density", "max_density")


def wild(blueprint: Blueprint, seed: int):
    """A network with weights of any size, both signs."""
    model = build_model(blueprint, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(10 ** (2 * seed - 3) * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def inputs(log_maps):
    return {"column_density": log_maps, "depth": torch.linspace(-1, 2, 6).reshape(6, 1, 1, 1)}


def test_the_floor_is_the_volume_mean():
    """A uniform slab: N = n L, to the rounding of float32, and never below it."""
    n, depth = 10 ** np.linspace(0, 5, 40), 10 ** np.linspace(-2, 2, 40)
    column = torch.tensor(np.log10(n * depth * PARSEC), dtype=torch.float32).reshape(40, 1, 1, 1)
    depth = torch.tensor(np.log10(depth), dtype=torch.float32).reshape(40, 1, 1, 1)
    got = MeanDensityFloor()(column, depth)
    exact = column.double() - depth.double() - math.log10(PARSEC)
    assert (got.double() >= exact).all()
    torch.testing.assert_close(got.double(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(10 ** got.double().flatten(), torch.tensor(n), rtol=1e-5, atol=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("head", ["point", "quantiles"])
def test_bounds_hold_for_any_weights(inputs, head, seed):
    blueprint = Blueprint.preset(
        "unet", layers=1, base_filters=2, bounds=True, outputs=OUTPUTS, head=head, reference_scale=2.0
    )
    model = wild(blueprint, seed)
    with torch.no_grad():
        raw = model(inputs)
    floor = inputs["column_density"].double() - inputs["depth"].double() - math.log10(PARSEC)
    mean, largest = (raw[name].double() for name in OUTPUTS)
    assert torch.isfinite(mean).all()
    assert (mean >= floor).all()
    assert (largest >= mean).all()
    assert (mean.diff(dim=1) >= 0).all()
    assert (largest.diff(dim=1) >= 0).all()


def test_without_bounds_they_do_not_hold(inputs):
    """The test above can fail."""
    model = wild(
        Blueprint.preset("unet", layers=1, base_filters=2, outputs=OUTPUTS, reference_scale=2.0), seed=1
    )
    with torch.no_grad():
        raw = model(inputs)
    assert (raw["max_density"] < raw["mass_weighted_density"]).any()


def test_n_max_alone_stands_on_the_volume_mean(inputs):
    blueprint = Blueprint.preset("unet", layers=1, base_filters=2, bounds=True, output="max_density")
    assert blueprint.node("max_density").inputs == ("floor", "correction")


def test_zeros_mean_the_mean_excess(log_maps):
    block = AboveFloor()
    block.fit(log_maps - 19, target=log_maps - 18.3)
    torch.testing.assert_close(block(log_maps - 19, torch.zeros_like(log_maps)), log_maps - 18.3)
    quantiles = AboveFloor(levels=(0.1, 0.5, 0.9))
    quantiles.fit(log_maps - 19, target=log_maps - 18.3)
    median = quantiles.head.point(quantiles(log_maps - 19, torch.zeros(6, 3, 48, 48)))
    torch.testing.assert_close(median, log_maps - 18.3)


@pytest.mark.parametrize("block", [AboveFloor(), AboveAnswer()])
def test_gradients_reach_both_inputs(block):
    floor = torch.zeros(1, 1, 2, 2, requires_grad=True)
    correction = torch.randn(1, 1, 2, 2, requires_grad=True)
    block(floor, correction).sum().backward()
    assert (floor.grad == 1).all()
    assert (correction.grad > 0).all()


def test_blanks_stay_blank():
    floor = torch.tensor([1.0, torch.nan]).reshape(1, 1, 1, 2)
    assert torch.isnan(AboveFloor()(floor, torch.zeros(1, 1, 1, 2)))[0, 0, 0].tolist() == [False, True]


def test_brighter_maps_stay_equivariant(inputs, log_target, disturb):
    blueprint = Blueprint.preset("unet", layers=1, base_filters=2, bounds=True, reference_scale=2.0)
    model = disturb(build_model(blueprint).fit_constants(inputs, log_target)).double()
    double = {name: value.double() for name, value in inputs.items()}
    with torch.no_grad():
        shift = model({**double, "column_density": double["column_density"] + 1}) - model(double)
    torch.testing.assert_close(shift, torch.ones_like(shift), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"head": "gaussian"}, 'bounds: expected head="point" or "quantiles", got "gaussian", whose lower tail'),
        ({"output": "temperature"}, r"bounds: expected outputs among \['mass_.*got 'temperature'; leave bounds out"),
        ({"bounds": 1}, "bounds: expected True or False, got 1"),
        ({"outputs": "max_density"}, r"outputs: expected a list of names, got 'max_density'; write \('max_d"),
        ({"output": "max_density", "outputs": OUTPUTS}, "outputs: expected the first to be output='max_density'"),
        ({"outputs": ("max_density", "max_density")}, "max_density"),
    ],
)  # fmt: skip
def test_bad_settings(choices, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Blueprint.preset("unet", **{"layers": 1, "base_filters": 2, "bounds": True, **choices})


def test_a_floor_of_other_channels():
    with pytest.raises(ValueError, match="above_floor needs a floor of 1 or 3 channels, got 2"):
        AboveFloor(levels=(0.1, 0.5, 0.9))(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))


def test_a_scale_must_be_positive():
    with pytest.raises(ValueError, match=r"scale: expected a positive number \[dex\], got 0"):
        AboveAnswer(scale=0)
