"""A headless Chromium that is told when a page asks for anything outside this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SCREENSHOTS = Path(__file__).parent / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCAL = ("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def browser():
    """Return a Chromium; where there is none the test is skipped, and fails in CI."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        reason = "browser tests need Chromium (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # root has no sandbox of its own, and neither have most containers; WebGL2 by software
        arguments = ["--no-sandbox", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def in_time() -> Callable[[float], float]:
    """Return how long a slider may take to its picture [ms], as a function of the idle round trip of the same run.

    The goal is the round trip and 100 ms, which all pages reach on an idle machine; the bound leaves 50 ms more, and
    twice the round trip where the machine of a test is busy.
    """
    return lambda idle_ms: idle_ms + max(150.0, idle_ms)


@dataclass
class Visit:
    """A page, and what went wrong on it."""

    page: object
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def screenshot(self, name: str) -> None:
        """Keep a picture of the page for a person to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture
def visit(browser) -> Iterator[Visit]:
    """Open an empty page; at the end assert that it asked for nothing outside and raised no error.

    A request that would leave the machine is never answered, as behind a firewall that drops packets. A file
    may ask for no second file: ``//host`` in one turns into ``file://host``.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(60_000)
    page = context.new_page()
    seen = Visit(page)

    def gate(route):
        url = route.request.url
        parts = urlsplit(url)
        first = parts.scheme == "file" and not parts.netloc and route.request.is_navigation_request()
        if parts.hostname in LOCAL or first or parts.scheme in ("data", "blob"):
            route.continue_()
        else:
            seen.outside.append(url)

    page.route("**/*", gate)
    page.on("request", lambda request: _note_files(request, seen))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    yield seen
    context.close()
    assert seen.outside == [], "requests left this machine"
    assert seen.errors == [], "the page raised errors"


def _note_files(request, seen: Visit) -> None:
    """Note a request for a second file, should the gate not be asked about it."""
    if urlsplit(request.url).scheme == "file" and not request.is_navigation_request():
        seen.outside.append(request.url)


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Callable[..., str]]:
    """Give a function that starts ``python ARGUMENTS`` as a server, its log in a folder; at the end all stop."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> str:
        path = folder / f"server-{len(started)}.log"
        with path.open("w") as log:
            command = [sys.executable, *arguments]
            server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        started.append(server)
        end = time.monotonic() + 240
        while "http://" not in (text := path.read_text()):
            assert server.poll() is None, f"the server ended: {text}"
            assert time.monotonic() < end, f"the server did not start: {text}"
            time.sleep(0.1)
        return next(word for word in text.split() if word.startswith("http://"))

    try:
        yield start
    finally:
        for server in started:
            server.terminate()
            server.wait(timeout=30)


@pytest.fixture
def start_server(tmp_path) -> Iterator[Callable[..., str]]:
    """Return a function that starts ``python ARGUMENTS`` as a server and gives the address that it prints."""
    with servers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_server(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Return such a function for a server that all tests of a module visit: to start one takes long."""
    with servers(tmp_path_factory.mktemp("servers")) as start:
        yield start
