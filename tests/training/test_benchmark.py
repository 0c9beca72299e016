"""The benchmark table: what it lists, refuses, saves, and does not do twice."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import benchmark_networks
from polaris_lab.training.benchmark import BenchmarkTable, Entry, benchmark
from polaris_lab.training.benchmark_networks import Network, run_benchmark
from polaris_lab.training.common_work import WorkSize, common_work
from polaris_lab.training.evaluation import evaluate

TINY = WorkSize(cells=32, training=2, validation=1, test=2, patch=16, crop=16)
NETWORKS = {
    "tiny": Network(
        "unet",
        {"layers": 1, "base_filters": 2, "attention": False, "head": "gaussian"},
        {"epochs": 1, "batch_size": 8, "loss": "auto"},
    )
}


@pytest.fixture(scope="module")
def clouds(pairs) -> PatchDataset:
    return PatchDataset.from_arrays(
        {"column_density": pairs[0]},
        {"mass_weighted_density": pairs[1]},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12 + ["validation"] * 12,
        cloud=np.repeat(list("abcdef"), 4).tolist(),
    )


def scaled(column_density, *, pixel_size_pc):
    return column_density / 3e18


def test_every_method_stands_beside_the_references(clouds, trained):
    table = benchmark({"ours": trained, "scaled": scaled}, {"one": clouds, "two": clouds})
    assert [row["model"] for row in table.rows] == ["power_law", "multi_scale", "ours", "scaled"] * 2
    assert table.ratio("power_law", "power_law").value == pytest.approx(1)
    ours = table.row("ours", "two")
    assert ours["parameters"] == trained.parameters
    assert ours["fit_cpu_seconds"] > 0
    assert table.row("power_law")["fit_cpu_seconds"] > 0
    assert ours["clouds"] == 3
    ratio = ours["scores"]["rmse_dex"]["value"] / table.row("power_law")["scores"]["rmse_dex"]["value"]
    assert table.ratio("ours", "power_law").value == pytest.approx(ratio)
    assert evaluate(trained, clouds).score("rmse_dex").value == pytest.approx(
        ours["scores"]["rmse_dex"]["value"]
    )
    assert table.row("scaled")["parameters"] is None


def test_estimators_are_fitted_to_training_patches_only(clouds):
    """Spoiling the held-out truth changes the score, not the fit."""
    other = clouds.read("mass_weighted_density").copy()
    other[clouds.indices("validation")] *= 10
    spoilt = PatchDataset.from_arrays(
        {"column_density": clouds.read("column_density")},
        {"mass_weighted_density": other},
        pixel_size=0.05 * u.pc,
        split=clouds.table["split"].tolist(),
        cloud=clouds.table["cloud"].tolist(),
    )
    bias = [
        benchmark(["power_law"], data, references=["power_law"]).row("power_law")["scores"]["bias_dex"][
            "value"
        ]
        for data in (clouds, spoilt)
    ]
    assert bias[1] == pytest.approx(bias[0] - 1)


def test_table_as_markdown_html_and_json(clouds, tmp_path):
    table = benchmark({"scaled": Entry(scaled, 1.5)}, {"toy": clouds}, references=["thickness"])
    lines = table.to_markdown().splitlines()
    assert lines[0] == "**toy** (3 clouds)"
    columns = {line.count("|") for line in lines if line.startswith("|")}
    assert len(columns) == 1
    assert "| scaled | – | 1.5 |" in table.to_markdown()
    assert "The split was given with the images" in str(table)
    assert "<td>scaled</td>" in table._repr_html_()
    table.save(tmp_path / "table.json")
    assert BenchmarkTable.load(tmp_path / "table.json") == table
    (tmp_path / "no.json").write_text('{"schema": 1}')
    with pytest.raises(ValueError, match="expected a benchmark table"):
        BenchmarkTable.load(tmp_path / "no.json")


def test_estimators_are_judged_once_where_there_is_a_cache(clouds, tmp_path, monkeypatch):
    first = benchmark(["power_law"], clouds, references=["power_law"], cache=tmp_path)
    monkeypatch.setattr("polaris_lab.training.benchmark.fit_estimator", None)
    assert benchmark(["power_law"], clouds, references=["power_law"], cache=tmp_path) == first
    with pytest.raises(TypeError):  # another question is answered anew
        benchmark(["power_law"], clouds, references=["power_law"], cache=tmp_path, resamples=100)


def test_bad_benchmarks_are_refused(clouds):
    with pytest.raises(ValueError, match="unknown estimator 'power_lw': did you mean 'power_law'"):
        benchmark(["power_lw"], clouds)
    with pytest.raises(ValueError, match="at least one method"):
        benchmark([], clouds)
    with pytest.raises(ValueError, match="at least one, got none"):
        benchmark(["power_law"], {})
    with pytest.raises(ValueError, match="expected different names"):
        benchmark([scaled, scaled], clouds)
    only = PatchDataset.from_arrays(
        {"column_density": clouds.read("column_density")},
        {"mass_weighted_density": clouds.read("mass_weighted_density")},
        pixel_size=0.05 * u.pc,
        split=["validation"] * 24,
    )
    with pytest.raises(ValueError, match="give training="):
        benchmark(["power_law"], only)
    with pytest.raises(KeyError, match="expected one of"):
        benchmark(["power_law"], only, training=clouds, references=[]).row("ours")


def test_common_work_keeps_clouds_apart_and_is_made_once(tmp_path):
    made = []
    work = common_work(tmp_path, TINY, progress=made.append)
    assert len(made) == 2 + 1 + 2 + 2
    assert common_work(tmp_path, TINY, progress=made.append).test.fingerprint == work.test.fingerprint
    assert len(made) == 7
    names = [set(data.table["cloud"]) for data in (work.training, work.test, work.outside)]
    assert not names[0] & names[1]
    assert not names[1] & names[2]
    flags = work.training.table
    learned = {c for c, s in zip(flags["cloud"], flags["split"], strict=True) if s == "training"}
    assert learned == {"training 000", "training 001"}
    assert set(work.maps.table["cloud"]) == learned
    more = common_work(tmp_path, WorkSize(32, 3, 1, 2, 16, 16), progress=made.append)
    assert len(made) == 8
    assert more.test.fingerprint == work.test.fingerprint


def test_maps_of_the_common_work_close(tmp_path):
    """N / L <= <n>_M <= n_max on every line of sight, with L the depth of the box."""
    from polaris_lab.clouds.copula import copula_density, draw_copula_choices
    from polaris_lab.training.common_work import projections
    from polaris_lab.units import PARSEC

    density = copula_density(draw_copula_choices(5), 32)
    column, mean, top = projections(density, 0.05)
    assert (mean >= column / (32 * 0.05 * PARSEC) * (1 - 1e-5)).all()
    assert (mean <= top * (1 + 1e-5)).all()
    assert column[0].sum() == pytest.approx(column[2].sum(), rel=1e-5)
    assert column[1, 3, 4] == pytest.approx(density[3, :, 4].sum(dtype=np.float64) * 0.05 * PARSEC, rel=1e-5)


@pytest.mark.slow
def test_the_whole_benchmark_resumes_and_keeps_to_its_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_networks, "QUICK", TINY)
    monkeypatch.setattr(
        benchmark_networks, "ESTIMATORS", {name: None for name in ("power_law", "multi_scale", "thickness")}
    )
    said = []
    table = run_benchmark(tmp_path, size="quick", networks=NETWORKS, progress=said.append)
    assert {row["dataset"] for row in table.rows} == {"unseen clouds", "clouds beyond the training's ranges"}
    row = table.row("tiny")
    assert row["fit_cpu_seconds"] > 0
    assert 0 < row["scores"]["coverage_0.68"]["value"] < 1
    assert any("recalibration fitted on" in note for note in row["notes"])
    again = run_benchmark(tmp_path, size="quick", networks=NETWORKS, progress=said.append)
    assert sum("making the cloud" in line for line in said) == 7
    assert again.row("tiny")["scores"] == row["scores"]
    assert again.row("tiny")["fit_cpu_seconds"] == row["fit_cpu_seconds"]
    more = {**NETWORKS, "second": NETWORKS["tiny"]}
    poor = run_benchmark(tmp_path, size="quick", networks=more, cpu_minutes=1e-9)
    assert "tiny" in {row["model"] for row in poor.rows}  # trained already, it costs nothing
    assert any("second is left out" in note for note in poor.notes)
    with pytest.raises(ValueError, match="cpu_minutes"):
        run_benchmark(tmp_path, cpu_minutes=0)
    with pytest.raises(ValueError, match="size: unknown name 'small'"):
        run_benchmark(tmp_path, size="small")
    with pytest.raises(ValueError, match="unknown preset 'unett'"):
        run_benchmark(tmp_path, size="quick", networks={"x": Network("unett", {}, {})})


def test_the_medium_table_leaves_out_slow_estimators_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_networks, "FULL", TINY)
    monkeypatch.setattr(
        benchmark_networks, "ESTIMATORS", dict.fromkeys(("power_law", "multi_scale", "aviator"))
    )
    table = run_benchmark(tmp_path, size="medium", networks={})
    assert {row["model"] for row in table.rows} == {"power_law", "multi_scale"}
    assert any("left out" in note and "aviator" in note for note in table.notes)


def test_each_network_sees_its_share_of_the_maps(tmp_path):
    few, more = (
        benchmark_networks.training_patches(tmp_path, TINY, Network("unet", {}, {}, patches_per_map=count))
        for count in (1, 3)
    )
    assert len(few) == 9  # 2 + 1 clouds of three maps
    assert len(more) == 27


def test_the_table_holds_the_networks_of_the_report():
    """And each of them can be built as it is asked for."""
    from polaris_lab.models import Blueprint, parameter_count

    presets = [network.preset for network in benchmark_networks.NETWORKS.values()]
    assert {"unet", "knet", "ukan", "unet_and_kan", "flow_matching"} == set(presets)
    counts = {
        name: parameter_count(Blueprint.preset(network.preset, **network.settings))
        for name, network in benchmark_networks.NETWORKS.items()
    }
    assert counts["ours, 8 filters"] <= 130_000
    assert 1.0e6 < counts["ours, 12 filters"] < 1.2e6


def test_other_test_clouds_leave_the_rest_as_it_is(tmp_path):
    work, fresh = (
        common_work(tmp_path, dataclasses.replace(TINY, first_test=first)) for first in (2000, 3000)
    )
    assert fresh.training.fingerprint == work.training.fingerprint
    assert fresh.test.fingerprint != work.test.fingerprint
