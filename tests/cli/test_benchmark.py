"""`polaris-lab benchmark`: one command makes the table."""

import json

import pytest

from polaris_lab.cli import main
from polaris_lab.training import benchmark_networks
from polaris_lab.training.benchmark_networks import Network
from polaris_lab.training.common_work import WorkSize


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(benchmark_networks, "QUICK", WorkSize(32, 2, 1, 2, 16, 16))
    monkeypatch.setattr(benchmark_networks, "ESTIMATORS", {"power_law": None, "multi_scale": None})
    network = Network("unet", {"layers": 1, "base_filters": 2, "attention": False}, {"batch_size": 8})
    monkeypatch.setattr(benchmark_networks, "NETWORKS", {"tiny": network})


@pytest.mark.slow
def test_table_to_a_file_and_as_json(tiny, tmp_path, capsys):
    cache, table = tmp_path / "cache", tmp_path / "table.md"
    assert main(["benchmark", "--quick", "--cache", str(cache), "--output", str(table), "--quiet"]) == 0
    text = table.read_text()
    assert "| tiny |" in text
    assert "| power_law |" in text
    capsys.readouterr()
    assert main(["benchmark", "--quick", "--cache", str(cache), "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in answer["rows"]} == {"power_law", "multi_scale", "tiny"}


def test_a_wrong_budget_is_one_line(tiny, tmp_path, capsys):
    assert main(["benchmark", "--quick", "--cache", str(tmp_path), "--cpu-minutes", "-1"]) == 1
    assert "cpu_minutes: expected a positive number, got -1" in capsys.readouterr().err


def test_one_network_against_one_estimator_on_other_clouds(tiny, monkeypatch, tmp_path, capsys):
    words = ["benchmark", "--quick", "--cache", str(tmp_path), "--json", "--quiet"]
    monkeypatch.setattr(
        benchmark_networks, "ESTIMATORS", dict.fromkeys(("power_law", "multi_scale", "thickness"))
    )
    chosen = ["--network", "tiny", "--estimator", "power_law", "--first-test", "4000"]
    assert main([*words, *chosen]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in answer["rows"]} == {"power_law", "multi_scale", "tiny"}
    assert any("from number 4000 on" in note for note in answer["notes"])
    assert any("left out: thickness" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--network", "tini"], "--network: unknown name 'tini': did you mean 'tiny'"),
        (["--estimator", "power_lav"], "estimators: unknown name 'power_lav': did you mean 'power_law'"),
        (["--first-test", "3"], "first_test: expected the number of a cloud from 2000 on, got 3"),
    ],
)
def test_a_choice_that_does_not_exist_is_one_line(tiny, tmp_path, capsys, words, match):
    assert main(["benchmark", "--quick", "--cache", str(tmp_path), *words]) == 1
    assert match in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--shared", "data"], "--shared: expected together with --default"),
        (["--default", "--first-test", "4000"], "--default: expected alone"),
    ],
)
def test_choices_of_the_default_table_do_not_mix_with_others(tmp_path, capsys, words, match):
    assert main(["benchmark", "--cache", str(tmp_path), "--quiet", *words]) == 1
    assert match in capsys.readouterr().err
