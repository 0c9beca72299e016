"""How every benchmark is told: ours against a plain reference, timed turn by turn in the same run.

Ratios travel between machines, absolute figures do not: quote the ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@pytest.fixture
def against(benchmark, capsys):
    """Time `ours` with pytest-benchmark and `reference` turn by turn; print a line; return the ratio."""

    def compare(
        name: str, ours: Callable, reference: Callable, *, rounds: int = 5, work: float = 0.0, unit: str = ""
    ):
        ours()  # compile, allocate, fill caches
        reference()
        pairs = np.array([(timed(ours), timed(reference)) for _ in range(rounds)])
        benchmark.pedantic(ours, rounds=1)
        mine, plain = np.median(pairs, axis=0)
        ratio = float(np.median(pairs[:, 1] / pairs[:, 0]))
        rate = f", {work / mine:.3g} {unit} (reference {work / plain:.3g})" if unit else ""
        benchmark.extra_info.update(ratio=ratio, seconds=mine, reference_seconds=plain)
        with capsys.disabled():
            print(f"\n  {name}: {mine * 1e3:.4g} ms, reference {plain * 1e3:.4g} ms: {ratio:.2f} x{rate}")
        return ratio

    return compare
