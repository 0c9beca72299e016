"""What a Kolmogorov-Arnold run has learned, read from its folder: the curve, pruned, and as a formula with its error."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from polaris_lab import Run
from polaris_lab.models import Blueprint
from polaris_lab.models.kan import fit_formula, layer_curves, learned_curve, prune_kan, prune_layers
from polaris_lab.training.batches import Patches
from widgets import figures

SETTINGS = {
    "just_kan": {"widths": (3, 3)},
    "unet_and_kan": {"layers": 2, "base_filters": 4, "widths": (3,)},
    "knet": {"layers": 2, "base_filters": 4},
    "ukan": {"layers": 2, "base_filters": 4, "kan_levels": 1},
}


def reopened(name, dataset, config, tmp_path) -> Run:
    config = dataclasses.replace(config, epochs=6, learning_rate=3e-2)
    Run.create(tmp_path / name, Blueprint.preset(name, **SETTINGS[name]), dataset, config).train(
        progress=False
    )
    return Run.open(tmp_path / name)


@pytest.mark.parametrize("name", ["just_kan", "unet_and_kan"])
def test_the_law_of_a_run(name, dataset, config, tmp_path):
    model = reopened(name, dataset, config, tmp_path).model()
    curve = learned_curve(model)
    inside = (curve.x > curve.trained[0]) & (curve.x < curve.trained[1])
    if name == "just_kan":  # n grows about as N or faster; of the sum, the U-Net has learned a part
        assert np.polyfit(curve.x[inside], curve.y[inside], 1)[0] > 0.3
    pruned, report = prune_kan(model, threshold=0.05)
    assert report.edges[0] <= report.edges[1]
    difference = learned_curve(pruned, limits=curve.trained).y - learned_curve(model, limits=curve.trained).y
    assert report.rms_error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-6, abs=1e-12)
    formula = fit_formula(curve.x, curve.y)
    assert formula.rms == pytest.approx(np.sqrt(np.mean((formula(curve.x) - curve.y) ** 2)), rel=1e-6)
    assert "x" in formula.expression
    drawn = figures.learned_curves({"learned": curve, "pruned": learned_curve(pruned)}, formula=formula)
    assert {"learned", "pruned", "formula"} <= {element.label for element in drawn}


@pytest.mark.parametrize("name", ["knet", "ukan"])
def test_the_curves_of_a_layer_of_a_run(name, dataset, config, tmp_path):
    run = reopened(name, dataset, config, tmp_path)
    model = run.model()
    curves = layer_curves(model)
    place = curves.strongest(1)[0]
    y = curves.y[:, place[0], place[1]]
    formula = fit_formula(curves.x, y)
    assert formula.rms == pytest.approx(np.sqrt(np.mean((formula(curves.x) - y) ** 2)), rel=1e-6)
    patches = Patches.load(dataset, "validation", inputs=run.blueprint.inputs, target=run.target)
    _, report = prune_layers(model, patches.inputs, threshold=0.6)  # two of an output at most
    assert report.curves[0] < report.curves[1]
    assert 0 < report.rms_error <= report.max_error < 1
    drawn = figures.layer_curves(curves, count=3, formulas={place: formula})
    labels = [element.label for element in drawn]
    assert f"{place[1] + 1} → {place[0] + 1}" in labels
    assert "formula" in labels
