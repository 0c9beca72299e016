"""What the monitor knows about a run folder, through everything that can happen to one."""

from __future__ import annotations

import shutil
import time
from types import SimpleNamespace

import pytest

from polaris_lab.models import Blueprint
from polaris_lab.training import HistoryTail, Run, TrainingConfig
from widgets import run_watcher
from widgets.run_watcher import RunWatcher, Snapshot, find_runs


def wait_for(watcher: RunWatcher, *states: str, seconds: float = 90) -> Snapshot:
    end = time.monotonic() + seconds
    while (seen := watcher.look()).status not in states:
        assert time.monotonic() < end, f"still {seen.status} ({seen.message}), expected {states}"
        time.sleep(0.05)
    return seen


def test_a_new_run_waits_for_start(new_run):
    seen = RunWatcher(new_run).look()
    assert (seen.status, seen.done, seen.epochs) == ("new", 0, 3)
    assert "Start" in seen.message
    assert seen.can_start
    assert not seen.can_cancel


def test_a_finished_run_offers_neither(trained_run):
    seen = RunWatcher(trained_run).look()
    assert (seen.status, seen.done) == ("finished", 3)
    assert not seen.can_start
    assert not seen.can_cancel
    assert seen.best.validation_loss == min(record.validation_loss for record in seen.records)


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path):
    seen = RunWatcher(tmp_path / "nothing").look()
    assert seen.status == "missing"
    assert "lab.Run.create" in seen.message


def test_an_empty_workspace_says_how_to_get_a_run(tmp_path):
    seen = RunWatcher(tmp_path).look()
    assert seen.status == "empty"
    assert "polaris-lab demo" in seen.message


def test_a_run_deleted_while_it_is_shown(trained_run):
    watcher = RunWatcher(trained_run)
    assert watcher.look().done == 3
    shutil.rmtree(trained_run)
    seen = watcher.look()
    assert seen.status == "missing"
    assert "moved or deleted" in seen.message
    assert not seen.can_start


def test_a_run_that_comes_back_is_shown_again(trained_run, tmp_path):
    watcher = RunWatcher(trained_run)
    trained_run.rename(tmp_path / "away")
    assert watcher.look().status == "missing"
    (tmp_path / "away").rename(trained_run)
    assert watcher.look().done == 3


def test_a_half_written_last_line_waits(trained_run):
    watcher = RunWatcher(trained_run)
    history = trained_run / "history.jsonl"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines[:2]) + lines[2][:25])
    assert len(RunWatcher(trained_run).look().records) in (
        2,
        3,
    )  # a new opening may complete it from the checkpoint
    history.write_text("".join(lines))
    assert watcher.look().done == 3


def test_a_damaged_line_keeps_what_was_seen(trained_run):
    watcher = RunWatcher(trained_run)
    watcher.look()
    history = trained_run / "history.jsonl"
    history.write_text("{nonsense\n" + history.read_text())
    assert watcher.look().done == 3


def test_a_damaged_description_is_a_state_with_its_reason(trained_run):
    watcher = RunWatcher(trained_run)
    watcher.look()
    (trained_run / "run.json").write_text('{"schema": 1, "blue')
    seen = watcher.look()
    assert seen.status == "broken"
    assert "run.json" in seen.message
    assert not seen.can_start


def test_a_file_that_did_not_change_is_not_read_again(trained_run, monkeypatch):
    watcher = RunWatcher(trained_run)
    watcher.look()
    monkeypatch.setattr(HistoryTail, "read", lambda self: pytest.fail("read again"))
    monkeypatch.setattr(Run, "history", lambda self: pytest.fail("read again"))
    assert watcher.look().done == 3


def test_a_training_in_this_process_is_seen_as_it_goes(new_run):
    """What a notebook does: the loop trains, the monitor looks."""
    watcher = RunWatcher(new_run)
    seen = []
    for _record in Run.open(new_run).epochs():
        seen.append(watcher.look())
    assert [look.done for look in seen] == [1, 2, 3]
    assert seen[0].status == "running"
    assert seen[0].seconds_left > 0
    assert watcher.look().status == "finished"


def test_cancel_asks_a_training_of_anybody_to_stop(new_run):
    watcher = RunWatcher(new_run)
    for record in Run.open(new_run).epochs():
        assert record.epoch == 0, "the training went on after it was asked to stop"
        watcher.cancel()
        assert watcher.look().status == "stopping"
    seen = watcher.look()
    assert (seen.status, seen.done) == ("stopped", 1)
    assert seen.can_start


def test_pause_lets_a_training_finish_its_epoch(new_run):
    watcher = RunWatcher(new_run)
    for record in Run.open(new_run).epochs():
        assert record.epoch == 0, "the training went on after it was asked to pause"
        watcher.pause()
        seen = watcher.look()
        assert seen.status == "pausing"
        assert seen.can_cancel
        assert not seen.can_pause
    seen = watcher.look()
    assert (seen.status, seen.done) == ("paused", 1)
    assert seen.can_start
    with pytest.raises(ValueError, match="expected a training to pause"):
        watcher.pause()
    Run.open(new_run).train(progress=False)
    assert watcher.look().status == "finished"


def test_time_left_is_the_pace_times_what_remains(record):
    records = tuple(record(i, seconds=s) for i, s in enumerate([60.0, 2.0, 2.0, 2.0, 4.0]))
    seen = Snapshot("running", records=records, epochs=10)
    assert seen.seconds_left == pytest.approx(2.0 * 5)
    assert Snapshot("stopped", records=records, epochs=10).seconds_left is None


def test_a_worker_trains_to_the_end(new_run):
    watcher = RunWatcher(new_run)
    watcher.start()
    assert watcher.look().status in ("starting", "running")
    with pytest.raises(ValueError, match="expected a run that waits"):
        watcher.start()
    assert wait_for(watcher, "finished", "failed").status == "finished"
    assert watcher.look().done == 3


def test_a_worker_that_fails_tells_why(new_run):
    watcher = RunWatcher(new_run)
    watcher.look()
    (new_run / "last.ckpt").write_bytes(b"cut off")
    watcher.start()
    seen = wait_for(watcher, "failed", "finished")
    assert seen.status == "failed"
    assert "last.ckpt" in seen.message
    assert seen.can_start


def test_a_worker_leaves_a_processor_to_the_page(new_run, monkeypatch):
    started = {}

    class Worker:
        pid = 999_999_999  # no such process: its priority cannot be set, and that is no error

        def __init__(self, command, **choices):
            started.update(choices, command=command)

    monkeypatch.setattr(run_watcher.subprocess, "Popen", Worker)
    monkeypatch.setattr("polaris_lab.parallel.worker_count", lambda: 4)
    run_watcher.start_worker(new_run)
    assert started["env"]["OMP_NUM_THREADS"] == "3"
    assert started["command"][1:5] == ["-m", "polaris_lab.cli", "train", str(new_run)]


def test_nothing_to_cancel_is_refused(trained_run):
    with pytest.raises(ValueError, match="expected a training to stop"):
        RunWatcher(trained_run).cancel()


def test_runs_are_found_in_a_workspace_newest_first(trained_run, tmp_path):
    other = tmp_path / "study" / "layers" / "deep"
    shutil.copytree(trained_run, other)
    (other / "history.jsonl").touch()
    assert find_runs(tmp_path) == [other, trained_run]
    assert find_runs(trained_run) == [trained_run]
    assert find_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("head", "loss", "words"),
    [
        ("point", "auto", "mse [dex²]"),
        ("gaussian", "auto", "beta_nll, in validation nll"),
        ("gaussian", "nll", "nll [nats]"),
        ("quantiles", "auto", "quantile [dex]"),
        ("point", "huber(0.2)", "huber(0.2) [dex²]"),
        ("point", "mse + 0.3 * gradient", "mse + 0.3 * gradient"),
    ],
)
def test_the_loss_is_named_with_its_unit(head, loss, words):
    blueprint = Blueprint.unet(layers=2, base_filters=4, attention=False, head=head)
    run = SimpleNamespace(blueprint=blueprint, config=TrainingConfig(loss=loss))
    assert run_watcher.loss_words(run) == words
