"""Refuse before starting what would not fit into memory."""

from __future__ import annotations

import psutil


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse work that needs more than nine tenths of the memory at hand.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        What needs them, for the error.
    remedy : str
        The argument to lower.

    Raises
    ------
    MemoryError
        With both numbers.
    """
    available = psutil.virtual_memory().available
    if needed > 0.9 * available:
        raise MemoryError(
            f"{remedy}: expected work that fits into memory, got {what}, which needs {needed / 2**30:.3g} GiB of "
            f"{available / 2**30:.3g} GiB available; take a coarser one or a smaller part"
        )
