"""The loss of cubes: by hand, blind to front and back, and free of the density's level."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.training.losses import objective
from polaris_lab.training.volume_losses import cumulative_volume


def cube(*shares: float) -> torch.Tensor:
    return torch.tensor(shares).log10().reshape(1, -1, 1, 1)


def test_by_hand():
    """All gas in the first of four cells against the second: one cell of four apart, 1/4 of the depth."""
    tiny = 1e-12
    first, second = cube(1, tiny, tiny, tiny), cube(tiny, 1, tiny, tiny)
    assert cumulative_volume(first, second).item() == pytest.approx(0.25, abs=1e-6)
    assert cumulative_volume(first, cube(tiny, tiny, tiny, 1)).item() == pytest.approx(
        0.0, abs=1e-6
    )  # mirrored
    assert cumulative_volume(first, cube(tiny, tiny, 1, tiny)).item() == pytest.approx(0.25, abs=1e-6)


def test_the_mirror_is_one_for_an_image():
    """Two lines of sight that would need different mirrors do not fit, whichever is taken."""
    truth = torch.cat([cube(8, 1, 1, 1), cube(1, 1, 1, 8)], dim=3)
    same = torch.cat([cube(8, 1, 1, 1), cube(8, 1, 1, 1)], dim=3)
    assert cumulative_volume(truth.flip(1), truth) == 0
    assert cumulative_volume(same, truth) > 0.1


def test_level_and_blanks():
    """N -> lambda N changes nothing; a blank line of sight has no weight; images are told apart."""
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.randn(2, 3, 5, 4, 4, generator=generator)
    loss = cumulative_volume(predicted, target)
    assert loss.shape == (3,)
    assert torch.allclose(cumulative_volume(predicted + 2, target - 1), loss, atol=1e-6)
    target[1, 2, 0, 0] = torch.nan
    predicted[1, :, 0, 0] = 30.0
    holed = cumulative_volume(predicted, target)
    assert torch.isfinite(holed).all()
    assert torch.equal(holed[[0, 2]], loss[[0, 2]])


def test_it_is_the_loss_of_a_cube():
    outputs = ("mass_weighted_density", "density_cube")
    model = build_model(Blueprint.preset("volume", depth_cells=4, layers=2, base_filters=4, outputs=outputs))
    raw = model({"column_density": torch.full((2, 1, 16, 16), 21.5)})
    target = {name: values.detach() + 0.1 for name, values in raw.items()}
    target["density_cube"][:, 0] += 1.0
    loss = objective("auto", model)(raw, target)
    expected = 0.1**2 + cumulative_volume(raw["density_cube"], target["density_cube"])
    assert torch.allclose(loss, expected, atol=1e-5)
    loss.sum().backward()
    with pytest.raises(ValueError, match="loss: expected one for a volume head, which 'density_cube' has"):
        objective("mse", model)
    with pytest.raises(ValueError, match="build the dataset with depth_cells=4"):
        cumulative_volume(raw["density_cube"], target["density_cube"][:, :2])
