"""From clouds to networks of several inputs: datasets with every channel, runs, and the cube at the end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.wcs import WCS
from scipy import ndimage

from polaris_lab import (
    Blueprint,
    Observation,
    PatchConfig,
    PatchDataset,
    Run,
    SimulationCube,
    TrainingConfig,
    build_dataset,
    predict_density,
)
from polaris_lab.datasets import EmissionConfig
from polaris_lab.datasets.normalize import symmetry
from polaris_lab.models.volume import predicted_cube
from polaris_lab.observations.predict_network import MapNetwork
from polaris_lab.training import evaluate, predict, predict_volumes
from polaris_lab.training.batches import Patches, augment
from polaris_lab.units import PARSEC

LINE = ("integrated_intensity", "centroid_velocity", "velocity_dispersion", "peak_temperature")
EXTRAS = ("temperature", "position", "context_column_density", "context_mask", "pixel_size", "depth")
SMALL = {"layers": 2, "base_filters": 4, "reference_scale": 3.0}
TRAINING = TrainingConfig(epochs=1, batch_size=8, learning_rate=3e-3, device="cpu", seed=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Every channel of a small cloud; leave it as it is."""
    rng = np.random.default_rng(5)

    def smooth():
        field = ndimage.gaussian_filter(rng.normal(size=(48, 48, 48)), 3.0, mode="wrap")
        return field / field.std()

    density = 300 * np.exp(1.2 * smooth())
    cube = SimulationCube(
        density,
        cell_size=0.05 * u.pc,
        temperature=15 * (density / 300) ** -0.2,
        velocity={axis: 0.4 * smooth() for axis in ("z", "y", "x")},
        name="gas",
    )
    config = PatchConfig(
        patch_size=12,
        validation_fraction=0.3,
        quantities=("column_density", "mass_weighted_density", "max_density", "density_cube", "ppv_cube", *LINE,
                    "number_of_components", "aviator_density", "constrained_diffusion_density", *EXTRAS),
        emission=EmissionConfig(velocity_min_km_s=-2.4, velocity_max_km_s=2.4, channel_width_km_s=0.3, channel="average"),
        learned=("number_of_components",),
        context_width=2,
        depth_cells=12,
    )  # fmt: skip
    return build_dataset(cube, config, tmp_path_factory.mktemp("several") / "gas.zarr", progress=False)


def trained(path, dataset, preset, config=TRAINING, **settings):
    run = Run.create(path, Blueprint.preset(preset, **SMALL, **settings), dataset, config)
    records = list(run.epochs())
    assert all(np.isfinite([record.training_loss, record.validation_loss]).all() for record in records)
    return Run.open(path)


def test_every_input_and_three_targets(dataset, tmp_path):
    """One run of all: it trains, is opened again, and answers with and without its optional inputs."""
    inputs = ("column_density", "ppv_cube", *LINE, *EXTRAS)
    run = trained(tmp_path / "run", dataset, "multi_input", inputs=inputs, velocity_channels=17, line_features=4,
                  extra_outputs=("max_density", "number_of_components"))  # fmt: skip
    model = run.model()
    names = {"target": "mass_weighted_density", "extra_targets": ("max_density", "number_of_components")}
    patches = Patches.load(dataset, "validation", inputs=inputs, **names)
    with torch.no_grad():
        raw, alone = model(patches.inputs), model({"column_density": patches.inputs["column_density"]})
    for name in ("mass_weighted_density", "max_density", "number_of_components"):
        assert torch.isfinite(raw[name]).all()
        assert torch.isfinite(alone[name]).all()
    predicted, truth = run.validate()
    assert predicted.shape == truth.shape == (len(patches), 12, 12)
    assert set(inputs) <= set(run.validation()["training_ranges"])
    error = raw["mass_weighted_density"] - patches.target
    assert error.square().mean().sqrt() < 0.5  # dex: an epoch on top of a power law


def test_context_from_clouds(dataset, tmp_path):
    """Blank context of the other side and all: the preset trains on what the dataset gives."""
    assert np.isnan(dataset.read("context_column_density")).any()
    run = trained(tmp_path / "run", dataset, "context_unet")
    assert run.model().blueprint.optional_inputs == (
        "context_column_density",
        "context_mask",
        "pixel_size",
        "depth",
    )


def test_a_map_is_enough(dataset, observation, tmp_path):
    """A network of optional inputs predicts from a map alone; it is told the pixel size, the rest is unknown."""
    run = trained(tmp_path / "run", dataset, "context_unet")
    run.validate()
    prediction = predict_density(run, observation)
    assert np.isfinite(prediction.density).all()
    size = torch.full((1, 1, 1, 1), np.log10(0.05))
    column = observation.column_density
    given = {"column_density": torch.from_numpy(np.log10(column)).float()[None, None], "pixel_size": size}
    model = run.model().eval()
    with torch.no_grad():
        told, untold = (model(inputs)[0, 0] for inputs in (given, {**given, "pixel_size": size * torch.nan}))
    network = MapNetwork((model,), scalars={"pixel_size": np.log10(run.pixel_size_pc)})
    answer = network(np.log10(column).astype(np.float32)[None])
    assert np.abs(answer[0] - told.numpy()).max() < 1e-5
    assert (told - untold).abs().max() > 1e-4


def test_a_cube_from_a_line(dataset, tmp_path):
    """PPV to PPP: maps and cumulative shares are learned together; the cube closes on the observed column."""
    outputs = ("mass_weighted_density", "max_density", "density_cube")
    run = trained(tmp_path / "run", dataset, "volume", inputs=("column_density", "ppv_cube"), velocity_channels=17,
                  line_features=4, depth_cells=12, cell_size_pc=0.2, outputs=outputs)  # fmt: skip
    column = torch.from_numpy(dataset.read("column_density", [0])).log10()[None]
    line = torch.from_numpy(dataset.read("ppv_cube", [0]))
    cloud = predicted_cube(run.model(), {"column_density": column, "ppv_cube": line}, pixel_size_pc=0.05)
    assert cloud.shape == (48, 12, 12)
    closure = (
        cloud.density.astype(np.float64).sum(axis=0) * 0.05 * PARSEC / (10 ** column[0, 0].double().numpy())
    )
    assert np.abs(closure - 1).max() < 1e-6
    cubes = predict_volumes(run, dataset, split="training")
    rows = dataset.indices("training")
    columns = dataset.read("column_density", rows).astype(np.float64)
    assert np.allclose(cubes.sum(axis=1) * 0.2 * PARSEC, columns, rtol=1e-5)
    first = list(rows).index(0)
    assert np.allclose(np.repeat(cubes[first], 4, axis=0), cloud.density, rtol=1e-5)
    with pytest.raises(ValueError, match="target: expected a map, got 'density_cube'"):
        predict(run, dataset, target="density_cube")


def test_a_cube_needs_a_network_that_has_one(dataset, tmp_path):
    run = trained(tmp_path / "run", dataset, "unet")
    with pytest.raises(ValueError, match="expected a network with a node column_closing_volume"):
        predict_volumes(run, dataset)


def test_a_count_is_answered_as_a_count(dataset, tmp_path):
    """What is no density has no dex: predicted in its own unit, and not judged in dex."""
    name = "number_of_components"
    run = trained(
        tmp_path / "run", dataset, "multi_input", inputs=("column_density", *LINE), extra_outputs=(name,)
    )
    patches = Patches.load(
        dataset, "validation", inputs=run.blueprint.inputs, target=run.target, extra_targets=(name,)
    )
    with torch.no_grad():
        expected = run.model()(patches.inputs)[name][:, 0].numpy()
    predicted = predict(run, dataset, target=name)
    assert np.allclose(predicted.density, expected, atol=1e-5)
    counts = dataset.read(name, dataset.indices("validation"))
    assert abs(predicted.density.mean() - counts.mean()) < 0.5
    with pytest.raises(ValueError, match=r"target: expected a density, .* got 'number_of_components'"):
        evaluate(run, dataset, target=name)


def test_the_width_of_a_line_of_sight_is_fitted(dataset):
    """Before any training <n>_M has the right mean: the profile is as thick as the gas."""
    from polaris_lab.models import build_model

    blueprint = Blueprint.preset(
        "volume", depth_cells=48, cell_size_pc=0.05, outputs=("mass_weighted_density",), **SMALL
    )
    patches = Patches.load(dataset, "training", inputs=blueprint.inputs, target="mass_weighted_density")
    model = build_model(blueprint).fit_constants(patches.inputs, patches.target).eval()
    with torch.no_grad():
        assert float((model(patches.inputs) - patches.target).mean()) == pytest.approx(0.0, abs=0.05)


def test_symmetries_turn_context_and_positions_alike(dataset):
    """After augmentation the mask still finds the patch in its context, and positions are still coordinates."""
    inputs = ("column_density", *EXTRAS)
    patches = Patches.load(dataset, "training", inputs=inputs, target="mass_weighted_density")
    numbers = np.arange(len(patches)) % 8
    given, target = patches.batch(np.arange(len(patches)))
    turned, turned_target = augment(given, target, numbers)
    for k, number in enumerate(numbers):
        for name in ("column_density", "context_column_density", "context_mask", "temperature"):
            expected = symmetry(given[name][k], int(number))
            assert torch.allclose(turned[name][k], expected, equal_nan=True)
        assert torch.equal(turned_target[k], symmetry(target[k], int(number)))
        step = turned["position"][k]
        assert torch.allclose(step[0].diff(dim=0), torch.tensor(0.05), atol=1e-5)  # rows grow along rows
        assert torch.allclose(step[1].diff(dim=1), torch.tensor(0.05), atol=1e-5)
    assert torch.equal(turned["depth"], given["depth"])


@pytest.mark.slow
def test_maps_without_a_line_in_the_same_dataset(tmp_path):
    """Images whose line is NaN train beside the others; without a value anywhere the constants stay what they are."""
    rng = np.random.default_rng(0)
    column = rng.lognormal(50.0, 0.4, (12, 16, 16))
    line = rng.lognormal(0.0, 0.4, (12, 16, 16))
    line[::2] = np.nan
    targets = {"mass_weighted_density": column / 1e18}
    for number, values in enumerate((line, np.full_like(line, np.nan))):
        dataset = PatchDataset.from_arrays({"column_density": column, "integrated_intensity": values}, targets,
                                           pixel_size=0.1 * u.pc, split=0.25)  # fmt: skip
        inputs = ("column_density", "integrated_intensity")
        config = dataclasses.replace(TRAINING, batch_size=4)
        run = trained(tmp_path / f"run{number}", dataset, "multi_input", config, inputs=inputs)
        assert np.isfinite(run.validate()[0]).all()
        assert ("integrated_intensity" in run.validation()["training_ranges"]) == (number == 0)
        assert torch.isfinite(run.model()({"column_density": torch.full((1, 1, 16, 16), 21.7)})).all()


FORMS = {
    "cube as moments": {"inputs": ("ppv_cube",), "line": "moments"},
    "cube as its integral": {"inputs": ("ppv_cube",), "line": "integrated"},
    "cube by a learned projection": {"inputs": ("ppv_cube",), "line": "projection"},
    "cube by an encoder of spectra": {"inputs": ("ppv_cube",), "line": "spectra"},
    "maps of the line": {"inputs": LINE},
    "temperature": {"inputs": ("temperature",)},
    "position": {"inputs": ("position",)},
    "components of the line": {"inputs": ("number_of_components",)},
    "estimators": {"inputs": ("aviator_density", "constrained_diffusion_density")},
    "surroundings": {"inputs": ("context_column_density", "context_mask")},
    "size and depth": {"inputs": ("pixel_size", "depth")},
}


@pytest.mark.parametrize("form", list(FORMS))
def test_one_network_serves_maps_with_and_without(form, dataset, counted, bare, observation, tmp_path):
    """Trained with its input dropped now and then; predicts patches with it and without it, and a map that has none."""
    given = FORMS[form]
    dataset = counted if form == "components of the line" else dataset
    settings = {**given, "inputs": ("column_density", *given["inputs"])}
    if "line" in given:
        settings |= {"velocity_channels": 17, "channel_width": 0.3, "line_features": 4}
    config = dataclasses.replace(TRAINING, input_dropout=0.5, learning_rate=1e-2)
    run = trained(tmp_path / "run", dataset, "multi_input", config, **settings)
    with_it, without = predict(run, dataset).density, predict(run, bare).density
    truth = dataset.read("mass_weighted_density", dataset.indices("validation"))
    for density in (with_it, without):
        assert np.sqrt(np.mean(np.log10(density / truth) ** 2)) < 0.5
    assert np.abs(np.log10(with_it / without)).max() > 1e-5  # the network looks at it
    run.validate()
    prediction = predict_density(run, observation)
    assert np.isfinite(prediction.density).all()
    told = {
        "pixel_size",
        "aviator_density",
        "constrained_diffusion_density",
    }  # what every map has, or is made of it
    for name in set(given["inputs"]) - told:
        assert any(f"without {name}" in note or f", {name}" in note for note in prediction.notes), name


@pytest.fixture(scope="module")
def counted(dataset):
    """The same patches with the number of components as an input, which is a target in the other."""
    return PatchDataset.from_arrays(
        {name: dataset.read(name) for name in ("column_density", "number_of_components")},
        {"mass_weighted_density": dataset.read("mass_weighted_density")},
        pixel_size=0.05 * u.pc,
        split=list(dataset.table["split"]),
    )


@pytest.fixture(scope="module")
def bare(dataset):
    """The patches of validation with their column density alone."""
    rows = dataset.indices("validation")
    return PatchDataset.from_arrays(
        {"column_density": dataset.read("column_density", rows)},
        {"mass_weighted_density": dataset.read("mass_weighted_density", rows)},
        pixel_size=0.05 * u.pc,
        split=["validation"] * len(rows),
    )


@pytest.fixture(scope="module")
def observation():
    """A map of the pixels of the training set, with nothing beside it."""
    column = 10 ** (21.5 + 0.3 * ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 44)), 2))
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 60.0, "CRVAL2": 10.0, "CRPIX1": 1.0,
              "CRPIX2": 1.0, "CDELT1": -0.05 / 140 * 180 / np.pi, "CDELT2": 0.05 / 140 * 180 / np.pi}  # fmt: skip
    return Observation(column, wcs=WCS(header), distance=140 * u.pc, species="H")


def test_a_dataset_that_lacks_a_channel(dataset, images_without_lines, tmp_path):
    for preset, settings, match in [
        ("multi_input", {}, "the blueprint needs 'integrated_intensity', the dataset does not carry it"),
        ("context_unet", {}, "the blueprint needs 'context_column_density'"),
        (
            "volume",
            {"outputs": ("mass_weighted_density", "density_cube")},
            "the blueprint predicts 'density_cube'",
        ),
    ]:
        blueprint = Blueprint.preset(preset, **SMALL, **settings)
        with pytest.raises(ValueError, match=match):
            Run.create(tmp_path / "none", blueprint, images_without_lines, TRAINING)
    with pytest.raises(ValueError, match=r"input 'ppv_cube': expected the shape \(N, 9, H, W\), got .*17"):
        trained(
            tmp_path / "nine",
            dataset,
            "multi_input",
            inputs=("column_density", "ppv_cube"),
            velocity_channels=9,
        )


@pytest.fixture
def images_without_lines():
    column = np.random.default_rng(0).lognormal(50.0, 0.4, (12, 16, 16))
    targets = {"mass_weighted_density": column / 1e18}
    return PatchDataset.from_arrays({"column_density": column}, targets, pixel_size=0.1 * u.pc, split=0.25)
