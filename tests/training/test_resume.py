"""Stopped or killed at any moment, a run goes on as if nothing had happened: bit by bit on the CPU."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from polaris_lab.training import Run
from polaris_lab.training.checkpoints import load_checkpoint, load_weights

KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from polaris_lab.training import Run, folder, loop

path, moment = sys.argv[1:]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

steps = 0
step = loop._Loop.step
def dying_step(self, *arguments):
    global steps
    steps += 1
    if moment == "in an epoch" and steps == 13:
        die()
    return step(self, *arguments)
loop._Loop.step = dying_step

save_weights, line = folder.save_weights, folder._line
def dying_weights(path, weights, *, epoch, blueprint):
    if moment == "after the checkpoint" and epoch == 2:
        die()
    save_weights(path, weights, epoch=epoch, blueprint=blueprint)
folder.save_weights = dying_weights
def dying_line(record):
    if record["epoch"] == 2 and moment == "in a line of the history":
        with open(folder.Path(path) / "history.jsonl", "a") as file:
            file.write(line(record)[:40])
        die()
    return line(record)
if moment != "in an epoch":
    folder._line = dying_line

for record in Run.open(path).epochs():
    print(record.epoch, flush=True)
"""


def assert_same(run: Run, reference: Run) -> None:
    """Same records but for the clock, same weights and optimizer to the last bit."""

    def numbers(record):
        return (record.epoch, record.training_loss, record.validation_loss, record.validation_accuracy,
                record.learning_rate, record.best)  # fmt: skip

    assert [numbers(r) for r in run.history()] == [numbers(r) for r in reference.history()]
    ours, theirs = (load_weights(r.path / "best.safetensors") for r in (run, reference))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    first, second = ((r.path / "best.safetensors").read_bytes() for r in (run, reference))
    assert first == second  # the file too, so that its checksum names the run
    ours, theirs = (load_checkpoint(r.path / "last.ckpt") for r in (run, reference))
    assert all(torch.equal(ours["model"][name], theirs["model"][name]) for name in theirs["model"])
    for number, state in theirs["optimizer"]["state"].items():
        assert all(
            torch.equal(ours["optimizer"]["state"][number][name], value) for name, value in state.items()
        )


def test_the_same_configuration_gives_the_same_run(run, trained):
    assert_same(run.train(progress=False), trained)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX system")
@pytest.mark.parametrize(
    ("moment", "reported", "kept"),
    [
        ("in an epoch", 2, 2),
        ("after the checkpoint", 2, 3),
        ("in a line of the history", 2, 3),
    ],
)
def test_a_kill_loses_nothing_that_was_reported(run, trained, moment, reported, kept):
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.path), moment],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert child.stdout.split() == [str(n) for n in range(reported)]
    assert len(run.history()) >= reported  # as a watching process reads it
    opened = Run.open(run.path)
    assert opened.state == "stopped"
    assert len(opened.history()) == kept
    assert opened.model() is not None
    assert_same(opened.train(progress=False), trained)


def test_breaking_out_and_looping_again(run, trained):
    for record in run.epochs():
        if record.epoch == 1:
            break
    assert run.state == "stopped"
    assert [record.epoch for record in Run.open(run.path).epochs()] == [2, 3, 4, 5]
    assert_same(run, trained)


def test_a_request_to_stop_ends_at_the_next_batch(run, trained):
    assert run.request_stop() is False  # nobody trains
    for _ in run.epochs():
        assert Run.open(run.path).request_stop() is True
    assert len(run.history()) == 1
    assert run.state == "stopped"
    assert not (run.path / "stop").exists()
    assert_same(run.train(progress=False), trained)


def test_a_stop_file_from_before_does_not_count(run):
    (run.path / "stop").touch()
    assert next(run.epochs()).epoch == 0


def test_ctrl_c_keeps_the_last_finished_epoch_and_says_so(run, trained, monkeypatch, capsys):
    from polaris_lab.training import loop

    step, steps = loop._Loop.step, []

    def interrupted(self, *arguments):
        steps.append(1)
        if len(steps) == 13:  # epoch 2, batch 2
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(loop._Loop, "step", interrupted)
    with pytest.raises(
        KeyboardInterrupt, match=r"training stopped; 2 finished epochs of 6 are kept.*goes on from there"
    ):
        run.train()
    assert "epoch 2 of 6" in capsys.readouterr().err
    assert run.state == "stopped"
    monkeypatch.undo()
    assert_same(run.train(progress=False), trained)


def test_the_bar_shows_losses_and_ends_complete(run, capsys):
    run.train()
    shown = capsys.readouterr().err
    assert "epoch 6 of 6: 100%" in shown
    assert "validation 0." in shown


def test_a_half_written_line_is_no_epoch(trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "run")
    path = folder / "history.jsonl"
    text = path.read_text()
    path.write_text(text[:-20])
    run = Run.open(folder)  # opening reconciles
    assert path.read_text() == text
    path.write_text(text[:-20])
    assert len(run.history()) == 5  # reading is tolerant
    path.write_text("{]\n" + text)
    with pytest.raises(
        ValueError, match=r"history\.jsonl: expected one record of an epoch in line 1, got '\{\]'"
    ):
        run.history()


def test_a_copy_with_other_times_is_left_alone(trained, tmp_path, monkeypatch, caplog):
    folder = shutil.copytree(trained.path, tmp_path / "run")
    os.utime(folder / "history.jsonl", (1, 1))  # a copy may date the checkpoint after the history

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("polaris_lab.training.folder.lock", refuse)
    assert len(Run.open(folder).history()) == 6
    assert "half updated" not in caplog.text


def test_a_read_only_run_opens(trained, tmp_path, monkeypatch, caplog):
    folder = shutil.copytree(trained.path, tmp_path / "run")
    path = folder / "history.jsonl"
    path.write_text(path.read_text()[:-20])

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("polaris_lab.training.folder.lock", refuse)
    assert len(Run.open(folder).history()) == 5
    assert "half updated" in caplog.text
