"""Which patches an epoch looks at, in which order, in which process: a function of the order alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from polaris_lab.training.settings import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Part:
    """One batch of one step, in one process.

    Attributes
    ----------
    positions : int ndarray
        The patches.
    weight : float
        What the mean loss of the batch counts in the loss whose gradient the step takes, before processes are
        averaged.
    counted : bool
        False for a batch that only keeps a process without patches in step with the others.
    """

    positions: np.ndarray
    weight: float
    counted: bool = True

    def __len__(self) -> int:
        return len(self.positions) if self.counted else 0


def epoch_steps(order: np.ndarray, config: TrainingConfig, *, rank: int = 0) -> list[list[Part]]:
    """Return the batches of every optimizer step of an epoch that are the share of one process.

    All processes, and all batches that accumulate, make one "virtual batch": virtual batches differ by one patch
    at most, and every patch counts once in the mean over a virtual batch, however it is cut.

    Parameters
    ----------
    order : int ndarray
        A permutation of the patches.
    config : TrainingConfig
        Its ``batch_size``, ``accumulate``, ``devices``, ``num_nodes``, ``remainder`` and ``step``.
    rank : int
        The number of the process.

    Examples
    --------
    >>> config = TrainingConfig(batch_size=2, accumulate=2)
    >>> [[part.positions.tolist() for part in step] for step in epoch_steps(np.arange(7), config)]
    [[[0, 1], [2, 3]], [[4, 5], [6]]]
    >>> [round(part.weight, 3) for part in epoch_steps(np.arange(7), config)[1]]
    [0.667, 0.333]
    """
    steps = [_share(virtual, config, rank) for virtual in _virtual_batches(order, config)]
    if config.step == "batch":
        return steps
    return [[dataclasses.replace(part, weight=1.0) for step in steps for part in step]]


def steps_per_epoch(count: int, config: TrainingConfig) -> int:
    """Return the optimizer steps of an epoch over `count` patches."""
    if config.step == "epoch":
        return 1
    virtual = config.virtual_batch
    return count // virtual if config.remainder == "drop" else -(-count // virtual)


def _virtual_batches(order: np.ndarray, config: TrainingConfig) -> Iterator[np.ndarray]:
    virtual, count = config.virtual_batch, len(order)
    if config.remainder == "drop":
        whole = count // virtual
        yield from np.split(order[: whole * virtual], whole)
    else:
        yield from np.array_split(order, -(-count // virtual))


def _share(virtual: np.ndarray, config: TrainingConfig, rank: int) -> list[Part]:
    """Cut what one process takes of a virtual batch into batches; the number of these is the same in all."""
    shares = np.array_split(virtual, config.processes)
    number = -(-len(shares[0]) // config.batch_size)
    scale = config.processes / len(virtual)
    return [
        Part(piece, len(piece) * scale) if len(piece) else Part(virtual[:1], 0.0, counted=False)
        for piece in np.array_split(shares[rank], number)
    ]
