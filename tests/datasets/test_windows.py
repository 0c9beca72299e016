"""Sums and extremes over all windows against the windows one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from polaris_lab.datasets.windows import (
    window_count,
    window_covariances,
    window_maximum,
    window_minimum,
    window_sum,
    window_variance,
)


@pytest.fixture
def image():
    return np.random.default_rng(0).lognormal(0, 2, size=(23, 31))


@pytest.mark.parametrize("window", [1, 2, 5, 11, 12, 22, 23])
@pytest.mark.parametrize(
    ("fast", "slow"),
    [(window_sum, np.sum), (window_minimum, np.min), (window_maximum, np.max), (window_variance, np.var)],
)
def test_every_window(image, window, fast, slow):
    expected = slow(sliding_window_view(image, (window, window)), axis=(2, 3))
    assert fast(image, window).shape == expected.shape
    assert np.allclose(fast(image, window), expected, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("window", [1, 2, 11, 23])
def test_counting_is_summing(image, window):
    counted = window_count(image > 1, window)
    assert counted.dtype == np.int64
    assert np.array_equal(counted, window_sum(image > 1, window))


def test_covariance(image):
    other = image**0.5 + np.arange(31)
    first, second, covariance = window_covariances(image, other, 7)
    views = [sliding_window_view(part, (7, 7)).reshape(17, 25, 49) for part in (image, other)]
    assert np.allclose(first, views[0].var(axis=2))
    assert np.allclose(second, views[1].var(axis=2))
    expected = (views[0] * views[1]).mean(axis=2) - views[0].mean(axis=2) * views[1].mean(axis=2)
    assert np.allclose(covariance, expected)


def test_a_bright_pixel_leaves_no_error_in_faint_windows():
    """Running sums that subtract would leave 1e-16 x 1e20 in every window after the bright pixel."""
    image = np.random.default_rng(1).uniform(1, 2, size=(40, 40))
    bright = image.copy()
    bright[3, 3] = 1e20
    assert np.array_equal(window_sum(bright, 8)[4:, 4:], window_sum(image, 8)[4:, 4:])


def test_bad_windows(image):
    with pytest.raises(ValueError, match="23 x 31 pixels, got 24"):
        window_sum(image, 24)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        window_sum(image, 0)
    with pytest.raises(ValueError, match="expected a 2D map"):
        window_sum(image[None], 3)
    with pytest.raises(ValueError, match="23 x 31 pixels, got 24"):
        window_count(image > 1, 24)
