"""`evaluate`: how good is a method on gas that it has not seen, with everything that a referee asks for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polaris_lab.config import SCHEMA, check_schema, from_dict, read_json, to_dict, write_json
from polaris_lab.quantities import is_logarithmic
from polaris_lab.training import cloud_sums
from polaris_lab.training.bootstrap import Interval
from polaris_lab.training.evaluation_tables import (
    accuracy_table,
    bin_tables,
    calibration_sums,
    map_table,
    region_table,
    spectrum_table,
    tail_table,
)
from polaris_lab.training.evaluation_text import as_html, as_text
from polaris_lab.training.metrics.dense_gas import DENSE_CM3
from polaris_lab.training.predicted import Predicted, Predictor, as_runs, predict, target_of

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.recalibration import Recalibration
    from polaris_lab.training.residual_correction import ResidualCorrection


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a method got right and wrong on one split of a dataset; plain JSON values, all logarithms base 10.

    Made by :func:`evaluate`, saved with :meth:`save`, opened with :meth:`load` (and then equal). Intervals are from
    a bootstrap over clouds.
    """

    name: str
    """What the method is called."""
    target: str
    """The quantity that it predicts, such as "mass_weighted_density"."""
    dataset: str
    """Fingerprint of the dataset."""
    split: str
    """Which patches were predicted."""
    split_sentence: str
    """How they were told apart from those for training."""
    clouds: list
    """Names of the clouds that they are of: as many as the intervals rest on."""
    images: int
    """Patches with a valid pixel."""
    pixels: int
    """Valid pixels."""
    pixel_size_pc: float
    """Side of a pixel [pc]."""
    parameters: int | None
    """Trained numbers of the method."""
    cpu_seconds: float
    """Processor time of the predictions [s]."""
    dense_cm3: float
    """Gas above it counts as dense [cm^-3]."""
    scores: dict
    """By name: value, low, high, clouds, level. Errors in dex; see :meth:`score`."""
    accuracy: dict
    """Accuracy curve: tolerance_dex, mean, standard_deviation, q16, q84 (over images), area up to 1 dex."""
    bins: dict
    """Residuals in bins of "target", "predicted" and "column_density": centres, count, mean, quantiles [dex]."""
    maps: dict
    """One row a patch: cloud, line_of_sight, patch, pixels, rmse_dex, bias_dex, in_map_rmse_dex."""
    spectrum: dict
    """Power ratio and coherence by frequency [waves per pixel]."""
    tail: dict
    """PDF of predicted and true density: width [dex], and slope of the tail above the true 95 % quantile."""
    calibration: dict | None
    """Histogram of the PIT, spread against skill; None for a method that says nothing of its error."""
    regions: dict | None
    """Means over squares and the PDF, with correlated errors; None for a method that draws no samples."""
    by_cloud: dict
    """Sums over each cloud, from which ratios to other methods are drawn."""
    notes: list
    """What else the reader must know."""

    def score(self, name: str) -> Interval:
        """Return one score with its interval.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        if name not in self.scores:
            raise KeyError(f"score: expected one of {', '.join(self.scores)}, got {name!r}")
        return Interval(**self.scores[name])

    def ratio(self, other: Evaluation, score: str = "rmse_dex") -> Interval:
        """Return this score over that of another method, paired over the clouds that both were judged on.

        Raises
        ------
        ValueError
            If the two were not judged on the same patches, or one lacks the score.
        """
        return self._paired(other, score, np.divide)

    def difference(self, other: Evaluation, score: str = "rmse_dex") -> Interval:
        """Return this score minus that of another method, paired over clouds (errors as :meth:`ratio`)."""
        return self._paired(other, score, np.subtract)

    def _paired(self, other: Evaluation, score: str, combine: Any) -> Interval:
        mine = (self.dataset, self.split, self.target, self.clouds, self.pixels)
        theirs = (other.dataset, other.split, other.target, other.clouds, other.pixels)
        if mine != theirs:
            raise ValueError(
                f"other: expected an evaluation on the same pixels, got {other.name!r} on {theirs[:3]} with "
                f"{other.pixels} pixels against {mine[:3]} with {self.pixels}; evaluate both on one dataset"
            )
        if score not in cloud_sums.STATISTICS or not {score} <= set(self.scores) & set(other.scores):
            raise ValueError(f"score: expected one that both have and that sums give, got {score!r}")
        level = self.scores[score]["level"]
        return cloud_sums.paired(self.by_cloud, other.by_cloud, score, combine=combine, level=level)

    @property
    def cpu_seconds_per_megapixel(self) -> float:
        """Processor time to predict a million pixels [s]."""
        return 1e6 * self.cpu_seconds / max(self.pixels, 1)

    @property
    def worst_map(self) -> dict[str, Any]:
        """The row of :attr:`maps` with the largest RMSE."""
        rmse = [-1.0 if value is None else value for value in self.maps["rmse_dex"]]
        worst = int(np.argmax(rmse))
        return {name: values[worst] for name, values in self.maps.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, with the version of this layout."""
        return {"schema": SCHEMA, "kind": "evaluation", **to_dict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "evaluation") -> Evaluation:
        """Build it from :meth:`to_dict`'s values."""
        values = dict(data)
        check_schema(values.pop("schema", None), where)
        if values.pop("kind", None) != "evaluation":
            raise ValueError(
                f"{where}: expected an evaluation, got another file; save one with Evaluation.save"
            )
        return from_dict(cls, values, where=where)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what :meth:`save` wrote; it is equal to what was saved.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is something else.
        """
        return cls.from_dict(read_json(path), where=str(path))

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        return (
            f"Evaluation({self.name!r}: RMSE {self.score('rmse_dex')} dex on {self.images} patches of "
            f"{len(self.clouds)} clouds)"
        )

    def _repr_html_(self) -> str:
        return as_html(self)


def evaluate(
    predictor: Predictor,
    dataset: PatchDataset,
    *,
    split: str = "validation",
    name: str | None = None,
    target: str | None = None,
    symmetries: bool = False,
    correction: ResidualCorrection | None = None,
    recalibration: Recalibration | None = None,
    allow_fitted_patches: bool = False,
    dense_cm3: float = DENSE_CM3,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Judge a method on one split of a dataset.

    Parameters
    ----------
    predictor : Run, Ensemble, sequence of Run, or callable
        See :func:`polaris_lab.training.predicted.predict`. Any method that answers in densities can be judged.
    dataset : PatchDataset
        With patches in `split`. A dataset for tests only has all of them in "validation".
    split : str
        "validation" by default.
    name : str, optional
        What the method is called; by default the name of the run or of the class.
    target : str, optional
        What is predicted; a Run's own, or the first of the dataset.
    symmetries : bool
        Average a network over the 8 symmetries of the square.
    correction : ResidualCorrection, optional
        Applied to the densities; fitted on other patches.
    recalibration : Recalibration, optional
        Applied to the uncertainties; fitted on other patches.
    allow_fitted_patches : bool
        Go on where correction or recalibration was fitted on patches that are judged; the evaluation says so.
    dense_cm3 : float
        Gas above it counts as dense [cm^-3].
    level, resamples, seed
        Of the bootstrap over clouds; `seed` also of samples.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If the split is empty, nothing is predicted, or a correction was fitted on what is judged.
    TypeError
        If the predictor is none.

    Examples
    --------
    >>> from astropy import units as u
    >>> from polaris_lab.datasets import PatchDataset
    >>> maps = 10 ** np.random.default_rng(0).normal(21.5, 0.3, (8, 16, 16))
    >>> data = PatchDataset.from_arrays(
    ...     {"column_density": maps}, {"mass_weighted_density": maps / 1e18}, pixel_size=0.1 * u.pc,
    ...     split=["training"] * 4 + ["validation"] * 4, cloud=list("aabbccdd"),
    ... )
    >>> def twice(column_density, *, pixel_size_pc):
    ...     return 2 * column_density / 1e18
    >>> evaluate(twice, data)
    Evaluation('twice': RMSE 0.301 (0.301 .. 0.301) dex on 4 patches of 2 clouds)
    """
    wanted = target_of(predictor, dataset, target)
    if not is_logarithmic(wanted):
        raise ValueError(
            f"target: expected a density, whose errors are in dex, got {wanted!r}; compare predict(..., "
            f"target={wanted!r}).density with the dataset"
        )
    predicted = predict(predictor, dataset, split=split, target=wanted, symmetries=symmetries, seed=seed)
    rows = dataset.indices(split)
    truth = dataset.read(wanted, rows)
    notes = []
    for part in (correction, recalibration):
        if part is None:
            continue
        notes += refuse_fitted(part, truth, allow=allow_fitted_patches)
        predicted = part.apply(predicted)
    notes += _split_notes(dataset, split, set(predicted.cloud.tolist()))
    notes += _pixel_notes(predictor, dataset)
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}
    return _evaluation(
        predicted,
        truth,
        dataset,
        rows,
        bootstrap,
        name=name or name_of(predictor) + (" (8 symmetries)" if symmetries else ""),
        target=wanted,
        split=split,
        dense_cm3=dense_cm3,
        notes=notes,
    )


def _evaluation(
    predicted: Predicted,
    truth: np.ndarray,
    dataset: PatchDataset,
    rows: np.ndarray,
    bootstrap: dict[str, Any],
    *,
    dense_cm3: float,
    **words: Any,
) -> Evaluation:
    """Fill in an evaluation."""
    column_density = dataset.read("column_density", rows)
    density, cloud = predicted.density, predicted.cloud
    sums = cloud_sums.cloud_sums(density, truth, cloud, column_density=column_density, dense_cm3=dense_cm3)
    spread, calibration = calibration_sums(predicted, truth)
    sums.update(cloud_sums.add_up(spread, cloud))
    scores = {
        **cloud_sums.intervals(sums, **bootstrap),
        **cloud_sums.distribution_intervals(density, truth, cloud, **bootstrap),
    }
    return Evaluation(
        dataset=dataset.fingerprint,
        split_sentence=dataset.describe_split(),
        clouds=sorted(set(cloud.tolist())),
        images=int(sum(sums["images"])),
        pixels=int(sum(sums["pixels"])),
        pixel_size_pc=dataset.pixel_size_pc,
        parameters=predicted.parameters,
        cpu_seconds=float(predicted.cpu_seconds),
        dense_cm3=float(dense_cm3),
        scores={name: to_dict(interval) for name, interval in scores.items()},
        accuracy=accuracy_table(density, truth),
        bins=bin_tables(density, truth, column_density),
        maps=map_table(density, truth, cloud, dataset.table["line_of_sight"][rows], rows),
        spectrum=spectrum_table(density, truth),
        tail=tail_table(density, truth),
        calibration=calibration,
        regions=region_table(predicted, truth),
        by_cloud={"cloud": sorted(set(cloud.tolist())), **sums},
        **words,
    )


def name_of(predictor: Predictor) -> str:
    """Return what a method is called: a run's name, an estimator's class, or a function's name."""
    runs = as_runs(predictor)
    if runs:
        return runs[0].name if len(runs) == 1 else f"mean of {len(runs)} networks"
    return getattr(predictor, "__name__", type(predictor).__name__)


def patch_digests(target: np.ndarray) -> tuple[str, ...]:
    """Return twelve hexadecimal digits that name the content of each patch of the truth (n, y, x)."""
    patches = np.ascontiguousarray(target, np.float32)
    return tuple(hashlib.sha256(patch.tobytes()).hexdigest()[:12] for patch in patches)


def refuse_fitted(part: Any, target: np.ndarray, *, allow: bool) -> list[str]:
    """Refuse to judge a correction on patches that it was fitted on; return what must be said of it.

    Raises
    ------
    ValueError
        Unless `allow`.
    """
    common = set(part.fitted_on) & set(patch_digests(target))
    if common and not allow:
        raise ValueError(
            f"{part.kind}: expected patches that it was not fitted on, got {len(common)} of {len(target)} that it "
            "was; judge it on another dataset or split, or set allow_fitted_patches=True, which the evaluation "
            "will say"
        )
    said = [f"{part.kind} fitted on {len(part.fitted_on)} other patches"]
    if common:
        said = [f"{part.kind} was fitted on {len(common)} of the {len(target)} patches judged here"]
    return said


def _pixel_notes(predictor: Predictor, dataset: PatchDataset) -> list[str]:
    """Say where a network was trained on pixels of another size."""
    sizes = {run.pixel_size_pc for run in as_runs(predictor)}
    return [
        f"trained on pixels of {size:.4g} pc, judged on pixels of {dataset.pixel_size_pc:.4g} pc"
        for size in sorted(sizes)
        if abs(size / dataset.pixel_size_pc - 1) > 0.01
    ]


def _split_notes(dataset: PatchDataset, split: str, judged: set[str]) -> list[str]:
    """Say what the split may hide."""
    table = dataset.table
    learned = set(table["cloud"][table["split"] == "training"].tolist()) if split != "training" else judged
    notes = []
    if split == "training":
        notes.append("these are the training patches: the scores say how well they are known by heart")
    elif judged == {""}:
        notes.append("the patches do not say of which cloud they are: no interval can be given")
    elif judged & learned and dataset.split_rule != "slab":
        notes.append(f"{len(judged & learned)} of {len(judged)} clouds are also among the training patches")
    if len(judged) < 10 and judged != {""}:
        notes.append(f"the intervals rest on {len(judged)} clouds only")
    return notes
