"""Batches made ready by threads while the network is busy with the one before."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item, Batch = TypeVar("Item"), TypeVar("Batch")


class Prefetch(Generic[Item, Batch]):
    """Apply a function to items in threads, some items ahead of whoever takes the results.

    Parameters
    ----------
    prepare : callable
        Makes a batch of an item; called in threads.
    items : iterable
        In order.
    workers : int
        Threads; with 0 everything is done when it is asked for, without threads.
    ahead : int, optional
        Batches that may be ready or under way; by default two a thread.

    Attributes
    ----------
    waited_seconds : float
        Time for which results had to be waited for.

    Examples
    --------
    >>> with Prefetch(abs, [-1, -2, 3], workers=2) as batches:
    ...     list(batches)
    [1, 2, 3]
    """

    def __init__(
        self,
        prepare: Callable[[Item], Batch],
        items: Iterable[Item],
        *,
        workers: int,
        ahead: int | None = None,
    ) -> None:
        self._prepare, self._items = prepare, iter(items)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="patches") if workers else None
        self._ahead = 2 * workers if ahead is None else ahead
        self._waiting: deque[Future[Batch]] = deque()
        self.waited_seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._pool is None:
            item = next(self._items)
            start = time.perf_counter()
            batch = self._prepare(item)
        else:
            self._fill()
            if not self._waiting:
                raise StopIteration
            start = time.perf_counter()
            batch = self._waiting.popleft().result()
            self._fill()
        self.waited_seconds += time.perf_counter() - start
        return batch

    def _fill(self) -> None:
        while len(self._waiting) < self._ahead:
            try:
                item = next(self._items)
            except StopIteration:
                return
            self._waiting.append(self._pool.submit(self._prepare, item))

    def __enter__(self) -> Prefetch[Item, Batch]:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
