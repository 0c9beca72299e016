"""Gas and lines for the emission explorer."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from widgets import EmissionExplorer

KMS = u.km / u.s


def make_gas(shape=(12, 10, 14), *, temperature=True, axes=("z", "y", "x"), seed=0, name="fog"):
    rng = np.random.default_rng(seed)
    density = 500 * np.exp(rng.normal(size=shape))
    still = np.zeros(shape)
    velocity = {axis: rng.normal(0, 0.7, shape) for axis in axes}
    return lab.SimulationCube(
        density,
        cell_size=0.1 * u.pc,
        temperature=still + 12.0 if temperature else None,
        velocity=velocity,
        name=name,
    )


def make_line(shape=(20, 8, 6), pixel=30 * u.arcsec, centre=4.0):
    """A Gaussian line that drifts along the rows."""
    velocity = centre + np.linspace(-2, 2, shape[0])
    drift = centre + np.linspace(-1, 1, shape[1])[:, None]
    data = 5 * np.exp(-((velocity[:, None, None] - drift) ** 2) / 0.2) * np.ones(shape)
    return lab.PPVCube(data.astype(np.float32), velocity, pixel_size=pixel)


def close(one, other):
    """Equal to the rounding of float32: blocks of other sizes are summed in another order."""
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def gas():
    return make_gas()


@pytest.fixture
def explorer(gas):
    made = EmissionExplorer(gas, source="gas", channel_width=0.2)
    assert made.wait().status == "finished"
    return made


def state_of(explorer) -> str:
    return f"{explorer.state.severity}: {explorer.state.title}: {explorer.state.object}"


@pytest.fixture
def workspace(tmp_path, gas):
    gas.save(tmp_path / "gas.zarr")
    make_line().to_fits(tmp_path / "line.fits")
    return tmp_path
