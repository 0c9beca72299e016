"""Patches as tensors in memory, and how an epoch walks over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from polaris_lab.config import did_you_mean
from polaris_lab.datasets.normalize import symmetry

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset


@dataclasses.dataclass(frozen=True)
class Patches:
    """Pairs of log10 maps, held in memory: the logarithm is taken once, a batch is one gather.

    Parameters
    ----------
    inputs : mapping of str to Tensor
        log10 of each input by name, (patches, channels, y, x) float32, finite.
    target : Tensor
        log10 of the target, (patches, 1, y, x) float32; NaN where unknown.
    numbers : ndarray
        What the patches are called in errors: their row in the dataset.
    """

    inputs: Mapping[str, Tensor]
    target: Tensor
    numbers: np.ndarray

    def __post_init__(self) -> None:
        for name, values in {**self.inputs, "target": self.target}.items():
            if values.ndim != 4 or len(values) != len(self.numbers) or len(values) == 0:
                raise ValueError(
                    f"{name}: expected a tensor ({len(self.numbers)} patches, channels, y, x) with at least one "
                    f"patch, got shape {tuple(values.shape)}"
                )
        for name, values in self.inputs.items():
            self._refuse(name, ~torch.isfinite(values).flatten(1).all(dim=1), "finite values only")
        self._refuse("target", torch.isnan(self.target).flatten(1).all(dim=1), "a valid pixel in every patch")

    def _refuse(self, name: str, bad: Tensor, expected: str) -> None:
        if bad.any():
            numbers = self.numbers[bad.numpy()].tolist()
            raise ValueError(
                f"{name}: expected {expected}, got {len(numbers)} patches without, first {numbers[:5]}; "
                "leave them out (PatchDataset.drop)"
            )

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def from_arrays(
        cls,
        inputs: Mapping[str, np.ndarray],
        target: np.ndarray,
        *,
        numbers: Sequence[int] | np.ndarray | None = None,
    ) -> Patches:
        """Take maps in physical units.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            By name, (patches, y, x), or (patches, channels, y, x).
        target : ndarray
            (patches, y, x).
        numbers : sequence of int, optional
            Names of the patches in errors; by default 0, 1, 2 ...

        Raises
        ------
        ValueError
            If a value is zero, negative or infinite, an input is NaN (a target may be, where it is unknown), or
            there is no patch.
        """
        numbers = np.arange(len(target)) if numbers is None else np.asarray(numbers)
        tensors = {name: _log10(values, name, numbers) for name, values in inputs.items()}
        return cls(tensors, _log10(target, "target", numbers), numbers)

    @classmethod
    def load(cls, dataset: PatchDataset, split: str, *, inputs: Sequence[str], target: str) -> Patches:
        """Read one part of a dataset.

        Parameters
        ----------
        dataset : PatchDataset
        split : str
            "training" or "validation".
        inputs : sequence of str
            Names of the inputs that a blueprint asks for.
        target : str
            Name of its output.

        Raises
        ------
        ValueError
            If the dataset lacks a name, or the part is empty.
        """
        check_names(dataset, inputs, target)
        return cls.from_dataset(dataset, split_rows(dataset, split), inputs=inputs, target=target)

    @classmethod
    def from_dataset(
        cls, dataset: PatchDataset, rows: np.ndarray, *, inputs: Sequence[str], target: str
    ) -> Patches:
        """Read some rows of a dataset."""
        return cls.from_arrays(
            {name: dataset.read(name, rows) for name in inputs}, dataset.read(target, rows), numbers=rows
        )

    @property
    def workers(self) -> int:
        """Threads that are to make batches of them: none, they are at hand."""
        return 0

    def sample(self) -> Patches:
        """Return all patches (of those on disk, :class:`StreamedPatches`, a sample)."""
        return self

    def batch(self, positions: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
        """Return the inputs and target at these positions."""
        index = torch.from_numpy(positions)
        return {name: values[index] for name, values in self.inputs.items()}, self.target[index]


def check_names(dataset: PatchDataset, inputs: Sequence[str], target: str) -> None:
    """Refuse a dataset that lacks an input or the target of a blueprint."""
    for name in inputs:
        if name not in dataset.inputs:
            raise ValueError(
                f"inputs: the blueprint needs {name!r}, the dataset does not carry it: "
                f"{did_you_mean(name, list(dataset.inputs))}"
            )
    if target not in dataset.targets:
        raise ValueError(
            f"output: the blueprint predicts {target!r}, the dataset does not carry it: "
            f"{did_you_mean(target, list(dataset.targets))}"
        )


def split_rows(dataset: PatchDataset, split: str) -> np.ndarray:
    """Return the rows of one part of a dataset; refuse an empty one."""
    rows = np.asarray(dataset.indices(split))
    if len(rows) == 0:
        raise ValueError(
            f"split: expected patches for {split}, got none of {len(dataset)}; "
            "build the dataset with another validation fraction"
        )
    return rows


def batch_positions(count: int, batch_size: int, order: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Cut 0 .. count - 1 (or a permutation of them) into batches that differ by one patch at most.

    Every patch comes once: there is no remainder to drop, and no last batch of one patch whose statistics
    and gradient would be noise.

    Examples
    --------
    >>> [len(batch) for batch in batch_positions(33, 16)]
    [11, 11, 11]
    """
    order = np.arange(count) if order is None else order
    yield from np.array_split(order, -(-count // batch_size))


def augment(
    inputs: dict[str, Tensor], target: Tensor, symmetries: np.ndarray
) -> tuple[dict[str, Tensor], Tensor]:
    """Apply to every patch its own symmetry, the same to its inputs and its target.

    Parameters
    ----------
    inputs, target
        A batch (N, C, H, W), square.
    symmetries : int ndarray, shape (N,)
        For each patch a number of :func:`polaris_lab.datasets.normalize.symmetry`, 0 to 7.

    Raises
    ------
    ValueError
        If the patches are not square.
    """
    groups = [
        (torch.from_numpy(np.flatnonzero(symmetries == number)), int(number))
        for number in np.unique(symmetries)
    ]

    def turn(images: Tensor) -> Tensor:
        out = torch.empty_like(images)
        for rows, number in groups:
            out[rows] = symmetry(images[rows], number)
        return out

    return {name: turn(images) for name, images in inputs.items()}, turn(target)


def _log10(values: np.ndarray, name: str, numbers: np.ndarray) -> Tensor:
    """Return log10 as a float32 tensor with a channel axis, refusing what has none."""
    values = np.asarray(values)
    if values.ndim == 3:
        values = values[:, None]  # (N, 1, H, W)
    bad = (values <= 0) | np.isinf(values)
    if bad.any():
        rows = numbers[bad.reshape(len(bad), -1).any(axis=1)].tolist()
        raise ValueError(
            f"{name}: expected positive finite values, got {values[bad][0]:g} in "
            f"{len(rows)} patches, first {rows[:5]}"
        )
    out = np.empty(values.shape, dtype=np.float32)
    for start in range(0, len(values), 256):  # float64 logarithms of a few patches at a time
        out[start : start + 256] = np.log10(values[start : start + 256], dtype=np.float64)
    return torch.from_numpy(out)
