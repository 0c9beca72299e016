"""See what a study of settings found, open its runs, launch what is missing: :class:`ComplexityExplorer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from widgets import parts, shell, workspace
from widgets.complexity import study_cells, study_figures
from widgets.complexity import words as complexity_words
from widgets.complexity.study_watcher import StudySnapshot, StudyWatcher
from widgets.dashboard import Dashboard
from widgets.folder_choice import FolderChoice, folders_with
from widgets.inspector import words as inspector_words
from widgets.studies import label_of

TITLE = "Complexity explorer"

PURPOSE = (
    "See what size of network a task needs, open the runs behind a study, and launch those that are missing."
)

PERIOD_MS = 700
"""Time between two looks at the study [ms]."""

BEST = "the best one"
"""In the list of cells: whichever has the best mean."""

SYNCED = {
    "path": "path",
    "metric": "metric",
    "across": "across",
    "up": "up",
    "slice": "slice",
    "cell": "cell",
}
"""Parameters that stand in the page's address, and their names there."""


class ComplexityExplorer(Dashboard):
    """The cells of a study as a map or a curve with error bars over the seeds.

    Parameters
    ----------
    path : str, Path or Study
        A study, as :func:`polaris_lab.complexity_map` and the other studies make it; it may be missing, or in progress.
    workspace_folder : str or Path, optional
        With it, studies are chosen from a list and named relative to the folder, which no name leads out of.

    Examples
    --------
    >>> ComplexityExplorer("no/such/study").snapshot.status
    'missing'
    """

    path = param.String("", allow_None=True, doc="Folder of the study.")
    metric = param.String("rmse_dex", doc="Column of the study's table.")
    across = param.String("", doc="Setting that is drawn across; empty for the study's own.")
    up = param.String("", doc="Setting that is drawn up, or none; empty for the study's own.")
    slice = param.String("", doc="Values of the settings that are not drawn.")
    cell = param.Integer(
        None, allow_None=True, bounds=(0, None), doc="The chosen cell: its place in the list."
    )
    dataset = param.String("", doc="The dataset of the study, where it has moved.")
    retry_failed = param.Boolean(False, doc="Whether cells that failed are launched again.")
    snapshot = param.Parameter(StudySnapshot(), precedence=-1, doc="How the study stood at the last look.")

    def __init__(self, path: Any = "", *, workspace_folder: str | Path | None = None, **params: Any):
        super().__init__(path=str(getattr(path, "path", path)), **params)
        self._workspace = workspace_folder
        self._watcher: StudyWatcher | None = None
        self._error = ""
        self._cells: list[study_cells.StudyCell] = []
        self._map = study_figures.StudyMap(self.choose)
        self._curve = study_figures.StudyCurve(self.choose)
        self._make_parts()
        self.controls = self._make_controls()
        self.main = self._make_main()
        self._view = pn.Row(pn.Column(self.controls, width=300), self.main, sizing_mode="stretch_width")
        self._change_study()

    # -- derived -------------------------------------------------------------------------------------

    @property
    def study(self) -> Any:
        """The study that is shown, None without one."""
        return None if self._watcher is None else self._watcher.study

    @property
    def cells(self) -> list[study_cells.StudyCell]:
        """All cells, in the order of the list."""
        return self._cells

    def plane(self) -> tuple[str, str]:
        """Return the settings that are drawn across and up."""
        axes = study_cells.axes_of(self.study)
        across, up = study_cells.first_plane(self.study)
        across = self.across if self.across in axes else across
        up = self.up if self.up in (*axes, study_cells.NONE) else up
        if up == across:
            up = next((name for name in axes if name != across), study_cells.NONE)
        return across, up

    def code(self) -> str:
        """Return the Python lines that give this view."""
        names = ("metric", "across", "up", "slice", "cell")
        choices = {
            name: getattr(self, name) for name in names if getattr(self, name) != self.param[name].default
        }
        path = self.path if self._watcher is None else self._watcher.path.as_posix()
        return complexity_words.code(path or "runs/map", choices)

    def choose(self, number: int | None) -> None:
        """Choose a cell: it is framed, its settings and runs are told."""
        self.cell = number

    def _choose_text(self, text: str | None) -> None:
        """Choose a cell by its words in the list."""
        known = {one.text: number for number, one in enumerate(self._cells)}
        if text == BEST or text in known:
            self.cell = known.get(text)

    def start(self) -> None:
        """Launch the missing cells in a worker; what cannot be is told beside the button."""
        try:
            if self._watcher is None or self.study is None:
                raise ValueError("study: expected one to launch, got none; choose one")
            self._watcher.start(self._dataset_path(), retry_failed=self.retry_failed)
        except (ValueError, OSError) as error:
            self._launch_state.param.update(
                severity="error", title="Not launched", object=parts.plain(str(error))
            )
            return
        self.refresh()

    def cancel(self) -> None:
        """Ask whoever runs the study to stop at the next batch."""
        self._watcher.cancel()
        self.refresh()

    def refresh(self) -> StudySnapshot:
        """Look at the study and show what changed; return what was seen."""
        if self._watcher is None:
            self._show_state(None)
            return self.snapshot
        seen, changed = self._watcher.look()
        self.snapshot = seen
        if changed:
            self._draw()
        self._show_state(seen)
        return seen

    @param.depends("path", watch=True)
    def _change_study(self) -> None:
        """Turn to another study."""
        self._error, self._watcher = "", None
        try:
            if self.path:
                self._watcher = StudyWatcher(self._place(self.path))
        except ValueError as error:
            self._error = str(error)
        self.refresh()
        self._draw()

    def _place(self, name: str) -> Path:
        if self._workspace is not None:
            return workspace.inside(self._workspace, name)
        return Path(name).expanduser().resolve()

    def _dataset_path(self) -> Path | None:
        """Return the dataset that was named; without one, check that the study knows its own."""
        from polaris_lab.training.studies.resume import dataset_of

        if self.dataset:
            place = self._place(self.dataset)
            if not place.exists():
                raise FileNotFoundError(
                    f"dataset: expected one at {place}, got nothing there; correct the name"
                )
            return place
        dataset_of(self._watcher.path, self.study.description)
        return None

    # -- view ----------------------------------------------------------------------------------------

    @param.depends("metric", "across", "up", "slice", watch=True)
    def _draw(self) -> None:
        """Draw the cells as they are known."""
        known = self.study is not None and self._watcher.table is not None and len(self._watcher.table) > 0
        self._found.visible = known
        if known:
            self._check_metric()
            self._cells = study_cells.cells_of(self.study, self._watcher.table, self.metric)
            plane = self.plane()
            self._offer(plane)
            shown = {
                number: one
                for number, one in enumerate(self._cells)
                if self.study.kind == "search"
                or study_cells.others(one, plane, self.study) == self._slice_shown
            }
            flat = plane[1] == study_cells.NONE
            self._boxes[0].visible = not flat
            self._boxes[1].visible = flat
            if flat:
                self._curve.show(self.study, shown, plane[0], self.metric)
            else:
                self._map.show(self.study, shown, plane, self.metric)
            self._show_cell()
        self._lines.show(self.code())

    @param.depends("cell", watch=True)
    def _show_cell(self) -> None:
        """Tell about the chosen cell, or the best one."""
        number = self.cell
        if number is not None and number >= len(self._cells):
            self.cell = None
            if self._cells:
                raise ValueError(
                    f"cell: expected a number from 0 to {len(self._cells) - 1}; choose one of those"
                )
            return
        if self._cells:
            self._choice.value = BEST if number is None else self._cells[number].text
            number = complexity_words.best(self._cells, self.metric) if number is None else number
            number = 0 if number is None else number
            self._map.mark(number)
            self._curve.mark(number)
            self._cell_words.object = complexity_words.cell(
                self._cells[number], self.study, self.metric, folder=self._folder()
            )
        self._lines.show(self.code())
        pn.io.push_notebook(*self._panes)

    def _folder(self) -> str | None:
        """Return the name of the study inside the workspace."""
        if self._workspace is None:
            return None
        root = Path(self._workspace).expanduser().resolve()
        return self._watcher.path.relative_to(root).as_posix()

    def _check_metric(self) -> None:
        """Offer the metrics of the study; one that it lacks is replaced by its first."""
        metrics = list(self.study.metrics())
        self._metric.options = {label_of(name): name for name in metrics}
        if self.metric not in metrics:
            wanted, self.metric = self.metric, "rmse_dex" if "rmse_dex" in metrics else metrics[0]
            if wanted and (self._watcher.table["state"] == "finished").any():
                raise ValueError(f"metric: expected one of {', '.join(metrics)}, got {wanted!r}")

    def _offer(self, plane: tuple[str, str]) -> None:
        """Offer the axes, the slices and the cells of the study."""
        axes = list(study_cells.axes_of(self.study))
        self._across.param.update(options=axes, value=plane[0], disabled=len(axes) == 1)
        self._up.param.update(options=[*axes, study_cells.NONE], value=plane[1], disabled=len(axes) == 1)
        slices = list(dict.fromkeys(study_cells.others(one, plane, self.study) for one in self._cells))
        self._slice_shown = self.slice if self.slice in slices else slices[0]
        self._slice.param.update(
            options=slices, value=self._slice_shown, visible=len(slices) > 1 and self.study.kind != "search"
        )
        self._choice.options = [BEST, *(one.text for one in self._cells)]

    def _show_state(self, seen: StudySnapshot | None) -> None:
        """Show how the study stands, at every look: see :data:`widgets.shell.SETTLE_MS`."""
        severity, title, words = complexity_words.state(seen, self.study, self._error)
        self._state.param.update(severity=severity, title=title, object=parts.plain(words))
        busy = seen is not None and seen.busy
        again = seen is not None and (seen.can_start or (seen.status == "finished" and seen.failed > 0))
        self._start.disabled = not again
        self._cancel.disabled = seen is None or seen.status != "running"
        self._bar.param.update(
            visible=busy or bool(seen and seen.total),
            value=round(100 * seen.done / seen.total) if seen is not None and seen.total else 0,
        )
        ready = "Launch trains the missing cells on this machine." if again else "Nothing is missing."
        self._launch_state.param.update(
            severity=severity if busy or (seen and seen.status == "failed") else "info",
            title=seen.status.capitalize()
            if seen is not None and busy
            else "Ready"
            if again
            else "Nothing to launch",
            object=parts.plain(seen.message if seen is not None and seen.message else ready),
        )
        if self.study is None:
            self._found.visible = False

    def _make_parts(self) -> None:
        """Make what is shown, once."""
        wide = {"sizing_mode": "stretch_width"}
        self._slice_shown = ""
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._launch_state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._bar = pmui.LinearProgress(value=0, variant="determinate", visible=False, **wide)
        self._cell_words = pn.pane.HTML("", stylesheets=[parts.STYLE], **wide)
        self._choice = pmui.Select(label="Cell", options=[BEST], value=BEST, **wide)
        self._choice.param.watch(lambda event: self._choose_text(event.new), "value")
        self._start = pmui.Button(
            label="Launch missing cells", icon="play_arrow", color="primary", variant="contained"
        )
        self._cancel = pmui.Button(label="Cancel", icon="stop", color="error", variant="outlined")
        self._start.on_click(lambda _event: self.start())
        self._cancel.on_click(lambda _event: self.cancel())
        self._lines = parts.CodeLines("")
        self._panes = [pn.pane.Bokeh(one.figure, **wide) for one in (self._map, self._curve)]
        self._boxes = [pn.Column(pane, **wide) for pane in self._panes]

    def _make_controls(self) -> Any:
        """Return the column of choices."""
        wide = {"sizing_mode": "stretch_width"}
        self._metric = pmui.Select.from_param(
            self.param.metric, label="Metric", options=[self.metric], **wide
        )
        self._across, self._up, self._slice = (
            pmui.Select(label=label, options=[], **wide) for label in ("Across", "Up", "Others held at")
        )
        for field, name in ((self._across, "across"), (self._up, "up"), (self._slice, "slice")):
            field.param.watch(lambda event, name=name: self._chosen(name, event.new), "value")
        choices = []
        if self._workspace is not None:
            choices = [FolderChoice(self.param.path, self._workspace, "study.json", label="Study").view]
        return pmui.Column(*choices, self._metric, self._across, self._up, self._slice, **wide)

    def _chosen(self, name: str, value: Any) -> None:
        """Take an axis or a slice from its field; what the study begins with is no choice."""
        shown = {"across": self.plane()[0], "up": self.plane()[1], "slice": self._slice_shown}
        if value and value != shown[name]:
            self.param.update(**{name: value})

    def _make_main(self) -> Any:
        """Return everything but the choices."""
        wide = {"sizing_mode": "stretch_width"}
        self._found = pmui.Column(
            *self._boxes,
            self._choice,
            self._cell_words,
            pmui.Typography("Launch what is missing", variant="h6"),
            pn.FlexBox(
                self._start,
                self._cancel,
                pmui.Checkbox.from_param(self.param.retry_failed, label="failed ones again"),
                pmui.TextInput.from_param(self.param.dataset, label="Dataset, if it has moved", width=240),
                **wide,
            ),
            self._bar,
            self._launch_state,
            visible=False,
            **wide,
        )
        return pmui.Column(
            self._state,
            self._found,
            pmui.Typography("The same in Python", variant="body2"),
            self._lines.view,
            **wide,
        )

    def __panel__(self) -> Any:
        return self._view


def app(path: str | None = None, *, workspace_folder: str | Path = ".", **options: Any) -> Any:
    """Return the page of one visitor.

    Parameters
    ----------
    path : str, optional
        A study, relative to the workspace folder; by default the first that is found there. Where there is none, the
        page says how to make one.
    workspace_folder : str or Path
        Where studies are chosen; no name leads out of it.
    **options
        More of :class:`ComplexityExplorer`.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    query = pn.state.location.query_params if pn.state.location is not None else {}
    first = query.get("path") or path or next(iter(folders_with(folder, "study.json")), "")
    explorer = ComplexityExplorer(str(first), workspace_folder=folder, **options)
    where = pmui.Typography(inspector_words.where(folder), variant="body2")
    page = shell.page(
        TITLE,
        [explorer.controls, where],
        [explorer.main],
        later=[pmui.Markdown(complexity_words.HELP)],
        purpose=PURPOSE,
    )
    if pn.state.location is not None:
        pn.state.location.sync(explorer, SYNCED)
    shell.repeat(explorer.refresh, PERIOD_MS)
    return page
