"""What a raw answer means: values, Gaussians and quantiles."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from polaris_lab.models import Blueprint, GaussianHead, PointHead, QuantileHead, build_model, heads
from polaris_lab.models.residuals import GaussianResidual, QuantileResidual


def gaussian(mean: float, sigma: float, size: int = 1) -> torch.Tensor:
    return torch.stack([torch.full((size, size), mean), torch.full((size, size), math.log(sigma))])[None]


@pytest.mark.parametrize("level", [0.025, 0.16, 0.5, 0.9])
def test_gaussian_quantiles_are_those_of_scipy(level):
    value = float(GaussianHead().quantile(gaussian(3.0, 0.2), level))
    assert value == pytest.approx(stats.norm(3.0, 0.2).ppf(level), abs=1e-5)


@pytest.mark.parametrize("level", [0.001, 0.1, 0.3, 0.5, 0.7, 0.999])
def test_quantiles_of_a_gaussian_are_interpolated_and_continued_exactly(level):
    head = QuantileHead()
    law = stats.norm(2.0, 0.3)
    raw = torch.tensor([law.ppf(q) for q in head.levels]).reshape(1, -1, 1, 1)
    assert float(head.quantile(raw, level)) == pytest.approx(law.ppf(level), abs=1e-5)
    assert float(head.sigma(raw)) == pytest.approx(0.3 * stats.norm.ppf(0.84), abs=1e-5)


@pytest.mark.parametrize("kind", ["gaussian", "quantiles"])
def test_samples_have_the_distribution_they_are_drawn_from(kind):
    raw, head = gaussian(3.0, 0.2, 200), GaussianHead()
    if kind == "quantiles":
        head = QuantileHead()
        raw = torch.cat([GaussianHead().quantile(raw, q) for q in head.levels], dim=1)
    drawn = head.sample(raw, torch.Generator().manual_seed(1)).flatten().numpy()
    assert stats.kstest(drawn, stats.norm(3.0, 0.2).cdf).pvalue > 0.01


def test_a_value_has_no_quantiles():
    with pytest.raises(ValueError, match='head="gaussian"'):
        PointHead().quantile(torch.zeros(1, 1, 2, 2), 0.5)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.2])
def test_levels_outside_are_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        GaussianHead().quantile(gaussian(0, 1), level)


@pytest.mark.parametrize("levels", [(0.1, 0.9), (0.5, 0.1, 0.9), (0.1, 0.4, 0.9), (0.0, 0.5, 0.9)])
def test_levels_must_increase_and_hold_the_median(levels):
    with pytest.raises(ValueError, match="levels: expected"):
        QuantileHead(levels)


def test_quantiles_of_any_correction_are_sorted():
    answer = QuantileResidual()(torch.zeros(2, 1, 8, 8), 30 * torch.randn(2, 5, 8, 8))
    assert (answer.diff(dim=1) >= 0).all()


def test_the_spread_of_any_correction_is_finite_and_positive():
    block = GaussianResidual()
    extreme = torch.tensor([-1e4, 0.0, 1e4]).reshape(1, 1, 1, 3).expand(1, 2, 1, 3)
    sigma = GaussianHead().sigma(block(torch.zeros(1, 1, 1, 3), extreme))
    assert torch.isfinite(sigma).all()
    assert (sigma > 0).all()
    assert sigma[0, 0, 0, 1] == pytest.approx(1.0)  # a correction of zero leaves the baseline's scatter


@pytest.mark.parametrize("head", ["gaussian", "quantiles"])
def test_a_fitted_head_starts_with_the_scatter_about_its_baseline(head):
    """Zeros from the network: the value is the baseline's and the spread what the baseline leaves over."""
    generator = torch.Generator().manual_seed(0)
    column = 21 + 0.4 * torch.randn(6, 1, 16, 16, generator=generator)
    target = column - 18 + 0.25 * torch.randn(6, 1, 16, 16, generator=generator)
    model = build_model(Blueprint.unet(2, 4, head=head)).eval()
    model.fit_constants({"column_density": column}, target)
    torch.nn.init.zeros_(model.nodes["correction"].last.weight)
    with torch.no_grad():
        raw = model({"column_density": column})
    rms = float((model.point(raw) - target).square().mean().sqrt())
    assert rms < 0.3
    if head == "gaussian":
        assert float(model.heads[model.blueprint.output].sigma(raw).mean()) == pytest.approx(rms, rel=0.02)


def test_an_unknown_head_is_met_with_the_known():
    with pytest.raises(ValueError, match="did you mean 'gaussian'"):
        Blueprint.unet(2, 4, head="gausian")


def test_every_head_names_its_channels():
    assert {kind: head().channels for kind, head in heads.HEADS.items()} == {
        "point": 1,
        "gaussian": 2,
        "quantiles": 5,
    }
