"""A problem whose answer is known in each pixel: y given x is Gaussian, with a mean and a spread that depend on x."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from polaris_lab.models.generative import Generative


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    yield
    torch.set_num_threads(threads)


def mean_of(x: Tensor) -> Tensor:
    """Return a x + b."""
    return 0.3 * x + 2.0


def spread_of(x: Tensor) -> Tensor:
    """Return s(x), from 0.15 to 0.3."""
    return 0.15 + 0.15 * torch.sigmoid(2 * x)


def draw(count: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return baseline (zeros), condition x, and y ~ N(a x + b, s(x)^2), each (count, 1, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, size, size, generator=generator)
    y = mean_of(x) + spread_of(x) * torch.randn(x.shape, generator=generator)
    return torch.zeros_like(x), x, y


@pytest.fixture
def learn() -> Callable[[Generative, int], Generative]:
    """Train a block on the problem, for a number of steps of Adam with the learning rate going down to zero."""

    def learn(block: Generative, steps: int) -> Generative:
        baseline, _, y = draw(16, 32, 1)
        block.fit(baseline, target=y)
        optimizer = torch.optim.Adam(block.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
        generator = torch.Generator().manual_seed(2)
        for step in range(steps):
            baseline, x, y = draw(8, 12, 100 + step)
            loss = block.training_loss([baseline, x], y, generator).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return block.eval()

    return learn
