"""See where a run is right and where it is wrong, and two runs side by side: :class:`ResidualExplorer`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from widgets import run_watcher, shell, timers, workspace
from widgets.dashboard import Dashboard
from widgets.folder_choice import folders_with
from widgets.inspector import words as inspector_words
from widgets.residuals import controls as residual_controls
from widgets.residuals import layout as residual_layout
from widgets.residuals import words as residual_words
from widgets.residuals.calibration import BeforeAfterView, CalibrationView
from widgets.residuals.controls import REGION
from widgets.residuals.figures import RUN_COLOURS, AccuracyFigure
from widgets.residuals.jobs import CORRECTIONS
from widgets.residuals.side import KNOWN_SECONDS, Region, RunSide

TITLE = "Residual explorer"

PURPOSE = "See where a trained network is right and where it is wrong, and compare two of them."

PERIOD_MS = 300
"""Time between two looks at the predictions [ms]."""

SYNCED = {
    "run_path": "path",
    "other_path": "other",
    **{name: name for name in ("correction", "by", "tolerance_dex", "patch", "page")},
    **{name: name for name, _words in REGION},
}
"""Parameters that stand in the page's address, and their names there."""


class ResidualExplorer(Dashboard):
    """Predicted against true densities of the validation patches of a run, or of two.

    The patches are predicted once, in a thread, and kept for this process; sliders only draw.

    Parameters
    ----------
    run : Run or path, optional
        A run of :class:`polaris_lab.Run`, or its folder.
    other : Run or path, optional
        Another one, to be seen beside it.
    region : tuple of float, optional
        Ends (x0, x1, y0, y1) of the true and of the predicted density, in log10 of cm^-3, whose pixels are marked.
    workspace_folder : str or Path, optional
        With it, runs are chosen from a list and named relative to the folder, which no name leads out of.
    wait : bool, optional
        Whether to wait for the predictions; by default where no event loop runs (a script, a test).

    Examples
    --------
    >>> explorer = ResidualExplorer("no/such/run")
    >>> explorer.sides[0].state.title
    'run: missing'
    """

    run_path = param.String("", allow_None=True, doc="Folder of the run.")
    other_path = param.String("", allow_None=True, doc="Folder of the other run; empty for none.")
    correction = param.Selector(default="none", objects=list(CORRECTIONS), doc="What is taken off.")
    by = param.Selector(
        default="target", objects=["target", "predicted"], doc="Density of the violins' bins."
    )
    tolerance_dex = param.Number(0.2, bounds=(0.02, 1.0), doc="Residual that counts as right [dex].")
    patch = param.Integer(0, bounds=(0, None), doc="Patch whose maps are shown.")
    true_low = param.Number(None, allow_None=True, doc="Region: least true density [log10 cm^-3].")
    true_high = param.Number(None, allow_None=True, doc="Region: largest true density [log10 cm^-3].")
    predicted_low = param.Number(None, allow_None=True, doc="Region: least predicted density [log10 cm^-3].")
    predicted_high = param.Number(None, allow_None=True, doc="Region: most predicted density [log10 cm^-3].")
    page = param.Selector(default="residuals", objects=["residuals", "calibration"], doc="What is seen.")

    def __init__(
        self,
        run: Any = None,
        other: Any = None,
        *,
        region: Region | None = None,
        workspace_folder: str | Path | None = None,
        wait: bool | None = None,
        **params: Any,
    ):
        self._given: dict[str, Any] = {}
        self._turned = 0
        paths = {"run_path": self._name_of(run), "other_path": self._name_of(other)}
        paths = {name: value for name, value in paths.items() if value}
        ends = {} if region is None else dict(zip((name for name, _ in REGION), region, strict=True))
        super().__init__(**{**paths, **ends, **params})
        self._workspace = workspace_folder
        self._wait = not timers.loop_runs() if wait is None else wait
        self.sides = [
            RunSide(
                on_choose=self.choose,
                on_tap=lambda number: self.param.update(patch=number),
                on_again=self.again,
                colour=colour,
            )
            for colour in RUN_COLOURS
        ]
        self._accuracy, self._before_after = AccuracyFigure(), BeforeAfterView()
        self._rest = shell.Afterwards(self._show_rest)
        residual_layout.make_parts(self)
        self.controls = residual_controls.make_controls(self, workspace_folder)
        self.main = residual_layout.make_main(self)
        self._view = pn.Row(pn.Column(self.controls, width=300), self.main, sizing_mode="stretch_width")
        self._begin()

    # -- state ---------------------------------------------------------------------------------------

    @property
    def region(self) -> Region | None:
        """The chosen region, None while an end of it is missing."""
        ends = tuple(getattr(self, name) for name, _words in REGION)
        return None if any(end is None for end in ends) else ends

    @property
    def shown(self) -> list[RunSide]:
        """The sides that have a result: one, two or none."""
        return [side for side in self.sides if side.judged is not None]

    def code(self) -> str:
        """Return the Python lines that give this view."""
        choices: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("correction", "by", "tolerance_dex", "patch", "page")
            if getattr(self, name) != self.param[name].default
        }
        if self.region is not None:
            choices["region"] = tuple(round(float(end), 4) for end in self.region)
        names = [side.path.as_posix() if side.path else "" for side in self.sides]
        return residual_words.code(names[0] or "runs/unet", names[1], choices)

    def choose(self, region: Region | None) -> None:
        """Choose a region of the correlation; its pixels stand out on the maps. None chooses nothing."""
        ends = (None,) * 4 if region is None else (round(float(end), 3) for end in region)
        self.param.update(**dict(zip((name for name, _ in REGION), ends, strict=True)))

    def next_patch(self) -> None:
        """Turn to the patch with most pixels in the region, then to that with the next fewer."""
        if not self.shown:
            return
        inside = self.shown[0].inside
        order = [int(number) for number in (-inside).argsort(kind="stable") if inside[number] > 0]
        if not order:
            raise ValueError("region: expected one with pixels in it, got none; draw a larger box")
        self.patch = order[self._turned % len(order)]
        self._turned += 1

    def again(self) -> None:
        """Predict again, with the weights as they are."""
        for side in self.sides:
            side.forget()
        self._begin()

    def refresh(self) -> bool:
        """Look at the predictions and draw those that are new; return whether one is at work."""
        looks = [side.look() for side in self.sides]
        if any(fresh for fresh, _busy in looks):
            self._show()
        return any(busy for _fresh, busy in looks)

    @param.depends("run_path", "other_path", "correction", watch=True)
    def _begin(self) -> None:
        """Predict the patches of the runs that are named."""
        for side, name in zip(self.sides, (self.run_path or "", self.other_path or ""), strict=True):
            try:
                path = self._place(name)
            except ValueError as error:
                side.refuse(str(error))
                continue
            side.begin(path, lambda name=name, path=path: self._open(name, path), self.correction)
            side.wait(None if self._wait else KNOWN_SECONDS)
        self.sides[1].head.visible = bool(self.other_path)
        self.refresh()
        self._show()
        if not self._wait:
            self._follow()

    def _open(self, name: str, path: Path) -> Any:
        return self._given[name] if name in self._given else run_watcher.open_run(path)

    def _place(self, name: str) -> Path | None:
        """Return the folder that a name means, None for an empty one."""
        if not name or name in self._given:
            return Path(self._given[name].path).resolve() if name else None
        if self._workspace is not None:
            return workspace.inside(self._workspace, name)
        return Path(name).expanduser().resolve()

    def _name_of(self, run: Any) -> str:
        """Return the folder of a run, which is kept if it is more than a path."""
        if run is None or isinstance(run, str | Path):
            return str(run or "")
        self._given[str(run.path)] = run
        return str(run.path)

    def _follow(self) -> None:
        """In a notebook, look on a timer until the predictions end; pages do so as long as they are open."""
        if pn.state.curdoc is None:
            timers.watch(self.refresh, PERIOD_MS)

    # -- view ----------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Draw all that is known."""
        judged = [side.judged for side in self.shown]
        self._show_page()
        if judged:
            self._number.end = max(len(one) for one in judged) - 1
            for side in self.shown:
                side.show(self.by, self.region)
            self._accuracy.show(judged)
            self._before_after.show(judged, self.by)
            self._scores.object = (
                residual_words.comparison(judged)
                + residual_words.scores([(one.name, one.evaluation) for one in judged])
                + residual_words.notes(judged)
            )
            self._show_tolerance()
            self._show_region_words()
            self._show_patch()
        for side, boxes in zip(self.sides, self._boxes, strict=True):  # drawn first: see show_boxes
            residual_layout.show_boxes(side, boxes)
        self._told()

    @param.depends("by", watch=True)
    def _show_violins(self) -> None:
        for side in self.shown:
            side.violins.show(side.judged, self.by)
        self._before_after.show([side.judged for side in self.shown], self.by)
        self._told()

    @param.depends("tolerance_dex", watch=True)
    def _show_tolerance(self) -> None:
        with pn.io.hold():
            self._accuracy.mark(self.tolerance_dex)
            self._show_within()

    def _show_within(self) -> None:
        self._within.object = residual_words.tolerance(
            [side.judged for side in self.shown], self.tolerance_dex
        )
        self._told()

    @param.depends(*(name for name, _words in REGION), watch=True)
    def _show_region(self) -> None:
        self._turned = 0
        for side in self.shown:
            side.choose(self.region)
        self._show_region_words()
        self._show_patch()

    def _show_region_words(self) -> None:
        self._region_words.object = residual_words.chosen(self.shown, self.region)
        self._next.disabled = self.region is None

    @param.depends("patch", watch=True)
    def _show_patch(self) -> None:
        """Show the maps of the patch at once, in one message, and then where it stands among the others."""
        with pn.io.hold():
            for side in self.shown:
                side.show_patch(self.patch)
        self._rest()

    def _show_rest(self) -> None:
        for side in self.shown:
            side.mark_patch(self.patch)
        if self.shown:
            self._where.object = residual_words.patch([side.judged for side in self.shown], self.patch)
        self._told()

    @param.depends("page", watch=True)
    def _show_page(self) -> None:
        residuals = bool(self.shown) and self.page == "residuals"
        self._seen.visible = self._more.visible = residuals
        self._calibrated.visible = bool(self.shown) and self.page == "calibration"
        if self._calibrated.visible:
            self._calibration.show([side.judged for side in self.shown])
            if not len(self._calibrated):
                self._calibrated.append(self._calibration.view)
        self._told()

    def _told(self) -> None:
        """Show the lines of Python; in a notebook, send what changed."""
        self._lines.show(self.code())
        shown = [pane for side in self.shown for pane in side.panes.values()]
        panes = [pane for each in shown for pane in (each if isinstance(each, list) else [each])]
        panes += [self._accuracy_pane, *self._before_after.panes]
        panes += self._calibration.panes if self.page == "calibration" else []
        pn.io.push_notebook(*panes)  # does nothing on a served page

    @cached_property
    def _calibration(self) -> CalibrationView:
        return CalibrationView()

    def __panel__(self) -> Any:
        return self._view


def app(path: str | None = None, *, workspace_folder: str | Path = ".", **options: Any) -> Any:
    """Return the page of one visitor.

    Parameters
    ----------
    path : str, optional
        A run, relative to the workspace folder; by default the first trained one that is found there. Where there is
        none, the page says how to make one.
    workspace_folder : str or Path
        Where runs are chosen; no name leads out of it.
    **options
        More of :class:`ResidualExplorer`.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    query = pn.state.location.query_params if pn.state.location is not None else {}
    first = str(query.get("path") or path or _first_run(folder))
    explorer = ResidualExplorer(first, workspace_folder=folder, wait=False, **options)
    where = pmui.Typography(inspector_words.where(folder), variant="body2")
    page = shell.page(
        TITLE,
        [explorer.controls, where],
        shell.in_turn(explorer.main, 3),
        later=[pmui.Markdown(residual_words.HELP)],
        purpose=PURPOSE,
    )
    if pn.state.location is not None:
        pn.state.location.sync(explorer, SYNCED)
    shell.repeat(explorer.refresh, PERIOD_MS)
    return page


def _first_run(folder: Path) -> str:
    """Return the first run of a workspace that has weights, else the first one, else ""."""
    names = folders_with(folder, "run.json")
    return next(
        (name for name in names if (folder / name / "best.safetensors").exists()), names[0] if names else ""
    )
