"""The 3D head: exact closure, bounds, symmetries, and the cube that comes out."""

from __future__ import annotations

import math

import pytest
import torch

from polaris_lab import mass_weighted_density, max_density
from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.volume import ColumnClosingVolume, VolumeMaximum, VolumeMean, predicted_cube
from polaris_lab.units import PARSEC

SETTINGS = {"depth_cells": 12, "cell_size_pc": 0.1, "layers": 2, "base_filters": 4}
CELL_CM = 0.1 * PARSEC


@pytest.fixture
def model(disturb):
    """A network whose logits are far from zero."""
    outputs = ("mass_weighted_density", "max_density", "density_cube")
    model = build_model(Blueprint.preset("volume", outputs=outputs, **SETTINGS))
    with torch.no_grad():
        model.nodes["logits"].last.weight.mul_(100)
    return disturb(model)


def test_by_hand():
    """Weights 3/4 and 1/4 of N = 1e21 in cells of 1 pc: 243 and 81 cm^-3, <n>_M = 202.5 cm^-3."""
    block = ColumnClosingVolume(2, cell_size_pc=1.0)
    block.set_constants(width=1e6)  # no profile
    logits = torch.tensor([math.log(3.0), 0.0]).reshape(1, 2, 1, 1)
    logits = 20 * torch.atanh(logits / 20)  # undo the bound
    cube = block(torch.full((1, 1, 1, 1), 21.0), logits)
    density = 1e21 / PARSEC
    assert (10**cube).flatten().tolist() == pytest.approx([0.75 * density, 0.25 * density], rel=1e-5)
    assert float(10 ** VolumeMean()(cube)) == pytest.approx(density * (0.75**2 + 0.25**2), rel=1e-5)
    assert float(10 ** VolumeMaximum()(cube)) == pytest.approx(0.75 * density, rel=1e-5)


def test_the_column_closes(model, log_maps):
    """|dz sum(n) - N| / N < 1e-6, whatever the network says, in float64 and stored as float32."""
    cube = model.volume({"column_density": log_maps})
    assert cube.shape == (6, 12, 48, 48)
    column = 10 ** log_maps.double()
    for density in (cube, cube.float().double()):
        closure = (density.sum(dim=1, keepdim=True) * CELL_CM / column - 1).abs().max()
        assert closure < 1e-6
    assert (cube > 0).all()
    weight = cube * CELL_CM / column
    assert weight.amax(1).mean() > 0.3  # and it does say something: far from uniform
    raw = model({"column_density": log_maps})
    assert torch.allclose(10 ** raw["density_cube"].double(), cube, rtol=1e-4)
    mean = column / CELL_CM * (weight**2).sum(1, keepdim=True)  # (N / dz) sum w^2
    assert torch.allclose(10 ** raw["mass_weighted_density"].double(), mean, rtol=1e-4)


def test_bounds(model, log_maps):
    """N / L <= <n>_M <= n_max <= N / dz."""
    raw = model({"column_density": log_maps})
    low = log_maps - math.log10(12 * CELL_CM)
    mean, peak = raw["mass_weighted_density"], raw["max_density"]
    assert (mean >= low - 2e-6).all()
    assert (peak >= mean - 2e-6).all()
    assert (peak <= log_maps - math.log10(CELL_CM) + 2e-6).all()
    uniform = ColumnClosingVolume(4, cell_size_pc=0.3)
    uniform.set_constants(width=1e6)
    cube = uniform(log_maps, torch.zeros(6, 4, 48, 48))
    assert torch.allclose(VolumeMean()(cube), log_maps - math.log10(1.2 * PARSEC), atol=5e-6)


def test_a_brighter_map_is_a_denser_cube(model, log_maps):
    """N -> 7 N gives 7 n."""
    before, after = (model.volume({"column_density": log_maps + shift}) for shift in (0.0, math.log10(7)))
    assert (after / before / 7 - 1).abs().max() < 1e-3  # float32 inputs: 2e-6 dex in the contrast


def test_a_gaussian_line_of_sight_before_training(log_maps):
    """Fitted to targets, zero logits give the mean thickness: <n>_M = N / (2 sqrt(pi) sigma)."""
    block = ColumnClosingVolume(64, cell_size_pc=0.05)
    target = log_maps - math.log10(0.6 * PARSEC)
    block.fit(log_maps, target=target)
    mean = VolumeMean()(block(log_maps, torch.zeros(6, 64, 48, 48)))
    assert float(block.width) == pytest.approx(0.6 / 0.05 / (2 * math.sqrt(math.pi)), rel=1e-3)
    assert torch.allclose(mean, target, atol=2e-3)


def test_depth_sets_the_cells(log_maps):
    """Twice the depth, half the density; an unknown depth counts as the setting."""
    block = ColumnClosingVolume(8, cell_size_pc=0.5)  # 4 pc
    logits = torch.randn(6, 8, 48, 48)
    depth = torch.full((6, 1, 1, 1), math.log10(8.0))
    depth[3:] = torch.nan
    cube, plain = block(log_maps, logits, depth), block(log_maps, logits)
    assert torch.allclose(cube[:3], plain[:3] - math.log10(2), atol=5e-6)
    assert torch.equal(cube[3:], plain[3:])
    always = ColumnClosingVolume(8, cell_size_pc=None)
    assert torch.isnan(always(log_maps, logits, depth)[3:]).all()


def test_the_cube_becomes_a_cloud(model, log_maps):
    """Its projections are the map it was made from, and the network's own answers."""
    one = {"column_density": log_maps[:1]}
    cloud = predicted_cube(model, one, pixel_size_pc=0.05)
    assert cloud.shape == (24, 48, 48)
    raw = {name: 10 ** values.detach().double().numpy()[0, 0] for name, values in model(one).items()}
    assert mass_weighted_density(cloud) == pytest.approx(raw["mass_weighted_density"], rel=1e-4)
    assert max_density(cloud) == pytest.approx(raw["max_density"], rel=1e-4)
    for match, inputs, size in [
        ("expected one image, got 6", {"column_density": log_maps}, 0.05),
        ("a whole number of pixels", one, 0.07),
    ]:
        with pytest.raises(ValueError, match=match):
            predicted_cube(model, inputs, pixel_size_pc=size)


def test_where_the_map_is_blank_the_cube_is(model, log_maps):
    log_maps[0, 0, 5, 6] = torch.nan
    blank = torch.isnan(model.volume({"column_density": log_maps}))
    assert blank.all(dim=1).sum() == blank.any(dim=1).sum() == 1


def test_bad_input(log_maps):
    for make, match in [
        (lambda: ColumnClosingVolume(1), "depth_cells: expected at least 2"),
        (lambda: ColumnClosingVolume(8, cell_size_pc=0.0), "cell_size_pc: expected a positive"),
        (lambda: ColumnClosingVolume(8)(log_maps, torch.zeros(6, 9, 48, 48)), "set depth_cells=9"),
        (lambda: ColumnClosingVolume(8)(log_maps, torch.zeros(6, 8, 48, 48)), "needs the length of a depth cell"),
        (lambda: build_model(Blueprint.unet(2, 4)).volume({"column_density": log_maps}), "volume: expected a network"),
        (lambda: Blueprint.preset("volume", cell_size_pc=None), "expected the length of a depth cell"),
        (lambda: Blueprint.preset("volume", outputs=("density_cube",)), "a map first"),
        (lambda: Blueprint.preset("volume", inputs=("column_density", "depth")), "'pixel_size' among the inputs"),
        (lambda: build_model(Blueprint.preset("volume", **SETTINGS)).heads["max_density"].quantile(None, 0.5), "quantile"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            make()
