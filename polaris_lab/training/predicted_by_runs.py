"""Predictions of trained networks: one or several, turned or not, read by their heads."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from polaris_lab.datasets.normalize import SYMMETRIES, symmetry
from polaris_lab.quantities import is_logarithmic
from polaris_lab.training.predicted import LEVELS, Predicted

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import BlueprintModel
    from polaris_lab.models.heads import Head
    from polaris_lab.training.run import Run

BATCH_PIXELS = 2**18
"""Pixels that are predicted at a time."""

INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)
"""Number of the symmetry that undoes each."""


@dataclasses.dataclass
class _Moments:
    """Sums over members (networks and symmetries) of what they say, in log10."""

    mean: Tensor
    square: Tensor
    variance: Tensor | None
    quantiles: Tensor | None
    members: int

    def add(self, other: _Moments) -> None:
        self.mean, self.square = self.mean + other.mean, self.square + other.square
        self.variance = None if self.variance is None else self.variance + other.variance
        self.quantiles = None if self.quantiles is None else self.quantiles + other.quantiles
        self.members += other.members


def predict_with_runs(
    runs: Sequence[Run],
    dataset: PatchDataset,
    rows: np.ndarray,
    *,
    target: str,
    symmetries: bool,
    samples: int,
    seed: int,
) -> Predicted:
    """Return the mean answer of networks on the CPU; see :func:`polaris_lab.training.predicted.predict`."""
    models = [run.model() for run in runs]
    inputs = _inputs(models, dataset, rows)
    parameters = sum(run.parameters for run in runs)
    if getattr(models[0], "is_generative", False):
        if len(models) > 1 or symmetries:
            raise ValueError("predictor: expected one generative network without symmetries, got more")
        return dataclasses.replace(_sampled(models[0], inputs, samples, seed), parameters=parameters)
    heads = [model.heads[target] for model in models]
    if len({(head.kind, head.channels) for head in heads}) > 1:
        raise ValueError(
            f"predictor: expected networks with one kind of head, got {[head.kind for head in heads]}"
        )
    turns = range(SYMMETRIES) if symmetries else range(1)
    start = time.process_time()
    parts = []
    with torch.inference_mode():
        for batch in _batches(inputs):
            total: _Moments | None = None
            for model, head in zip(models, heads, strict=True):
                for turn in turns:
                    found = _answer(model, head, batch, target, turn)
                    total = found if total is None else (total.add(found) or total)
            parts.append(_read(total))
    seconds = time.process_time() - start
    density = np.concatenate([part[0] for part in parts])
    sigma = None if parts[0][1] is None else np.concatenate([part[1] for part in parts])
    quantiles = None
    if parts[0][2] is not None:
        quantiles = dict(zip(LEVELS, np.concatenate([part[2] for part in parts], axis=1), strict=True))
    return Predicted(density, sigma, quantiles, cpu_seconds=seconds, parameters=parameters)


def _answer(
    model: BlueprintModel, head: Head, batch: Mapping[str, Tensor], target: str, turn: int
) -> _Moments:
    """Return what one network says of a batch that it sees turned."""
    raw = model({name: symmetry(values, turn) for name, values in batch.items()})
    raw = raw[target] if isinstance(raw, Mapping) else raw
    raw = symmetry(raw, INVERSE[turn]).double()  # (N, C, H, W)
    mean, sigma, quantiles = head.point(raw), head.sigma(raw), None
    if head.kind == "quantiles":
        quantiles = torch.cat([head.quantile(raw, level) for level in LEVELS], dim=1)  # (N, levels, H, W)
    return _Moments(mean, mean**2, None if sigma is None else sigma**2, quantiles, 1)


def _read(total: _Moments) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return density, sigma [dex] and quantiles of densities of the mixture, (n, y, x) each."""
    mean = total.mean / total.members
    spread = (total.square / total.members - mean**2).clamp(min=0)
    sigma = None
    if total.variance is not None:
        sigma = (total.variance / total.members + spread).sqrt()[:, 0].numpy()
    quantiles = None
    if total.quantiles is not None:
        quantiles = (10 ** (total.quantiles / total.members)).transpose(0, 1).numpy()  # (levels, n, y, x)
    return (10**mean)[:, 0].numpy(), sigma, quantiles


def _sampled(model: BlueprintModel, inputs: Mapping[str, Tensor], samples: int, seed: int) -> Predicted:
    """Return the mean of log10 over samples, their spread, and the samples themselves."""
    start = time.process_time()
    with torch.inference_mode():
        drawn = [
            model.sample(batch, samples=samples, seed=seed + number)[:, :, 0]  # (samples, N, H, W)
            for number, batch in enumerate(_batches(inputs))
        ]
    logs = torch.cat(drawn, dim=1).double().numpy()
    seconds = time.process_time() - start
    return Predicted(10 ** logs.mean(axis=0), logs.std(axis=0, ddof=1), samples=10**logs, cpu_seconds=seconds)


def _inputs(models: Sequence[BlueprintModel], dataset: PatchDataset, rows: np.ndarray) -> dict[str, Tensor]:
    """Read what the networks take: log10 of what is logarithmic."""
    optional = {name for model in models for name in model.blueprint.optional_inputs}
    inputs = {}
    for name in sorted({name for model in models for name in model.blueprint.inputs}):
        if name not in dataset.inputs:
            if name in optional:
                continue
            raise ValueError(
                f"dataset: the network needs {name!r}, the dataset carries {', '.join(dataset.inputs)}"
            )
        values = dataset.read(name, rows).astype(np.float64)
        values = np.log10(values) if is_logarithmic(name) else values
        tensor = torch.from_numpy(values.astype(np.float32))
        inputs[name] = tensor[:, None] if tensor.ndim == 3 else tensor  # (n, C, y, x)
    return inputs


def _batches(inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    first = next(iter(inputs.values()))
    count = max(1, BATCH_PIXELS // (first.shape[-2] * first.shape[-1]))
    for start in range(0, len(first), count):
        yield {name: values[start : start + count] for name, values in inputs.items()}
