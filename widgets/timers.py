"""Looking at work that goes on in the background: on a timer, where an event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_runs() -> bool:
    """Return whether an event loop runs (a page, a notebook); in a script or a test the caller waits instead.

    Examples
    --------
    >>> loop_runs()
    False
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def watch(look: Callable[[], bool], period_ms: int) -> None:
    """Call a function on a timer while it returns True; without an event loop do nothing: the caller looks itself."""
    import panel as pn

    if not loop_runs():
        return

    def again() -> None:
        if not look():
            timer.stop()

    timer = pn.state.add_periodic_callback(again, period_ms)
