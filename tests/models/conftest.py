"""Small networks and maps of log column density that look like clouds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polaris_lab.models import Blueprint, BlueprintModel, build_model


@pytest.fixture(autouse=True)
def seed() -> None:
    """Each test draws the same weights, alone or in a suite."""
    torch.manual_seed(2)


@pytest.fixture
def log_maps() -> Tensor:
    """Six smooth random maps of log10 N_H, about 21.5 +- 0.4 dex, of shape (6, 1, 48, 48), float32."""
    noise = torch.randn(6, 1, 64, 64, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    smooth = nn.functional.avg_pool2d(noise, kernel_size=17, stride=1)
    return (21.5 + 0.4 * smooth / smooth.std()).float()


@pytest.fixture
def log_target(log_maps: Tensor) -> Tensor:
    """A density that grows as N^1.4, with 0.1 dex of scatter."""
    noise = torch.randn(log_maps.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return (1.4 * (log_maps.double() - 21) + 2.5 + 0.1 * noise).float()


@pytest.fixture
def disturb() -> Callable[[nn.Module], nn.Module]:
    """Give normalisations random statistics and weights, as training would; return the model for evaluation."""

    def disturb(model: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for values, low in (
                    (module.running_var, 0.5),
                    (module.weight.data, 0.5),
                    (module.bias.data, -0.3),
                ):
                    values.copy_(low + torch.rand(values.shape, generator=generator))
                module.running_mean.copy_(0.2 * torch.randn(module.running_mean.shape, generator=generator))
        return model.eval()

    return disturb


@pytest.fixture
def learns(log_maps: Tensor, log_target: Tensor) -> Callable[[Blueprint], BlueprintModel]:
    """Check that a blueprint survives JSON and that three steps lower its error; return the model."""

    def learns(blueprint: Blueprint) -> BlueprintModel:
        assert Blueprint.from_json(blueprint.to_json()) == blueprint
        model = build_model(blueprint).fit_constants({"column_density": log_maps}, log_target)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        errors = []
        for _ in range(4):
            optimizer.zero_grad()
            error = (model.point(model({"column_density": log_maps})) - log_target).square().mean()
            error.backward()
            optimizer.step()
            errors.append(float(error.detach()))
        assert errors[-1] < errors[0]
        return model

    return learns
