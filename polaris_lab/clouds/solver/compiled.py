"""The sweep of :mod:`polaris_lab.clouds.solver.hydro` as compiled loops over rows, for the processor.

Rows lie along x and stay in the first cache. Each pass writes one row from a few others, so that the compiler turns
it into vector instructions; the numbers are those of the PyTorch back end up to rounding, and do not depend on the
number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

from polaris_lab.clouds.solver.hydro import HIGHEST_CHANGE, LOWEST_CHANGE
from polaris_lab.parallel import share_rows

_OPTIONS = {"nogil": True, "cache": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}


def sweep_rows(state: np.ndarray, axis: int, ratio: float, stiffness: float) -> np.ndarray:
    """Move gas along one axis for one step; arguments as in :func:`~polaris_lab.clouds.solver.hydro.sweep`."""
    kind = state.dtype.type
    constants = tuple(kind(value) for value in (0.0, 0.5, 1.0, 2.0, LOWEST_CHANGE, HIGHEST_CHANGE))
    order = (0, 1 + axis, *(1 + other for other in range(3) if other != axis))
    out = np.empty_like(state)
    if axis == 2:
        share_rows(_along_rows, state.shape[1], state, out, order, kind(ratio), kind(stiffness), constants)
    else:
        turned = (0, 2, 1, 3) if axis == 0 else (0, 1, 2, 3)  # march along the second of the three axes
        source, target = state.transpose(turned), out.transpose(turned)
        share_rows(
            _across_rows, source.shape[1], source, target, order, kind(ratio), kind(stiffness), constants
        )
    return out


@numba.njit(**_OPTIONS)
def _divide(a, b, out):  # pragma: no cover - compiled
    for i in range(out.size):
        out[i] = a[i] / b[i]


@numba.njit(**_OPTIONS)
def _slope(below, here, above, zero, two, out):  # pragma: no cover - compiled
    """Write van Leer's slope: the harmonic mean of both differences, 0 where they have different signs."""
    for i in range(out.size):
        a, b = here[i] - below[i], above[i] - here[i]
        product, total = a * b, a + b
        out[i] = two * product / total if product > zero else zero


@numba.njit(**_OPTIONS)
def _change(rho, speed, growth, spread, half_ratio, constants, out):  # pragma: no cover - compiled
    """Write the factor by which half a step changes the density."""
    one, low, high = constants[2], constants[4], constants[5]
    for i in range(out.size):
        out[i] = min(max(one - half_ratio * (spread[i] + speed[i] * growth[i] / rho[i]), low), high)


@numba.njit(**_OPTIONS)
def _density_face(rho, slope, change, side, out):  # pragma: no cover - compiled
    for i in range(out.size):
        out[i] = (rho[i] + side * slope[i]) * change[i]


@numba.njit(**_OPTIONS)
def _normal_face(
    rho, growth, speed, spread, side, half_ratio, one, slope_of_sound, out
):  # pragma: no cover - compiled
    """Write the normal velocity at a face after half a step; `slope_of_sound` is twice the stiffness."""
    for i in range(out.size):
        push = (one + slope_of_sound * rho[i]) * growth[i] / rho[i]
        out[i] = speed[i] + side * spread[i] - half_ratio * (speed[i] * spread[i] + push)


@numba.njit(**_OPTIONS)
def _transverse_face(speed, value, slope, side, half_ratio, out):  # pragma: no cover - compiled
    for i in range(out.size):
        out[i] = value[i] + side * slope[i] - half_ratio * (speed[i] * slope[i])


@numba.njit(**_OPTIONS)
def _faces(
    below, here, above, starts, half_ratio, stiffness, constants, work, lower, upper
):  # pragma: no cover - compiled
    """Write the two faces of cells (4, n): density, normal velocity, transverse velocities, after half a step."""
    zero, half, one, two = constants[0], constants[1], constants[2], constants[3]
    n, a, b, c = lower.shape[1], starts[0], starts[1], starts[2]
    rho, speed = here[0][b : b + n], here[1][b : b + n]
    for k in range(4):
        _slope(below[k][a : a + n], here[k][b : b + n], above[k][c : c + n], zero, two, work[k])
    _change(rho, speed, work[0], work[1], half_ratio, constants, work[4])
    for upward in range(2):
        face, side = (upper, half) if upward else (lower, -half)
        _density_face(rho, work[0], work[4], side, face[0])
        _normal_face(rho, work[0], speed, work[1], side, half_ratio, one, two * stiffness, face[1])
        for k in range(2, 4):
            _transverse_face(speed, here[k][b : b + n], work[k], side, half_ratio, face[k])


@numba.njit(**_OPTIONS)
def _mass_flux(rho_l, v_l, rho_r, v_r, stiffness, constants, out):  # pragma: no cover - compiled
    zero, one, two = constants[0], constants[2], constants[3]
    for i in range(out.size):
        a, b = np.sqrt(one + two * stiffness * rho_l[i]), np.sqrt(one + two * stiffness * rho_r[i])
        slow = min(min(v_l[i] - a, v_r[i] - b), zero)
        fast = max(max(v_l[i] + a, v_r[i] + b), zero)
        out[i] = (
            fast * (rho_l[i] * v_l[i]) - slow * (rho_r[i] * v_r[i]) + fast * slow * (rho_r[i] - rho_l[i])
        ) / (fast - slow)


@numba.njit(**_OPTIONS)
def _push_flux(rho_l, v_l, rho_r, v_r, stiffness, constants, out):  # pragma: no cover - compiled
    zero, one, two = constants[0], constants[2], constants[3]
    for i in range(out.size):
        a, b = np.sqrt(one + two * stiffness * rho_l[i]), np.sqrt(one + two * stiffness * rho_r[i])
        slow = min(min(v_l[i] - a, v_r[i] - b), zero)
        fast = max(max(v_l[i] + a, v_r[i] + b), zero)
        m, n = rho_l[i] * v_l[i], rho_r[i] * v_r[i]
        left = m * v_l[i] + rho_l[i] * (one + stiffness * rho_l[i])
        right = n * v_r[i] + rho_r[i] * (one + stiffness * rho_r[i])
        out[i] = (fast * left - slow * right + fast * slow * (n - m)) / (fast - slow)


@numba.njit(**_OPTIONS)
def _carried_flux(mass, left, right, zero, out):  # pragma: no cover - compiled
    for i in range(out.size):
        out[i] = mass[i] * (left[i] if mass[i] > zero else right[i])


@numba.njit(**_OPTIONS)
def _fluxes(left, right, starts, stiffness, constants, flux):  # pragma: no cover - compiled
    """Write the flux (4, n) between the cells whose upper faces are `left` and whose lower ones are `right`."""
    n, a, b = flux.shape[1], starts[0], starts[1]
    rho_l, v_l, rho_r, v_r = left[0][a : a + n], left[1][a : a + n], right[0][b : b + n], right[1][b : b + n]
    _mass_flux(rho_l, v_l, rho_r, v_r, stiffness, constants, flux[0])
    _push_flux(rho_l, v_l, rho_r, v_r, stiffness, constants, flux[1])
    for k in range(2, 4):
        _carried_flux(flux[0], left[k][a : a + n], right[k][b : b + n], constants[0], flux[k])


@numba.njit(**_OPTIONS)
def _update(old, low, high, ratio, new):  # pragma: no cover - compiled
    for i in range(new.size):
        new[i] = old[i] - ratio * (high[i] - low[i])


@numba.njit(**_OPTIONS)
def _across_rows(state, out, order, ratio, stiffness, constants, first, last):  # pragma: no cover - compiled
    """March along the second axis, row by row; work is shared along the first."""
    count, n = state.shape[2], state.shape[3]
    kind = state.dtype
    flow = np.empty((3, 4, n), kind)  # the rows below, here and above, turn by turn
    work, lower, upper = np.empty((5, n), kind), np.empty((4, n), kind), np.empty((2, 4, n), kind)
    flux = np.empty((2, 4, n), kind)
    half_ratio = constants[1] * ratio
    for plane in range(first, last):
        for j in range(-2, count + 2):
            row, new = (j + count) % count, flow[(j + 3) % 3]
            new[0, :] = state[0, plane, row]
            for k in range(1, 4):
                _divide(state[order[k], plane, row], new[0], new[k])
            here = j - 1  # the row whose neighbours are both at hand
            if here < -1:
                continue
            side = upper[here % 2]
            _faces(
                flow[(here + 2) % 3],
                flow[(here + 3) % 3],
                new,
                (0, 0, 0),
                half_ratio,
                stiffness,
                constants,
                work,
                lower,
                side,
            )
            if here < 0:
                continue
            _fluxes(upper[(here + 1) % 2], lower, (0, 0), stiffness, constants, flux[here % 2])
            if here > 0:
                for k in range(4):
                    c = order[k]
                    low, high = flux[(here + 1) % 2, k], flux[here % 2, k]
                    _update(state[c, plane, here - 1], low, high, ratio, out[c, plane, here - 1])


@numba.njit(**_OPTIONS)
def _along_rows(state, out, order, ratio, stiffness, constants, first, last):  # pragma: no cover - compiled
    """Sweep along the rows themselves, with two cells of the other end put before and after each."""
    n = state.shape[3]
    kind = state.dtype
    flow = np.empty((4, n + 4), kind)
    work, lower, upper = np.empty((5, n + 2), kind), np.empty((4, n + 2), kind), np.empty((4, n + 2), kind)
    flux = np.empty((4, n + 1), kind)
    half_ratio = constants[1] * ratio
    for plane in range(first, last):
        for row in range(state.shape[2]):
            for k in range(4):
                source, target = state[order[k], plane, row], flow[k]
                target[2 : n + 2] = source
                target[0], target[1] = source[n - 2], source[n - 1]
                target[n + 2], target[n + 3] = source[0], source[1]
            for k in range(1, 4):
                _divide(flow[k], flow[0], flow[k])
            _faces(flow, flow, flow, (0, 1, 2), half_ratio, stiffness, constants, work, lower, upper)
            _fluxes(upper, lower, (0, 1), stiffness, constants, flux)
            for k in range(4):
                c = order[k]
                _update(state[c, plane, row], flux[k][:n], flux[k][1:], ratio, out[c, plane, row])
