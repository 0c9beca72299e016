"""What tests ask of a volume viewer in a page."""

from __future__ import annotations

import time


def stats(page) -> dict:
    return page.locator(".volume-view").evaluate("view => view.stats")


def wait_until(page, good, seconds: float = 90.0) -> dict:
    """Wait until the component's counts are as wanted."""
    end = time.monotonic() + seconds
    while not good(seen := stats(page)):
        assert time.monotonic() < end, seen
        page.wait_for_timeout(50)
    return seen
