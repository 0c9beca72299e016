"""Clouds with known densities: closed forms, and small turbulent boxes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.clouds import synthetic_cloud
from polaris_lab.clouds.projection import project
from polaris_lab.estimators import ESTIMATORS, fit_estimator
from polaris_lab.units import PARSEC

PIXEL_PC = 0.1


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def gaussian(sigma: float, *, side: int = 64, filament: bool = False, angle: float = 0.0):
    """Return (N, <n>_M) of a Gaussian core or filament of dispersion sigma [pixels]: <n>_M = N / (2 sqrt(pi) sigma)."""
    y, x = np.mgrid[:side, :side] - (side / 2 - 0.8)
    across = x * np.cos(angle) + y * np.sin(angle)
    column = 1e18 + 1e22 * np.exp(-(across**2 if filament else x**2 + y**2) / (2 * sigma**2))
    return column, column / (2 * np.sqrt(np.pi) * sigma * PIXEL_PC * PARSEC)


@pytest.fixture(scope="session")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Column densities and true <n>_M of clouds (8, 64, 64): four to fit to, four to judge on."""
    clouds = [synthetic_cloud(64, seed=seed, kind="fbm", box_size=6.4 * u.pc) for seed in range(8)]
    maps = [project(cloud, axis="z") for cloud in clouds]
    return np.stack([m.column_density for m in maps]), np.stack([m.mass_weighted_density for m in maps])


@pytest.fixture(scope="session")
def fitted(pairs) -> dict:
    """Every estimator, fitted to the first four clouds."""
    columns, densities = (values[:4] for values in pairs)
    return {name: fit_estimator(name, columns, densities, pixel_size_pc=PIXEL_PC) for name in ESTIMATORS}
