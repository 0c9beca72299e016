from __future__ import annotations

import numpy as np
import pytest

from widgets import axes, style


def test_block_means_keep_the_total_of_a_map():
    values = np.random.default_rng(0).uniform(1, 2, (64, 96))
    small, factor = axes.block_mean(values, 24)
    assert factor == 4
    assert small.shape == (16, 24)
    assert small.mean() == pytest.approx(values.mean())


def test_block_means_leave_missing_pixels_out():
    values = np.full((4, 4), 5.0)
    values[0, 0] = np.nan
    values[2:, 2:] = np.nan
    small, _ = axes.block_mean(values, 2)
    assert small[0, 0] == 5.0
    assert np.isnan(small[1, 1])


def test_a_small_map_is_not_touched():
    values = np.ones((3, 5))
    assert axes.block_mean(values, 5) == (values, 1)


def test_odd_sides_fill_their_last_block_with_what_is_there():
    small, factor = axes.block_mean(np.arange(25.0).reshape(5, 5), 3)
    assert factor == 2
    assert small.shape == (3, 3)
    assert small[2, 2] == 24.0


@pytest.mark.parametrize(("low", "high"), [(1e20, 1e23), (2e21, 4e21), (0.3, 900), (1, 1e12), (1.01, 1.02)])
def test_ticks_are_few_and_within_the_scale(low, high):
    ticks = axes.log_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert min(ticks) >= low * 0.99
    assert max(ticks) <= high * 1.01
    assert ticks == sorted(ticks)


@pytest.mark.parametrize("name", style.QUANTITIES)
def test_every_quantity_shows_its_unit(name):
    shown = style.QUANTITIES[name]
    assert style.unit_of(shown.label) or "per pixel" in shown.label


def test_series_can_be_told_apart_without_colour():
    assert len(set(style.SERIES)) == len(style.SERIES)
    assert len(set(style.DASHES)) == len(style.DASHES)


def test_titles_fit_their_frames():
    title = "Coherence of predicted and true log₁₀ n"
    assert axes.fitted_title(title, 420) == (title, 12)
    smaller, points = axes.fitted_title(title, 320)
    assert smaller == title
    assert 9 <= points < 12
    broken, points = axes.fitted_title(title, 200)
    assert points == 9
    assert broken.split("\n") == ["Coherence of predicted and", "true log₁₀ n"]
    assert axes.fitted_title("", 100) == ("", 12)
    unbreakable = "an/unbreakable/path/of/many/characters"
    assert axes.fitted_title(unbreakable, 60) == (unbreakable, 9)
