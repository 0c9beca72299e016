"""The one place that knows where work runs: a local pool, or a Dask cluster handed in."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

logger = logging.getLogger(__name__)

RESTARTS = 3
"""How often the pool of :func:`map_as_finished` is begun again after a worker died."""


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


def map_as_finished(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    client: Any = None,
    workers: int = 1,
    gpus: Sequence[str] = (),
    leaving: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Any, Any]]:
    """Apply `function` to every item, yielding each with its result as soon as it is there; workers may die.

    An item is taken when a worker is free for it, so `items` may be a generator whose next item depends on the
    results that came before. An item whose worker died is done again by another, so `function` must bear that.

    Parameters
    ----------
    function : callable
        Importable, as for :func:`map_tasks`.
    items : iterable
        Its arguments, one each.
    client : dask.distributed.Client, optional
        Where to run, one item a thread of the cluster; by default `workers` local processes.
    workers : int
        Size of the local pool. With 1, everything runs in this process.
    gpus : sequence of str
        Names of GPUs (as CUDA_VISIBLE_DEVICES has them) that the processes of the pool share out: one each.
    leaving : callable
        Called when this is left before its end (Ctrl-C, a break, an error), before it waits for the items at work:
        it may tell them to end.

    Yields
    ------
    item, result

    Raises
    ------
    RuntimeError
        If workers of the pool die more than :data:`RESTARTS` times.
    Exception
        That of an item; it ends the rest.

    Examples
    --------
    >>> list(map_as_finished(abs, [-1, 2]))
    [(-1, 1), (2, 2)]
    """
    if client is not None:
        yield from _on_cluster(function, iter(items), client, leaving)
    elif workers == 1:
        for item in items:
            yield item, function(item)
    else:
        yield from _in_pools(function, iter(items), workers, tuple(gpus), leaving)


def _on_cluster(
    function: Callable[[Any], Any], items: Iterator[Any], client: Any, leaving: Callable[[], object]
) -> Iterator[tuple[Any, Any]]:
    """Keep every thread of a Dask cluster at work; the scheduler gives the items of a dead worker to another."""
    from distributed import wait as wait_for

    running: dict[Any, Any] = {}
    try:
        while True:
            free = max(1, sum(client.nthreads().values())) - len(running)
            for item in itertools.islice(items, max(free, 0)):
                running[client.submit(function, item, pure=False)] = item
            if not running:
                return
            done, _ = wait_for(list(running), return_when="FIRST_COMPLETED")
            for future in done:
                result = future.result()
                yield running.pop(future), result
    except BaseException:
        leaving()
        raise
    finally:
        client.cancel(list(running))


def _in_pools(
    function: Callable[[Any], Any],
    items: Iterator[Any],
    workers: int,
    gpus: tuple[str, ...],
    leaving: Callable[[], object],
) -> Iterator[tuple[Any, Any]]:
    """Keep a local pool at work, and begin another with what was not finished when a worker has died."""
    left: list[Any] = []
    for attempt in range(RESTARTS + 1):
        try:
            yield from _in_pool(function, items, left, workers, gpus, leaving)
            return
        except BrokenProcessPool as error:
            if attempt == RESTARTS:
                raise RuntimeError(
                    f"workers: expected processes that live, got one killed for the {attempt + 1}th time (out of memory?); "
                    "take fewer workers, or smaller work"
                ) from error
            logger.warning("a worker died; %d unfinished items are begun again", len(left))


def _in_pool(
    function: Callable[[Any], Any],
    items: Iterator[Any],
    left: list[Any],
    workers: int,
    gpus: tuple[str, ...],
    leaving: Callable[[], object],
) -> Iterator[tuple[Any, Any]]:
    """Work on `left` and then on `items`; whatever ends this, `left` then holds what was taken and not finished."""
    again, running = iter(left[:]), {}
    context = get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=(numbers, gpus)
    ) as pool:
        try:
            while True:
                while len(running) < workers:
                    item = next(again, None)
                    if item is None:
                        item = next(items, None)
                        if item is None:
                            break
                        left.append(item)
                    running[pool.submit(function, item)] = item
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    item = running.pop(future)
                    left.remove(item)
                    yield item, result
        except BrokenProcessPool:
            raise
        except BaseException:
            leaving()
            raise
        finally:
            for future in running:
                future.cancel()


def _begin_worker(numbers: Any, gpus: tuple[str, ...]) -> None:
    """Make a process of the pool ready: one thread, a GPU of its own, deaf to Ctrl-C, ended with its parent."""
    _one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and says what is to end
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[numbers.get() % len(gpus)]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is gone, also one that was killed: nobody waits for its work."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one_thread() -> None:
    """Keep a worker on one thread: as many workers as processors share them without spin waits."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
