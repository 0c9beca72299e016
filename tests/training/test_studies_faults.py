"""Studies whose workers die, whose own process is killed, and that run on a cluster."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.parallel import _begin_worker, map_as_finished
from polaris_lab.training import Study, TrainingConfig, complexity_map
from polaris_lab.training.studies import ledger

SETTINGS = {"attention": False, "reference_scale": 2.0}
TRAINING = TrainingConfig(epochs=30, batch_size=3, device="cpu")
CHOICES = {"layers": (1, 2), "base_filters": (2,), "settings": SETTINGS, "seeds": (0, 1)}

SCRIPT = """
import sys
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import complexity_map
sys.path.insert(0, sys.argv[3])
from test_studies_faults import CHOICES, TRAINING

if __name__ == "__main__":
    dataset = PatchDataset.open(sys.argv[1])
    for run in complexity_map(dataset, TRAINING, path=sys.argv[2], workers=int(sys.argv[4]), **CHOICES):
        print(run.name, flush=True)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> PatchDataset:
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(12, 8, 8)))
    return PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 9 + ["validation"] * 3,
        path=tmp_path_factory.mktemp("small") / "data.zarr",
    )


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "map"
    assert len(list(complexity_map(small, TRAINING, path=path, **CHOICES))) == 4
    return Study.open(path).table().drop(columns="cpu_seconds")


def assert_as_undisturbed(path, undisturbed):
    table = Study.open(path).table().drop(columns="cpu_seconds")
    assert table.equals(undisturbed)
    assert len((path / "ledger.jsonl").read_text().splitlines()) == 4


def wait_for(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.01)
    return found


def training_process(path):
    """Return the process that is training a cell of a study, when one has finished its first epoch."""
    for lock in path.glob("*/running.json"):
        entry = ledger.locks.holder(lock)
        if entry is not None and len((lock.parent / "history.jsonl").read_text().splitlines()) > 0:
            return entry["pid"]
    return None


def start_script(small, path, tmp_path, workers):
    (tmp_path / "script.py").write_text(SCRIPT)
    here = Path(__file__).resolve()
    paths = [str(here.parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [
            sys.executable,
            str(tmp_path / "script.py"),
            str(small.path),
            str(path),
            str(here.parent),
            str(workers),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_worker_loses_nothing(small, undisturbed, tmp_path):
    """One of two local workers is killed in the middle of a cell: its cell goes on, in another process."""
    path = tmp_path / "map"
    script = start_script(small, path, tmp_path, 2)
    os.kill(wait_for(lambda: training_process(path)), signal.SIGKILL)
    out, errors = script.communicate(timeout=300)
    assert script.returncode == 0, errors[-3000:]
    assert len(out.split()) == 4
    assert "a worker died" in errors
    assert_as_undisturbed(path, undisturbed)


@pytest.mark.slow
def test_a_killed_study_goes_on_and_leaves_no_worker_behind(small, undisturbed, tmp_path):
    path = tmp_path / "map"
    script = start_script(small, path, tmp_path, 2)
    worker = psutil.Process(wait_for(lambda: training_process(path)))
    script.kill()
    script.communicate()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert ledger.holder(path) is None
    begun = {run: len((path / run / "history.jsonl").read_text().splitlines()) for run in _run_folders(path)}
    assert any(0 < epochs < 30 for epochs in begun.values())
    list(complexity_map(small, TRAINING, path=path, **CHOICES))
    assert_as_undisturbed(path, undisturbed)


def _run_folders(path):
    return [entry.parent.name for entry in path.glob("*/run.json")]


@pytest.mark.slow
def test_ctrl_c_ends_the_cells_at_work_at_their_next_batch(small, undisturbed, tmp_path):
    path = tmp_path / "map"
    script = start_script(small, path, tmp_path, 2)
    wait_for(lambda: training_process(path))
    script.send_signal(signal.SIGINT)
    _, errors = script.communicate(timeout=120)
    assert "KeyboardInterrupt" in errors
    assert training_process(path) is None
    assert not (path / ledger.STOP).exists()
    list(complexity_map(small, TRAINING, path=path, **CHOICES))
    assert_as_undisturbed(path, undisturbed)


CLUSTER = """
import json, os, signal, sys, threading
from pathlib import Path
from distributed import Client, LocalCluster
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import complexity_map
sys.path.insert(0, sys.argv[3])
from test_studies_faults import CHOICES, TRAINING, training_process, wait_for

def main():
    path, killed = Path(sys.argv[2]), []
    def kill():
        killed.append(wait_for(lambda: training_process(path)))
        os.kill(killed[0], signal.SIGKILL)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        killer = threading.Thread(target=kill)
        killer.start()
        dataset = PatchDataset.open(sys.argv[1])
        names = [run.name for run in complexity_map(dataset, TRAINING, path=path, client=client, **CHOICES)]
        killer.join()
    print(json.dumps({"killed": len(killed), "runs": names}))

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_a_worker_of_a_cluster_dies_and_nothing_is_lost(small, undisturbed, tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    (tmp_path / "script.py").write_text(CLUSTER)
    path, here = tmp_path / "map", Path(__file__).resolve()
    paths = [str(here.parents[2]), str(here.parent), str(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(small.path), str(path), str(here.parent)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["killed"] == 1
    assert len(answer["runs"]) == 4
    assert_as_undisturbed(path, undisturbed)


# -- the pool ------------------------------------------------------------------------------------------


def test_processes_share_out_the_gpus(monkeypatch):
    names = ["CUDA_VISIBLE_DEVICES"] * 4
    found = {gpu for _, gpu in map_as_finished(os.getenv, names, workers=2, gpus=("3", "5"))}
    assert found <= {"3", "5"}
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name in (
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ):
        monkeypatch.setenv(name, "1")
    numbers, taken = queue.Queue(), []
    for number in range(3):
        numbers.put(number)
        _begin_worker(numbers, ("3", "5"))
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["3", "5", "3"]


def test_items_are_taken_as_results_come():
    taken, known = [], []

    def items():
        for number in range(5):
            taken.append((number, len(known)))
            yield number

    for item, result in map_as_finished(abs, items(), workers=1):
        known.append((item, result))
    assert taken == [(number, number) for number in range(5)]
    assert known == [(number, number) for number in range(5)]


def test_a_task_that_kills_every_worker_ends_the_work():
    with pytest.raises(RuntimeError, match=r"workers: expected processes that live.*fewer workers"):
        list(map_as_finished(os._exit, [1], workers=2))


def test_an_error_of_an_item_is_raised_and_the_others_are_told():
    told = []
    with pytest.raises(TypeError):
        list(map_as_finished(abs, [1, "two", 3], workers=2, leaving=lambda: told.append(1)))
    assert told == [1]
