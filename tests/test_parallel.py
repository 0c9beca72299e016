"""map_tasks keeps the order, whoever does the work, and lets an error through."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from polaris_lab.parallel import map_tasks, share_rows, thread_count, worker_count


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    numbers = [9, 1, 4, 16]
    assert list(map_tasks(math.sqrt, numbers, workers=workers)) == [3, 1, 2, 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_is_raised(workers):
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(map_tasks(math.sqrt, [1, -1], workers=workers))


def test_nothing_to_do_is_no_error():
    assert list(map_tasks(math.sqrt, [])) == []


def test_never_more_workers_than_asked():
    assert worker_count(1) == 1
    assert worker_count() >= 1


class FakeFuture:
    def __init__(self, value):
        self.value = value

    def result(self):
        return self.value


class FakeClient:
    """Stands for a dask.distributed.Client: the calls that map_tasks makes of one."""

    def __init__(self):
        self.cancelled = []

    def map(self, function, items, *, pure):
        assert pure is False
        return [FakeFuture(function(item)) for item in items]

    def cancel(self, futures):
        self.cancelled = futures


def test_a_client_is_used_and_its_futures_released():
    client = FakeClient()
    assert list(map_tasks(math.sqrt, [4, 9], client=client)) == [2, 3]
    assert len(client.cancelled) == 2


def test_a_real_cluster_gives_the_same():
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert list(map_tasks(math.sqrt, [4, 9], client=client)) == [2, 3]


@pytest.mark.parametrize("rows", [0, 1, 3, 1000])
def test_rows_are_shared_out_once_each_and_in_order(rows):
    taken = share_rows(lambda first, last: list(range(first, last)), rows)
    assert [row for part in taken for row in part] == list(range(rows))


def test_an_error_of_one_share_is_raised():
    def kernel(first, last):
        if last == 1000:
            raise ValueError("the last share is bad")

    with pytest.raises(ValueError, match="last share"):
        share_rows(kernel, 1000)


def test_many_threads_may_share_rows_at_once():
    with ThreadPoolExecutor(8) as callers:
        sums = list(callers.map(lambda _: sum(share_rows(lambda a, b: sum(range(a, b)), 100)), range(50)))
    assert sums == [4950] * 50


@pytest.mark.parametrize(("variable", "expected"), [("1", 1), ("", worker_count()), ("many", worker_count())])
def test_kernels_keep_to_the_threads_they_are_allowed(monkeypatch, variable, expected):
    monkeypatch.setenv("NUMBA_NUM_THREADS", variable)
    assert thread_count() == expected
