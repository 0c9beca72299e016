"""Maps from ten million leaves of an adaptive grid: time and memory, against painting them leaf by leaf with numpy."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from astropy import units as u

from polaris_lab.clouds import AmrCloud


def tree(base: int = 160, shares=(0.08, 0.13, 0.12, 0.11)) -> AmrCloud:
    """Refine a random share of the cells of each level: 1.0e7 leaves of five sizes by default."""
    rng = np.random.default_rng(0)
    size = 2 ** len(shares)
    grid = np.indices((base,) * 3, dtype=np.int32).reshape(3, -1).T * np.int32(size)
    corners, widths = [], []
    for share in (*shares, 0.0):
        split = rng.random(len(grid)) < share
        corners.append(grid[~split])
        widths.append(np.full(len(corners[-1]), size, np.int32))
        size //= 2
        octants = np.indices((2, 2, 2), dtype=np.int32).reshape(3, 8).T * np.int32(size)
        grid = (grid[split][:, None] + octants).reshape(-1, 3)
    corner, width = np.concatenate(corners), np.concatenate(widths)
    density = rng.lognormal(5, 1.5, len(width)).astype(np.float32)
    return AmrCloud(corner, width, density, shape=(base * 2 ** len(shares),) * 3, cell_size=0.01 * u.pc)


def measure() -> None:
    """Print leaves, seconds of one projection (compiled before) and the largest memory [GB]."""
    tree(8).project()
    cloud = tree()
    start = time.perf_counter()
    maps = cloud.project(axis="x")
    seconds = time.perf_counter() - start
    mass = (cloud.density.astype(np.float64) * cloud.width.astype(np.float64) ** 3).sum()
    assert abs(maps.column_density.sum() / cloud.cell_size_cm / mass - 1) < 1e-9
    print(len(cloud), seconds, largest_memory())


def largest_memory() -> float:
    """Return the peak of this program [GB]; getrusage would count what the parent held when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1e6


def test_ten_million_leaves(benchmark, capsys):
    code = "import sys, runpy; runpy.run_path(sys.argv[1])['measure']()"
    answer = benchmark.pedantic(
        lambda: subprocess.run(
            [sys.executable, "-c", code, __file__], capture_output=True, text=True, check=True
        ),
        rounds=1,
    )
    leaves, seconds, memory = (float(word) for word in answer.stdout.split())
    with capsys.disabled():
        print(
            f"\n  {leaves:.3g} leaves: one line of sight in {seconds:.2f} s, largest memory {memory:.2f} GB"
        )
    assert leaves > 1e7
    assert seconds < 60
    assert memory < 2.0


def test_against_painting(against):
    cloud = tree(16)

    def paint():
        total, square = np.zeros(cloud.shape[1:]), np.zeros(cloud.shape[1:])
        for (_, y, x), w, n in zip(cloud.corner, cloud.width, cloud.density, strict=True):
            total[y : y + w, x : x + w] += n * w
            square[y : y + w, x : x + w] += n * n * w
        return total, square

    ratio = against(
        f"maps of {len(cloud)} leaves",
        cloud.project,
        paint,
        rounds=3,
        work=len(cloud) / 1e6,
        unit="M leaves/s",
    )
    assert ratio > 5
