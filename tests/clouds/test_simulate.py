"""`simulate`: what it returns, going on after a stop, bad input, clouds that resemble an observed one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import Simulation, SimulationConfig, resembling, simulate
from polaris_lab.clouds.solver import flow

SHORT = {"turnover_times": 0.3, "free_fall_times": 0.03, "progress": False}


@pytest.fixture(scope="module")
def cloud() -> lab.SimulationCube:
    return simulate(32, seed=2, turnover_times=1.0, free_fall_times=0.2, progress=False)


def same(a: lab.SimulationCube, b: lab.SimulationCube) -> bool:
    fields = [(a.density, b.density), *((a.velocity[axis], b.velocity[axis]) for axis in "zyx")]
    return all(np.array_equal(x, y) for x, y in fields) and a.provenance == b.provenance


def test_what_it_returns(cloud, tmp_path):
    """Mean density, Mach number, rest frame, temperature; the stamp is JSON and survives a file."""
    assert cloud.shape == (32, 32, 32)
    assert cloud.cell_size.to_value("pc") == pytest.approx(0.2)
    assert cloud.density.mean(dtype=np.float64) == pytest.approx(470, rel=1e-6)
    assert cloud.density.max() / cloud.density.min() > 1e3  # shocks and voids
    sound = np.sqrt(1.380649e-16 * 10 / (2.33 * 1.6735328e-24)) / 1e5  # km/s at 10 K
    square = sum(v.astype(np.float64) ** 2 for v in cloud.velocity.values())
    mach = np.sqrt((cloud.density * square).sum() / cloud.density.sum(dtype=np.float64)) / sound
    assert mach == pytest.approx(8.0, rel=0.1)
    assert mach == pytest.approx(cloud.provenance["reached"]["mach_number"], rel=1e-4)
    for v in cloud.velocity.values():
        assert abs((cloud.density * v.astype(np.float64)).sum() / cloud.density.sum(dtype=np.float64)) < 1e-6
    assert (cloud.temperature == 10).all()
    stamp = cloud.provenance
    assert stamp["source"] == "simulation"
    assert stamp["seed"] == 2
    assert stamp["parameters"]["mach_number"] == 8.0
    assert stamp["finished"] is True
    assert abs(stamp["reached"]["mass_drift"]) < 1e-6
    assert {"python", "numpy", "torch"} <= set(stamp["versions"])
    assert "magnetic" in stamp["statement"]
    reopened = lab.SimulationCube.open(cloud.save(tmp_path / "cloud.h5"))
    assert reopened.provenance["parameters"] == json.loads(json.dumps(stamp["parameters"]))


def test_statistics_of_supersonic_gas(cloud):
    """ln n is as wide as a Mach 8 flow makes it (b between 0.25 and 0.6), and <n>_M grows with N as in real gas."""
    spread = np.log(cloud.density).std()
    assert np.log(1 + (0.25 * 8) ** 2) < spread**2 < np.log(1 + (0.6 * 8) ** 2)
    maps = lab.project(cloud, axis="x")
    slope = np.polyfit(np.log(maps.column_density.ravel()), np.log(maps.mass_weighted_density.ravel()), 1)[0]
    assert 0.8 < slope < 1.5


def test_seeds_and_gravity():
    """Equal seeds give equal clouds, other ones others; gravity makes the densest gas denser."""
    short = dict(SHORT, free_fall_times=0.0)
    a, b, c = (simulate(16, seed=seed, **short) for seed in (1, 1, 2))
    assert same(a, b)
    assert not np.array_equal(a.density, c.density)
    heavy = {"mean_density": 5000 * u.cm**-3, "mach_number": 1.0, "progress": False, "turnover_times": 0.3}
    quiet, pulled = (simulate(16, seed=1, free_fall_times=t, **heavy) for t in (0.0, 1.0))
    assert pulled.density.max() > 5 * quiet.density.max()


@pytest.mark.slow
def test_back_ends_give_the_same_cloud():
    a, b = (simulate(16, precision="double", backend=backend, **SHORT) for backend in ("compiled", "torch"))
    np.testing.assert_allclose(a.density, b.density, rtol=1e-5)
    assert a.provenance["backend"] == "compiled on cpu"
    assert b.provenance["backend"] == "torch on cpu"


def test_without_a_force_turbulence_decays(monkeypatch):
    """The driving may be silent (Mach number above the one asked for): nothing divides by its strength."""
    monkeypatch.setattr(flow, "STRONGEST", 0.0)
    records = []
    choices = {"turnover_times": 1.0, "free_fall_times": 0.0, "progress": False}
    simulate(16, on_record=records.append, **choices)
    assert records[-1].mach_number < 0.8 * 8


@pytest.mark.parametrize("mach_number", [0.1, 1.0, 30.0])
def test_slow_and_fast_gas(mach_number):
    """The Mach number asked for is held at both ends of the range."""
    cube = simulate(16, mach_number=mach_number, **(SHORT | {"turnover_times": 0.6, "free_fall_times": 0.0}))
    assert cube.provenance["reached"]["mach_number"] == pytest.approx(mach_number, rel=0.2)
    assert np.isfinite(cube.density).all()


def test_records():
    records = []
    simulate(16, on_record=records.append, **SHORT)
    assert [record.step for record in records] == list(range(1, len(records) + 1))
    assert all(np.diff([record.fraction for record in records]) > 0)
    assert records[-1].fraction == 1.0
    assert records[-1].turnover_times == pytest.approx(0.3)
    assert records[-1].free_fall_times == pytest.approx(0.03)
    before_gravity = [record for record in records if record.free_fall_times == 0]
    assert before_gravity[-1].turnover_times == pytest.approx(0.3)  # a step ends where gravity sets in
    assert records[-1].lowest_density_cm3 < 470 < records[-1].highest_density_cm3


def test_times_may_be_quantities():
    """At Mach 8 half of 6.4 pc takes 2.08 Myr; the free-fall time of 470 cm^-3 is 2.0 Myr."""
    records = []
    simulate(
        16,
        turnover_times=0.5 * u.Myr,
        free_fall_times=50 * u.kyr,
        on_record=records.append,
        progress=False,
    )
    assert records[-1].time_Myr == pytest.approx(0.55)
    assert records[-1].turnover_times == pytest.approx(0.5 * 8 * 0.18824 * 1.02271 / 3.2, rel=1e-3)
    plain = lab.clouds.solver.cloud.configure(16, turnover_times=u.Quantity(0.5), free_fall_times=0)
    assert plain.turnover_times == 0.5
    with pytest.raises(u.UnitsError, match="turnover_times"):
        simulate(16, turnover_times=2 * u.pc)


# -- stop and go on ----------------------------------------------------------------------------------


def test_stop_and_resume_to_the_last_bit(tmp_path):
    """Broken out of twice, in both parts, and gone on from the file: the cloud of an uninterrupted run."""
    whole = simulate(16, seed=3, **SHORT)
    config = SimulationConfig(16, 3, turnover_times=0.3, free_fall_times=0.03)
    file = tmp_path / "cloud.ckpt"
    stops = iter([0.4, 0.95])
    reached = []
    for stop in stops:
        simulation = Simulation(config, checkpoint=file)
        for record in simulation.steps():
            if record.fraction > stop:
                break
        reached.append(record)
        assert not simulation.is_finished
    assert reached[0].free_fall_times == 0 < reached[1].free_fall_times
    resumed = []
    cube = simulate(16, seed=3, checkpoint=file, on_record=resumed.append, **SHORT)
    assert resumed[0].step == reached[1].step + 1
    assert same(cube, whole)
    again = simulate(
        16, seed=3, checkpoint=file, on_record=resumed.append, **SHORT
    )  # finished: no further step
    assert same(again, whole)
    assert Simulation.open(file).is_finished


def test_cancel_keeps_the_last_step(tmp_path):
    """An exception of the callback stops it; the file holds the step that was reported."""
    file = tmp_path / "folder" / "cloud.ckpt"

    def stop(record):
        if record.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(16, seed=3, checkpoint=file, on_record=stop, **SHORT)
    assert Simulation.open(file).record().step == 5
    assert [path.name for path in file.parent.iterdir()] == ["cloud.ckpt"]
    assert same(simulate(16, seed=3, checkpoint=file, **SHORT), simulate(16, seed=3, **SHORT))


def test_interrupted_within_a_step(tmp_path, monkeypatch):
    """Ctrl-C in the middle of a sweep: the file holds the state before that step."""
    file = tmp_path / "cloud.ckpt"
    simulation = Simulation(
        SimulationConfig(16, 3, turnover_times=0.3, free_fall_times=0.03), checkpoint=file
    )
    steps = simulation.steps()
    for _ in range(3):
        next(steps)
    density = simulation.cube().density.copy()

    def interrupted(*arguments, **choices):
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    monkeypatch.undo()
    kept = Simulation.open(file)
    assert kept.record().step == 3
    assert np.array_equal(kept.cube().density, density)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "cloud.ckpt"
    simulation = Simulation(SimulationConfig(16, turnover_times=0.3, free_fall_times=0.0), checkpoint=file)
    steps = simulation.steps()
    next(steps)
    simulation.save()
    before = file.read_bytes()

    def full(descriptor):
        raise OSError("no space left on device")

    next(steps)
    monkeypatch.setattr(os, "fsync", full)  # the temporary file is written, but does not reach the disk
    with pytest.raises(OSError, match="no space"):
        simulation.save()
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_running_simulation_writes_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(flow, "CHECKPOINT_SECONDS", 0.0)
    file = tmp_path / "cloud.ckpt"
    simulation = Simulation(SimulationConfig(16, turnover_times=0.3, free_fall_times=0.0), checkpoint=file)
    steps = simulation.steps()
    for _ in range(2):
        next(steps)
    assert Simulation.open(file).record().step == 2  # while the loop is still open
    steps.close()


def test_gas_that_breaks_is_an_error_and_the_state_is_kept(tmp_path, monkeypatch):
    file = tmp_path / "cloud.ckpt"
    simulation = Simulation(SimulationConfig(16, turnover_times=0.3, free_fall_times=0.0), checkpoint=file)
    steps = simulation.steps()
    next(steps)
    monkeypatch.setattr(flow, "advance", lambda state, *a, **k: state * float("nan"))
    with pytest.raises(FloatingPointError, match=r"step 2: expected finite gas.*Lower mach_number"):
        next(steps)
    assert Simulation.open(file).record().step == 1


# -- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"size": 8}, ValueError, "size: expected a whole number from 16 up, got 8"),
        ({"size": 32.0}, ValueError, "size: expected a whole number"),
        ({"seed": -1}, ValueError, "seed: expected a whole number from 0 up, got -1"),
        ({"box_size": 6.4}, TypeError, "box_size: expected a Quantity"),
        ({"box_size": -1 * u.pc}, ValueError, "box_size: expected a positive number"),
        ({"mean_density": 470 * u.g / u.cm**3}, u.UnitsError, "mean_density: expected a unit that converts"),
        ({"mach_number": 0.0}, ValueError, "mach_number: expected a number from 0.1 to 30, got 0"),
        ({"mach_number": float("nan")}, ValueError, "mach_number: expected a number from 0.1 to 30, got nan"),
        ({"mach_number": "8"}, TypeError, "mach_number: expected a number"),
        ({"flow_temperature": 10 * u.km}, u.UnitsError, "flow_temperature"),
        ({"compressive_fraction": 1.5}, ValueError, "compressive_fraction: expected a number from 0 to 1"),
        ({"turnover_times": -1}, ValueError, "turnover_times: expected a number from 0 to 100"),
        ({"turnover_times": 0, "free_fall_times": 0}, ValueError, "expected a time above 0"),
        ({"precision": "half"}, ValueError, 'precision: expected "single" or "double"'),
        ({"backend": "cuda"}, ValueError, 'backend: expected "torch", or "compiled"'),
        ({"backend": "compiled", "device": "cuda"}, ValueError, 'backend: expected "torch", or "compiled"'),
        ({"device": "gpu9"}, ValueError, 'device: expected one that PyTorch finds here, such as "cpu", got'),
        ({"device": "cuda:77"}, ValueError, "device: expected one that PyTorch finds here"),
        (
            {"size": 100_000},
            MemoryError,
            r"size: expected work that fits into memory, got 100000\^3 cells, which needs",
        ),
    ],
)
def test_bad_choices(choices, error, words):
    with pytest.raises(error, match=words):
        simulate(**{"size": 16, "progress": False, **choices})


def test_checkpoint_of_other_choices(tmp_path):
    file = tmp_path / "cloud.ckpt"
    simulate(16, seed=1, checkpoint=file, **SHORT)
    with pytest.raises(ValueError, match=r"seed=2 \(the file: 1\).*another file name"):
        simulate(16, seed=2, checkpoint=file, **SHORT)


def test_damaged_and_foreign_checkpoints(tmp_path):
    file = tmp_path / "cloud.ckpt"
    simulate(16, seed=1, checkpoint=file, **SHORT)
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"something else"):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged or foreign file; remove it"):
            Simulation.open(file)
    torch.save({"model": 1}, file)
    with pytest.raises(ValueError, match="expected the checkpoint of a simulation, got another file"):
        Simulation.open(file)
    with pytest.raises(FileNotFoundError, match="start one with simulate"):
        Simulation.open(tmp_path / "none.ckpt")


def test_saving_without_a_file():
    with pytest.raises(ValueError, match="checkpoint: expected a file"):
        Simulation(SimulationConfig(16)).save()


def test_torch_is_not_loaded_before_it_runs():
    code = (
        "import sys, polaris_lab as lab; lab.clouds.simulate; lab.clouds.SimulationConfig; lab.clouds.resembling; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- clouds that resemble an observed one --------------------------------------------------------------


def test_a_cloud_like_the_observed_one():
    """Taken from maps of a known cloud: its size, mean density and Mach number come back."""
    known = lab.synthetic_cloud(32, seed=4, temperature_law="isothermal")
    maps = lab.project(known, axis="z")
    v, n = known.velocity["z"].astype(np.float64), known.density.astype(np.float64)
    dispersion = np.sqrt((n * v**2).sum() / n.sum() - ((n * v).sum() / n.sum()) ** 2)
    choices = resembling(
        maps.column_density,
        pixel_size=known.cell_size,
        line_width=np.sqrt(8 * np.log(2)) * dispersion * u.km / u.s,
    )
    assert choices["box_size"].to_value("pc") == pytest.approx(6.4)
    assert choices["mean_density"].to_value("cm-3") == pytest.approx(470, rel=1e-5)
    assert choices["mach_number"] == pytest.approx(np.sqrt(3) * dispersion / 0.18824, rel=1e-3)
    made = simulate(16, **choices, **SHORT)
    column = lab.column_density(made, axis="z")
    assert column.mean() == pytest.approx(maps.column_density.mean(), rel=1e-4)


def test_blanks_depth_and_thermal_width():
    column = np.full((20, 30), 1e22)
    column[:5] = np.nan
    column[5:10] = 0.0  # 300 of 600 pixels are valid
    choices = {"pixel_size": 0.1 * u.pc, "line_width": 1.0 * u.km / u.s}
    plain = resembling(column, **choices)
    assert plain["box_size"].to_value("pc") == pytest.approx(0.1 * np.sqrt(300))
    sheet = resembling(column, depth=1 * u.pc, **choices)
    assert sheet["box_size"] == plain["box_size"]
    assert sheet["mean_density"].value == pytest.approx(1e22 / 3.0857e18, rel=1e-4)
    # 13CO at 10 K: kT/m = (53.5 m/s)^2
    cold = resembling(column, tracer_mass=29 * u.u, **choices)
    total = 1e5 / np.sqrt(8 * np.log(2))
    expected = np.sqrt(3 * (total**2 - 5354.0**2)) / 18824.0
    assert cold["mach_number"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("column", "choices", "error", "words"),
    [
        (np.full((4, 4, 4), 1e22), {}, ValueError, r"expected a map with axes \(y, x\)"),
        (np.full((8, 8), np.nan), {}, ValueError, "expected at least 16 pixels with a positive value"),
        (np.full((8, 8), -1.0), {}, ValueError, r"got 0; take a logarithmic map to the power, 10\*\*map"),
        (np.full((8, 8), 1e22), {"pixel_size": 10 * u.arcsec}, u.UnitsError, "pixel_size"),
        (np.full((8, 8), 1e22), {"line_width": 2.0}, TypeError, "line_width: expected a Quantity"),
        (
            np.full((8, 8), 1e22),
            {"line_width": 0.1 * u.km / u.s, "tracer_mass": 29 * u.u},
            ValueError,
            "line_width: expected more than the thermal width of 0.126 km/s at 10 K, got 0.1",
        ),
    ],
)
def test_bad_maps(column, choices, error, words):
    with pytest.raises(error, match=words):
        resembling(column, **{"pixel_size": 0.1 * u.pc, "line_width": 2 * u.km / u.s, **choices})
