"""Exact fields lead to the exact distribution; small networks learn a distribution that is known."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models.generative.bridge import Bridge, back, bridge_noise
from polaris_lab.models.generative.diffusion import Diffusion, antithetic_levels
from polaris_lab.models.generative.flow_matching import FlowMatching, integrate
from polaris_lab.models.generative.invertible import Invertible
from polaris_lab.models.generative.protocol import Generative
from polaris_lab.models.generative.schedulers import make_scheduler, signal_power
from tests.models.generative.conftest import draw, mean_of, spread_of

MEAN, SPREAD = 1.5, 0.4


def exact_velocity(x: torch.Tensor, time: float) -> torch.Tensor:
    """Return E[y - e | x_t] for y ~ N(m, s^2): x_t has mean t m and variance (1 - t)^2 + t^2 s^2."""
    variance = (1 - time) ** 2 + time**2 * SPREAD**2
    return MEAN + (time * SPREAD**2 - (1 - time)) / variance * (x - time * MEAN)


def test_the_exact_velocity_leads_to_the_target():
    """For Gaussians the path from noise e ends at m + s e; Euler's error halves with the step."""
    noise = torch.randn(1, 1, 40, 50, dtype=torch.float64)
    truth = MEAN + SPREAD * noise
    errors = [
        float((integrate(exact_velocity, noise, steps) - truth).abs().max()) for steps in (100, 200, 400)
    ]
    assert errors[0] < 0.05
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.05)
    assert errors[2] / errors[1] == pytest.approx(0.5, abs=0.05)


def test_one_step_of_the_exact_velocity_is_the_mean():
    noise = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(integrate(exact_velocity, noise, 1), torch.full_like(noise, MEAN))


def test_few_steps_give_too_small_a_spread():
    """One step gives none; the spread grows with their number, up to the true one."""
    noise = torch.randn(1, 1, 100, 100, dtype=torch.float64)
    spreads = [float(integrate(exact_velocity, noise, steps).std()) / SPREAD for steps in (1, 2, 4, 8, 16)]
    assert spreads == sorted(spreads)
    assert spreads[0] < 1e-9
    assert 0.7 < spreads[3] < 1
    assert 0.85 < spreads[4] < 1.02


def exact_noise(x: torch.Tensor, time: float) -> torch.Tensor:
    """Return E[e | x_t] for y ~ N(m, s^2)."""
    power = float(signal_power()[round(time * 1000)])
    return (1 - power) ** 0.5 * (x - power**0.5 * MEAN) / (power * SPREAD**2 + 1 - power)


@pytest.mark.parametrize(
    ("scheduler", "steps", "tolerance"), [("ddim", 250, 0.02), ("dpm_solver", 100, 0.02)]
)
def test_the_exact_noise_leads_to_the_target(scheduler, steps, tolerance):
    block = Diffusion(base_filters=4, layers=1, scheduler=scheduler)
    block.extent.fill_(10.0)
    noise = torch.randn(1, 1, 100, 100, dtype=torch.float64)
    end = block.generate(exact_noise, noise, steps, torch.Generator().manual_seed(0))
    torch.testing.assert_close(end, MEAN + SPREAD * noise, rtol=0, atol=tolerance * 4)
    assert float(end.mean()) == pytest.approx(MEAN, abs=tolerance)
    assert float(end.std()) == pytest.approx(SPREAD, rel=0.03)


def test_ancestral_sampling_leads_to_the_target_with_noise_of_its_own():
    block = Diffusion(base_filters=4, layers=1, scheduler="ddpm")
    block.extent.fill_(10.0)
    noise = torch.randn(1, 1, 60, 60)
    first, again, other = (
        block.generate(exact_noise, noise, 400, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(first.std()) == pytest.approx(SPREAD, rel=0.05)


def test_the_schedulers_signal_is_that_of_the_formula():
    beta = [1e-4 + (0.02 - 1e-4) * level / 999 for level in range(1000)]
    product, expected = 1.0, []
    for value in beta:
        product *= 1 - value
        expected.append(product)
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(signal_power(), expected, rtol=1e-12, atol=0)
    choices = {"steps": 10, "levels": 1000, "beta_start": 1e-4, "beta_end": 0.02}
    for name in ("ddim", "ddpm", "dpm_solver"):
        scheduler = make_scheduler(name, **choices)
        torch.testing.assert_close(scheduler.alphas_cumprod.double(), expected, rtol=2e-5, atol=0)
        assert int(scheduler.timesteps[0]) == 999  # from pure noise
        assert len(scheduler.timesteps) == 10


def bridge() -> Bridge:
    return Bridge(base_filters=4, layers=1)


def exact_bridge(x: torch.Tensor, time: float) -> torch.Tensor:
    """Return E[(x_t - y) / s_f | x_t] for y ~ N(m, s^2) and a start of deviation 0.1 about 0."""
    noise = bridge_noise()
    forward = float(noise[round(time * 1000)])
    share = (forward / float(noise[-1])) ** 2
    variance = (1 - share) ** 2 * SPREAD**2 + (0.1 * share) ** 2 + forward**2 * (1 - share)
    clean = MEAN + (1 - share) * SPREAD**2 / variance * (x - (1 - share) * MEAN)
    return (x - clean) / forward


def test_the_exact_bridge_leads_to_the_target():
    """From a start that knows nothing of y, by noise of its own: the spread grows with the steps, up to the true one."""
    noise = torch.randn(1, 1, 150, 150, dtype=torch.float64)
    ends = {
        steps: bridge().generate(exact_bridge, noise, steps, torch.Generator().manual_seed(0))
        for steps in (1, 8, 32, 400)
    }
    torch.testing.assert_close(ends[1], torch.full_like(noise, MEAN), rtol=0, atol=0.01)
    spreads = [float(end.std()) / SPREAD for end in ends.values()]
    assert spreads == sorted(spreads)
    assert spreads[0] < 0.02
    assert spreads[2] > 0.9
    assert spreads[3] == pytest.approx(1, abs=0.02)
    assert float(ends[400].mean()) == pytest.approx(MEAN, abs=0.01)
    again = bridge().generate(exact_bridge, noise, 8, torch.Generator().manual_seed(0))
    assert torch.equal(again, ends[8])


def test_the_noise_of_a_bridge_is_the_same_from_both_ends():
    """s_f^2 + s_b^2 is the whole noise; half of it lies on either side of the middle."""
    square = bridge_noise(1000).square()
    beta = torch.diff(square, prepend=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(beta, beta.flip(0), rtol=1e-9, atol=1e-15)
    assert float(square[499]) == pytest.approx(0.5 * float(square[-1]), rel=1e-9)
    assert float(beta[0]) == pytest.approx(1e-4, rel=1e-6)
    assert float(beta.max()) < 0.3 / 1000


def test_two_steps_back_are_one():
    """The posterior of a bridge with a known end composes: mean and variance of two steps are those of one."""
    x, clean, zero = torch.tensor([1.3]), torch.tensor([-0.4]), torch.zeros(1)
    far, near = 0.37, 0.12
    for middle in (0.13, 0.25, 0.36):
        halfway = back(x, clean, far, middle, zero)
        torch.testing.assert_close(back(halfway, clean, middle, near, zero), back(x, clean, far, near, zero))
        first = float(back(zero, zero, far, middle, torch.ones(1)))
        second = float(back(zero, zero, middle, near, torch.ones(1)))
        whole = float(back(zero, zero, far, near, torch.ones(1)))
        assert ((near / middle) ** 2 * first) ** 2 + second**2 == pytest.approx(whole**2, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 3}, "levels: expected a whole number of at least 4, got 3"),
        ({"beta_max": 0.0}, "beta_max: expected a positive number, got 0.0"),
        ({"start_noise": -1.0}, "start_noise: expected a number of 0 or more, got -1.0"),
        ({"in_channels": 0}, "in_channels: expected a whole number of at least 1, got 0"),
    ],
)
def test_a_bridge_that_is_none(settings, message):
    with pytest.raises(ValueError, match=message):
        Bridge(layers=1, base_filters=4, **settings)


def test_levels_are_antithetic():
    levels = antithetic_levels(7, 1000, torch.Generator().manual_seed(0))
    assert torch.equal(levels[:3] + levels[4:], torch.full((3,), 999))
    assert int(levels.min()) >= 0
    assert int(levels.max()) <= 999


@pytest.mark.parametrize(
    ("kind", "settings", "steps", "sampling", "excess"),
    [
        pytest.param(FlowMatching, {"base_filters": 8}, 320, 48, 1.05, id="flow_matching"),
        pytest.param(Diffusion, {"base_filters": 8}, 380, 48, 1.12, id="diffusion"),
        pytest.param(Bridge, {"base_filters": 8}, 380, 48, 1.12, id="bridge"),
        pytest.param(
            Invertible,
            {"base_filters": 8, "features": 8, "couplings": 2, "bins": 6},
            220,
            1,
            1.05,
            id="invertible",
        ),
    ],
)
@pytest.mark.slow
def test_mean_and_spread_of_a_known_distribution_are_learnt(learn, kind, settings, steps, sampling, excess):
    """The spread s(x) is 0.18 below x = -0.5 and 0.28 above x = 0.5; a mean of 48 samples is off by s / 7 by itself,
    which is 2 % of `excess`, the mean square error over the least possible. Diffusion learns the mean more slowly.
    """
    block = learn(kind(layers=1, **settings), steps)
    baseline, x, y = draw(1, 24, 999)
    drawn = block.sample(
        [baseline, x], samples=48, steps=sampling, generator=torch.Generator().manual_seed(0)
    )
    mean = drawn.mean(dim=0)
    common = x.abs() < 2.5  # what few pixels show is not learnt in 400 steps
    assert float((mean - mean_of(x))[common].abs().mean()) < 0.045
    for part in (x < -0.5, x > 0.5):
        ratio = float(drawn.std(dim=0)[part].mean() / spread_of(x)[part].mean())
        assert ratio == pytest.approx(1, abs=0.15)
    best = float((y - mean_of(x))[common].square().mean())  # no estimate has less
    assert float((y - mean)[common].square().mean()) < excess * best
    with (
        torch.no_grad()
    ):  # the forward pass: the mean without drawing, but for the median of the invertible one
        assert float((block(baseline, x) - mean_of(x))[common].abs().mean()) < 0.045


@pytest.mark.slow
def test_two_numbers_of_a_line_of_sight_are_learnt_together(learn):
    """Mean and maximum: the second is never far from the first, which two separate posteriors would not know."""
    block = Invertible(1, 2, layers=1, base_filters=8, features=8, couplings=2, bins=6)
    optimizer = torch.optim.Adam(block.parameters(), lr=1e-2)

    def both(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        baseline, x, y = draw(6, 12, seed)
        second = y + 0.5 + 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed + 1))
        return baseline, x, torch.cat([y, second], dim=1)

    baseline, _, y = both(1)
    block.fit(baseline, target=y)
    for step in range(200):
        baseline, x, y = both(100 + step)
        loss = block.training_loss([baseline, x], y, torch.Generator()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    baseline, x, y = both(999)
    drawn = block.sample([baseline, x], samples=50, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (50, 6, 2, 12, 12)
    difference = drawn[:, :, 1] - drawn[:, :, 0]
    assert float(difference.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(difference.std()) == pytest.approx(0.05, rel=0.5)
    assert float(drawn[:, :, 0].std(dim=0).mean()) == pytest.approx(float(spread_of(x).mean()), rel=0.15)


def test_all_are_generative():
    for block in (kind(base_filters=4) for kind in (FlowMatching, Diffusion, Bridge, Invertible)):
        assert isinstance(block, Generative)
