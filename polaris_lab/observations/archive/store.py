"""The folder of fetched data: what is there, with the checksum of its first download."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polaris_lab.config import read_json, write_json
from polaris_lab.observations.archive.content import check_content
from polaris_lab.observations.archive.download import download
from polaris_lab.observations.archive.listing import Item, item
from polaris_lab.observations.archive.unpack import unpack

log = logging.getLogger(__name__)

CHECKSUMS = "checksums.json"
FOLDER_VARIABLE, MIRROR_VARIABLE = "POLARIS_LAB_DATA", "POLARIS_LAB_MIRROR"


def default_folder() -> Path:
    """Return where fetched data are kept: the environment's POLARIS_LAB_DATA, else the user's cache."""
    if FOLDER_VARIABLE in os.environ:
        return Path(os.environ[FOLDER_VARIABLE])
    import pooch

    return Path(pooch.os_cache("polaris_lab"))


def fetch(
    name: str,
    *,
    folder: str | Path | None = None,
    mirror: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Return the path of public data, downloading them if they are not there yet.

    A download that was cut off goes on where it stopped. The checksum of the first download is kept: a file that has
    changed since, here or at its source, is refused.

    Parameters
    ----------
    name : str
        See :func:`polaris_lab.observations.archive.listing.items`, or ``polaris-lab fetch --list``.
    folder : path, optional
        Where data are kept; by default the environment's POLARIS_LAB_DATA, else the user's cache.
    mirror : path or address, optional
        A folder or an address that is asked first for the file name; by default the environment's POLARIS_LAB_MIRROR.
    progress : bool
        Show a bar.

    Returns
    -------
    Path
        The file; of an archive the folder it was unpacked to.

    Raises
    ------
    ValueError
        If the name is unknown, a person must download it (the error lists the steps), or the file on disk has changed.
    DownloadError
        If no address gives the file.
    """
    wanted = item(name)
    folder = default_folder() if folder is None else Path(folder)
    mirror = os.environ.get(MIRROR_VARIABLE) if mirror is None else mirror
    target = folder / wanted.file_name
    kept = _read_checksums(folder).get(wanted.file_name)
    if target.exists() and kept is not None:
        _check_unchanged(target, kept)
        return _ready(wanted, target)
    if mirror is not None and not _is_address(mirror):
        found = Path(mirror) / wanted.file_name
        if found.exists():
            return fetch_local(name, found, folder=folder)
        mirror = None
    if not wanted.addresses and mirror is None:
        raise ValueError(
            f"{name}: expected something to download, got data that a person must ask for:\n  "
            + "\n  ".join(f"{number}. {step}" for number, step in enumerate(wanted.steps, start=1))
        )
    addresses = (
        (f"{str(mirror).rstrip('/')}/{wanted.file_name}", *wanted.addresses) if mirror else wanted.addresses
    )
    known = None if kept is None else f"sha256:{kept['sha256']}"
    url = download(addresses, target, kind=wanted.kind, known_hash=known, progress=progress)
    _keep_checksum(folder, target, url)
    return _ready(wanted, target)


def fetch_local(name: str, file: str | Path, *, folder: str | Path | None = None) -> Path:
    """Take over a file that a person has downloaded, after the same checks.

    Parameters
    ----------
    name : str
        What it is: see :func:`fetch`.
    file : path
        The download. It is copied, not moved.
    folder : path, optional
        As for :func:`fetch`.

    Returns
    -------
    Path
        The file in the folder; of an archive the folder it was unpacked to.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ContentError
        If it is not what the name says.
    ValueError
        If another file was kept under that name before.
    """
    wanted, file = item(name), Path(file)
    folder = default_folder() if folder is None else Path(folder)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: expected the file that was downloaded, got nothing there")
    check_content(file, wanted.kind if wanted.addresses else "any")
    target = folder / (wanted.file_name if wanted.addresses else file.name)
    kept = _read_checksums(folder).get(target.name)
    if kept is not None:
        _check_unchanged(file, kept)
    folder.mkdir(parents=True, exist_ok=True)
    if file.resolve() != target.resolve():
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(file, partial)
        partial.replace(target)
    _keep_checksum(folder, target, str(file))
    return _ready(wanted, target)


def _ready(wanted: Item, target: Path) -> Path:
    """Return the file, or the folder of an archive, unpacked if it is not yet."""
    import tarfile
    import zipfile

    if wanted.kind != "tar" and wanted.addresses:
        return target
    if not (tarfile.is_tarfile(target) or zipfile.is_zipfile(target)):
        return target
    folder = target.with_name(target.name.split(".")[0])
    if folder.exists():
        inside = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    return unpack(target, folder)


def _is_address(mirror: str | Path) -> bool:
    return isinstance(mirror, str) and "://" in mirror


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_checksums(folder: Path) -> dict[str, Any]:
    path = folder / CHECKSUMS
    return read_json(path) if path.exists() else {}


def _keep_checksum(folder: Path, target: Path, origin: str) -> None:
    """Note where a file came from, when, and its checksum; the first one stays."""
    kept = _read_checksums(folder)
    if target.name not in kept:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept[target.name] = {
            "sha256": _sha256(target),
            "bytes": target.stat().st_size,
            "from": origin,
            "date": now,
        }
        write_json(folder / CHECKSUMS, kept)


def _check_unchanged(path: Path, kept: dict[str, Any]) -> None:
    got = _sha256(path)
    if got != kept["sha256"]:
        raise ValueError(
            f"{path}: expected the file first fetched on {kept['date']} (SHA-256 {kept['sha256'][:16]}...), got another "
            f"({got[:16]}...): it was changed or damaged; delete it to fetch it again, and its entry in {CHECKSUMS} too if "
            "the archive has a new version"
        )
