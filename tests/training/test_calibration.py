import numpy as np
import pytest

from polaris_lab.training.calibration import MINIMUM_COUNT, calibration_table


def test_quantiles_follow_an_error_that_depends_on_density():
    rng = np.random.default_rng(0)
    log_predicted = rng.uniform(2, 4, (10, 100, 100))
    scatter = 0.05 * log_predicted
    predicted, target = 10**log_predicted, 10 ** (log_predicted - rng.normal(0.1, scatter))
    table = calibration_table(predicted, target)
    density = np.array(table["log_density"])
    assert np.array(table["q50"]) == pytest.approx(np.full(len(density), 0.1), abs=0.02)
    assert (np.array(table["q84"]) - table["q16"]) / 2 == pytest.approx(0.9945 * 0.05 * density, rel=0.06)
    assert (np.array(table["q97.5"]) - table["q02.5"]) / 2 == pytest.approx(1.96 * 0.05 * density, rel=0.08)
    assert (np.diff(density) > 0).all()


def test_intervals_hold_their_share_of_the_truth():
    """n / 10^q84 .. n / 10^q16 holds 68 % of the true densities, whatever the shape of the errors."""
    rng = np.random.default_rng(1)
    predicted = 10 ** rng.normal(3, 0.5, (4, 100, 100))
    target = predicted / 10 ** (rng.exponential(0.2, predicted.shape) - 0.1)
    table = calibration_table(predicted, target)
    low, high = (np.interp(np.log10(predicted), table["log_density"], table[q]) for q in ("q16", "q84"))
    inside = (target >= predicted / 10**high) & (target <= predicted / 10**low)
    assert inside.mean() == pytest.approx(0.68, abs=0.02)


@pytest.mark.parametrize("size", [3, 20, 300])
def test_every_bin_holds_enough_and_no_pixel_is_lost(size):
    rng = np.random.default_rng(2)
    predicted = 10 ** rng.normal(3, 0.8, (1, size, size))
    predicted[0, 0, 0] = np.nan
    table = calibration_table(predicted, 10 ** rng.normal(3, 0.8, (1, size, size)))
    assert sum(table["count"]) == size**2 - 1
    assert min(table["count"]) >= min(MINIMUM_COUNT, (size**2 - 1) // 5)
    assert {len(column) for column in table.values()} == {len(table["count"])}


def test_one_density_gives_one_bin():
    table = calibration_table(np.full((1, 4, 4), 100.0), np.full((1, 4, 4), 50.0))
    assert table["count"] == [16]
    assert table["q50"] == pytest.approx([np.log10(2)])
