from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
import time
from types import SimpleNamespace

import numpy as np
import panel as pn
import psutil
import pytest

from polaris_lab.models import Blueprint
from polaris_lab.training import Examples, Run
from widgets import TrainingMonitor, run_watcher, training_monitor
from widgets.monitor import example_view
from widgets.monitor import words as wording
from widgets.monitor.live import Curve


def test_shows_a_finished_run(trained_run):
    monitor = TrainingMonitor(trained_run)
    assert monitor.snapshot.status == "finished"
    assert monitor._start.disabled
    assert monitor._cancel.disabled
    assert monitor._progress.value == 100
    assert "3 of 3" in monitor._numbers.object


def test_follows_the_loop_of_a_notebook(new_run):
    run = Run.open(new_run)
    monitor = TrainingMonitor(run.path)
    for record in run.epochs():
        seen = monitor.refresh()
        assert seen.done == record.epoch + 1
        assert not monitor._cancel.disabled
        assert monitor._start.disabled
    assert monitor.refresh().status == "finished"
    assert monitor._curves.epochs == [1.0, 2.0, 3.0]


def test_curves_stay_hidden_until_there_is_something_to_show(new_run):
    monitor = TrainingMonitor(new_run)
    assert not any(cell.visible or len(cell) for cell in monitor._cells)
    assert monitor._hint.visible


def test_a_stopped_run_is_resumed_not_started(new_run):
    monitor = TrainingMonitor(new_run)
    assert monitor._start.label == "Start"
    for _record in Run.open(new_run).epochs():
        monitor.cancel()
    monitor.refresh()
    assert monitor._start.label == "Resume"
    assert not monitor._start.disabled


def test_a_deleted_run_stays_on_the_page_with_a_word(trained_run):
    monitor = TrainingMonitor(trained_run)
    shutil.rmtree(trained_run)
    monitor.refresh()
    assert "missing" in monitor._state.title
    assert "moved or deleted" in monitor._state.object
    with pytest.raises(ValueError, match="expected a run that waits"):
        monitor.start()


def test_turning_to_another_run(new_run, trained_run):
    monitor = TrainingMonitor(trained_run)
    monitor.run_path = new_run
    assert monitor.snapshot.status == "new"
    assert monitor._curves.epochs == []
    assert new_run.as_posix() in monitor.code()


def test_the_code_shown_gives_this_view(trained_run):
    shown = TrainingMonitor(trained_run).code()
    lines = shown.splitlines()
    again = eval(lines[-1], {"TrainingMonitor": TrainingMonitor})
    assert again.snapshot.done == 3
    assert lines[0] == "from widgets import TrainingMonitor"


def test_words_of_a_file_are_not_taken_as_html(trained_run):
    monitor = TrainingMonitor(trained_run)
    (trained_run / "run.json").write_text('{"schema": 1, "<img src=x>": 1}')
    monitor.refresh()
    assert monitor.snapshot.status == "broken"
    assert "<img" not in monitor._state.object


def test_underscores_of_a_path_are_not_taken_as_marks(tmp_path):
    shown = TrainingMonitor(tmp_path / "__init__")._state.object
    assert "__init__" not in shown
    assert html.unescape(shown).count("__init__") == 1


def test_numbers_are_dashes_before_the_first_epoch(new_run):
    shown = TrainingMonitor(new_run)._numbers.object
    assert "0 of 3" in shown
    assert shown.count("–") == 6


def test_the_page_of_a_workspace_offers_its_runs(trained_run, tmp_path):
    page = training_monitor.app(workspace_folder=tmp_path)
    choice = page.sidebar[0]
    assert choice.options == [trained_run.name]
    assert choice.value == trained_run.name


def test_the_page_of_one_run_offers_the_others_beside_it(trained_run, new_run, tmp_path):
    page = training_monitor.app(trained_run.name, workspace_folder=tmp_path)
    choice, beside = page.sidebar[:2]
    assert choice.value == trained_run.name
    assert set(choice.options) == set(beside.options) == {trained_run.name, new_run.name}
    beside.value = [new_run.name]
    table = next(part for part in page.main[-1].select(pn.pane.HTML) if "<th>run</th>" in part.object)
    assert trained_run.name in table.object
    assert new_run.name in table.object


def test_a_page_outside_the_workspace_is_refused(tmp_path):
    page = training_monitor.app("../elsewhere", workspace_folder=tmp_path)
    assert "expected a name inside the workspace folder" in page.main[-1].object


def test_runs_beside_are_drawn_and_compared(trained_run, tmp_path):
    first = Run.open(trained_run)
    blueprint = Blueprint.unet(layers=2, base_filters=6, attention=False, reference_scale=2.0)
    config = dataclasses.replace(first.config, epochs=2, learning_rate=3e-3)
    other = Run.create(tmp_path / "wider", blueprint, first.dataset(), config).train(progress=False)
    monitor = TrainingMonitor(trained_run, beside=[other.path])
    assert [len(curve.source.data["epoch"]) for curve in monitor._curves.curves] == [3, 2]
    for word in (trained_run.name, "wider", "2 of 2", "3 of 3", "images/s"):
        assert word in monitor._table.object
    table = monitor._comparison.object
    row = re.search(r"<tr><td>training\.learning_rate</td><td>(.*?)</td><td>(.*?)</td></tr>", table)
    assert (float(row[1]), float(row[2])) == (first.config.learning_rate, 3e-3)
    assert "parameters" in table
    assert "training.seed" not in table  # the same in both
    names = {}
    exec(monitor.code().replace("\nTraining", "\nagain = Training"), names)
    assert [watcher.path for watcher in names["again"]._watchers] == [trained_run, other.path]
    monitor.beside = []
    assert not monitor._comparison.visible
    assert not monitor._table.visible


def test_too_many_runs_are_refused(trained_run):
    with pytest.raises(ValueError, match="at most 5 further runs, got 6"):
        TrainingMonitor(trained_run, beside=[f"run{n}" for n in range(6)])


def test_a_run_that_is_lost_does_not_hide_the_others(trained_run, new_run):
    monitor = TrainingMonitor(trained_run, beside=[new_run])
    shutil.rmtree(new_run)
    assert monitor.refresh().status == "finished"
    assert "missing" in monitor._table.object
    assert monitor._curves.epochs == [1.0, 2.0, 3.0]


def test_examples_follow_the_training_until_an_epoch_is_chosen(new_run, monkeypatch):
    monkeypatch.setattr(example_view, "SECONDS", 0.0)
    monitor = TrainingMonitor(new_run)
    examples = monitor._examples
    assert not examples.view.visible
    for record in Run.open(new_run).epochs():
        monitor.refresh()
        if record.epoch < 2:
            assert examples.head.object == f"Validation patches after epoch {record.epoch + 1}"
        if record.epoch == 1:
            examples.epoch.value = 0
    assert examples.head.object == "Validation patches after epoch 1"
    examples.epoch.value = 2
    stored = Examples.open(new_run)
    shown = examples._figures._parts["predicted"][1].data["image"][0]
    size = stored.predicted.shape[-1]
    top = shown[-size - 1 : -1, 1:-1]  # the first patch stands at the top
    assert top == pytest.approx(10 ** stored.predicted[2, 0].astype(float), rel=1e-3)
    assert "RMS" in examples._figures.figures[3].title.text


def test_damaged_examples_are_words_on_the_page(trained_run):
    (trained_run / "examples.npz").write_bytes(b"half")
    monitor = TrainingMonitor(trained_run)
    assert monitor._examples.view.visible
    assert "damaged file" in monitor._examples.head.object
    assert not monitor._examples._maps.visible


def test_pause_and_resume_from_the_page(new_run):
    monitor = TrainingMonitor(new_run)
    for _record in Run.open(new_run).epochs():
        assert monitor.refresh().status == "running"
        assert not monitor._pause.disabled
        monitor.pause()
        assert "pausing" in monitor._state.title
    monitor.refresh()
    assert "paused" in monitor._state.title
    assert monitor._start.label == "Resume"


class Idle:
    """A worker that has not begun."""

    def poll(self):
        return None


def test_a_new_run_is_made_and_started(new_run, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(run_watcher, "start_worker", lambda path: started.append(path) or Idle())
    fingerprint = Run.open(new_run).dataset_fingerprint
    monitor = TrainingMonitor(new_run, workspace_folder=tmp_path, dataset=f"{new_run.name}/dataset.zarr")
    form = monitor._form
    assert form.dataset.value == f"{new_run.name}/dataset.zarr"
    form.settings.value = '{"layers": 2, "base_filters": 4}'
    form.epochs.value, form.batch_size.value, form.name.value = 2, 4, "runs/made"
    form.make()
    form.wait(60)
    made = Run.open(tmp_path / "runs" / "made")
    assert started == [made.path]
    assert (made.config.epochs, made.config.batch_size) == (2, 4)
    assert made.dataset_fingerprint == fingerprint
    assert monitor.run_path == made.path
    names = {}
    exec(form.code().replace("runs/made", "runs/again"), names)
    assert names["run"].fingerprint == made.fingerprint
    run_watcher._WORKERS.pop(made.path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("settings", "{layers: 2}", "expected JSON"),
        ("settings", "[2]", "expected JSON"),
        ("settings", '{"layrs": 2}', "layrs"),
        ("name", "../out", "inside the workspace"),
        ("name", "unet_small", "unet_small"),
        ("batch_size", 1000, "expected at most the 12 training patches"),
    ],
)
def test_a_run_that_cannot_be_made_says_why(new_run, tmp_path, field, value, words):
    form = TrainingMonitor(new_run, workspace_folder=tmp_path)._form
    form.batch_size.value = 4
    getattr(form, field).value = value
    form.make()
    form.wait(60)
    assert form._state.title == "Not made"
    assert words in html.unescape(form._state.object)


def test_without_a_dataset_the_form_says_where_to_get_one(tmp_path):
    form = TrainingMonitor(tmp_path, workspace_folder=tmp_path)._form
    assert form._make.disabled
    assert "polaris-lab demo" in html.unescape(form._state.object)


@pytest.mark.slow
def test_7200_ticks_cost_little(new_run, record):
    """A live page replayed at full speed: the server's memory stays, and a tick does not grow with the history."""
    monitor, seconds = TrainingMonitor(new_run), []
    memory = psutil.Process().memory_info
    with (new_run / "history.jsonl").open("a") as file:
        for tick in range(7200):
            if tick == 200:
                before = memory().rss
            row = dataclasses.asdict(record(tick, training_loss=0.1 / (tick + 1), validation_accuracy=0.5))
            file.write(json.dumps(row) + "\n")
            file.flush()
            start = time.process_time()
            monitor.refresh()
            seconds.append(time.process_time() - start)
    added = (memory().rss - before) / 2**20
    early, late = sum(seconds[200:1200]), sum(seconds[-1000:])
    print(
        f"7200 ticks: {added:.0f} MiB more, {early:.1f} ms of CPU a tick at first, {late:.1f} ms at the end"
    )
    assert monitor.snapshot.done == 7200
    assert added < 100
    assert late < 6 * early


def test_errors_are_told_in_dex_whatever_the_loss_counts(record):
    """The negative log-likelihood may be below 0; a record of an older version tells its loss alone."""
    seen = SimpleNamespace(records=[record(0, training_loss=0.04, validation_loss=0.09)], done=1, epochs=2)
    likelihood = dataclasses.replace(seen.records[0], training_loss=-1.1, validation_loss=-1.2)
    older = dataclasses.replace(likelihood, training_rmse_dex=None, validation_rmse_dex=None)
    for kept, told in ((likelihood, "0.300 dex"), (older, "loss -1.2")):
        seen.records, seen.best, seen.seconds_left = [kept], kept, None
        assert f"<dt>validation error</dt><dd>{told}</dd>" in wording.numbers(seen)
        curve = Curve()
        curve.show((kept,))
        assert curve.source.data["validation"] == pytest.approx(
            [kept.validation_rmse_dex or np.nan], nan_ok=True
        )
