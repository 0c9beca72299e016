"""A sweep of small runs with two processes of one thread, against one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset

RUNS, PATCHES, SIZE, EPOCHS = 12, 48, 64, 12
BUSY = 0.25
"""Share of the processors in use by others above which a ratio of wall times means nothing."""

SCRIPT = f"""
import sys, time
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import TrainingConfig, sweep

if __name__ == "__main__":
    workers, path = int(sys.argv[1]), sys.argv[3]
    training = TrainingConfig(epochs={EPOCHS}, batch_size=16, device="cpu")
    start = time.perf_counter()
    runs = sweep(PatchDataset.open(sys.argv[2]), training, path=path, workers=workers, threads=1,
                 varied={{"base_filters": (8, 12, 16)}}, settings={{"layers": 3}}, seeds=(0, 1, 2, 3))
    assert len(list(runs)) == {RUNS}
    print(time.perf_counter() - start)
"""


def seconds(workers: int, data: Path, folder: Path) -> float:
    """Return the wall time of a sweep in a process of its own, its start included."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, str(script), str(workers), str(data), str(folder / f"sweep_{workers}")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.mark.slow
def test_two_workers_against_one(tmp_path, capsys):
    """12 runs, 2 workers of one thread: at least 1.7 times faster than 1 worker of one thread."""
    processors = (
        len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    )
    if processors < 2:
        pytest.skip("two workers need two processors, here is one")
    busy = psutil.cpu_percent(interval=2.0) / 100
    if busy > BUSY:
        pytest.skip(
            f"{busy:.0%} of the processors are at work for others: wall times would tell of them (limit {BUSY:.0%})"
        )
    rng = np.random.default_rng(0)
    maps = 10 ** rng.normal(21.5, 0.3, (PATCHES + 8, SIZE, SIZE))
    PatchDataset.from_arrays(
        {"column_density": maps},
        {"mass_weighted_density": maps / 1e18},
        pixel_size=0.05 * u.pc,
        split=["training"] * PATCHES + ["validation"] * 8,
        path=tmp_path / "data.zarr",
    )
    start = time.process_time()
    one, two = (seconds(workers, tmp_path / "data.zarr", tmp_path) for workers in (1, 2))
    load = psutil.getloadavg()[0]
    with capsys.disabled():
        print(
            f"\n  sweep of {RUNS} runs: 1 worker {one:.1f} s, 2 workers {two:.1f} s: {one / two:.2f} x (load {load:.1f} on "
            f"{processors} processors; {time.process_time() - start:.1f} CPU-s here)"
        )
    if one / two < 1.7 and load > processors * 1.25:
        pytest.skip(f"{one / two:.2f} x, but the load rose to {load:.1f} meanwhile: others were at work")
    assert one / two >= 1.7
