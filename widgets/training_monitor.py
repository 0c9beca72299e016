"""Watch trainings live, start, pause, resume and stop them, compare them: :class:`TrainingMonitor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from widgets import parts, run_watcher, shell, workspace
from widgets.dashboard import Dashboard
from widgets.monitor import example_view, live, training_form
from widgets.monitor import words as monitor_words

PERIOD_MS = 400
"""Time between two looks at the run folders [ms]."""

SCAN_MS = 3000
"""Time between two looks for new runs [ms]."""

TITLE = "Training monitor"

FLEXIBLE = {"styles": {"flex": "1 1 400px", "min-width": "0"}}
"""Parts that share a row as long as each has this width."""

PURPOSE = "Watch trainings as they go, start, pause, resume and stop them, and compare them."


class TrainingMonitor(Dashboard):
    """Live curves of one run, or of several, with start, pause, resume and stop.

    The state belongs to the run folders, so it does not matter who trains (a notebook, the command line, this
    page) nor how often the page is opened or reloaded. In a notebook loop call :meth:`refresh` after each epoch.

    Parameters
    ----------
    run_path : str or Path
        A run folder, as `lab.Run.create` makes it: the one that the buttons act on. It may be missing or vanish:
        the page says what to do.
    beside : sequence of str or Path
        Further runs whose curves are drawn too, and whose settings are compared; at most five.
    workspace_folder : str or Path, optional
        With it the page offers to make new runs there.
    dataset : str
        The training set that the form for new runs begins with.

    Examples
    --------
    >>> monitor = TrainingMonitor("runs/unet_64")
    >>> monitor.snapshot.status
    'missing'
    """

    run_path = param.ClassSelector(class_=(str, Path), doc="The run folder.")
    beside = param.List([], doc="Further run folders.")
    smoothing = param.Number(0.0, bounds=(0, 0.99), doc="Weight of what was in the running mean; 0 is none.")
    snapshot = param.Parameter(
        run_watcher.Snapshot(), precedence=-1, doc="How the run stood at the last look."
    )

    def __init__(
        self,
        run_path: str | Path,
        *,
        beside: Sequence[str | Path] = (),
        workspace_folder: str | Path | None = None,
        dataset: str = "",
        open_run: Callable[[Path], Any] = run_watcher.open_run,
        **params: Any,
    ):
        super().__init__(run_path=run_path, beside=_checked(beside), **params)
        self._open_run = open_run
        self._curves = live.LiveHistory()
        self._compared: Any = None
        self._form = None
        if workspace_folder is not None:
            self._form = training_form.TrainingForm(workspace_folder, on_made=self._made, dataset=dataset)
        self.on_made: Callable[[Path], Any] | None = None
        self._make_parts()
        self.main = self._view = self._build()
        self._watch_runs()

    # -- derived -------------------------------------------------------------------------------------

    def code(self) -> str:
        """Return the Python lines that give this view in a notebook."""
        return monitor_words.code(self.run_path, self.beside, self.smoothing)

    def start(self) -> None:
        """Train or resume the run in a worker process of its own."""
        self._watchers[0].start()
        self.refresh()

    def pause(self) -> None:
        """Ask the training to end when its epoch is finished, whoever runs it."""
        self._watchers[0].pause()
        self.refresh()

    def cancel(self) -> None:
        """Ask the training to stop at its next batch, whoever runs it."""
        self._watchers[0].cancel()
        self.refresh()

    def refresh(self) -> run_watcher.Snapshot:
        """Look at the run folders and show what changed; return what was seen of the first."""
        seen = [watcher.look() for watcher in self._watchers]
        sent = sum(
            self._curves.show(each.records, place=place, name=each.name, loss=each.loss)
            for place, each in enumerate(seen)
        )
        for plot, figure in zip(self._plots, self._curves.figures, strict=True):
            if plot.object is not figure:  # the loss, once one was not positive
                plot.object = figure
        self.snapshot = seen[0]
        self._show(seen)
        self._examples.look(self._watchers[0].path)
        if self._form is not None:
            self._form.look()
        if sent:
            pn.io.push_notebook(*self._plots)  # in a notebook; does nothing on a served page
        return seen[0]

    # -- what changes --------------------------------------------------------------------------------

    @param.depends("run_path", "beside", watch=True)
    def _watch_runs(self) -> None:
        """Turn to other runs."""
        own = Path(self.run_path).expanduser().resolve()
        others = [Path(path).expanduser().resolve() for path in _checked(self.beside)]
        paths = list(dict.fromkeys([own, *others]))
        self._watchers = [run_watcher.RunWatcher(path, open_run=self._open_run) for path in paths]
        self._examples.forget()
        self._curves.keep(len(paths))
        self._lines.show(self.code())
        self.refresh()

    @param.depends("smoothing", watch=True)
    def _smooth(self) -> None:
        self._curves.smooth(self.smoothing)
        self._lines.show(self.code())
        pn.io.push_notebook(*self._plots)

    def _made(self, path: Path) -> None:
        """Show a run that the form has made, and train it."""
        self.run_path = path
        self.start()
        if self.on_made is not None:
            self.on_made(path)

    def _show(self, seen: list[run_watcher.Snapshot]) -> None:
        """Write snapshots into the parts."""
        first = seen[0]
        self._state.param.update(
            title=f"{first.name}: {monitor_words.STATES.get(first.status, first.status)}",
            object=parts.plain(first.message),  # the alert shows HTML
            severity=monitor_words.SEVERITY.get(first.status, "info"),
        )
        again = first.status in ("paused", "stopped", "failed")
        self._start.param.update(label="Resume" if again else "Start", disabled=not first.can_start)
        self._pause.disabled = not first.can_pause
        self._cancel.disabled = not first.can_cancel
        waiting = first.status in ("starting", "pausing", "stopping")
        self._progress.param.update(
            value=round(100 * first.done / first.epochs) if first.epochs else 0,
            variant="indeterminate" if waiting else "determinate",
        )
        self._numbers.object = monitor_words.numbers(first)
        drawn = any(each.records for each in seen)
        self._hint.visible = not drawn and first.status in ("new", *run_watcher.BUSY)
        self._show_plots(drawn)
        self._smoothing.visible = drawn
        self._table.param.update(
            object=monitor_words.runs(seen) if len(seen) > 1 else "", visible=len(seen) > 1
        )
        self._compare(seen)

    def _show_plots(self, drawn: bool) -> None:
        """Show the figures that have something to show; the browser builds none before."""
        for place, (cell, plot) in enumerate(zip(self._cells, self._plots, strict=True)):
            wanted = drawn and (place > 0 or self._curves.errors_known)
            if wanted and not len(cell):
                cell.append(plot)
            cell.visible = wanted

    def _compare(self, seen: list[run_watcher.Snapshot]) -> None:
        """Compare the settings of the runs that can be read, when one was added, ended or went on for a while."""
        readable = [
            watcher.path
            for watcher, each in zip(self._watchers, seen, strict=True)
            if each.status not in ("missing", "empty", "broken")
        ]
        state = [(each.name, each.status, each.done // 10) for each in seen]
        if state == self._compared:
            return
        self._compared = state
        words = ""
        if len(readable) > 1:
            try:
                words = monitor_words.comparison([self._open_run(path) for path in readable])
            except (OSError, ValueError, TypeError, KeyError) as error:  # a run that has just changed
                words = f"<p>{parts.plain(str(error))}</p>"
        self._comparison.param.update(object=words, visible=bool(words))
        self._comparison_head.visible = bool(words)

    # -- view ----------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        """Make what is shown, once."""
        wide = {"sizing_mode": "stretch_width"}
        sheets = [parts.STYLE, monitor_words.STYLE]
        self._start = pmui.Button(label="Start", icon="play_arrow", color="primary", variant="contained")
        self._pause = pmui.Button(label="Pause", icon="pause", variant="outlined")
        self._cancel = pmui.Button(label="Stop", icon="stop", color="error", variant="outlined")
        self._start.on_click(lambda _event: self.start())
        self._pause.on_click(lambda _event: self.pause())
        self._cancel.on_click(lambda _event: self.cancel())
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._progress = pmui.LinearProgress(value=0, variant="determinate", **wide)
        self._numbers, self._table, self._comparison = (
            pn.pane.HTML("", stylesheets=sheets, **wide) for _ in range(3)
        )
        self._hint = pmui.Typography("The curves appear here with the first epoch.", variant="body2")
        self._smoothing = pmui.FloatSlider.from_param(
            self.param.smoothing, label="Smoothing of the curves", start=0.0, end=0.98, step=0.02, width=280
        )
        self._comparison_head = pmui.Typography("Settings that differ", variant="h6")
        self._plots = [pn.pane.Bokeh(figure, min_width=300, **wide) for figure in self._curves.figures]
        self._cells = [pn.Column(visible=False, **FLEXIBLE) for _ in self._plots]
        self._examples = example_view.ExampleView()
        self._lines = parts.CodeLines("")

    def _build(self) -> Any:
        """Put the parts together, once."""
        wide = {"sizing_mode": "stretch_width"}
        curves = pn.FlexBox(*self._cells, **wide)
        form = (
            []
            if self._form is None
            else [pmui.Typography("Train a new network", variant="h6"), self._form.view]
        )
        return pmui.Column(
            self._state,
            pmui.Row(self._start, self._pause, self._cancel),
            self._progress,
            self._numbers,
            self._table,
            self._hint,
            self._smoothing,
            curves,
            self._examples.view,
            self._comparison_head,
            self._comparison,
            pmui.Typography("The same in a notebook", variant="body2"),
            self._lines.view,
            *form,
            **wide,
        )

    def watch(self, period_ms: int = PERIOD_MS) -> TrainingMonitor:
        """Refresh on a timer for as long as the visitor's page is open."""
        shell.repeat(self.refresh, period_ms)
        return self

    def __panel__(self) -> Any:
        return self._view


def _checked(beside: Sequence[str | Path]) -> list[str | Path]:
    """Return the runs to draw beside the first, or raise ValueError if there are too many."""
    if len(beside) > live.MOST - 1:
        raise ValueError(
            f"beside: expected at most {live.MOST - 1} further runs, got {len(beside)}; show fewer"
        )
    return list(beside)


def app(path: str | None = None, *, workspace_folder: str | Path = ".") -> Any:
    """Return the page of one visitor: a run, a choice among the runs of a folder, and a form for new ones.

    Parameters
    ----------
    path : str, optional
        Inside the workspace: a run folder, a folder that holds runs (at most three levels down), or a dataset to train
        on; by default the workspace. The chosen runs stand in the page's address (``?run=``, ``&beside=``), so that a
        reload or a shared link finds them again; runs that appear later join the choice.
    workspace_folder : str or Path
        The folder that the page may not leave.
    """
    from polaris_lab.datasets.growing import is_dataset

    root = Path(workspace_folder).expanduser().resolve()
    try:
        place = workspace.inside(root, path) if path else root
    except ValueError as error:
        alert = pmui.Alert(title="Not shown", object=parts.plain(str(error)), severity="error", margin=10)
        return shell.page(TITLE, [pmui.Markdown(monitor_words.HELP)], [alert], purpose=PURPOSE)
    dataset = place.relative_to(root).as_posix() if is_dataset(place) else ""
    own = (place / "run.json").exists() or not (place.is_dir() or dataset)
    folder = root if own or dataset else place
    runs = run_watcher.find_runs(folder)
    shown = place if own else runs[0] if runs else folder
    monitor = TrainingMonitor(shown, workspace_folder=root, dataset=dataset)
    sidebar = [
        *_choices(folder, monitor, shown),
        pmui.Typography(monitor_words.where(folder), variant="body2"),
    ]
    page = shell.page(
        TITLE, [*sidebar, pmui.Markdown(monitor_words.HELP)], shell.in_turn(monitor.main, 8), purpose=PURPOSE
    )
    if pn.state.location is not None:
        pn.state.location.sync(monitor, ["smoothing"])
    monitor.watch()
    return page


def _choices(folder: Path, monitor: TrainingMonitor, shown: Path) -> list[Any]:
    """Return the selectors of the runs of a folder; they keep up with the folder and with the page's address."""
    wide = {"sizing_mode": "stretch_width"}
    choice = pmui.Select(label="Run", options=[], **wide)
    beside = pmui.MultiChoice(label="Runs beside it", options=[], max_items=live.MOST - 1, **wide)
    asked = pn.state.location.query_params if pn.state.location is not None else {}

    def scan() -> None:
        names = [run.relative_to(folder).as_posix() for run in run_watcher.find_runs(folder)]
        kept = choice.value
        if set(names) != set(choice.options):  # a deleted run stays until another is chosen
            choice.options = [*([kept] if kept and kept not in names else []), *names]
            beside.options = [*(name for name in beside.value if name not in names), *names]
        if not kept and names:
            own = shown.relative_to(folder).as_posix() if shown.is_relative_to(folder) else ""
            wanted = str(asked.get("run", own))
            choice.value = wanted if wanted in names else own if own in names else names[0]
            others = asked.get("beside", [])
            beside.value = [name for name in others if name in names] if isinstance(others, list) else []

    def turn(event: Any) -> None:
        if event.new:
            monitor.run_path = folder / event.new
            _remember(run=event.new)

    def turn_beside(event: Any) -> None:
        monitor.beside = [folder / name for name in event.new]
        _remember(beside=event.new)

    def made(path: Path) -> None:
        scan()
        if path.is_relative_to(folder):
            choice.value = path.relative_to(folder).as_posix()

    monitor.on_made = made
    choice.param.watch(turn, "value")
    beside.param.watch(turn_beside, "value")
    scan()
    shell.repeat(scan, SCAN_MS)
    return [choice, beside]


def _remember(**values: Any) -> None:
    """Write choices into the address of the page."""
    if pn.state.location is not None:
        pn.state.location.update_query(**values)
