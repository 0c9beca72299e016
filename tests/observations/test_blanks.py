"""Filling blanks: valid pixels stay, a constant stays constant, holes take what surrounds them."""

from __future__ import annotations

import numpy as np
import pytest

from polaris_lab.observations.blanks import fill_blanks


def test_valid_pixels_are_untouched_and_nothing_is_left():
    rng = np.random.default_rng(1)
    values = rng.normal(21, 1, (40, 50)).astype(np.float32)
    holes = rng.random(values.shape) < 0.5
    filled = fill_blanks(np.where(holes, np.float32(np.nan), values))
    np.testing.assert_array_equal(filled[~holes], values[~holes])
    assert np.isfinite(filled).all()
    assert filled.dtype == np.float32


def test_a_constant_map_stays_constant():
    values = np.full((60, 60), 21.5)
    values[10:50, 5:40] = np.nan
    np.testing.assert_allclose(fill_blanks(values), 21.5, rtol=1e-12)


def test_a_hole_takes_the_level_of_its_side():
    """Left half 21, right half 23: a hole inside the left half is not raised by the far right."""
    values = np.full((40, 80), 21.0)
    values[:, 40:] = 23.0
    values[18:22, 8:12] = np.nan
    np.testing.assert_allclose(fill_blanks(values)[18:22, 8:12], 21.0, atol=1e-6)


def test_filling_stays_within_the_range_of_the_data():
    values = np.full((64, 64), np.nan)
    values[30, 30], values[33, 35] = 20.0, 24.0
    filled = fill_blanks(values)
    assert filled.min() >= 20.0
    assert filled.max() <= 24.0


def test_nothing_to_fill_from():
    with pytest.raises(ValueError, match="NaN everywhere"):
        fill_blanks(np.full((4, 4), np.nan))
