"""What the explorer of studies says: its states, the table of a cell, lines of Python, help."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import quote

from widgets.complexity.study_cells import StudyCell
from widgets.studies import is_signed, label_of, more_is_better

HELP = """
**Reading it.** Each cell is a choice of settings, trained with every seed. It says the mean over the seeds and their
scatter. Two cells differ only where they differ by more than that. Yellow is better.

**A cell** tells its settings, its runs and what they found when you tap it, or choose it from the list. Its links
open the residuals and the curves of a run.

**Missing cells.** *Launch* trains them in a process of its own, one after the other. Close or reload the page as you
like. Cancel stops at the next batch; what is finished is kept.
"""

EMPTY = (
    "There is no study in the workspace folder. In Python, lab.complexity_map(dataset, training, path=...) makes one; on "
    "the command line, polaris-lab study CONFIG.json. Then choose it at the left."
)

_SEVERITY = {
    "missing": "warning",
    "empty": "info",
    "broken": "error",
    "failed": "error",
    "finished": "success",
    "stopping": "warning",
}


def state(seen: Any, study: Any, error: str) -> tuple[str, str, str]:
    """Return severity, title and words of the line over the map."""
    if error:
        return "error", "This study cannot be shown", error
    if seen is None:
        return "info", "No study", EMPTY
    title = f"{seen.name}: {seen.status}"
    if study is None:
        return _SEVERITY.get(seen.status, "info"), title, seen.message
    failed = f", {seen.failed} of them failed" if seen.failed else ""
    words = f"{study.kind.replace('_', ' ')}: {seen.done} of {seen.total} cells and seeds done{failed}."
    if seen.status == "stopped":
        words += " Launch runs what is missing."
    return _SEVERITY.get(seen.status, "info"), title, f"{words} {seen.message}".strip()


def cell(found: StudyCell, study: Any, metric: str, *, folder: str | None) -> str:
    """Return what is known of a cell, in HTML; with the study's name in the workspace, its runs are links."""
    head = (
        f"<p><b>{html.escape(found.text)}</b><br>{html.escape(label_of(metric))}: "
        f"{html.escape(_value(found, metric))}.</p>"
    )
    columns = ("seed", "state", "parameters", "epochs", "cpu_seconds", metric)
    names = dict.fromkeys(columns)
    titles = "".join(f"<th>{html.escape(label_of(name))}</th>" for name in names)
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(_number(row.get(name)))}</td>" for name in names)
        + f"<td>{_links(study, row, folder)}</td></tr>"
        for row in found.rows
    )
    table = f"<table><tr>{titles}<th>run</th></tr>{rows}</table>"
    return f'{head}<div style="overflow-x: auto">{table}</div>{_settings(found, study)}'


def best(cells: list[StudyCell], metric: str) -> int | None:
    """Return the number of the cell with the best mean (a bias: the one nearest to 0), None without a result."""
    signed = is_signed(metric)
    known = [
        (abs(one.mean) if signed else one.mean, number) for number, one in enumerate(cells) if one.values
    ]
    if not known:
        return None
    return (max if more_is_better(metric) else min)(known)[1]


def code(path: str, choices: dict[str, Any]) -> str:
    """Return the Python lines that give this view.

    Examples
    --------
    >>> print(code("runs/map", {"metric": "bias_dex"}))
    import polaris_lab as lab
    from widgets import ComplexityExplorer
    <BLANKLINE>
    study = lab.training.Study.open('runs/map')
    ComplexityExplorer(study.path, metric='bias_dex')
    # the numbers alone: print(study.summary('bias_dex'))
    """
    arguments = "".join(f", {name}={value!r}" for name, value in choices.items())
    lines = [
        "import polaris_lab as lab",
        "from widgets import ComplexityExplorer",
        "",
        f"study = lab.training.Study.open({path!r})",
        f"ComplexityExplorer(study.path{arguments})",
        f"# the numbers alone: print(study.summary({choices.get('metric', 'rmse_dex')!r}))",
    ]
    return "\n".join(lines)


def _value(found: StudyCell, metric: str) -> str:
    """Return mean and scatter in words."""
    if not found.values:
        return {"not run": "not run yet", "failed": "the training failed"}.get(found.state, found.state)
    count = len(found.values)
    scatter = f" ± {found.std:.3g} (scatter of {count} seeds)" if count > 1 else " (one seed)"
    return f"{found.mean:.4g}{scatter}"


def _links(study: Any, row: dict[str, Any], folder: str | None) -> str:
    """Return what leads to a run."""
    run = str(row["run"])
    if row["state"] == "failed":
        return f"{html.escape(run)}: {html.escape(str(row.get('message')))}"
    known = (study.path / run / "run.json").is_file()
    if folder is None or not known:
        return html.escape(run)
    place = quote(f"{folder}/{run}")
    residuals = f'<a href="residuals?path={place}">residuals</a>, ' if row["state"] == "finished" else ""
    return f'{html.escape(run)}: {residuals}<a href="training?path={place}">training</a>'


def _settings(found: StudyCell, study: Any) -> str:
    """Return the settings of a cell that are not varied."""
    text = study.description
    network = {"preset": text["preset"]} if text["preset"] else {}
    fixed = {
        **network,
        **text["settings"],
        **{f"training.{name}": value for name, value in text["training"].items()},
    }
    own = {**{name: value for name, value in fixed.items() if name not in found.settings}}
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in own.items()
    )
    return f"<details><summary>Settings that all cells share</summary><table>{rows}</table></details>"


def _number(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return (
        f"{value:.4g}"
        if isinstance(value, float) and value != int(value)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
