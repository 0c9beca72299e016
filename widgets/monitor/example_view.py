"""What a network makes of a few validation patches, with a slider over the epochs: a part of the training monitor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from widgets import parts
from widgets.monitor import example_figures

SECONDS = 2.0
"""Predictions of a running training are redrawn no more often than this [s]."""


class ExampleView:
    """The predictions that a run keeps of a few validation patches, one epoch at a time.

    Attributes
    ----------
    view : panel Column
        Invisible while there is nothing to show.
    """

    def __init__(self) -> None:
        wide = {"sizing_mode": "stretch_width"}
        self._figures = example_figures.ExampleFigures()
        self._panes = [pn.pane.Bokeh(figure, min_width=200, **wide) for figure in self._figures.figures]
        self.head = pmui.Typography("", variant="h6")
        self.epoch = pmui.IntSlider(
            label="Epoch that is shown; at its end it follows the training", start=0, end=1, value=0, width=360,
            show_value=False, visible=False,
        )  # fmt: skip
        self.epoch.param.watch(lambda _event: self._draw(), "value")
        shares = {"styles": {"flex": "1 1 200px", "min-width": "0"}}
        figures = pn.FlexBox(*(pn.Column(pane, **shares) for pane in self._panes), **wide)
        self._maps = pn.Column(self.epoch, figures, **wide)
        self.view: Any = pmui.Column(self.head, self._maps, visible=False, **wide)
        self.forget()

    def forget(self) -> None:
        """Turn to another run: look at once, and follow it."""
        self._stamp: tuple[int, int] | None = (0, 0)  # of no file
        self._time = 0.0
        self._examples: Any = None
        self._quantity = "density"

    def look(self, folder: Path) -> None:
        """Read the examples of a run if they changed, and show the chosen epoch, the last one by default."""
        from polaris_lab.training.examples import FILE, Examples

        try:
            stat = (folder / FILE).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            stamp = None
        soon = self._examples is not None and time.monotonic() - self._time < SECONDS
        if stamp == self._stamp or (stamp is not None and soon):
            return
        self._stamp, self._time = stamp, time.monotonic()
        follow = self._examples is None or self.epoch.value >= len(self._examples.epochs) - 1
        self._examples, words = None, ""
        if stamp is not None:
            try:
                self._examples = Examples.open(folder)
                self._quantity = _target(folder)
            except (OSError, ValueError) as error:
                words = str(error)
        self._show(follow, words)

    def _show(self, follow: bool, words: str) -> None:
        """Show what was read, or words on what is wrong with it."""
        count = 0 if self._examples is None else len(self._examples.epochs)
        self.head.object = parts.plain(words)
        self.view.visible = bool(words or count)
        self._maps.visible = bool(count)
        self.epoch.visible = count > 1
        if count:
            place = count - 1 if follow else min(self.epoch.value, count - 1)
            moved = place != self.epoch.value
            self.epoch.param.update(end=max(1, count - 1), value=place)
            if not moved:
                self._draw()

    def _draw(self) -> None:
        """Draw the predictions after the epoch that the slider is at."""
        if self._examples is None or not len(self._examples.epochs):
            return
        epoch = int(self._examples.epochs[min(self.epoch.value, len(self._examples.epochs) - 1)])
        self.head.object = f"Validation patches after epoch {epoch + 1}"
        self._figures.show(self._examples, epoch, quantity=self._quantity)
        pn.io.push_notebook(*self._panes)


def _target(folder: Path) -> str:
    """Return the name of what a run predicts."""
    from polaris_lab.training import Run

    return Run.open(folder).target
