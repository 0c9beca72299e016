"""`Predicted`: what any method says of the patches of a dataset, in one form for all."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Quantiles that are asked of a network whose answer is a set of quantiles."""

Predictor = Any
"""A Run, an Ensemble, a sequence of Runs, or ``f(column_density, *, pixel_size_pc)`` that returns densities [cm^-3] of
the same shape or a :class:`Predicted`: every estimator of :mod:`polaris_lab.estimators` is one."""


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Densities behind patches, with what is known of their errors.

    Parameters
    ----------
    density : ndarray, shape (n, y, x)
        [cm^-3]; NaN where nothing is predicted.
    sigma_dex : ndarray, same shape, optional
        Standard deviation of log10 of the density [dex].
    quantiles : mapping of float to ndarray, optional
        Densities [cm^-3] by level, each of the shape of `density`.
    samples : ndarray, shape (samples, n, y, x), optional
        Possible maps [cm^-3], each with the correlations of its errors.
    cloud : ndarray of str, shape (n,), optional
        The cloud that each patch is of.
    cpu_seconds : float
        Processor time that the prediction took, reading excluded.
    parameters : int, optional
        Trained numbers of the method.
    """

    density: np.ndarray
    sigma_dex: np.ndarray | None = None
    quantiles: Mapping[float, np.ndarray] | None = None
    samples: np.ndarray | None = None
    cloud: np.ndarray | None = None
    cpu_seconds: float = 0.0
    parameters: int | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.density)
        if len(shape) != 3:
            raise ValueError(f"density: expected the shape (n, y, x), got {shape}")
        others = {
            "sigma_dex": self.sigma_dex,
            **{f"quantile {k}": v for k, v in (self.quantiles or {}).items()},
        }
        for name, values in others.items():
            if values is not None and np.shape(values) != shape:
                raise ValueError(f"{name}: expected the shape of the density {shape}, got {np.shape(values)}")
        if self.samples is not None and np.shape(self.samples)[1:] != shape:
            raise ValueError(f"samples: expected the shape (samples, {shape}), got {np.shape(self.samples)}")
        if self.cloud is not None and np.shape(self.cloud) != shape[:1]:
            raise ValueError(f"cloud: expected one name for each of {shape[0]} patches, got {self.cloud!r}")


def predict(
    predictor: Predictor,
    dataset: PatchDataset,
    *,
    split: str = "validation",
    target: str | None = None,
    symmetries: bool = False,
    samples: int = 16,
    seed: int = 0,
    on_progress: Callable[[int, int], object] | None = None,
) -> Predicted:
    """Predict every patch of a split once.

    Parameters
    ----------
    predictor : Run, Ensemble, sequence of Run, or callable
        Several runs are averaged: the mean of log10 of the density, and for the variance the mean of their
        variances plus the variance of their means. A callable is ``f(column_density, *, pixel_size_pc)``.
    dataset : PatchDataset
    split : str
        "training", "validation" or "dropped".
    target : str, optional
        What is to be predicted, such as "mass_weighted_density"; a Run's own, or the first of the dataset. One that
        is no density ("number_of_components") is answered in its own unit.
    symmetries : bool
        Average a network over the 8 symmetries of the square, as an ensemble: 8 times the work.
    samples : int
        Maps to draw from a generative network.
    seed : int
        Of those.
    on_progress : callable, optional
        Told how many patches are predicted and how many there are, batch by batch of a network. What it raises ends
        the prediction.

    Returns
    -------
    Predicted

    Raises
    ------
    TypeError
        If the predictor is nothing of the above.
    ValueError
        If the split is empty, the dataset lacks what a network needs, the target is a cube, or the answer has
        another shape.

    Examples
    --------
    >>> from astropy import units as u
    >>> from polaris_lab.datasets import PatchDataset
    >>> maps = 10 ** np.random.default_rng(0).normal(21.5, 0.3, (6, 16, 16))
    >>> data = PatchDataset.from_arrays(
    ...     {"column_density": maps}, {"mass_weighted_density": maps / 1e18}, pixel_size=0.1 * u.pc, split=0.5
    ... )
    >>> predict(lambda column_density, *, pixel_size_pc: column_density / 1e18, data).density.shape
    (3, 16, 16)
    """
    rows = dataset.indices(split)
    if len(rows) == 0:
        raise ValueError(f"split: expected patches for {split}, got none of {len(dataset)}")
    cloud = np.asarray(dataset.table["cloud"])[rows].astype(str)
    runs = as_runs(predictor)
    if runs:
        from polaris_lab.models.inputs import shape_of
        from polaris_lab.training.predicted_by_runs import predict_with_runs

        wanted = target or runs[0].target
        for run in runs:
            if wanted not in run.blueprint.outputs:
                raise ValueError(f"target: {run} predicts {', '.join(run.blueprint.outputs)}, not {wanted!r}")
        if shape_of(wanted) != "map":
            raise ValueError(
                f"target: expected a map, got {wanted!r}; polaris_lab.training.predict_volumes gives cubes"
            )
        found = predict_with_runs(
            runs,
            dataset,
            rows,
            target=wanted,
            symmetries=symmetries,
            samples=samples,
            seed=seed,
            on_progress=on_progress,
        )
    else:
        found = _call(predictor, dataset, rows)
    return dataclasses.replace(found, cloud=cloud)


def target_of(predictor: Predictor, dataset: PatchDataset, target: str | None) -> str:
    """Return the name of the quantity that a predictor is judged on.

    Raises
    ------
    ValueError
        If the dataset does not carry it.
    """
    runs = as_runs(predictor)
    name = target or (runs[0].target if runs else dataset.targets[0])
    if name not in dataset.targets:
        raise ValueError(f"target: expected one of {', '.join(dataset.targets)}, got {name!r}")
    return name


def as_runs(predictor: Predictor) -> list[Run]:
    """Return the runs of a predictor; none if it is a callable.

    Raises
    ------
    TypeError
        If it is neither.
    """
    from polaris_lab.training.ensembles import Ensemble
    from polaris_lab.training.run import Run

    if isinstance(predictor, Run):
        return [predictor]
    if isinstance(predictor, Ensemble):
        return list(predictor.runs)
    if isinstance(predictor, Sequence) and not isinstance(predictor, str):
        if not predictor or not all(isinstance(item, Run) for item in predictor):
            raise TypeError(f"predictor: expected runs in the sequence, got {predictor!r}")
        return list(predictor)
    if not callable(predictor):
        raise TypeError(
            "predictor: expected a Run, an Ensemble, several runs, or f(column_density, *, pixel_size_pc), got "
            f"{predictor!r}; an estimator by name comes from fit_estimator"
        )
    return []


def _call(function: Callable[..., Any], dataset: PatchDataset, rows: np.ndarray) -> Predicted:
    """Ask a function of the column density."""
    column_density = dataset.read("column_density", rows)
    start = time.process_time()
    answer = function(column_density, pixel_size_pc=dataset.pixel_size_pc)
    seconds = time.process_time() - start
    if isinstance(answer, Predicted):
        return answer if answer.cpu_seconds else dataclasses.replace(answer, cpu_seconds=seconds)
    density = np.asarray(answer)
    if density.shape != column_density.shape:
        raise ValueError(
            f"predictor: expected densities of the shape {column_density.shape}, got {density.shape}"
        )
    return Predicted(density, cpu_seconds=seconds, parameters=constants(function))


def constants(function: Callable[..., Any]) -> int | None:
    """Return how many fitted numbers an estimator holds (a broken power law's breaks too); None if it cannot tell.

    Examples
    --------
    >>> from polaris_lab.estimators import PowerLaw
    >>> constants(PowerLaw(intercept=-28.0, slope=1.5, rms_dex=0.2))
    2
    """
    if not dataclasses.is_dataclass(function):
        return None
    aside = {"rms_dex", "pixel_size_pc", "scales_px", "centres"}
    fields = {f.name: getattr(function, f.name) for f in dataclasses.fields(function) if f.name not in aside}
    return int(sum(np.size(value) for value in fields.values() if _is_number(value)))


def _is_number(value: object) -> bool:
    return np.asarray(value).dtype.kind == "f"
