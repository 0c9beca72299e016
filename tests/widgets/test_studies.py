from __future__ import annotations

import json

import holoviews as hv
import numpy as np
import pytest

from polaris_lab.training import Study
from widgets import figures


def make_study(path, axes, cells, seeds=(0, 1)):
    """Write the files of a study: `cells` are (settings, seed, RMSE), None where it was not run."""
    identity = {"kind": "complexity_map", "axes": list(axes), "preset": "unet", "settings": {}, "training": {},
                "dataset": {"training_patches": 9, "validation_patches": 3, "fingerprint": "0" * 16}, "more": {}}  # fmt: skip
    planned = [
        {"settings": settings, "seed": seed, "run": f"run_{n}"} for n, (settings, seed, _) in enumerate(cells)
    ]
    path.mkdir()
    (path / "study.json").write_text(
        json.dumps({"schema": 1, **identity, "seeds": list(seeds), "cells": planned})
    )
    lines = [
        json.dumps({**cell, "state": "finished", "parameters": 100, "cpu_seconds": 1.0,
                    "metrics": {"rmse_dex": rmse, "accuracy_0.3": 1 - rmse}}) + "\n"
        for cell, (_, _, rmse) in zip(planned, cells, strict=True)
        if rmse is not None
    ]  # fmt: skip
    (path / "ledger.jsonl").write_text("".join(lines))
    return Study.open(path)


@pytest.fixture
def square(tmp_path):
    """Two by two cells, one of which nobody has run."""
    values = {(1, 8): (0.30, 0.34), (1, 16): (0.20, 0.24), (2, 8): (0.10, 0.14), (2, 16): (None, None)}
    cells = [
        ({"layers": layers, "base_filters": filters}, seed, rmse)
        for (layers, filters), errors in values.items()
        for seed, rmse in enumerate(errors)
    ]
    return make_study(tmp_path / "square", ("layers", "base_filters"), cells)


def test_cells_say_mean_and_scatter(square):
    overlay = figures.complexity_map(square)
    heat = next(element for element in overlay if isinstance(element, hv.HeatMap))
    table = heat.dframe().set_index(["y", "x"])
    assert table.loc[("1", "8"), "mean"] == pytest.approx(0.32)
    assert table.loc[("1", "8"), "std"] == pytest.approx(0.04 / np.sqrt(2))
    assert ("2", "16") not in table.dropna().index
    texts = {text for element in overlay if isinstance(element, hv.Labels) for text in element["text"]}
    assert texts == {"0.320\n± 0.028", "0.220\n± 0.028", "0.120\n± 0.028"}
    plot = hv.render(overlay, backend="bokeh")
    assert (plot.xaxis.axis_label, plot.yaxis.axis_label) == ("base filters", "layers")
    assert list(plot.x_range.factors) == ["8", "16"]
    assert "2 seeds" in plot.title.text


def test_a_curve_has_the_scatter_of_the_seeds(tmp_path):
    cells = [({"training_patches": n}, seed, 0.4 / n + 0.01 * seed) for n in (16, 2, 4) for seed in (0, 1)]
    study = make_study(tmp_path / "size", ("training_patches",), cells)
    overlay = figures.training_set_size(study, metric="rmse_dex")
    bars = next(element for element in overlay if isinstance(element, hv.ErrorBars))
    np.testing.assert_allclose(bars["training_patches"], [2, 4, 16])
    np.testing.assert_allclose(bars["mean"], [0.205, 0.105, 0.03])
    np.testing.assert_allclose(bars["std"], 0.01 / np.sqrt(2))
    plot = hv.render(figures.training_set_size({"one": study, "two": study}), backend="bokeh")
    assert plot.xaxis.axis_label == "training patches"


def test_one_seed_has_no_error_bars_and_the_title_says_so(tmp_path):
    study = make_study(
        tmp_path / "size", ("training_patches",), [({"training_patches": 2}, 0, 0.1)], seeds=(0,)
    )
    overlay = figures.training_set_size(study)
    assert not any(isinstance(element, hv.ErrorBars) for element in overlay)
    assert "no error bars" in hv.render(overlay, backend="bokeh").title.text


def test_a_study_of_other_axes_is_refused(square, tmp_path):
    with pytest.raises(ValueError, match="expected one setting that is varied, got layers, base_filters"):
        figures.training_set_size(square)
    study = make_study(tmp_path / "size", ("training_patches",), [({"training_patches": 2}, 0, 0.1)])
    with pytest.raises(ValueError, match="expected two settings that are varied, got training_patches"):
        figures.complexity_map(study)
    with pytest.raises(ValueError, match="did you mean 'rmse_dex'"):
        figures.complexity_map(square, metric="rmse")
