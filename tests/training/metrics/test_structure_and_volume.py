"""Spectra, regions and cubes: limits and symmetries."""

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

from polaris_lab.training import metrics

RNG = np.random.default_rng(1)


def smooth(shape, width):
    return ndimage.gaussian_filter(RNG.normal(size=shape), (0, width, width), mode="wrap")


FIELD = smooth((6, 64, 64), 2.0)
TRUE = 10 ** (3 + FIELD / FIELD.std() * 0.4)


def test_a_multiple_of_the_log_has_its_square_in_power_and_full_coherence():
    same = metrics.compare_spectra(1e3 * (TRUE / 1e3) ** 0.7, TRUE)
    filled = same.modes > 0
    assert same.ratio[filled] == pytest.approx(np.full(filled.sum(), 0.49))
    assert same.coherence[filled] == pytest.approx(np.ones(filled.sum()))
    assert same.modes[0] == 6 * 4  # the four neighbours of the mean


def test_a_factor_on_the_density_is_no_structure():
    assert metrics.compare_spectra(7 * TRUE, TRUE).ratio == pytest.approx(np.ones(32))


def test_coherence_with_independent_noise_is_the_wiener_limit():
    """<(s + e) s> / sqrt(<(s + e)^2> <s^2>) = sqrt(P_s / (P_s + P_e)); white signal and noise of equal power."""
    signal, noise = RNG.normal(size=(2, 40, 64, 64)) * 0.2
    result = metrics.compare_spectra(10 ** (3 + signal + noise), 10 ** (3 + signal), window="none")
    assert result.coherence[8:] == pytest.approx(np.full(24, 2**-0.5), abs=0.02)
    assert result.ratio[8:] == pytest.approx(np.full(24, 2.0), rel=0.1)
    unrelated = metrics.compare_spectra(10 ** (3 + noise), 10 ** (3 + signal))
    assert np.abs(unrelated.coherence[8:]).max() < 0.05


def test_smoothing_takes_the_power_of_its_transfer_function():
    """A periodic Gaussian of sigma pixels multiplies the power by exp(-(2 pi f sigma)^2)."""
    logs = RNG.normal(size=(20, 64, 64))
    blurred = ndimage.gaussian_filter(logs, (0, 1.0, 1.0), mode="wrap", truncate=8)
    result = metrics.compare_spectra(10**blurred, 10**logs, window="none")
    expected = np.exp(-((2 * np.pi * result.frequency) ** 2))
    assert result.ratio[4:20] == pytest.approx(expected[4:20], rel=0.15)
    assert result.mean_ratio(0.125, 0.5) < 0.2


def test_blank_pixels_have_no_weight_in_spectra():
    blank = TRUE.copy()
    blank[:, 20:30, 20:30] = np.nan
    assert metrics.compare_spectra(blank, TRUE).ratio == pytest.approx(np.ones(32))
    wild = np.where(np.isnan(blank), 1e12, TRUE)
    one, two = metrics.compare_spectra(blank, wild), metrics.compare_spectra(blank, TRUE)
    assert one.power_target == pytest.approx(two.power_target)


def test_bad_choices_for_spectra():
    with pytest.raises(ValueError, match="window"):
        metrics.compare_spectra(TRUE, TRUE, window="flat")
    with pytest.raises(ValueError, match="rings"):
        metrics.compare_spectra(TRUE, TRUE, rings=0)
    with pytest.raises(ValueError, match="range with modes"):
        metrics.compare_spectra(TRUE, TRUE).mean_ratio(0.6, 0.7)


def test_region_means_have_the_scatter_of_the_samples_not_of_the_pixels():
    """Errors common to a block do not average out; independent ones fall with the root of the pixels."""
    labels = metrics.blocks(TRUE.shape, 16)
    common = np.repeat(np.repeat(RNG.normal(0, 0.1, (120, 6, 4, 4)), 16, axis=2), 16, axis=3)
    together = metrics.region_means(1e3 * 10**common, np.full(TRUE.shape, 1e3), labels)
    assert together.sigma_dex == pytest.approx(np.full(96, 0.1), rel=0.3)
    assert together.independent_sigma_dex.mean() < 0.02
    alone = metrics.region_means(
        1e3 * 10 ** RNG.normal(0, 0.1, (120, *TRUE.shape)), np.full(TRUE.shape, 1e3), labels
    )
    assert alone.sigma_dex == pytest.approx(alone.independent_sigma_dex, rel=0.35)
    assert alone.sigma_dex.mean() == pytest.approx(0.1 / 16, rel=0.1)


def test_regions_are_covered_as_often_as_stated():
    labels = metrics.blocks((100, 8, 8), 4)
    level = np.repeat(np.repeat(RNG.normal(0, 0.2, (101, 100, 2, 2)), 4, axis=2), 4, axis=3)
    scores = metrics.region_means(1e3 * 10 ** level[:100], 1e3 * 10 ** level[100], labels)
    assert scores.coverage[0.68] == pytest.approx(0.68, abs=0.06)
    assert scores.coverage[0.95] == pytest.approx(0.95, abs=0.03)
    assert scores.crps_dex == pytest.approx(0.2 / np.sqrt(np.pi), rel=0.15)


def test_region_means_leave_out_blanks_and_refuse_nonsense():
    samples = np.full((3, 1, 4, 4), 1e3)
    target = np.full((1, 4, 4), 1e3)
    target[0, 0, 0] = np.nan
    samples[:, 0, 0, 0] = 1e9
    assert metrics.region_means(samples, target, metrics.blocks((1, 4, 4), 2)).mean == pytest.approx(
        np.full(4, 3.0)
    )
    with pytest.raises(ValueError, match="three samples"):
        metrics.region_means(samples[:2], target, metrics.blocks((1, 4, 4), 2))
    with pytest.raises(ValueError, match="labels: expected whole numbers"):
        metrics.region_means(samples, target, np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match="a region with a valid pixel"):
        metrics.region_means(samples, target, np.full((1, 4, 4), -1))
    with pytest.raises(ValueError, match="side"):
        metrics.blocks((1, 4, 4), 5)


def test_pdf_of_samples_beside_the_true_one():
    level = RNG.normal(0, 0.3, (50, 1, 1, 1))
    base = RNG.normal(3, 0.4, (1, 64, 64))
    band = metrics.pdf_band(10 ** (base + level), 10**base, bins=[10, 100, 1000, 1e4, 1e5])
    assert band.target.sum() == pytest.approx(1, abs=1e-3)
    assert (band.low <= band.median).all()
    assert (band.median <= band.high).all()
    assert (band.high - band.low)[1] > 0.1  # whole maps shift: the band is wide however many pixels
    sure = metrics.pdf_band(np.stack([10**base] * 3), 10**base)
    assert sure.crps == 0
    assert sure.high == pytest.approx(sure.low)
    with pytest.raises(ValueError, match="two samples"):
        metrics.pdf_band(10 ** base[None], 10**base)


CUBE = np.random.default_rng(2).lognormal(5, 1.2, (16, 8, 8))


def test_a_perfect_cube():
    scores = metrics.volume_scores(CUBE, CUBE)
    assert scores.closure == 0
    assert scores.correlation == pytest.approx(1)
    assert not scores.mirrored
    assert scores.mass_weighted_rmse_dex == scores.max_rmse_dex == scores.sorted_wasserstein_dex == 0


def test_order_along_the_line_of_sight():
    mirrored = metrics.volume_scores(CUBE[::-1], CUBE)
    assert mirrored.mirrored
    assert mirrored.correlation == pytest.approx(1)
    shuffled = metrics.volume_scores(np.random.default_rng(3).permuted(CUBE, axis=0), CUBE)
    assert shuffled.sorted_wasserstein_dex == 0
    assert shuffled.mass_weighted_rmse_dex == pytest.approx(0, abs=1e-12)
    assert shuffled.correlation < 0.3


def test_a_factor_and_a_uniform_cube_by_hand():
    double = metrics.volume_scores(2 * CUBE, CUBE)
    assert double.closure == pytest.approx(1)
    for value in (double.mass_weighted_bias_dex, double.max_bias_dex, double.sorted_wasserstein_dex):
        assert value == pytest.approx(np.log10(2))
    flat = np.broadcast_to(CUBE.mean(axis=0), CUBE.shape)
    uniform = metrics.volume_scores(flat, CUBE)
    assert uniform.closure < 1e-12
    clumping = np.log10((CUBE**2).mean(axis=0) / CUBE.mean(axis=0) ** 2)
    assert uniform.mass_weighted_bias_dex == pytest.approx(-clumping.mean())


def test_closure_to_a_given_column_density():
    column = CUBE.sum(axis=0) * 3.0856775814913673e18 * 0.1
    scores = metrics.volume_scores(CUBE, CUBE, column_density=column, cell_size=0.1 * u.pc)
    assert scores.closure < 1e-12
    with pytest.raises(ValueError, match="both or neither"):
        metrics.volume_scores(CUBE, CUBE, column_density=column)
    with pytest.raises(ValueError, match="column_density: expected positive"):
        metrics.volume_scores(CUBE, CUBE, column_density=column[:2], cell_size=0.1 * u.pc)


def test_bad_cubes_are_refused():
    with pytest.raises(ValueError, match=r"equal shapes \(z, y, x\)"):
        metrics.volume_scores(CUBE[0], CUBE[0])
    with pytest.raises(ValueError, match="target: expected positive finite"):
        metrics.volume_scores(CUBE, np.where(CUBE > 100, CUBE, 0))
