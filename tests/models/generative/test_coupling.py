"""Invertible maps: the inverse is exact, and the log determinant is that of the Jacobian."""

from __future__ import annotations

import math

import pytest
import torch

from polaris_lab.models.generative.coupling import affine, spline
from polaris_lab.models.generative.invertible import Invertible

CASES = [(1, "spline"), (1, "affine"), (2, "spline"), (2, "affine"), (5, "spline"), (5, "affine")]


def flow(size: int, coupling: str, dtype: torch.dtype) -> Invertible:
    """Return an invertible network that is far from the identity."""
    network = Invertible(1, size, layers=1, base_filters=4, features=6, couplings=4, coupling=coupling)
    with torch.no_grad():
        for step in network.steps:
            step.layers[-1].weight.mul_(5)
            step.layers[-1].bias.normal_(std=0.5)
    return network.to(dtype)


@pytest.mark.parametrize(("size", "coupling"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_inverse_is_exact(size, coupling, dtype, tolerance):
    network = flow(size, coupling, dtype)
    y, features = 2 * torch.randn(500, size, dtype=dtype), torch.randn(500, 6, dtype=dtype)
    with torch.no_grad():
        z, _ = network.to_noise(y, features)
        back = network.from_noise(z, features)
    assert float((z - y).abs().max()) > 0.5
    error = ((back - y).abs() / (1 + y.abs())).max()
    assert float(error) < tolerance


@pytest.mark.parametrize(("size", "coupling"), CASES)
def test_the_determinant_is_that_of_the_jacobian(size, coupling):
    network = flow(size, coupling, torch.float64)
    for _ in range(5):
        y, features = 2 * torch.randn(size, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda x: network.to_noise(x, features)[0], y)  # noqa: B023
        _, logarithm = network.to_noise(y, features)
        expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
        torch.testing.assert_close(logarithm, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("curve", [affine, spline])
def test_forth_and_back_have_opposite_determinants(curve):
    x = torch.randn(50, 3, dtype=torch.float64)
    parameters = torch.randn(50, 3, 2 if curve is affine else 17, dtype=torch.float64)
    y, forth = curve(x, parameters)
    _, back = curve(y, parameters, inverse=True)
    torch.testing.assert_close(forth, -back, rtol=0, atol=1e-9)


def test_the_spline_rises_everywhere_without_a_kink():
    parameters = 2 * torch.randn(1, 1, 23, dtype=torch.float64)
    x = torch.linspace(-6, 6, 60_001, dtype=torch.float64)[:, None]
    y, logarithm = spline(x, parameters.expand(60_001, 1, 23))
    assert bool((y.diff(dim=0) > 0).all())
    assert (
        float(logarithm.diff().abs().max()) < 0.2
    )  # its slope has no jump, at knots and at the ends neither
    slope = (y.diff(dim=0) / x.diff(dim=0))[:, 0].log()
    torch.testing.assert_close(slope, 0.5 * (logarithm[1:] + logarithm[:-1]), rtol=0, atol=0.02)
    outside = x.abs() >= 5
    assert torch.equal(y[outside], x[outside])


@pytest.mark.parametrize("coupling", ["spline", "affine"])
def test_the_density_integrates_to_one(coupling):
    network = flow(1, coupling, torch.float64)
    network.requires_grad_(False)
    y = torch.linspace(-60, 60, 60_001, dtype=torch.float64)
    image = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    features = network._features(image)[0, 0, 0].expand(len(y), -1)
    z, logarithm = network.to_noise(y[:, None], features)
    density = torch.exp(logarithm - 0.5 * z[:, 0] ** 2) / math.sqrt(2 * math.pi)
    assert float(torch.trapezoid(density, y)) == pytest.approx(1, abs=1e-3)
