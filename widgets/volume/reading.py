"""Reading a large cube behind a page: a button that begins it, tells how far it is, and stops it when pressed again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from widgets import timers
from widgets.volume.data import Grid, VolumeData, make_grid

PERIOD_MS = 300
"""Time between two looks at the reading [ms]."""


class Reading:
    """Reads a cube in a thread where an event loop runs (a page, a notebook), else while the caller waits.

    Parameters
    ----------
    deliver : callable
        Takes the :class:`~widgets.volume.data.Grid`.
    fail : callable
        Takes the error, if the cube cannot be read.

    Attributes
    ----------
    button : panel_material_ui.Button
        Invisible where nothing waits to be read.
    """

    def __init__(self, deliver: Callable[[Grid], Any], fail: Callable[[Exception], Any]):
        self._deliver, self._fail = deliver, fail
        self._data: VolumeData | None = None
        self._work: _Work | None = None
        self._timer: Any = None
        self.button = pmui.Button(
            label="", icon="compress", color="primary", variant="contained", visible=False
        )
        self.button.on_click(lambda _event: self.stop() if self.running else self.start())

    @property
    def running(self) -> bool:
        """Whether a cube is being read."""
        return self._work is not None

    def offer(self, data: VolumeData | None) -> None:
        """Let a cube be read at the press of the button; None takes the offer back. A reading of another ends."""
        self.stop()
        self._data = data
        self._say()

    def start(self) -> None:
        """Begin to read the cube that was offered.

        Raises
        ------
        ValueError
            If none was.
        """
        if self._data is None:
            raise ValueError(
                "volume: expected a large cube that waits to be read, got none; show or open one"
            )
        work = self._work = _Work(self._data)
        if not timers.loop_runs():
            work.read()
            self._end()
            return
        threading.Thread(target=work.read, name="read-cube", daemon=True).start()
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda _context: work.stop.set())
        self._timer = pn.state.add_periodic_callback(self.look, period=PERIOD_MS)
        self._say()

    def stop(self) -> None:
        """Give a reading up; the cube stays on offer."""
        if self._work is not None:
            self._work.stop.set()
            self._close()
            self._say()

    def look(self) -> None:
        """Tell how far it is, and deliver what is read."""
        if self._work is not None and self._work.ended.is_set():
            self._end()
        else:
            self._say()

    def wait(self) -> None:
        """Wait for a reading to end, and look."""
        if self._work is not None:
            self._work.ended.wait()
            self.look()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._work = self._timer = None

    def _end(self) -> None:
        found = self._work.found
        self._close()
        self._say()
        if isinstance(found, Exception):
            self._fail(found)
        else:
            self._deliver(found)

    def _say(self) -> None:
        if self._data is None:
            self.button.visible = False
            return
        label = (
            f"Read it, reduced {self._data.factor}×"
            if self._work is None
            else f"Stop reading ({self._work.percent} %)"
        )
        self.button.param.update(visible=True, label=label, icon="stop" if self.running else "compress")


class _Work:
    """One reading, which nothing but itself writes to: one that was given up cannot disturb the next."""

    def __init__(self, data: VolumeData):
        self._data = data
        self.stop, self.ended = threading.Event(), threading.Event()
        self.percent = 0
        self.found: Grid | Exception | None = None

    def read(self) -> None:
        try:
            self.found = make_grid(self._data, on_layer=self._follow)
        except Exception as error:  # whatever it is, the page must say it
            self.found = error
        self.ended.set()

    def _follow(self, done: int, total: int) -> None:
        if self.stop.is_set():
            raise InterruptedError("stopped")
        self.percent = 100 * done // total
