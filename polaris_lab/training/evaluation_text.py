"""How an evaluation is shown: a text for terminals, a table for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polaris_lab.training.bootstrap import Interval
from polaris_lab.training.describe import html_table

if TYPE_CHECKING:
    from polaris_lab.training.evaluation import Evaluation

LABELS = {
    "rmse_dex": "RMSE [dex]",
    "bias_dex": "bias [dex]",
    "robust_scatter_dex": "robust scatter, 1.48 MAD [dex]",
    "in_map_rmse_dex": "RMSE within maps [dex]",
    "accuracy_0.1": "pixels within 0.1 dex",
    "accuracy_0.2": "pixels within 0.2 dex",
    "accuracy_0.3": "pixels within 0.3 dex",
    "accuracy_0.5": "pixels within 0.5 dex",
    "densest_1_percent_rmse_dex": "densest 1 %: RMSE [dex]",
    "densest_1_percent_bias_dex": "densest 1 %: bias [dex]",
    "dense_mass_ratio": "dense mass, predicted / true",
    "dense_recall": "dense pixels found",
    "dense_precision": "dense predictions right",
    "wasserstein_dex": "distance of the PDFs, W1 [dex]",
    "high_frequency_power_ratio": "power at high k, predicted / true",
    "crps_dex": "CRPS [dex]",
    "coverage_0.5": "truth in the 50 % interval",
    "coverage_0.68": "truth in the 68 % interval",
    "coverage_0.9": "truth in the 90 % interval",
    "coverage_0.95": "truth in the 95 % interval",
}
"""Words for every score, in the order of the tables."""

SHARES = ("accuracy_", "coverage_", "dense_recall", "dense_precision")
"""Scores shown as per cent."""


def show(name: str, interval: Interval) -> str:
    """Return a score and its interval as people read them.

    Examples
    --------
    >>> show("accuracy_0.3", Interval(0.871, 0.85, 0.9, clouds=8))
    '87.1 % (85.0 .. 90.0 %)'
    """
    if not name.startswith(SHARES):
        return str(interval)
    text = f"{100 * interval.value:.1f} %"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({100 * interval.low:.1f} .. {100 * interval.high:.1f} %)"


def lines(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return (label, text) pairs."""
    level = next(iter(evaluation.scores.values()))["level"]
    known = [name for name in LABELS if name in evaluation.scores]
    rows = [(LABELS[name], show(name, evaluation.score(name))) for name in known]
    dense = f"{evaluation.dense_cm3:.3g} cm^-3"
    worst = evaluation.worst_map
    rows.append(("area under the accuracy curve", f"{evaluation.accuracy['area']:.3f}"))
    rows.append(
        ("worst map", f"RMSE {worst['rmse_dex']:.3f} dex (patch {worst['patch']}, cloud {worst['cloud']!r})")
    )
    slopes = [evaluation.tail[f"slope_{kind}"] for kind in ("predicted", "true")]
    said = ["none" if slope is None else f"{slope:.2f}" for slope in slopes]
    rows.append(("slope of the PDF's tail", f"{said[0]} predicted, {said[1]} true"))
    if evaluation.regions is not None:
        regions = evaluation.regions
        rows.append(
            (
                f"means over {regions['side_pixels']} pixels squared",
                f"RMSE {regions['rmse_dex']:.3f} dex, from samples {regions['sigma_dex']:.3f}; "
                f"{100 * regions['coverage']['0.68']:.0f} % in the 68 % interval",
            )
        )
    parameters = "unknown" if evaluation.parameters is None else f"{evaluation.parameters:,}"
    rows += [
        ("parameters", parameters),
        ("CPU time", f"{evaluation.cpu_seconds_per_megapixel:.3g} s per megapixel"),
        ("judged on", f"{evaluation.images} patches of {len(evaluation.clouds)} clouds, {evaluation.split}"),
        ("split", evaluation.split_sentence),
        (
            "conventions",
            f"logarithms base 10 (dex), positive = over-estimate; dense is above {dense}; in brackets "
            f"{100 * level:g} % intervals of a bootstrap over clouds",
        ),
    ]
    return rows + [("note", note) for note in evaluation.notes]


def as_text(evaluation: Evaluation) -> str:
    """Return an evaluation as lines of text."""
    rows = lines(evaluation)
    width = max(len(label) for label, _ in rows)
    head = f"{evaluation.name}: {evaluation.target} on {len(evaluation.clouds)} clouds"
    return "\n".join([head, *(f"  {label:<{width}}  {text}" for label, text in rows)])


def as_html(evaluation: Evaluation) -> str:
    """Return an evaluation as an HTML table."""
    return html_table("Evaluation", f"{evaluation.name}: {evaluation.target}", lines(evaluation))
