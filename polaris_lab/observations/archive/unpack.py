"""Unpacking an archive into a folder, and never outside it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a tar or zip archive into a new folder, whole or not at all.

    Parameters
    ----------
    archive : path
    folder : path
        Must not exist.

    Returns
    -------
    Path
        The folder; the single folder inside it where the archive holds nothing else.

    Raises
    ------
    FileExistsError
        If the folder exists.
    ValueError
        If the file is no archive, is damaged, or a member would leave the folder or is no plain file; nothing is then
        left on disk.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"{folder}: expected a free path to unpack to, got something there; choose another"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _extract(archive, partial)
        partial.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"{archive.name}: expected a whole archive, got a damaged one ({error}); fetch it again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    inside = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _extract(archive: Path, folder: Path) -> None:
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            for member in file.getmembers():
                _check_member(archive, member.name, plain=member.isfile() or member.isdir())
            file.extractall(folder, filter="data")
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                _check_member(archive, member.filename, plain=(member.external_attr >> 28) in (0, 4, 8))
            file.extractall(folder)
    else:
        raise ValueError(f"{archive.name}: expected a tar or zip archive, got another file")


def _check_member(archive: Path, name: str, *, plain: bool) -> None:
    """Refuse a member that would leave the folder, and links and devices."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or (parts.parts and ":" in parts.parts[0]):
        raise ValueError(
            f"{archive.name}: expected members inside the archive's folder, got {name!r}, which leaves it; do not trust "
            "this archive: fetch it anew from its source"
        )
    if not plain:
        raise ValueError(
            f"{archive.name}: expected files and folders, got a link or device {name!r}; unpack it by hand"
        )
