"""Studies: grids of runs that can be stopped, gone on with and read as tables."""

from __future__ import annotations

import itertools
import json
import logging

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import (
    Run,
    Study,
    StudyInUseError,
    TrainingConfig,
    complexity_map,
    convolutions_study,
    kan_variants,
    sweep,
)
from polaris_lab.training.studies import ledger

SETTINGS = {"attention": False, "reference_scale": 2.0}
TRAINING = TrainingConfig(epochs=2, batch_size=3, device="cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> PatchDataset:
    """Nine patches of 8 x 8 pixels for training and three for validation."""
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(12, 8, 8)))
    return PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 9 + ["validation"] * 3,
        path=tmp_path_factory.mktemp("small") / "data.zarr",
    )


def small_map(dataset, path, **changes):
    choices = {"layers": (1, 2), "base_filters": (2, 4), "settings": SETTINGS, "seeds": (0, 1)} | changes
    return complexity_map(dataset, TRAINING, path=path, **choices)


@pytest.fixture(scope="module")
def study(small, tmp_path_factory) -> Study:
    path = tmp_path_factory.mktemp("studies") / "map"
    assert len(list(small_map(small, path))) == 8
    return Study.open(path)


@pytest.mark.parametrize(
    ("preset", "settings"),
    [("ukan", {"kan_levels": 1, **SETTINGS}), ("knet", SETTINGS), ("just_kan", {"grid_size": 3})],
)
def test_the_map_of_a_network_with_kan(small, tmp_path, preset, settings):
    """Layers against base filters for the report's other architectures, the KAN of single pixels included."""
    found = list(
        complexity_map(
            small,
            TrainingConfig(epochs=1, batch_size=3, device="cpu"),
            path=tmp_path / "map",
            layers=(1, 2),
            base_filters=(2, 3),
            preset=preset,
            settings=settings,
        )
    )
    assert len({run.parameters for run in found}) == 4
    table = Study.open(tmp_path / "map").table()
    assert sorted(zip(table["layers"], table["base_filters"], strict=True)) == [
        (1, 2),
        (1, 3),
        (2, 2),
        (2, 3),
    ]
    assert np.isfinite(table["rmse_dex"]).all()


def test_every_cell_is_the_run_that_one_would_make_by_hand(study, small, tmp_path):
    alone = Run.create(
        tmp_path / "alone",
        lab.Blueprint.unet(2, 4, **SETTINGS),
        small,
        TrainingConfig(2, 3, device="cpu", seed=1),
    ).train(progress=False)
    same = Run.open(study.path / "layers_2-base_filters_4-seed_1")
    assert same.fingerprint == alone.fingerprint
    assert [r.validation_loss for r in same.history()] == [r.validation_loss for r in alone.history()]
    alone.validate()
    row = study.table().query("layers == 2 and base_filters == 4 and seed == 1").iloc[0]
    assert row["rmse_dex"] == alone.validation()["metrics"]["rmse_dex"]
    assert row["accuracy_within_0.3_dex"] == alone.validation()["metrics"]["accuracy_0.3"]
    assert row["parameters"] == alone.parameters
    assert row["cpu_seconds"] > 0
    assert row["training_patches"] == 9
    assert row["pixel_size_pc"] == pytest.approx(0.05)


def test_the_table_has_one_row_per_cell_and_seed(study):
    table = study.table()
    assert list(table.columns[:4]) == ["layers", "base_filters", "seed", "state"]
    assert set(map(tuple, table[["layers", "base_filters", "seed"]].to_numpy().tolist())) == set(
        itertools.product((1, 2), (2, 4), (0, 1))
    )
    assert (table["state"] == "finished").all()
    assert study.state == "finished"
    assert len(study.runs()) == 8


def test_the_grid_holds_mean_and_scatter_over_the_seeds(study):
    pytest.importorskip("xarray", reason="xarray is not installed")
    grid = study.grid("rmse_dex")
    assert grid.dims == ("layers", "base_filters", "statistic")
    assert grid.attrs["units"] == "dex"
    values = study.table().query("layers == 1 and base_filters == 4")["rmse_dex"].to_numpy()
    cell = grid.sel(layers=1, base_filters=4)
    assert float(cell.sel(statistic="mean")) == pytest.approx(values.mean())
    assert float(cell.sel(statistic="std")) == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2))
    assert study.summary("rmse_dex")["seeds"].tolist() == [2] * 4


def test_words(study):
    assert "complexity_map: layers, base_filters; 8 finished; 2 seeds; finished" in repr(study)
    assert "<table>" in study._repr_html_()
    assert "RMSE [dex]" in study._repr_html_()


def test_nothing_finished_is_run_again(study, small, caplog):
    before = (study.path / "ledger.jsonl").read_bytes()
    times = {p: p.stat().st_mtime_ns for p in study.path.glob("*/last.ckpt")}
    with caplog.at_level(logging.INFO):
        assert list(small_map(small, study.path)) == []
    assert "all 8 cells are finished" in caplog.text
    assert (study.path / "ledger.jsonl").read_bytes() == before
    assert times == {p: p.stat().st_mtime_ns for p in study.path.glob("*/last.ckpt")}


def test_breaking_out_stops_and_calling_again_goes_on(small, tmp_path):
    first = [run.name for run in itertools.islice(small_map(small, tmp_path / "map"), 3)]
    found = Study.open(tmp_path / "map")
    assert found.state == "stopped"
    assert found.table()["state"].tolist().count("finished") == 3
    assert "5 not run" in repr(found)
    rest = [run.name for run in small_map(small, tmp_path / "map")]
    assert len(first) == 3
    assert len(rest) == 5
    assert not set(first) & set(rest)


def test_more_values_and_seeds_only_add_cells(small, tmp_path):
    path = tmp_path / "map"
    assert len(list(small_map(small, path, layers=(1,), base_filters=(2,), seeds=None))) == 1
    assert np.isnan(Study.open(path).summary()["std"][0])
    assert "one seed: no error bars" in repr(Study.open(path))
    added = [run.name for run in small_map(small, path, layers=(1,), base_filters=(2, 4), seeds=(0, 1))]
    assert sorted(added) == [
        "layers_1-base_filters_2-seed_1",
        "layers_1-base_filters_4-seed_0",
        "layers_1-base_filters_4-seed_1",
    ]
    assert len(Study.open(path).table()) == 4
    assert Study.open(path).seeds == (0, 1)


def test_a_folder_of_other_choices_is_refused_with_the_differences(study, small):
    with pytest.raises(FileExistsError, match=r"training.epochs: 2 in the folder, 3 now.*another path"):
        complexity_map(small, TrainingConfig(3, 3, device="cpu"), path=study.path, settings=SETTINGS)
    with pytest.raises(FileExistsError, match=r"settings.dropout: '-' in the folder, 0.1 now"):
        small_map(small, study.path, settings={**SETTINGS, "dropout": 0.1})
    with pytest.raises(FileExistsError, match=r"kind: 'complexity_map' in the folder, 'convolutions' now"):
        convolutions_study(small, TRAINING, path=study.path, settings=SETTINGS)


def test_another_dataset_is_refused(study, small):
    other = PatchDataset.from_arrays(
        {"column_density": small.read("column_density")},
        {"mass_weighted_density": small.read("mass_weighted_density")},
        pixel_size=0.1 * u.pc,
        split=["training"] * 9 + ["validation"] * 3,
    )
    with pytest.raises(FileExistsError, match=r"dataset\.fingerprint: "):
        small_map(other, study.path)


def test_a_dataset_in_memory_is_kept_in_the_study(small, tmp_path):
    other = PatchDataset.from_arrays(
        {"column_density": small.read("column_density")},
        {"mass_weighted_density": small.read("mass_weighted_density")},
        pixel_size=0.1 * u.pc,
        split=["training"] * 9 + ["validation"] * 3,
    )
    choices = {"layers": (1,), "base_filters": (2,)}
    assert len(list(small_map(other, tmp_path / "map", **choices, seeds=(0,)))) == 1
    (added,) = small_map(other, tmp_path / "map", **choices, seeds=(0, 5))
    assert added.dataset_path == tmp_path / "map" / "dataset.zarr"


def test_two_processes_give_what_one_gives(study, small, tmp_path):
    names = {run.name for run in small_map(small, tmp_path / "map", workers=2)}
    assert names == {run.name for run in study.runs()}
    ours, theirs = (s.table().drop(columns="cpu_seconds") for s in (Study.open(tmp_path / "map"), study))
    assert ours.equals(theirs)


def test_a_cell_that_diverges_is_written_down_and_the_others_go_on(small, tmp_path, caplog):
    path = tmp_path / "rates"
    training = TrainingConfig(epochs=2, batch_size=3, device="cpu", optimizer="sgd", gradient_clip=None)
    how = {"path": path, "settings": {"layers": 1, "base_filters": 2, **SETTINGS}}
    varied = {"training.learning_rate": (1e30, 1e-3)}
    assert [run.name for run in sweep(small, training, varied=varied, **how)] == [
        "learning_rate_0.001-seed_0"
    ]
    assert "failed: DivergedError" in caplog.text
    table = Study.open(path).table().set_index("training.learning_rate")
    assert table["state"].to_dict() == {1e30: "failed", 1e-3: "finished"}
    assert "expected a finite" in table["message"][1e30]
    assert Study.open(path).state == "finished"
    assert list(sweep(small, training, varied=varied, **how)) == []
    assert list(sweep(small, training, varied=varied, **how, retry_failed=True)) == []
    assert len((path / "ledger.jsonl").read_text().splitlines()) == 3
    assert len(Study.open(path).table()) == 2


def test_one_against_two_convolutions(small, tmp_path):
    runs = list(
        convolutions_study(
            small, TRAINING, path=tmp_path / "c", settings={"layers": 1, "base_filters": 2, **SETTINGS}
        )
    )
    assert [run.blueprint.node("correction").settings["convolutions"] for run in runs] == [1, 2]
    assert Study.open(tmp_path / "c").axes == ("convolutions",)


def test_variants_take_shared_settings_that_they_have(small, tmp_path):
    variants = {"plain": {"preset": "unet"}, "deep": {"preset": "unet", "layers": 2}}
    settings = {"layers": 1, "base_filters": 2, **SETTINGS}
    runs = list(kan_variants(small, TRAINING, path=tmp_path / "v", variants=variants, settings=settings))
    assert [run.blueprint.node("correction").settings["layers"] for run in runs] == [1, 2]
    assert Study.open(tmp_path / "v").table()["variant"].tolist() == ["plain", "deep"]
    changed = {**variants, "deep": {"preset": "unet", "layers": 3}}
    with pytest.raises(FileExistsError, match=r'network.*"deep"'):
        kan_variants(small, TRAINING, path=tmp_path / "v", variants=changed, settings=settings)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"layers": ()}, ValueError, "layers: expected one value or more, got an empty list"),
        ({"layers": (1, 1)}, ValueError, "layers: expected values that differ"),
        ({"layers": 2}, TypeError, r"layers: expected a list of values, such as \(2, 3\), got 2"),
        ({"layers": ("two",)}, TypeError, "cell layers='two', base_filters=2: .*layers"),
        ({"layers": (0,)}, ValueError, "cell layers=0.*layers"),
        ({"preset": "unnet"}, ValueError, "preset: unknown name 'unnet': did you mean 'unet'"),
        (
            {"settings": {"atention": True}},
            ValueError,
            "unknown setting 'atention': did you mean 'attention'",
        ),
        ({"seeds": ()}, ValueError, "seeds: expected one value or more"),
        ({"seeds": (-1,)}, ValueError, "seeds: expected whole numbers, 0 or more, got -1"),
        ({"seeds": (0.5,)}, ValueError, "seeds: expected whole numbers"),
        ({"workers": 0}, ValueError, "workers: expected a whole number of at least 1, got 0"),
        ({"threads": True}, ValueError, "threads: expected a whole number"),
        ({"workers": 2, "client": object()}, ValueError, "workers: expected 1 with client="),
    ],
)
def test_bad_choices_are_refused_before_anything_is_made(small, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        small_map(small, tmp_path / "map", **changes)
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({}, "varied: expected a setting with its values"),
        ({"lairs": (1,)}, "unknown setting 'lairs': did you mean 'layers'"),
        ({"training.learning_rat": (1,)}, "did you mean 'training.learning_rate'"),
        ({"training.seed": (1,)}, r"expected the seeds as seeds="),
        (
            {"training.learning_rate": (-1.0,)},
            "cell training.learning_rate=-1.0: learning_rate: expected a number above 0",
        ),
        ({"training.batch_size": (10,)}, "cell training.batch_size=10: batch_size: expected at most the 9"),
        ({"inputs": (["ppv_cube"],)}, "cell inputs=.*the dataset does not carry it"),
    ],
)
def test_bad_sweeps_are_refused(small, tmp_path, varied, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sweep(small, TRAINING, varied=varied, path=tmp_path / "s")


def test_wrong_kinds_are_named(small, tmp_path):
    with pytest.raises(TypeError, match="dataset: expected a PatchDataset, got int"):
        small_map(3, tmp_path / "x")
    with pytest.raises(TypeError, match="training: expected a TrainingConfig, got dict"):
        complexity_map(small, {"epochs": 2}, path=tmp_path / "x")
    with pytest.raises(TypeError, match="path: expected the folder"):
        complexity_map(small, TRAINING, path=None)
    with pytest.raises(ValueError, match="variants: unknown name 'unnet': did you mean 'unet'"):
        kan_variants(small, TRAINING, path=tmp_path / "x", variants=("unnet",))


def test_a_dataset_without_a_split_is_refused(small, tmp_path):
    column = small.read("column_density")
    one_sided = PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12,
    )
    with pytest.raises(ValueError, match="split: expected patches for validation, got none of 12"):
        small_map(one_sided, tmp_path / "map")


def test_a_study_in_use_is_refused(study, small):
    loop = small_map(small, study.path, seeds=(0, 1, 2), layers=(1,), base_filters=(2,))
    next(loop)
    assert Study.open(study.path).state == "running"
    with pytest.raises(StudyInUseError, match=r"run by this process since .*call its close"):
        next(small_map(small, study.path, seeds=(3,), layers=(1,), base_filters=(2,)))
    loop.close()
    assert ledger.holder(study.path) is None


def test_something_else_at_the_path_is_left_alone(small, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="expected a free path or a study"):
        small_map(small, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"without study.json.*complexity_map"):
        Study.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        Study.open(tmp_path / "nothing")


def test_unknown_metrics_are_named(study):
    with pytest.raises(ValueError, match="unknown column 'rmse': did you mean 'rmse_dex'"):
        study.grid("rmse")


def test_a_damaged_ledger_is_named_and_a_cut_line_is_not_counted(study, tmp_path):
    text = (study.path / "ledger.jsonl").read_text()
    (tmp_path / "ledger.jsonl").write_text(text + '{"settings": {"lay')
    assert len(ledger.read_ledger(tmp_path)) == len(text.splitlines())
    ledger.cut_unfinished_line(tmp_path)
    assert (tmp_path / "ledger.jsonl").read_text() == text
    (tmp_path / "ledger.jsonl").write_text("nonsense\n" + text)
    with pytest.raises(ValueError, match=r"line 1, got 'nonsense'.*remove the line"):
        ledger.read_ledger(tmp_path)


def test_a_newer_study_is_refused(study, tmp_path):
    data = json.loads((study.path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps({**data, "schema": 99}))
    with pytest.raises(ValueError, match="newer polaris-lab"):
        Study.open(tmp_path)
