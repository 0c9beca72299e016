"""Faults thrown in: kills at random moments, a full disk at every write, damaged files. Nothing reported is lost."""

import builtins
import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, Node
from polaris_lab.training import Run, TrainingConfig
from polaris_lab.training.checkpoints import load_checkpoint, load_weights

KILLS = 20


def numbers(run: Run) -> list[tuple]:
    """Return what a training computes, without what its clock says."""
    return [(r.epoch, r.training_loss, r.validation_loss, r.validation_accuracy, r.learning_rate, r.best)
            for r in run.history()]  # fmt: skip


CHILD = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from polaris_lab.training import Run

path, kills = sys.argv[1], int(sys.argv[2])
next(Run.open(path + "_warm").epochs())  # everything is imported before the first kill
moments = random.Random(1)
for kill in range(kills):
    reading, writing = os.pipe()
    child = os.fork()  # this process has no other threads
    if child == 0:
        os.close(reading)
        for record in Run.open(path).epochs():
            os.write(writing, b"%d\\n" % record.epoch)
        os._exit(0)
    os.close(writing)
    pipe = os.fdopen(reading)
    seen = [pipe.readline() for _ in range(kill % 4)]  # a slow machine gets as far as a fast one
    time.sleep(moments.uniform(0.0, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    reported = [int(line) for line in [*seen, *pipe] if line.strip()]
    pipe.close()
    history = [record.epoch for record in Run.open(path).history()]
    assert history == list(range(len(history))), history
    assert not reported or reported[-1] < len(history), (reported, history)
    print(len(reported), len(history), flush=True)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two convolutions with dropout and a moving average on small patches: an epoch takes milliseconds."""
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(14, 8, 8)))
    dataset = PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 11 + ["validation"] * 3,
        path=tmp_path_factory.mktemp("faults") / "data.zarr",
    )
    nodes = (
        Node("standardized", "standardize", {}, ("column_density",)),
        Node("features", "double_convolution", {"out_channels": 4, "dropout": 0.2}, ("standardized",)),
        Node("correction", "convolution", {"in_channels": 4}, ("features",)),
        Node("mass_weighted_density", "destandardize", {}, ("correction",)),
    )
    blueprint = Blueprint(("column_density",), nodes, "mass_weighted_density", "small")
    config = TrainingConfig(epochs=40, batch_size=2, accumulate=2, ema=0.9, learning_rate=5e-3, device="cpu")
    return blueprint, dataset, config


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")
def test_twenty_kills_at_random_moments_lose_nothing_and_change_nothing(small, tmp_path):
    run, warm = Run.create(tmp_path / "run", *small), Run.create(tmp_path / "run_warm", *small)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(run.path), str(KILLS)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    lines = [tuple(map(int, line.split())) for line in child.stdout.splitlines()]
    assert len(lines) == KILLS
    assert [length for _, length in lines] == sorted(length for _, length in lines)
    assert lines[-1][1] >= 3 * KILLS // 2
    survivor = Run.open(run.path).train(progress=False)
    reference = warm.train(progress=False)
    assert numbers(survivor) == numbers(reference)
    assert (survivor.path / "best.safetensors").read_bytes() == (
        reference.path / "best.safetensors"
    ).read_bytes()
    left = {entry.name for entry in survivor.path.iterdir() if not entry.name.endswith(".tmp")}
    assert left == {"run.json", "history.jsonl", "last.ckpt", "best.safetensors", "examples.npz"}


class FullDisk:
    """From its `after`-th write into a folder on, the disk is full; half of what is written then still fits."""

    def __init__(self, monkeypatch, folder, after):
        self.folder, self.left, self.hits = str(folder), after, 0
        self.open, self.fsync = builtins.open, os.fsync
        monkeypatch.setattr(builtins, "open", self.opened)

    def opened(self, path, mode="r", *arguments, **options):
        file = self.open(path, mode, *arguments, **options)
        if not str(path).startswith(self.folder) or not set(mode) & set("wax"):
            return file
        self.left -= 1
        if self.left >= 0:
            return file
        write = file.write

        def half(data):
            self.hits += 1
            write(data[: len(data) // 2])
            file.flush()
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        return _Writer(file, half)


class _Writer:
    def __init__(self, file, write):
        self.file, self.write = file, write

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    blueprint, dataset, config = small
    config = dataclasses.replace(config, epochs=3)
    return Run.create(tmp_path_factory.mktemp("faults") / "whole", blueprint, dataset, config).train(
        progress=False
    )


@pytest.mark.parametrize("after", range(10))
def test_a_disk_that_fills_at_any_write_loses_nothing_reported(
    undisturbed, small, tmp_path, monkeypatch, after
):
    """Guard, lock, and for each epoch checkpoint, weights and history: each in turn is the first that fails."""
    run = Run.create(tmp_path / "run", small[0], small[1], undisturbed.config)
    disk, reported = FullDisk(monkeypatch, run.path, after), []
    with pytest.raises(OSError, match="No space left"):
        reported.extend(record.epoch for record in run.epochs())
    with pytest.raises(OSError, match="No space left"):  # and again: it did not spoil anything
        reported.extend(record.epoch for record in Run.open(run.path).epochs())
    assert disk.hits >= 2
    monkeypatch.undo()
    for line in (run.path / "history.jsonl").read_text().splitlines():
        json.loads(line)
    assert not list(run.path.glob("*.tmp"))
    found = Run.open(run.path)
    assert len(found.history()) >= len(reported)
    assert numbers(found.train(progress=False)) == numbers(undisturbed)
    assert (found.path / "best.safetensors").read_bytes() == (
        undisturbed.path / "best.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("after", range(4))
def test_a_disk_that_fills_while_a_run_is_made_leaves_nothing(small, tmp_path, monkeypatch, after):
    blueprint, dataset, config = small
    FullDisk(monkeypatch, tmp_path, after) if after < 2 else None
    if after >= 2:
        monkeypatch.setattr("pathlib.Path.touch", _no_space)
    with pytest.raises(OSError, match="No space left"):
        Run.create(tmp_path / "run", blueprint, dataset, config)
    assert list(tmp_path.iterdir()) == []


def _no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["last.ckpt", "best.safetensors"])
def test_one_flipped_bit_is_found_and_named(undisturbed, tmp_path, name):
    """Wherever in the values it is: by the checksum, also where the format itself would not notice."""
    whole = (undisturbed.path / name).read_bytes()
    folder = shutil.copytree(undisturbed.path, tmp_path / "run")
    rng = np.random.default_rng(0)
    for position in rng.integers(len(whole) // 4, len(whole) - 200, size=12):
        content = bytearray(whole)
        content[position] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: expected .* got a damaged file"):
            load_checkpoint(folder / name) if name == "last.ckpt" else load_weights(folder / name)


def test_with_a_damaged_checkpoint_the_rest_is_usable(undisturbed, small, tmp_path):
    folder = shutil.copytree(undisturbed.path, tmp_path / "run")
    content = bytearray((folder / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "last.ckpt").write_bytes(content)
    run = Run.open(folder)
    assert len(run.history()) == 3
    run.validate()
    with pytest.raises(ValueError, match=r"last\.ckpt: .*SHA-256.*start_from=run"):
        next(run.epochs())
    again = Run.create(tmp_path / "again", small[0], small[1], undisturbed.config, start_from=run)
    assert next(again.epochs()).training_loss < undisturbed.history()[0].training_loss


def test_files_of_the_first_runs_have_no_checksum_and_open(undisturbed, tmp_path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "last.ckpt"
    torch.save({"model": {}, "optimizer": None, "history": []}, path)
    assert load_checkpoint(path)["history"] == []
    save_file({"a": torch.ones(2)}, tmp_path / "best.safetensors", metadata={"epoch": "3"})
    assert load_weights(tmp_path / "best.safetensors")["a"].tolist() == [1, 1]
