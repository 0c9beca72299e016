from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from bokeh.models import Plot

import polaris_lab as lab
from polaris_lab.training import Study
from widgets import ComplexityExplorer, complexity_explorer
from widgets.complexity import study_cells
from widgets.complexity.study_watcher import StudySnapshot

KEYS = {"schema": 1, "preset": "unet", "settings": {"attention": False}, "training": {"epochs": 2}, "more": {},
        "dataset": {"training_patches": 9, "validation_patches": 3, "fingerprint": "0" * 16}}  # fmt: skip


def write_study(path: Path, axes, cells, *, kind="complexity_map") -> Path:
    """Write the files of a study: `cells` are (settings, seed, RMSE); None was not run, a text is why it failed."""
    planned = [
        {"settings": settings, "seed": seed, "run": f"run_{n}", "network": "-"}
        for n, (settings, seed, _) in enumerate(cells)
    ]
    path.mkdir(parents=True)
    seeds = sorted({seed for _, seed, _ in cells})
    text = {**KEYS, "kind": kind, "axes": list(axes), "seeds": seeds, "cells": planned}
    (path / "study.json").write_text(json.dumps(text))
    lines = []
    for cell, (_, _, found) in zip(planned, cells, strict=True):
        entry = {key: cell[key] for key in ("settings", "seed", "run")}
        if isinstance(found, str):
            lines.append({**entry, "state": "failed", "message": found, "metrics": {}})
        elif found is not None:
            lines.append({**entry, "state": "finished", "parameters": 100, "cpu_seconds": 1.0, "epochs": 2,
                          "metrics": {"rmse_dex": found, "bias_dex": -found, "accuracy_0.3": 1 - found}})  # fmt: skip
    (path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def square(tmp_path):
    """Two by two cells and two seeds: one cell was not run, one seed failed."""
    found = {
        (1, 8): (0.30, 0.34),
        (1, 16): (0.20, 0.24),
        (2, 8): (0.10, "out of memory <here>"),
        (2, 16): (None,) * 2,
    }
    cells = [
        ({"layers": layers, "base_filters": filters}, seed, value)
        for (layers, filters), values in found.items()
        for seed, value in enumerate(values)
    ]
    return write_study(tmp_path / "work" / "studies" / "map", ("layers", "base_filters"), cells)


@pytest.fixture
def explorer(square):
    return ComplexityExplorer("studies/map", workspace_folder=square.parents[1])


def drawn(explorer, figure="_map"):
    return getattr(explorer, figure)._source.data


def test_cells_say_mean_and_scatter_over_the_seeds(explorer, square):
    data = drawn(explorer)
    assert data["x"] == [0, 1, 0, 1]  # 8, 16 filters
    assert data["y"] == [0, 0, 1, 1]  # 1, 2 layers
    assert data["mean"][0] == pytest.approx(0.32)
    assert data["std"][0] == pytest.approx(0.04 / math.sqrt(2))
    assert data["text"] == ["0.320\n± 0.028", "0.220\n± 0.028", "0.1\nseeds missing", "not run"]
    summary = Study.open(square).summary("rmse_dex")
    assert data["mean"][:3] == pytest.approx(summary["mean"].tolist())
    assert explorer._map.figure.xaxis[0].axis_label == "base filters"
    assert explorer._map.figure.xaxis[0].major_label_overrides == {0.0: "8", 1.0: "16"}
    assert explorer._map._bar.title == "RMS error [dex]"
    assert "2 seeds" in explorer._map.figure.title.text


def test_better_is_brighter_for_every_metric(explorer):
    palette = explorer._map._mapper.palette
    explorer.metric = "accuracy_within_0.3_dex"
    assert drawn(explorer)["mean"][0] == pytest.approx(0.68)
    assert list(explorer._map._mapper.palette) == list(reversed(palette))
    assert "fraction of pixels within 0.3 dex" in explorer._map.figure.title.text


def test_the_best_bias_is_the_one_nearest_to_zero(explorer):
    explorer.metric = "bias_dex"
    assert drawn(explorer)["mean"][2] == pytest.approx(-0.1)  # of -0.32, -0.22, -0.10
    assert "layers = 2, base_filters = 8" in explorer._cell_words.object
    assert explorer._map._chosen.data == {"x": [0.0], "y": [1.0]}
    mapper = explorer._map._mapper
    assert mapper.low == -mapper.high == pytest.approx(-0.32)


def test_the_best_cell_is_shown_first_and_a_tap_chooses(explorer):
    assert "layers = 2, base_filters = 8" in explorer._cell_words.object
    explorer._map._source.selected.indices = [1]
    assert explorer.cell == 1
    assert "layers = 1, base_filters = 16" in explorer._cell_words.object
    assert "0.22 ± 0.0283 (scatter of 2 seeds)" in explorer._cell_words.object
    assert explorer._map._chosen.data == {"x": [1.0], "y": [0.0]}


def test_a_cell_opens_its_runs_and_tells_its_settings(explorer, square):
    (square / "run_0").mkdir()
    (square / "run_0" / "run.json").write_text("{}")
    explorer.choose(0)
    words = explorer._cell_words.object
    assert 'href="residuals?path=studies/map/run_0"' in words
    assert 'href="training?path=studies/map/run_0"' in words
    assert "path=studies/map/run_1" not in words  # its folder is not there
    assert "<td>attention</td><td>False</td>" in words
    assert "<td>training.epochs</td><td>2</td>" in words


def test_a_failed_cell_says_why(explorer):
    explorer.choose(2)
    assert "out of memory &lt;here&gt;" in explorer._cell_words.object
    explorer.choose(3)
    assert "not run yet" in explorer._cell_words.object


def test_the_list_reaches_every_cell_from_the_keyboard(explorer):
    assert explorer._choice.value == "the best one"
    assert len(explorer._choice.options) == 5
    explorer._choice.value = explorer._choice.options[2]
    assert explorer.cell == 1
    assert "base_filters = 16" in explorer._cell_words.object


def test_a_curve_has_error_bars(tmp_path):
    cells = [({"training_patches": n}, seed, 0.4 / n + 0.01 * seed) for n in (16, 2, 4) for seed in (0, 1)]
    path = write_study(tmp_path / "size", ("training_patches",), cells, kind="training_set_size")
    explorer = ComplexityExplorer(path)
    data = drawn(explorer, "_curve")
    assert explorer._boxes[1].visible
    assert not explorer._boxes[0].visible
    assert data["mean"] == pytest.approx([0.03, 0.205, 0.105])
    half = 0.01 / math.sqrt(2)
    assert np.subtract(data["high"], data["low"]) == pytest.approx(2 * half)
    assert explorer._curve._line.data["x"] == [0, 1, 2]
    assert explorer._curve._line.data["y"] == pytest.approx([0.205, 0.105, 0.03])
    assert explorer._curve.figure.xaxis[0].axis_label == "training patches"


def test_a_study_of_three_settings_is_cut_into_slices(tmp_path):
    cells = [
        ({"layers": a, "base_filters": b, "convolutions": c}, 0, 0.1 * a + 0.01 * b + 0.001 * c)
        for a in (1, 2) for b in (4, 8) for c in (1, 2)
    ]  # fmt: skip
    explorer = ComplexityExplorer(
        write_study(tmp_path / "cube", ("layers", "base_filters", "convolutions"), cells, kind="sweep")
    )
    assert explorer._slice.options == ["convolutions = 1", "convolutions = 2"]
    assert len(drawn(explorer)["x"]) == 4
    explorer._slice.value = "convolutions = 2"
    assert drawn(explorer)["mean"] == pytest.approx([0.142, 0.182, 0.242, 0.282])
    explorer._across.value = "convolutions"
    assert explorer.plane() == ("convolutions", "layers")
    assert explorer._map.figure.xaxis[0].axis_label == "convolutions"
    explorer._up.value = study_cells.NONE
    assert explorer._boxes[1].visible
    assert explorer._slice.options[0] == "layers = 1, base_filters = 4"


def test_a_search_is_a_cloud_of_trials(tmp_path):
    rates = (1e-4, 1e-3, 3e-3, 1e-2)
    cells = [
        ({"trial": n, "base_filters": 8, "training.learning_rate": rate}, 0, 0.1 * (n + 1))
        for n, rate in enumerate(rates)
    ]
    path = write_study(
        tmp_path / "search", ("trial", "base_filters", "training.learning_rate"), cells, kind="search"
    )
    explorer = ComplexityExplorer(path, across="training.learning_rate")
    data = drawn(explorer, "_curve")
    assert data["x"] == pytest.approx(np.log10(rates))
    assert explorer._curve._line.data["x"] == []
    assert explorer.snapshot.status == "finished"


def test_one_seed_has_no_error_bars_and_the_title_says_so(tmp_path):
    path = write_study(tmp_path / "one", ("layers",), [({"layers": 1}, 0, 0.1), ({"layers": 2}, 0, 0.2)])
    explorer = ComplexityExplorer(path)
    data = drawn(explorer, "_curve")
    assert data["low"] == data["high"] == data["mean"]
    assert "no error bars" in explorer._curve.figure.title.text
    assert "(one seed)" in explorer._cell_words.object


def test_the_lines_of_python_give_what_is_seen(explorer):
    explorer.param.update(metric="bias_dex", cell=1, across="layers")
    lines = explorer.code().splitlines()
    names = {}
    exec("\n".join(lines[:-2]) + "\nagain = " + lines[-2], names)
    again = names["again"]
    assert drawn(again)["mean"] == pytest.approx(drawn(explorer)["mean"], nan_ok=True)
    assert again.plane() == explorer.plane() == ("layers", "base_filters")
    assert (again.cell, again.metric) == (1, "bias_dex")
    assert again.code() == explorer.code()
    exec(lines[-1].removeprefix("# the numbers alone: ").replace("print(", "found = (", 1), names)
    assert names["found"]["mean"].tolist() == pytest.approx([-0.32, -0.22, -0.1])
    assert explorer._lines._pane.tags == [explorer.code()]


def test_two_pages_share_nothing(explorer, square):
    other = ComplexityExplorer(square)
    explorer.param.update(metric="bias_dex", cell=1)
    assert (other.metric, other.cell) == ("rmse_dex", None)
    assert drawn(other)["mean"][0] == pytest.approx(0.32)


def test_what_another_process_finishes_is_drawn(explorer, square):
    line = {"settings": {"layers": 2, "base_filters": 16}, "seed": 0, "run": "run_6", "state": "finished",
            "metrics": {"rmse_dex": 0.05}}  # fmt: skip
    with (square / "ledger.jsonl").open("a") as ledger:
        ledger.write(json.dumps(line)[:40])  # half a line does not count
        ledger.flush()
        explorer.refresh()
        assert drawn(explorer)["text"][3] == "not run"
        ledger.write(json.dumps(line)[40:] + "\n")
    explorer.refresh()
    assert drawn(explorer)["mean"][3] == pytest.approx(0.05)
    assert explorer.snapshot.done == 7
    assert "7 of 8 cells" in explorer._state.object


def test_a_study_deleted_while_shown_is_said_and_the_page_lives(explorer, square):
    shutil.move(square, square.parent / "elsewhere")
    assert explorer.refresh().status == "missing"
    assert "moved or deleted" in explorer._state.object
    assert not explorer._found.visible
    shutil.move(square.parent / "elsewhere", square)
    assert explorer.refresh().status == "stopped"
    assert explorer._found.visible


def test_a_damaged_ledger_is_said(explorer, square):
    (square / "ledger.jsonl").write_text("soup\nsoup\n")
    assert explorer.refresh().status == "broken"
    assert "line 1" in explorer._state.object
    (square / "study.json").write_text("{")
    assert ComplexityExplorer(square).snapshot.status == "broken"


def test_a_folder_without_a_study_is_said(tmp_path):
    explorer = ComplexityExplorer(tmp_path)
    assert explorer.snapshot.status == "empty"
    assert "lab.complexity&#95;map" in explorer._state.object


@pytest.mark.parametrize("name", ["../map", "/etc", "link"])
def test_a_path_outside_the_workspace_is_refused(explorer, square, name, tmp_path_factory):
    (square.parents[1] / "link").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    explorer.path = name
    assert "inside the workspace folder" in explorer._state.object
    assert explorer._start.disabled
    explorer.path = "studies/map"
    assert explorer.snapshot.status == "stopped"


def test_what_is_not_there_is_refused(explorer):
    with pytest.raises(ValueError, match="cell: expected a number from 0 to 3"):
        explorer.cell = 17
    assert explorer.cell is None
    with pytest.raises(ValueError, match="metric: expected one of"):
        explorer.metric = "soup"
    assert explorer.metric == "rmse_dex"


def test_an_empty_workspace_says_how_to_make_a_study(tmp_path):
    page = complexity_explorer.app(workspace_folder=tmp_path)
    assert page.main[-1][0].title == "No study"
    assert "lab.complexity&#95;map" in page.main[-1][0].object


def test_a_page_begins_with_the_first_study(square):
    page = complexity_explorer.app(workspace_folder=square.parents[1])
    assert page.main[-1][0].title == "map: stopped"
    assert page.sidebar[0][0][0].options == ["studies/map"]


def test_a_cell_of_a_notebook_holds_choices_and_the_map(explorer):
    root = explorer.__panel__().get_root()
    titles = [model.title.text for model in root.references() if isinstance(model, Plot)]
    assert any(title.startswith("RMS error [dex]") for title in titles)


def test_a_launch_without_the_dataset_says_what_to_do(explorer, square):
    explorer.start()
    assert explorer._launch_state.severity == "error"
    assert "expected its dataset" in explorer._launch_state.object
    explorer.dataset = "nowhere.zarr"
    explorer.start()
    assert "got nothing there" in explorer._launch_state.object
    assert explorer.refresh().status == "stopped"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Return a study of two cells and two seeds, one run of which is done."""
    rng = np.random.default_rng(0)
    column = 21.5 + 0.3 * rng.normal(size=(8, 16, 16))
    dataset = lab.PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10 ** (column - 18.5 + 0.1 * rng.normal(size=column.shape))},
        pixel_size=0.1 * u.pc,
        split=["training"] * 4 + ["validation"] * 4,
    )
    folder = tmp_path_factory.mktemp("real") / "map"
    config = lab.TrainingConfig(epochs=1, batch_size=2, device="cpu")
    runs = lab.complexity_map(
        dataset, config, path=folder, layers=(1,), base_filters=(2, 4), seeds=(0, 1),
        settings={"attention": False, "reference_scale": 2.0},
    )  # fmt: skip
    next(runs)
    runs.close()
    return folder


def test_a_worker_runs_what_is_missing(real, tmp_path):
    folder = Path(shutil.copytree(real, tmp_path / "map"))
    explorer = ComplexityExplorer(folder)
    assert explorer.snapshot.status == "stopped"
    assert explorer.snapshot.done == 1
    explorer.start()
    assert explorer.snapshot.status in ("starting", "running")
    assert explorer._start.disabled
    other = ComplexityExplorer(folder)  # another page finds it again
    other.start()
    assert "Not launched" in other._launch_state.title
    deadline = time.monotonic() + 240
    while explorer.refresh().busy:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert explorer.snapshot == StudySnapshot("finished", "", "map", 4, 4, 0)
    assert (folder / "worker.log").read_text().startswith("Study(complexity_map: layers, base_filters")
    assert [len(cell.values) for cell in explorer.cells] == [2, 2]
    assert explorer._start.disabled


def test_cancel_asks_whoever_runs_the_study(explorer, square):
    with pytest.raises(ValueError, match="expected a study that runs"):
        explorer.cancel()
    from polaris_lab.training.studies import ledger

    with ledger.lock(square):
        assert explorer.refresh().status == "running"
        assert not explorer._cancel.disabled
        explorer.cancel()
        assert explorer.snapshot.status == "stopping"
        assert (square / "stop").exists()
    (square / "stop").unlink()
    assert explorer.refresh().status == "stopped"


def test_choosing_a_cell_costs_the_server_less_than_a_tenth_of_a_second(tmp_path, capsys):
    """CPU time, a study of 12 x 12 cells and three seeds."""
    cells = [
        ({"layers": a, "base_filters": b}, seed, 0.1 + 0.01 * a + 0.001 * b)
        for a in range(1, 13) for b in range(1, 13) for seed in range(3)
    ]  # fmt: skip
    explorer = ComplexityExplorer(write_study(tmp_path / "large", ("layers", "base_filters"), cells))
    spent = {
        "cell": min(cpu_seconds(lambda n=n: explorer.choose(n)) for n in (3, 77, 140)),
        "metric": min(cpu_seconds(lambda m=m: setattr(explorer, "metric", m)) for m in ("bias_dex", "rmse_dex", "bias_dex")),
        "look": min(cpu_seconds(explorer.refresh) for _ in range(3)),
    }  # fmt: skip
    with capsys.disabled():
        print("\n  " + ", ".join(f"{name} {1e3 * seconds:.0f} ms" for name, seconds in spent.items()))
    assert max(spent.values()) < 0.1


def cpu_seconds(function) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin
