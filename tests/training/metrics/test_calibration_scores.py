"""Uncertainties against closed forms, scipy, and draws of known distributions."""

import numpy as np
import pytest
from scipy import integrate, stats

from polaris_lab.training import metrics

RNG = np.random.default_rng(4)
MEAN = RNG.normal(3, 0.5, (6, 50, 50))
SIGMA = RNG.uniform(0.05, 0.3, MEAN.shape)
TRUE = 10 ** (MEAN + SIGMA * RNG.normal(size=MEAN.shape))
LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
QUANTILES = {level: 10 ** (MEAN + SIGMA * stats.norm.ppf(level)) for level in LEVELS}


def test_right_gaussians_are_covered_as_stated_and_uniform():
    pit = metrics.pit_gaussian(10**MEAN, SIGMA, TRUE)
    for level, share in metrics.coverage(pit).items():
        assert share == pytest.approx(level, abs=0.01)
    assert stats.kstest(pit, "uniform").pvalue > 1e-3


def test_wrong_widths_are_found_out():
    """Sigma too small by 2: 68 % intervals hold P(|z| < 1/2) = 38 %."""
    pit = metrics.pit_gaussian(10**MEAN, SIGMA / 2, TRUE)
    assert metrics.coverage(pit, [0.6826895])[0.6826895] == pytest.approx(0.3829, abs=0.01)


def test_quantiles_of_a_gaussian_give_its_pit_and_crps():
    pit = metrics.pit_quantiles(QUANTILES, TRUE)
    assert pit == pytest.approx(metrics.pit_gaussian(10**MEAN, SIGMA, TRUE), abs=1e-6)
    assert metrics.crps_quantiles(QUANTILES, TRUE) == pytest.approx(
        metrics.crps_gaussian(10**MEAN, SIGMA, TRUE), abs=2e-3
    )


@pytest.mark.parametrize(("z", "sigma"), [(0.0, 0.1), (1.0, 0.2), (-3.0, 0.3)])
def test_crps_of_a_gaussian_is_its_integral(z, sigma):
    """CRPS = integral of (F(x) - H(x - y))^2 dx."""

    def below(x):
        return stats.norm.cdf(x, 3, sigma)

    truth = 3 - z * sigma
    low = integrate.quad(lambda x: below(x) ** 2, 3 - 12 * sigma, truth)[0]
    high = integrate.quad(lambda x: (1 - below(x)) ** 2, truth, 3 + 12 * sigma)[0]
    score = metrics.crps_gaussian([[1e3]], [[sigma]], [[10**truth]])
    assert score[0] == pytest.approx(low + high, rel=1e-5)


def test_samples_have_the_crps_and_coverage_of_their_distribution():
    """The pairs-of-different-samples form is unbiased: its mean is that of the Gaussian with 4 samples already."""
    mean, sigma, true = MEAN[:2], SIGMA[:2], TRUE[:2]
    samples = 10 ** (mean + sigma * RNG.normal(size=(4, *mean.shape)))
    expected = metrics.crps_gaussian(10**mean, sigma, true).mean()
    assert metrics.crps_samples(samples, true).mean() == pytest.approx(expected, rel=0.03)
    pit = metrics.pit_samples(samples, true, seed=1)
    for level, share in metrics.coverage(pit).items():
        assert share == pytest.approx(level, abs=0.02)


def test_two_samples_by_hand():
    samples = np.array([[[[10.0]]], [[[1e4]]]])
    assert metrics.crps_samples(samples, np.array([[[100.0]]]))[0] == pytest.approx(1.5 - 1.5)
    assert metrics.crps_samples(samples, np.array([[[1e6]]]))[0] == pytest.approx(3.5 - 1.5)


def test_without_spread_the_crps_is_the_error():
    assert metrics.crps_gaussian(10**MEAN, np.full(MEAN.shape, 1e-9), TRUE) == pytest.approx(
        np.abs(MEAN - np.log10(TRUE)).ravel(), abs=1e-8
    )


def test_spread_tells_the_error_or_nothing():
    right = metrics.spread_skill(10**MEAN, SIGMA, TRUE)
    assert right.slope == pytest.approx(1, abs=0.1)
    assert right.error == pytest.approx(right.spread, rel=0.1)
    shuffled = RNG.permutation(SIGMA.ravel()).reshape(SIGMA.shape)
    assert metrics.spread_skill(10**MEAN, shuffled, TRUE).slope == pytest.approx(0, abs=0.1)
    assert metrics.spread_skill(10**MEAN, np.full(SIGMA.shape, 0.1), TRUE).slope == 0


def test_blank_pixels_have_no_weight():
    true, sigma = TRUE.copy(), SIGMA.copy()
    true[0] = np.nan
    sigma[1] = np.nan
    kept = slice(2, None)
    assert metrics.pit_gaussian(10**MEAN, sigma, true) == pytest.approx(
        metrics.pit_gaussian(10 ** MEAN[kept], SIGMA[kept], TRUE[kept])
    )
    some = {level: np.where(np.isnan(true), 1e3, values) for level, values in QUANTILES.items()}
    assert len(metrics.crps_quantiles(some, true)) == TRUE[1:].size
    assert len(metrics.crps_samples(np.stack([TRUE, TRUE]), true)) == TRUE[1:].size


def test_bad_uncertainties_are_refused():
    with pytest.raises(ValueError, match="sigma_dex: expected positive"):
        metrics.pit_gaussian([[1.0]], [[0.0]], [[1.0]])
    with pytest.raises(ValueError, match="sigma_dex: expected the shape"):
        metrics.crps_gaussian([[1.0]], [[0.1, 0.2]], [[1.0]])
    with pytest.raises(ValueError, match="valid in all three"):
        metrics.pit_gaussian([[1.0]], [[np.nan]], [[1.0]])
    with pytest.raises(ValueError, match="two or more levels"):
        metrics.pit_quantiles({0.5: [[1.0]]}, [[1.0]])
    with pytest.raises(ValueError, match="two or more levels"):
        metrics.crps_quantiles({0.0: [[1.0]], 0.5: [[1.0]]}, [[1.0]])
    with pytest.raises(ValueError, match="two samples"):
        metrics.crps_samples(np.ones((1, 1, 2, 2)), np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="levels"):
        metrics.coverage(np.array([0.5]), [1.0])
    with pytest.raises(ValueError, match="pit"):
        metrics.coverage(np.array([1.5]))
    with pytest.raises(ValueError, match="bins"):
        metrics.spread_skill([[1.0]], [[0.1]], [[1.0]])
