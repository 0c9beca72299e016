"""The whole way on the embedded default, and the main job on a real map."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import polaris_lab as lab
from polaris_lab.cli import main
from polaris_lab.cli.demo import program_name


def test_leaves_every_artefact(demo_folder):
    left = {path.name for path in demo_folder.iterdir()}
    assert left == {"demo.json", "dataset.zarr", "run", "observation.fits", "density.fits", "report.html"}


def test_validation_clouds_are_not_training_clouds(demo_folder):
    dataset = lab.PatchDataset.open(demo_folder / "dataset.zarr")
    clouds = dataset.table["cloud"]
    training = set(clouds[dataset.indices("training")])
    validation = set(clouds[dataset.indices("validation")])
    assert training
    assert validation
    assert not training & validation


def test_the_network_beats_the_power_law_on_unseen_clouds(demo_folder):
    validation = lab.Run.open(demo_folder / "run").validation()
    assert validation["metrics"]["rmse_dex"] < validation["power_law"]["rmse_dex"]
    assert validation["metrics"]["accuracy_0.3"] > validation["power_law"]["accuracy_0.3"]


def test_the_density_map_stands_on_the_grid_of_the_observation(demo_folder):
    with (
        fits.open(demo_folder / "observation.fits") as seen,
        fits.open(demo_folder / "density.fits") as found,
    ):
        column, density = seen[0].data, found[0].data
        assert found[0].header["EXTNAME"] == "DENSITY"
        assert [hdu.name for hdu in found] == [
            "DENSITY", "LOWER68", "UPPER68", "LOWER95", "UPPER95", "QUALITY", "COVERAGE"
        ]  # fmt: skip
        assert density.shape == column.shape
        assert WCS(found[0].header).wcs.compare(WCS(seen[0].header).wcs, tolerance=1e-9)
        assert np.isnan(column).any()
        np.testing.assert_array_equal(np.isnan(density), np.isnan(column))
        valid = np.isfinite(density)
        for low, high in (("LOWER68", "UPPER68"), ("LOWER95", "UPPER95")):
            assert (found[low].data[valid] < found[high].data[valid]).all()
        assert (found["COVERAGE"].data[valid] > 0).all()
        assert found[0].header["RUNFP"] == lab.Run.open(demo_folder / "run").fingerprint


def test_the_report_is_one_page_that_asks_nothing_outside(demo_folder):
    page = (demo_folder / "report.html").read_text(encoding="utf-8")
    assert "power law" in page
    assert "Mach number 4 to 10" in page
    assert "<td>–</td>" not in page
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)\s*=\s*["'](?:https?:)?//""", page)


def test_a_second_call_keeps_what_is_there(demo_folder, capsys):
    before = (demo_folder / "run" / "best.safetensors").stat().st_mtime_ns
    assert main(["demo", "--quick", "--quiet", "--json", "--output", str(demo_folder)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["validation"]["network"]["rmse_dex"] > 0
    assert (demo_folder / "run" / "best.safetensors").stat().st_mtime_ns == before


def test_another_demo_in_the_same_folder_is_refused(demo_folder, capsys):
    assert main(["demo", "--quick", "--quiet", "--seed", "5", "--output", str(demo_folder)]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(["demo", "--quick", "--overwrite", "--output", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert "no demo made" in capsys.readouterr().err


@pytest.mark.parametrize("known", [True, False])
def test_the_next_commands_can_be_typed_as_they_stand(tmp_path, monkeypatch, known):
    """After `make demo` no shell knows polaris-lab until the environment is activated."""
    beside = tmp_path / "bin" / "polaris-lab"
    beside.parent.mkdir()
    beside.touch()
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    monkeypatch.setattr(shutil, "which", lambda _: str(beside) if known else None)
    monkeypatch.chdir(tmp_path)
    assert program_name() == ("polaris-lab" if known else str(Path("bin") / "polaris-lab"))


def test_predict_without_a_run_takes_the_network_of_the_package(demo_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "density.fits"
    words = ["predict", str(demo_folder / "observation.fits"), "--distance", "300 pc", "--species", "H2"]
    assert main([*words, "--output", str(output), "--quiet"]) == 0
    header = fits.getheader(output, "DENSITY")
    assert header["RUNFP"] == lab.pretrained().fingerprint


def test_predict_keeps_an_existing_file(demo_folder, tmp_path, capsys):
    taken = tmp_path / "out.fits"
    taken.write_text("mine")
    words = ["predict", str(demo_folder / "observation.fits"), "--distance", "300 pc", "--species", "H2"]
    words += ["--run", str(demo_folder / "run"), "--output", str(taken), "--quiet"]
    assert main(words) == 1
    assert taken.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert lab.Prediction.open(taken).run_fingerprint == lab.Run.open(demo_folder / "run").fingerprint


def test_predict_never_writes_over_its_map(demo_folder, tmp_path, capsys):
    precious = tmp_path / "map.fits"
    shutil.copy(demo_folder / "observation.fits", precious)
    before = precious.read_bytes()
    words = ["predict", str(precious), "--distance", "300 pc", "--species", "H2", "--overwrite"]
    assert main([*words, "--run", str(demo_folder / "run"), "--output", str(precious)]) == 1
    assert precious.read_bytes() == before
    assert "the map itself" in capsys.readouterr().err


def test_a_map_that_is_refused_leaves_no_folder(demo_folder, tmp_path, capsys):
    broken = tmp_path / "map.fits"
    broken.touch()
    words = [
        "predict",
        str(broken),
        "--distance",
        "300 pc",
        "--species",
        "H2",
        "--run",
        str(demo_folder / "run"),
    ]
    assert main([*words, "--output", str(tmp_path / "new" / "out.fits")]) == 1
    assert "empty file" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_farther_cloud_is_thinner(demo_folder, tmp_path):
    """The same map at 1.2 times the distance: every length grows by 1.2, so the density falls (n ~ N/l)."""
    medians = []
    for distance in (300, 360):
        output = tmp_path / f"{distance}.fits"
        words = [
            "predict",
            str(demo_folder / "observation.fits"),
            "--distance",
            f"{distance} pc",
            "--species",
            "H2",
        ]
        assert main([*words, "--run", str(demo_folder / "run"), "--output", str(output), "--quiet"]) == 0
        medians.append(np.nanmedian(np.log10(lab.Prediction.open(output).density)))
    assert medians[1] < medians[0]


def test_the_main_job_on_a_real_map(demo_folder, shared_data, tmp_path, monkeypatch, capsys):
    """Barnard 5 (Herschel): every valid pixel gets a density, within what is known of dense cores."""
    monkeypatch.chdir(demo_folder.parent)  # so that demo/run is found without --run
    real = shared_data / "column" / "perseus_b5_herschel_NH2.fits"
    output = tmp_path / "b5.fits"
    words = [
        "predict",
        str(real),
        "--distance",
        "300 pc",
        "--species",
        "H2",
        "--output",
        str(output),
        "--json",
    ]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    with fits.open(real) as seen, fits.open(output) as found:
        column, density = seen[0].data, found[0].data
        np.testing.assert_array_equal(np.isnan(density), ~np.isfinite(column))
        assert answer["pixels"] == np.isfinite(column).sum()
        valid = np.isfinite(density)
        log_n, log_N = np.log10(density[valid]), np.log10(column[valid])
        assert np.corrcoef(log_n, log_N)[0, 1] > 0.8
        assert 100 < np.median(density[valid]) < 1e4
        assert 3e3 < density[valid].max() < 1e6
        assert found[0].header["DISTANCE"] == 300
        assert found[0].header["SPECIES"] == "H2"
