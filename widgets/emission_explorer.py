"""See what a telescope would see of a cloud, beside what one has seen: :class:`EmissionExplorer`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from polaris_lab.radiative_transfer import moments
from polaris_lab.radiative_transfer.abundance import ABUNDANCE
from widgets import parts, shell
from widgets.dashboard import Dashboard
from widgets.emissions import controls as emission_controls
from widgets.emissions import files as emission_files
from widgets.emissions import job as emission_job
from widgets.emissions import layout as emission_layout
from widgets.emissions import words as emission_words
from widgets.emissions.controls import ADDRESS, GAS, TELESCOPE
from widgets.emissions.place import Place
from widgets.emissions.telescope import Telescope
from widgets.emissions.view import EmissionView
from widgets.inspector import words as inspector_words

TITLE = "Emission explorer"

PURPOSE = "See the line that a cloud sends out, channel by channel, through a telescope of your choice and beside an observed one."

PERIOD_MS = 250
"""Time between two looks at a synthesis [ms]."""


class EmissionExplorer(Place, Dashboard):
    """Channel maps, spectra, moments and rays of a line cube: of gas that is solved on the spot, or of a file.

    Parameters
    ----------
    cube : SimulationCube or PPVCube, optional
        Gas with velocities, whose line is solved in a thread, or a line cube. By default the sample cloud.
    observed : PPVCube, optional
        Drawn beside it, on the same axes.
    source, observed_source : str
        Python that gives the two, for the lines to copy.
    workspace_folder : str or Path
        The folder that `path` and `observed_path` lie in; names that lead out of it are refused.
    begin : bool
        Whether to open and solve now; without, :meth:`begin` does.
    synthesize : callable, optional
        Solves the line; :func:`polaris_lab.synthesize_ppv` by default.

    Examples
    --------
    >>> import numpy as np
    >>> import polaris_lab as lab
    >>> explorer = EmissionExplorer(lab.PPVCube(np.ones((8, 4, 4)), np.arange(8.0)))
    >>> explorer.velocity = 3.2
    >>> explorer.ppv.shape, explorer.channel
    ((8, 4, 4), 3)
    """

    def __init__(
        self,
        cube: Any = None,
        *,
        observed: Any = None,
        source: str = "cube",
        observed_source: str = "observed",
        workspace_folder: str | Path = ".",
        begin: bool = True,
        synthesize: Callable[..., Any] | None = None,
        **params: Any,
    ):
        if "line" in params and "abundance" not in params:
            params["abundance"] = ABUNDANCE[params["line"].split()[0]]
        super().__init__(**params)
        self._given = None if cube is None else emission_files.given(cube, source)
        self._given_observed = None if observed is None else emission_files.given(observed, observed_source)
        self._workspace, self._synthesize = workspace_folder, synthesize
        self._source = self._observed_source = None
        self._job: emission_job.SynthesisJob | None = None
        self._base = self._gas = self._made = self._taken = None
        self._error, self._too_large, self._begun = "", "", False
        self.view, self._telescope = EmissionView(self), Telescope()
        emission_layout.make_parts(self, workspace_folder)
        self.controls = pmui.Column(
            self.file.view, self.observed_file.view, emission_controls.make_controls(self),
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.main = emission_layout.make_main(self)
        self.param.watch(self._usual_abundance, ["line", "abundance"])
        self._view = pn.Row(pn.Column(self.controls, width=300), self.main, sizing_mode="stretch_width")
        self.refresh()
        if begin:
            self.begin()

    # -- what is opened and solved -------------------------------------------------------------------

    def begin(self) -> None:
        """Open what is to be opened and solve the line."""
        self._begun = True
        self._open_observed()
        self._open()

    @property
    def ppv(self) -> Any:
        """The synthetic line cube that is seen, through beam and noise; None before it is solved."""
        return self.view.sides["synthetic"].ppv

    @property
    def observed(self) -> Any:
        """The observed line cube, None without one."""
        return self.view.sides["observed"].ppv

    @param.depends("path", watch=True)
    def _open(self) -> None:
        """Open the file, or what was handed over, and solve or show it; what cannot be opened changes nothing."""
        if not self._begun:
            return
        try:
            if self.path:
                source = emission_files.read(self._workspace, self.path)
            else:
                source = self._given or emission_files.sample()
        except (ValueError, OSError) as error:
            self._fail(str(error))
            return
        another, self._source = self._source is not None, source
        if another:
            self._forget_place()
        if source.is_gas:
            self.solve()
            return
        self.cancel()
        self._error, self._too_large, self._job = "", "", None
        self.refresh()
        self._take(source.cube, None, None)

    @param.depends("observed_path", watch=True)
    def _open_observed(self) -> None:
        """Open the observed cube; an empty name takes it away."""
        if not self._begun:
            return
        source = self._given_observed
        try:
            if self.observed_path:
                source = emission_files.read_line_cube(self._workspace, self.observed_path)
        except (ValueError, OSError) as error:
            self._fail(str(error))
            return
        self._observed_source, self._error = source, ""
        side = self.view.sides["observed"]
        if source is None:
            side.ppv = None
        else:
            side.take(source.cube, moments.signal_mask(source.cube))
        if not self._move_beside():
            self._place()
            self._show()

    def _usual_abundance(self, *events: Any) -> None:
        """Turn to the usual abundance of another molecule, unless an abundance was given with it."""
        molecules = [event.new.split()[0] for event in events if event.name == "line"]
        if self._begun and molecules and all(event.name == "line" for event in events):
            self.abundance = ABUNDANCE[molecules[0]]

    @param.depends(*GAS, watch=True)
    def solve(self) -> None:
        """Solve the line in the background; a synthesis that goes on is stopped."""
        if not self._begun or self._source is None or not self._source.is_gas:
            return
        if self._job is not None and self._job.look().busy and self._job.choices == self.choices():
            return
        self.cancel()
        gas, self._error = self._source.cube, ""
        self._too_large = emission_job.too_large(gas.shape, self.reduction)
        if self._too_large:
            self._job = None
            self.refresh()
            self._say()
            return
        self._job = emission_job.SynthesisJob(
            gas, self.choices(), key=self._source.key, synthesize=self._synthesize
        ).start()
        self.refresh()
        emission_layout.watch(self.refresh, PERIOD_MS)

    def choices(self) -> emission_job.Choices:
        """Return what the line is solved for."""
        return emission_job.Choices(**{name: getattr(self, name) for name in GAS})

    def cancel(self) -> None:
        """Ask the synthesis to stop; what is drawn stays."""
        if self._job is not None:
            self._job.cancel()

    def wait(self, seconds: float = 120.0) -> Any:
        """Wait for the synthesis and show it: for scripts and tests; a page looks by itself."""
        if self._job is not None:
            self._job.wait(seconds)
        return self.refresh()

    def refresh(self) -> Any:
        """Look at the synthesis, show how it stands, and draw what it has made; return what was seen."""
        job = self._job
        seen = job.look() if job is not None else emission_job.Progress()
        solvable = self._source is not None and self._source.is_gas
        self.start_button.disabled = seen.busy or not solvable
        self.cancel_button.disabled = seen.status != "running"
        self.bar.param.update(value=seen.percent, visible=seen.busy)
        severity, title, words = emission_words.of_job(seen)
        self.job_state.param.update(
            severity=severity, title=title, object=parts.plain(words), visible=bool(title)
        )
        if job is not None and seen.status == "finished" and job.ppv is not self._made:
            self._made = job.ppv
            self._take(job.ppv, job.gas, job.choices)
        return seen

    def _take(self, base: Any, gas: Any, choices: Any) -> None:
        """Take a line cube as it left the cloud."""
        self._base, self._gas, self._taken = base, gas, choices
        self.view.follow(gas, base, choices.abundance if choices else 0.0)
        self._observe()

    @param.depends(*TELESCOPE, watch=True)
    def _observe(self) -> None:
        """See the cube through beam and noise, which needs no synthesis."""
        if self._base is None:
            return
        try:
            ppv, mask = self._telescope.see(self._base, **{name: getattr(self, name) for name in TELESCOPE})
        except ValueError as error:
            self._fail(str(error))
            return
        self._error = ""
        self.view.sides["synthetic"].take(ppv, mask)
        if not self._move_beside():
            self._place()
            self._show()

    def _move_beside(self) -> bool:
        """Move the synthetic cube to the velocity of the observed one, unless it was moved before."""
        if self.systemic or self.observed is None or self.ppv is None:
            return False
        self.systemic = self.view.match()["systemic"]  # which draws everything
        return bool(self.systemic)

    def match(self) -> None:
        """Take noise, beam (if its header tells) and mean velocity from the observed cube."""
        self.param.update(**self.view.match())

    # -- view ----------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Draw everything as it stands."""
        self.beside.visible = self.observed is not None
        self.rays_box.visible = self._gas is not None
        self.view.show()
        self._say()

    @param.depends("velocity", watch=True)
    def _show_velocity(self) -> None:
        if self.velocity is None or self.ppv is None:
            return
        self._follow_fields()
        self.view.show_channel()
        self._say_cursor()

    @param.depends("x", "y", watch=True)
    def _show_place(self) -> None:
        if self.x is None or self.y is None:
            return
        self.view.show_cursor()
        self._say_cursor()

    @param.depends("moment", "same_colours", watch=True)
    def _show_colours(self) -> None:
        self.view.show_moments()
        self.view.show_channel()
        self._say_cursor()

    def code(self) -> str:
        """Return the Python lines that give what is seen."""
        return emission_words.code_of(self, self._source, self._observed_source, self._base, self._taken)

    def refuse(self, values: dict[str, Any]) -> None:
        """Say that values of the page's address cannot be; all of the address is left aside."""
        words = ", ".join(f"{name}={value}" for name, value in values.items())
        self._fail(f"address: expected values in the range of the fields, got {words}; correct the address")

    def _fail(self, words: str) -> None:
        self._error = words
        self._say()

    def _say(self) -> None:
        """Say what is drawn, or what is wrong."""
        words = emission_words.state(
            self.ppv, self._source, self._taken, error=self._error, too_large=self._too_large
        )
        emission_layout.tell(self, words, solvable=self._source is None or self._source.is_gas)
        self._say_cursor()

    def _say_cursor(self) -> None:
        facts = self.view.facts()
        if facts:
            self.cursor.object = emission_words.cursor(facts, x=self.x, y=self.y, unit=self.unit)
        self.lines.show(self.code())
        pn.io.push_notebook(*self.panes.values())  # in a notebook; does nothing on a served page

    def __panel__(self) -> Any:
        return self._view


def prepare() -> None:
    """Solve the line that a page shows first, in a thread: no visitor waits for the solver to be compiled."""
    source = emission_files.sample()
    choices = EmissionExplorer(begin=False).choices()
    emission_job.SynthesisJob(source.cube, choices, key=source.key).start()


def app(path: str | None = None, *, workspace_folder: str | Path = ".", observed: str | None = None) -> Any:
    """Return the page of one visitor.

    Parameters
    ----------
    path : str, optional
        File inside the workspace, of gas or a line cube; by default the sample cloud of the package. The page's
        address (``?path=...&observed=...``) goes before.
    workspace_folder : str or Path
        The folder that files are chosen in, and that names cannot leave.
    observed : str, optional
        File of an observed line cube inside the workspace, drawn beside it.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    explorer = EmissionExplorer(
        workspace_folder=folder, begin=False, path=path or "", observed_path=observed or ""
    )
    where = pmui.Typography(inspector_words.where(folder), variant="body2")
    page = shell.page(
        TITLE,
        [explorer.controls, where],
        shell.in_turn(explorer.main, 7),
        later=[pmui.Markdown(emission_words.HELP)],
        purpose=PURPOSE,
    )
    if pn.state.location is not None:
        pn.state.location.sync(explorer, ADDRESS, on_error=explorer.refuse)
    explorer.begin()
    shell.repeat(explorer.refresh, PERIOD_MS)
    pn.state.on_session_destroyed(lambda _context: explorer.cancel())
    return page
