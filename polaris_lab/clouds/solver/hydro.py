"""One sweep of isothermal gas along one axis: MUSCL-Hancock, van Leer slopes, HLL, upwinded transverse momentum.

The state is one tensor (4, nz, ny, nx): density, then the momentum along z, y, x. Periodic; sides and cells may
be of any number. The gas has c_s = 1 and the pressure p = rho (1 + stiffness rho): stiffness 0 is isothermal,
otherwise the pressure grows where gravity would collapse gas below the grid (the Jeans floor).

Two back ends: PyTorch on any device, and compiled loops over rows for the processor. Fluxes are differenced, so
both conserve mass and momentum to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BACKENDS = ("compiled", "torch")
"""Choices of `backend`."""

COURANT = 0.5
"""Cells that the fastest signal crosses in a step."""

LOWEST_CHANGE, HIGHEST_CHANGE = 0.5, 2.0
"""Limits of the factor by which half a step may change the density at a face: it stays positive in any vacuum."""


def sweep(
    state: Tensor, axis: int, ratio: float, *, stiffness: float = 0.0, backend: str = "torch"
) -> Tensor:
    """Move gas along one axis for one step.

    Parameters
    ----------
    state : Tensor, shape (4, nz, ny, nx)
        Density and momentum along z, y, x, in any units with c_s = 1; float32 or float64.
    axis : {0, 1, 2}
        z, y or x.
    ratio : float
        Step over cell size; stable while ratio * (|v| + c) stays below 1, used with half of that.
    stiffness : float
        Of the pressure p = rho (1 + stiffness rho).
    backend : {"torch", "compiled"}
        "compiled" works on the processor only.

    Returns
    -------
    Tensor
        The new state, same shape.

    References
    ----------
    van Leer (1979), J. Comput. Phys. 32, 101 (slopes, MUSCL); Harten, Lax & van Leer (1983), SIAM Rev. 25, 35 (HLL);
    Toro (2009), Riemann Solvers and Numerical Methods for Fluid Dynamics, chapters 10 and 14.

    Examples
    --------
    >>> import torch
    >>> state = torch.zeros(4, 4, 4, 8)
    >>> state[0] = 1 + torch.arange(8.0)
    >>> moved = sweep(state, 2, 0.2)
    >>> print(round(float(moved[0].sum() / state[0].sum()), 6), bool(moved[3, 0, 0, 3] < 0))
    1.0 True
    """
    if backend == "compiled":
        import torch

        from polaris_lab.clouds.solver.compiled import sweep_rows

        return torch.from_numpy(sweep_rows(state.contiguous().numpy(), axis, ratio, stiffness))
    return _sweep_torch(state, axis, ratio, stiffness)


def _sweep_torch(state: Tensor, axis: int, ratio: float, stiffness: float) -> Tensor:
    """Sweep with whole-array operations on the device of the state."""
    import torch

    order = [0, 1 + axis, *(1 + other for other in range(3) if other != axis)]
    along = axis + 1
    flow = torch.cat([state[:1], state[1:] / state[:1]])  # (4, nz, ny, nx): density and velocities
    back = flow - flow.roll(1, along)
    forward = back.roll(-1, along)
    product = back * forward
    slope = torch.where(product > 0, 2 * product / (back + forward), 0)
    half = 0.5 * ratio
    speed = flow[1 + axis : 2 + axis]
    growth = slope[:1] / flow[:1]  # slope of ln rho
    change = (1 - half * (slope[1 + axis : 2 + axis] + speed * growth)).clamp(LOWEST_CHANGE, HIGHEST_CHANGE)
    drift = -half * speed * slope[1:]
    drift[axis] -= half * (1 + 2 * stiffness * flow[0]) * growth[0]
    upper, lower = flow + 0.5 * slope, flow - 0.5 * slope
    for face in (upper, lower):
        face[:1] *= change
        face[1:] += drift
    left, right = upper.roll(1, along)[order], lower[order]  # of the face below each cell
    flux = torch.empty_like(state)
    flux[order] = _hll(left, right, stiffness)
    return state - ratio * (flux.roll(-1, along) - flux)


def _hll(left: Tensor, right: Tensor, stiffness: float) -> Tensor:
    """Return the flux through faces from (density, normal velocity, two transverse ones) on both sides."""
    import torch

    (rho_l, v_l), (rho_r, v_r) = left[:2], right[:2]
    sound_l, sound_r = ((1 + 2 * stiffness * rho).sqrt() for rho in (rho_l, rho_r))
    slow = torch.minimum(v_l - sound_l, v_r - sound_r).clamp(max=0)
    fast = torch.maximum(v_l + sound_l, v_r + sound_r).clamp(min=0)
    width, both = 1 / (fast - slow), fast * slow
    mass_l, mass_r = rho_l * v_l, rho_r * v_r
    push_l = mass_l * v_l + rho_l * (1 + stiffness * rho_l)
    push_r = mass_r * v_r + rho_r * (1 + stiffness * rho_r)
    mass = (fast * mass_l - slow * mass_r + both * (rho_r - rho_l)) * width
    push = (fast * push_l - slow * push_r + both * (mass_r - mass_l)) * width
    return torch.stack([mass, push, *(mass * torch.where(mass > 0, left[2:], right[2:]))])


def advance(
    state: Tensor,
    ratio: float,
    *,
    order: tuple[int, ...] = (0, 1, 2),
    stiffness: float = 0.0,
    backend: str = "torch",
) -> Tensor:
    """Sweep along several axes in turn; alternate the order from step to step for second order in time."""
    for axis in order:
        state = sweep(state, axis, ratio, stiffness=stiffness, backend=backend)
    return state


def signal_speeds(state: Tensor, stiffness: float = 0.0) -> tuple[tuple[float, ...], float]:
    """Return the largest |v| + c along z, y and x, and the sum of rho v^2 over all cells."""
    import torch

    speed = state[1:] / state[:1]
    power = float(sum((a * b).sum(dtype=torch.float64) for a, b in zip(speed, state[1:], strict=True)))
    speed = speed.abs_()
    if stiffness:
        speed += (1 + 2 * stiffness * state[:1]).sqrt_()
    else:
        speed += 1
    return tuple(speed.amax(dim=(1, 2, 3)).tolist()), power


def default_backend(device: str) -> str:
    """Return the back end that is fastest on a device.

    Examples
    --------
    >>> default_backend("cpu"), default_backend("cuda:1")
    ('compiled', 'torch')
    """
    return "compiled" if device.startswith("cpu") else "torch"
