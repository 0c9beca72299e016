"""A task that a small network solves in seconds and a power law cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from astropy import units as u
from scipy import ndimage

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import Run, TrainingConfig


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def image_pairs(count: int = 24, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return column densities and densities that depend on the contrast with the surroundings too."""
    rng = np.random.default_rng(seed)
    log_column, log_density = [], []
    for _ in range(count):
        field = ndimage.gaussian_filter(rng.normal(size=(size, size)), 2.0, mode="wrap")
        x = 21.5 + 0.4 * field / field.std()
        log_column.append(x)
        log_density.append(3 + (x - 21.5) + 1.2 * (x - ndimage.uniform_filter(x, 9, mode="reflect")))
    return 10 ** np.array(log_column), 10 ** np.array(log_density)


@pytest.fixture(scope="session")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    return image_pairs()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, pairs) -> PatchDataset:
    """Seventeen training patches (a remainder for batches of 4) and seven for validation."""
    return PatchDataset.from_arrays(
        {"column_density": pairs[0]},
        {"mass_weighted_density": pairs[1]},
        pixel_size=0.05 * u.pc,
        split=["training"] * 17 + ["validation"] * 7,
        path=tmp_path_factory.mktemp("data") / "pairs.zarr",
    )


@pytest.fixture(scope="session")
def blueprint() -> Blueprint:
    return Blueprint.unet(layers=2, base_filters=4, attention=False, reference_scale=2.0, dropout=0.05)


@pytest.fixture(scope="session")
def config() -> TrainingConfig:
    return TrainingConfig(epochs=6, batch_size=4, learning_rate=5e-3, seed=3, device="cpu")


@pytest.fixture
def run(tmp_path, blueprint, dataset, config) -> Run:
    """Return a run that has not started."""
    return Run.create(tmp_path / "run", blueprint, dataset, config)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, blueprint, dataset, config) -> Run:
    """Return a finished run; leave it as it is."""
    return Run.create(tmp_path_factory.mktemp("runs") / "trained", blueprint, dataset, config).train(
        progress=False
    )
