"""Where the molecule is: uniform, frozen out where it is dense, photodissociated where it is exposed.

The report's abundance is uniform, 13CO/H = 1.4e-6 (12CO/H = 1e-4 over 70). The functions here return an array
with the shape of the density, ready for ``synthesize_ppv(..., abundance=...)``; multiply their ratios to the
uniform value to combine them.
"""

from __future__ import annotations

import numpy as np

from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.units import to_unit

ABUNDANCE = {"12CO": 1e-4, "13CO": 1e-4 / 70, "C18O": 1e-4 / 500}
"""Molecules per hydrogen nucleus in shielded gas: C/O chemistry saturated, isotope ratios 70 and 500."""

COLUMN_PER_EXTINCTION = 1.87e21
"""N_H / A_V [cm^-2 mag^-1] (Bohlin et al. 1978)."""


def freeze_out(
    cube: SimulationCube, abundance: float, *, density: object, steepness: float = 1.0, least: float = 0.01
) -> np.ndarray:
    """Abundance reduced where the molecule freezes onto grains.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3].
    abundance : float
        Molecules per hydrogen nucleus where nothing is frozen.
    density : Quantity
        n_H at which half of the molecules are frozen; about 1e5 cm^-3 for CO below 20 K.
    steepness : float
        Exponent p of 1 / (1 + (n/n_0)^p).
    least : float
        Fraction that always stays in the gas.

    Returns
    -------
    ndarray, shape of the density, float32
        X = X_0 (f + (1 - f) / (1 + (n/n_0)^p)).

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> from astropy import units as u
    >>> cloud = SimulationCube(np.full((2, 2, 2), 1e5), cell_size=0.1 * u.pc)
    >>> print(f"{freeze_out(cloud, 1e-4, density=1e5 / u.cm**3, least=0.0)[0, 0, 0]:.1e}")
    5.0e-05
    """
    half = to_unit(density, "cm-3", "density")
    _check(abundance, half > 0 and steepness > 0 and 0 <= least <= 1)
    ratio = np.power(np.asarray(cube.density) / np.float32(half), np.float32(steepness))
    return (abundance * (least + (1 - least) / (1 + ratio))).astype(np.float32)


def photodissociate(
    cube: SimulationCube,
    abundance: float,
    *,
    threshold: float = 1.0,
    extinction: np.ndarray | None = None,
    least: float = 0.0,
) -> np.ndarray:
    """Abundance that is cut off where the gas is not shielded from starlight.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3].
    abundance : float
        Molecules per hydrogen nucleus in shielded gas.
    threshold : float
        Shielding A_V [mag] from which the molecule survives.
    extinction : ndarray, optional
        Shielding of each cell [mag]; by default :func:`shielding_extinction`.
    least : float
        Fraction that survives outside.

    Returns
    -------
    ndarray, shape of the density, float32
        The abundance where A_V >= threshold, `least` times it elsewhere.

    Raises
    ------
    ValueError
        If a number is out of its range or the shapes differ.
    """
    _check(abundance, threshold >= 0 and 0 <= least <= 1)
    shield = shielding_extinction(cube) if extinction is None else np.asarray(extinction)
    if shield.shape != tuple(cube.shape):
        raise ValueError(
            f"extinction: expected the shape of the density {tuple(cube.shape)}, got {shield.shape}"
        )
    return (abundance * np.where(shield >= threshold, 1.0, least)).astype(np.float32)


def shielding_extinction(cube: SimulationCube, *, attenuation: float = 2.5) -> np.ndarray:
    """Effective extinction between each cell and the outside, from six rays along the axes.

    Parameters
    ----------
    cube : SimulationCube
        Its density n_H [cm^-3] and cell size.
    attenuation : float
        gamma of exp(-gamma A_V), by which ultraviolet light falls off.

    Returns
    -------
    ndarray, shape of the density, float32
        A_V = -ln(mean over the six rays of exp(-gamma A_V,ray)) / gamma [mag], each ray from the centre of the
        cell to the face of the cube, N_H / A_V = 1.87e21 cm^-2. Open directions weigh most.
    """
    if not attenuation > 0:
        raise ValueError(f"attenuation: expected a positive number, got {attenuation}")
    density = np.asarray(cube.density, dtype=np.float32)
    per_cell = cube.cell_size_cm / COLUMN_PER_EXTINCTION
    light = np.zeros(density.shape, np.float32)
    for axis in range(3):
        inside = np.cumsum(density, axis=axis, dtype=np.float64)
        total = np.take(inside, [-1], axis=axis)
        for column in (inside - 0.5 * density, total - inside + 0.5 * density):
            light += np.exp(-attenuation * per_cell * column).astype(np.float32)
    return (-np.log(np.maximum(light / 6, 1e-37)) / attenuation).astype(np.float32)


def _check(abundance: float, rest: bool) -> None:
    if not (np.isfinite(abundance) and abundance >= 0):
        raise ValueError(f"abundance: expected zero or more molecules per hydrogen nucleus, got {abundance}")
    if not rest:
        raise ValueError(
            "expected positive densities, exponents and thresholds, and a remaining fraction from 0 to 1"
        )
