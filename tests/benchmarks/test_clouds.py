"""Making clouds, and opening and projecting a large one."""

import time

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab


def reference_field(size: int) -> np.ndarray:
    """Draw a log-normal random field the plain way: double precision numpy, and a sort."""
    rng = np.random.default_rng(0)
    k = np.fft.fftfreq(size) * size
    wave = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.arange(size // 2 + 1) ** 2)
    wave[0, 0, 0] = np.inf
    field = np.fft.irfftn(np.fft.rfftn(rng.normal(size=(size,) * 3)) * wave**-1.7, s=(size,) * 3)
    order = np.argsort(field, axis=None)
    result = np.empty(field.size)
    result[order] = np.sort(rng.lognormal(0, 1.25, field.size))
    return result


@pytest.mark.parametrize(("kind", "limit"), [("fbm", 0.3), ("cascade", 20.0), ("burgers", 20.0)])
def test_generator(against, capsys, kind, limit):
    """128^3 with velocities and temperature; processor seconds, the least of some turns."""
    lab.synthetic_cloud(16, kind=kind)
    spent = []
    for seed in range(5 if kind == "fbm" else 1):
        wall, start = time.perf_counter(), time.process_time()
        lab.synthetic_cloud(128, seed, kind=kind)
        spent.append((time.process_time() - start, time.perf_counter() - wall))
    with capsys.disabled():
        print(f"\n  {kind} 128^3: {min(spent)[0]:.2f} processor seconds, {min(w for _, w in spent):.2f} s")
    if kind == "fbm":
        against(
            "fbm 128^3", lambda: lab.synthetic_cloud(128, kind="fbm"), lambda: reference_field(128), rounds=3
        )
        assert min(w for _, w in spent) < 2 * limit  # twice: other work may hold the processors
    else:
        against(
            f"{kind} 32^3", lambda: lab.synthetic_cloud(32, kind=kind), lambda: reference_field(32), rounds=3
        )
        assert min(spent)[0] < limit


def test_open_and_project_512(against, tmp_path):
    """Half a gigabyte from a file: opened, mapped once, against numpy on the same file."""
    path = tmp_path / "cube.npy"
    values = np.lib.format.open_memmap(path, "w+", np.float32, (512, 512, 512))
    rng = np.random.default_rng(0)
    for layer in values:
        layer[:] = rng.lognormal(5, 1, layer.shape)
    values.flush()
    del values

    def plain():
        density = np.load(path, mmap_mode="r")
        return density.sum(0, dtype=np.float64), (density.astype(np.float64) ** 2).sum(0), density.max(0)

    ratio = against(
        "open and project 512^3",
        lambda: lab.project(lab.SimulationCube.open(path, cell_size=0.05 * u.pc)),
        plain,
        rounds=3,
        work=512**3 * 4 / 1e9,
        unit="GB/s",
    )
    assert ratio > 2
