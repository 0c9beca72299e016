"""Losses: formulas by hand, limits, what they do not see, blank pixels, sums, heads."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from polaris_lab.models.heads import GaussianHead, PointHead, QuantileHead
from polaris_lab.training import losses_heads, losses_maps
from polaris_lab.training.losses import LOSSES, mean_square, objective, parse_loss, register_loss

VALUES = ("mse", "huber", "density_weighted", "gradient", "spectral")


def maps(seed: int = 0, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = 3 + torch.randn(3, 1, size, size, generator=generator)
    return target + 0.3 * torch.randn(target.shape, generator=generator), target


def model(head=None):
    return SimpleNamespace(heads={"density": head or PointHead()})


def test_a_loss_of_ones_own_can_be_named(monkeypatch):
    monkeypatch.setattr("polaris_lab.training.losses.LOSSES", dict(LOSSES))

    @register_loss("absolute")
    def absolute(predicted, target):
        return (predicted - target).abs().flatten(1).mean(dim=1)

    ones = torch.ones(2, 1, 1, 1)
    assert objective("absolute", model())(ones, 0 * ones).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"register_loss\('mse'\): this name is taken"):
        register_loss("mse")(mean_square)


@pytest.mark.parametrize("name", VALUES)
def test_a_perfect_prediction_costs_nothing(name):
    _, target = maps()
    assert LOSSES[name](target, target).tolist() == [0, 0, 0]
    predicted, target = maps()
    assert (LOSSES[name](predicted, target) > 0).all()


@pytest.mark.parametrize("name", VALUES)
def test_each_image_has_its_own_number(name):
    predicted, target = maps()
    together = LOSSES[name](predicted, target)
    alone = torch.cat([LOSSES[name](predicted[i : i + 1], target[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    assert torch.allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("name", VALUES)
def test_blank_pixels_have_no_weight_and_no_gradient(name):
    predicted, target = maps()
    target[:, :, 2:5, 3:7] = torch.nan
    predicted.requires_grad_(True)
    loss = LOSSES[name](predicted, target)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad[:, :, 2:5, 3:7] == 0).all()
    assert (predicted.grad[:, :, 10:, 10:] != 0).any()
    changed = predicted.detach().clone()
    changed[:, :, 2:5, 3:7] += 7.0
    assert torch.allclose(LOSSES[name](changed, target), loss.detach())


@pytest.mark.parametrize("name", VALUES)
def test_gradients_are_those_of_finite_differences(name):
    predicted, target = (x.double() for x in maps(size=6))
    predicted.requires_grad_(True)
    tolerance = 1e-2 if name == "spectral" else 1e-4  # its transform is taken in float32
    if name == "spectral":
        step = torch.zeros_like(predicted)
        step[0, 0, 2, 3] = 1e-2
        (slope,) = torch.autograd.grad(LOSSES[name](predicted, target).sum(), predicted)
        with torch.no_grad():
            difference = (
                LOSSES[name](predicted + step, target) - LOSSES[name](predicted - step, target)
            ).sum()
        assert slope[0, 0, 2, 3].item() == pytest.approx(difference.item() / 2e-2, rel=tolerance)
        return
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target), (predicted,), atol=tolerance)


def test_huber_is_the_square_inside_and_a_line_of_equal_slope_outside():
    error = torch.tensor([0.05, 0.3, 0.300001, 1.3])[:, None, None, None]
    values = losses_maps.huber(error, torch.zeros_like(error), 0.3)
    assert values.tolist() == pytest.approx([0.0025, 0.09, 0.09, 0.3 * (2.6 - 0.3)], rel=1e-4)


def test_density_weighted_is_equation_15():
    predicted, target = maps()
    weight = (10 ** target.double() / 1e3) ** 0.5
    expected = (weight * (predicted - target).double() ** 2).mean(dim=(1, 2, 3))
    assert torch.allclose(losses_maps.density_weighted(predicted, target, 0.5).double(), expected, rtol=1e-5)
    assert torch.allclose(
        losses_maps.density_weighted(predicted, target, 0.0), mean_square(predicted, target)
    )


def test_slopes_are_those_of_numpy_and_levels_do_not_count():
    predicted, target = maps()
    error = (predicted - target).numpy()
    expected = sum(np.abs(np.diff(error, axis=axis)).mean(axis=(1, 2, 3)) for axis in (2, 3))
    assert losses_maps.gradient(predicted, target).numpy() == pytest.approx(expected, rel=1e-5)
    assert losses_maps.gradient(predicted + 3, target).numpy() == pytest.approx(expected, rel=1e-4)


def test_the_spectrum_knows_the_scale_and_not_the_place():
    """A wave of half the amplitude has a quarter of the power on its ring; a turned map has the same spectrum."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    wave = torch.sin(2 * math.pi * (4 * x + 0 * y) / 32)[None, None]
    spectrum = losses_maps._ring_power(wave)[0]
    assert int(spectrum.argmax()) + 1 == 4
    predicted, target = maps(size=32)
    assert losses_maps.spectral(target.rot90(1, (2, 3)), target) == pytest.approx(torch.zeros(3), abs=1e-4)
    half = losses_maps.spectral(0.5 * target, target)
    assert half.tolist() == pytest.approx([math.log10(4)] * 3, rel=1e-3)
    with pytest.raises(ValueError, match="at least 4 pixels, got 3 x 3"):
        losses_maps.spectral(predicted[..., :3, :3], target[..., :3, :3])


def test_likelihoods_are_those_of_scipy():
    from scipy import stats

    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(2, 2, 8, 8, generator=generator)
    target = torch.randn(2, 1, 8, 8, generator=generator)
    expected = -stats.norm.logpdf(target[:, 0], raw[:, 0], raw[:, 1].exp()) - 0.5 * math.log(2 * math.pi)
    assert losses_heads.negative_log_likelihood(raw, target).numpy() == pytest.approx(
        expected.mean(axis=(1, 2)), rel=1e-4
    )
    weighted = (raw[:, 1].exp().numpy() * expected).mean(axis=(1, 2))  # sigma^(2 beta) with beta = 1/2
    assert losses_heads.beta_negative_log_likelihood(raw, target).numpy() == pytest.approx(weighted, rel=1e-4)


def test_beta_one_pulls_the_mean_as_a_square_does():
    raw = torch.tensor([[[[1.0]], [[0.7]]]], requires_grad=True)
    target = torch.tensor([[[[3.0]]]])
    losses_heads.beta_negative_log_likelihood(raw, target, 1.0).sum().backward()
    assert raw.grad[0, 0, 0, 0].item() == pytest.approx(1.0 - 3.0)


@pytest.mark.parametrize("name", ["nll", "beta_nll", "quantile"])
def test_blank_pixels_do_not_train_a_spread(name):
    raw = torch.randn(2, {"quantile": 5}.get(name, 2), 8, 8, requires_grad=True)
    target = torch.randn(2, 1, 8, 8)
    target[:, :, :2] = torch.nan
    LOSSES[name](raw, target).sum().backward()
    assert (raw.grad[:, :, :2] == 0).all()
    assert (raw.grad[:, :, 2:] != 0).all()


def test_the_quantile_loss_is_smallest_at_the_quantiles():
    draws = torch.linspace(0.0005, 0.9995, 1000).reshape(1, 1, 1, 1000)  # of the uniform distribution
    levels = (0.1, 0.5, 0.8)
    raw = torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1).requires_grad_(True)
    optimizer = torch.optim.SGD([raw], lr=0.5)
    loss = objective("quantile", model(QuantileHead(levels)))
    for _ in range(200):
        optimizer.zero_grad()
        loss(raw.expand(1, 3, 1, 1000), draws).sum().backward()
        optimizer.step()
    assert raw.flatten().tolist() == pytest.approx(levels, abs=0.01)


def test_sums_weights_and_settings():
    predicted, target = maps()
    total = objective("mse + 0.5*gradient+1e-1 * huber(0.2)", model())(predicted, target)
    expected = (
        mean_square(predicted, target)
        + 0.5 * losses_maps.gradient(predicted, target)
        + 0.1 * losses_maps.huber(predicted, target, 0.2)
    )
    assert torch.allclose(total, expected)
    assert [term.weight for term in parse_loss("1e+1*mse+2*huber")] == [10.0, 2.0]
    assert [term.name for term in parse_loss("mse+huber")] == ["mse", "huber"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mze", "unknown name 'mze': did you mean 'mse'"),
        ("mse + hubber", "did you mean 'huber'"),
        ("", r'expected names .* such as "mse \+ 0\.5\*gradient"'),
        ("mse gradient", "expected names"),
        ("-1*mse", "positive number as the weight of mse, got '-1'"),
        ("two*mse", "positive number as the weight of mse"),
        ("huber(0)", "positive number as the setting of huber"),
        ("mse(2)", r"expected mse without a setting, which it does not have, got 'mse\(2\)'"),
        ("quantile(2)", "without a setting"),
        (None, r"loss: expected a name, .* got None"),
        (3, r"loss: expected a name, .* got 3"),
    ],
)
def test_what_is_no_loss_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_loss(text)


def test_losses_and_heads_must_fit():
    gaussian = model(GaussianHead())
    with pytest.raises(ValueError, match=r"expected one for a gaussian head.*got 'mse'.*nll, beta_nll"):
        objective("mse", gaussian)
    with pytest.raises(ValueError, match=r"got 'quantile' for a quantiles head"):
        objective("nll + quantile", gaussian)
    with pytest.raises(ValueError, match=r"expected one for a point head.*got 'nll'"):
        objective("mse + nll", model())
    raw, (_, target) = torch.randn(3, 2, 16, 16), maps()
    mixed = objective("beta_nll + 0.5*gradient", gaussian)(raw, target)
    expected = LOSSES["beta_nll"](raw, target) + 0.5 * LOSSES["gradient"](raw[:, :1], target)
    assert torch.allclose(mixed, expected)
    assert torch.allclose(objective("auto", gaussian)(raw, target), LOSSES["beta_nll"](raw, target))


def test_validation_is_judged_by_a_proper_score():
    """A Gaussian answer that is right scores better the smaller its spread; "beta_nll" alone turns at 0.22 dex."""
    draws = torch.linspace(-2.5, 2.5, 201)[None, None, None]
    weights = torch.exp(-(draws**2) / 2)

    def score(spread: float, *, judging: bool) -> float:
        loss = objective("0.5*beta_nll", model(GaussianHead()), judging=judging)
        raw = torch.stack((torch.zeros(201), torch.full((201,), spread).log()), 1)[:, :, None, None]
        each = loss(raw, (spread * draws).reshape(201, 1, 1, 1))
        return ((each * weights.flatten()).sum() / weights.sum()).item()

    spreads = (0.4, 0.2, 0.1, 0.05)
    judged = [score(spread, judging=True) for spread in spreads]
    assert judged == sorted(judged, reverse=True)
    assert judged[1] - judged[2] == pytest.approx(0.5 * np.log(2), rel=1e-4)
    learned = [score(spread, judging=False) for spread in spreads]
    assert learned[-1] > learned[-2] > learned[-3]
