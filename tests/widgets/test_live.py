from __future__ import annotations

import math

import pytest

from widgets.live import LiveHistory


@pytest.fixture
def curves():
    return LiveHistory()


def test_only_new_points_are_sent(curves, record):
    history = tuple(record(i) for i in range(4))
    assert curves.show(history[:3]) == 3
    assert curves.show(history[:3]) == 0
    assert curves.show(history) == 1
    assert curves.epochs == [1.0, 2.0, 3.0, 4.0]


def test_a_history_that_is_shorter_is_drawn_afresh(curves, record):
    curves.show(tuple(record(i) for i in range(5)))
    curves.show((record(0),))
    assert curves.epochs == [1.0]


def test_another_run_of_the_same_length_is_drawn_afresh(curves, record):
    curves.show((record(0), record(1)))
    assert curves.show((record(0), record(1, training_loss=0.5))) == 2


def test_a_loss_that_is_not_a_number_is_a_gap_and_no_reason_to_start_afresh(curves, record):
    broken = record(0, training_loss=math.nan)
    curves.show((broken,))
    assert curves.show((broken, record(1))) == 1


def test_the_best_epoch_moves(curves, record):
    curves.show((record(0), record(1)))
    assert curves.best_epoch == [2.0]
    curves.show((record(0), record(1), record(2, best=False)))
    assert curves.best_epoch == [2.0]


def test_empty_at_first(curves):
    assert curves.show(()) == 0
    assert curves.epochs == []
    assert curves.best_epoch == []


def test_axes_have_units(curves):
    assert [figure.yaxis[0].axis_label for figure in curves.figures] == [
        "RMS error [dex]",
        "pixels within 0.3 dex [%]",
        "learning rate",
    ]
