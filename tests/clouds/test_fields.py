"""Random fields have the spectrum, the share of compression and the PDF that were asked for."""

import numpy as np
import pytest
from scipy import integrate, stats

from polaris_lab.clouds.fields import compressive_share, random_velocity, wave_numbers
from polaris_lab.clouds.quantiles import LARGEST_LOG_CONTRAST, density_quantiles, remap


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [16, 17, 32])
def test_the_share_of_compression_is_exact(size, fraction):
    velocity = random_velocity(rng(), size, compressive_fraction=fraction)
    assert compressive_share(velocity) == pytest.approx(fraction, abs=1e-5)


def test_a_solenoidal_field_has_no_divergence_and_a_compressive_one_no_curl():
    k = wave_numbers(32)
    for fraction in (0.0, 1.0):
        modes = [np.fft.rfftn(v) for v in random_velocity(rng(), 32, compressive_fraction=fraction)]
        divergence = abs(sum(a * b for a, b in zip(k, modes, strict=True)))
        curl = abs(k[0] * modes[1] - k[1] * modes[0])
        largest = max(abs(np.sqrt(sum(a**2 for a in k)) * m).max() for m in modes)
        assert (divergence if fraction == 0 else curl).max() < 1e-5 * largest
        assert (curl if fraction == 0 else divergence).max() > 0.1 * largest


def test_the_speed_is_one_and_the_mean_zero():
    velocity = random_velocity(rng(), 32, compressive_fraction=0.3).astype(np.float64)
    assert np.sqrt((velocity**2).sum(0).mean()) == pytest.approx(1.0, rel=1e-6)
    assert abs(velocity.mean((1, 2, 3))).max() < 1e-6


@pytest.mark.parametrize("slope", [-4.0, -2.0])
def test_the_spectrum_has_the_slope_asked_for(slope):
    velocity = random_velocity(rng(3), 64, compressive_fraction=0.3, slope=slope)
    k = wave_numbers(64)
    wave = np.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    power = sum(abs(np.fft.rfftn(v)) ** 2 for v in velocity)
    shells = np.arange(4, 24)
    means = [power[(wave >= shell - 0.5) & (wave < shell + 0.5)].mean() for shell in shells]
    assert np.polyfit(np.log(shells), np.log(means), 1)[0] == pytest.approx(slope, abs=0.15)


def test_driving_is_confined_to_large_scales():
    k = wave_numbers(32)
    beyond = k[0] ** 2 + k[1] ** 2 + k[2] ** 2 >= 9
    for v in random_velocity(rng(), 32, compressive_fraction=0.5, largest_wave_number=3.0):
        modes = abs(np.fft.rfftn(v))
        assert modes[beyond].max() < 1e-4 * modes.max()


def test_threads_do_not_change_the_field():
    one, two = (random_velocity(rng(), 32, compressive_fraction=0.3, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one, two)


# -- the PDF ----------------------------------------------------------------------------------------


def test_without_tail_the_pdf_is_log_normal():
    u = np.linspace(0.001, 0.999, 99)
    np.testing.assert_allclose(
        density_quantiles(u, width=1.25), stats.norm(-0.5 * 1.25**2, 1.25).ppf(u), rtol=1e-12
    )


@pytest.mark.parametrize(("width", "slope"), [(1.25, 2.0), (1.0, 1.5), (1.6, 3.0), (0.5, 1.2)])
def test_the_quantiles_invert_the_published_pdf(width, slope):
    """Body and tail meet in value and slope at s_t = (alpha - 1/2) sigma^2 (Burkhart 2018, eq. 4)."""
    start = (slope - 0.5) * width**2
    body = stats.norm(-0.5 * width**2, width)

    def density(s):
        return body.pdf(s) if s < start else body.pdf(start) * np.exp(-slope * (s - start))

    whole = integrate.quad(density, -20, start)[0] + integrate.quad(density, start, LARGEST_LOG_CONTRAST)[0]
    for u in (0.01, 0.3, 0.9, 0.999, 0.99999):
        s = float(density_quantiles(np.array([u]), width=width, tail_slope=slope)[0])
        points = [start] if s > start else None
        assert integrate.quad(density, -20, s, points=points)[0] / whole == pytest.approx(u, rel=1e-6)


def test_a_tail_that_would_begin_beyond_the_end_is_left_out():
    u = np.array([0.2, 0.8])
    np.testing.assert_array_equal(
        density_quantiles(u, width=2.0, tail_slope=5.0), density_quantiles(u, width=2.0)
    )


def test_the_remapped_field_has_exactly_the_pdf():
    field = rng().standard_normal((20, 30, 40))
    s = remap(field, width=1.25, tail_slope=2.0)
    count = field.size
    expected = density_quantiles((np.arange(count) + 0.5) / count, width=1.25, tail_slope=2.0)
    shift = np.sort(s.ravel()) - expected
    np.testing.assert_allclose(shift, shift[0], atol=1e-12)
    assert np.exp(s).mean() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(("width", "slope"), [(1.25, 2.0), (1.0, 1.5), (0.5, 1.2), (3.0, None), (1.8, 9.0)])
@pytest.mark.parametrize("count", [130_001, 131_072, 300_007])
def test_a_large_field_has_it_as_exactly_as_a_small_one(count, width, slope):
    """Of many cells most quantiles are interpolated: nobody can tell."""
    s = remap(np.arange(count, dtype=np.float64), width=width, tail_slope=slope)
    expected = density_quantiles((np.arange(count) + 0.5) / count, width=width, tail_slope=slope)
    shift = s - expected
    np.testing.assert_allclose(shift, np.median(shift), rtol=0, atol=1e-12)


def test_single_precision_is_kept():
    field = rng().standard_normal((30, 30, 30))
    single = remap(field.astype(np.float32), width=1.25, tail_slope=2.0)
    assert single.dtype == np.float32
    np.testing.assert_allclose(
        single, remap(field.astype(np.float32).astype(float), width=1.25, tail_slope=2.0), rtol=1e-6
    )


def test_the_order_of_cells_stays():
    field = rng().standard_normal(500)
    np.testing.assert_array_equal(np.argsort(remap(field, width=1.0)), np.argsort(field))


def test_a_remapped_field_does_not_depend_on_the_scale_of_the_first():
    field = rng().standard_normal(500)
    np.testing.assert_array_equal(
        remap(field, width=1.0, tail_slope=2.0), remap(3 * field + 7, width=1.0, tail_slope=2.0)
    )
