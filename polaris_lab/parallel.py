"""The one place that knows where work runs: a local pool, or a Dask cluster handed in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def worker_count(maximum: int | None = None) -> int:
    """Return the number of processors this process may use, at most `maximum`."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # Windows and macOS have no affinity mask
        available = os.cpu_count() or 1
    return max(1, min(available, maximum or available))


def map_tasks(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    client: Any = None,
    workers: int | None = None,
) -> Iterator[Any]:
    """Apply `function` to every item, yielding the results in the order of the items.

    Parameters
    ----------
    function : callable
        Importable (a module-level function), so that it can be sent to another process.
    items : iterable
        Its arguments, one each.
    client : dask.distributed.Client, optional
        Where to run; by default a pool of local processes. The function is submitted once an item.
    workers : int, optional
        Size of the local pool; by default the processors available, at most one an item.
        With 1, everything runs in this process.

    Yields
    ------
    object
        The results, in order; an exception of a task is raised here and ends the rest.

    Examples
    --------
    >>> list(map_tasks(abs, [-1, 2, -3], workers=1))
    [1, 2, 3]
    """
    items = list(items)
    if client is not None:
        futures = client.map(function, items, pure=False)
        try:
            for future in futures:
                yield future.result()
        finally:
            client.cancel(futures)
        return
    count = worker_count(min(workers or len(items), len(items))) if items else 1
    if count == 1:
        for item in items:
            yield function(item)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _one_thread() -> None:
    """Keep a worker on one thread: as many workers as processors share them without spin waits."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
