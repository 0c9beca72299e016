"""The loss of cubes: by hand, blind to front and back, and free of the density's level."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from polaris_lab.models import Blueprint, build_model
from polaris_lab.training.losses import objective
from polaris_lab.training.volume_losses import cumulative_volume
from polaris_lab.units import PARSEC


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


def flowing_clouds(count: int, generator: torch.Generator) -> tuple[dict, dict]:
    """Clouds that flow apart with v = z, seen in an optically thin line: channel k shows the gas of layer k."""
    noise = torch.randn(count, 1, 16, 28, 28, generator=generator)
    smooth = functional.avg_pool3d(noise, 5, 1)[:, 0]  # (count, 12, 24, 24)
    cube = 2.5 + 0.5 * smooth / smooth.std()
    density = 10**cube
    column = (density.sum(dim=1, keepdim=True) * 0.2 * PARSEC).log10()
    mean = ((density**2).sum(dim=1, keepdim=True) / density.sum(dim=1, keepdim=True)).log10()
    return {"column_density": column, "ppv_cube": density / 100}, {
        "mass_weighted_density": mean,
        "density_cube": cube,
    }


@pytest.mark.slow
def test_velocities_that_follow_depth_are_learned():
    """Where v = z the line says where the gas is: trained on it, a network places gas twice as well as without."""
    errors = []
    for inputs, choices in (
        (("column_density", "ppv_cube"), {"velocity_channels": 12, "line": "projection"}),
        (("column_density",), {}),
    ):
        generator = torch.Generator().manual_seed(0)
        truth = flowing_clouds(16, generator)
        blueprint = Blueprint.preset("volume", inputs=inputs, depth_cells=12, cell_size_pc=0.2, layers=2, base_filters=8,
                                     reference_scale=4.0, outputs=("mass_weighted_density", "density_cube"), **choices)  # fmt: skip
        model = build_model(blueprint)
        model.fit_constants({name: truth[0][name] for name in inputs}, truth[1])
        loss, optimizer = objective("auto", model), torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(120):
            given, target = flowing_clouds(8, generator)
            optimizer.zero_grad()
            loss(model(given), target).mean().backward()
            optimizer.step()
        with torch.no_grad():
            answer = model.eval()(truth[0])
        residual = answer["mass_weighted_density"] - truth[1]["mass_weighted_density"]
        moved = cumulative_volume(answer["density_cube"], truth[1]["density_cube"])
        errors.append((float(moved.mean()), float(residual.square().mean().sqrt())))
    (placed, dex), (placed_without, dex_without) = errors
    assert placed < 0.65 * placed_without
    assert dex < 0.9 * dex_without
