"""What the training monitor says: its lines of Python, its numbers, its tables, its help."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from widgets import style
from widgets.monitor import live

HELP = """
**Reading the curves.** The error is the root mean square of log₁₀(predicted / true density): 0.3 dex is a factor
of 2. *Training* (dashed) is measured on the patches the network learns from, *validation* on gas it never saw: when
validation rises while training still falls, it learns by heart. The large mark is the epoch whose weights are kept.
The *loss* is what the training lowers, in its own unit; a logarithm of a likelihood may be negative, and its
axis is then linear. Smoothing draws running means over the measured curves, which stay, paler.

**Pause** ends the training when its epoch is finished; nothing is lost. **Stop** ends it at the next batch; the
unfinished epoch is repeated. **Resume** goes on exactly where it was, after either.

**Whoever trains.** The page reads the folders of the runs. A training started in a notebook or with
**polaris-lab train RUN** shows here too, and can be paused and stopped here.
"""

STATES = {"new": "ready", "empty": "no run yet"}
"""States that a reader would not know by their name."""

SEVERITY = {
    "missing": "warning",
    "broken": "error",
    "failed": "error",
    "finished": "success",
    "paused": "warning",
    "pausing": "warning",
    "stopped": "warning",
    "stopping": "warning",
}

STYLE = """
:host { font-family: inherit; }
.numbers { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 0; }
.numbers div { min-width: 92px; }
dt { font-size: 13px; opacity: 0.8; }
dd { font-size: 21px; margin: 2px 0 0; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
"""

MOST_DIFFERENCES = 40
"""Rows of the table of settings."""

_MARKS = {
    "circle": '<circle cx="16" cy="8" r="5"/>',
    "square": '<rect x="11" y="3" width="10" height="10"/>',
    "triangle": '<path d="M16 2L22 13H10Z"/>',
    "diamond": '<path d="M16 1L23 8L16 15L9 8Z"/>',
    "inverted_triangle": '<path d="M16 14L22 3H10Z"/>',
    "hex": '<path d="M16 1L22 4.5V11.5L16 15L10 11.5V4.5Z"/>',
}
"""The marks of the runs as drawings of 32 x 16."""


def code(run_path: str | Path, beside: Sequence[str | Path], smoothing: float) -> str:
    """Return the Python lines that give a view in a notebook.

    Examples
    --------
    >>> print(code("runs/a", ["runs/b"], 0.5))
    from widgets import TrainingMonitor
    TrainingMonitor('runs/a', beside=['runs/b'], smoothing=0.5)
    """
    others = f", beside={[Path(path).as_posix() for path in beside]!r}" if beside else ""
    smooth = f", smoothing={smoothing:g}" if smoothing else ""
    return (
        f"from widgets import TrainingMonitor\nTrainingMonitor({Path(run_path).as_posix()!r}{others}{smooth})"
    )


def _error(record: Any) -> str:
    """Return the error of a record on the validation patches; where it is not known the loss, before the first a dash."""
    if record is None:
        return "–"
    if record.validation_rmse_dex is None:
        return f"loss {record.validation_loss:.3g}"
    return f"{record.validation_rmse_dex:.3f} dex"


def _figures(seen: Any) -> dict[str, str]:
    """Return the figures of a snapshot by their names; unknown ones are dashes."""
    last, best = (seen.records[-1] if seen.records else None), seen.best
    return {
        "epoch": f"{seen.done} of {seen.epochs}" if seen.epochs else "–",
        "validation error": _error(last),
        "best": _error(best),
        "within 0.3 dex": f"{100 * last.validation_accuracy:.1f} %" if last else "–",
        "learning rate": f"{last.learning_rate:.1e}" if last else "–",
        "speed": f"{last.images_per_second:.3g} images/s" if last else "–",
        "time left": duration(seen.seconds_left),
    }


def numbers(seen: Any) -> str:
    """Return the figures of a snapshot as a list in HTML."""
    items = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in _figures(seen).items()
    )
    return f'<dl class="numbers">{items}</dl>'


def runs(snapshots: Sequence[Any]) -> str:
    """Return the runs that are shown as a table in HTML, each with its line and mark on the figures."""
    names = list(_figures(snapshots[0]))
    head = "".join(f'<th class="number">{html.escape(name)}</th>' for name in names)
    rows = ""
    for place, seen in enumerate(snapshots):
        values = "".join(f'<td class="number">{html.escape(value)}</td>' for value in _figures(seen).values())
        status = html.escape(STATES.get(seen.status, seen.status))
        rows += f"<tr><td>{mark(place)} {html.escape(seen.name)}</td><td>{status}</td>{values}</tr>"
    return f'<div class="wide"><table><tr><th>run</th><th>state</th>{head}</tr>{rows}</table></div>'


def mark(place: int) -> str:
    """Return the line and mark of a run as a drawing."""
    colour = style.SERIES[place % len(style.SERIES)]
    shape = _MARKS[live.MARKERS[place % live.MOST]]
    return (
        f'<svg width="32" height="16" aria-hidden="true" fill="{colour}" stroke="{colour}">'
        f'<path d="M0 8H32" stroke-width="2"/>{shape}</svg>'
    )


def comparison(opened: Sequence[Any]) -> str:
    """Return the settings in which runs differ, and what came of them, as a table in HTML.

    Parameters
    ----------
    opened : sequence of Run
        Each is compared with the first.
    """
    first, *others = opened
    tables = [first.compare(other) for other in others]
    found = {"settings": [dict_of(table.differences) for table in tables]}
    found["results"] = [dict_of(table.results) for table in tables]
    head = "".join(f"<th>{mark(place)} {html.escape(run.name)}</th>" for place, run in enumerate(opened))
    rows, left_out = "", 0
    for part, dicts in found.items():
        names = list(dict.fromkeys(name for each in dicts for name in each))
        shown = names[:MOST_DIFFERENCES]
        left_out += len(names) - len(shown)
        for name in shown:
            own = next(each[name][0] for each in dicts if name in each)
            values = [own, *(each[name][1] if name in each else own for each in dicts)]
            cells = "".join(f"<td>{html.escape(str(value))}</td>" for value in values)
            rows += f"<tr><td>{html.escape(name)}</td>{cells}</tr>"
        if part == "settings" and not names:
            rows += f'<tr><td colspan="{len(opened) + 1}">no setting differs</td></tr>'
    more = f"<p>{left_out} more differences: first.compare(other) lists all.</p>" if left_out else ""
    return f'<div class="wide"><table><tr><th>setting or result</th>{head}</tr>{rows}</table></div>{more}'


def dict_of(rows: Sequence[tuple[str, Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return rows of a comparison as pairs by their name.

    Examples
    --------
    >>> dict_of([("seed", 0, 1)])
    {'seed': (0, 1)}
    """
    return {name: (ours, theirs) for name, ours, theirs in rows}


def duration(seconds: float | None) -> str:
    """Return a time in the words of a clock.

    Examples
    --------
    >>> [duration(s) for s in (None, 8.4, 75, 3700, 200000)]
    ['–', '8 s', '1 min 15 s', '1 h 01 min', '2 d 7 h']
    """
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def where(folder: Path) -> str:
    """Return the line that tells which folder is shown, in HTML."""
    return f'Folder<br><span style="overflow-wrap: anywhere">{html.escape(str(folder))}</span>'
