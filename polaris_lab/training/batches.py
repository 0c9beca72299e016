"""Patches as tensors in memory, and how an epoch walks over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from polaris_lab.config import did_you_mean
from polaris_lab.datasets.normalize import symmetry_of
from polaris_lab.quantities import is_logarithmic, quantity_names

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset


ALWAYS_KNOWN = ("column_density",)
"""Inputs that no patch may lack."""


@dataclasses.dataclass(frozen=True)
class Patches:
    """Inputs and targets as a network sees them, held in memory: the logarithm is taken once, a batch is one gather.

    Parameters
    ----------
    inputs : mapping of str to Tensor
        Each input by name, (patches, channels, y, x) float32; the column density is finite, others may be NaN where
        they are not known: log10 of what is logarithmic (see
        :mod:`polaris_lab.quantities`), the rest as it is.
    target : Tensor
        log10 of the target, (patches, 1, y, x) float32; NaN where unknown.
    numbers : ndarray
        What the patches are called in errors: their row in the dataset.
    extra_targets : mapping of str to Tensor
        More targets by name, for networks with several outputs; `target_name` then names the first.
    """

    inputs: Mapping[str, Tensor]
    target: Tensor
    numbers: np.ndarray
    extra_targets: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    target_name: str = "target"

    def __post_init__(self) -> None:
        for name, values in {**self.inputs, self.target_name: self.target, **self.extra_targets}.items():
            if values.ndim != 4 or len(values) != len(self.numbers) or len(values) == 0:
                raise ValueError(
                    f"{name}: expected a tensor ({len(self.numbers)} patches, channels, y, x) with at least one "
                    f"patch, got shape {tuple(values.shape)}"
                )
        for name, values in self.inputs.items():
            if name not in ALWAYS_KNOWN and name in quantity_names():
                continue  # a patch without it counts as one of which it is not known
            self._refuse(name, ~torch.isfinite(values).flatten(1).all(dim=1), "finite values only")
        for name, values in {self.target_name: self.target, **self.extra_targets}.items():
            self._refuse(name, torch.isnan(values).flatten(1).all(dim=1), "a valid pixel in every patch")

    @property
    def targets(self) -> Tensor | dict[str, Tensor]:
        """The target, or all by name where there are several."""
        return {self.target_name: self.target, **self.extra_targets} if self.extra_targets else self.target

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
        tensors = {name: as_tensor(values, name, numbers) for name, values in inputs.items()}
        return cls(tensors, as_tensor(target, "target", numbers), numbers)

    @classmethod
    def load(
        cls,
        dataset: PatchDataset,
        split: str,
        *,
        inputs: Sequence[str],
        target: str,
        extra_targets: Sequence[str] = (),
    ) -> Patches:
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
        extra_targets : sequence of str
            Names of its other outputs.

        Raises
        ------
        ValueError
            If the dataset lacks a name, or the part is empty.
        """
        rows = split_rows(dataset, split)
        return cls.from_dataset(dataset, rows, inputs=inputs, target=target, extra_targets=extra_targets)

    @classmethod
    def from_dataset(
        cls,
        dataset: PatchDataset,
        rows: np.ndarray,
        *,
        inputs: Sequence[str],
        target: str,
        extra_targets: Sequence[str] = (),
    ) -> Patches:
        """Read some rows of a dataset (:meth:`load` says what the names mean)."""
        check_names(dataset, inputs, (target, *extra_targets))
        return cls(
            {name: as_tensor(dataset.read(name, rows), name, rows) for name in inputs},
            as_tensor(dataset.read(target, rows), target, rows),
            rows,
            {name: as_tensor(dataset.read(name, rows), name, rows) for name in extra_targets},
            target,
        )

    @property
    def workers(self) -> int:
        """Threads that are to make batches of them: none, they are at hand."""
        return 0

    def sample(self) -> Patches:
        """Return all patches (of those on disk, :class:`StreamedPatches`, a sample)."""
        return self

    def batch(self, positions: np.ndarray) -> tuple[dict[str, Tensor], Tensor | dict[str, Tensor]]:
        """Return the inputs and the target (or targets by name) at these positions."""
        index = torch.from_numpy(positions)
        inputs = {name: values[index] for name, values in self.inputs.items()}
        if not self.extra_targets:
            return inputs, self.target[index]
        return inputs, {name: values[index] for name, values in self.targets.items()}


def check_names(dataset: PatchDataset, inputs: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse a dataset that lacks an input or a target of a blueprint."""
    for name in inputs:
        if name not in dataset.inputs:
            raise ValueError(
                f"inputs: the blueprint needs {name!r}, the dataset does not carry it: "
                f"{did_you_mean(name, list(dataset.inputs))}"
            )
    for name in targets:
        if name not in dataset.targets:
            raise ValueError(
                f"output: the blueprint predicts {name!r}, the dataset does not carry it: "
                f"{did_you_mean(name, list(dataset.targets))}"
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
    inputs: dict[str, Tensor], target: Tensor | dict[str, Tensor], symmetries: np.ndarray
) -> tuple[dict[str, Tensor], Tensor | dict[str, Tensor]]:
    """Apply to every patch its own symmetry, the same to its inputs and its targets.

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

    def turn(name: str, images: Tensor) -> Tensor:
        out = torch.empty_like(images)
        for rows, number in groups:
            out[rows] = symmetry_of(name, images[rows], number)
        return out

    turned = {name: turn(name, images) for name, images in inputs.items()}
    if isinstance(target, Mapping):
        return turned, {name: turn(name, images) for name, images in target.items()}
    return turned, turn("target", target)


def as_tensor(values: np.ndarray, name: str, numbers: np.ndarray) -> Tensor:
    """Return what a network sees of a quantity: log10 or the values themselves, float32, with a channel axis.

    Parameters
    ----------
    values : ndarray, shape (n,), (n, y, x) or (n, channels, y, x)
        In physical units: one number, one image or several images a patch.
    name : str
        Its quantity (see :mod:`polaris_lab.quantities`).
    numbers : ndarray
        What the patches are called in errors.

    Returns
    -------
    Tensor, shape (n, channels, y, x); numbers as (n, 1, 1, 1)

    Raises
    ------
    ValueError
        If a logarithm is to be taken of zero, a negative or an infinite value.
    """
    values = np.asarray(values)
    if values.ndim == 1:
        values = values[:, None, None]  # (N, 1, 1)
    if values.ndim == 3:
        values = values[:, None]  # (N, 1, H, W)
    if not is_logarithmic(name):
        return torch.from_numpy(values.astype(np.float32))  # a copy
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
