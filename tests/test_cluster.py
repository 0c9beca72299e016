"""A Dask cluster on this machine, one of whose workers dies in the middle of the work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

SCRIPT = """
import json, os, signal, sys, threading, time
from pathlib import Path
from distributed import Client, LocalCluster
from polaris_lab.clouds import synthetic_cloud
from polaris_lab.datasets import PatchConfig, build_dataset

def kill_a_busy_worker(client, pids, killed):
    deadline = time.monotonic() + 60
    while not killed and time.monotonic() < deadline:
        for address, tasks in client.processing().items():
            if tasks and address in pids:
                os.kill(pids[address], signal.SIGKILL)
                killed.append(address)
                return
        time.sleep(0.005)

def main(folder):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        cubes = [synthetic_cloud(size=32, seed=seed) for seed in range(4)]
        for number, cube in enumerate(cubes):
            cube.name = f"cloud {number}"
        config = PatchConfig(patch_size=16, split_by="cloud", seed=0)
        pids, killed = client.run(os.getpid), []
        killer = threading.Thread(target=kill_a_busy_worker, args=(client, pids, killed))
        killer.start()
        built = build_dataset(cubes, config, folder / "cluster.zarr", client=client, progress=False)
        killer.join()
    alone = build_dataset(cubes, config, folder / "alone.zarr", progress=False)
    names = (*built.inputs, *built.targets)
    same = all((built.read(name) == alone.read(name)).all() for name in names)
    answer = {"killed": len(killed), "patches": [len(built), len(alone)], "same": same,
              "fingerprints": [built.fingerprint, alone.fingerprint]}
    print(json.dumps(answer))

if __name__ == "__main__":
    main(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_worker_dies_and_the_dataset_comes_out_the_same(tmp_path):
    """Killed while it searches a cloud; what it held and did is done again by the other. In a process of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)
    paths = [str(tmp_path), str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["killed"] == 1
    assert answer["same"]
    assert answer["patches"][0] == answer["patches"][1] > 8
    assert answer["fingerprints"][0] == answer["fingerprints"][1]
