"""The one place that knows where work runs: a local pool, or a Dask cluster handed in."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from multiprocessing import get_context
from typing import Any


def worker_count(maximum: int | None = None) -> int:
    """Return the number of processors this process may use, at most `maximum`."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # Windows and macOS have no affinity mask
        available = os.cpu_count() or 1
    return max(1, min(available, maximum or available))


def thread_count() -> int:
    """Return how many threads compiled kernels use: the processors at hand, or NUMBA_NUM_THREADS if fewer."""
    wanted = os.environ.get("NUMBA_NUM_THREADS", "")
    return worker_count(int(wanted) if wanted.isdigit() and int(wanted) > 0 else None)


def share_rows(kernel: Callable[..., Any], rows: int, *arguments: Any) -> list[Any]:
    """Run a compiled kernel on shares of its rows, a thread each.

    Threads of our own, not numba's: its fallback layer ends the whole process when two threads meet in it, and
    OpenMP's does so after a fork. The kernel must release the lock (``nogil=True``) and treat each row by
    itself; then the result does not depend on the number of threads.

    Parameters
    ----------
    kernel : callable
        ``kernel(*arguments, first, last)`` works on the rows from `first` up to, not including, `last`.
    rows : int
        How many there are.
    *arguments
        Handed to each call.

    Returns
    -------
    list
        What the calls returned, in the order of the rows.

    Examples
    --------
    >>> sum(share_rows(lambda values, first, last: sum(values[first:last]), 10, list(range(10))))
    45
    """
    threads = max(1, min(thread_count(), rows))
    count = (
        1 if threads == 1 else min(4 * threads, rows)
    )  # a thread that comes late leaves more to the others
    edges = [rows * part // count for part in range(count + 1)]
    results: list[Any] = [None] * count
    waiting = iter(range(count))  # next() of it is atomic

    def work() -> None:
        for part in waiting:
            results[part] = kernel(*arguments, edges[part], edges[part + 1])

    others = [_threads(os.getpid()).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        wait(others)  # nobody writes into the caller's arrays after this returns
    for other in others:
        other.result()
    return results


@functools.lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process: a forked child does not inherit them and gets its own."""
    return ThreadPoolExecutor(thread_count(), thread_name_prefix=f"polaris-lab-{process}")


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
