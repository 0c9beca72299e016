"""One block of rays: from its cells to spectra, in float32 or float64, for any number of lines.

This is the part of :mod:`polaris_lab.radiative_transfer.transfer` that a worker runs; it sees arrays and a
frozen description of the work, and no files.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from polaris_lab.parallel import share_rows
from polaris_lab.radiative_transfer.kernels import PADDING, TILE, constant_rays, linear_rays
from polaris_lab.radiative_transfer.kernels64 import rays64
from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.lte import equivalent_temperature, thermal_coefficient
from polaris_lab.radiative_transfer.rays import Census, take_census
from polaris_lab.radiative_transfer.tables import background_brightness, opacity, temperature_tables

TOLERANCE = {"float32": 2e-5, "float64": 1e-8}
"""What may be left out of the wings on a whole ray, over the peak of the cube."""

_BINS = 4096


@dataclass(frozen=True)
class Scheme:
    """Everything about the work but the gas: plain numbers, so that it can be sent to another process."""

    lines: tuple[Line, ...]
    channels: tuple[float, ...]
    """Centres [km/s], ascending."""
    cell_cm: float
    background: float
    """Temperature behind the cloud [K]; 0 for none."""
    linear: bool
    average: bool
    precision: str
    quantity: str
    """"brightness" or "optical_depth"."""
    peaks: tuple[float, ...]
    """A lower bound of the peak of each cube [K], 0 where it is not known."""


@dataclass(frozen=True)
class Gas:
    """A block of rays, arrays of shape (depth, rays), float32."""

    density: np.ndarray
    """n_H [cm^-3]."""
    temperature: np.ndarray
    """[K]."""
    velocity: np.ndarray
    """[km/s], positive recedes."""
    abundances: tuple[Any, ...]
    """One a line: a number, or an array like the density."""
    dispersion: Any
    """1D dispersion of unresolved motion [km/s]: a number or an array like the density."""


def solve(task: tuple[Scheme, Gas]) -> tuple[list[np.ndarray], Census]:
    """Compute the spectra of a block of rays.

    Parameters
    ----------
    task : (Scheme, Gas)
        The work and the gas.

    Returns
    -------
    spectra : list of ndarray, shape (channels, rays)
        One a line: brightness temperature [K], or optical depth.
    census : Census
        Ranges and counts of the block.

    Raises
    ------
    ValueError
        If the gas holds values that are not finite, or not positive where they must be.
    """
    scheme, gas = task
    census, samples = sampling(scheme, gas)
    path = _float32 if scheme.precision == "float32" else _float64
    spectra = [
        path(scheme, gas, line, abundance, peak, census, *points)
        for line, abundance, peak, points in zip(
            scheme.lines, gas.abundances, scheme.peaks, samples, strict=True
        )
    ]
    return spectra, census


def sampling(scheme: Scheme, gas: Gas) -> tuple[Census, list[tuple[np.ndarray, np.ndarray]]]:
    """Check a block of gas; return what is in it and, for each line, where the channels are sampled.

    Returns
    -------
    census : Census
        Ranges and counts.
    samples : list of (ndarray, ndarray)
        Sampling velocities [km/s] (those of one channel together) and the weights within a channel.

    Raises
    ------
    ValueError
        As :func:`polaris_lab.radiative_transfer.rays.take_census`.
    """
    least = 2 * float(np.min(gas.dispersion)) ** 2
    thermal = [thermal_coefficient(line) for line in scheme.lines]
    centres = np.array(scheme.channels)
    edges = channel_edges(centres)
    census = take_census(
        gas.density,
        gas.temperature,
        gas.velocity,
        channels=(edges[0], edges[-1]),
        thermal=min(thermal),
        b2=least,
    )
    widths = [np.sqrt(least + coefficient * census.coldest) for coefficient in thermal]
    return census, [_samples(centres, scheme.average, width) for width in widths]


def _samples(centres: np.ndarray, average: bool, narrowest: float) -> tuple[np.ndarray, np.ndarray]:
    """Velocities at which channels are sampled and the weights of those of one channel.

    The mean over a channel is a Gauss-Legendre sum with enough points for the narrowest line.
    """
    if not average:
        return centres, np.ones(1)
    edges = channel_edges(centres)
    points = int(np.clip(np.ceil(4 + 2.5 * np.diff(edges).max() / narrowest), 4, 128))
    nodes, weights = np.polynomial.legendre.leggauss(points)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    return (middle[:, None] + half[:, None] * nodes).ravel(), weights / 2


def channel_edges(centres: np.ndarray) -> np.ndarray:
    """Edges of channels: half way between the centres, the outer ones as far out as in; one channel is 1 m/s wide."""
    if len(centres) < 2:
        return np.array([centres[0] - 5e-4, centres[0] + 5e-4])
    inner = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])


def _float32(scheme, gas, line, abundance, peak, census, samples, weights) -> np.ndarray:
    """Run the float32 kernel on one line."""
    density, factor = gas.density, 1.0
    if np.ndim(abundance):
        density = np.multiply(gas.density, abundance, dtype=np.float32)
    else:
        factor = float(abundance)
    scale = factor * scheme.cell_cm / np.sqrt(np.pi)
    thin = 1.0
    if scheme.quantity == "optical_depth":
        thin = 1e-5  # tau is read from the absorption of a source of 1 K by a cloud 1e5 times thinner
    tables = temperature_tables(
        line, census.coldest, census.hottest, background=scheme.background, scale=scale * thin
    )
    values = tables.values
    if scheme.quantity == "optical_depth":
        values = values.copy()
        values[2], values[3] = 1.0, 0.0
    span = max(samples[-1] - samples[0], 1.0)
    bins = min(_BINS, 4 * len(samples))
    first = np.searchsorted(samples, samples[0] + np.arange(bins + 1) * (span / bins) - 1e-6 * span)
    padded = np.append(samples, samples[-1] + span * (1 + np.arange(PADDING)))
    channels = padded.astype(np.float32)
    uniform = np.ndim(gas.dispersion) == 0
    broadening = (
        np.zeros((0, 0), np.float32) if uniform else (2 * np.square(gas.dispersion)).astype(np.float32)
    )
    out = np.empty((len(samples) // len(weights), density.shape[1]), np.float32)
    kernel = linear_rays if scheme.linear else constant_rays
    began = time.perf_counter()
    share_rows(
        kernel,
        -(-density.shape[1] // TILE),
        density,
        gas.temperature,
        gas.velocity,
        broadening,
        np.float32(2 * gas.dispersion**2 if uniform else 0.0),
        values,
        tables.shift,
        tables.offset,
        np.float32(thermal_coefficient(line)),
        channels,
        (padded - channels).astype(np.float32),
        np.append(first, len(samples)).astype(np.int32),
        np.float32(bins / span),
        np.float32(samples[0]),
        weights.astype(np.float32),
        np.float32(np.log2(_allowance(scheme, peak, len(density)) * thin)),
        np.float32(0.0 if peak <= 0 or thin != 1.0 else 1.0 / peak),
        out,
    )
    _report_compilation(kernel, time.perf_counter() - began)
    if scheme.quantity == "optical_depth":
        np.log1p(-out, out=out)
        out *= np.float32(-1.0 / thin)
    return out


def _float64(scheme, gas, line, abundance, peak, census, samples, weights) -> np.ndarray:
    """Run the float64 kernel on one line."""
    kelvin = gas.temperature.astype(np.float64)
    dispersion = np.asarray(gas.dispersion, dtype=np.float64)
    inverse_width = 1 / np.sqrt(2 * dispersion**2 + thermal_coefficient(line) * kelvin)
    column = gas.density * np.asarray(abundance, dtype=np.float64) * scheme.cell_cm
    strength = column * opacity(line, kelvin) * inverse_width / np.sqrt(np.pi)
    thin = 1e-7 if scheme.quantity == "optical_depth" else 1.0
    if thin == 1.0:
        source = equivalent_temperature(line, kelvin) - background_brightness(line, scheme.background)
    else:
        source = np.ones_like(kelvin)
    out = np.empty((len(samples) // len(weights), kelvin.shape[1]))
    began = time.perf_counter()
    share_rows(
        rays64,
        kelvin.shape[1],
        strength * thin,
        source,
        inverse_width,
        gas.velocity.astype(np.float64),
        scheme.linear,
        samples,
        weights,
        _allowance(scheme, peak, len(kelvin)) * thin,
        0.0 if peak <= 0 or thin != 1.0 else 1.0 / peak,
        out,
    )
    _report_compilation(rays64, time.perf_counter() - began)
    return out if thin == 1.0 else -np.log1p(-out) / thin


def _allowance(scheme: Scheme, peak: float, depth: int) -> float:
    """Optical depth that a cell may lose in a channel: its share of the tolerance, stricter for a weak line.

    A cell left out changes the spectrum by tau (S - D); the kernels allow tau = allowance x min(1, peak/|S|),
    so that all the cells of a ray together stay below the tolerance times the peak. Without a known peak the
    share is so small that nothing is lost.
    """
    known = peak > 0 or scheme.quantity == "optical_depth"
    return TOLERANCE[scheme.precision] / depth * (1.0 if known else 1e-7)


_compiled: set[int] = set()
_notes: list[str] = []


def _report_compilation(kernel: Any, seconds: float) -> None:
    """Note once a process what compiling a kernel cost, unless it came from the disk."""
    if id(kernel) in _compiled:
        return
    _compiled.add(id(kernel))
    if sum(kernel.stats.cache_misses.values()):
        _notes.append(
            f"compiled {kernel.__name__} in {seconds:.1f} s (once per installation; it is kept on disk)"
        )


def compilation_notes() -> list[str]:
    """Return what was compiled since this was last asked."""
    notes = list(_notes)
    _notes.clear()
    return notes
