"""Scatter, maps and bins against closed forms and scipy."""

import numpy as np
import pytest
from scipy import stats

from polaris_lab.training import metrics

RNG = np.random.default_rng(0)
TRUE = 10 ** RNG.normal(3, 0.6, (5, 40, 40))


def test_robust_scatter_is_that_of_scipy_and_ignores_tails():
    predicted = TRUE * 10 ** RNG.normal(0.05, 0.2, TRUE.shape)
    values = np.log10(predicted / TRUE)
    expected = stats.median_abs_deviation(values, axis=None, scale="normal")
    assert metrics.robust_scatter_dex(predicted, TRUE) == pytest.approx(expected)
    spoilt = predicted.copy()
    spoilt[:, 0, :4] *= 1e6
    assert metrics.robust_scatter_dex(spoilt, TRUE) == pytest.approx(0.2, rel=0.05)
    assert metrics.rmse_dex(spoilt, TRUE) > 0.35  # sqrt(0.2^2 + 36 * 4 / 1600)


def test_in_map_error_forgets_the_level_of_each_map():
    level = np.array([0.5, -0.3, 0.1, 0.0, 1.0])[:, None, None]
    predicted = TRUE * 10 ** (level + RNG.normal(0, 0.1, TRUE.shape))
    assert metrics.in_map_rmse_dex(predicted, TRUE) == pytest.approx(0.1, rel=0.05)
    total = metrics.rmse_dex(predicted, TRUE) ** 2
    maps = metrics.map_scores(predicted, TRUE)
    assert total == pytest.approx(metrics.in_map_rmse_dex(predicted, TRUE) ** 2 + (maps.bias**2).mean())
    assert maps.worst == 4
    assert maps.rmse**2 == pytest.approx(maps.bias**2 + maps.in_map_rmse**2)


def test_a_map_without_pixels_has_no_scores_and_is_never_the_worst():
    predicted = TRUE.copy()
    predicted[1] = np.nan
    predicted[2] *= 10
    maps = metrics.map_scores(predicted, TRUE)
    assert np.isnan(maps.rmse[1])
    assert maps.pixels.tolist() == [1600, 0, 1600, 1600, 1600]
    assert maps.worst == 2


def test_bins_of_column_density():
    column = TRUE * 1e18
    predicted = TRUE * np.where(column > 1e21, 10**-0.5, 1.0)
    table = metrics.residuals_by_density(
        predicted, TRUE, by="column_density", bins=[1e19, 1e21, 1e24], column_density=column
    )
    assert table.mean == pytest.approx([0.0, -0.5])
    assert table.by == "column_density"
    column[0] = np.nan
    fewer = metrics.residuals_by_density(predicted, TRUE, by="column_density", column_density=column)
    assert fewer.count.sum() == TRUE[1:].size


def test_bins_of_column_density_refuse_what_is_none():
    with pytest.raises(ValueError, match="argument column_density"):
        metrics.residuals_by_density(TRUE, TRUE, by="column_density")
    with pytest.raises(ValueError, match="column_density: expected the shape"):
        metrics.residuals_by_density(TRUE, TRUE, by="column_density", column_density=TRUE[:2])
    with pytest.raises(ValueError, match="column_density: expected positive finite"):
        metrics.residuals_by_density(TRUE, TRUE, by="column_density", column_density=-TRUE)
    with pytest.raises(ValueError, match="valid in all three"):
        metrics.residuals_by_density(TRUE, TRUE, by="column_density", column_density=TRUE * np.nan)


def test_distance_of_distributions_is_scipys():
    predicted = TRUE * 10 ** RNG.normal(0.2, 0.3, TRUE.shape)
    expected = stats.wasserstein_distance(np.log10(predicted).ravel(), np.log10(TRUE).ravel())
    assert metrics.wasserstein_dex(predicted, TRUE) == pytest.approx(expected)
    shuffled = RNG.permutation(TRUE.ravel()).reshape(TRUE.shape)
    assert metrics.wasserstein_dex(shuffled, TRUE) == pytest.approx(0, abs=1e-12)
    assert metrics.wasserstein_dex(TRUE * 10**0.3, TRUE) == pytest.approx(0.3)


def test_distribution_of_pixels_valid_in_both():
    predicted = TRUE.copy()
    predicted[0] = np.nan
    assert metrics.wasserstein_dex(predicted, TRUE) == pytest.approx(0, abs=1e-12)
    assert metrics.width_dex(predicted) == pytest.approx(np.log10(TRUE[1:]).std())


@pytest.mark.parametrize("slope", [1.5, 2.5])
def test_tail_slope_of_a_pareto_distribution(slope):
    density = 50 * (1 + RNG.pareto(slope, (4, 200, 200)))
    for above in (50, 200):
        assert metrics.tail_slope(density, above=above) == pytest.approx(slope, rel=0.05)


def test_tail_slope_needs_a_tail():
    with pytest.raises(ValueError, match="at least 2 pixels above"):
        metrics.tail_slope(TRUE, above=1e9)
    with pytest.raises(ValueError, match="above: expected a positive"):
        metrics.tail_slope(TRUE, above=0)


def test_densest_hundredth_by_hand():
    target = np.arange(1.0, 1001.0).reshape(1, 20, 50)
    predicted = np.where(target > 990, target * 10**-0.4, target)
    dense = metrics.densest(predicted, target)
    assert dense["rmse_dex"] == pytest.approx(0.4)
    assert dense["bias_dex"] == pytest.approx(-0.4)
    assert dense["pixels"] == 10
    assert dense["above"] == pytest.approx(990.01, rel=1e-4)
    assert dense["rmse_dex"] == metrics.scores(predicted, target)["densest_1_percent_rmse_dex"]
    with pytest.raises(ValueError, match="fraction"):
        metrics.densest(predicted, target, fraction=1.0)


def test_dense_mass_counts_mass_not_pixels():
    density = np.array([[1e5, 1e3, 1e3, np.nan]])
    column = np.array([[6e22, 1e22, 1e22, 5e22]])
    assert metrics.dense_mass_fraction(density, column) == pytest.approx(0.75)
    assert metrics.dense_mass_fraction(density, column, threshold=100) == pytest.approx(1.0)
    assert metrics.dense_mass_fraction(density, column, threshold=1e6) == 0.0
    with pytest.raises(ValueError, match="threshold"):
        metrics.dense_mass_fraction(density, column, threshold=-1)


def test_recall_and_precision_by_hand():
    target = np.array([[2e4, 2e4, 2e4, 1e2, 1e2, np.nan]])
    predicted = np.array([[3e4, 1e2, 1e5, 3e4, 1e2, 1e6]])
    found = metrics.detection(predicted, target)
    assert (found.recall, found.precision) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (found.true_pixels, found.predicted_pixels, found.both) == (3, 3, 2)
    nothing = metrics.detection(predicted, target, threshold=1e9)
    assert nothing.recall is None
    assert nothing.precision is None
