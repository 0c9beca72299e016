"""The solver judged as a solver: exact solutions, orders of convergence, conservation, growth rates, symmetries."""

import math

import numpy as np
import pytest
import torch

from polaris_lab.clouds.solver.forces import Driving, gravity, jeans_stiffness
from polaris_lab.clouds.solver.hydro import COURANT, advance, signal_speeds, sweep

BACKENDS = ["torch", "compiled"]


def riemann(left: float, right: float, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return density and velocity at x/t, and the velocity between the waves, of isothermal gas at rest on both sides, left > right (c = 1).

    A rarefaction runs left, v + ln(rho) constant across it; a shock runs right, v = (r - 1)/sqrt(r) behind it with the
    ratio r of densities, at the speed sqrt(r).
    """
    low, high = right, left
    for _ in range(200):  # bisection: the two velocities between the waves are equal
        middle = math.sqrt(low * high)
        ratio = middle / right
        if math.log(left / middle) > (ratio - 1) / math.sqrt(ratio):
            low = middle
        else:
            high = middle
    between, shock = math.log(left / middle), math.sqrt(middle / right)
    density = np.where(speed < shock, middle, right)
    velocity = np.where(speed < shock, between, 0.0)
    fan = speed < between - 1
    density[fan], velocity[fan] = left * np.exp(-(speed[fan] + 1)), speed[fan] + 1
    rest = speed < -1
    density[rest], velocity[rest] = left, 0.0
    return density, velocity, between


def tube(cells: int, axis: int, transverse: float = 0.0) -> torch.Tensor:
    """Return a box 4 cells thick: dense in its first half along `axis`, thin in the second."""
    profile = np.where(np.arange(cells) < cells / 2, 1.0, 0.1)
    state = np.zeros((4, cells, 4, 4))
    state[0] = profile[:, None, None]
    state[2] = state[0] * np.where(np.arange(cells) < cells / 2, transverse, -transverse)[:, None, None]
    components = {0: (0, 1, 2, 3), 1: (0, 2, 1, 3), 2: (0, 3, 2, 1)}[axis]
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(state, 1, 1 + axis)[list(components)]))


def run(state: torch.Tensor, end: float, width: float, axes: tuple[int, ...], **choices) -> torch.Tensor:
    """Follow the gas with steps at the Courant limit."""
    time, step = 0.0, 0
    while time < end:
        speeds, _ = signal_speeds(state, choices.get("stiffness", 0.0))
        duration = min(COURANT * width / max(speeds[axis] for axis in axes), end - time)
        state = advance(state, duration / width, order=axes if step % 2 else axes[::-1], **choices)
        time, step = time + duration, step + 1
    return state


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shock_tube(axis, backend):
    """Density, velocity and a transverse velocity against the exact solution; its L1 error falls like the cell."""
    errors = []
    for cells in (64, 128, 256):
        end, width = 0.12, 1.0 / cells
        state = run(tube(cells, axis, transverse=1.0), end, width, (axis,), backend=backend).numpy()
        rows = np.moveaxis(state, 1 + axis, 1)[:, :, 0, 0]  # (4, cells)
        part = slice(cells // 4, 3 * cells // 4)  # the periodic box has a second tube at its ends
        x = ((np.arange(cells) + 0.5) * width - 0.5)[part]
        density, velocity, contact = riemann(1.0, 0.1, x / end)
        carried = np.where(x / end < contact, 1.0, -1.0)
        other = 2 if axis != 1 else 1
        found = rows[:, part]
        errors.append(
            [
                np.abs(found[0] - density).mean(),
                np.abs(found[1 + axis] / found[0] - velocity).mean(),
                np.abs(found[other] / found[0] - carried).mean(),
            ]
        )
    errors = np.array(errors)
    orders = np.log2(errors[:-1] / errors[1:])
    assert errors[-1, 0] < 0.004
    assert (orders[:, :2].mean(axis=0) > 0.85).all(), orders  # a shock: first order
    assert orders[:, 2].mean() > 0.5, orders  # a contact spreads like a power of the number of steps


def test_smooth_wave_converges_with_second_order():
    """A sound wave after one period, in double precision: the L1 error falls with the square of the cell."""
    errors = []
    for cells in (32, 64, 128):
        wave = 1e-4 * np.sin(2 * np.pi * (np.arange(cells) + 0.5) / cells)
        state = torch.zeros(4, 4, 4, cells, dtype=torch.float64)
        state[0] = torch.from_numpy(1 + wave)
        state[3] = torch.from_numpy(wave) * state[0]  # runs to the right
        after = run(state, 1.0, 1.0 / cells, (2,))
        errors.append(float((after[0] - state[0]).abs().mean()) / 1e-4)
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert orders.mean() > 1.7, orders
    assert errors[-1] < 0.01


@pytest.mark.parametrize(("mach_number", "cells"), [(3.0, 256), (10.0, 4096)])
def test_colliding_streams(mach_number, cells):
    """Two streams at Mach M against each other leave gas at rest whose density r fulfils M = (r - 1)/sqrt(r)."""
    state = torch.ones(4, 1, 1, cells)
    state[1:] = 0
    state[3] = torch.where(torch.arange(cells) < cells / 2, mach_number, -mach_number)
    end = 0.44 / (mach_number + 1)  # at 0.5 / (M + 1) the gap behind the streams arrives
    after = run(state, end, 1.0 / cells, (2,), backend="compiled")[:, 0, 0].numpy()
    ratio = ((mach_number + math.sqrt(mach_number**2 + 4)) / 2) ** 2
    dense = after[0] > 0.8 * ratio  # one value in between a side; slow shocks leave ripples of ten per cent
    # both shocks move outwards at sqrt(r) - M
    assert dense.sum() / cells == pytest.approx(2 * (math.sqrt(ratio) - mach_number) * end, abs=3 / cells)
    assert after[0][dense].mean() == pytest.approx(ratio, rel=0.02)
    assert after[0].min() > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_vacuum_stays_positive(backend):
    """Streams that part at Mach 30 leave next to nothing, but never less."""
    state = torch.ones(4, 2, 2, 64)
    state[1:] = 0
    state[3] = torch.where(torch.arange(64) < 32, -30.0, 30.0)
    after = run(state, 0.2 / 30, 1 / 64, (2,), backend=backend)
    assert 0 < float(after[0].amin()) < 1e-2
    assert bool(torch.isfinite(after).all())
    assert float(after[0].sum(dtype=torch.float64)) == pytest.approx(256, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_mass_and_momentum_to_rounding(backend):
    """Supersonic noise with gravity on a box of three different sides, hundred sweeps."""
    rng = np.random.default_rng(0)
    state = torch.from_numpy(rng.lognormal(0, 1.5, (4, 8, 12, 20)))
    state[1:] = state[:1] * torch.from_numpy(5 * rng.normal(size=(3, 8, 12, 20)))
    before = state.sum(dim=(1, 2, 3))
    momentum_scale = float(state[1:].abs().sum())
    for _ in range(33):
        push = gravity(state[0], 50.0)
        state[1:] += 1e-4 * state[:1] * push
        speeds, _ = signal_speeds(state, 0.1)
        state = advance(state, COURANT / max(speeds), stiffness=0.1, backend=backend)
    after = state.sum(dim=(1, 2, 3))
    assert float(state[0].amin()) > 0
    assert abs(float(after[0] / before[0]) - 1) < 1e-13
    assert float((after[1:] - before[1:]).abs().max()) < 1e-13 * momentum_scale


@pytest.mark.parametrize(("strength", "cells"), [(60.0, 64), (20.0, 64)])
@pytest.mark.parametrize("axis", [0, 2])
def test_jeans_growth(strength, cells, axis):
    """A standing wave grows as cosh, or swings as cos, of omega t with omega^2 = k^2 - 4 pi G rho (k = 2 pi, c = 1)."""
    width, amplitude = 1.0 / cells, 1e-4
    wave = amplitude * np.cos(2 * np.pi * (np.arange(cells) + 0.5) / cells)
    shape = [1, 1, 1]
    shape[axis] = cells
    sides = [4, 4, 4]
    sides[axis] = cells
    state = torch.zeros(4, *sides, dtype=torch.float64)
    state[0] = 1 + torch.from_numpy(wave).reshape(shape)
    squared = (2 * np.pi) ** 2 - strength
    end = 2.0 / math.sqrt(abs(squared))
    steps = math.ceil(end / (COURANT * width))
    push = gravity(state[0], strength)
    for _ in range(steps):
        state[1:] += 0.5 * end / steps * state[:1] * push
        state = sweep(state, axis, end / steps / width)
        push = gravity(state[0], strength)
        state[1:] += 0.5 * end / steps * state[:1] * push
    grown = float((state[0] * torch.from_numpy(wave).reshape(shape)).sum()) / float((wave**2).sum() * 16)
    expected = math.cosh(2.0) if squared < 0 else math.cos(2.0)
    assert grown == pytest.approx(expected, abs=0.01 * math.cosh(2.0 if squared < 0 else 0.0))


def test_gravity_of_a_wave_and_of_a_lump():
    """The pull points to the mass, and mass times pull adds up to nothing."""
    density = torch.ones(16, 16, 16, dtype=torch.float64)
    density[4, 8, 12] = 50.0
    pull = gravity(density, 4 * math.pi)
    assert pull[0, 2, 8, 12] > 0 > pull[0, 6, 8, 12]
    assert pull[2, 4, 8, 10] > 0 > pull[2, 4, 8, 14]
    assert float((density * pull).sum(dim=(1, 2, 3)).abs().max()) < 1e-10
    # a point mass (in a periodic box, hence a few per cent): g = G m / r^2 with 4 pi G = strength
    mass, distance = 49.0 / 16**3, 4 / 16
    assert float(pull[1, 4, 4, 12]) == pytest.approx(mass / distance**2, rel=0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_waves_feel_the_jeans_floor(backend):
    """p = rho (1 + s rho): a standing wave swings with c^2 = 1 + 2 s."""
    cells, stiffness = 64, 4.0
    wave = 1e-4 * np.cos(2 * np.pi * (np.arange(cells) + 0.5) / cells)
    state = torch.zeros(4, 2, cells, 2, dtype=torch.float64)
    state[0] = 1 + torch.from_numpy(wave)[None, :, None]
    half_period = 0.5 / math.sqrt(1 + 2 * stiffness)
    after = run(state, half_period, 1.0 / cells, (1,), stiffness=stiffness, backend=backend)
    assert float((after[0] - 1)[0, 0, 0] / wave[0]) == pytest.approx(-1, abs=0.03)
    assert float(after[2].abs().max()) < 0.1 * 3 * 1e-4


def test_jeans_floor_holds_four_cells():
    """Under the stiffened pressure the Jeans length of any density is at least four cells."""
    strength, size = 1017.0, 64
    density = np.geomspace(0.1, 1e6, 50)
    sound = 1 + 2 * jeans_stiffness(strength, size) * density
    length = 2 * np.pi * np.sqrt(sound / (strength * density)) * size  # cells
    assert length.min() > 4.0
    assert length.min() < 7.0


def noise(*sides: int) -> torch.Tensor:
    rng = np.random.default_rng(3)
    state = torch.from_numpy(rng.lognormal(0, 1, (4, *sides)))
    state[1:] = state[:1] * torch.from_numpy(4 * rng.normal(size=(3, *sides)))
    return state


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mirrored_box_stays_mirrored(backend):
    state = noise(6, 8, 10)
    for axis in range(3):
        mirrored = state.flip(1 + axis).clone()
        mirrored[1 + axis] *= -1
        a = advance(state, 0.03, stiffness=0.2, backend=backend).flip(1 + axis)
        a[1 + axis] *= -1
        b = advance(mirrored, 0.03, stiffness=0.2, backend=backend)
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_axes_are_alike(backend):
    """Turning the box by its axes and the order of the sweeps with them turns the result."""
    state = noise(6, 8, 10)
    turn = (2, 0, 1)  # new axis 0 is old axis 2, ...
    turned = state[[0, *(1 + axis for axis in turn)]].permute(0, *(1 + axis for axis in turn)).contiguous()
    order = tuple(turn.index(axis) for axis in (0, 1, 2))
    a = advance(state, 0.03, order=(0, 1, 2), stiffness=0.2, backend=backend)
    a = a[[0, *(1 + axis for axis in turn)]].permute(0, *(1 + axis for axis in turn))
    b = advance(turned, 0.03, order=order, stiffness=0.2, backend=backend)
    torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, 5, 0), (0, 0, 7)])
def test_a_shifted_box_stays_shifted(shift):
    """The periodic ends are cells like others, in both back ends."""
    state = noise(6, 8, 10).float()
    for backend in BACKENDS:
        a = advance(state, 0.03, backend=backend).roll(shift, (1, 2, 3))
        b = advance(state.roll(shift, (1, 2, 3)), 0.03, backend=backend)
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("stiffness", [0.0, 0.3])
def test_back_ends_agree(kind, tolerance, stiffness):
    state = noise(5, 16, 33).to(kind)
    for axis in range(3):
        a = sweep(state, axis, 0.03, stiffness=stiffness, backend="torch")
        b = sweep(state, axis, 0.03, stiffness=stiffness, backend="compiled")
        scale = float(a.abs().amax())
        assert float((a - b).abs().max()) < tolerance * scale


def test_threads_change_no_bit(monkeypatch):
    state = noise(9, 7, 16).float()
    results = []
    for threads in (1, 3):
        monkeypatch.setattr("polaris_lab.parallel.thread_count", lambda threads=threads: threads)
        results.append(advance(state, 0.03, stiffness=0.1, backend="compiled"))
    assert torch.equal(*results)


@pytest.mark.parametrize("compressive_fraction", [0.0, 0.3, 1.0])
def test_driving(compressive_fraction):
    """Unit strength, the share of compression asked for, no push of the box as a whole, a memory of one turnover."""
    from polaris_lab.clouds.fields import compressive_share

    driving = Driving(1, compressive_fraction, memory=0.1)
    modes, density = driving.first(), torch.ones(16, 16, 16, dtype=torch.float64)
    density[:8] = 3.0
    strengths, shares, kept = [], [], []
    for step in range(1, 201):
        following = driving.next(modes, 0.05, step)
        kept.append(float((following * modes.conj()).real.sum() / (abs(modes) ** 2).sum()))
        modes = following
        if step % 4 == 0:
            force = driving.force(modes, density)
            assert float((density * force).sum(dim=(1, 2, 3)).abs().max()) < 1e-9
            plain = driving.force(modes, torch.ones_like(density)).numpy()
            strengths.append((plain**2).sum(axis=0).mean())
            shares.append(compressive_share(plain))
    assert np.mean(strengths) == pytest.approx(1.0, abs=0.15)
    assert np.mean(shares) == pytest.approx(compressive_fraction, abs=0.05)
    assert np.mean(kept) == pytest.approx(math.exp(-0.5), abs=0.05)
    assert np.array_equal(
        driving.next(modes, 0.05, 7), Driving(1, compressive_fraction, 0.1).next(modes, 0.05, 7)
    )


def test_everything_stays_on_the_device_of_the_state():
    """PyTorch's meta device computes no numbers but refuses to mix devices, as a GPU does."""
    state = torch.ones(4, 8, 8, 8, device="meta")
    driving = Driving(1, 0.3, 0.1)
    for result in (
        sweep(state, 1, 0.1, stiffness=0.2),
        gravity(state[0], 10.0),
        driving.force(driving.first(), state[0]),
    ):
        assert result.device.type == "meta"
        assert result.shape[1:] == (8, 8, 8)
