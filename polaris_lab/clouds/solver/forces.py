"""What pushes the gas of the solver: its own gravity, and a random force on the largest scales.

Code units: box side 1, c_s = 1, mean density 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

DRIVEN_BELOW = 3.0
"""The force acts on wave numbers below this (box lengths per wave)."""

DRIVING_SLOPE = -4.0
"""Of the 3D power spectrum of the force."""

GAIN = 10.0
"""A Mach number one per cent too low strengthens the force by so many per cent."""

STRONGEST = 4.0
"""Largest strength of the force in units of its nominal one."""

JEANS_CELLS = 4.0
"""Cells to a Jeans length below which pressure takes over."""


def gravity(density: Tensor, strength: float) -> Tensor:
    """Return the acceleration of self-gravity in a periodic box.

    Parameters
    ----------
    density : Tensor, shape (nz, ny, nx)
        Only its deviation from the mean pulls. The longest side of the box is 1; cells are cubes.
    strength : float
        4 pi G in code units, see :func:`polaris_lab.clouds.synthetic.gravity_strength`.

    Returns
    -------
    Tensor, shape (3, nz, ny, nx)
        Along z, y, x. Mass times acceleration adds up to zero.

    Examples
    --------
    >>> import torch
    >>> wave = torch.sin(2 * torch.pi * (torch.arange(64) + 0.5) / 64).expand(4, 4, 64)
    >>> pull = gravity(1 + wave, strength=1.0)
    >>> print(f"{float(pull[2].max()):.4f} {1 / (2 * math.pi):.4f}")  # sin(2 pi x): g = cos(2 pi x) / (2 pi)
    0.1588 0.1592
    """
    import torch

    n = max(density.shape)
    eigenvalues = 0.0
    for dim, cells in enumerate(density.shape):
        waves = torch.arange(
            cells // 2 + 1 if dim == 2 else cells, device=density.device, dtype=density.dtype
        )
        shape = [1, 1, 1]
        shape[dim] = -1
        eigenvalues = eigenvalues + (4 * n**2 * torch.sin(math.pi / cells * waves) ** 2).reshape(shape)
    eigenvalues[0, 0, 0] = math.inf  # the mean density does not pull
    modes = torch.fft.rfftn(density) / eigenvalues * -strength
    potential = torch.fft.irfftn(modes, s=density.shape)
    pull = [potential.roll(1, dim) - potential.roll(-1, dim) for dim in range(3)]
    return torch.stack(pull) * (0.5 * n)


def jeans_stiffness(strength: float, size: int) -> float:
    """Return the stiffness of the pressure that keeps a Jeans length at four cells or more.

    p = rho (1 + rho / rho_J) with rho_J = pi c_s^2 / (G (4 dx)^2).

    References
    ----------
    Truelove et al. (1997), ApJ 489, L179.

    Examples
    --------
    >>> print(f"{1 / jeans_stiffness(1017.0, 128):.1f}")  # rho_J in mean densities
    39.8
    """
    return JEANS_CELLS**2 * strength / (4 * math.pi**2 * size**2)


class Driving:
    """A random force with a memory of one turnover time (Ornstein-Uhlenbeck), on wave numbers 1 to 3.

    Parameters
    ----------
    seed : int
        With the number of a step it names the noise of that step, so that a state needs no random generator.
    compressive_fraction : float
        Share of the power in curl-free motion.
    memory : float
        Correlation time.

    References
    ----------
    Eswaran & Pope (1988), Comput. Fluids 16, 257; Federrath et al. (2010), A&A 512, A81.
    """

    def __init__(self, seed: int, compressive_fraction: float, memory: float) -> None:
        self._seed, self._memory = seed, memory
        self._highest = math.ceil(DRIVEN_BELOW) - 1
        axis = np.arange(-self._highest, self._highest + 1.0)
        k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))  # (3, m, m, m)
        squared = (k**2).sum(axis=0)
        kept = (squared > 0) & (squared < DRIVEN_BELOW**2)
        safe = np.where(kept, squared, 1.0)
        size = np.where(kept, safe ** (DRIVING_SLOPE / 4), 0.0)
        self._size = size / math.sqrt(3 * (size**2).sum())  # mean square of the force: 1
        self._direction = k / np.sqrt(safe)
        self._along = math.sqrt(3 * compressive_fraction)
        self._across = math.sqrt(1.5 * (1 - compressive_fraction))

    def first(self) -> np.ndarray:
        """Return the modes at the start, (3, m, m, m) complex."""
        return self._noise(0)

    def next(self, modes: np.ndarray, duration: float, step: int) -> np.ndarray:
        """Return the modes after some time; `step` counts from 1."""
        fade = math.exp(-duration / self._memory)
        return fade * modes + math.sqrt(1 - fade**2) * self._noise(step)

    def _noise(self, step: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 1, step])
        noise = rng.standard_normal((2, *self._direction.shape))
        modes = noise[0] + 1j * noise[1]
        along = (self._direction * modes).sum(axis=0) * self._direction
        return self._size * (self._across * (modes - along) + self._along * along)

    def force(self, modes: np.ndarray, density: Tensor) -> Tensor:
        """Return the acceleration (3, n, n, n) of modes, less what would move the box as a whole."""
        import torch

        size, kind = density.shape[-1], {"device": density.device, "dtype": density.dtype}
        waves = np.arange(-self._highest, self._highest + 1)
        phase = np.exp(2j * np.pi * np.outer((np.arange(size) + 0.5) / size, waves))  # (n, m)
        planes = np.einsum("czyx,Yy,Xx->zcYX", modes, phase, phase, optimize=True)
        planes = np.concatenate([planes.real, planes.imag]).reshape(2 * waves.size, -1)
        phase = np.concatenate([phase.real, -phase.imag], axis=1)  # (n, 2m)
        field = torch.as_tensor(phase).to(**kind) @ torch.as_tensor(planes).to(**kind)
        field = field.reshape(size, 3, size, size).movedim(1, 0).contiguous()  # (3, n, n, n)
        weight = density.sum(dtype=torch.float64)
        for component in field:
            component -= ((density * component).sum(dtype=torch.float64) / weight).to(field.dtype)
        return field
