"""The recipes of :func:`synthetic_cloud`: each turns choices and a random state into a density and a velocity.

A recipe is a function ``recipe(choices, rng, progress) -> (log_contrast, velocity)`` with ln(n/<n>) of shape
(n, n, n) and the velocity (3, n, n, n) along z, y, x in sound speeds, in the frame of the centre of mass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from scipy import fft
from tqdm.auto import tqdm

from polaris_lab.clouds.fields import random_field, random_velocity, velocity_modes, wave_numbers
from polaris_lab.clouds.quantiles import remap
from polaris_lab.parallel import share_rows, thread_count

VELOCITY_SLOPE = -4.0
"""Of the 3D power spectrum of velocities (Burgers turbulence)."""

SEED_AMPLITUDE = 0.3
"""Dispersion of ln n of the field that the cascade starts from."""

DISPLACEMENT, DISPLACEMENT_SLOPE = 1.0, 0.4
"""A level k of the cascade moves gas by DISPLACEMENT k^-DISPLACEMENT_SLOPE n/(2 pi k) cells, rms."""

BAND_WIDTH = 0.35
"""Dispersion of ln k of a level's band."""

SMALLEST_STRETCH = 0.05
"""Floor of the volume ratio |det(1 - grad d)| of a level."""


def burgers(
    choices: dict[str, Any], rng: np.random.Generator, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Follow a supersonic isothermal flow, its last part with self-gravity, and give its density the PDF."""
    from polaris_lab.clouds.burgers import burgers_flow  # compiled kernels: loaded when a cloud is made

    log_contrast, velocity = burgers_flow(
        choices["size"],
        rng,
        mach_number=choices["mach_number"],
        compressive_fraction=choices["compressive_fraction"],
        turnover_times=choices["turnover_times"],
        free_fall_times=choices["free_fall_times"],
        gravity=choices["gravity"],
        velocity_slope=-choices["spectral_slope"],
        progress=progress,
    )
    return _with_pdf(log_contrast, choices), velocity


def fbm(choices: dict[str, Any], rng: np.random.Generator, progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """Draw a Gaussian field with a power-law spectrum and give it the PDF; the velocity knows nothing of it.

    References
    ----------
    Stutzki et al. (1998), A&A 336, 697; Elmegreen (2002), ApJ 564, 773.
    """
    size = choices["size"]
    for_density, for_velocity = rng.spawn(2)

    def draw_velocity() -> np.ndarray:
        return random_velocity(
            for_velocity,
            size,
            compressive_fraction=choices["compressive_fraction"],
            slope=VELOCITY_SLOPE,
            workers=thread_count(),
        )

    with ThreadPoolExecutor(1) as other:  # density and velocity side by side
        waiting = other.submit(draw_velocity)
        log_contrast = _with_pdf(random_field(for_density, size, slope=-choices["spectral_slope"]), choices)
        velocity = waiting.result()
    return log_contrast, _at_mach_number(velocity, log_contrast, choices["mach_number"])


def cascade(
    choices: dict[str, Any], rng: np.random.Generator, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Stretch a faint random field by a random velocity scale by scale, three levels an octave.

    Each level moves s = ln n with the velocity of its band and adds the logarithm of the volume ratio: sums
    over levels are nearly Gaussian, and stretching makes filaments.
    """
    size = choices["size"]
    for_density, for_velocity = rng.spawn(2)
    threads = thread_count()
    log_contrast = np.float32(SEED_AMPLITUDE) * random_field(
        for_density, size, slope=-choices["spectral_slope"], workers=threads
    )
    modes = velocity_modes(
        for_velocity,
        size,
        compressive_fraction=choices["compressive_fraction"],
        slope=VELOCITY_SLOPE,
        workers=threads,
    )
    k = wave_numbers(size)
    log_wave = np.log(np.sqrt(np.maximum(k[0] ** 2 + k[1] ** 2 + k[2] ** 2, np.float32(1e-6))))
    levels = [2.0 ** (level / 3) for level in range(64) if 2.0 ** (level / 3) < size / 3]
    moved = np.empty_like(log_contrast)
    displacement = np.empty((3, size, size, size), np.float32)
    for wave in tqdm(levels, desc=f"cloud {size}^3", unit="level", disable=not progress):
        band = np.exp(-0.5 * ((log_wave - np.float32(math.log(wave))) / np.float32(BAND_WIDTH)) ** 2)
        for component in range(3):
            displacement[component] = fft.irfftn(modes[component] * band, s=(size,) * 3, workers=threads)
        rms = math.sqrt(3 * float(np.mean(np.square(displacement), dtype=np.float64)))
        wanted = DISPLACEMENT * wave**-DISPLACEMENT_SLOPE * size / (2 * math.pi * wave)
        displacement *= np.float32(wanted / rms)
        share_rows(_stretch, size, log_contrast, displacement, moved)
        log_contrast, moved = moved, log_contrast
    velocity = np.empty_like(displacement)
    for component in range(3):
        velocity[component] = fft.irfftn(modes[component], s=(size,) * 3, workers=threads)
    log_contrast = _with_pdf(log_contrast, choices)
    return log_contrast, _at_mach_number(velocity, log_contrast, choices["mach_number"])


RECIPES: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "burgers": burgers,
    "fbm": fbm,
    "cascade": cascade,
}
"""Recipes by the name that `synthetic_cloud(kind=...)` takes."""


def _with_pdf(log_contrast: np.ndarray, choices: dict[str, Any]) -> np.ndarray:
    if choices["pdf_width"] is None:
        return log_contrast
    return remap(log_contrast, width=choices["pdf_width"], tail_slope=choices["tail_slope"])


def _at_mach_number(velocity: np.ndarray, log_contrast: np.ndarray, mach_number: float) -> np.ndarray:
    """Move to the frame of the centre of mass and scale to the mass-weighted rms velocity asked for."""
    layers = velocity.shape[1]
    sums = np.zeros((layers, 5))
    share_rows(_weigh, layers, np.exp(log_contrast, dtype=np.float32), velocity, sums)
    mass, *momentum, power = sums.sum(axis=0)
    mean = np.array(momentum) / mass
    scale = mach_number / math.sqrt(power / mass - (mean**2).sum())
    share_rows(_shift_and_scale, layers, velocity, mean.astype(np.float32), np.float32(scale))
    return velocity


@numba.njit(nogil=True, cache=True, fastmath={"reassoc"})
def _weigh(density, velocity, sums, first, last):  # pragma: no cover - compiled
    """Add up rho, rho v_z, rho v_y, rho v_x and rho v^2 of each layer."""
    for z in range(first, last):
        for y in range(velocity.shape[2]):
            mass = along_z = along_y = along_x = power = 0.0
            for x in range(velocity.shape[3]):
                weight = np.float64(density[z, y, x])
                a = np.float64(velocity[0, z, y, x])
                b = np.float64(velocity[1, z, y, x])
                c = np.float64(velocity[2, z, y, x])
                mass += weight
                along_z += weight * a
                along_y += weight * b
                along_x += weight * c
                power += weight * (a * a + b * b + c * c)
            sums[z, 0] += mass
            sums[z, 1] += along_z
            sums[z, 2] += along_y
            sums[z, 3] += along_x
            sums[z, 4] += power


@numba.njit(nogil=True, cache=True)
def _shift_and_scale(velocity, mean, scale, first, last):  # pragma: no cover - compiled
    for c in range(3):
        for z in range(first, last):
            for y in range(velocity.shape[2]):
                for x in range(velocity.shape[3]):
                    velocity[c, z, y, x] = (velocity[c, z, y, x] - mean[c]) * scale


@numba.njit(nogil=True, cache=True)
def _stretch(field, displacement, moved, first, last):  # pragma: no cover - compiled
    """Fetch s from x - d(x) (trilinear, periodic) and add ln |det(1 - grad d)| (central differences)."""
    n = field.shape[0]
    one, half = np.float32(1.0), np.float32(0.5)
    g = np.empty((3, 3), np.float32)
    for z in range(first, last):
        below, above = z - 1 if z else n - 1, z + 1 if z < n - 1 else 0
        for y in range(n):
            left, right = y - 1 if y else n - 1, y + 1 if y < n - 1 else 0
            for x in range(n):
                near, far = x - 1 if x else n - 1, x + 1 if x < n - 1 else 0
                for c in range(3):
                    g[c, 0] = -half * (displacement[c, above, y, x] - displacement[c, below, y, x])
                    g[c, 1] = -half * (displacement[c, z, right, x] - displacement[c, z, left, x])
                    g[c, 2] = -half * (displacement[c, z, y, far] - displacement[c, z, y, near])
                    g[c, c] += one
                determinant = (
                    g[0, 0] * (g[1, 1] * g[2, 2] - g[1, 2] * g[2, 1])
                    - g[0, 1] * (g[1, 0] * g[2, 2] - g[1, 2] * g[2, 0])
                    + g[0, 2] * (g[1, 0] * g[2, 1] - g[1, 1] * g[2, 0])
                )
                pz = np.float32(z) - displacement[0, z, y, x]
                py = np.float32(y) - displacement[1, z, y, x]
                px = np.float32(x) - displacement[2, z, y, x]
                fz, fy, fx = np.floor(pz), np.floor(py), np.floor(px)
                wz, wy, wx = pz - fz, py - fy, px - fx
                z0, y0, x0 = int(fz) % n, int(fy) % n, int(fx) % n
                z1, y1, x1 = (z0 + 1) % n, (y0 + 1) % n, (x0 + 1) % n
                low = (one - wy) * ((one - wx) * field[z0, y0, x0] + wx * field[z0, y0, x1]) + wy * (
                    (one - wx) * field[z0, y1, x0] + wx * field[z0, y1, x1]
                )
                high = (one - wy) * ((one - wx) * field[z1, y0, x0] + wx * field[z1, y0, x1]) + wy * (
                    (one - wx) * field[z1, y1, x0] + wx * field[z1, y1, x1]
                )
                stretch = max(abs(determinant), np.float32(SMALLEST_STRETCH))
                moved[z, y, x] = (one - wz) * low + wz * high + np.log(stretch)
