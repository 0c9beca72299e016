"""A run that states its error and one that does not, and explorers of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.training import Run, predict
from widgets import ResidualExplorer


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Return a dataset on disk with patches of four clouds."""
    rng = np.random.default_rng(0)
    column = 21.5 + 0.4 * rng.normal(size=(24, 16, 16)).cumsum(axis=1) / 3
    density = column - 18.5 + 0.15 * rng.normal(size=column.shape)
    return lab.PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10**density},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12 + ["validation"] * 12,
        cloud=np.repeat(list("abcdefgh"), 3).tolist(),
    ).save(tmp_path_factory.mktemp("data") / "data.zarr")


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    """Return a workspace with a run that states its error and one that does not."""
    folder = tmp_path_factory.mktemp("work")
    for name, head, loss in (("plain", "point", "mse"), ("stated", "gaussian", "nll")):
        blueprint = lab.Blueprint.unet(
            layers=1, base_filters=4, attention=False, reference_scale=2.0, head=head
        )
        config = lab.TrainingConfig(epochs=2, batch_size=4, seed=1, device="cpu", loss=loss)
        Run.create(folder / name, blueprint, dataset, config).train(progress=False)
    return folder


@pytest.fixture
def workspace(runs, tmp_path):
    """Return a copy of the workspace that the test may change."""
    return Path(shutil.copytree(runs, tmp_path / "work"))


@pytest.fixture
def explorer(runs):
    return ResidualExplorer(runs / "plain")


@pytest.fixture
def pair(runs):
    return ResidualExplorer(runs / "plain", runs / "stated")


def known(runs, name="plain"):
    """Return prediction and truth of a run, from the library."""
    run = Run.open(runs / name)
    data = run.dataset()
    return predict(run, data).density, data.read(run.target, data.indices("validation"))
