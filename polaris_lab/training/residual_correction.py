"""Corrections for systematic residuals: the report's (appendix C), and the one that is right.

In bins of the *true* density every estimator of the mean shows negative residuals at the dense end, since it cannot
know what is not in its input. Taking those off at the predicted density, as the report does, stretches the estimates:
the PDF gets wider and the error larger. What can be taken off is the mean residual at each *predicted* density.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import interpolate, optimize

from polaris_lab.config import SCHEMA, check_schema, did_you_mean, from_dict, read_json, to_dict, write_json
from polaris_lab.training.evaluation import Evaluation, evaluate, patch_digests
from polaris_lab.training.evaluation_text import LABELS, show
from polaris_lab.training.pairs import log_pair
from polaris_lab.training.predicted import Predicted, Predictor, predict

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

FILE = "baseline.json"
"""Its name in the folder of a run."""

KINDS = ("isotonic", "spline", "report_baseline")
"""Forms of a correction."""

WINDOW = 50
"""Values that the report averages over."""

LARGEST_TABLE = 4096
"""Points of the report's curve that are kept, evenly spaced along it."""

GROUPS = 400
"""Groups of equal count that pixels are brought to before the isotonic fit."""

SPLINE_KNOTS = 12
"""Knots of the monotone spline."""


@dataclasses.dataclass(frozen=True)
class ResidualCorrection:
    """log10 n is lowered by a residual that depends on the predicted density. Made by :func:`fit_correction`.

    Parameters
    ----------
    kind : {"isotonic", "spline", "report_baseline"}
    log_density, residual : tuple of float
        Points of the curve: log10 of the predicted density [dex of cm^-3], residual there [dex]. Beyond the ends the
        residual stays what it is there.
    fitted_on : tuple of str
        Digests of the patches that it was fitted on.
    """

    kind: str
    log_density: tuple[float, ...]
    residual: tuple[float, ...]
    fitted_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: unknown name {self.kind!r}: {did_you_mean(str(self.kind), KINDS)}")
        if len(self.log_density) != len(self.residual) or not self.log_density:
            raise ValueError(
                f"residual: expected one for each of {len(self.log_density)} densities, got {len(self.residual)}"
            )

    def __call__(self, density: np.ndarray) -> np.ndarray:
        """Return corrected densities [cm^-3] of any shape; NaN stays NaN."""
        return np.asarray(density) * 10.0 ** -self.at(density)

    def at(self, density: np.ndarray) -> np.ndarray:
        """Return the residual that is taken off at predicted densities [cm^-3]; NaN where they are."""
        with np.errstate(invalid="ignore", divide="ignore"):
            x = np.log10(np.asarray(density, np.float64))
        knots, values = np.array(self.log_density), np.array(self.residual)
        if self.kind == "spline" and len(knots) > 2:
            inside = np.clip(x, knots[0], knots[-1])
            curve = interpolate.PchipInterpolator(knots, knots - values)(inside)
            return inside - curve
        return np.where(np.isnan(x), np.nan, np.interp(x, knots, values))

    def apply(self, predicted: Predicted) -> Predicted:
        """Return a prediction with density, quantiles and samples corrected; sigma stays."""
        return _lowered(predicted, self.at(predicted.density))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"schema": SCHEMA, **to_dict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "correction") -> ResidualCorrection:
        """Build it from :meth:`to_dict`'s values."""
        values = dict(data)
        check_schema(values.pop("schema", None), where)
        return from_dict(cls, values, where=where)


def fit_correction(
    predicted: np.ndarray, target: np.ndarray, *, kind: str = "isotonic", window: int = WINDOW
) -> ResidualCorrection:
    """Fit a correction to validation patches.

    Parameters
    ----------
    predicted, target : array_like, shape (n, y, x) or (y, x)
        Densities [cm^-3] of patches that the method has not learned from.
    kind : {"isotonic", "spline", "report_baseline"}
        "isotonic": the mean of log10 n at each predicted log10 n, made not to fall; "spline": a smooth monotone curve
        through twelve points of it. "report_baseline": the report's form, pixels sorted by their **true** density,
        residual and predicted density averaged over `window` neighbours, the curve looked up at the prediction by
        bisection although it does not rise everywhere; known to make errors larger.
    window : int
        Of "report_baseline"; the report takes 50.

    Returns
    -------
    ResidualCorrection

    Raises
    ------
    ValueError
        If the kind is unknown, or there are fewer valid pixels than twice the window.

    References
    ----------
    Report, appendix C. Barlow et al. (1972), Statistical Inference under Order Restrictions.

    Examples
    --------
    >>> truth = 10 ** np.random.default_rng(0).normal(3, 0.5, (4, 32, 32))
    >>> correction = fit_correction(2 * truth, truth)
    >>> print(correction(np.array([2000.0])).round())
    [1000.]
    """
    if kind not in KINDS:
        raise ValueError(f"kind: unknown name {kind!r}: {did_you_mean(str(kind), KINDS)}")
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(f"window: expected a whole number from 1 up, got {window!r}")
    log_predicted, log_target = log_pair(predicted, target)
    valid = np.isfinite(log_predicted)
    x, y = log_predicted[valid], log_target[valid]
    if x.size < 2 * window:
        raise ValueError(f"predicted: expected at least {2 * window} valid pixels, got {x.size}")
    knots, values = _by_target(x, y, window) if kind == "report_baseline" else _by_prediction(x, y)
    if kind == "spline" and len(knots) > SPLINE_KNOTS:
        chosen = np.unique(np.linspace(0, len(knots) - 1, SPLINE_KNOTS).round().astype(int))
        knots, values = knots[chosen], values[chosen]
    truth = np.asarray(target)
    return ResidualCorrection(
        kind,
        tuple(float(value) for value in knots),
        tuple(float(value) for value in values),
        patch_digests(truth if truth.ndim == 3 else truth[None]),
    )


def cross_corrected(predicted: Predicted, target: np.ndarray, *, kind: str = "isotonic") -> Predicted:
    """Correct each half of the patches by what the other half says: a correction judged on patches it has not seen.

    The halves are every second cloud where there are two or more, else every second patch.

    Parameters
    ----------
    predicted : Predicted
        Of the patches (n, y, x).
    target : ndarray, shape (n, y, x)
        True densities [cm^-3].
    kind : {"isotonic", "spline", "report_baseline"}
        See :func:`fit_correction`.

    Returns
    -------
    Predicted
        Corrected densities, quantiles and samples; sigma stays.

    Raises
    ------
    ValueError
        As :func:`fit_correction`, and if there is one patch only.

    Examples
    --------
    >>> truth = 10 ** np.random.default_rng(0).normal(3, 0.5, (4, 32, 32))
    >>> corrected = cross_corrected(Predicted(2 * truth), truth)
    >>> bool(abs(np.log10(corrected.density / truth).mean()) < 1e-3)
    True
    """
    count = len(predicted.density)
    if count < 2:
        raise ValueError(f"predicted: expected two patches or more, to fit on one half, got {count}")
    names = np.arange(count).astype(str) if predicted.cloud is None else predicted.cloud
    groups = np.unique(names, return_inverse=True)[1]
    second = (groups if groups.max() > 0 else np.arange(count)) % 2 == 1
    residual = np.empty(np.shape(predicted.density))
    for half in (second, ~second):
        correction = fit_correction(predicted.density[~half], np.asarray(target)[~half], kind=kind)
        residual[half] = correction.at(predicted.density[half])
    return _lowered(predicted, residual)


def _lowered(predicted: Predicted, residual: np.ndarray) -> Predicted:
    """Return a prediction whose logarithms are lowered by a residual [dex]; sigma stays."""
    factor = 10.0**-residual
    quantiles = {level: values * factor for level, values in (predicted.quantiles or {}).items()} or None
    samples = None if predicted.samples is None else predicted.samples * factor
    return dataclasses.replace(
        predicted, density=predicted.density * factor, quantiles=quantiles, samples=samples
    )


def _by_target(x: np.ndarray, y: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return moving means of prediction and residual in the order of the truth: the report's curve."""
    order = np.argsort(y, kind="stable")

    def smooth(values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(values[order])])
        return (total[window:] - total[:-window]) / window

    knots, values = smooth(x), smooth(x - y)
    chosen = np.unique(np.linspace(0, len(knots) - 1, min(len(knots), LARGEST_TABLE)).round().astype(int))
    return knots[chosen], values[chosen]


def _by_prediction(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean residual in the order of the prediction, such that the corrected density never falls."""
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(GROUPS, max(1, x.size // 20)))
    centre = np.array([x[part].mean() for part in parts])
    weight = np.array([part.size for part in parts], np.float64)
    mean = np.array([y[part].mean() for part in parts])
    centre, first = np.unique(centre, return_index=True)  # equal predictions have one value
    rising = optimize.isotonic_regression(mean[first], weights=weight[first]).x
    return centre, centre - rising


def fit_baseline(run: Run, *, kind: str = "isotonic") -> ResidualCorrection:
    """Fit the correction of a run on its validation patches, and keep it in its folder (baseline.json).

    Parameters
    ----------
    run : Run
        With a finished epoch, and its dataset at hand.
    kind : {"isotonic", "spline", "report_baseline"}
        See :func:`fit_correction`.
    """
    dataset = run.dataset()
    truth = dataset.read(run.target, dataset.indices("validation"))
    correction = fit_correction(predict(run, dataset).density, truth, kind=kind)
    write_json(Path(run.path) / FILE, correction.to_dict())
    return correction


def baseline_of(run: Run) -> ResidualCorrection:
    """Return what :func:`fit_baseline` kept.

    Raises
    ------
    FileNotFoundError
        If it was not called.
    """
    path = Path(run.path) / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a correction, got nothing there; call fit_baseline(run)")
    return ResidualCorrection.from_dict(read_json(path), where=str(path))


@dataclasses.dataclass(frozen=True)
class BeforeAfter:
    """A method with and without a correction, on patches that the correction was not fitted on."""

    before: Evaluation
    after: Evaluation

    def rows(self) -> list[tuple[str, str, str]]:
        """Return (score, before, after) of every score that both have."""
        names = [name for name in LABELS if name in self.before.scores and name in self.after.scores]
        return [
            (LABELS[name], *(show(name, part.score(name)) for part in (self.before, self.after)))
            for name in names
        ]

    def __str__(self) -> str:
        rows = [("", "before", "after"), *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        table = [
            "  ".join(f"{text:<{w}}" for text, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        ratio = self.after.ratio(self.before)
        said = [f"{self.before.name}: RMSE after / before {ratio}", *self.after.notes]
        return "\n".join([*table, *said])


def before_after(
    predictor: Predictor, dataset: PatchDataset, correction: ResidualCorrection, **choices: Any
) -> BeforeAfter:
    """Judge a method with and without a correction.

    Parameters
    ----------
    predictor, dataset
        As in :func:`polaris_lab.training.evaluation.evaluate`.
    correction : ResidualCorrection
        Fitted on other patches; `allow_fitted_patches=True` goes on with the same ones, and says so.
    **choices
        More of :func:`polaris_lab.training.evaluation.evaluate`.
    """
    plain = {name: value for name, value in choices.items() if name != "allow_fitted_patches"}
    before = evaluate(predictor, dataset, **plain)
    return BeforeAfter(before, evaluate(predictor, dataset, correction=correction, **choices))
