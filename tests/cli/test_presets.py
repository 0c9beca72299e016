"""The table of presets: listed, measured, resumed, refused."""

from __future__ import annotations

import json

import pytest

from polaris_lab.cli import main, presets
from polaris_lab.models import Blueprint, Node
from polaris_lab.models.presets import registry

SMALL = ["--seconds", "0.05", "--cloud-size", "24"]


@pytest.fixture
def two_presets(monkeypatch):
    """The U-Net, and one that needs an input which no dataset holds."""
    monkeypatch.setattr(registry, "_PRESETS", {"unet": registry._PRESETS["unet"]})
    monkeypatch.setattr(registry, "_TINY", {"unet": {"layers": 1, "base_filters": 2}})
    monkeypatch.setattr(presets, "COMMON", {"layers": 1, "base_filters": 2})

    @registry.register_preset("star_light")
    def star_light(factor: int = 1) -> Blueprint:
        nodes = (Node("mass_weighted_density", "add", {}, ("column_density", "star_light")),)
        return Blueprint(("column_density", "star_light"), nodes, "mass_weighted_density")


def test_the_list_counts_parameters(capsys):
    assert main(["presets", "unet"]) == 0
    assert "| unet | column_density | mass_weighted_density | 15,681,005 |" in capsys.readouterr().out


@pytest.mark.usefixtures("two_presets")
def test_measures_resumes_and_says_what_it_cannot(tmp_path, capsys, monkeypatch):
    words = [
        "presets",
        "--measure",
        "--output",
        str(tmp_path),
        "--table",
        str(tmp_path / "docs" / "t.md"),
        *SMALL,
    ]
    assert main([*words, "--json"]) == 0
    rows = {row["preset"]: row for row in json.loads(capsys.readouterr().out)["presets"]}
    assert 0 <= rows["unet"]["accuracy"] <= 1
    assert rows["unet"]["cpu_seconds_per_step"] > 0
    assert rows["unet"]["rmse_dex"] > 0
    assert "star_light" in rows["star_light"]["note"]
    table = (tmp_path / "docs" / "t.md").read_text()
    assert "| unet | column_density |" in table
    assert "not measured: " in table
    assert "A power law of the column density reaches" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert "`polaris-lab presets --measure --seconds 0.05 --cloud-size 24 --seed 0 --table FILE`" in table

    monkeypatch.setattr(presets, "_train", lambda *_: pytest.fail("it was measured before"))
    assert main([*words, "--json"]) == 0
    again = {row["preset"]: row for row in json.loads(capsys.readouterr().out)["presets"]}
    assert again == rows
    with pytest.raises(pytest.fail.Exception):  # another work is measured anew
        main([*words, "--seed", "1", "--debug"])


def test_an_unknown_preset(capsys):
    assert main(["presets", "u_net"]) == 1
    assert "unknown name 'u_net': did you mean 'unet'" in capsys.readouterr().err


def test_no_time(capsys):
    assert main(["presets", "--seconds", "0"]) == 1
    assert "--seconds: expected a positive number of CPU seconds, got 0" in capsys.readouterr().err


def test_a_line_cube_has_the_channels_that_its_network_expects(tmp_path):
    """The work's channels, not those of a preset's tests."""
    work = presets.Work(seconds=0.05, cloud_size=24, clouds=2, held_out=1, batch_size=2)
    blueprint = presets.small_blueprint("multi_input", work)
    data = presets.dataset(blueprint, work, tmp_path)
    assert data.read("ppv_cube", [0]).shape[1] == work.velocity_channels == 13
    assert "accuracy" in presets.measured("multi_input", work, tmp_path)
