"""Reading a large cube behind a page: a button that begins it, tells how far it is, and stops it when pressed again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

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
        self._stop, self._done, self._total = threading.Event(), 0, 0
        self._thread: threading.Thread | None = None
        self._timer: Any = None
        self._found: Grid | Exception | None = None
        self.button = pmui.Button(
            label="", icon="compress", color="primary", variant="contained", visible=False
        )
        self.button.on_click(lambda _event: self.stop() if self.running else self.start())

    @property
    def running(self) -> bool:
        """Whether a cube is being read."""
        return self._thread is not None

    def offer(self, data: VolumeData | None) -> None:
        """Let a cube be read at the press of the button; None takes the offer back, and ends a reading of another."""
        self.stop()
        self._data = data
        self._say()

    def start(self) -> None:
        """Begin to read the cube that was offered."""
        self._stop, self._done, self._found = threading.Event(), 0, None
        if not _loop_runs():
            self._read(self._stop)
            self._end()
            return
        self._thread = threading.Thread(target=self._read, args=(self._stop,), name="read-cube", daemon=True)
        self._thread.start()
        self._timer = pn.state.add_periodic_callback(self.look, period=PERIOD_MS)
        self._say()

    def stop(self) -> None:
        """Give a reading up; the cube stays on offer."""
        if not self.running:
            return
        self._stop.set()
        self._close()
        self._say()

    def look(self) -> None:
        """Tell how far it is, and deliver what is read."""
        if self._thread is not None and self._thread.is_alive():
            self._say()
            return
        self._close()
        self._end()

    def wait(self) -> None:
        """Wait for a reading to end, and look."""
        if self._thread is not None:
            self._thread.join()
            self.look()

    def _close(self) -> None:
        self._timer.stop()
        self._thread = self._timer = None

    def _end(self) -> None:
        found, self._found = self._found, None
        self._say()
        if isinstance(found, Exception):
            self._fail(found)
        elif found is not None:
            self._deliver(found)

    def _read(self, stop: threading.Event) -> None:
        def follow(done: int, total: int) -> None:
            if stop.is_set():
                raise _StoppedError
            self._done, self._total = done, total

        try:
            found: Grid | Exception | None = make_grid(self._data, on_layer=follow)
        except _StoppedError:
            return
        except Exception as error:  # whatever it is, the page must say it
            found = error
        if not stop.is_set():
            self._found = found

    def _say(self) -> None:
        if self._data is None:
            self.button.visible = False
            return
        percent = 100 * self._done // max(1, self._total)
        label = f"Stop reading ({percent} %)" if self.running else f"Read it, reduced {self._data.factor}×"
        self.button.param.update(visible=True, label=label, icon="stop" if self.running else "compress")


class _StoppedError(Exception):
    """The visitor asked to stop."""


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
