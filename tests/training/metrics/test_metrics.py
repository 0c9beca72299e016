"""Metrics against numbers computed by hand."""

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.training import metrics

TRUE = np.full((2, 1, 4), 100.0)
WRONG = TRUE * 10.0 ** np.array([[[0.0, 0.15, -0.25, 0.6]], [[0.0, 0.0, 0.0, -1.0]]])


def test_accuracy_is_the_mean_of_image_fractions():
    assert metrics.accuracy(WRONG, TRUE, tolerance_dex=0.2) == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert metrics.accuracy(WRONG, TRUE, tolerance_dex=0.7) == pytest.approx((4 / 4 + 3 / 4) / 2)


def test_accuracy_counts_images_not_pixels():
    """Eq. 6 averages images: one valid pixel of image 0 weighs as much as four of image 1."""
    predicted = WRONG.copy()
    predicted[0, 0, 1:] = np.nan
    assert metrics.accuracy(predicted, TRUE) == pytest.approx((1 + 3 / 4) / 2)
    predicted[0] = np.nan
    assert metrics.accuracy(predicted, TRUE) == pytest.approx(3 / 4)


def test_the_tolerance_itself_is_outside():
    """Eq. 5 has a strict inequality."""
    assert metrics.accuracy([[1000.0]], [[100.0]], tolerance_dex=1.0) == 0.0
    assert metrics.accuracy([[1000.0]], [[100.0]], tolerance_dex=1.0 + 1e-9) == 1.0


def test_over_and_under_estimates_weigh_the_same():
    assert metrics.accuracy(WRONG, TRUE) == metrics.accuracy(TRUE, WRONG)


def test_curve_rises_and_passes_through_the_accuracies():
    curve = metrics.accuracy_curve(WRONG, TRUE, tolerances_dex=[0.1, 0.2, 0.3, 0.7, 1.1])
    assert curve.mean == pytest.approx([0.5, 0.625, 0.75, 0.875, 1.0])
    assert curve.standard_deviation == pytest.approx([0.25, 0.125, 0.0, 0.125, 0.0])
    assert curve.images == 2
    assert metrics.accuracy_curve(TRUE, TRUE).area == pytest.approx(1.0)
    assert (np.diff(metrics.accuracy_curve(WRONG, TRUE).mean) >= 0).all()


def test_residual_rmse_and_bias_by_hand():
    assert metrics.residual(WRONG, TRUE)[0, 0] == pytest.approx([0, 0.15, -0.25, 0.6])
    squares = 0.15**2 + 0.25**2 + 0.6**2 + 1
    assert metrics.rmse_dex(WRONG, TRUE) == pytest.approx(np.sqrt(squares / 8))
    assert metrics.bias_dex(WRONG, TRUE) == pytest.approx((0.15 - 0.25 + 0.6 - 1) / 8)


def test_nan_pixels_change_nothing():
    rng = np.random.default_rng(0)
    target = 10 ** rng.normal(3, 0.5, (3, 8, 8))
    predicted = target * 10 ** rng.normal(0, 0.2, target.shape)
    with_blanks = np.concatenate([predicted, np.full((3, 8, 2), np.nan)], axis=2)
    true_too = np.concatenate([target, np.ones((3, 8, 2))], axis=2)
    assert metrics.scores(with_blanks, true_too) == pytest.approx(metrics.scores(predicted, target))
    assert metrics.scores(true_too, with_blanks)["bias_dex"] == pytest.approx(
        -metrics.bias_dex(predicted, target)
    )


def test_residuals_by_density_by_hand():
    target = np.array([[10.0, 20.0, 100.0, 200.0, 1000.0]])
    predicted = target * 10.0 ** np.array([[0.1, 0.3, -0.2, 0.0, 0.5]])
    by_target = metrics.residuals_by_density(predicted, target, bins=[10, 100, 1000])
    assert by_target.count.tolist() == [2, 3]  # 100 opens the second bin, 1000 closes it
    assert by_target.mean == pytest.approx([0.2, 0.1])
    assert by_target.median == pytest.approx([0.2, 0.0])
    assert by_target.centres == pytest.approx([10**1.5, 10**2.5])
    by_predicted = metrics.residuals_by_density(predicted, target, by="predicted", bins=[10, 100, 1000])
    assert by_predicted.count.tolist() == [3, 1]  # 63 fell into the first, 3162 out of the last
    assert by_predicted.histogram.sum(axis=1).tolist() == [3, 1]


def test_quantiles_of_a_known_distribution():
    rng = np.random.default_rng(1)
    target = 10 ** rng.uniform(2, 3, (4, 100, 100))
    table = metrics.residuals_by_density(target * 10 ** rng.normal(0.05, 0.1, target.shape), target, bins=4)
    assert table.median == pytest.approx(np.full(4, 0.05), abs=0.01)
    assert (table.q84 - table.q16) / 2 == pytest.approx(np.full(4, 0.0994), abs=0.005)
    assert (table.q97_5 - table.q02_5) / 2 == pytest.approx(np.full(4, 0.196), abs=0.01)
    assert table.count.sum() == target.size


def test_regression_to_the_mean_shows_by_target_only():
    """The best estimator of a noisy quantity is unbiased by prediction and shrunk by truth."""
    rng = np.random.default_rng(2)
    log_seen = rng.normal(3, 0.4, (1, 200, 200))
    target, predicted = 10 ** (log_seen + rng.normal(0, 0.4, log_seen.shape)), 10**log_seen
    dense = [10**3.6, 10**4.0]
    assert metrics.residuals_by_density(predicted, target, bins=dense).mean[0] < -0.2
    assert abs(metrics.residuals_by_density(predicted, target, by="predicted", bins=dense).mean[0]) < 0.05


def test_default_bins_hold_every_pixel_and_mark_empty_ones():
    target = np.array([[1.0, 10.0, 5000.0]])
    table = metrics.residuals_by_density(target, target)
    assert table.count.sum() == 3
    assert np.isnan(table.mean[table.count == 0]).all()
    assert np.log10(table.edges) / 0.25 == pytest.approx(np.round(np.log10(table.edges) / 0.25))
    assert metrics.residuals_by_density([[7.0]], [[7.0]]).count.tolist() == [1]


def test_correlation_is_of_logarithms():
    target = np.array([[10.0, 100.0, 1000.0]])
    assert metrics.correlation(5 * target**0.3, target) == pytest.approx(1.0)
    assert metrics.correlation(1 / target, target) == pytest.approx(-1.0)
    assert metrics.correlation([[1.0, 10.0, 1.0]], target) == pytest.approx(0.0, abs=1e-12)


def test_spatial_error_finds_the_edge():
    target = np.full((5, 6, 7), 10.0)
    predicted = target.copy()
    predicted[:, 0, :] *= 10**0.5
    error = metrics.spatial_error(predicted, target)
    assert error.rmse_map[0] == pytest.approx(np.full(7, 0.5))
    assert error.rmse_map[1:] == pytest.approx(np.zeros((5, 7)))
    assert error.edge_distance.tolist() == [0, 1, 2]
    assert error.edge_rmse == pytest.approx([0.5 * np.sqrt(7 / 22), 0, 0])
    assert error.image_bias == pytest.approx(np.full(5, 0.5 / 6))


def test_spatial_error_of_a_position_without_data_is_nan():
    target = np.full((2, 3, 3), 10.0)
    predicted = target.copy()
    predicted[:, 1, 1] = np.nan
    error = metrics.spatial_error(predicted, target)
    assert np.isnan(error.mean_map[1, 1])
    assert np.isnan(error.edge_rmse[1])
    assert error.edge_rmse[0] == 0


def test_scores_of_the_densest_hundredth():
    target = np.arange(1.0, 1001.0).reshape(1, 20, 50)
    predicted = np.where(target > 990, target * 10**-0.4, target)
    row = metrics.scores(predicted, target)
    assert row["densest_1_percent_bias_dex"] == pytest.approx(-0.4)
    assert row["densest_1_percent_rmse_dex"] == pytest.approx(0.4)
    assert row["accuracy_0.3"] == pytest.approx(0.99)
    assert row["accuracy_0.5"] == pytest.approx(1.0)
    assert list(row)[:2] == ["rmse_dex", "bias_dex"]


@pytest.mark.parametrize(
    "function", [metrics.accuracy, metrics.residual, metrics.scores, metrics.spatial_error]
)
def test_bad_maps_are_refused(function):
    good = np.full((1, 2, 2), 10.0)
    with pytest.raises(ValueError, match="equal shapes"):
        function(good, good[:, :1])
    with pytest.raises(ValueError, match=r"\(images, y, x\)"):
        function(good[None], good[None])
    with pytest.raises(ValueError, match="at least one pixel"):
        function(good * np.nan, good)
    for value in (0.0, -3.0, np.inf):
        bad = good.copy()
        bad[0, 0, 0] = value
        with pytest.raises(ValueError, match=r"target: expected positive finite.* 1 pixels"):
            function(good, bad)


def test_bad_choices_are_refused():
    good = np.full((1, 2, 2), 10.0)
    with pytest.raises(ValueError, match="tolerance_dex"):
        metrics.accuracy(good, good, tolerance_dex=0)
    with pytest.raises(ValueError, match="increasing"):
        metrics.accuracy_curve(good, good, tolerances_dex=[0.3, 0.2])
    with pytest.raises(ValueError, match="by: expected"):
        metrics.residuals_by_density(good, good, by="density")
    with pytest.raises(ValueError, match="bins: expected"):
        metrics.residuals_by_density(good, good, bins=[10, 1])
    with pytest.raises(ValueError, match="bins: expected"):
        metrics.residuals_by_density(good, good, bins=0)
    with pytest.raises(ValueError, match="uniform"):
        metrics.correlation(good, good)


def test_inputs_are_left_alone():
    predicted, target = WRONG.copy(), TRUE.copy()
    predicted[0, 0, 0] = target[1, 0, 0] = np.nan
    kept = predicted.copy(), target.copy()
    metrics.scores(predicted, target)
    assert np.array_equal(predicted, kept[0], equal_nan=True)
    assert np.array_equal(target, kept[1], equal_nan=True)


def test_a_constant_prediction_still_has_scores():
    row = metrics.scores(np.full((1, 2, 2), 10.0), np.array([[[10.0, 20.0], [30.0, 40.0]]]))
    assert row["correlation"] == 0.0


def test_quantities_are_converted_and_masked_pixels_unknown():
    assert metrics.rmse_dex(WRONG * 1e6 / u.m**3, TRUE / u.cm**3) == pytest.approx(
        metrics.rmse_dex(WRONG, TRUE)
    )
    masked = np.ma.masked_greater(WRONG, 200)
    assert metrics.rmse_dex(masked, TRUE) == pytest.approx(metrics.rmse_dex(masked.filled(np.nan), TRUE))
    with pytest.raises(u.UnitsError, match="predicted: expected a unit that converts to cm-3, got 1 / cm2"):
        metrics.accuracy(WRONG / u.cm**2, TRUE)
