"""Patches that stay on disk and are read batch by batch, for datasets larger than memory."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import psutil
from torch import Tensor

from polaris_lab.training.batches import Patches, check_names, split_rows

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset

logger = logging.getLogger(__name__)

MEMORY_SHARE = 0.5
"""Fraction of the free memory that patches may take; beyond it they are read while the network is trained."""

READERS = 2
"""Threads that read, unless a configuration says how many."""

SAMPLE_BYTES = 2**30
"""Size of the sample of a streamed dataset to which constants are fitted [bytes]."""


@dataclasses.dataclass(frozen=True)
class StreamedPatches:
    """Pairs of log10 maps on disk, with the interface of :class:`Patches`.

    Parameters
    ----------
    dataset : PatchDataset
    inputs : tuple of str
    target : str
    numbers : ndarray
        Their rows in the dataset.
    extra_targets : tuple of str
    workers : int
        Threads that are to read them.
    """

    dataset: PatchDataset
    inputs: tuple[str, ...]
    target: str
    numbers: np.ndarray
    extra_targets: tuple[str, ...] = ()
    workers: int = READERS

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, positions: np.ndarray) -> tuple[dict[str, Tensor], Tensor | dict[str, Tensor]]:
        """Read the inputs and the target (or targets by name) at these positions, checked against their SHA-256.

        Raises
        ------
        ValueError
            If a patch on disk is damaged, or holds a value that cannot be trained on.
        """
        patches = self._read(self.numbers[positions])
        return dict(patches.inputs), patches.targets

    def sample(self) -> Patches:
        """Return patches from all over the dataset, as many as fit in :data:`SAMPLE_BYTES`."""
        size = patch_bytes(self.dataset, (*self.inputs, self.target, *self.extra_targets))
        wanted = max(1, min(len(self), SAMPLE_BYTES // size))
        chosen = np.unique(np.linspace(0, len(self) - 1, wanted).round().astype(np.int64))
        if len(chosen) < len(self):
            logger.info(
                "constants of the network: fitted to %d of %d training patches", len(chosen), len(self)
            )
        return self._read(self.numbers[chosen])

    def _read(self, rows: np.ndarray) -> Patches:
        names = {"inputs": self.inputs, "target": self.target, "extra_targets": self.extra_targets}
        return Patches.from_dataset(self.dataset, rows, **names)


def load_patches(
    dataset: PatchDataset,
    split: str,
    *,
    inputs: Sequence[str],
    target: str,
    extra_targets: Sequence[str] = (),
    workers: int | None = None,
) -> Patches | StreamedPatches:
    """Read one part of a dataset into memory if it fits, else make ready to read it batch by batch.

    Parameters
    ----------
    dataset, split, inputs, target, extra_targets
        As for :meth:`Patches.load`.
    workers : int, optional
        Threads that read while the network is trained; 0 reads into memory in any case. By default memory, if the
        part fits in half of what is free, else two threads. What is chosen, and why, is logged.

    Raises
    ------
    ValueError
        If the dataset lacks a name, or the part is empty.
    """
    check_names(dataset, inputs, (target, *extra_targets))
    rows = split_rows(dataset, split)
    needed = len(rows) * patch_bytes(dataset, (*inputs, target, *extra_targets))
    allowed = MEMORY_SHARE * psutil.virtual_memory().available
    if dataset.path is None or workers == 0 or (workers is None and needed <= allowed):
        logger.debug("%d %s patches (%.1f MiB) are held in memory", len(rows), split, needed / 2**20)
        return Patches.load(dataset, split, inputs=inputs, target=target, extra_targets=extra_targets)
    readers = READERS if workers is None else workers
    why = f"half of the free memory is {allowed / 2**20:.0f} MiB" if workers is None else f"workers={workers}"
    logger.info(
        "%d %s patches (%.1f MiB) are read from disk by %d threads while the network is trained: %s",
        len(rows), split, needed / 2**20, readers, why,
    )  # fmt: skip
    return StreamedPatches(dataset, tuple(inputs), target, rows, tuple(extra_targets), readers)


def patch_bytes(dataset: PatchDataset, names: Sequence[str]) -> int:
    """Return the memory that one patch takes as float32 [bytes]."""
    return sum(dataset.read(name, [0]).nbytes for name in names)
