"""A cheap supersonic flow: semi-Lagrangian, isothermal, periodic, driven, with self-gravity at its end.

It is a generator of shapes, not a simulation: mass is not conserved locally and there is no magnetic
field. It gives filaments, sheets and voids with a velocity that belongs to them, in seconds.

Units inside: box side 1, isothermal sound speed 1, mean density 1. The state is one array
(n, n, n, 4) of v_z, v_y, v_x and s = ln rho, so that one gather fetches all four. Every output cell is
computed by itself and sums run layer by layer, hence the result does not depend on the number of threads.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from scipy import fft
from tqdm.auto import tqdm

from polaris_lab.clouds.fields import random_velocity, wave_numbers
from polaris_lab.parallel import share_rows, thread_count

COURANT = 2.0
"""Cells that the fastest gas crosses in a step; the back-trace stays accurate beyond 1."""

SMOOTHING = 0.02
"""Weight of the Laplacian added each step: it kills the odd-even ripple of central differences."""

SHOCK_SMOOTHING = 0.1
"""Further weight where gas is compressed, in full where it would vanish in one step.

A shock spreads over some three cells, as it does in grid codes; without it sheets are one cell thin and break
into stairs. Stable while the two weights stay below 1/6 together.
"""

FORCING = 0.7
"""Share of the missing Mach number that driving gives back each step."""

DRIVEN_BELOW = 3.0
"""Driving acts on wave numbers below this (box lengths per wave)."""

LOWEST = -7.0
"""Floor of ln(rho/<rho>)."""


def burgers_flow(
    size: int,
    rng: np.random.Generator,
    *,
    mach_number: float,
    compressive_fraction: float,
    turnover_times: float,
    free_fall_times: float,
    gravity: float,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Run the flow and return its density contrast and velocity.

    Parameters
    ----------
    size : int
        Cells along each side, n.
    rng : Generator
        Source of the initial velocity and of the driving pattern.
    mach_number : float
        Mass-weighted 3D rms velocity that the driving holds, in sound speeds.
    compressive_fraction : float
        Share of the initial and driving power in curl-free motion, 0 to 1.
    turnover_times : float
        Length of the flow without gravity, in units of (box/2) / (Mach number x sound speed).
    free_fall_times : float
        Length of the part with gravity, in free-fall times of the mean density.
    gravity : float
        4 pi G rho L^2 / c_s^2 of the box.
    progress : bool
        Show a bar.

    Returns
    -------
    log_contrast : ndarray, shape (n, n, n), float32
        s = ln(rho/<rho>).
    velocity : ndarray, shape (3, n, n, n), float32
        Components along z, y, x in sound speeds, in the frame of the centre of mass.

    References
    ----------
    Stam (1999), SIGGRAPH, for the semi-Lagrangian step.
    """
    quiet = turnover_times / (2.0 * mach_number)
    end = quiet + free_fall_times * math.sqrt(3.0 * math.pi**2 / (8.0 * gravity))
    flow = _Flow(size, rng, mach_number, compressive_fraction)
    time = 0.0
    with tqdm(total=1.0, disable=not progress, desc=f"cloud {size}^3", bar_format=_BAR) as bar:
        while time < end * (1 - 1e-9):
            heavy = time >= quiet * (1 - 1e-9)
            step = flow.time_step((end if heavy else quiet) - time)
            flow.advance(step, gravity if heavy else 0.0)
            time += step
            bar.update(min(1.0, time / end) - bar.n)
    return flow.result()


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


class _Flow:
    """The state of a running flow and its steps."""

    def __init__(self, size, rng, mach_number, compressive_fraction):
        self.size, self.mach_number = size, mach_number
        self._threads = thread_count()
        draw = {"compressive_fraction": compressive_fraction, "workers": self._threads}
        self.state = np.zeros((size, size, size, 4), np.float32)
        self.state[..., :3] = np.moveaxis(np.float32(mach_number) * random_velocity(rng, size, **draw), 0, -1)
        driving = random_velocity(rng, size, largest_wave_number=DRIVEN_BELOW, **draw)
        self._driving = np.ascontiguousarray(np.moveaxis(driving, 0, -1))  # (n, n, n, 3)
        self._largest_driving = float(np.sqrt((driving**2).sum(axis=0)).max())
        self._traced, self._moved = np.empty_like(self.state), np.empty_like(self.state)
        self._sums = np.zeros((size, 3))  # of each layer: largest v^2, sum of rho, sum of rho v^2
        self._largest_speed = float(np.sqrt((self.state[..., :3] ** 2).sum(axis=-1)).max())

    def time_step(self, remaining: float) -> float:
        """Return the next step: the Courant limit for the gas, a tighter one for sound, or what remains."""
        return min(COURANT / (self.size * self._largest_speed), 0.5 / self.size, remaining)

    def advance(self, step: float, gravity: float) -> None:
        """Move the gas by one step; `gravity` is 4 pi G in code units, 0 for none."""
        cells = np.float32(step * self.size)
        potential = self._potential(gravity) if gravity else _NO_POTENTIAL
        share_rows(_prepare, self.size, self.state, self._traced, cells)
        share_rows(_back_trace, self.size, self.state, self._traced, self._moved, cells)
        share_rows(_push, self.size, self._moved, potential, self.state, self._sums, cells)
        mass = float(self._sums[:, 1].sum())
        mach_number = math.sqrt(float(self._sums[:, 2].sum()) / mass)
        boost = FORCING * max(0.0, self.mach_number - mach_number)
        share_rows(
            _drive,
            self.size,
            self.state,
            self._driving,
            np.float32(boost),
            np.float32(math.log(mass / self.size**3)),
        )
        self._largest_speed = math.sqrt(self._sums[:, 0].max()) + boost * self._largest_driving

    def _potential(self, gravity: float) -> np.ndarray:
        """Solve laplacian(phi) = gravity (rho - 1) on the periodic box."""
        k = wave_numbers(self.size)
        squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
        squared[0, 0, 0] = np.inf  # the mean density does not pull
        modes = fft.rfftn(np.exp(self.state[..., 3]), workers=self._threads)
        modes *= np.float32(-gravity / (4 * math.pi**2)) / squared
        return fft.irfftn(modes, s=(self.size,) * 3, workers=self._threads)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (ln rho, velocity in the frame of the centre of mass)."""
        log_contrast = np.ascontiguousarray(self.state[..., 3])
        velocity = np.ascontiguousarray(np.moveaxis(self.state[..., :3], -1, 0))
        weight = np.exp(log_contrast, dtype=np.float64)
        for component in velocity:
            component -= np.float32((weight * component).sum() / weight.sum())
        return log_contrast, velocity


_NO_POTENTIAL = np.zeros((1, 1, 1), np.float32)
_HALF, _ZERO = np.float32(0.5), np.float32(0.0)


@numba.njit(nogil=True, cache=True, inline="always")
def _divergence(field, below, z, above, left, y, right, near, x, far):  # pragma: no cover - compiled
    """Return the difference of the velocities on opposite sides, summed over the three axes."""
    return (
        field[above, y, x, 0]
        - field[below, y, x, 0]
        + field[z, right, x, 1]
        - field[z, left, x, 1]
        + field[z, y, far, 2]
        - field[z, y, near, 2]
    )


@numba.njit(nogil=True, cache=True, inline="always")
def _laplacian(field, c, below, z, above, left, y, right, near, x, far):  # pragma: no cover - compiled
    """Return the seven-point Laplacian of component `c`, in cells."""
    return (
        field[above, y, x, c]
        + field[below, y, x, c]
        + field[z, right, x, c]
        + field[z, left, x, c]
        + field[z, y, far, c]
        + field[z, y, near, c]
        - np.float32(6.0) * field[z, y, x, c]
    )


@numba.njit(nogil=True, cache=True)
def _prepare(state, traced, cells, first, last):  # pragma: no cover - compiled
    """Copy the state and take half of the expansion of this step off s, where the gas comes from."""
    n = state.shape[0]
    limit = np.float32(0.9)
    for z in range(first, last):
        below, above = z - 1 if z else n - 1, z + 1 if z < n - 1 else 0
        for y in range(n):
            left, right = y - 1 if y else n - 1, y + 1 if y < n - 1 else 0
            for x in range(n):
                near, far = x - 1 if x else n - 1, x + 1 if x < n - 1 else 0
                divergence = _divergence(state, below, z, above, left, y, right, near, x, far)
                expansion = min(max(cells * _HALF * divergence, -limit), limit)
                traced[z, y, x, 0] = state[z, y, x, 0]
                traced[z, y, x, 1] = state[z, y, x, 1]
                traced[z, y, x, 2] = state[z, y, x, 2]
                traced[z, y, x, 3] = state[z, y, x, 3] - _HALF * expansion


@numba.njit(nogil=True, cache=True, inline="always")
def _split(index, shift, n):  # pragma: no cover - compiled
    """Return the two periodic neighbours of index + shift and the weight of the second."""
    whole = np.floor(shift)
    low = index + int(whole)
    while low < 0:
        low += n
    while low >= n:
        low -= n
    return low, low + 1 if low < n - 1 else 0, shift - whole


@numba.njit(nogil=True, cache=True)
def _back_trace(state, traced, moved, cells, first, last):  # pragma: no cover - compiled
    """Fetch velocity and s from where the gas was a step ago (midpoint rule, trilinear)."""
    n = state.shape[0]
    one = np.float32(1.0)
    for z in range(first, last):
        for y in range(n):
            for x in range(n):
                vz, vy, vx = traced[z, y, x, 0], traced[z, y, x, 1], traced[z, y, x, 2]
                got0, got1, got2, got3 = _ZERO, _ZERO, _ZERO, _ZERO
                for attempt in range(2):
                    z0, z1, wz = _split(z, -cells * vz, n)
                    y0, y1, wy = _split(y, -cells * vy, n)
                    x0, x1, wx = _split(x, -cells * vx, n)
                    got0, got1, got2, got3 = _ZERO, _ZERO, _ZERO, _ZERO
                    for corner in range(4):
                        zz = z1 if corner & 2 else z0
                        yy = y1 if corner & 1 else y0
                        weight = (wz if corner & 2 else one - wz) * (wy if corner & 1 else one - wy)
                        a, b = weight * (one - wx), weight * wx
                        got0 += a * traced[zz, yy, x0, 0] + b * traced[zz, yy, x1, 0]
                        got1 += a * traced[zz, yy, x0, 1] + b * traced[zz, yy, x1, 1]
                        got2 += a * traced[zz, yy, x0, 2] + b * traced[zz, yy, x1, 2]
                        got3 += a * traced[zz, yy, x0, 3] + b * traced[zz, yy, x1, 3]
                    if attempt == 0:
                        vz, vy, vx = _HALF * (vz + got0), _HALF * (vy + got1), _HALF * (vx + got2)
                moved[z, y, x, 0], moved[z, y, x, 1], moved[z, y, x, 2] = got0, got1, got2
                half_expansion = state[z, y, x, 3] - traced[z, y, x, 3]
                moved[z, y, x, 3] = got3 - half_expansion


@numba.njit(nogil=True, cache=True)
def _push(moved, potential, state, sums, cells, first, last):  # pragma: no cover - compiled
    """Apply pressure, gravity (if there is a potential) and smoothing; add up each layer."""
    n = state.shape[0]
    heavy = potential.shape[0] == n
    smoothing, shock, floor = np.float32(SMOOTHING), np.float32(SHOCK_SMOOTHING), np.float32(LOWEST)
    one = np.float32(1.0)
    pull = np.zeros(3, np.float32)
    for z in range(first, last):
        below, above = z - 1 if z else n - 1, z + 1 if z < n - 1 else 0
        fastest, mass, power = 0.0, 0.0, 0.0
        for y in range(n):
            left, right = y - 1 if y else n - 1, y + 1 if y < n - 1 else 0
            for x in range(n):
                near, far = x - 1 if x else n - 1, x + 1 if x < n - 1 else 0
                pull[0] = moved[above, y, x, 3] - moved[below, y, x, 3]
                pull[1] = moved[z, right, x, 3] - moved[z, left, x, 3]
                pull[2] = moved[z, y, far, 3] - moved[z, y, near, 3]
                if heavy:
                    pull[0] += potential[above, y, x] - potential[below, y, x]
                    pull[1] += potential[z, right, x] - potential[z, left, x]
                    pull[2] += potential[z, y, far] - potential[z, y, near]
                divergence = _divergence(moved, below, z, above, left, y, right, near, x, far)
                weight = smoothing + shock * min(max(-cells * _HALF * divergence, _ZERO), one)
                speed = 0.0
                for c in range(4):
                    spread = _laplacian(moved, c, below, z, above, left, y, right, near, x, far)
                    value = moved[z, y, x, c] + weight * spread
                    if c < 3:
                        value -= cells * _HALF * pull[c]
                        speed += np.float64(value) * np.float64(value)
                    else:
                        value = max(value, floor)
                        density = np.float64(np.exp(value))
                        mass += density
                        power += density * speed
                    state[z, y, x, c] = value
                fastest = max(fastest, speed)
        sums[z, 0], sums[z, 1], sums[z, 2] = fastest, mass, power


@numba.njit(nogil=True, cache=True)
def _drive(state, driving, boost, shift, first, last):  # pragma: no cover - compiled
    """Add the driving and keep the mean density at 1."""
    n = state.shape[0]
    for z in range(first, last):
        for y in range(n):
            for x in range(n):
                for c in range(3):
                    state[z, y, x, c] += boost * driving[z, y, x, c]
                state[z, y, x, 3] -= shift
