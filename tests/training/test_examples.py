from __future__ import annotations

import json
import time

import numpy as np
import pytest

from polaris_lab.training import Examples, HistoryTail, Run
from polaris_lab.training import examples as module


def test_a_training_keeps_what_it_predicted(trained, dataset):
    """The stored maps are those of the network and of the dataset, to half precision."""
    found = Examples.open(trained.path)
    rows = dataset.indices("validation")
    assert set(found.numbers) <= set(rows.tolist())
    assert found.epochs.tolist() == [record.epoch for record in trained.history()]
    target = np.log10(dataset.read(trained.target, found.numbers))
    assert found.target == pytest.approx(target, abs=0.01)
    column = np.log10(dataset.read("column_density", found.numbers))
    assert found.column_density == pytest.approx(column, abs=0.01)
    best = trained.best.epoch
    predicted = trained.validate()[0][[rows.tolist().index(n) for n in found.numbers]]
    at = found.epochs.tolist().index(best)
    assert found.predicted[at] == pytest.approx(np.log10(predicted), abs=0.01)


def test_writing_them_changes_no_number(run, tmp_path, monkeypatch):
    with_them = [record.validation_loss for record in run.epochs()]
    monkeypatch.setattr(module.ExampleWriter, "write", lambda *arguments: None)
    without = run.repeat(tmp_path / "without")
    assert [record.validation_loss for record in without.epochs()] == with_them


def test_a_resumed_training_goes_on_with_them(run):
    for record in run.epochs():
        if record.epoch == 1:
            break
    assert Examples.open(run.path).epochs.tolist() == [0, 1]
    run.train(progress=False)
    assert Examples.open(run.path).epochs.tolist() == list(range(run.config.epochs))


def test_a_disk_that_is_full_does_not_end_the_training(run, monkeypatch, caplog):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bytes", full)
    assert run.train(progress=False).state == "finished"
    assert "no examples of epoch 0 are kept" in caplog.text
    with pytest.raises(FileNotFoundError, match="with the next epoch"):
        Examples.open(run.path)


def test_a_damaged_file_says_so_and_is_replaced(run):
    (run.path / "examples.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(ValueError, match="damaged file"):
        Examples.open(run.path)
    next(run.epochs())
    assert Examples.open(run.path).epochs.tolist() == [0]


def test_pausing_keeps_the_epoch_that_runs(run):
    """It ends after the epoch, without a batch of the next one, and goes on bit-identically."""
    loop, seen = run.epochs(), []
    for record in loop:
        seen.append(record)
        if record.epoch == 1:
            assert run.request_stop(after_epoch=True)
    assert len(seen) == 2
    assert run.state == "stopped"
    assert (run.path / "pause").exists()
    run.train(progress=False)
    assert run.state == "finished"
    assert not (run.path / "pause").exists()
    assert not run.request_stop(after_epoch=True)


LINE = {"epoch": 0, "training_loss": 0.1, "validation_loss": 0.2, "validation_accuracy": 0.5, "learning_rate": 1e-3,
        "seconds": 1.0, "images_per_second": 10.0, "best": True}  # fmt: skip


def _line(epoch: int) -> str:
    return json.dumps({**LINE, "epoch": epoch}) + "\n"


def test_a_history_is_followed_line_by_line(tmp_path):
    path, tail = tmp_path / "history.jsonl", HistoryTail(tmp_path)
    assert tail.read() == ()
    path.write_text(_line(0) + _line(1)[:30])
    assert [record.epoch for record in tail.read()] == [0]
    first = tail.read()[0]
    with path.open("a") as file:
        file.write(_line(1)[30:] + _line(2))
    assert [record.epoch for record in tail.read()] == [0, 1, 2]
    assert tail.read()[0] is first
    path.write_text(_line(0))  # cut
    assert [record.epoch for record in tail.read()] == [0]
    path.write_text(_line(5) + _line(6))  # another one
    assert [record.epoch for record in tail.read()] == [5, 6]
    path.unlink()
    assert tail.read() == ()


def test_a_damaged_line_is_told_and_read_when_it_is_mended(tmp_path):
    path, tail = tmp_path / "history.jsonl", HistoryTail(tmp_path)
    path.write_text(_line(0) + "{...}\n")
    with pytest.raises(ValueError, match="in line 2"):
        tail.read()
    path.write_text(_line(0) + _line(1))
    assert len(tail.read()) == 2


def test_a_look_does_not_grow_with_the_history(tmp_path):
    """Following 4000 epochs costs less than reading the whole file 60 times."""
    path, tail = tmp_path / "history.jsonl", HistoryTail(tmp_path)
    path.write_text("".join(_line(epoch) for epoch in range(4000)))
    start = time.process_time()
    tail.read()
    whole = time.process_time() - start
    start = time.process_time()
    with path.open("a") as file:
        for epoch in range(4000, 4400):
            file.write(_line(epoch))
            file.flush()
            tail.read()
    assert time.process_time() - start < 60 * whole
    assert len(tail.read()) == 4400


def test_a_run_that_is_opened_reads_the_same(trained):
    assert list(HistoryTail(trained.path).read()) == Run.open(trained.path).history()
