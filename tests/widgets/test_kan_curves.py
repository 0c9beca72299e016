from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest

from polaris_lab.models.kan import LayerCurves, LearnedCurve, fit_formula
from widgets import figures


@pytest.fixture
def curve():
    x = np.linspace(20, 23, 40)
    return LearnedCurve("column_density", x, 2 + 1.4 * (x - 21.5), "mass_weighted_density", (20.5, 22.5))


def test_curve_formula_and_pixels_are_in_physical_units(curve):
    pixels = 10 ** np.array([21.0, 22.0]), 10 ** np.array([1.5, 2.5])
    overlay = figures.learned_curves(curve, formula=fit_formula(curve.x, curve.y), pixels=pixels)
    lines = {element.label: element for element in overlay if isinstance(element, hv.Curve)}
    assert set(lines) == {"learned", "formula"}
    for line in lines.values():
        np.testing.assert_allclose(line["column_density"], 10**curve.x)
        np.testing.assert_allclose(line["density"], 10**curve.y, rtol=1e-6)
    points = next(element for element in overlay if isinstance(element, hv.Scatter))
    assert list(points["density"]) == pytest.approx(list(pixels[1]))
    plot = hv.render(overlay, backend="bokeh")
    assert plot.xaxis.axis_label == "N_H [cm⁻²]"
    assert plot.yaxis.axis_label == "⟨n_H⟩_M [cm⁻³]"


def test_trained_range_is_shaded(curve):
    span = next(element for element in figures.learned_curves(curve) if isinstance(element, hv.VSpan))
    assert span.data == pytest.approx((10**20.5, 10**22.5))


def test_contrast_has_its_own_axes(curve):
    x = np.linspace(-0.5, 0.5, 20)
    equivariant = LearnedCurve("contrast", x, x - 19, "mass_weighted_density", (-0.4, 0.4))
    plot = hv.render(figures.learned_curves({"a": equivariant, "b": equivariant}), backend="bokeh")
    assert plot.xaxis.axis_label == "contrast: N_H / local mean"
    assert plot.yaxis.axis_label == "⟨n_H⟩_M / N_H [cm⁻¹]"
    with pytest.raises(ValueError, match="expected curves of one quantity against one abscissa"):
        figures.learned_curves({"a": equivariant, "b": curve})
    with pytest.raises(ValueError, match="expected curves of one quantity"):
        figures.learned_curves({})


def test_curves_of_a_layer_are_the_strongest_with_their_formulas():
    x = np.linspace(-3, 3, 40)
    curves = LayerCurves("last", x, np.stack([0.1 * x, x, np.sin(x)], axis=-1)[:, None])
    formula = fit_formula(x, x, names=["linear"])
    overlay = figures.layer_curves(curves, count=2, formulas={(0, 1): formula})
    lines = {element.label: element for element in overlay if isinstance(element, hv.Curve)}
    assert list(lines) == ["2 → 1", "3 → 1", "formula"]  # 1 -> 1 matters least
    np.testing.assert_allclose(lines["formula"]["added"], x, atol=1e-9)
    plot = hv.render(overlay, backend="bokeh")
    assert plot.xaxis.axis_label == "feature [standard deviations of the training set]"
