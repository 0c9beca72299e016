"""Checks of the numbers and words in a configuration: each says what was expected, what came and the remedy."""

from __future__ import annotations

import math
from typing import Any

from polaris_lab.config import did_you_mean


def check_whole(name: str, value: Any, smallest: int, remedy: str) -> None:
    """Refuse what is no whole number of at least `smallest`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, got {value!r}; {remedy}")
    if value < smallest:
        raise ValueError(f"{name}: expected at least {smallest}, got {value}; {remedy}")


def check_within(
    name: str,
    value: Any,
    low: float,
    high: float,
    remedy: str,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Refuse what is no finite number from `low` to `high`, the ends excluded where they are open."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: expected a number, got {value!r}; {remedy}")
    inside = math.isfinite(value) and low <= value <= high
    if not inside or (open_low and value == low) or (open_high and value == high):
        if low == -math.inf:
            expected = "a finite number"
        elif high == math.inf:
            expected = f"a finite number {'above' if open_low else 'from'} {low:g}"
        else:
            expected = f"a number from {low:g} to {high:g}" + (", the ends excluded" if open_high else "")
        raise ValueError(f"{name}: expected {expected}, got {value}; {remedy}")


def check_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Refuse a word that is not among the known ones."""
    if value not in known:
        raise ValueError(f"{name}: unknown {value!r}: {did_you_mean(str(value), known)}")
