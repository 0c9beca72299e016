"""Samples of a generative run: how they are drawn for patches, and how their spread compares with the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from polaris_lab.models.generative.protocol import checked_count
from polaris_lab.quantities import is_logarithmic
from polaris_lab.training.batches import as_tensor, batch_positions
from polaris_lab.training.pairs import log_pair

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run

VALIDATION_SAMPLES = 16
"""Samples of each validation patch whose mean and spread are judged."""


def sample_patches(
    model: BlueprintModel,
    inputs: Mapping[str, np.ndarray],
    *,
    samples: int = 8,
    steps: int | None = None,
    seed: int = 0,
    together: int = 64,
    device: str | torch.device = "cpu",
) -> np.ndarray | dict[str, np.ndarray]:
    """Draw densities for patches from a generative network.

    Parameters
    ----------
    model : BlueprintModel
    inputs : mapping of str to ndarray
        In physical units, each (patches, y, x), or (patches, channels, y, x).
    samples, steps, seed
        As for :meth:`polaris_lab.models.build.BlueprintModel.sample`.
    together : int
        Samples, of all patches, that are computed at a time: memory grows with it.
    device : str

    Returns
    -------
    ndarray, shape (samples, patches, y, x), float32, or dict of them
        Densities [cm^-3]; NaN where the column density is. Several outputs, which are drawn together, by name, in the
        units of :mod:`polaris_lab.quantities`.

    Raises
    ------
    ValueError
        If the network is not generative, an input is missing, zero or negative, or a count is no whole number of at
        least 1.
    """
    model.generative  # noqa: B018 (refuses a network without samples)
    checked_count("samples", samples)
    missing = [name for name in model.blueprint.inputs if name not in inputs]
    if missing and not set(missing) <= set(model.blueprint.optional_inputs):
        raise ValueError(
            f"inputs: expected {list(model.blueprint.inputs)}, got {sorted(inputs)}; {missing[0]!r} is missing"
        )
    numbers = np.arange(len(next(iter(inputs.values()))))
    tensors = {name: as_tensor(values, name, numbers) for name, values in inputs.items()}
    model.to(torch.device(device), memory_format=torch.channels_last)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in model.blueprint.outputs}
    for batch, positions in enumerate(batch_positions(len(numbers), max(1, together // samples))):
        given = {name: values[torch.from_numpy(positions)].to(device) for name, values in tensors.items()}
        own = int(np.random.default_rng([seed, batch]).integers(2**62))
        drawn = model.sample(given, samples=samples, steps=steps, seed=own)
        by_name = drawn if isinstance(drawn, dict) else {model.blueprint.output: drawn}
        for name, values in by_name.items():  # (samples, n, 1, y, x)
            values = 10 ** values.double() if is_logarithmic(name) else values
            parts[name].append(values.squeeze(2).float().cpu().numpy())  # (samples, n, y, x)
    found = {name: np.concatenate(values, axis=1) for name, values in parts.items()}
    return found if model.blueprint.extra_outputs else found[model.blueprint.output]


def main_output(model: BlueprintModel, values: Mapping[str, Any] | Any) -> Any:
    """Return what belongs to the main output of a network, of samples or targets as it gives or takes them."""
    return values[model.blueprint.output] if isinstance(values, Mapping) else values


def sample_run(
    run: Run,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    samples: int = 8,
    steps: int | None = None,
    seed: int = 0,
) -> np.ndarray | dict[str, np.ndarray]:
    """Draw densities from a generative run: see :meth:`polaris_lab.training.run.Run.sample`."""
    model = run.model()
    if inputs is None:
        dataset = run.dataset()
        rows = dataset.indices("validation")
        inputs = {name: dataset.read(name, rows) for name in run.blueprint.inputs}
    return sample_patches(
        model,
        inputs,
        samples=samples,
        steps=steps,
        seed=seed,
        device=run_device(run),
    )


def run_device(run: Run) -> str:
    """Return where the network of a run is to be used: a GPU if there is one and the run may use it."""
    return "cuda" if run.config.device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"


def mean_of_samples(drawn: np.ndarray) -> np.ndarray:
    """Return the density whose log10 is the mean of the samples' (..., y, x) for samples (samples, ..., y, x), float32.

    Examples
    --------
    >>> float(mean_of_samples(np.array([10.0, 1000.0])))
    100.0
    """
    return (10 ** np.log10(drawn, dtype=np.float64).mean(axis=0)).astype(np.float32)


def spread_of_samples(drawn: np.ndarray) -> np.ndarray:
    """Return the standard deviation of log10 of the truth about the mean of S samples [dex].

    That of the samples, times sqrt(1 + 1 / S): the mean of few samples is uncertain itself.

    Raises
    ------
    ValueError
        If there is one sample only.
    """
    count = len(drawn)
    if count < 2:
        raise ValueError(f"samples: expected at least 2 to know their spread, got {count}")
    return np.log10(drawn, dtype=np.float64).std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)


def quantiles_of_samples(drawn: np.ndarray, levels: Sequence[float]) -> dict[float, np.ndarray]:
    """Return quantiles of samples (samples, ...), by level, interpolated in log10; each (...), float32.

    Raises
    ------
    ValueError
        If a level is not between 0 and 1.

    Examples
    --------
    >>> round(float(quantiles_of_samples(np.array([1.0, 100.0, 10.0]), [0.25])[0.25]), 3)
    3.162
    """
    if not all(0 < level < 1 for level in levels):
        raise ValueError(
            f"levels: expected numbers between 0 and 1 (0.16 for the lower end of 68 %), got {list(levels)}"
        )
    values = np.quantile(np.log10(drawn, dtype=np.float64), list(levels), axis=0)  # (levels, ...)
    return {level: (10**value).astype(np.float32) for level, value in zip(levels, values, strict=True)}


def crps_of_samples(drawn: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of samples [dex]: 0 is perfect, a single value scores its error.

    The estimate mean |x_i - y| - sum |x_i - x_j| / (2 S (S - 1)) has no bias from the number of samples S.

    Parameters
    ----------
    drawn : ndarray, shape (samples, ...)
        Densities.
    target : ndarray, shape (...)

    References
    ----------
    Gneiting & Raftery 2007; Fricker et al. 2013 (the estimate without bias).

    Examples
    --------
    >>> float(crps_of_samples(np.array([1.0, 100.0]), np.array(10.0)))
    0.0
    """
    x, y = np.log10(drawn, dtype=np.float64), np.log10(target, dtype=np.float64)
    count = len(x)
    error = np.abs(x - y).mean(axis=0)
    if count < 2:
        return error
    ranks = 2 * np.arange(1, count + 1) - count - 1  # sum_ij |x_i - x_j| = 2 sum_k rank_k x_(k)
    pairs = 2 * np.tensordot(ranks, np.sort(x, axis=0), axes=1)
    return error - pairs / (2 * count * (count - 1))


def spread_report(drawn: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Compare the spread of samples with the error of their mean.

    Returns
    -------
    dict
        ``samples``, their number; ``spread_dex``, root mean square; ``crps_dex``; ``coverage_68`` and ``coverage_95``,
        the parts of the pixels whose truth lies within 1 and 1.96 spreads; ``spread_factor_68`` and
        ``spread_factor_95``, how many spreads hold 68.27 % and 95.45 % of them.

    Raises
    ------
    ValueError
        If there is one sample only.
    """
    log_mean, log_target = log_pair(mean_of_samples(drawn), target)
    sigma = spread_of_samples(drawn)
    valid = np.isfinite(log_mean) & np.isfinite(log_target) & (sigma > 0)
    ratio = np.abs(log_mean - log_target)[valid] / sigma[valid]
    return {
        "samples": len(drawn),
        "spread_dex": float(np.sqrt(np.mean(sigma[valid] ** 2))),
        "crps_dex": float(np.mean(crps_of_samples(drawn, target)[valid])),
        "coverage_68": float(np.mean(ratio < 1.0)),
        "coverage_95": float(np.mean(ratio < 1.96)),
        "spread_factor_68": float(np.quantile(ratio, 0.6827)),
        "spread_factor_95": float(np.quantile(ratio, 0.9545)),
    }
