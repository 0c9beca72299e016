"""Reports: :func:`write_report` for any, :func:`demo_report` for one whole way from training set to density map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polaris_lab import config
from polaris_lab.estimators import fit_power_law
from polaris_lab.training import metrics
from widgets import figures, style
from widgets.html_report import Code, Figure, Figures, Note, Section, Table, write_report

MAP_PIXELS = 320
"""Longest side of a map in a report; larger ones are drawn from block means, and say so."""

NETWORK, POWER_LAW = "U-Net", "power law"

__all__ = ["Code", "Figure", "Figures", "Note", "Section", "Table", "demo_report", "margin", "write_report"]


def demo_report(
    path: str | Path,
    *,
    run: Any,
    dataset: Any,
    predicted: np.ndarray,
    target: np.ndarray,
    observation: Any,
    prediction: Any,
    truth: np.ndarray | None = None,
    network: str = NETWORK,
    repeat: str | None = None,
    seed: int | None = None,
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of a run and of the density map that it predicted.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    run : Run
        A finished one.
    dataset : PatchDataset
        What it was trained and validated on.
    predicted, target : ndarray, shape (patches, y, x)
        Validation patches [cm^-3], as `run.validate()` returns them.
    observation : Observation
        The map that was predicted from.
    prediction : Prediction
        The density and its interval, on the grid of the observation.
    truth : ndarray, shape (y, x), optional
        The true density on that grid [cm^-3], where a simulation tells it.
    network : str
        What the network is called in tables and figures.
    repeat : str, optional
        The commands that make all this again and go on from here.
    seed : int, optional
        The seed of the whole, for the last section.
    facts : mapping of str to str, optional
        More rows for the table of the last section.

    Returns
    -------
    Path
        The file.
    """
    power_law = fit_power_law(
        dataset.read("column_density", dataset.indices("training")),
        dataset.read(run.target, dataset.indices("training")),
    )
    simple = power_law(dataset.read("column_density", dataset.indices("validation")))
    scores = {network: metrics.scores(predicted, target), POWER_LAW: metrics.scores(simple, target)}
    verdict = margin(scores[network], scores[POWER_LAW], name=network)
    sections = [
        Section("The result", [Note(verdict), *_what_this_is(dataset, observation)]),
        Section("The density map", _maps(observation, prediction, truth, run.target)),
        Section("Training", _training(run)),
        Section("Accuracy", _accuracy(scores, {network: predicted, POWER_LAW: simple}, target, power_law)),
        Section("Residuals by density", _residuals(predicted, target)),
        Section("How the numbers were made", _provenance(run, dataset, prediction, seed, facts or {})),
        Section("Again, and onwards", [Code(repeat or _commands(run))]),
    ]
    return write_report(
        path,
        title="Volume density from column density",
        sections=sections,
        summary="What a network learned from simulated clouds, how well it does on gas it never saw, and the "
        "density it sees in a map.",
    )


def _signed(value: float, digits: int = 2) -> str:
    """Write a number with the minus sign of print, and no sign on what rounds to zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "") if float(text) == 0 else text.replace("-", "−")


def _commands(run: Any) -> str:
    """Return what to type to make all this again, and to go on from here."""
    return (
        "make demo        # all of this again, from the same seeds (without make: polaris-lab demo)\n"
        f'polaris-lab predict YOUR_MAP.fits --distance "300 pc" --species H2 --run {run.path} --output density.fits\n'
        f"polaris-lab serve training {run.path}        # watch and steer trainings in the browser"
    )


def margin(network: Mapping[str, float], simple: Mapping[str, float], *, name: str = NETWORK) -> str:
    """Say in words how a network compares with the power law: better or worse, and by how much.

    Parameters
    ----------
    network, simple : mapping
        Scores of both, from :func:`polaris_lab.training.metrics.scores`.
    name : str
        What the network is called.

    Examples
    --------
    >>> better = margin({"accuracy_0.3": 0.9, "rmse_dex": 0.2}, {"accuracy_0.3": 0.7, "rmse_dex": 0.4})
    >>> "20.0 percentage points more" in better and "50 % smaller" in better
    True
    """
    mine, other = 100 * network["accuracy_0.3"], 100 * simple["accuracy_0.3"]
    change = 1 - network["rmse_dex"] / simple["rmse_dex"]
    return (
        f"On validation patches the {name} comes within 0.3 dex (a factor of 2) of the true density in {mine:.1f} % of "
        f"the pixels, a simple power law of the column density in {other:.1f} %: "
        f"{abs(mine - other):.1f} percentage points {'more' if mine >= other else 'fewer'}. "
        f"Its RMS error is {network['rmse_dex']:.3f} dex against {simple['rmse_dex']:.3f} dex "
        f"({100 * abs(change):.0f} % {'smaller' if change >= 0 else 'larger'})."
    )


def interval_share(prediction: Any, truth: np.ndarray) -> float:
    """Return the fraction of pixels whose truth lies inside the 68 % interval of the prediction."""
    known = np.isfinite(prediction.lower68) & np.isfinite(prediction.upper68) & np.isfinite(truth)
    inside = (truth >= prediction.lower68) & (truth <= prediction.upper68)
    return float(inside[known].mean()) if known.any() else float("nan")


def _what_this_is(dataset: Any, observation: Any) -> list[str]:
    """Return the paragraphs that tell a newcomer what was done."""
    pixels = " x ".join(str(n) for n in observation.column_density.shape)
    return [
        "A telescope sees the column density of a cloud: all the gas along each line of sight together. Where along "
        "the line the gas sits, and so how dense it is, has to be inferred. Here a network learned from simulated "
        "clouds, where both are known, to tell the mass-weighted mean density along each line of sight.",
        dataset.describe_split(),
        f"The network was then applied to a map of {pixels} pixels of {observation.pixel_size_pc:.3g} pc, at "
        f"{observation.distance_pc:.4g} pc.",
    ]


def _maps(observation: Any, prediction: Any, truth: np.ndarray | None, target: str) -> list[Any]:
    """Return the observed map, the predicted one, its interval, and what the truth says about them."""
    size = {"pixel_size_pc": observation.pixel_size_pc, "max_pixels": MAP_PIXELS, "width": 285}
    width = np.log10(prediction.upper68 / prediction.lower68)
    known = prediction.density if truth is None else np.stack([prediction.density, truth])
    valid = known[np.isfinite(known) & (known > 0)]
    limits = tuple(float(v) for v in np.quantile(valid, [0.005, 0.995])) if valid.size else None
    label = target if target in style.QUANTITIES else "density"
    row = [
        Figure(
            figures.sky_map(observation.column_density, label="column_density", title="Observed", **size),
            "Column density of hydrogen nuclei that was observed. Grey: not observed.",
        ),
        Figure(
            figures.sky_map(prediction.density, label=label, title="Predicted", clim=limits, **size),
            "Density that the network predicts, on the grid of the observation.",
        ),
        Figure(
            figures.sky_map(width, label="interval_width", log=False, **size),
            "Width of the interval that holds the true density with 68 % probability, judged by validation: "
            "0.3 dex is a factor of 2 from its lower to its upper end.",
        ),
    ]
    if truth is None:
        return [Figures(row)]
    share = 100 * interval_share(prediction, truth)
    row += [
        Figure(
            figures.sky_map(truth, label=label, title="True", clim=limits, **size),
            "True density of the simulated cloud, in the colours of the prediction.",
        ),
        Figure(
            figures.spatial_error(prediction.density, truth, **size),
            "Logarithm of predicted over true density: red where it is over-estimated.",
        ),
    ]
    return [
        f"The 68 % interval holds the true density in {share:.0f} % of the pixels of this map. It is meant to hold 68 % over "
        "many clouds: in one cloud the errors of neighbours go together, so one map can lie well above or below.",
        Figures(row),
    ]


def _training(run: Any) -> list[Any]:
    """Return the curves of the training."""
    history = run.history()
    best = next((record for record in reversed(history) if record.best), history[-1])
    known = best.validation_rmse_dex is not None
    error = f", with a validation error of {best.validation_rmse_dex:.3f} dex" if known else ""
    return [
        f"{len(history)} epochs in {sum(record.seconds for record in history):.0f} s. The weights kept are those of "
        f"epoch {best.epoch + 1}{error}.",
        Figures(
            [
                Figure(
                    figures.loss_curves(history),
                    "Root mean square error of log₁₀ density on training and on validation patches after each epoch.",
                ),
                Figure(
                    figures.accuracy_curve(history),
                    "Share of validation pixels within 0.3 dex of the truth after each epoch.",
                ),
            ]
        ),
    ]


def _accuracy(
    scores: Mapping[str, Mapping[str, float]],
    predictions: Mapping[str, np.ndarray],
    target: np.ndarray,
    power_law: Any,
) -> list[Any]:
    """Return the table and the curves that set the network beside the power law."""
    curves = {name: metrics.accuracy_curve(values, target) for name, values in predictions.items()}
    tolerances = next(iter(curves.values())).tolerance_dex
    return [
        f"The power law is log₁₀ n = {_signed(power_law.intercept)} + {power_law.slope:.2f} log₁₀ N, fitted to the training "
        "patches. Accuracy is the share of pixels whose density is right within a tolerance, averaged over patches.",
        _score_table(scores),
        Figure(
            figures.accuracy_by_tolerance(tolerances, {name: curve.mean for name, curve in curves.items()}),
            "Share of pixels within a tolerance of the true density, for every tolerance up to 1 dex.",
        ),
    ]


def _score_table(scores: Mapping[str, Mapping[str, float]]) -> Table:
    """Return the scores of the estimators, one a row."""
    head = ["estimator"]
    head += [f"within {tolerance:g} dex" for tolerance in metrics.TOLERANCES_DEX]
    head += ["RMS error", "bias", "correlation", "RMS error of the densest 1 %"]
    rows: list[Sequence[str]] = [
        [
            name,
            *(f"{100 * score[f'accuracy_{tolerance:g}']:.1f} %" for tolerance in metrics.TOLERANCES_DEX),
            f"{score['rmse_dex']:.3f} dex",
            f"{_signed(score['bias_dex'], 3)} dex",
            f"{score['correlation']:.3f}",
            f"{score['densest_1_percent_rmse_dex']:.3f} dex",
        ]
        for name, score in scores.items()
    ]
    return Table(
        head,
        rows,
        "Scores on the validation patches. 0.1 dex is a factor of 1.26, 0.3 dex of 2.0, 0.5 dex of 3.2.",
    )


def _residuals(predicted: np.ndarray, target: np.ndarray) -> list[Any]:
    """Return the residuals by predicted and by true density."""
    by_predicted = metrics.residuals_by_density(predicted, target, by="predicted")
    by_target = metrics.residuals_by_density(predicted, target, by="target")
    return [
        "Read the first figure to judge a prediction: of the pixels that were predicted to have a density, it shows how far "
        "off they are. The second has the true density on its axis; there even the best estimator lies low at the dense end "
        "and high at the thin end, because it cannot know which pixels are extreme.",
        Figures(
            [
                Figure(
                    figures.residual_bands(by_predicted),
                    "Residuals at each predicted density on validation patches: median, 68 % and 95 % ranges.",
                ),
                Figure(
                    figures.residual_violins(by_target),
                    "Distribution of the residuals at each true density; bars are 68 % ranges, dots medians.",
                ),
                Figure(
                    figures.correlation(
                        target, predicted, x_label="true density n_H [cm^-3]", y_label="predicted density n_H [cm^-3]",
                        diagonal=True, title="Predicted against true density",
                    ),
                    "Pixels of the validation patches by true and predicted density; on the dashed line both are equal.",
                ),
            ]
        ),
    ]  # fmt: skip


def _provenance(
    run: Any, dataset: Any, prediction: Any, seed: int | None, facts: Mapping[str, str]
) -> list[Any]:
    """Return the table of versions, seeds and fingerprints."""
    made = config.Provenance.now(seed=seed)
    rows = {
        "polaris_lab": made.polaris_lab + (f" (commit {made.commit})" if made.commit else ""),
        "Python": made.python,
        **made.packages,
        "machine": made.platform,
        "written": made.created,
        "seed": "–" if seed is None else str(seed),
        "seed of the training": str(run.config.seed),
        "run": f"{run.path} ({run.fingerprint})",
        "dataset": f"{dataset.path or 'in memory'} ({dataset.fingerprint})",
        "run that predicted the map": prediction.run_fingerprint,
        **facts,
    }
    return [
        Table(
            ["what", "value"],
            [(name, str(value)) for name, value in rows.items()],
            "Fingerprints stand in brackets.",
            numeric=False,
        )
    ]
