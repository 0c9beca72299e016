"""Dense cores whose column density, mass and mass-weighted density are known: Plummer and Bonnor-Ebert."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import integrate

from polaris_lab.config import did_you_mean
from polaris_lab.units import HYDROGEN_MASS, MEAN_MASS_PER_HYDROGEN, PARSEC, SOLAR_MASS

PROFILES = ("plummer", "bonnor-ebert")
"""Choices of a core's profile."""

PLUMMER_EDGE = 10.0
"""A Plummer core ends at this many of its radii, where its density is 1e-4 of the central one."""

CRITICAL_RADIUS = 6.451
"""Edge of the critical Bonnor-Ebert sphere in units of a/sqrt(4 pi G rho_c); there n = n_c/14.0."""

_GAUSS = np.polynomial.legendre.leggauss(200)
_THREE = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class Core:
    """A spherical core.

    Parameters
    ----------
    position_pc : tuple of float
        Centre along z, y, x, from the corner of the box [pc].
    radius_pc : float
        Plummer: radius R of the flat inside, n = n_c (1 + (r/R)^2)^-2 out to 10 R. Bonnor-Ebert: outer radius of
        the critical sphere [pc].
    central_density_cm3 : float
        n_c of hydrogen nuclei, added to the gas around it [cm^-3].
    profile : {"plummer", "bonnor-ebert"}
        Its shape.

    Raises
    ------
    ValueError
        If a number is not positive or the profile is unknown.

    Examples
    --------
    >>> core = Core((1.0, 1.0, 1.0), radius_pc=0.05, central_density_cm3=1e5)
    >>> print(f"{core.mass_weighted_density(0.0):.4g} {core.mass_weighted_density(0.0, 30.0, depth_pc=6.4):.4g}")
    6.253e+04 6.109e+04
    """

    position_pc: tuple[float, float, float]
    radius_pc: float
    central_density_cm3: float
    profile: str = "plummer"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(
                f"profile: unknown core {self.profile!r}: {did_you_mean(str(self.profile), list(PROFILES))}"
            )
        for name in ("radius_pc", "central_density_cm3"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        if len(self.position_pc) != 3 or not np.isfinite(self.position_pc).all():
            raise ValueError(f"position_pc: expected three finite numbers (z, y, x), got {self.position_pc}")

    @property
    def edge_pc(self) -> float:
        """Radius where the core ends [pc]."""
        return self.radius_pc * (PLUMMER_EDGE if self.profile == "plummer" else 1.0)

    @property
    def scale_pc(self) -> float:
        """Radius over which the density changes [pc]."""
        return self.radius_pc if self.profile == "plummer" else self.radius_pc / CRITICAL_RADIUS * 2.0

    def density(self, radius_pc: np.ndarray) -> np.ndarray:
        """Return n [cm^-3] of the core alone at a distance from its centre [pc]."""
        radius = np.asarray(radius_pc, np.float64)
        if self.profile == "plummer":
            shape = (1.0 + (radius / self.radius_pc) ** 2) ** -2
        else:
            shape = bonnor_ebert(np.minimum(radius / self.radius_pc, 1.0) * CRITICAL_RADIUS)
        return np.where(radius <= self.edge_pc, self.central_density_cm3 * shape, 0.0)

    def line_integrals(self, impact_pc: float) -> tuple[float, float]:
        """Return the integrals of n dz [cm^-2] and n^2 dz [cm^-5] on a line past the centre.

        Parameters
        ----------
        impact_pc : float
            Distance of the line from the centre [pc].
        """
        if abs(impact_pc) >= self.edge_pc:
            return 0.0, 0.0
        half = math.sqrt(self.edge_pc**2 - impact_pc**2)
        steep = math.hypot(self.scale_pc, impact_pc)
        top = math.asinh(half / steep)  # z = steep sinh(t): nodes where the density changes
        t = 0.5 * top * (_GAUSS[0] + 1.0)
        z, weight = steep * np.sinh(t), 0.5 * top * _GAUSS[1] * steep * np.cosh(t)
        density = self.density(np.minimum(np.hypot(z, impact_pc), self.edge_pc))
        return (
            2 * PARSEC * float((weight * density).sum()),
            2 * PARSEC * float((weight * density**2).sum()),
        )

    def mass_weighted_density(
        self, impact_pc: float, background_cm3: float = 0.0, *, depth_pc: float = 0.0
    ) -> float:
        """Return <n>_M [cm^-3] on a line past the centre, the core lying in uniform gas.

        Parameters
        ----------
        impact_pc : float
            Distance of the line from the centre [pc].
        background_cm3 : float
            Density of the gas that the core is added to [cm^-3].
        depth_pc : float
            Length of the line through that gas [pc].

        Raises
        ------
        ValueError
            If there is no gas on the line.
        """
        column, square = self.line_integrals(impact_pc)
        length = depth_pc * PARSEC
        total = column + background_cm3 * length
        if not total > 0:
            raise ValueError(
                f"impact_pc: expected less than the edge of the core, {self.edge_pc:g} pc, where there is no background, "
                f"got {impact_pc:g} pc"
            )
        return (square + 2 * background_cm3 * column + background_cm3**2 * length) / total

    def volume_integrals(self) -> tuple[float, float]:
        """Return the integrals of n dV [cm^-3 pc^3] and n^2 dV [cm^-6 pc^3] over the core."""
        top = math.asinh(self.edge_pc / self.scale_pc)
        t = 0.5 * top * (_GAUSS[0] + 1.0)
        r = self.scale_pc * np.sinh(t)
        weight = 0.5 * top * _GAUSS[1] * self.scale_pc * np.cosh(t) * 4 * math.pi * r**2
        density = self.density(np.minimum(r, self.edge_pc))
        return float((weight * density).sum()), float((weight * density**2).sum())

    @property
    def mass_solar(self) -> float:
        """Mass of the core with helium [Msun]."""
        return self.volume_integrals()[0] * PARSEC**3 * MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS / SOLAR_MASS


@functools.lru_cache(maxsize=1)
def _lane_emden() -> integrate.OdeSolution:
    """Solve the isothermal Lane-Emden equation: psi'' + 2 psi'/x = exp(-psi), psi(0) = psi'(0) = 0."""
    start = 1e-3
    return integrate.solve_ivp(
        lambda x, y: [y[1], math.exp(-y[0]) - 2.0 * y[1] / x],
        (start, CRITICAL_RADIUS),
        [start**2 / 6, start / 3],
        dense_output=True,
        rtol=1e-10,
        atol=1e-12,
    ).sol


def bonnor_ebert(x: np.ndarray) -> np.ndarray:
    """Return n/n_c of an isothermal sphere in equilibrium, 0 <= x <= 6.451 in units of a/sqrt(4 pi G rho_c).

    References
    ----------
    Ebert (1955), ZA 37, 217; Bonnor (1956), MNRAS 116, 351.

    Examples
    --------
    >>> print(round(float(1 / bonnor_ebert(6.451)), 1))
    14.0
    """
    x = np.asarray(x, np.float64)
    if not x.size:
        return x
    inside = np.maximum(x, 1e-3)
    values = _lane_emden()(inside.ravel())[0].reshape(inside.shape)
    return np.exp(-np.where(x < 1e-3, x**2 / 6, values))


def cell_means(core: Core, cell_size_pc: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the cells that a core reaches, and the means of n and n^2 and the largest n in each.

    Cells are divided until they are small beside the core (three-point Gauss rule in each part); what the rule
    misses of the whole is spread so that the integrals of n and n^2 are those of the profile.

    Parameters
    ----------
    core : Core
        Its position counts from the corner of cell (0, 0, 0).
    cell_size_pc : float
        Edge of a cell [pc].

    Returns
    -------
    cells : ndarray, shape (k, 3), int
        Indices along z, y, x; not wrapped into a box.
    mean, mean_square, maximum : ndarray, shape (k,)
        n [cm^-3], n^2 [cm^-6], n [cm^-3] of the core alone.
    """
    centre = np.asarray(core.position_pc) / cell_size_pc
    reach = core.edge_pc / cell_size_pc
    spans = [np.arange(math.floor(c - reach), math.floor(c + reach) + 1) for c in centre]
    cells = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.clip(centre, cells, cells + 1.0) - centre
    distance = np.sqrt((nearest**2).sum(axis=1))
    cells, distance = cells[distance < reach], distance[distance < reach]
    mean, square = np.zeros(len(cells)), np.zeros(len(cells))
    corner, parent, size = cells.astype(np.float64), np.arange(len(cells)), 1.0
    while len(corner):
        away = np.sqrt(((corner + 0.5 * size - centre) ** 2).sum(axis=1))
        small = size <= 0.5 * np.hypot(core.scale_pc / cell_size_pc, away)
        if core.profile == "bonnor-ebert":  # its density falls to zero at the edge
            small &= (abs(away - reach) > size) | (size <= 0.05 * reach)
        _integrate(core, corner[small], size, centre, cell_size_pc, parent[small], mean, square)
        rest, parent = corner[~small], np.repeat(parent[~small], 8)
        size *= 0.5
        octants = np.stack(np.meshgrid(*[[0.0, size]] * 3, indexing="ij"), axis=-1).reshape(1, 8, 3)
        corner = (rest[:, None] + octants).reshape(-1, 3)
    whole, whole_square = (value / cell_size_pc**3 for value in core.volume_integrals())
    mean *= whole / mean.sum()
    square *= whole_square / square.sum()
    maximum = np.maximum(core.density(distance * cell_size_pc), mean)
    return cells, mean, np.maximum(square, mean**2), maximum


def _integrate(core, corner, size, centre, cell_size_pc, parent, mean, square) -> None:
    """Add the integrals over parts of cells to their cells."""
    nodes, weights = 0.5 * size * (_THREE[0] + 1.0), 0.5 * size * _THREE[1]
    for i in range(3):
        for j in range(3):
            for k in range(3):
                point = corner + np.array([nodes[i], nodes[j], nodes[k]]) - centre
                density = core.density(np.sqrt((point**2).sum(axis=1)) * cell_size_pc)
                weight = weights[i] * weights[j] * weights[k]
                np.add.at(mean, parent, weight * density)
                np.add.at(square, parent, weight * density**2)
