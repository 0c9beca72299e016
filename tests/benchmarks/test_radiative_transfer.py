"""Speed of line cubes: one core against the obvious torch slab loop, and two threads against one.

CPU seconds are compared, of the whole call on one side (checks, tables, windows, transfer) and of the bare loop,
given its inputs, on the other; the loop uses one thread, all channels and float32. For scale: RADMC-3D renders
33 million cell-channels per CPU second.
"""

from __future__ import annotations

import os
import time
import warnings

import numpy as np
import pytest
import torch
from astropy import units as u

from polaris_lab.clouds import SimulationCube
from polaris_lab.parallel import thread_count
from polaris_lab.radiative_transfer import Line, VelocityStepWarning, lte, synthesize_ppv

SIDE, CHANNELS = 128, 64
ABUNDANCE = 1.4e-6
DISPERSION = 0.1
LINE = Line.named("13CO", "1-0")


@pytest.fixture(scope="module")
def cloud() -> SimulationCube:
    """Turbulent gas whose velocity steps by 1.6 line widths between neighbours in the median."""
    rng = np.random.default_rng(3)
    k = np.fft.fftfreq(SIDE) * SIDE
    k = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    k[0, 0, 0] = 1

    def field(slope):
        values = np.fft.ifftn(np.fft.fftn(rng.standard_normal((SIDE,) * 3)) * k ** (-slope / 2)).real
        return values / values.std()

    density = 300 * np.exp(1.3 * field(3.0) - 0.8)
    temperature = np.clip(20 * (density / 300) ** -0.2, 5, 60)
    motion = 1.5 * field(3.8)
    return SimulationCube(
        density, cell_size=0.05 * u.pc, temperature=temperature, velocity={"z": motion, "x": motion}
    )


@pytest.fixture(scope="module")
def velocity():
    return np.linspace(-5, 5, CHANNELS) * u.km / u.s


def slab_loop(strength, source, motion, inverse_width, channels):
    """The plain way: every channel of every cell, slab by slab from the far side."""
    brightness = torch.zeros(len(channels), *motion.shape[1:])
    for z in reversed(range(len(motion))):
        x = (channels[:, None, None] - motion[z]) * inverse_width[z]
        tau = strength[z] * torch.exp(-x * x)
        brightness += (source[z] - brightness) * -torch.expm1(-tau)
    return brightness


@pytest.fixture(scope="module")
def plain(cloud, velocity):
    """Brightness and CPU seconds of the slab loop on one thread."""
    kelvin = cloud.temperature
    width = lte.line_width(LINE, kelvin, DISPERSION)
    column = ABUNDANCE * cloud.density * cloud.cell_size_cm
    strength = column * lte.integrated_optical_depth(LINE, kelvin) / (np.sqrt(np.pi) * width)
    source = lte.equivalent_temperature(LINE, kelvin) - lte.equivalent_temperature(LINE, lte.CMB_TEMPERATURE)
    arrays = [
        torch.tensor(np.asarray(values, dtype=np.float32))
        for values in (strength, source, cloud.velocity["z"], 1 / width, velocity.value)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = min(cpu_seconds(lambda: slab_loop(*arrays)) for _ in range(3))
    finally:
        torch.set_num_threads(threads)
    return slab_loop(*arrays).numpy(), seconds


def cpu_seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def wall_seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def work(cloud, velocity, mode, axis="z"):
    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VelocityStepWarning)
            return synthesize_ppv(
                cloud,
                LINE,
                abundance=ABUNDANCE,
                axis=axis,
                velocity=velocity,
                turbulent_dispersion=DISPERSION * u.km / u.s,
                in_cell_velocity=mode,
            )

    return run


@pytest.mark.parametrize(("mode", "target"), [("constant", 26), ("linear", 18)])
def test_one_core_against_the_slab_loop(benchmark, cloud, velocity, plain, mode, target, capsys, monkeypatch):
    run = work(cloud, velocity, mode)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    ppv = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    seconds = min(cpu_seconds(run) for _ in range(7))
    expected, reference = plain
    if mode == "constant":
        assert np.abs(ppv.data - expected).max() < 1e-4 * expected.max()
    rate = SIDE**3 * CHANNELS / seconds / 1e6
    benchmark.extra_info["ratio"] = reference / seconds
    with capsys.disabled():
        print(
            f"\n{mode}: {rate:.0f} million cell-channels per CPU second, {reference / seconds:.1f} x the torch slab "
            f"loop ({SIDE**3 * CHANNELS / reference / 1e6:.0f}), {rate / 33:.0f} x RADMC-3D"
        )
    assert reference / seconds >= target


@pytest.mark.parametrize("mode", ["constant", "linear"])
def test_two_threads_against_one(cloud, velocity, mode, capsys, monkeypatch):
    """Wall seconds; only an idle machine with two free processors can tell."""
    free = thread_count() - os.getloadavg()[0]
    if free < 1.9:
        pytest.skip(f"{free:.1f} free processors; this needs two")
    run = work(cloud, velocity, mode)
    seconds = {}
    for count in (1, 2):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(count))
        run()
        seconds[count] = min(wall_seconds(run) for _ in range(7))
    with capsys.disabled():
        print(f"\n{mode}: two threads are {seconds[1] / seconds[2]:.2f} x as fast as one")
    assert seconds[1] / seconds[2] >= 1.8
