"""Downloading a file over HTTP: several addresses in turn, and going on where an earlier try was cut off."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polaris_lab.observations.archive.content import ContentError, check_content

log = logging.getLogger(__name__)

CHUNK = 2**16
"""Bytes between two writes: what a connection that breaks can lose."""

TIMEOUT_S = 30.0
"""Seconds without an answer after which an address is given up."""


class DownloadError(OSError):
    """No address gave the file."""


class ResumingDownloader:
    """A downloader for pooch that keeps what it has in ``NAME.part`` and goes on from there.

    Parameters
    ----------
    part : Path
        Where the unfinished file is kept.
    kind : str
        What the file must be: see :func:`polaris_lab.observations.archive.content.check_content`.
    progress : bool
        Show a bar.
    """

    def __init__(self, part: Path, *, kind: str, progress: bool = True) -> None:
        self.part, self.kind, self.progress = part, kind, progress

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> bool | None:
        """Download `url` to `output_file`, as pooch asks for it.

        Raises
        ------
        ContentError
            If the file is not of its kind; what was downloaded is thrown away.
        requests.RequestException, OSError
            If the transfer fails; what has arrived is kept.
        """
        import requests

        if check_only:
            return requests.head(url, timeout=TIMEOUT_S, allow_redirects=True).ok
        self._transfer(url)
        try:
            check_content(self.part, self.kind)
        except ContentError:
            self.part.unlink()
            raise
        shutil.move(self.part, output_file)
        return None

    def _transfer(self, url: str) -> None:
        """Bring the unfinished file to its full length."""
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if have and answer.status_code == 416:  # nothing is missing: the length is checked by the content
                return
            answer.raise_for_status()
            go_on = have > 0 and answer.status_code == 206
            total = _length(answer, have if go_on else 0)
            if go_on:
                log.info("%s: going on after %.1f MB", self.part.name, have / 1e6)
            with (
                open(self.part, "ab" if go_on else "wb") as file,
                _bar(self, total, have if go_on else 0) as bar,
            ):
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
        size = self.part.stat().st_size
        if total is not None and size != total:
            raise OSError(
                f"{url}: expected {total} bytes, got {size}: the connection was cut; fetch again to go on"
            )


def download(
    addresses: Sequence[str], target: Path, *, kind: str, known_hash: str | None = None, progress: bool = True
) -> str:
    """Download a file from the first address that gives it.

    Parameters
    ----------
    addresses : sequence of str
        Tried in turn.
    target : Path
        Where the file goes, whole or not at all.
    kind : str
        What it must be.
    known_hash : str, optional
        Its SHA-256, where that is known from an earlier download.
    progress : bool
        Show a bar.

    Returns
    -------
    str
        The address that gave it.

    Raises
    ------
    DownloadError
        If none did; it says what each answered.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # the bar and the errors below say the same
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for number, url in enumerate(addresses):
        part = target.with_name(
            f"{target.name}.{number}.part"
        )  # what one address gave is not continued from another
        downloader = ResumingDownloader(part, kind=kind, progress=progress)
        try:
            pooch.retrieve(url, known_hash, fname=target.name, path=target.parent, downloader=downloader)
            return url
        except (requests.RequestException, OSError, ValueError) as error:
            log.info("%s: %s", url, error)
            failures.append(f"{url}: {error}")
    raise DownloadError(
        f"{target.name}: expected one of {len(addresses)} addresses to give it, got none:\n  "
        + "\n  ".join(failures)
        + "\nArchives move: look for the file in a browser and hand it over with --local FILE, or name a mirror with --mirror"
    )


def _length(answer: Any, have: int) -> int | None:
    """Return the length of the whole file, None where the server does not say."""
    length = answer.headers.get("Content-Length")
    encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
    return None if length is None or encoded else have + int(length)


def _bar(downloader: ResumingDownloader, total: int | None, initial: int) -> Any:
    from tqdm.auto import tqdm

    name = downloader.part.name.rsplit(".", 2)[0]
    return tqdm(
        total=total, initial=initial, unit="B", unit_scale=True, desc=name, disable=not downloader.progress
    )
