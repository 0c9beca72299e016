"""Following the history of a run that grows: only lines that are new are read."""

from __future__ import annotations

import json
from pathlib import Path

from polaris_lab.config import from_dict
from polaris_lab.training.folder import HISTORY
from polaris_lab.training.records import EpochRecord


class HistoryTail:
    """Read the history of a run again and again, each line once.

    A last line without its end waits for the next look. A history that was replaced or cut is read afresh.

    Parameters
    ----------
    folder : path
        Of the run.

    Examples
    --------
    >>> HistoryTail("/nowhere").read()
    ()
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / HISTORY
        self._forget()

    def _forget(self) -> None:
        self._records: tuple[EpochRecord, ...] = ()
        self._offset, self._file, self._last = 0, None, b""

    def read(self) -> tuple[EpochRecord, ...]:
        """Return the records of all finished epochs.

        Raises
        ------
        ValueError
            If a whole line is damaged; what was read before it is not lost, and the next look tries again.
        """
        try:
            with open(self._path, "rb") as file:
                stat = self._path.stat()
                self._check(file, (stat.st_dev, stat.st_ino))
                file.seek(self._offset)
                fresh = file.read()
        except FileNotFoundError:
            self._forget()
            return ()
        *lines, _unfinished = fresh.split(b"\n")
        found = []
        for line in lines:
            try:
                found.append(from_dict(EpochRecord, json.loads(line)))
            except (ValueError, TypeError) as error:
                number = len(self._records) + len(found) + 1
                raise ValueError(
                    f"{self._path}: expected one record of an epoch in line {number}, got {line[:60]!r} ({error})"
                ) from error
        if lines:
            self._records = (*self._records, *found)
            self._offset += sum(len(line) + 1 for line in lines)
            self._last = lines[-1]
        return self._records

    def _check(self, file, identity: tuple[int, int]) -> None:
        """Forget everything unless the file still holds, where it was, the line that was read last."""
        start = self._offset - len(self._last) - 1
        if self._file == identity and self._records:
            file.seek(start)
            if file.read(len(self._last) + 1) == self._last + b"\n":
                return
        self._forget()
        self._file = identity
