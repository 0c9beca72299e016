"""Is a file what it should be? A page that has moved answers with HTML, and a broken download with a part."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from pathlib import Path

KINDS = {
    "fits": "a FITS file, or one compressed with gzip",
    "table": "a table as plain text",
    "tar": "a tar or zip archive",
    "any": "a file",
}
"""What a file can be asked to be, in words."""

_GZIP, _FITS = b"\x1f\x8b", b"SIMPLE  ="
_FITS_BLOCK = 2880


class ContentError(ValueError):
    """A file is not what it should be."""


def check_content(path: str | Path, kind: str) -> None:
    """Refuse a file that is a web page, empty, cut off, or of another kind.

    Parameters
    ----------
    path : path
    kind : {"fits", "table", "tar", "any"}

    Raises
    ------
    ContentError
        With what was found instead.
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(4096)
    if not start:
        raise ContentError(f"{path.name}: expected {KINDS[kind]}, got an empty file; fetch it again")
    if _is_page(start):
        raise ContentError(
            f"{path.name}: expected {KINDS[kind]}, got a web page: the archive has moved or asks to log in; open its "
            "page in a browser, download the file there, and hand it over with --local FILE"
        )
    check = {"fits": _check_fits, "table": _check_table, "tar": _check_archive}.get(kind)
    if check is not None:
        check(path, start)


def _is_page(start: bytes) -> bool:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return (
        text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml version")) or b"<html" in text[:1024]
    )


def _check_fits(path: Path, start: bytes) -> None:
    if start.startswith(_FITS):
        size = path.stat().st_size
        if size % _FITS_BLOCK:
            raise ContentError(
                f"{path.name}: expected a whole FITS file, in blocks of {_FITS_BLOCK} bytes, got {size} bytes: it was cut "
                "off; fetch it again"
            )
        return
    if not start.startswith(_GZIP):
        raise ContentError(
            f"{path.name}: expected {KINDS['fits']}, got a file that starts with {start[:10]!r}"
        )
    try:
        with gzip.open(path) as file:
            inside = file.read(len(_FITS))
            while file.read(2**20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise ContentError(
            f"{path.name}: expected a whole gzip file, got one that was cut off ({error}); fetch it again"
        ) from error
    if inside != _FITS:
        raise ContentError(f"{path.name}: expected FITS inside the gzip file, got {inside!r}")


def _check_table(path: Path, start: bytes) -> None:
    if b"\0" in start or len(start.splitlines()) < 2:
        raise ContentError(f"{path.name}: expected {KINDS['table']}, got {start[:20]!r} ...")


def _check_archive(path: Path, start: bytes) -> None:
    if not (tarfile.is_tarfile(path) or zipfile.is_zipfile(path)):
        raise ContentError(
            f"{path.name}: expected {KINDS['tar']}, got a file that starts with {start[:10]!r}"
        )
