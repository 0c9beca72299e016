from __future__ import annotations

import html
import shutil

import pytest

from polaris_lab.training import Run
from widgets import TrainingMonitor, training_monitor


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
    assert not any(plot.visible for plot in monitor._plots)
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
    assert new_run.as_posix() in monitor._code.object


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


def test_the_page_of_one_run_offers_no_choice(trained_run):
    page = training_monitor.app(str(trained_run), workspace_folder=trained_run.parent)
    assert not any(type(part).__name__ == "Select" for part in page.sidebar)
