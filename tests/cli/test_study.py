"""`polaris-lab study`: from a file, again, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.cli import main
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Study

CHOICES = {
    "study": "complexity_map",
    "dataset": "data.zarr",
    "output": "studies/map",
    "choices": {
        "layers": [1],
        "base_filters": [2, 4],
        "settings": {"attention": False, "reference_scale": 2.0},
    },
    "training": {"epochs": 1, "batch_size": 3, "device": "cpu"},
    "seeds": [0, 1],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choices")
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(8, 8, 8)))
    PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 6 + ["validation"] * 2,
        path=folder / "data.zarr",
    )
    return folder


def written(folder, name="map.json", **changes):
    (folder / name).write_text(json.dumps({**CHOICES, **changes}))
    return str(folder / name)


def test_a_file_runs_a_study_and_the_same_command_goes_on(folder, capsys):
    assert main(["study", written(folder), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "4 finished" in out
    assert "rmse_dex, mean and scatter over the seeds" in out
    assert main(["study", written(folder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["new_runs"] == 0
    assert answer["cells"] == {"finished": 4}
    assert [row["base_filters"] for row in answer["summary"]] == [2, 4]
    assert main(["study", written(folder, seeds=[0, 1, 2]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new_runs"] == 2
    assert main(["study", str(folder / "studies" / "map"), "--metric", "accuracy_within_0.3_dex"]) == 0
    assert "accuracy_within_0.3_dex, mean" in capsys.readouterr().out


def test_a_search_from_a_file(folder, capsys):
    pytest.importorskip("optuna", reason="optuna is not installed")
    space = {"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    choices = {
        "space": space,
        "trials": 2,
        "settings": {"layers": 1, "base_filters": 2, "reference_scale": 2.0},
    }
    path = written(
        folder, "search.json", study="search", output="studies/search", choices=choices, seeds=None
    )
    assert main(["study", path, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == {"finished": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "complexity"}, "unknown name 'complexity': did you mean 'complexity_map'"),
        ({"choices": {"layer": [1]}}, "choices: unknown key 'layer': did you mean 'layers'"),
        ({"choices": {"layers": []}}, "bad.json: layers: expected one value or more"),
        ({"training": {"epoch": 1}}, "bad.json.training: unknown key 'epoch': did you mean 'epochs'"),
        ({"seed": [1]}, "unknown key 'seed': did you mean 'seeds'"),
        ({"workers": 0}, "workers: expected a whole number of at least 1"),
    ],
)
def test_bad_files(folder, capsys, changes, message):
    assert (
        main(["study", written(folder, "bad.json", **{"output": "studies/bad", **changes}), "--quiet"]) == 1
    )
    assert message in capsys.readouterr().err
    assert not (folder / "studies" / "bad").exists()


def test_a_folder_is_finished_without_the_file(folder, tmp_path, capsys):
    from polaris_lab.cli.study import from_file

    path, runs = from_file(Path(written(folder, "part.json")), output=tmp_path / "map")
    first = next(runs)
    runs.close()
    assert main(["study", str(path), "--finish", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["new_runs"], answer["cells"]) == (3, {"finished": 4})
    assert Study.open(path).runs()[0].fingerprint == first.fingerprint
    assert main(["study", str(path), "--finish", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new_runs"] == 0
