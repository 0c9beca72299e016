"""Samples of whole maps: no trace of tiles, blanks that stay blank, and the prediction made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, build_model
from polaris_lab.observations import Prediction, predict_density, sample_density, sample_map
from polaris_lab.observations.gas import dense_gas_mass
from polaris_lab.training import Run, TrainingConfig

SETTINGS = {"layers": 1, "base_filters": 4, "reference_scale": 3.0}
NAMES = {
    "flow_matching": {},
    "diffusion": {"scheduler": "ddpm"},
    "bridge": {},
    "invertible": {"features": 4, "couplings": 2},
}


def cloud(rows: int = 90, columns: int = 75, seed: int = 0) -> np.ndarray:
    """Return a smooth random map of log10 N_H."""
    noise = torch.randn(1, 1, rows + 8, columns + 8, generator=torch.Generator().manual_seed(seed))
    return 21.5 + 1.2 * torch.nn.functional.avg_pool2d(noise, 9, stride=1)[0, 0].numpy()


def model_of(name: str, **more):
    """Return a network whose weights are far from small, so that its samples depend on all that it sees."""
    model = build_model(Blueprint.preset(name, **SETTINGS, **NAMES.get(name, {}), **more), seed=2)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith(("last.weight", "layers.4.weight")):
                value.mul_(8)
    return model.eval()


@pytest.mark.parametrize("name", list(NAMES))
def test_the_answer_does_not_depend_on_the_tiling(name):
    """Each step of the network is tiled with its own margin; tiling a whole chain of steps would leave seams."""
    model, log_column = model_of(name), cloud()
    steps = None if name == "invertible" else 3
    smallest = 2 * -(-model.generative.receptive_margin // model.stride) * model.stride
    whole, fine, coarse = (
        sample_map(model, log_column, samples=2, steps=steps, seed=4, tile=tile)
        for tile in (None, smallest + 4 * model.stride, smallest + 25 * model.stride)
    )
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(fine, whole, atol=1e-4)
    np.testing.assert_allclose(coarse, whole, atol=1e-4)
    assert whole.std(axis=0).mean() > 0.05  # samples differ by much more than that


def test_a_map_of_one_patch_is_what_the_model_draws():
    """With nothing beyond its edges to reflect differently, whole images and tiles agree: same noise, same steps."""
    model, log_column = model_of("flow_matching"), cloud(48, 48)
    drawn = sample_map(model, log_column, samples=3, steps=2, seed=5)
    direct = model.sample(
        {"column_density": torch.from_numpy(log_column)[None, None]}, samples=3, steps=2, seed=5
    )
    inner = (slice(None), slice(20, 28), slice(20, 28))
    np.testing.assert_allclose(drawn[inner], direct[:, 0, 0].numpy()[inner], atol=1e-4)


@pytest.mark.parametrize("name", list(NAMES))
def test_blank_pixels_stay_blank_and_spoil_no_other(name):
    model, log_column = model_of(name), cloud(60, 50)
    log_column[20:24, 30] = np.nan
    steps = None if name == "invertible" else 2
    drawn = sample_map(model, log_column, samples=2, steps=steps, tile=60)
    np.testing.assert_array_equal(np.isnan(drawn), np.broadcast_to(np.isnan(log_column), drawn.shape))


def test_the_seed_repeats_and_changes_the_samples():
    model, log_column = model_of("flow_matching"), cloud(40, 30)
    first, again, other = (sample_map(model, log_column, samples=2, steps=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.05
    assert np.abs(first[0] - first[1]).mean() > 0.05


def test_a_network_that_looks_at_everything_is_averaged_over_patches():
    """Self-attention sees its patch: overlapping patches at every step, as in the paper."""
    model = build_model(Blueprint.preset("diffusion_xu", layers=1, base_filters=8)).eval()
    drawn = sample_map(model, cloud(50, 40), samples=2, steps=2, tile=32, overlap=0.5)
    assert drawn.shape == (2, 50, 40)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples: expected a whole number of at least 1, got 0"),
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"tile": 8}, "tile: expected at least"),
        ({"log_column": np.full((2, 20, 20), 21.0)}, r"log_column: expected the shape \(y, x\) of one map"),
        ({"log_column": np.full((20, 20), 1e21)}, "log_column: expected log10 of cm"),
        ({"log_column": np.full((20, 20), np.nan)}, "log_column: expected a valid pixel"),
        ({"log_column": np.full((20, 20), -np.inf)}, "log_column: expected finite values or NaN"),
        ({"model": build_model(Blueprint.unet(1, 2, False))}, "expected a generative network"),
        (
            {"model": build_model(Blueprint.preset("flow_matching", **SETTINGS, inputs=("column_density", "temperature")))},
            "expected one that takes a column density map only",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(change, message):
    arguments = {"model": model_of("flow_matching"), "log_column": cloud(30, 30), **change}
    model, log_column = arguments.pop("model"), arguments.pop("log_column")
    with pytest.raises(ValueError, match=message):
        sample_map(model, log_column, **arguments)


# -- from a run to a prediction ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Return a validated run of flow matching on maps whose density has a scatter of 0.15 dex."""
    rng = np.random.default_rng(0)
    column = np.stack([cloud(32, 32, seed) for seed in range(24)])
    density = 2.5 + 1.3 * (column - 21.5) + 0.15 * rng.normal(size=column.shape)
    folder = tmp_path_factory.mktemp("generative")
    dataset = PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10**density},
        pixel_size=0.05 * u.pc,
        split=["training"] * 18 + ["validation"] * 6,
        path=folder / "maps.zarr",
    )
    config = TrainingConfig(epochs=12, batch_size=6, learning_rate=1e-2, device="cpu")
    run = Run.create(folder / "run", Blueprint.preset("flow_matching", **SETTINGS), dataset, config)
    run.train(progress=False).validate()
    return run


def test_the_mean_and_intervals_hold_the_truth(run, observe):
    log_column, rng = cloud(64, 64, 77), np.random.default_rng(9)
    truth = 2.5 + 1.3 * (log_column - 21.5) + 0.15 * rng.normal(size=log_column.shape)
    prediction = sample_density(run, observe(10**log_column), seed=1, progress=False)
    error = np.log10(prediction.density) - truth
    assert np.sqrt(np.mean(error**2)) < 0.2
    inside68 = (np.log10(prediction.lower68) < truth) & (truth < np.log10(prediction.upper68))
    inside95 = (np.log10(prediction.lower95) < truth) & (truth < np.log10(prediction.upper95))
    assert inside68.mean() == pytest.approx(0.68, abs=0.1)
    assert inside95.mean() == pytest.approx(0.95, abs=0.05)
    assert any("Mean and spread of 16 samples, seed 1" in note for note in prediction.notes)
    assert prediction.provenance["run_fingerprint"] == run.fingerprint


def test_predict_density_of_a_generative_run_is_the_mean_of_its_samples(run, observe):
    log_column = cloud(40, 40, 78)
    log_column[5, 6] = np.nan
    observed = observe(10**log_column)
    ours, direct = (
        predict_density(run, observed, progress=False),
        sample_density(run, observed, progress=False),
    )
    np.testing.assert_array_equal(ours.density, direct.density)
    np.testing.assert_array_equal(np.isnan(ours.density), np.isnan(log_column))
    with pytest.raises(ValueError, match="overlap: expected none for a generative run"):
        predict_density(run, observed, overlap=0.5, progress=False)


def test_predictions_that_are_refused(run, observe):
    observed = observe(10 ** cloud(40, 40))
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 2"):
        sample_density(run, observed, samples=1)
    validation = run.path / "validation.json"
    text = validation.read_text()
    validation.unlink()
    try:
        with pytest.raises(ValueError, match=r"got none .* call run.validate\(\) once"):
            sample_density(run, observed)
    finally:
        validation.write_text(text)


def test_samples_that_are_asked_for_are_kept_for_the_errors_of_sums(run, observe, tmp_path):
    log_column = cloud(40, 40, 78)
    log_column[5, 6] = np.nan
    observed = observe(10**log_column)
    found = predict_density(run, observed, samples=3, seed=4, progress=False)
    assert found.samples.shape == (3, 40, 40)
    np.testing.assert_allclose(10 ** np.log10(found.samples).mean(axis=0), found.density, rtol=1e-4)
    again = Prediction.open(found.write_fits(tmp_path / "samples.fits"))
    np.testing.assert_array_equal(again.samples, found.samples)
    mass = dense_gas_mass(
        found.density,
        observed.column_density,
        pixel_size=observed.pixel_size_pc * u.pc,
        threshold=float(np.nanmedian(found.density)) / u.cm**3,
        samples=found.samples,
    )
    assert mass.lower < mass.upper
    assert predict_density(run, observed, progress=False).samples is None


def test_several_outputs_of_a_map_whatever_the_tiles(observe, tmp_path):
    """The other outputs are the means of their samples, on the pixels of the map, and do not depend on the tiles."""
    outputs = ("mass_weighted_density", "max_density")
    column = np.stack([cloud(32, 32, seed) for seed in range(8)])
    density = 10 ** (2.5 + 1.3 * (column - 21.5))
    dataset = PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": density, "max_density": 10 * density},
        pixel_size=0.05 * u.pc,
        split=["training"] * 6 + ["validation"] * 2,
        path=tmp_path / "maps.zarr",
    )
    config = TrainingConfig(epochs=1, batch_size=6, device="cpu")
    blueprint = Blueprint.preset("flow_matching", **SETTINGS, outputs=outputs)
    run = Run.create(tmp_path / "run", blueprint, dataset, config).train(progress=False)
    run.validate()
    log_column = cloud(90, 80, 78)
    log_column[5, 6] = np.nan
    found = predict_density(run, observe(10**log_column), samples=3, seed=4, progress=False)
    drawn = sample_map(run.model(), log_column, samples=3, seed=4)
    for name, values in {
        "mass_weighted_density": found.density,
        "max_density": found.extra["max_density"],
    }.items():
        np.testing.assert_allclose(values, 10 ** drawn[name].mean(axis=0), rtol=1e-3)
    tiled = sample_map(run.model(), log_column, samples=3, seed=4, tile=64)
    for name in outputs:
        np.testing.assert_allclose(tiled[name], drawn[name], rtol=0, atol=1e-4)
