"""A run small enough to train within seconds, as a folder of its own for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import EpochRecord, Run, TrainingConfig


def make_record(epoch: int, **changes) -> EpochRecord:
    """Return a record of a training that goes well."""
    values = {
        "epoch": epoch,
        "training_loss": 0.04 / (epoch + 1),
        "validation_loss": 0.09 / (epoch + 1),
        "validation_accuracy": 0.5 + 0.01 * epoch,
        "learning_rate": 1e-3,
        "seconds": 2.0,
        "images_per_second": 100.0,
        "best": True,
    } | changes
    errors = {f"{part}_rmse_dex": values[f"{part}_loss"] ** 0.5 for part in ("training", "validation")}
    return EpochRecord(**(errors | values))


@pytest.fixture
def record():
    """Return the maker of epoch records."""
    return make_record


def image_pairs(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return column densities and densities that a power law cannot tell apart."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(count, size, size)), (0, 2, 2), mode="wrap")
    column = 21.5 + 0.4 * field / field.std()
    density = column - 18.5 + 1.2 * (column - ndimage.uniform_filter(column, (0, 9, 9), mode="reflect"))
    return 10**column, 10**density


@pytest.fixture(scope="session")
def new_run_folder(tmp_path_factory) -> Path:
    """Return a run that nobody has trained."""
    column, density = image_pairs(16, 32)
    dataset = PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": density},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12 + ["validation"] * 4,
    )
    path = tmp_path_factory.mktemp("runs") / "unet_small"
    blueprint = Blueprint.unet(layers=2, base_filters=4, attention=False, reference_scale=2.0)
    Run.create(path, blueprint, dataset, TrainingConfig(epochs=3, batch_size=4, seed=1, device="cpu"))
    return path


@pytest.fixture(scope="session")
def trained_run_folder(new_run_folder, tmp_path_factory) -> Path:
    """Return the same run, trained to its end."""
    path = tmp_path_factory.mktemp("trained") / "unet_trained"
    shutil.copytree(new_run_folder, path)
    Run.open(path).train(progress=False)
    return path


@pytest.fixture
def new_run(new_run_folder, tmp_path) -> Path:
    """Return an untrained run that the test may change."""
    return Path(shutil.copytree(new_run_folder, tmp_path / "unet_small"))


@pytest.fixture
def trained_run(trained_run_folder, tmp_path) -> Path:
    """Return a trained run that the test may change."""
    return Path(shutil.copytree(trained_run_folder, tmp_path / "unet_trained"))
