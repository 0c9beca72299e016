"""Cubes that the tests of this room share."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab


@pytest.fixture
def box() -> lab.SimulationCube:
    """Return a small box whose three sides differ and whose fields are all different."""
    rng = np.random.default_rng(5)
    shape = (5, 7, 9)
    return lab.SimulationCube(
        rng.lognormal(6, 1.3, shape),
        cell_size=0.064 * u.pc,
        temperature=rng.uniform(8, 40, shape),
        velocity={axis: rng.normal(0, 1, shape) for axis in "zyx"},
        name="a box",
        provenance={"source": "test", "numbers": [1, 2.5], "nested": {"of": None}},
    )


@pytest.fixture(scope="session")
def cloud() -> lab.SimulationCube:
    """Return a synthetic cloud of 64^3 cells."""
    return lab.synthetic_cloud(size=64, seed=1)


@pytest.fixture
def yt_here():
    return pytest.importorskip("yt", reason="yt (extra amr) is not installed")


@pytest.fixture
def output(shared_data, tmp_path, yt_here):
    """Return a copy of a true RAMSES output, to be spoilt or added to."""
    source = shared_data / "simulations" / "ramses_hydro_2cpu" / "output_00002"
    folder = tmp_path / "output_00002"
    folder.mkdir()
    for file in source.iterdir():
        shutil.copyfile(file, folder / file.name)
    return folder
