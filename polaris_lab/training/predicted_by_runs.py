"""Predictions of trained networks: one or several, turned or not, read by their heads."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from polaris_lab.quantities import is_density, is_logarithmic
from polaris_lab.training.ensembles import EnsembleModel
from polaris_lab.training.predicted import LEVELS, Predicted
from polaris_lab.training.scope import length_ratio
from polaris_lab.training.symmetric import Symmetric

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import BlueprintModel
    from polaris_lab.models.heads import Head
    from polaris_lab.training.run import Run

LENGTHS = ("beam_fwhm", "depth", "pixel_size")
"""Inputs that are lengths [pc]."""

BATCH_PIXELS = 2**18
"""Pixels that are predicted at a time."""


def predict_with_runs(
    runs: Sequence[Run],
    dataset: PatchDataset,
    rows: np.ndarray,
    *,
    target: str,
    symmetries: bool,
    samples: int,
    seed: int,
    on_progress: Callable[[int, int], object] | None = None,
) -> Predicted:
    """Return the mean answer of networks on the CPU; see :func:`polaris_lab.training.predicted.predict`."""
    models = [run.model() for run in runs]
    ratio = length_ratio(runs[0], dataset.pixel_size_pc)
    inputs = model_inputs(models, dataset, rows, ratio)
    parameters = sum(run.parameters for run in runs)
    if getattr(models[0], "is_generative", False):
        if len(models) > 1 or symmetries:
            raise ValueError("predictor: expected one generative network without symmetries, got more")
        found = _sampled(models[0], target, inputs, samples, seed, on_progress)
        return dataclasses.replace(found, parameters=parameters)
    if symmetries:
        models = [Symmetric(model) for model in models]
    model = models[0] if len(models) == 1 else EnsembleModel(models)
    head = model.heads[target]
    start = time.process_time()
    with torch.inference_mode():
        parts = [_read(model, head, batch, target) for batch in batches(inputs, on_progress)]
    seconds = time.process_time() - start
    density, sigma, quantiles = (
        None if part[0] is None else np.concatenate(part) for part in zip(*parts, strict=True)
    )
    scale = ratio if is_density(target) else 1.0
    if quantiles is not None:
        quantiles = dict(zip(LEVELS, np.moveaxis(quantiles * scale, 1, 0), strict=True))
    return Predicted(density * scale, sigma, quantiles, cpu_seconds=seconds, parameters=parameters)


def _read(
    model: nn.Module, head: Head, batch: Mapping[str, Tensor], target: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return density (n, y, x), sigma [dex] (n, y, x) and quantiles of the density (n, levels, y, x).

    A target of which networks see no logarithm is answered as it is, with its errors in its own unit.
    """
    raw = model(batch)
    raw = (raw[target] if isinstance(raw, Mapping) else raw).double()  # (N, C, H, W)
    sigma, quantiles = head.sigma(raw), None
    logarithmic = is_logarithmic(target)
    if head.kind == "quantiles":
        levels = torch.cat([head.quantile(raw, level) for level in LEVELS], dim=1)
        quantiles = (10**levels if logarithmic else levels).numpy()
    point = head.point(raw)[:, 0]
    density = (10**point if logarithmic else point).numpy()
    return density, None if sigma is None else sigma[:, 0].numpy(), quantiles


def _sampled(
    model: BlueprintModel,
    target: str,
    inputs: Mapping[str, Tensor],
    samples: int,
    seed: int,
    on_progress: Callable[[int, int], object] | None,
) -> Predicted:
    """Return the mean of log10 over samples, their spread, and the samples themselves.

    A target of which networks see no logarithm is averaged as it is, with its spread in its own unit.
    """
    start = time.process_time()
    with torch.inference_mode():
        drawn = [
            model.sample(batch, samples=samples, seed=seed + number)
            for number, batch in enumerate(batches(inputs, on_progress))
        ]
    parts = [part[target] if isinstance(part, dict) else part for part in drawn]  # (samples, N, 1, H, W)
    values = torch.cat(parts, dim=1)[:, :, 0].double().numpy()  # (samples, N, H, W)
    seconds = time.process_time() - start
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    if is_logarithmic(target):
        mean, values = 10**mean, 10**values
    return Predicted(mean, spread, samples=values, cpu_seconds=seconds)


def model_inputs(
    models: Sequence[BlueprintModel], dataset: PatchDataset, rows: np.ndarray, ratio: float
) -> dict[str, Tensor]:
    """Read what the networks take: log10 of what is logarithmic, lengths as they count them.

    Raises
    ------
    ValueError
        If the dataset lacks an input that is not optional.
    """
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
        values = values * ratio if name in LENGTHS else values
        values = np.log10(values) if is_logarithmic(name) else values
        tensor = torch.from_numpy(values.astype(np.float32))
        if tensor.ndim == 1:
            tensor = tensor[:, None, None]  # one number a patch
        inputs[name] = tensor[:, None] if tensor.ndim == 3 else tensor  # (n, C, y, x)
    return inputs


def batches(
    inputs: Mapping[str, Tensor], on_progress: Callable[[int, int], object] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Yield the inputs in parts, and tell how many patches are done when the next part is asked for."""
    first = next(iter(inputs.values()))
    count = max(1, BATCH_PIXELS // max(values.shape[-2] * values.shape[-1] for values in inputs.values()))
    for start in range(0, len(first), count):
        yield {name: values[start : start + count] for name, values in inputs.items()}
        if on_progress is not None:
            on_progress(min(start + count, len(first)), len(first))
