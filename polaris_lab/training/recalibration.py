"""Stated uncertainties brought to the frequencies of the validation set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from polaris_lab.config import SCHEMA, check_schema, from_dict, read_json, to_dict, write_json
from polaris_lab.training.evaluation import patch_digests
from polaris_lab.training.metrics.calibration_scores import pit_quantiles
from polaris_lab.training.pairs import log_pair
from polaris_lab.training.predicted import Predicted, predict

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

FILE = "recalibration.json"
"""Its name in the folder of a run."""

LEVELS = (0.005, 0.025, 0.05, 0.16, 0.25, 0.5, 0.75, 0.84, 0.95, 0.975, 0.995)
"""Quantiles that are brought to their frequencies: the ends of the 50, 68, 90, 95 and 99 % intervals, and the median."""

LARGEST_PROBIT = 8.0
"""Standard deviations beyond which a stated distribution is not followed."""


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """Where the truth really lies in the stated distribution: a quantile of level q stands at `probits[q]` sigmas.

    Made by :func:`fit_recalibration`. For a right Gaussian the probits are those of the levels.

    Parameters
    ----------
    levels, probits : tuple of float
        Levels, and the place of their quantiles in the stated distribution, in standard deviations of a Gaussian.
    scale : float
        Half of the distance between the 84 % and 16 % probits: what sigma is multiplied by.
    fitted_on : tuple of str
        Digests of the patches that it was fitted on.
    kind : str
        "recalibration".
    """

    levels: tuple[float, ...]
    probits: tuple[float, ...]
    scale: float
    fitted_on: tuple[str, ...]
    kind: str = "recalibration"

    def apply(self, predicted: Predicted) -> Predicted:
        """Return the prediction with quantiles, sigma and samples brought to their frequencies.

        The density stays. Samples are stretched about the mean of their logarithms, so that their structures stay.

        Raises
        ------
        ValueError
            If the prediction says nothing of its error.
        """
        if predicted.samples is not None:
            logs = np.log10(predicted.samples)
            middle = logs.mean(axis=0)
            samples = 10 ** (middle + self.scale * (logs - middle))
            sigma = None if predicted.sigma_dex is None else self.scale * predicted.sigma_dex
            return dataclasses.replace(predicted, samples=samples, sigma_dex=sigma)
        if predicted.quantiles:
            quantiles = self._quantiles_of_quantiles(predicted.quantiles)
        elif predicted.sigma_dex is not None:
            quantiles = {
                level: predicted.density * 10 ** (probit * predicted.sigma_dex)
                for level, probit in zip(self.levels, self.probits, strict=True)
            }
        else:
            raise ValueError(
                "recalibration: expected a prediction with sigma, quantiles or samples, got none"
            )
        sigma = 0.5 * (np.log10(quantiles[0.84]) - np.log10(quantiles[0.16]))
        return dataclasses.replace(predicted, quantiles=quantiles, sigma_dex=sigma)

    def _quantiles_of_quantiles(self, stated: Mapping[float, np.ndarray]) -> dict[float, np.ndarray]:
        """Return new quantiles of stated ones, along straight lines in the probit."""
        known = sorted(stated)
        probits = special.ndtri(np.array(known))
        logs = np.sort(np.stack([np.log10(stated[level]) for level in known]), axis=0)  # (levels, n, y, x)
        result = {}
        for level, probit in zip(self.levels, self.probits, strict=True):
            upper = int(np.clip(np.searchsorted(probits, probit), 1, len(probits) - 1))
            share = (probit - probits[upper - 1]) / (probits[upper] - probits[upper - 1])
            result[level] = 10 ** (logs[upper - 1] + share * (logs[upper] - logs[upper - 1]))
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"schema": SCHEMA, **to_dict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "recalibration") -> Recalibration:
        """Build it from :meth:`to_dict`'s values."""
        values = dict(data)
        check_schema(values.pop("schema", None), where)
        return from_dict(cls, values, where=where)


def fit_recalibration(predicted: Predicted, target: np.ndarray) -> Recalibration:
    """Find where the truth of validation patches lies in the distributions stated for them.

    Parameters
    ----------
    predicted : Predicted
        With samples, quantiles or sigma.
    target : ndarray, shape (n, y, x)
        True densities [cm^-3].

    Returns
    -------
    Recalibration

    Raises
    ------
    ValueError
        If the prediction says nothing of its error, or fewer than 1000 pixels are valid.

    References
    ----------
    Kuleshov, Fenner & Ermon (2018), arXiv 1807.00263: the level of a quantile is mapped to its frequency.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mean = rng.normal(3, 0.3, (4, 50, 50))
    >>> truth = 10 ** (mean + rng.normal(0, 0.2, mean.shape))
    >>> found = fit_recalibration(Predicted(10**mean, sigma_dex=np.full(mean.shape, 0.1)), truth)
    >>> round(found.scale, 1)
    2.0
    """
    if predicted.quantiles and predicted.samples is None:
        probits = special.ndtri(pit_quantiles(predicted.quantiles, target))
    elif predicted.sigma_dex is not None:
        log_predicted, log_target = log_pair(predicted.density, target)
        probits = (log_target - log_predicted) / predicted.sigma_dex
        probits = probits[np.isfinite(probits)]
    else:
        raise ValueError("recalibration: expected a prediction with sigma, quantiles or samples, got none")
    if probits.size < 1000:
        raise ValueError(f"recalibration: expected at least 1000 valid pixels, got {probits.size}")
    places = np.quantile(np.clip(probits, -LARGEST_PROBIT, LARGEST_PROBIT), LEVELS)
    scale = 0.5 * float(places[LEVELS.index(0.84)] - places[LEVELS.index(0.16)])
    return Recalibration(LEVELS, tuple(float(place) for place in places), scale, patch_digests(target))


def recalibrate(run: Run, *, symmetries: bool = False) -> Recalibration:
    """Fit the recalibration of a run on its validation patches, and keep it in its folder.

    Parameters
    ----------
    run : Run
        With a finished epoch, and its dataset at hand.
    symmetries : bool
        For predictions that are averaged over the 8 symmetries, whose spread is another.

    Raises
    ------
    ValueError
        If its network says nothing of its error (build it with head="gaussian" or "quantiles").
    """
    dataset = run.dataset()
    truth = dataset.read(run.target, dataset.indices("validation"))
    found = fit_recalibration(predict(run, dataset, symmetries=symmetries), truth)
    write_json(Path(run.path) / FILE, found.to_dict())
    return found


def recalibration_of(run: Run) -> Recalibration:
    """Return what :func:`recalibrate` kept.

    Raises
    ------
    FileNotFoundError
        If it was not called.
    """
    path = Path(run.path) / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a recalibration, got nothing there; call recalibrate(run)")
    return Recalibration.from_dict(read_json(path), where=str(path))
