"""Where patches go on one face: random candidates, then, when they jam, the best layout that fits.

Every candidate meets the tests in this order: distance to the patches already taken, very diffuse pixels, the border
of the slab, and last the score, with the probability of eq. 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FATES = ("accepted", "too close", "too diffuse", "across the slab", "score", "repacked")
"""What became of a candidate: taken; failed at that test; or taken, then given up for a layout that holds more."""

STAGES = ("random", "packing")


@dataclass(frozen=True)
class Ground:
    """A face as placement sees it; all maps have one entry for every position of a patch's first pixel.

    Attributes
    ----------
    probability : ndarray
        Of passing the score test in one draw (eq. 14).
    diffuse : ndarray of bool
        Positions rejected for very diffuse pixels.
    across : ndarray of bool
        Positions rejected for lying across the border of the slab.
    separation : int
        Smallest distance along rows or columns [pixels].
    """

    probability: np.ndarray
    diffuse: np.ndarray
    across: np.ndarray
    separation: int


@dataclass(frozen=True)
class Placement:
    """Candidates of one face, in the order of their trial, and what became of them.

    Attributes
    ----------
    origin : ndarray of int, shape (n, 2)
        Row and column of their first pixels.
    fate, stage : ndarray of str, shape (n,)
        Out of `FATES` and `STAGES`.
    note : str
        What is to be said of the face, or "".
    """

    origin: np.ndarray
    fate: np.ndarray
    stage: np.ndarray
    note: str


def place(
    ground: Ground,
    *,
    candidates: int,
    attempts: int,
    wanted: int | None,
    packing: bool,
    rng: np.random.Generator,
) -> Placement:
    """Place patches on a face.

    Parameters
    ----------
    ground : Ground
    candidates : int
        Random positions to try.
    attempts : int
        Draws of the score test that a place of a layout gets: as many as random candidates would give it.
    wanted : int or None
        Patches to stop at; None for all that fit.
    packing : bool
        Whether to lay out anew when random placement stays below.
    rng : Generator

    Returns
    -------
    Placement
    """
    places = _room(ground)
    goal = places if wanted is None else min(wanted, places)
    origin, fate = _place_randomly(ground, candidates, goal, rng)
    found = int((fate == "accepted").sum())
    stage = np.full(len(fate), "random", dtype="U7")
    if found >= goal:
        return Placement(origin, fate, stage, "")
    note = f"random placement jammed at {found} of {goal} patches that fit after {len(fate)} candidates"
    if not packing:
        return Placement(origin, fate, stage, note)
    layout = best_layout(1 - (1 - ground.probability) ** attempts, ground)
    kept = _draw(ground.probability[tuple(layout.T)], attempts, goal, rng)
    if kept.sum() <= found:
        return Placement(origin, fate, stage, f"{note}; packing found no room for more")
    fate[fate == "accepted"] = "repacked"
    return Placement(
        origin=np.concatenate([origin, layout]),
        fate=np.concatenate([fate, np.where(kept, "accepted", "score").astype(fate.dtype)]),
        stage=np.concatenate([stage, np.full(len(layout), "packing", dtype="U7")]),
        note=f"{note}; packed anew with {int(kept.sum())}",
    )


def _room(ground: Ground) -> int:
    """Return how many patches can be laid out on a face, whatever their scores."""
    if not (ground.diffuse.any() or ground.across.any()):
        rows, columns = ground.probability.shape
        return math.ceil(rows / ground.separation) * math.ceil(columns / ground.separation)
    return len(best_layout(np.ones_like(ground.probability), ground))


def _place_randomly(
    ground: Ground, candidates: int, goal: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Try random positions one after the other until the goal is reached or none is left."""
    shape = ground.probability.shape
    rows, columns = (rng.integers(side, size=candidates) for side in shape)
    draws = rng.random(candidates)
    passes = draws < ground.probability[rows, columns]
    diffuse, across = ground.diffuse[rows, columns], ground.across[rows, columns]
    taken = np.zeros(shape, bool)  # positions too close to an accepted patch
    reach = ground.separation - 1
    fate = np.empty(candidates, dtype="U15")
    accepted = 0
    for number, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        if accepted == goal:
            fate = fate[:number]
            break
        if taken[row, column]:
            fate[number] = "too close"
        elif diffuse[number]:
            fate[number] = "too diffuse"
        elif across[number]:
            fate[number] = "across the slab"
        elif not passes[number]:
            fate[number] = "score"
        else:
            fate[number] = "accepted"
            accepted += 1
            taken[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = True
    return np.stack([rows, columns], axis=1)[: len(fate)], fate


def _draw(probability: np.ndarray, attempts: int, goal: int, rng: np.random.Generator) -> np.ndarray:
    """Say which places are taken when each is drawn up to `attempts` times, until the goal is reached.

    The number of the first draw that passes is geometric, so places are taken in the order of that number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.ceil(np.log1p(-rng.random(len(probability))) / np.log1p(-probability))
    order = np.lexsort([rng.random(len(probability)), first])
    kept = np.zeros(len(probability), bool)
    kept[order[:goal]] = True
    return kept & (first <= attempts)


def best_layout(value: np.ndarray, ground: Ground) -> np.ndarray:
    """Return the positions, laid out in rows of patches, whose values add up to most.

    Two passes of dynamic programming, exact among such layouts: the best choice of columns for every row of
    patches, then the best choice of rows.

    Parameters
    ----------
    value : ndarray
        Worth of a patch at each position, not negative.
    ground : Ground
        Positions that fail its tests are worth nothing and never chosen.

    Returns
    -------
    ndarray of int, shape (n, 2)
        Row and column, in reading order.
    """
    worth = np.where(ground.diffuse | ground.across, 0.0, value)
    totals = _running_best(worth.T, ground.separation)  # (columns + 1, rows)
    rows = _running_best(totals[-1][:, None], ground.separation)[:, 0]
    chosen = []
    for row in _trace(rows, totals[-1], ground.separation):
        columns = _trace(totals[:, row], worth[row], ground.separation)
        chosen += [(row, column) for column in columns]
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)


def _running_best(worth: np.ndarray, step: int) -> np.ndarray:
    """Best sum of entries before each index, entries at least `step` apart; one problem a column."""
    best = np.zeros((len(worth) + 1, worth.shape[1]))
    for index in range(len(worth)):
        np.maximum(best[index], worth[index] + best[max(0, index + 1 - step)], out=best[index + 1])
    return best


def _trace(best: np.ndarray, worth: np.ndarray, step: int) -> list[int]:
    """Return the entries that give the best sum, in order; those worth nothing are left out."""
    chosen, index = [], len(worth)
    while index > 0:
        if worth[index - 1] > 0 and best[index] > best[index - 1]:
            chosen.append(index - 1)
            index = max(0, index - step)
        else:
            index -= 1
    return chosen[::-1]
