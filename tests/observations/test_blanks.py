"""Filling blanks: valid pixels stay, a constant stays constant, holes take what surrounds them."""

from __future__ import annotations

import numpy as np
import pytest

from polaris_lab.observations.blanks import fill_blanks, find_spikes


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


@pytest.mark.parametrize("block", [7, 16, 256])
def test_spikes_do_not_depend_on_the_blocks_in_which_they_are_looked_for(monkeypatch, block):
    """Against the rule written out pixel by pixel, also at edges, beside blanks and in clusters."""
    rng = np.random.default_rng(3)
    values = 10 ** rng.normal(22, 0.6, (41, 53))
    values[rng.random(values.shape) < 0.1] = np.nan
    for y, x in [(0, 0), (40, 52), (15, 16), (16, 16), (16, 15), (20, 0), (7, 13)]:
        values[y, x] = 1e26
    monkeypatch.setattr("polaris_lab.observations.blanks.SPIKE_BLOCK", block)
    expected = np.zeros(values.shape, bool)
    for y, x in np.ndindex(values.shape):
        around = values[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        rest = np.sort(around[np.isfinite(around)])
        rest = rest[:-1] if np.isfinite(values[y, x]) and values[y, x] == rest[-1] else rest
        high = values[y, x] > 30 * np.nanmedian(values) and np.isfinite(around).sum() >= 4
        expected[y, x] = high and values[y, x] > 30 * np.median(rest)
    found = find_spikes(values)
    assert found.sum() >= 5
    np.testing.assert_array_equal(found, expected)
