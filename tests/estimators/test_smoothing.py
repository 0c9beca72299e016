"""Smoothing: an exact kernel, mirrored edges, blanks that take no part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from polaris_lab.estimators.smoothing import fill_smoothly, heat_kernel, smooth, smooth_valid


@pytest.mark.parametrize("variance", [0.01, 0.5, 4.0, 900.0])
def test_kernel_has_the_variance_asked_for(variance):
    half = heat_kernel(variance)
    offsets = np.arange(len(half))
    assert half[0] + 2 * half[1:].sum() == pytest.approx(1, abs=1e-14)
    assert 2 * (offsets**2 * half).sum() == pytest.approx(variance, rel=2e-3)


@pytest.mark.parametrize("shape", [(40, 64), (8, 100), (33, 31)])
@pytest.mark.parametrize("sigma", [2.0, 12.0])
def test_agrees_with_scipy(shape, sigma):
    """The same kernel through scipy's correlation with mirrored edges, also where it is longer than the map."""
    image = np.random.default_rng(0).random(shape)
    half = heat_kernel(sigma**2)
    expected = image
    for axis in (0, 1):
        expected = ndimage.correlate1d(
            expected, np.concatenate([half[:0:-1], half]), axis=axis, mode="reflect"
        )
    np.testing.assert_allclose(smooth(image, sigma), expected, rtol=1e-12)


def test_mass_is_kept_and_two_steps_are_one():
    image = np.random.default_rng(0).random((20, 30))
    assert smooth(image, 40.0).sum() == pytest.approx(image.sum(), rel=1e-12)
    np.testing.assert_allclose(smooth(smooth(image, 3.0), 4.0), smooth(image, 5.0), atol=1e-5)


def test_blanks_take_no_part():
    image = np.random.default_rng(0).lognormal(size=(32, 32))
    holed = image.copy()
    holed[10:20, 5:9] = np.nan
    smoothed = smooth_valid(holed, 2.0)
    assert np.array_equal(np.isnan(smoothed), np.isnan(holed))
    far = ndimage.distance_transform_edt(~np.isnan(holed)) > 14
    np.testing.assert_allclose(smoothed[far], smooth(image, 2.0)[far], rtol=1e-5)
    uniform = np.where(np.isnan(holed), np.nan, 7.0)
    np.testing.assert_allclose(smooth_valid(uniform, 5.0)[~np.isnan(holed)], 7.0, rtol=1e-12)


def test_filling_touches_no_valid_pixel_and_stays_in_range():
    image = np.random.default_rng(0).lognormal(size=(40, 24))
    image[:15] = np.nan
    image[30, 3] = np.nan
    filled = fill_smoothly(image)
    valid = np.isfinite(image)
    np.testing.assert_array_equal(filled[valid], image[valid])
    assert np.nanmin(image) <= filled.min()
    assert filled.max() <= np.nanmax(image)


def test_one_valid_pixel_fills_a_map():
    image = np.full((50, 9), np.nan)
    image[49, 0] = 3.0
    np.testing.assert_allclose(fill_smoothly(image), 3.0, rtol=1e-9)
