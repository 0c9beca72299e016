"""All four maps of a face in one pass, against numpy with float64 sums."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab


@pytest.fixture(scope="module")
def cube():
    density = np.exp(np.random.default_rng(0).normal(5, 1, (256, 256, 256))).astype(np.float32)
    return lab.SimulationCube(density, cell_size=0.05 * u.pc)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_projection(against, cube, axis):
    index = "zyx".index(axis)
    density = cube.density

    def plain():
        total = density.sum(index, dtype=np.float64)
        square = np.einsum("zyx,zyx->" + "zyx".replace(axis, ""), density, density, dtype=np.float64)
        return total * cube.cell_size_cm, total / density.shape[index], square / total, density.max(index)

    ratio = against(
        f"four maps of 256^3 along {axis}",
        lambda: lab.project(cube, axis=axis),
        plain,
        rounds=9,
        work=density.nbytes / 1e9,
        unit="GB/s",
    )
    assert ratio > 2
