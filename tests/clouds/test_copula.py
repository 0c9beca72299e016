"""Clouds of the common benchmark: their PDF, their spectrum, their ranges."""

import dataclasses

import numpy as np
import pytest

from polaris_lab.clouds.copula import (
    LARGEST_CONTRAST,
    OUTSIDE,
    CopulaChoices,
    copula_density,
    draw_copula_choices,
)

CHOICES = CopulaChoices(3.5, 3.0, 1.3, 1.7, 100.0, 0.0, 7)
RANGES = {
    "spectral_slope": (3.2, 3.9),
    "smallest_wave_number": (2, 6),
    "pdf_width": (1.1, 1.7),
    "tail_slope": (1.4, 2.1),
    "mean_density_cm3": (30, 300),
    "ridge_weight": (0, 0.8),
}


def test_mean_and_largest_contrast():
    for seed in range(3):
        density = copula_density(draw_copula_choices(seed), 32)
        mean = draw_copula_choices(seed).mean_density_cm3
        assert density.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-4)
        assert density.max() / mean < 1.05 * LARGEST_CONTRAST
        assert density.min() > 0


def test_pdf_is_log_normal_with_a_power_law_tail():
    """The median of n is exp(-sigma^2 / 2) of the mean but for the tail; beyond it the survival falls as n^-alpha."""
    s = np.sort(np.log(copula_density(CHOICES, 64).ravel() / 100.0))
    body = np.quantile(s, [0.16, 0.5, 0.84])
    assert (body[2] - body[0]) / 2 == pytest.approx(1.3 * 0.994, rel=0.03)
    start = -0.5 * 1.3**2 + 1.7 * 1.3**2
    tail = s[s > start + 0.3] - (start + 0.3)
    assert 1 / tail.mean() == pytest.approx(1.7, rel=0.1)


def test_spectrum_of_the_field_has_the_slope():
    """Of log n, whose field is mapped rank by rank: between k_min and the grid, P ~ (k^2 + k_min^2)^(-beta / 2)."""
    choices = dataclasses.replace(CHOICES, pdf_width=0.3, tail_slope=30.0)  # nearly the Gaussian field itself
    power = np.abs(np.fft.fftn(np.log(copula_density(choices, 64)))) ** 2
    k = np.fft.fftfreq(64) * 64
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2)
    middle = np.array([4.0, 6.0, 8.0, 12.0, 16.0])
    mean = [power[(radius > 0.9 * m) & (radius < 1.1 * m)].mean() for m in middle]
    slope = np.polyfit(np.log(middle**2 + 9.0), np.log(mean), 1)[0]
    assert slope == pytest.approx(-3.5 / 2, rel=0.06)


def test_ridges_make_filaments():
    """The ridge field is skewed: it is high on few lines, so its dense cells are more clustered than those of noise."""
    round_, lines = (
        copula_density(dataclasses.replace(CHOICES, ridge_weight=w, pdf_width=0.3, tail_slope=30.0), 32)
        for w in (0.0, 0.8)
    )
    assert not np.array_equal(round_, lines)
    assert np.sort(round_.ravel()) == pytest.approx(np.sort(lines.ravel()), rel=1e-4)  # one PDF


def test_choices_stay_in_their_ranges_and_do_not_depend_on_the_count():
    drawn = [draw_copula_choices(number) for number in range(200)]
    for name, (low, high) in RANGES.items():
        values = [getattr(choices, name) for choices in drawn]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    assert len({choices.seed for choices in drawn}) == 200
    assert draw_copula_choices(3, seed=1) != draw_copula_choices(3)
    assert any(
        not RANGES[name][0] <= getattr(OUTSIDE[0], name) <= RANGES[name][1]
        for name in ("pdf_width", "tail_slope")
    )


def test_the_same_choices_give_the_same_cloud():
    assert np.array_equal(copula_density(CHOICES, 16), copula_density(CHOICES, 16))
    other = copula_density(dataclasses.replace(CHOICES, seed=8), 16)
    assert not np.array_equal(copula_density(CHOICES, 16), other)


def test_bad_sizes_are_refused():
    for size in (4, 16.0, True):
        with pytest.raises(ValueError, match="size: expected a whole number"):
            copula_density(CHOICES, size)
