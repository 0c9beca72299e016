"""Reading ahead, and datasets that are read while the network is trained."""

import dataclasses
import logging
import threading

import numpy as np
import pytest

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Patches, Run, StreamedPatches, load_patches
from polaris_lab.training.prefetch import Prefetch

NAMES = {"inputs": ("column_density",), "target": "mass_weighted_density"}


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers):
    with Prefetch(lambda x: x * x, range(20), workers=workers) as squares:
        assert list(squares) == [x * x for x in range(20)]


def test_the_next_batch_is_read_while_the_network_is_busy():
    """Loading overlaps with the work: batch 1 is ready before batch 0 has been given back; no clock is asked."""
    read = [threading.Event() for _ in range(4)]

    def prepare(number):
        read[number].set()
        return number

    with Prefetch(prepare, range(4), workers=1, ahead=2) as batches:
        assert next(batches) == 0
        assert read[1].wait(20)  # the main thread "trains" here
        assert read[2].wait(20)
        assert not read[3].is_set()  # and no further ahead than it is told
        assert list(batches) == [1, 2, 3]


def test_without_threads_nothing_is_read_ahead():
    read = []
    with Prefetch(lambda n: read.append(n) or n, range(3), workers=0) as batches:
        next(batches)
        assert read == [0]


def test_an_error_of_a_reader_reaches_the_trainer_and_ends_the_threads():
    def prepare(number):
        if number == 2:
            raise ValueError("patch 2 is damaged")
        return number

    before = threading.active_count()
    with pytest.raises(ValueError, match="patch 2"), Prefetch(prepare, range(9), workers=2) as batches:
        list(batches)
    assert threading.active_count() == before


def test_memory_or_disk_is_chosen_by_size_and_said(dataset, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="polaris_lab.training.streaming")
    assert isinstance(load_patches(dataset, "training", **NAMES), Patches)
    assert caplog.text == ""
    monkeypatch.setattr("polaris_lab.training.streaming.MEMORY_SHARE", 1e-9)
    streamed = load_patches(dataset, "training", **NAMES)
    assert isinstance(streamed, StreamedPatches)
    assert "17 training patches (0.1 MiB) are read from disk by 2 threads" in caplog.text
    assert "half of the free memory" in caplog.text
    assert isinstance(load_patches(dataset, "training", workers=0, **NAMES), Patches)
    monkeypatch.undo()
    assert load_patches(dataset, "training", workers=3, **NAMES).workers == 3


def test_patches_on_disk_are_those_in_memory(dataset):
    memory = load_patches(dataset, "validation", **NAMES)
    disk = load_patches(dataset, "validation", workers=1, **NAMES)
    assert len(memory) == len(disk)
    assert (memory.numbers == disk.numbers).all()
    positions = np.array([5, 0, 3])
    (a, ta), (b, tb) = memory.batch(positions), disk.batch(positions)
    assert (a["column_density"] == b["column_density"]).all()
    assert (ta == tb).all()


def test_constants_are_fitted_to_a_sample_from_all_over(dataset, monkeypatch):
    disk = load_patches(dataset, "training", workers=1, **NAMES)
    assert len(disk.sample()) == 17
    monkeypatch.setattr("polaris_lab.training.streaming.SAMPLE_BYTES", 5 * 2 * 32 * 32 * 4)
    assert disk.sample().numbers.tolist() == [0, 4, 8, 12, 16]


def test_a_run_read_from_disk_is_the_run_in_memory(tmp_path, trained, blueprint, dataset, config):
    config = dataclasses.replace(config, workers=2, epochs=2)
    run = Run.create(tmp_path / "run", blueprint, dataset, config).train(progress=False)
    other = Run.create(tmp_path / "other", blueprint, dataset, dataclasses.replace(config, workers=0))
    other.train(progress=False)
    pairs = list(zip(run.history(), other.history(), strict=True))
    assert all(a.training_loss == b.training_loss for a, b in pairs)
    assert all(a.validation_loss == b.validation_loss for a, b in pairs)


def test_a_damaged_chunk_is_named_and_the_rest_is_usable(tmp_path, pairs, blueprint, config, dataset):
    """Found by its checksum, in memory and by reader threads; dropped, the others can be trained on."""
    damaged = dataset.save(tmp_path / "damaged.zarr")
    chunks = sorted((damaged.path / "column_density" / "c").rglob("0"))
    (chunk,) = [path for path in chunks if path.relative_to(damaged.path).parts[2] == "5" and path.is_file()]
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x55
    chunk.write_bytes(content)
    opened = PatchDataset.open(damaged.path)
    for workers in (0, 2):
        with pytest.raises(ValueError, match=r"damaged\.zarr: .*(patch 5 of|chunk of) column_density"):
            Run.create(tmp_path / "run", blueprint, opened, dataclasses.replace(config, workers=workers))
    assert not (tmp_path / "run").exists()
    opened.drop([5])
    run = Run.create(tmp_path / "run", blueprint, opened, dataclasses.replace(config, epochs=1))
    assert run.train(progress=False).state == "finished"
