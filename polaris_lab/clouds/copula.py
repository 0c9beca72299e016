"""Clouds of the common benchmark: random fields with ridges, brought to a chosen density PDF.

No gas dynamics: a Gaussian field, mixed with filaments, whose ranks are mapped to a log-normal PDF with a power-law
tail. Cheap, periodic, and the same for everybody; accuracies measured on them rank methods, and do not carry over to
real clouds.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import fft

from polaris_lab.clouds.fields import wave_numbers
from polaris_lab.clouds.quantiles import remap

LARGEST_CONTRAST = 3e4
"""n / <n> where the power-law tail ends."""

CELL_SIZE_PC = 0.05
"""Side of a cell [pc]."""


@dataclasses.dataclass(frozen=True)
class CopulaChoices:
    """What makes one cloud of the common benchmark."""

    spectral_slope: float
    """beta of P(k) ~ (k^2 + k_min^2)^(-beta / 2)."""
    smallest_wave_number: float
    """k_min, in waves per box."""
    pdf_width: float
    """Dispersion of ln n of the log-normal body."""
    tail_slope: float
    """alpha of the tail p(s) ~ exp(-alpha s), s = ln(n / <n>)."""
    mean_density_cm3: float
    """Mean of n_H over the volume [cm^-3]."""
    ridge_weight: float
    """Share of filaments in the field, 0 to 1."""
    seed: int
    """Of the random fields."""


OUTSIDE = (
    CopulaChoices(3.0, 2.0, 1.9, 1.25, 600.0, 0.9, 9001),
    CopulaChoices(4.3, 8.0, 0.9, 2.5, 20.0, 0.0, 9002),
)
"""Two clouds beyond the ranges of :func:`draw_copula_choices`: how does a method carry over?"""


def draw_copula_choices(number: int, *, seed: int = 0) -> CopulaChoices:
    """Return the choices of cloud `number` of the common benchmark, the same however many are drawn.

    Examples
    --------
    >>> draw_copula_choices(3) == draw_copula_choices(3), 3.2 <= draw_copula_choices(3).spectral_slope <= 3.9
    (True, True)
    """
    rng = np.random.default_rng([seed, number])
    return CopulaChoices(
        spectral_slope=float(rng.uniform(3.2, 3.9)),
        smallest_wave_number=float(rng.uniform(2.0, 6.0)),
        pdf_width=float(rng.uniform(1.1, 1.7)),
        tail_slope=float(rng.uniform(1.4, 2.1)),
        mean_density_cm3=float(10 ** rng.uniform(math.log10(30.0), math.log10(300.0))),
        ridge_weight=float(rng.uniform(0.0, 0.8)),
        seed=int(rng.integers(2**31)),
    )


def copula_density(choices: CopulaChoices, size: int = 256) -> np.ndarray:
    """Return the density cube of a cloud of the common benchmark.

    Parameters
    ----------
    choices : CopulaChoices
    size : int
        Cells along each side; a cell is 0.05 pc.

    Returns
    -------
    ndarray, shape (size, size, size), float32
        n_H [cm^-3], periodic, with the chosen mean.

    Raises
    ------
    ValueError
        If the size is too small to hold a wave.

    Examples
    --------
    >>> density = copula_density(draw_copula_choices(0), 16)
    >>> print(density.shape, bool(np.isclose(density.mean(), draw_copula_choices(0).mean_density_cm3, rtol=1e-5)))
    (16, 16, 16) True
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 8:
        raise ValueError(f"size: expected a whole number of cells from 8 up, got {size!r}")
    rng = np.random.default_rng(choices.seed)
    field = (1.0 - choices.ridge_weight) * _gaussian_field(rng, size, choices)
    if choices.ridge_weight > 0:
        a, b = _gaussian_field(rng, size, choices), _gaussian_field(rng, size, choices)
        ridges = -np.sqrt(a**2 + b**2)  # high along the lines where both fields vanish
        field += choices.ridge_weight * ((ridges - ridges.mean()) / ridges.std())
    log_contrast = remap(
        field.astype(np.float32),
        width=choices.pdf_width,
        tail_slope=choices.tail_slope,
        largest_log_contrast=math.log(LARGEST_CONTRAST),
    )
    return (choices.mean_density_cm3 * np.exp(log_contrast)).astype(np.float32)


def _gaussian_field(rng: np.random.Generator, size: int, choices: CopulaChoices) -> np.ndarray:
    """Draw a periodic Gaussian field of unit variance with the chosen spectrum."""
    k = wave_numbers(size)
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2 + np.float32(choices.smallest_wave_number**2)
    modes = fft.rfftn(rng.standard_normal((size, size, size), dtype=np.float32))
    modes *= squared ** np.float32(-choices.spectral_slope / 4)
    modes[0, 0, 0] = 0.0
    field = fft.irfftn(modes, s=(size,) * 3)
    return field / field.std()
