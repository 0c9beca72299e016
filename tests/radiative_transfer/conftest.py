"""Clouds for the tests of radiative transfer, and the reference cube."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import Line


def _make_cloud(density, temperature, velocity, cell_size=0.05 * u.pc) -> SimulationCube:
    """A cube with velocities along z only, from arrays or numbers."""
    density, temperature, velocity = np.broadcast_arrays(density, temperature, velocity)
    return SimulationCube(density, cell_size=cell_size, temperature=temperature, velocity={"z": velocity})


def _turbulent_cloud(shape=(24, 12, 16), seed=2, speed=1.0, axes=("z", "y", "x")) -> SimulationCube:
    """Random gas with large-scale motion, the three velocity components all different."""
    rng = np.random.default_rng(seed)
    k = np.sqrt(sum(np.square(np.fft.fftfreq(n) * n)[tuple(None if j != i else slice(None) for j in range(3))]
                    for i, n in enumerate(shape)))  # fmt: skip
    k[0, 0, 0] = 1

    def field(slope):
        values = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * k ** (-slope / 2)).real
        return (values - values.mean()) / values.std()

    density = 500 * np.exp(1.2 * field(3.0))
    temperature = np.clip(15 * (density / 500) ** -0.2, 5, 60)
    return SimulationCube(
        density,
        cell_size=0.05 * u.pc,
        temperature=temperature,
        velocity={axis: speed * field(4.0) for axis in axes},
    )


KMS = u.km / u.s


class Reference(NamedTuple):
    """The reference cube: gas turned so that the observer sits before index 0, and what it must give."""

    cube: SimulationCube
    velocity: u.Quantity
    dispersion: u.Quantity
    abundance: float
    constant: np.ndarray
    linear: np.ndarray
    depth: np.ndarray


@pytest.fixture(scope="session")
def reference(shared_data) -> Reference:
    """RADMC-3D's cube of smooth gradients; its line of sight is the last axis, its observer beyond the last index."""
    data = np.load(shared_data / "rt" / "gradient.npz")

    def gas(name):
        return np.ascontiguousarray(data[name].transpose(2, 0, 1)[::-1])

    return Reference(
        SimulationCube(
            gas("n_H"),
            cell_size=float(data["dx_pc"]) * u.pc,
            temperature=gas("T"),
            velocity={"z": gas("v_los")},
        ),
        data["v_channels"] * KMS,
        float(data["v_turb"]) / np.sqrt(2) * KMS,
        float(data["abundance"]),
        data["T_line"].transpose(2, 0, 1),
        data["T_line_vlin"].transpose(2, 0, 1),
        data["tau_numpy"].transpose(2, 0, 1),
    )


@pytest.fixture(scope="session")
def line() -> Line:
    """13CO 1-0."""
    return Line.named("13CO", "1-0")


@pytest.fixture(scope="session")
def make_cloud():
    """A function: density, temperature, velocity along z -> cube."""
    return _make_cloud


@pytest.fixture(scope="session")
def turbulent_cloud():
    """A function: shape, seed, speed [km/s], axes -> cube."""
    return _turbulent_cloud
