"""The explorer of residuals: what it draws is what the library gives."""

from __future__ import annotations

import time

import numpy as np
import pytest
from astropy import units as u
from bokeh.events import SelectionGeometry

import polaris_lab as lab
from polaris_lab.training import Run, cross_corrected, fit_baseline, predict, residuals_by_density
from tests.widgets.residuals.conftest import known
from widgets import ResidualExplorer, residual_explorer
from widgets.residuals.figures import RUN_COLOURS


def test_the_figures_hold_what_the_library_gives(explorer, runs):
    predicted, target = known(runs)
    side = explorer.sides[0]
    assert np.array_equal(side.judged.predicted.density, predicted)
    assert np.nansum(side.correlation._source.data["image"][0]) == target.size
    expected = lab.training.rmse_dex(predicted, target)
    assert side.judged.evaluation.score("rmse_dex").value == pytest.approx(expected)
    table = residuals_by_density(predicted, target, by="target")
    filled = table.count > 0
    assert side.violins._bins.data["median"] == pytest.approx(table.median[filled])
    assert len(side.violins._bodies.data["xs"]) == filled.sum()
    explorer.by = "predicted"
    table = residuals_by_density(predicted, target, by="predicted")
    assert side.violins._bins.data["median"] == pytest.approx(table.median[table.count > 0])
    assert "predicted" in side.violins.figure.xaxis[0].axis_label


def test_accuracy_has_its_spread_over_patches(explorer, runs):
    curve = lab.training.accuracy_curve(*known(runs))
    drawn = explorer._accuracy._sources[0].data
    assert drawn["mean"] == pytest.approx(100 * curve.mean)
    assert drawn["q16"] == pytest.approx(100 * curve.q16)
    explorer.tolerance_dex = 0.3
    share = 100 * lab.accuracy(*known(runs), tolerance_dex=0.3)
    assert f"Acc(0.30 dex) = {share:.1f} %" in explorer._within.object
    assert explorer._accuracy._at.location == 0.3


def test_any_patch_can_be_seen(explorer, runs):
    predicted, target = known(runs)
    _figure, source, mapper, _bar = explorer.sides[0].maps._maps["residual"]
    explorer.patch = 4
    before = mapper.low, mapper.high
    explorer.patch = 5
    assert (mapper.low, mapper.high) == before  # one colour scale for all patches
    expected = np.log10(predicted[5] / target[5])
    assert source.data["image"][0] == pytest.approx(expected, abs=1e-6)
    assert f"RMSE {np.sqrt((expected**2).mean()):.3f} dex" in explorer._where.object
    assert source.data["side"] == [pytest.approx(16 * 0.05)]
    assert "Patch 5 of 12 (row 17 of the dataset): cloud f" in explorer._where.object


def test_a_box_on_the_correlation_marks_its_pixels_on_the_maps(explorer, runs):
    predicted, target = known(runs)
    box = {"type": "rect", "x0": 3.2, "x1": 2.8, "y0": 2.9, "y1": 3.4}
    event = SelectionGeometry(explorer.sides[0].correlation.figure, geometry=box, final=True)
    explorer.sides[0].correlation._chosen(event)
    assert explorer.region == (2.8, 3.2, 2.9, 3.4)
    x, y = np.log10(target), np.log10(predicted)
    chosen = (x >= 2.8) & (x <= 3.2) & (y >= 2.9) & (y <= 3.4)
    veil = explorer.sides[0].maps._veil.data["veil"][0]
    assert np.array_equal(np.isnan(veil), chosen[0])  # the others lie under a veil
    assert f"{chosen.sum():,} pixels" in explorer._region_words.object
    assert explorer.sides[0].errors._source.data["inside"] == chosen.sum(axis=(1, 2)).tolist()
    explorer.next_patch()
    assert explorer.patch == chosen.sum(axis=(1, 2)).argmax()
    explorer.choose(None)
    assert len(explorer.sides[0].maps._veil.data["veil"]) == 0


def test_the_region_can_be_typed(explorer):
    fields = residual_explorer.residual_controls.region_fields(explorer)
    for field, value in zip(fields, (2.0, 3.0, 2.0, 3.0), strict=True):
        assert "[log₁₀ cm⁻³]" in field.label
        field.value = value
    assert explorer.region == (2.0, 3.0, 2.0, 3.0)
    assert explorer.sides[0].correlation._box.data["right"] == [3.0]


def test_an_empty_region_is_said(explorer):
    explorer.choose((9.0, 9.5, 9.0, 9.5))
    assert "no pixel in this region" in explorer._region_words.object
    with pytest.raises(ValueError, match="expected one with pixels in it, got none"):
        explorer.next_patch()


def test_a_tap_shows_the_patch(explorer):
    explorer.sides[0].errors._source.selected.indices = [7]
    assert explorer.patch == 7
    assert explorer.sides[0].errors._marked.data["number"] == [7]


@pytest.mark.parametrize("kind", ["isotonic", "spline", "report_baseline"])
def test_a_correction_is_judged_on_the_other_half(explorer, runs, kind):
    run = Run.open(runs / "plain")
    plain = predict(run, run.dataset())
    target = known(runs)[1]
    explorer.correction = kind
    judged = explorer.sides[0].judged
    assert np.array_equal(judged.predicted.density, cross_corrected(plain, target, kind=kind).density)
    assert np.array_equal(judged.before.predicted.density, plain.density)
    assert explorer._before_after.view.visible
    assert "plain, before" in explorer._before_after._table.object
    drawn = explorer._before_after.figures[0].sources
    assert drawn["before"].data["mean"] == pytest.approx(judged.before.residuals["target"].mean, nan_ok=True)
    assert drawn["after"].data["mean"] == pytest.approx(judged.residuals["target"].mean, nan_ok=True)
    assert "fitted on the other half" in explorer._scores.object
    explorer.correction = "none"
    assert not explorer._before_after.view.visible


def test_the_kept_correction_says_that_it_knows_the_patches(workspace):
    explorer = ResidualExplorer(workspace / "plain", correction="kept")
    assert explorer.sides[0].state.severity == "error"
    assert "call fit&#95;baseline(run)" in explorer.sides[0].state.object
    correction = fit_baseline(Run.open(workspace / "plain"))
    explorer.again()
    judged = explorer.sides[0].judged
    assert np.allclose(judged.predicted.density, correction(judged.before.predicted.density))
    assert "fitted on 12 of the 12 patches judged here" in explorer._scores.object


def test_two_runs_stand_side_by_side(pair, runs):
    assert [side.judged.name for side in pair.sides] == ["plain", "stated"]
    ratio = pair.sides[0].judged.evaluation.ratio(pair.sides[1].judged.evaluation)
    assert str(ratio) in pair._scores.object
    assert [item.label["value"] for item in pair._accuracy.figure.legend[0].items] == ["plain", "stated"]
    assert len({*RUN_COLOURS}) == 2
    pair.other_path = ""
    assert len(pair.shown) == 1
    assert not any(box.visible for box in pair._boxes[1].values())


def test_runs_of_other_patches_are_not_compared_by_numbers(pair, dataset, tmp_path):
    other = lab.PatchDataset.from_arrays(
        {"column_density": dataset.read("column_density")[:20]},
        {"mass_weighted_density": dataset.read("mass_weighted_density")[:20]},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12 + ["validation"] * 8,
    )
    blueprint = lab.Blueprint.unet(layers=1, base_filters=4, attention=False, reference_scale=2.0)
    config = lab.TrainingConfig(epochs=1, batch_size=4, device="cpu")
    run = Run.create(tmp_path / "elsewhere", blueprint, other, config).train(progress=False)
    pair.other_path = str(run.path)
    assert "judged on other patches" in pair._scores.object
    pair.patch = 11  # the other has eight
    assert pair.sides[1].errors._marked.data["number"] == [7]


def test_the_calibration_page_tells_whether_stated_errors_hold(pair, runs):
    pair.page = "calibration"
    assert pair._calibrated.visible
    assert not pair._seen.visible
    run = Run.open(runs / "stated")
    score = lab.evaluate(run, run.dataset()).score("coverage_0.68")
    assert f"hold {100 * score.value:.1f} % of the pixels" in pair._calibration.state.object
    assert "CRPS [dex]" in pair._calibration._table.object
    table = pair.sides[1].judged.evaluation.calibration
    assert pair._calibration.skill._sources[0].data["y"] == table["spread_skill"]["error"]
    coverage = pair._calibration.coverage
    assert coverage._sources[0].data["y"] == pytest.approx(100 * np.array(table["coverage_share"]))
    assert coverage.figure.legend[0].items[1].label["value"] == "stated"
    pit = pair._calibration.pit._sources[0].data
    assert np.trapezoid(pit["y"], pit["x"]) == pytest.approx(100)


def test_a_run_without_stated_errors_has_words_in_place_of_a_calibration(explorer):
    explorer.page = "calibration"
    assert explorer._calibration.state.title == "No stated errors"
    assert not explorer._calibration._figures.visible


def test_the_lines_of_python_give_what_is_seen(pair):
    pair.param.update(by="predicted", tolerance_dex=0.35, patch=3, correction="isotonic")
    pair.choose((2.6, 3.1, 2.5, 3.2))
    lines = pair.code().splitlines()
    assert lines[-1].startswith("ResidualExplorer(")
    names = {}
    exec("\n".join(lines[:-1]) + "\nagain = " + lines[-1], names)
    again = names["again"]
    assert again.code() == pair.code()
    for ours, theirs in zip(pair.sides, again.sides, strict=True):
        assert np.array_equal(ours.inside, theirs.inside)
        images = [side.maps._maps["residual"][1].data["image"][0] for side in (ours, theirs)]
        assert np.array_equal(*images)
    assert pair._lines._pane.tags == [pair.code()]
    pair.correction = "none"
    exec(pair.code().replace("# the numbers alone: print(", "found = (", 1), names)
    assert names["found"].scores == pair.sides[0].judged.evaluation.scores


def test_what_is_known_is_not_computed_again(runs, monkeypatch):
    ResidualExplorer(runs / "plain")
    monkeypatch.setattr("polaris_lab.training.predicted.predict", None)
    monkeypatch.setattr("polaris_lab.training.predict", None, raising=False)
    again = ResidualExplorer(runs / "plain")
    assert again.sides[0].judged is not None


def test_two_pages_share_nothing_that_either_can_change(runs):
    first, second = ResidualExplorer(runs / "plain"), ResidualExplorer(runs / "plain")
    first.choose((2.0, 3.0, 2.0, 3.0))
    first.patch = 4
    assert (second.region, second.patch) == (None, 0)
    assert second.sides[0].correlation._box.data["left"] == []
    with pytest.raises(ValueError, match="read-only"):
        first.sides[0].judged.target[:] = 1


SELECTION_SECONDS = 0.02
"""CPU time of comparing two stacks of 256 patches of 64^2 pixels with two ends: the measure of a busier machine."""


def test_a_slider_costs_the_server_less_than_a_tenth_of_a_second(explorer, capsys, monkeypatch):
    """CPU time, 256 validation patches of 64^2 pixels; where the machine is slower, in proportion."""
    import dataclasses

    rng = np.random.default_rng(0)
    target = 10 ** rng.normal(3, 0.5, (256, 64, 64))
    side = explorer.sides[0]
    names = ("rmse_dex", "bias_dex", "cloud", "patch", "line_of_sight")
    maps = {name: (side.judged.evaluation.maps[name] * 22)[:256] for name in names}
    large = dataclasses.replace(
        side.judged,
        target=target,
        predicted=dataclasses.replace(
            side.judged.predicted, density=target * 1.1, cloud=None, sigma_dex=None
        ),
        column_density=target * 1e18,
        evaluation=dataclasses.replace(side.judged.evaluation, maps=maps),
    )
    side.judged = large
    monkeypatch.setattr(side, "look", lambda: (False, False))
    explorer._show()
    spent = {"compare": cpu_seconds(lambda: [(target > 1) & (target < 3) for _ in range(2)])}
    for name, values in {
        "patch": (10, 200, 30), "tolerance_dex": (0.3, 0.4, 0.5), "by": ("predicted", "target", "predicted"),
    }.items():  # fmt: skip
        spent[name] = min(cpu_seconds(lambda n=name, v=value: setattr(explorer, n, v)) for value in values)
    spent["region"] = min(cpu_seconds(lambda e=end: explorer.choose((2.0, e, 2.0, 4.0))) for end in (3, 4, 5))
    with capsys.disabled():
        print("\n  " + ", ".join(f"{name} {1e3 * seconds:.0f} ms" for name, seconds in spent.items()))
    slower = max(1.0, spent.pop("compare") / SELECTION_SECONDS)
    assert max(spent.values()) < 0.1 * slower


def cpu_seconds(function) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin
