"""The bootstrap over clouds against closed forms."""

import numpy as np
import pytest

from polaris_lab.training.bootstrap import Interval, block_bootstrap, paired_bootstrap

RNG = np.random.default_rng(0)


def mean(sums):
    return sums[..., 1] / sums[..., 0]


def sums_of(values):
    return np.stack([np.full(len(values), values.shape[1]), values.sum(axis=1)], axis=1)


def test_interval_of_a_mean_is_that_of_the_cloud_means():
    """Pixels of a cloud err together: the standard error is that of 40 cloud means, not of 40 000 pixels."""
    level = RNG.normal(0, 0.1, (40, 1))
    values = level + RNG.normal(0, 0.1, (40, 1000))
    interval = block_bootstrap(sums_of(values), mean)
    error = values.mean(axis=1).std(ddof=1) / np.sqrt(40)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert error > 15 * values.std() / np.sqrt(values.size)
    assert interval.value == pytest.approx(values.mean())


def test_the_interval_holds_the_truth_as_often_as_it_says():
    inside = 0
    for trial in range(300):
        values = np.random.default_rng(trial).normal(1.0, 0.3, (30, 1))
        interval = block_bootstrap(sums_of(values), mean, resamples=400, level=0.9)
        inside += not interval.excludes(1.0)
    assert inside / 300 == pytest.approx(0.9, abs=0.05)


def test_a_cloud_of_more_pixels_weighs_more():
    sums = np.array([[1.0, 1.0], [99.0, 0.0]])
    assert block_bootstrap(sums, mean).value == pytest.approx(0.01)


def test_pairs_share_their_draws():
    """What makes a cloud hard for both does not blur their difference."""
    hard = RNG.normal(1, 0.5, (12, 1)) + np.zeros((12, 100))
    better = hard - 0.1 + RNG.normal(0, 0.01, hard.shape)
    difference = paired_bootstrap(sums_of(better), sums_of(hard), mean, combine=np.subtract)
    assert difference.value == pytest.approx(-0.1, abs=0.005)
    assert difference.high - difference.low < 0.01
    assert difference.excludes(0.0)
    alone = block_bootstrap(sums_of(hard), mean)
    assert alone.high - alone.low > 0.3


def test_one_cloud_has_no_interval_and_proves_nothing():
    interval = block_bootstrap(np.array([[4.0, 8.0]]), mean)
    assert interval == Interval(2.0, None, None, clouds=1)
    assert not interval.excludes(100.0)
    assert str(interval) == "2.000"


def test_the_same_seed_gives_the_same_interval():
    sums = sums_of(RNG.normal(size=(9, 5)))
    assert block_bootstrap(sums, mean, seed=3) == block_bootstrap(sums, mean, seed=3)
    assert block_bootstrap(sums, mean, seed=3) != block_bootstrap(sums, mean, seed=4)


def test_bad_choices_are_refused():
    good = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"\(clouds, sums\)"):
        block_bootstrap(np.ones(3), mean)
    with pytest.raises(ValueError, match="level"):
        block_bootstrap(good, mean, level=95)
    with pytest.raises(ValueError, match="resamples"):
        block_bootstrap(good, mean, resamples=0)
    with pytest.raises(ValueError, match="same clouds"):
        paired_bootstrap(good, good[:2], mean)
