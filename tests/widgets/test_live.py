from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from widgets.monitor import live
from widgets.monitor.live import LiveHistory


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
        "loss",
        "pixels within 0.3 dex [%]",
        "learning rate",
        "images per second [1/s]",
    ]


def lines(curves, figure=0):
    return [r for r in curves.figures[figure].renderers if type(r.glyph).__name__ == "Line" and r.visible]


def test_smoothing_keeps_the_raw_curve(curves, record):
    """The raw points stay what they are, visible though paler; the smooth line lies between their extremes."""
    history = tuple(record(i, training_loss=0.04 * (1 + i % 2)) for i in range(40))
    curves.show(history[:20])
    raw = list(curves.curves[0].source.data["training"])
    assert {r.glyph.y for r in lines(curves)} == {"training", "validation"}
    curves.smooth(0.9)
    curves.show(history)
    data = curves.curves[0].source.data
    assert list(data["training"][:20]) == raw
    tail = np.asarray(data["training_smooth"][-10:])
    assert np.ptp(tail) < 0.15 * np.ptp(raw)
    assert min(raw) < tail.min() < tail.max() < max(raw)
    names = {r.glyph.y: r.glyph.line_alpha for r in lines(curves)}
    assert set(names) == {"training", "validation", "training_smooth", "validation_smooth"}
    assert 0.2 < names["training"] < names["training_smooth"]


def test_smoothing_point_by_point_gives_what_smoothing_at_once_gives(curves, record):
    history = tuple(record(i, validation_loss=0.01 * (1 + (7 * i) % 5)) for i in range(30))
    curves.smooth(0.8)
    for count in range(1, 31):
        curves.show(history[:count])
    stepwise = np.array(curves.curves[0].source.data["validation_smooth"])
    curves.smooth(0.5)
    curves.smooth(0.8)
    assert curves.curves[0].source.data["validation_smooth"] == pytest.approx(stepwise)
    values = 0.5 * np.log10([r.validation_loss for r in history])
    weights = 0.8 ** np.arange(30)[::-1]
    assert np.log10(stepwise[-1]) == pytest.approx((weights * values).sum() / weights.sum())


def test_several_runs_have_colours_and_marks_of_their_own(curves, record):
    for place, name in enumerate("abc"):
        curves.show(tuple(record(i) for i in range(place + 2)), place=place, name=name)
    scatters = [r for r in curves.figures[2].renderers if type(r.glyph).__name__ == "Scatter"]
    assert [len(r.data_source.data["epoch"]) for r in scatters] == [2, 3, 4]
    assert len({r.glyph.marker for r in scatters}) == 3
    assert len({r.glyph.fill_color for r in scatters}) == 3
    assert [set(r.data_source.data["run"]) for r in scatters] == [{"a"}, {"b"}, {"c"}]
    curves.keep(1)
    assert [r.visible for r in scatters] == [True, False, False]
    assert all(scatter in curves.figures[2].hover[0].renderers for scatter in scatters)


def test_one_record_gives_the_columns_of_a_table(record):
    rows = tuple(record(i, training_loss=0.1 / (i + 1), best=i == 0) for i in range(3))
    whole = live._columns(rows)
    for number, row in enumerate(rows):
        for name, values in live._columns((row,)).items():
            assert values.tolist() == whole[name][number : number + 1].tolist()


def axis_of_loss(curves):
    figure = curves.figures[1]
    return type(figure.y_scale).__name__, figure.yaxis[0].axis_label


def test_a_positive_loss_has_a_logarithmic_axis(curves, record):
    curves.show(tuple(record(i) for i in range(3)), name="a", loss="mse [dex²]")
    assert axis_of_loss(curves) == ("LogScale", "loss: mse [dex²]")
    source = curves.curves[0].source.data
    assert list(source["training_loss"]) == [record(i).training_loss for i in range(3)]
    assert [r.glyph.y for r in lines(curves, 1)] == ["training_loss", "validation_loss"]


def test_a_likelihood_below_zero_is_drawn_on_a_linear_axis(curves, record):
    """Its logarithm does not exist: on a logarithmic axis the best epochs would be missing."""
    good, better = record(0), dataclasses.replace(record(1), validation_loss=-1.2)
    curves.show((good,), name="a", loss="nll [nats]")
    curves.smooth(0.5)
    curves.show((good, better), name="a", loss="nll [nats]")
    assert axis_of_loss(curves) == ("LinearScale", "loss: nll [nats]")
    data = curves.curves[0].source.data
    assert list(data["validation_loss"]) == [0.09, -1.2]
    assert data["validation_loss_smooth"][1] == pytest.approx((0.25 * 0.09 - 0.5 * 1.2) / 0.75)
    assert list(curves.curves[0].best.data["validation_loss"]) == [-1.2]
    curves.show((good,), name="b", loss="mse [dex²]")  # another run takes its place
    assert axis_of_loss(curves)[0] == "LogScale"


def test_runs_of_different_losses_say_that_they_do_not_compare(curves, record):
    curves.show((record(0),), place=0, name="a", loss="mse [dex²]")
    curves.show((record(0),), place=1, name="b", loss="nll [nats]")
    assert axis_of_loss(curves)[1] == "loss of each run"
    curves.keep(1)
    assert axis_of_loss(curves)[1] == "loss: mse [dex²]"
