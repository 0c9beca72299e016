"""What the explorer of residuals says: its states, tables, lines of Python, help."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

HELP = """
**Reading it.** A residual is log₁₀(predicted / true) in dex: 0.3 is a factor of 2, positive is too dense. All
patches are validation patches, which the network did not learn from.

**Linked.** Draw a box on the correlation, or type its ends: on the maps only those pixels keep their colours. Tap a
dot of *errors of the patches* to see that patch.

**By true or by predicted density.** By the true density every good estimate falls short at the dense end, since
it cannot know what is not in its input. What to expect of a prediction is told by the predicted density.

**Baseline.** A correction takes off the mean residual. It is fitted on half of the patches and judged on the other.
"""

EMPTY = (
    "There is no trained run in the workspace folder. On the command line, polaris-lab demo makes a dataset and trains "
    "a run; in Python, lab.Run.create and run.train() do. Then choose it at the left."
)


def of_run(
    path: Path | None, seen: Any, judged: Any, *, error: str, gone: bool, newer: bool
) -> tuple[str, str, str]:
    """Return severity, title and words of the line over the figures of a run."""
    if path is None:
        return ("error", "This run cannot be shown", error) if error else ("info", "No run", EMPTY)
    if gone:
        kept = "What is seen was computed before. " if judged is not None else ""
        return (
            "warning",
            f"{path.name}: missing",
            f"There is no run {path}: it was moved or deleted. {kept}Choose another run, or put it back.",
        )
    if seen.busy:
        return "info", f"{path.name}: predicting its validation patches", seen.message
    if seen.status == "failed":
        return "error", f"{path.name}: not shown", f"{seen.message}. {_remedy(seen.message)}"
    if seen.status == "stopped":
        return "warning", f"{path.name}: stopped", seen.message
    if newer:
        return (
            "info",
            f"{path.name}: changed since",
            "Its weights or its kept correction changed after this was computed. Press Predict to see them.",
        )
    evaluation = judged.evaluation
    rmse, right = (evaluation.scores[name] for name in ("rmse_dex", "accuracy_0.3"))
    words = (
        f"{len(judged)} validation patches, {evaluation.pixels:,} pixels: RMSE {rmse['value']:.3f} dex, "
        f"{100 * right['value']:.1f} % within 0.3 dex. {evaluation.split_sentence}"
    )
    return "success", f"{path.name}: {evaluation.target.replace('_', ' ')}", words


def _remedy(message: str) -> str:
    """Return what to do on a page about an error of the library."""
    if "dataset" in message and "Run.open" in message:
        return "Put the dataset back and press Predict, or choose another run"
    if "epoch" in message or "weights" in message:
        return "Train it (the training monitor has a button for that), then press Predict"
    return "Press Predict to try again, or choose another run"


def chosen(sides: list[Any], region: Any) -> str:
    """Return what is to be said of the chosen region, in HTML: one line a run."""
    if region is None:
        return "<p>Draw a box on the correlation, or fill in the four ends, to see where its pixels lie.</p>"
    lines = []
    for side in sides:
        residuals, inside = side.chosen_residuals(), side.inside
        if not residuals.size:
            said = "no pixel in this region; make it larger"
        else:
            most = int(inside.argmax())
            rmse = float(np.sqrt(np.mean(residuals**2)))
            said = (
                f"{residuals.size:,} pixels ({100 * residuals.size / side.judged.evaluation.pixels:.3g} %) in "
                f"{int((inside > 0).sum())} patches, most in patch {most}; RMSE there {rmse:.3f} dex, mean residual "
                f"{residuals.mean():+.3f} dex"
            )
        lines.append(f"<b>{html.escape(side.judged.name)}</b>: {said}.")
    return f"<p>{'<br>'.join(lines)}</p>"


def tolerance(judged: list[Any], tolerance_dex: float) -> str:
    """Return the share of pixels within a tolerance, in HTML."""
    said = []
    for one in judged:
        table = one.evaluation.accuracy
        mean, low, high = (
            100 * float(np.interp(tolerance_dex, table["tolerance_dex"], np.array(table[name], float)))
            for name in ("mean", "q16", "q84")
        )
        said.append(
            f"<b>{html.escape(one.name)}</b>: Acc({tolerance_dex:.2f} dex) = {mean:.1f} %; 68 % of the patches from "
            f"{low:.1f} to {high:.1f} %."
        )
    return f"<p>{'<br>'.join(said)}</p>"


def scores(columns: list[tuple[str, Any]], *, starting: tuple[str, ...] = ("",)) -> str:
    """Return the scores of some evaluations by their heads, as a table in HTML; those whose names start so."""
    from polaris_lab.training.evaluation_text import LABELS, show

    head = "".join(f'<th class="number">{html.escape(name)}</th>' for name, _ in columns)
    rows = "".join(
        f"<tr><td>{html.escape(label)}</td>"
        + "".join(
            f'<td class="number">{show(name, one.score(name)) if name in one.scores else "–"}</td>'
            for _, one in columns
        )
        + "</tr>"
        for name, label in LABELS.items()
        if name.startswith(starting) and any(name in one.scores for _, one in columns)
    )
    return f"<table><tr><th>score (95 % interval over clouds)</th>{head}</tr>{rows}</table>"


def comparison(judged: list[Any]) -> str:
    """Return how two runs compare, in words; "" for one."""
    if len(judged) < 2:
        return ""
    first, other = (one.evaluation for one in judged)
    try:
        ratio = first.ratio(other)
    except ValueError:
        return (
            "<p>The two runs were judged on other patches or another quantity: compare the shapes of their errors, "
            "not the numbers.</p>"
        )
    return f"<p>RMSE of {html.escape(first.name)} / {html.escape(other.name)}, on the same pixels: <b>{ratio}</b>.</p>"


def notes(judged: list[Any]) -> str:
    """Return what else the reader must know, in HTML."""
    said = [f"{one.name}: {note}" for one in judged for note in one.evaluation.notes]
    if any(one.correction not in ("none", "kept") for one in judged):
        said.append("the correction of each half of the patches was fitted on the other half")
    return "".join(f"<p>Note: {html.escape(note)}.</p>" for note in said)


def patch(shown: list[Any], number: int) -> str:
    """Return which patch is shown, and how well the runs do there, in HTML."""
    judged = shown[0]
    maps = judged.evaluation.maps
    number = min(number, len(judged) - 1)
    cloud = maps["cloud"][number]
    axis = maps["line_of_sight"][number]
    known = [*([f"cloud {cloud}"] if cloud else []), *([f"line of sight {axis}"] if axis else [])]
    where = ": " + ", ".join(known) if known else ""
    said = [_errors_of(each, number, named=len(shown) > 1) for each in shown]
    return html.escape(
        f"Patch {number} of {len(judged)} (row {maps['patch'][number]} of the dataset){where}; "
        f"{'; '.join(said)}"
    )


def _errors_of(judged: Any, number: int, *, named: bool) -> str:
    maps = judged.evaluation.maps
    rmse, bias = (maps[name][min(number, len(judged) - 1)] for name in ("rmse_dex", "bias_dex"))
    said = "no valid pixel" if rmse is None else f"RMSE {rmse:.3f} dex, mean {bias:+.3f} dex"
    return f"{judged.name}: {said}" if named else said


def code(run: str, other: str, choices: dict[str, Any]) -> str:
    """Return the Python lines that give this view.

    Examples
    --------
    >>> print(code("runs/unet", "", {"by": "predicted"}))
    import polaris_lab as lab
    from widgets import ResidualExplorer
    <BLANKLINE>
    run = lab.Run.open('runs/unet')
    ResidualExplorer(run, by='predicted')
    # the numbers alone: print(lab.evaluate(run, run.dataset()))
    """
    arguments = [f"lab.Run.open({other!r})"] if other else []
    arguments += [f"{name}={value!r}" for name, value in choices.items()]
    lines = [
        "import polaris_lab as lab",
        "from widgets import ResidualExplorer",
        "",
        f"run = lab.Run.open({run!r})",
        f"ResidualExplorer({', '.join(['run', *arguments])})",
    ]
    if "correction" not in choices:
        lines.append("# the numbers alone: print(lab.evaluate(run, run.dataset()))")
    return "\n".join(lines)
