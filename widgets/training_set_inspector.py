"""See which patches a training set would hold, choose them with sliders, and build it: :class:`TrainingSetInspector`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from polaris_lab.datasets import PatchConfig
from widgets import candidate_figures, dataset_job, parts, shell, timers, workspace
from widgets.dashboard import Dashboard
from widgets.inspector import clouds as inspector_clouds
from widgets.inspector import controls as inspector_controls
from widgets.inspector import patch_figures
from widgets.inspector import words as inspector_words
from widgets.inspector.controls import SETTINGS, settings_of

TITLE = "Training set inspector"

PURPOSE = "See which patches of a cloud a training set would hold and why the others fall, then build it."

PERIOD_MS = 250
"""Time between two looks at a build [ms]."""


class TrainingSetInspector(Dashboard):
    """The candidates for patches on the faces of a cloud, choices on sliders, and a button that builds the set.

    Sliders choose again among stored scores; the cloud is never projected anew.

    Parameters
    ----------
    proposals : Proposals
        Of :func:`polaris_lab.propose_patches`. Its configuration is what the sliders begin with.
    cube : SimulationCube, optional
        The cloud they were made of; without it nothing can be built.
    source : str
        Python that gives the cloud, for the lines to copy.
    workspace_folder : str or Path
        The folder that datasets are built in; names that lead out of it are refused.
    error : str
        What went wrong before, to be said over the maps until a slider moves.
    build : callable, optional
        Builds the dataset; :func:`polaris_lab.build_dataset` by default.

    Examples
    --------
    >>> import polaris_lab as lab
    >>> cube = lab.synthetic_cloud(32, kind="fbm")
    >>> proposals = lab.propose_patches(cube, lab.PatchConfig(patch_size=8, validation_fraction=0.25))
    >>> inspector = TrainingSetInspector(proposals, cube=cube)
    >>> inspector.offset = 100.0
    >>> len(inspector.proposals)
    0
    """

    steepness = param.Number(2.0, bounds=(0, None), doc="A of the report's eq. 14.")
    offset = param.Number(1.0, doc="B of eq. 14, in units of the score or its quantile.")
    weight_column = param.Number(1.0, bounds=(0, None), doc="Weight of s_Lambda(N_H), eq. 11.")
    weight_density = param.Number(0.5, bounds=(0, None), doc="Weight of s_Lambda(<n>_M).")
    weight_difference = param.Number(5.0, bounds=(0, None), doc="Weight of s_res.")
    min_separation = param.Number(1.0, bounds=(0, None), inclusive_bounds=(False, True), doc="[patch sides]")
    low_density_fraction = param.Number(
        0.5, bounds=(0, 1), doc="Largest share of very diffuse pixels in a patch."
    )
    low_column_density = param.Number(
        0.25, bounds=(0, None), doc="Very diffuse is below this [mean N_H of a face]."
    )
    score_scale = param.Selector(default="absolute", objects=["absolute", "quantile"])
    patch_size = param.Integer(64, bounds=(4, None), doc="Side of a patch [pixels].")
    fates = param.List(list(candidate_figures.LOOKS), doc="Fates whose windows are drawn.")
    candidate = param.Integer(0, allow_None=True, doc="The chosen candidate; its row in the table.")
    page = param.Integer(0, bounds=(0, None), doc="Page of the gallery.")
    dataset = param.String("", doc="Where to build, inside the workspace folder.")
    proposals = param.Parameter(precedence=-1, doc="How the candidates stand.")

    def __init__(
        self,
        proposals: Any,
        *,
        cube: Any = None,
        source: str = "cube",
        workspace_folder: str | Path = ".",
        error: str = "",
        build: Callable[..., Any] | None = None,
        **params: Any,
    ):
        start = {
            "dataset": f"datasets/{inspector_words.file_name(proposals.name)}.zarr",
            **settings_of(proposals.config),
            **params,
        }
        super().__init__(proposals=proposals, **start)
        self._cube, self._source, self._workspace, self._build = cube, source, workspace_folder, build
        self._job: dataset_job.DatasetJob | None = None
        self._error = error
        self._faces = [
            candidate_figures.FaceFigure(face, pixel_size_pc=proposals.pixel_size_pc, on_tap=self.choose)
            for face in proposals.faces
        ]
        self._scores = candidate_figures.ScoreFigure()
        self._joint = patch_figures.JointFigure(proposals.faces)
        self._gallery = patch_figures.PatchGallery(proposals.faces)
        self._rest = shell.Afterwards(self._show_rest)
        self._make_parts()
        self.controls, self._offset = inspector_controls.make_controls(self)
        self.main = self._make_main()
        self._view = pn.Row(pn.Column(self.controls, width=300), self.main, sizing_mode="stretch_width")
        if self.changes():
            self._choose_again()
        else:
            self._show()
        self.refresh()

    # -- derived -------------------------------------------------------------------------------------

    def config(self) -> PatchConfig:
        """Return the choices that are seen: those of the proposals, which the sliders' errors do not reach."""
        return self.proposals.config

    def changes(self) -> dict[str, Any]:
        """Return the choices of the sliders that differ from the configuration of the proposals."""
        values = {name: getattr(self, name) for name in SETTINGS if not name.startswith("weight_")}
        values["weights"] = (self.weight_column, self.weight_density, self.weight_difference)
        config = self.proposals.config
        return {name: value for name, value in values.items() if getattr(config, name) != value}

    def code(self) -> str:
        """Return the Python lines that give this view, and the dataset."""
        dataset = (Path(self._workspace) / self.dataset).as_posix()
        return inspector_words.code(self._source, self.config(), self.candidate, dataset)

    @param.depends(*SETTINGS, watch=True)
    def _choose_again(self) -> None:
        """Choose again with the sliders as they stand; what cannot be is said and changes nothing."""
        old = self.proposals
        try:
            changes = self.changes()
            if changes:
                self.proposals = old.reconsider(**changes)
            self._error = ""
        except (ValueError, TypeError) as error:
            self._error = str(error)
        if self.proposals is not old and self.candidate is not None:
            with param.parameterized.discard_events(self):
                self.candidate = candidate_figures.same_candidate(old, self.proposals, self.candidate)
            self._number.value = self.candidate
        self._show()

    def refuse(self, values: dict[str, Any]) -> None:
        """Say that values of the page's address cannot be; all of the address is left aside."""
        words = ", ".join(f"{name}={value}" for name, value in values.items())
        self._error = (
            f"address: expected values in the range of the sliders, got {words}; correct the address"
        )
        self._show()

    def choose(self, number: int | None) -> None:
        """Choose a candidate: its window is outlined, its reason told, its pair of images shown first."""
        self.candidate = number

    def start(self) -> None:
        """Build the dataset in a thread; a fault is told beside the button."""
        try:
            if self._cube is None:
                raise ValueError(
                    "cube: expected the cloud of these proposals, got none; make the inspector with cube=cube"
                )
            path = workspace.inside(self._workspace, self.dataset)
            self._job = dataset_job.DatasetJob(self._cube, self.config(), path, build=self._build).start()
        except (ValueError, OSError) as error:
            self._tell("error", "Not built", str(error))
            return
        self.refresh()
        self._watch()

    def cancel(self) -> None:
        """Ask the build to stop at its next patch."""
        if self._job is not None:
            self._job.cancel()
        self.refresh()

    def refresh(self) -> dataset_job.Progress:
        """Look at the build and show how it stands; return what was seen."""
        seen = self._job.look() if self._job is not None else dataset_job.Progress()
        self._start.disabled = seen.busy or self._cube is None
        self._cancel.disabled = seen.status != "running"
        self._bar.param.update(value=seen.percent, visible=seen.status != "idle")
        self._tell(*inspector_words.of_job(seen, can_build=self._cube is not None))
        return seen

    # -- view ----------------------------------------------------------------------------------------

    @param.depends("candidate", "page", watch=True)
    def _show_patches(self) -> None:
        """Show the chosen candidate and a page of the gallery."""
        count = len(self.proposals.scores)
        if self.candidate is not None and not 0 <= self.candidate < count:
            self.candidate = None
            raise ValueError(f"candidate: expected a number from 0 to {count - 1}; choose one of those")
        for face in self._faces:
            face.mark(self.proposals, self.candidate)
        self._reason.object = inspector_words.candidate(self.proposals, self.candidate)
        self._gallery.show(self.proposals, page=self.page, chosen=self.candidate)
        pages = self._gallery.pages
        if self.page >= pages:
            self.page = pages - 1
            return
        self._back.disabled, self._on.disabled = self.page == 0, self.page >= pages - 1
        self._where.object = f"Kept patches, highest score first: page {self.page + 1} of {pages}"
        self._lines.show(self.code())
        pn.io.push_notebook(*self._panes)  # in a notebook; does nothing on a served page

    @param.depends("fates", watch=True)
    def _show_fates(self) -> None:
        for face in self._faces:
            face.show_fates(tuple(self.fates))
        pn.io.push_notebook(*self._panes)

    @param.depends("dataset", watch=True)
    def _change_dataset(self) -> None:
        """Turn to another path; a job that works there is found again."""
        self._lines.show(self.code())
        if self._job is None or not self._job.look().busy:
            try:
                self._job = dataset_job.JOBS.get(workspace.inside(self._workspace, self.dataset))
            except ValueError:
                self._job = None  # said when the button is pressed
            self.refresh()

    def _show(self) -> None:
        """Draw the proposals as they stand: the windows at once, in one message, and then the rest."""
        with pn.io.hold():
            for face in self._faces:
                face.show(self.proposals)
                face.mark(self.proposals, self.candidate)
        self._rest()

    def _show_rest(self) -> None:
        """Draw what follows from the windows: scores, words, patches."""
        self._scores.show(self.proposals)
        self._joint.show(self.proposals)
        severity, title, words = inspector_words.state(self.proposals, self._error)
        self._state.param.update(severity=severity, title=title, object=words)
        self._table.object = inspector_words.reasons(self.proposals)
        self._offset.param.update(**inspector_controls.offset_range(self.score_scale, self.offset))
        self._show_patches()

    def _tell(self, severity: str, title: str, words: str) -> None:
        self._job_state.param.update(severity=severity, title=title, object=parts.plain(words))

    def _watch(self) -> None:
        """Look at the build until it ends; without an event loop the caller refreshes."""
        timers.watch(lambda: self.refresh().busy, PERIOD_MS)

    def _make_parts(self) -> None:
        """Make what is shown, once."""
        wide = {"sizing_mode": "stretch_width"}
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._table = pn.pane.HTML("", stylesheets=[parts.STYLE], **wide)
        self._reason = pn.pane.HTML("", stylesheets=[parts.STYLE], **wide)
        self._number = pmui.IntInput.from_param(
            self.param.candidate, label="Candidate number", start=0, width=170
        )
        self._shown = pmui.CheckBoxGroup.from_param(
            self.param.fates,
            label="",
            options={look.words: fate for fate, look in reversed(candidate_figures.LOOKS.items())},
            inline=True,
        )
        self._back = pmui.Button(label="Previous", icon="chevron_left", variant="outlined")
        self._on = pmui.Button(label="Next", icon="chevron_right", variant="outlined")
        self._back.on_click(lambda _event: self.param.update(page=max(0, self.page - 1)))
        self._on.on_click(lambda _event: self.param.update(page=self.page + 1))
        self._where = pmui.Typography("", variant="body2")
        self._path = pmui.TextInput.from_param(self.param.dataset, label="Name inside the workspace", **wide)
        self._start = pmui.Button(
            label="Build dataset", icon="play_arrow", color="primary", variant="contained"
        )
        self._cancel = pmui.Button(label="Cancel", icon="stop", color="error", variant="outlined")
        self._start.on_click(lambda _event: self.start())
        self._cancel.on_click(lambda _event: self.cancel())
        self._bar = pmui.LinearProgress(value=0, variant="determinate", visible=False, **wide)
        self._job_state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._lines = parts.CodeLines("")
        self._panes = [
            pn.pane.Bokeh(figure)
            for figure in (
                *(face.figure for face in self._faces),
                self._scores.figure,
                self._joint.figure,
                *self._gallery.figures,
            )
        ]

    def _make_main(self) -> Any:
        """Return everything but the sliders."""
        wide = {"sizing_mode": "stretch_width"}
        maps, (scores, joint, *pairs) = self._panes[: len(self._faces)], self._panes[len(self._faces) :]
        for pane in (scores, joint, *pairs):
            pane.sizing_mode = "stretch_width"
        half = {"styles": {"flex": "1 1 330px", "min-width": "0"}}
        return pmui.Column(
            self._state,
            pn.FlexBox(*maps, **wide),
            pmui.Typography("Windows drawn", variant="body2"),
            self._shown,
            self._table,
            pn.FlexBox(self._number, pn.Column(self._reason, **half), **wide),
            pn.FlexBox(pn.Column(scores, **half), pn.Column(joint, **half), **wide),
            pn.FlexBox(self._back, self._on, self._where, align_items="center", **wide),
            pn.Column(*pairs, styles={"overflow-x": "auto"}, **wide),
            pmui.Typography("Build the training set", variant="h6"),
            pn.FlexBox(
                pn.Column(self._path, **half), self._start, self._cancel, align_items="center", **wide
            ),
            self._bar,
            self._job_state,
            pmui.Typography("The same in Python", variant="body2"),
            self._lines.view,
            **wide,
        )

    def __panel__(self) -> Any:
        return self._view


def app(
    path: str | None = None,
    *,
    workspace_folder: str | Path = ".",
    cube: Any = None,
    source: str = "cube",
    patch_size: int | None = None,
) -> Any:
    """Return the page of one visitor.

    Parameters
    ----------
    path : str, optional
        A simulation cube inside the workspace folder.
    workspace_folder, source
        As in :class:`TrainingSetInspector`.
    cube : SimulationCube, optional
        What is shown without a path, shared by all visitors, which only read it; by default a small one made on the spot.
    patch_size : int, optional
        Side of a patch [pixels]; by default the largest on offer of which four fit along each side of the cloud.

    Notes
    -----
    A cloud without room for patches of this size is shown with smaller ones, and one without room for any, or a
    file that is no cloud, gives a page that says so and what to do.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    choice = inspector_clouds.choice(folder).view
    try:
        if path:
            cube, source = inspector_clouds.open_cloud(workspace.inside(folder, path))
        elif cube is None:
            cube, source = inspector_clouds.synthetic()
    except (ValueError, TypeError, OSError) as error:
        return _refusal("This cannot be opened as a cloud", str(error), choice)
    proposals, error = inspector_clouds.first_proposals(cube, patch_size)
    if proposals is None:
        return _refusal("No room for a patch", error, choice)
    inspector = TrainingSetInspector(
        proposals, cube=cube, source=source, workspace_folder=folder, error=error
    )
    where = pmui.Typography(inspector_words.where(folder), variant="body2")
    page = shell.page(
        TITLE,
        [choice, inspector.controls, where],
        shell.in_turn(inspector.main, 4),
        later=[pmui.Markdown(inspector_words.HELP)],
        purpose=PURPOSE,
    )
    if pn.state.location is not None:
        pn.state.location.sync(inspector, [*SETTINGS, "dataset"], on_error=inspector.refuse)
    inspector.param.trigger("dataset")  # a build that goes on is found again
    return page


def _refusal(title: str, words: str, choice: Any) -> Any:
    """Return the page that says what is wrong and what to do, with the field to choose another file."""
    alert = pmui.Alert(title=title, object=parts.plain(words), severity="error", margin=10)
    return shell.page(TITLE, [choice, pmui.Markdown(inspector_words.HELP)], [alert], purpose=PURPOSE)
