"""Small clouds and images for the tests of the training sets."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

from polaris_lab.clouds import SimulationCube


def lognormal_cube(seed: int = 0, shape: tuple[int, int, int] = (96, 96, 96), name: str | None = None):
    """A smooth log-normal cloud: cheap, and structured enough for the scores."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 2.0, mode="wrap")
    noise += 2 * ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 6.0, mode="wrap")
    density = 300 * np.exp(1.5 * noise / noise.std())
    return SimulationCube(density, cell_size=0.05 * u.pc, name=name)


@pytest.fixture(scope="session")
def cube():
    return lognormal_cube(name="fog")


@pytest.fixture(scope="session")
def make_cube():
    return lognormal_cube


@pytest.fixture
def images():
    """Ten pairs of images in physical units."""
    rng = np.random.default_rng(4)
    column_density = rng.lognormal(50.0, 0.5, size=(10, 16, 16))
    return {"column_density": column_density}, {"mass_weighted_density": column_density**1.3 / 1e25}


def gas_cube(seed: int = 0, shape: tuple[int, int, int] = (48, 48, 48), name: str | None = "gas", **changes):
    """A cloud like it with a temperature and smooth, different velocities along all axes."""
    rng = np.random.default_rng([seed, 1])
    density = lognormal_cube(seed, shape).density

    def smooth():
        field = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 4.0, mode="wrap")
        return field / field.std()

    fields = {
        "density": density,
        "temperature": 15 * (density / 300) ** -0.2,
        "velocity": {axis: 0.4 * smooth() for axis in ("z", "y", "x")},
        **changes,
    }
    return SimulationCube(fields.pop("density"), cell_size=0.05 * u.pc, name=name, **fields)


@pytest.fixture(scope="session")
def make_gas():
    return gas_cube


@pytest.fixture(scope="session")
def gas():
    return gas_cube()
