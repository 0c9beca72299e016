"""The command line: exit status, one-line errors, JSON for scripts."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u

import polaris_lab
from polaris_lab.cli import COMMANDS, main, serve
from polaris_lab.cli.predict import parse_distance


def test_version(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"polaris-lab {polaris_lab.__version__}\n"


def test_the_installed_program_is_the_module():
    for program in (["polaris-lab"], [sys.executable, "-m", "polaris_lab.cli"]):
        if program == ["polaris-lab"]:
            program = [str(__import__("pathlib").Path(sys.executable).with_name("polaris-lab"))]
        answer = subprocess.run(
            [*program, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
        assert answer.stdout.startswith("polaris-lab ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    assert len(capsys.readouterr().out) > 200


@pytest.mark.parametrize("words", [[], ["predit"], ["predict"], ["demo", "--sed", "1", "--nonsense"]])
def test_wrong_usage_leaves_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_an_error_is_one_line_with_status_1(capsys, tmp_path):
    status = main(["predict", str(tmp_path / "none.fits"), "--distance", "300", "--species", "H2"])
    out, err = capsys.readouterr()
    assert status == 1
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert '"300 pc"' in err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="--distance"):
        main(["predict", str(tmp_path / "none.fits"), "--distance", "300", "--species", "H2", "--debug"])


def test_errors_can_be_read_by_scripts(capsys, tmp_path):
    status = main(["predict", str(tmp_path / "none.fits"), "--distance", "3 K", "--species", "H2", "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert status == 1
    assert error["type"] == "ValueError"
    assert "expected a length" in error["message"]


@pytest.mark.parametrize("words", [["predict", "--json"], ["predit", "--json"]])
def test_wrong_usage_can_be_read_by_scripts(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    out, err = capsys.readouterr()
    assert leaving.value.code == 2
    assert json.loads(out)["error"]["type"] == "UsageError"
    assert "usage:" in err


def test_json_stands_alone_on_standard_output_and_knows_no_nan(monkeypatch, capsys):
    import polaris_lab.cli.doctor as doctor

    def chatty(_):
        print("something a library wanted to say")
        return {"score": float("nan"), "list": [1.5, float("inf")]}

    monkeypatch.setattr(doctor, "run", chatty)
    assert main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"score": None, "list": [1.5, None]}
    assert "NaN" not in out
    assert "something" in err


def test_an_error_of_several_lines_becomes_one(monkeypatch, capsys):
    import polaris_lab.cli.doctor as doctor

    def broken(_):
        raise ValueError("first\n   second")

    monkeypatch.setattr(doctor, "run", broken)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "polaris-lab: first second\n"


def test_a_folder_that_is_not_there_cannot_be_served(tmp_path, capsys):
    assert main(["serve", "training", str(tmp_path / "runs")]) == 1
    assert "polaris-lab demo" in capsys.readouterr().err


def test_a_cloud_that_is_not_there_cannot_be_inspected(tmp_path, capsys):
    assert main(["serve", "inspector", str(tmp_path / "fog.zarr")]) == 1
    assert '"synthetic" is a cloud made on the spot' in capsys.readouterr().err


def test_a_workspace_must_be_a_folder(tmp_path, capsys):
    assert main(["serve", "inspector", "--workspace", str(tmp_path / "none")]) == 1
    assert "expected a folder to show and to build in" in capsys.readouterr().err


def test_the_inspector_says_how_its_cloud_is_opened(tmp_path, monkeypatch):
    """What the page offers to copy gives the cloud it shows."""
    served = {}
    monkeypatch.setattr("widgets.shell.serve", lambda apps, **choices: served.update(apps))
    np.save(tmp_path / "fog.npy", np.ones((8, 8, 8), np.float32))
    words = [
        "serve",
        "inspector",
        str(tmp_path / "fog.npy"),
        "--cell-size",
        "20600 AU",
        "--workspace",
        str(tmp_path),
    ]
    assert main(words) == 0
    assert next(iter(served)) == "inspector"
    arguments = argparse.Namespace(path=str(tmp_path / "fog.npy"), cell_size="20600 AU")
    cube, source = serve._cloud(arguments)
    again = eval(source, {"lab": polaris_lab, "u": u})
    assert again.cell_size_pc == cube.cell_size_pc == pytest.approx(0.0999, abs=1e-4)
    assert np.array_equal(again.density, cube.density)


def test_a_missing_map_is_named(capsys, tmp_path):
    missing = tmp_path / "none.fits"
    assert main(["predict", str(missing), "--distance", "300 pc", "--species", "H2"]) == 1
    assert str(missing) in capsys.readouterr().err


def test_an_interrupt_gives_status_130(monkeypatch, capsys):
    import polaris_lab.cli.doctor as doctor

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupted)
    assert main(["doctor"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert main(["doctor", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "KeyboardInterrupt"


@pytest.mark.parametrize(("text", "parsecs"), [("300 pc", 300), ("0.3kpc", 300), ("1 lyr", 0.306601)])
def test_distances_are_numbers_with_units(text, parsecs):
    assert parse_distance(text).to_value("pc") == pytest.approx(parsecs, rel=1e-5)


@pytest.mark.parametrize("text", ["300", "300 pcs", "pc", "3 K", ""])
def test_a_distance_without_a_length_unit_is_refused(text):
    with pytest.raises(ValueError, match="--distance: expected"):
        parse_distance(text)


def test_doctor_tells_of_every_part(capsys):
    status = main(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in answer["checks"]]
    assert status == 0
    assert answer["broken"] == []
    assert {"Python", "core packages", "torch", "memory"} <= set(names)
    assert all(check["ok"] or check["remedy"] for check in answer["checks"])


def test_doctor_fails_when_the_core_is_broken(monkeypatch, capsys):
    import polaris_lab.cli.doctor as doctor

    monkeypatch.setattr(doctor, "CORE", ("numpy", "a_package_that_nobody_has"))
    assert main(["doctor"]) == 1
    assert "pip install -e ." in capsys.readouterr().out
