"""`polaris-lab predict`: one map or many, a network or an estimator, with a report, and what it refuses."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from polaris_lab.cli import main
from polaris_lab.observations import Prediction
from tests.observations.conftest import make_fits, run, smooth_column  # noqa: F401 - fixtures

BASE = ["--distance", "206.265 pc", "--species", "H2", "--quiet"]


@pytest.fixture
def maps(make_fits):  # noqa: F811
    """Return three maps, of which the second is no map."""
    good = [make_fits(smooth_column((40, 40), seed) / 2, name=f"map{seed}.fits") for seed in (1, 3)]
    bad = good[0].with_name("map2.fits")
    bad.write_text("hello")
    return [good[0], bad, good[1]]


def predict(*words, run=None):  # noqa: F811
    return main(["predict", *map(str, words), *([] if run is None else ["--run", str(run.path)])])


def test_one_map(run, maps, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "density.fits"
    assert predict(maps[0], *BASE, "--output", out, run=run) == 0
    found = Prediction.open(out)
    assert found.run_fingerprint == run.fingerprint
    text = capsys.readouterr().out
    assert f"wrote {out}: 1600 pixels of n_H" in text
    assert predict(maps[0], *BASE, "--output", out, run=run) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_many_maps_of_which_one_is_broken(run, maps, tmp_path, capsys):  # noqa: F811
    folder, page = tmp_path / "out", tmp_path / "report.html"
    status = predict(*maps, *BASE, "--output", folder, "--report", page, "--json", run=run)
    answer = json.loads(capsys.readouterr().out)
    assert status == 1
    assert {path.name for path in folder.iterdir()} == {"map1_density.fits", "map3_density.fits"}
    assert [entry["map"] for entry in answer["files"]] == [str(maps[0]), str(maps[2])]
    assert answer["failed"][0]["map"] == str(maps[1])
    text = page.read_text()
    assert "map1" in text
    assert "map3" in text
    assert "Not predicted" in text
    assert "map2.fits" in text
    assert "default-src 'none'" in text  # nothing is fetched


def test_many_good_maps_leave_with_status_0(run, maps, tmp_path, capsys):  # noqa: F811
    assert predict(maps[0], maps[2], *BASE, "--output", tmp_path / "out", run=run) == 0
    assert "2 of 2 maps predicted" in capsys.readouterr().out


def test_maps_of_one_name_are_refused(run, maps, tmp_path, capsys):  # noqa: F811
    other = tmp_path / "other"
    other.mkdir()
    twin = other / maps[0].name
    twin.write_bytes(maps[0].read_bytes())
    assert predict(maps[0], twin, *BASE, "--output", tmp_path / "out", run=run) == 1
    assert "maps of different names" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("interval", "names"),
    [
        ("68", ["LOWER68", "UPPER68"]),
        ("95", ["LOWER95", "UPPER95"]),
        ("both", ["LOWER68", "UPPER68", "LOWER95", "UPPER95"]),
    ],
)
def test_the_interval_that_is_wanted(run, maps, tmp_path, interval, names):  # noqa: F811
    out = tmp_path / "density.fits"
    assert predict(maps[0], *BASE, "--output", out, "--interval", interval, run=run) == 0
    with fits.open(out) as hdus:
        assert [hdu.name for hdu in hdus] == ["DENSITY", *names, "QUALITY", "COVERAGE"]
    Prediction.open(out)


def test_a_classical_estimator_has_no_interval_and_says_so(maps, tmp_path, capsys):
    out, page = tmp_path / "classical.fits", tmp_path / "classical.html"
    words = [maps[0], *BASE, "--classical", "constrained_diffusion", "--output", out, "--report", page]
    assert predict(*words) == 0
    assert "there is no interval" in capsys.readouterr().out
    found = Prediction.open(out)
    assert found.lower68 is None
    assert found.provenance["model"] == "constrained_diffusion"
    assert (found.density > 0).all()
    assert "no interval" in repr(found)
    assert "states no uncertainty" in page.read_text()


def test_an_estimator_with_constants_is_fitted_to_the_training_set(run, maps, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "law.fits"
    assert predict(maps[0], *BASE, "--classical", "power_law", "--output", out) == 1
    assert "expected densities [cm^-3] to fit" in capsys.readouterr().err
    assert predict(maps[0], *BASE, "--classical", "power_law", "--output", out, run=run) == 0
    column = fits.getdata(maps[0]) * 2
    slope = np.polyfit(np.log10(column.ravel()), np.log10(Prediction.open(out).density.ravel()), 1)[0]
    assert slope == pytest.approx(run.validation()["power_law_fit"]["slope"], rel=1e-3)
    assert Prediction.open(out).provenance["dataset_fingerprint"] == run.dataset_fingerprint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classical", "nonsense"], "unknown name 'nonsense'"),
        (["--classical", "aviator", "--symmetries"], "--symmetries: expected none with --classical"),
        (["--foreground", "5e20"], "--foreground: expected a column density"),
        (["--beam", "3 pc"], "--beam: expected an angle"),
        (["--law", "guver2009"], "law"),
        (["--depth", "1 pc"], "depth: expected a run whose network takes"),
        (["--samples", "3"], "samples: expected none"),
        (["--error-hdu", "7"], "7"),
    ],
)
def test_choices_that_are_refused(run, maps, tmp_path, capsys, words, message):  # noqa: F811
    out = tmp_path / "density.fits"
    assert predict(maps[0], *BASE, "--output", out, *words, run=run) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not out.exists()


def test_a_cloud_by_its_name_and_an_older_mu(run, make_fits, tmp_path):  # noqa: F811
    column = smooth_column((40, 40)) / 2
    path = make_fits(column, name="named.fits")
    out = tmp_path / "density.fits"
    words = [path, "--distance", "Taurus L1495 (report)", "--species", "H2", "--mu", "2.33", "--quiet"]
    assert predict(*words, "--beam", "36 arcsec", "--foreground", "1e20 cm-2", "--output", out, run=run) == 0
    header = fits.getheader(out)
    assert header["DISTANCE"] == 140
    assert "report, section 4.1" in header["DISTSRC"]
    assert header["FOREGRND"] == pytest.approx(1e20)
    assert "2.33" in header["LAW"]
    assert main(["predict", str(path), "--distance", "Tauros", "--species", "H2"]) == 1


def test_a_large_map_is_written_row_by_row(run, maps, tmp_path, monkeypatch):  # noqa: F811
    whole, rows = tmp_path / "whole.fits", tmp_path / "rows.fits"
    assert predict(maps[0], *BASE, "--output", whole, "--foreground", "1e20 cm-2", run=run) == 0
    monkeypatch.setattr("polaris_lab.cli.predict_maps.LARGE", 100)
    assert predict(maps[0], *BASE, "--output", rows, "--foreground", "1e20 cm-2", run=run) == 0
    np.testing.assert_array_equal(Prediction.open(rows).density, Prediction.open(whole).density)


def test_the_command_leaves_the_log_as_it_was(tmp_path):
    """Notes are printed with the answer, and not twice; afterwards the library logs as before."""
    logger = logging.getLogger("polaris_lab.observations")
    before = logger.level
    assert main(["predict", str(tmp_path / "none.fits"), "--distance", "300 pc", "--species", "H2"]) == 1
    assert logger.level == before


def test_published_densities_stand_beside_the_answer(run, maps, tmp_path, capsys):  # noqa: F811
    page = tmp_path / "report.html"
    named = ["--species", "H2", "--quiet", "--classical", "power_law", "--run", str(run.path)]
    words = ["--distance", "150 pc", "--literature", "polaris"]
    assert predict(maps[0], *named, *words, "--output", tmp_path / "a.fits", "--report", page) == 0
    text = capsys.readouterr().out
    assert "Polaris at 150 pc" in text
    assert "Ward-Thompson" in text
    assert "Published densities of Polaris beside this prediction" in page.read_text()
    words = ["--distance", "Taurus L1495", "--json"]  # the cloud says it by itself
    assert predict(maps[0], *named, *words, "--output", tmp_path / "b.fits") == 0
    rows = json.loads(capsys.readouterr().out)["literature"]
    assert any("Palmeirim" in row["reference"] for row in rows)
    for row in rows:
        expected = np.log10(row["predicted_cm-3"] / row["published_cm-3"])
        assert row["difference_dex"] == pytest.approx(expected)


def test_a_cloud_without_published_densities(run, maps, tmp_path, capsys):  # noqa: F811
    words = [*BASE, "--output", tmp_path / "a.fits"]
    assert predict(maps[0], *words, run=run) == 0
    assert "published n_H" not in capsys.readouterr().out
    assert predict(maps[0], *words, "--literature", "Polari", "--overwrite", run=run) == 1
    assert "--literature: expected one of Orion A, Orion B, Polaris, Taurus L1495" in capsys.readouterr().err


# -- catalogued cores --------------------------------------------------------------------------------


@pytest.fixture
def core_table(maps, tmp_path):
    """Return a catalogue of twelve cores on the first map and one elsewhere, for 100 pc."""
    with fits.open(maps[0]) as hdus:
        wcs = WCS(hdus[0].header)
    x, y = np.tile([8.0, 16.0, 24.0, 32.0], 3), np.repeat([10.0, 20.0, 30.0], 4)
    sky = wcs.pixel_to_world(np.append(x, 900.0), np.append(y, 20.0)).icrs
    path = tmp_path / "cores.csv"
    density = np.full(13, 2e4)
    Table({"RAJ2000": sky.ra.deg, "dec": sky.dec.deg, "mean_density": density}).write(path)
    return path


CORES = ["--core-distance", "103.1325 pc", "--core-column", "ra=RAJ2000"]


def test_cores_stand_in_the_table_and_in_the_report(run, maps, core_table, tmp_path, capsys):  # noqa: F811
    out, page = tmp_path / "density.fits", tmp_path / "report.html"
    words = [maps[0], *BASE, "--output", out, "--cores", core_table, *CORES]
    assert predict(*words, "--report", page, "--json", run=run) == 0
    answer = json.loads(capsys.readouterr().out)["cores"]
    assert answer["number"] == answer["compared"] == 12
    assert sum(row["cores"] for row in answer["by_column"]) == 12
    assert any("1 of 13 cores lie outside" in note for note in answer["notes"])
    assert any("moved from 103.132 to 206.265 pc" in note for note in answer["notes"])
    table = Table.read(tmp_path / "density_cores.ecsv")
    assert table["catalogue_density"][0] == pytest.approx(2e4)  # x 2 for H2, / 2 for twice the distance
    found = Prediction.open(out)
    assert table["mean_density"][0] == pytest.approx(found.density[10, 8])
    assert (table["core_density"] >= table["mean_density"] * (1 - 1e-9)).all()
    text = page.read_text()
    for words in ("12 cores of the catalogue", "core 1<", "Error of the cores in bins", "moving median"):
        assert words in text
    assert text.count("data:image/png;base64,") >= 3
    assert (
        predict(maps[0], *BASE, "--output", tmp_path / "b.fits", "--cores", core_table, *CORES, run=run) == 0
    )
    said = capsys.readouterr().out
    assert f"wrote {tmp_path / 'b_cores.ecsv'}: 12 cores" in said
    assert "12 cores against the catalogue: median" in said


def test_the_table_of_cores_is_not_replaced_unasked(run, maps, core_table, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "density.fits"
    (tmp_path / "density_cores.ecsv").write_text("mine")
    words = [maps[0], *BASE, "--output", out, "--cores", core_table, *CORES]
    assert predict(*words, run=run) == 1
    assert "density_cores.ecsv: expected a new file" in capsys.readouterr().err
    assert (tmp_path / "density_cores.ecsv").read_text() == "mine"
    assert not out.exists()
    assert predict(*words, "--overwrite", run=run) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cores", "none.csv"], "none.csv: expected a catalogue of cores, got nothing there"),
        (["--cores", "TABLE", "--core-column", "ra=RAJ2000"], 'in the shell --core-distance "300 pc"'),
        (["--cores", "TABLE", "--core-distance", "300"], "the unit is not optional"),
        (["--cores", "TABLE", "--core-distance", "300 pc"], "expected positions, got no column 'ra'"),
        (
            ["--cores", "TABLE", *CORES, "--core-density", "peak_density"],
            "column: expected a density of the catalogue",
        ),
        (["--cores", "TABLE", *CORES[:2], "--core-column", "RAJ2000"], "--core-column: expected NAME=COLUMN"),
        (["--cores", "MAP", *CORES], "expected"),
        (["--core-distance", "300 pc"], "--core-distance: expected a catalogue with it"),
    ],
)
def test_catalogues_that_are_refused(run, maps, core_table, tmp_path, capsys, words, message):  # noqa: F811
    out = tmp_path / "density.fits"
    words = [{"TABLE": str(core_table), "MAP": str(maps[0])}.get(word, word) for word in words]
    assert predict(maps[0], *BASE, "--output", out, *words, run=run) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not out.exists()


def test_cores_of_another_cloud_are_refused_before_the_work(run, maps, core_table, tmp_path, capsys):  # noqa: F811
    far = tmp_path / "far.csv"
    Table({"ra": [10.0], "dec": [-60.0], "mean_density": [1e4]}).write(far)
    out = tmp_path / "density.fits"
    words = ["--cores", far, "--core-distance", "300 pc"]
    assert predict(maps[0], *BASE, "--output", out, *words, run=run) == 1
    assert "equatorial, not galactic" in capsys.readouterr().err
    assert not out.exists()
    assert (
        predict(maps[0], maps[2], *BASE, "--output", tmp_path / "many", *words, run=run) == 0
    )  # of many maps some have none
    assert capsys.readouterr().out.count("no core of") == 2


def test_the_help_names_every_estimator_and_imports_none(capsys):
    from polaris_lab.estimators import ESTIMATORS

    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name in ESTIMATORS:
        assert name in text
    options = text.split("options:")[1]
    assert options.count("default") >= 25


@pytest.mark.parametrize("taken", ["output", "map", "catalogue", "table"])
def test_no_file_is_lost_to_the_report_or_the_table(run, maps, core_table, tmp_path, capsys, taken):  # noqa: F811
    """Not even with --overwrite: the map, the catalogue and the prediction are not written over."""
    out = tmp_path / "cores.fits"
    catalogue = core_table.rename(tmp_path / "cores_cores.ecsv") if taken == "table" else core_table
    report = {"output": out, "map": maps[0], "catalogue": core_table}.get(taken, tmp_path / "page.html")
    before = maps[0].read_bytes(), catalogue.read_bytes()
    words = ["--report", report, "--cores", catalogue, *CORES, "--overwrite"]
    if taken == "table":
        Table.read(catalogue, format="ascii.csv").write(catalogue, format="ascii.ecsv", overwrite=True)
        before = before[0], catalogue.read_bytes()
    assert predict(maps[0], *BASE, "--output", out, *words, run=run) == 1
    assert "expected a file of its own" in capsys.readouterr().err
    assert (maps[0].read_bytes(), catalogue.read_bytes()) == before
