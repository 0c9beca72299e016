"""Watch a training live, start and cancel it: :class:`TrainingMonitor`."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from widgets import live, run_watcher, shell, workspace

PERIOD_MS = 400
"""Time between two looks at the run folder [ms]."""

SCAN_MS = 3000
"""Time between two looks for new runs [ms]."""

PURPOSE = "Watch a training as it goes, start it, stop it and take it up again."

_STYLE = """
:host { font-family: inherit; }
.numbers { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 0; }
.numbers div { min-width: 92px; }
dt { font-size: 13px; opacity: 0.8; }
dd { font-size: 21px; margin: 2px 0 0; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { margin: 0; padding: 8px 10px; border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 4px;
      white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
"""

_COPY = """
const text = new DOMParser().parseFromString(code.text, "text/html").body.textContent
const plain = text.includes("<pre") ? new DOMParser().parseFromString(text, "text/html").body.textContent : text
navigator.clipboard.writeText(plain.trim())
"""

HELP = """
**Reading the curves.** The error is the root mean square of log₁₀(predicted / true density): 0.3 dex is a factor
of 2. *Training* is measured on the patches the network learns from, *validation* on gas it never saw: when
validation rises while training still falls, it learns by heart. The dot marks the epoch whose weights are kept.

**Whoever trains.** The page reads the run's folder. A training started in a notebook or with
**polaris-lab train RUN** shows here too, and Cancel stops it at its next batch.
"""

_WORDS = {"new": "ready", "empty": "no run yet"}
"""States that a reader would not know by their name."""

_MARKS = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\`*_[]#~|!"})
"""Characters that Markdown takes as marks, as HTML writes them."""

_SEVERITY = {
    "missing": "warning",
    "broken": "error",
    "failed": "error",
    "finished": "success",
    "stopped": "warning",
    "stopping": "warning",
}


class TrainingMonitor(pn.viewable.Viewer):
    """Live curves of one run, with start and cancel.

    The state belongs to the run folder, so it does not matter who trains it (a notebook, the command line, this
    page) nor how often the page is opened or reloaded. In a notebook loop call :meth:`refresh` after each epoch.

    Parameters
    ----------
    run_path : str or Path
        A run folder, as `lab.Run.create` makes it. It may be missing or vanish: the page says what to do.

    Examples
    --------
    >>> monitor = TrainingMonitor("runs/unet_64")
    >>> monitor.snapshot.status
    'missing'
    """

    run_path = param.ClassSelector(class_=(str, Path), doc="The run folder.")
    snapshot = param.Parameter(
        run_watcher.Snapshot(), precedence=-1, doc="How the run stood at the last look."
    )

    def __init__(
        self,
        run_path: str | Path,
        *,
        open_run: Callable[[Path], Any] = run_watcher.open_run,
        **params: Any,
    ):
        super().__init__(run_path=run_path, **params)
        self._open_run = open_run
        self._watcher = run_watcher.RunWatcher(run_path, open_run=open_run)
        self._curves = live.LiveHistory()
        self._start = pmui.Button(label="Start", icon="play_arrow", color="primary", variant="contained")
        self._cancel = pmui.Button(label="Cancel", icon="stop", color="error", variant="outlined")
        self._start.on_click(lambda _event: self.start())
        self._cancel.on_click(lambda _event: self.cancel())
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, sizing_mode="stretch_width")
        self._progress = pmui.LinearProgress(value=0, variant="determinate", sizing_mode="stretch_width")
        self._numbers = pn.pane.HTML("", stylesheets=[_STYLE], sizing_mode="stretch_width")
        self._code = pn.pane.HTML(_code_html(self.code()), stylesheets=[_STYLE], sizing_mode="stretch_width")
        self._hint = pmui.Typography("The curves appear here with the first epoch.", variant="body2")
        self._plots = [
            pn.pane.Bokeh(figure, sizing_mode="stretch_width", min_width=300)
            for figure in self._curves.figures
        ]
        self._view = self._build()
        self.refresh()

    def _build(self) -> Any:
        """Put the parts together, once."""
        copy = pmui.Button(label="Copy", icon="content_copy", variant="text", width=90)
        copy.js_on_click(args={"code": self._code}, code=_COPY)
        curves = pn.FlexBox(
            *(pn.Column(plot, styles={"flex": "1 1 300px", "min-width": "0"}) for plot in self._plots),
            sizing_mode="stretch_width",
        )
        return pmui.Column(
            self._state,
            pmui.Row(self._start, self._cancel),
            self._progress,
            self._numbers,
            self._hint,
            curves,
            pmui.Typography("The same in a notebook", variant="body2"),
            pmui.Row(self._code, copy, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )

    def code(self) -> str:
        """Return the Python lines that give this view in a notebook."""
        return f'from widgets import TrainingMonitor\nTrainingMonitor("{Path(self.run_path).as_posix()}")'

    def start(self) -> None:
        """Train or resume the run in a worker process of its own."""
        self._watcher.start()
        self.refresh()

    def cancel(self) -> None:
        """Ask the training to stop at its next batch, whoever runs it."""
        self._watcher.cancel()
        self.refresh()

    def refresh(self) -> run_watcher.Snapshot:
        """Look at the run folder and show what changed; return what was seen."""
        seen = self._watcher.look()
        sent = self._curves.show(seen.records)
        if seen != self.snapshot or not self._state.title:
            self.snapshot = seen
            self._show(seen)
        if sent:
            pn.io.push_notebook(*self._plots)  # in a notebook; does nothing on a served page
        return seen

    @param.depends("run_path", watch=True)
    def _change_run(self) -> None:
        """Turn to another run."""
        self._watcher = run_watcher.RunWatcher(self.run_path, open_run=self._open_run)
        self._code.object = _code_html(self.code())
        self.refresh()

    def _show(self, seen: run_watcher.Snapshot) -> None:
        """Write one snapshot into the parts."""
        self._state.param.update(
            title=f"{seen.name}: {_WORDS.get(seen.status, seen.status)}",
            object=_plain(seen.message),  # the alert shows HTML
            severity=_SEVERITY.get(seen.status, "info"),
        )
        again = seen.status in ("stopped", "failed")
        self._start.param.update(label="Resume" if again else "Start", disabled=not seen.can_start)
        self._cancel.disabled = not seen.can_cancel
        waiting = seen.status in ("starting", "stopping")
        self._progress.param.update(
            value=round(100 * seen.done / seen.epochs) if seen.epochs else 0,
            variant="indeterminate" if waiting else "determinate",
        )
        self._numbers.object = numbers(seen)
        self._hint.visible = not seen.records and seen.status in ("new", *run_watcher.BUSY)
        for plot in self._plots:
            plot.visible = bool(seen.records)

    def watch(self, period_ms: int = PERIOD_MS) -> TrainingMonitor:
        """Refresh on a timer for as long as the visitor's page is open."""
        shell.repeat(self.refresh, period_ms)
        return self

    def __panel__(self) -> Any:
        return self._view


def numbers(seen: run_watcher.Snapshot) -> str:
    """Return the figures of a snapshot as a list in HTML; unknown ones are dashes."""
    last = seen.records[-1] if seen.records else None
    best = seen.best
    entries = {
        "epoch": f"{seen.done} of {seen.epochs}" if seen.epochs else "–",
        "validation error": f"{last.validation_loss**0.5:.3f} dex" if last else "–",
        "best": f"{best.validation_loss**0.5:.3f} dex" if best else "–",
        "within 0.3 dex": f"{100 * last.validation_accuracy:.1f} %" if last else "–",
        "learning rate": f"{last.learning_rate:.1e}" if last else "–",
        "speed": f"{last.images_per_second:.3g} images/s" if last else "–",
        "time left": duration(seen.seconds_left),
    }
    items = "".join(
        f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in entries.items()
    )
    return f'<dl class="numbers">{items}</dl>'


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


def _plain(text: str) -> str:
    """Return a text so that neither Markdown nor HTML finds anything in it (a path, the words of a file)."""
    return html.escape(text, quote=False).translate(_MARKS)


def _code_html(code: str) -> str:
    """Return Python lines as preformatted HTML that the keyboard can reach."""
    return f'<pre tabindex="0" aria-label="Python code">{html.escape(code)}</pre>'


def app(path: str | None = None, *, workspace_folder: str | Path = ".") -> Any:
    """Return the page of one visitor: a run, or a choice among the runs of a folder.

    Parameters
    ----------
    path : str, optional
        A run folder inside the workspace, or a folder in it that holds runs (at most three levels down); by default
        the workspace. The chosen run stands in the page's address (``?run=``), so that a reload or a shared link
        finds it again; runs that appear later join the choice.
    workspace_folder : str or Path
        The folder that the page may not leave.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    try:
        folder = workspace.inside(folder, path) if path else folder
    except ValueError as error:
        alert = pmui.Alert(title="Not shown", object=_plain(str(error)), severity="error", margin=10)
        return shell.page("Training monitor", [pmui.Markdown(HELP)], [alert], purpose=PURPOSE)
    runs = run_watcher.find_runs(folder)
    monitor = TrainingMonitor(runs[0] if runs else folder)
    sidebar: list[Any] = [_where(folder), pmui.Markdown(HELP)]
    if runs != [folder]:
        sidebar.insert(0, _choice(folder, monitor))
    page = shell.page("Training monitor", sidebar, [monitor], purpose=PURPOSE)
    monitor.watch()
    return page


def _where(folder: Path) -> Any:
    """Return the line that tells which folder is shown."""
    text = f'Folder<br><span style="overflow-wrap: anywhere">{html.escape(str(folder))}</span>'
    return pmui.Typography(text, variant="body2")


def _choice(folder: Path, monitor: TrainingMonitor) -> Any:
    """Return the selector of the runs of a folder; it keeps up with the folder and with the page's address."""
    choice = pmui.Select(label="Run", options=[], sizing_mode="stretch_width")

    def scan() -> None:
        names = [run.relative_to(folder).as_posix() for run in run_watcher.find_runs(folder)]
        shown = choice.value
        if set(names) != set(choice.options):
            keep = (
                [shown] if shown and shown not in names else []
            )  # a deleted run stays until another is chosen
            choice.options = [*keep, *names]
        if not shown and names:
            wanted = pn.state.location.query_params.get("run") if pn.state.location else None
            choice.value = wanted if wanted in names else names[0]

    def turn(event: Any) -> None:
        if event.new:
            monitor.run_path = folder / event.new
            if pn.state.location is not None:
                pn.state.location.update_query(run=event.new)

    choice.param.watch(turn, "value")
    scan()
    shell.repeat(scan, SCAN_MS)
    return choice
