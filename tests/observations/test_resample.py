"""Area averages conserve mass, blanks take no part, and interpolation gives back what was smooth."""

from __future__ import annotations

import numpy as np
import pytest

from polaris_lab.observations.resample import Resampling


@pytest.mark.parametrize("ratio", [(1.0, 1.0), (2.0, 2.0), (1.7, 2.9), (np.pi, 3.3), (50.0, 60.0)])
def test_mass_is_conserved(ratio):
    values = np.random.default_rng(0).lognormal(size=(37, 50))
    grid = Resampling(values.shape, ratio)
    area = [
        np.minimum((np.arange(m) + 1) * r, n) - np.arange(m) * r
        for n, m, r in zip(values.shape, grid.coarse_shape, ratio, strict=True)
    ]
    total = (grid.average(values) * np.outer(*area)).sum()
    assert total == pytest.approx(values.sum(), rel=1e-12)


def test_whole_ratios_are_block_means():
    values = np.random.default_rng(1).normal(size=(12, 18))
    expected = values.reshape(4, 3, 6, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(Resampling(values.shape, (3.0, 3.0)).average(values), expected, rtol=1e-12)


def test_ratio_one_changes_nothing():
    values = np.random.default_rng(2).normal(size=(9, 11))
    grid = Resampling(values.shape, (1.0, 1.0))
    np.testing.assert_array_equal(grid.average(values), values)
    np.testing.assert_array_equal(grid.interpolate(values), values)


def test_blanks_take_no_part():
    values = np.full((12, 12), 5.0)
    values[:5] = np.nan
    coarse = Resampling(values.shape, (3.0, 3.0)).average(values)
    assert np.isnan(coarse[0]).all()
    np.testing.assert_allclose(coarse[1:], 5.0)


def test_a_mean_weighted_by_mass():
    values, mass = np.array([[1.0, 3.0]]), np.array([[1.0, 3.0]])
    assert Resampling((1, 2), (1.0, 2.0)).average(values, mass)[0, 0] == pytest.approx(10 / 4)


@pytest.mark.parametrize(("ratio", "tolerance"), [((2.0, 2.0), 1e-9), ((1.6, 2.7), 0.3)])
def test_a_plane_comes_back(ratio, tolerance):
    """Away from the edges exactly for whole ratios; else within a tenth of a pixel, as pixels are cut in parts."""
    y, x = np.mgrid[:40, :60]
    plane = 3.0 * y - 2.0 * x
    grid = Resampling(plane.shape, ratio)
    back = grid.interpolate(grid.average(plane))
    np.testing.assert_allclose(back[4:-4, 4:-4], plane[4:-4, 4:-4], atol=tolerance)


def test_nearest_gives_each_pixel_its_coarse_one():
    grid = Resampling((4, 6), (2.0, 3.0))
    expected = [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    np.testing.assert_array_equal(grid.nearest(np.arange(4).reshape(2, 2)), expected)


def test_averaging_cannot_refine():
    with pytest.raises(ValueError, match="1 or more"):
        Resampling((4, 4), (0.9, 1.0))
