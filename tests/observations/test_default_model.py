"""The network that is shipped: what it is, its exact symmetries, a frozen case, cores, and that noise is flagged."""

from __future__ import annotations

import json
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from polaris_lab.cli import main
from polaris_lab.clouds.copula import CopulaChoices, copula_density
from polaris_lab.clouds.cores import Core, add_cores
from polaris_lab.observations import Observation, predict_density
from polaris_lab.observations.prediction import Quality
from polaris_lab.observations.simulate import observe_cube
from polaris_lab.training import Run
from polaris_lab.training.checkpoints import load_weights, weights_digest
from polaris_lab.training.recipes import load_recipe, pretrained
from polaris_lab.training.scope import scope_of
from tests.observations.conftest import sky_wcs, smooth_column

FINGERPRINT = "94a05308a9eb5dad"
WEIGHTS = "5035d5fab8c5bc028769dd5d0a35aebc2497b9d6eb4e30d0930db8a8d1ac3932"
LARGEST_BYTES = 8_000_000
FROZEN = {"rmse": 0.151, "power_law": 0.176}

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run():
    return pretrained()


@pytest.fixture(scope="module")
def cloud():
    """Return a cloud that is in no suite: 96^3 cells of 0.05 pc, a random field with ridges."""
    density = copula_density(CopulaChoices(3.5, 2.0, 1.4, 1.8, 200.0, 0.4, seed=31337), 96)
    return lab.SimulationCube(density, cell_size=0.05 * u.pc, name="frozen")


@pytest.fixture(scope="module")
def seen(cloud):
    return observe_cube(cloud, distance=300 * u.pc)


def predicted(run, observation, **choices):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return predict_density(run, observation, progress=False, **choices)


def as_map(column, *, distance=206.265 * u.pc, **choices):
    """Return a map of 20 arcsec pixels: 0.02 pc at that distance."""
    return Observation(column, wcs=sky_wcs(column.shape), distance=distance, species="H", **choices)


def test_it_is_the_one_that_the_recipe_made(run):
    assert run.fingerprint == FINGERPRINT
    assert weights_digest(load_weights(run.path / "best.safetensors")) == WEIGHTS
    assert scope_of(run).recipe == load_recipe("default").fingerprint
    assert Run.pretrained().fingerprint == run.fingerprint
    assert lab.pretrained("default").fingerprint == run.fingerprint


def test_its_folder_is_whole_and_small(run):
    names = {path.name for path in run.path.iterdir()}
    wanted = {"run.json", "history.jsonl", "best.safetensors", "validation.json", "recalibration.json", "scope.json",
              "coverage.json", "history_first.jsonl", "MODEL_CARD.md"}  # fmt: skip
    assert names == wanted
    assert sum(path.stat().st_size for path in run.path.iterdir()) < LARGEST_BYTES
    assert run.state == "finished"


def test_a_wheel_has_it(run):
    """Every file of the shipped folder is matched by the package data of pyproject.toml."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "polaris_lab"
    ]
    package = ROOT / "polaris_lab"
    matched = {path for pattern in data for path in package.glob(pattern)}
    assert set(run.path.iterdir()) | {package / "pretrained" / "default.json"} <= matched


def test_its_card_answers_whether_it_may_be_used(run):
    text = (run.path / "MODEL_CARD.md").read_text()
    for heading in ("May I use it on my cloud?", "What it was trained on", "Where it fails", "Licence"):
        assert heading in text
    metrics = run.validation()["metrics"]
    assert f"{metrics['rmse_dex']:.3f}" in text  # the card states what the folder says


def test_a_frozen_cloud(run, seen):
    """RMSE on gas that is in no suite, beside that of the best straight line on this very map."""
    truth = np.log10(seen.density)
    error = np.log10(predicted(run, seen.observation).density) - truth
    x = np.log10(seen.column_density)
    line = np.polyval(np.polyfit(x.ravel(), truth.ravel(), 1), x) - truth
    assert np.sqrt(np.mean(error**2)) == pytest.approx(FROZEN["rmse"], abs=0.003)
    assert np.sqrt(np.mean(line**2)) == pytest.approx(FROZEN["power_law"], abs=0.003)
    assert FROZEN["rmse"] < FROZEN["power_law"]


def test_density_scales_with_the_column(run, seen):
    """N -> lambda N gives lambda n, and the intervals with it."""
    column = seen.column_density[:64, :80]
    one, ten = (predicted(run, as_map(column * factor)) for factor in (1.0, 10.0))
    for name in ("density", "lower95", "upper95"):
        np.testing.assert_allclose(getattr(ten, name), 10 * getattr(one, name), rtol=2e-4)


def test_density_falls_with_the_distance(run, seen):
    """All lengths twice as long: half of the density, exactly."""
    column = seen.column_density[:64, :80]
    near, far = (predicted(run, as_map(column, distance=d * u.pc)) for d in (206.265, 412.53))
    np.testing.assert_allclose(far.density, near.density / 2, rtol=1e-5)


@pytest.mark.parametrize("turn", [lambda m: m.T, lambda m: m[:, ::-1], lambda m: np.rot90(m)])
def test_turned_maps_give_turned_densities(run, seen, turn):
    """With average_symmetries, whatever the eight orientations."""
    column = np.ascontiguousarray(seen.column_density[:64, :64])
    straight = predicted(run, as_map(column), average_symmetries=True).density
    turned = predicted(run, as_map(np.ascontiguousarray(turn(column))), average_symmetries=True).density
    np.testing.assert_allclose(turned, turn(straight), rtol=2e-4)


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
def test_a_map_of_noise_is_flagged(run, strength):
    noise = 1e21 * np.exp(strength * np.random.default_rng(0).standard_normal((96, 96)))
    found = predicted(run, as_map(noise))
    assert ((found.quality & int(Quality.UNLIKE_TRAINING)) != 0).mean() > 0.9
    assert any("the model does not apply to this map" in note for note in found.notes)


def test_a_cloud_is_not_flagged(run, seen):
    found = predicted(run, seen.observation)
    assert ((found.quality & int(Quality.UNLIKE_TRAINING)) != 0).mean() < 0.1


@pytest.mark.parametrize("column", [1e21, 2e21, 3e21])
def test_a_core_on_diffuse_gas(run, column):
    """The report's failure (figure 35): n = 1e5 cm^-3 within 0.03 pc, seen through a beam, within 0.3 dex at its centre,
    or inside of the 95 % interval and flagged.
    """
    gas = copula_density(CopulaChoices(3.5, 2.0, 1.2, 2.5, 100.0, 0.2, seed=4711), 64)
    gas *= np.float32(column / (3.2 * u.pc.to(u.cm)) / gas.mean())
    cube = add_cores(lab.SimulationCube(gas, cell_size=0.05 * u.pc), [Core((1.6, 1.625, 1.625), 0.03, 1e5)])
    core = observe_cube(cube, distance=300 * u.pc, beam_fwhm=52 * u.arcsec)
    found = predicted(run, core.observation)
    at, truth = (32, 32), core.density[32, 32]
    inside = found.lower95[at] <= truth <= found.upper95[at] and found.quality[at] != 0
    assert abs(np.log10(found.density[at] / truth)) < 0.3 or inside


def test_pixels_that_no_training_gas_resolves_are_said_to_be_extrapolated(run):
    column = smooth_column((48, 48))
    fine, middle = (predicted(run, as_map(column, distance=d * u.pc)) for d in (206.265, 700.0))
    assert any("EXTRAPOLATED in scale" in note for note in fine.notes)
    assert not any("EXTRAPOLATED in scale" in note for note in middle.notes)
    with pytest.raises(ValueError, match=r"0\.01-0\.2 pc"):
        predicted(run, as_map(column, distance=9000 * u.pc))


def test_finer_maps_and_wide_beams_are_averaged(run):
    """Pixels of 0.005 pc become 0.01 pc; a beam of eight pixels becomes one of three."""
    fine = predicted(run, as_map(smooth_column((64, 64)), distance=51.5 * u.pc))
    assert (fine.quality & int(Quality.RESAMPLED)).all()
    wide = predicted(run, as_map(smooth_column((128, 128)), beam=160 * u.arcsec))
    assert (wide.quality & int(Quality.RESAMPLED)).all()


def test_the_depth_may_be_given(run, seen):
    """A deeper cloud of the same columns is less dense."""
    column = seen.column_density[:64, :64]
    shallow, deep = (predicted(run, as_map(column), depth=d * u.pc).density for d in (1.0, 8.0))
    assert np.median(np.log10(shallow / deep)) > 0.05


def test_no_run_need_be_named(run, tmp_path, capsys):
    column = smooth_column((48, 48))
    assert lab.predict_density(as_map(column), progress=False).run_fingerprint == run.fingerprint
    with pytest.raises(TypeError, match="expected an Observation"):
        lab.predict_density(run)
    header = sky_wcs(column.shape).to_header()
    header["BUNIT"] = "cm-2"
    fits.PrimaryHDU(column, header).writeto(tmp_path / "map.fits")
    words = [
        "predict",
        str(tmp_path / "map.fits"),
        "--distance",
        "300 pc",
        "--species",
        "H2",
        "--json",
        "--quiet",
    ]
    assert main([*words, "--output", str(tmp_path / "out.fits")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["run_fingerprint"] == run.fingerprint
    assert fits.getheader(tmp_path / "out.fits")["BUNIT"] == "cm-3"
