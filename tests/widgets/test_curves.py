from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest

from polaris_lab.training import residuals_by_density
from widgets import figures


def test_losses_are_shown_as_rms_errors_in_dex(record):
    table = figures.history_table([record(0, training_loss=0.04, validation_loss=0.09)])
    assert table["training"][0] == pytest.approx(0.2)
    assert table["validation"][0] == pytest.approx(0.3)
    assert table["epoch"][0] == 1.0


def test_an_empty_history_gives_an_empty_table_and_a_figure():
    assert len(figures.history_table([])) == 0
    assert isinstance(figures.loss_curves([]), hv.Overlay)


def test_the_last_best_epoch_is_marked(record):
    history = [record(0), record(1), record(2, best=False)]
    marks = [element for element in figures.loss_curves(history) if isinstance(element, hv.Scatter)]
    assert list(marks[0]["epoch"]) == [2.0]


def test_several_runs_are_named_in_the_legend(record):
    overlay = figures.loss_curves({"small": [record(0), record(1)], "large": [record(0)]})
    labels = {element.label for element in overlay}
    assert {"small training", "small validation", "large validation"} <= labels


@pytest.mark.parametrize("draw", [figures.loss_curves, figures.accuracy_curve, figures.learning_rate_curve])
def test_curves_name_axes_and_stay_on_their_scale(draw, record):
    plot = hv.render(draw([record(i) for i in range(5)]), backend="bokeh")
    assert plot.xaxis.axis_label == "epoch"
    assert plot.yaxis.axis_label
    assert plot.toolbar.logo is None


def test_accuracy_against_tolerance_is_in_per_cent():
    overlay = figures.accuracy_by_tolerance([0.1, 0.2], {"U-Net": [0.5, 0.75], "power law": [0.1, 0.2]})
    first = next(iter(overlay))
    assert first.label == "U-Net"
    assert list(first["share"]) == [50.0, 75.0]


def test_accuracies_of_another_length_are_refused():
    with pytest.raises(ValueError, match="expected 2 values, got 1"):
        figures.accuracy_by_tolerance([0.1, 0.2], {"U-Net": [0.5]})


@pytest.fixture
def residuals():
    rng = np.random.default_rng(0)
    target = 10 ** rng.uniform(2, 5, (4, 32, 32))
    return residuals_by_density(target * 10 ** rng.normal(0, 0.1, target.shape), target, by="target")


def test_bands_show_the_quantiles_they_were_given(residuals):
    median = next(element for element in figures.residual_bands(residuals) if element.label == "median")
    np.testing.assert_allclose(median["residual"], residuals.median)
    np.testing.assert_allclose(median["density"], residuals.centres)


def test_bands_read_the_calibration_of_a_run_too():
    calibration = {"log_density": [2.0, 3.0], "count": [5, 0]}
    calibration |= {name: [0.1, None] for name in ("q02.5", "q16", "q50", "q84", "q97.5")}
    median = next(e for e in figures.residual_bands(calibration) if e.label == "median")
    assert list(median["density"]) == [100.0, 1000.0]
    assert np.isnan(median["residual"][1])


def test_bins_of_an_unknown_density_are_refused(residuals):
    with pytest.raises(ValueError, match="'predicted' or 'target'"):
        figures.residual_bands(
            {"log_density": [], **{name: [] for name in ("q02.5", "q16", "q50", "q84", "q97.5")}}, by="n"
        )


def test_violins_stay_inside_their_bins(residuals):
    violins = next(e for e in figures.residual_violins(residuals) if isinstance(e, hv.Polygons))
    bodies = violins.split(datatype="dictionary")
    assert len(bodies) == int((residuals.count > 0).sum())
    for body, low, high in zip(bodies, residuals.edges[:-1], residuals.edges[1:], strict=True):
        assert body["density"].min() >= low
        assert body["density"].max() <= high
