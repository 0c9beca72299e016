"""One run in the explorer of residuals: how its prediction stands, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from widgets import parts
from widgets.dataset_job import Progress
from widgets.residuals import figures as residual_figures
from widgets.residuals import words as residual_words
from widgets.residuals.jobs import Judged, JudgeJob, stamp_of
from widgets.residuals.maps import PatchMaps

KNOWN_SECONDS = 0.3
"""A page waits so long for a result, in case it is known already."""

_WIDE = {"sizing_mode": "stretch_width"}

Region = tuple[float, float, float, float]
"""(x0, x1, y0, y1): ends of the true and of the predicted density, in log10 of cm^-3."""


class RunSide:
    """A run, its prediction in a thread, its figures.

    Parameters
    ----------
    on_choose : callable
        Called with a :data:`Region` that was drawn by the mouse.
    on_tap : callable
        Called with the number of a patch that was tapped.
    on_again : callable
        Called when the prediction is to begin again.
    colour : str
        Of its errors.

    Attributes
    ----------
    judged : Judged or None
        What is shown; it stays while another is computed, and if the run is deleted.
    """

    def __init__(
        self,
        *,
        on_choose: Callable[[Region], None],
        on_tap: Callable[[int], None],
        on_again: Callable[[], None],
        colour: str,
    ):
        self.path: Path | None = None
        self.judged: Judged | None = None
        self._job: JudgeJob | None = None
        self._begun: Any = None
        self._error = ""
        self._on_choose, self._on_tap, self._colour = on_choose, on_tap, colour
        self.state = pmui.Alert(title="", object="", severity="info", margin=10, **_WIDE)
        self.bar = pmui.LinearProgress(value=0, variant="determinate", visible=False, **_WIDE)
        self.stop = pmui.Button(label="Cancel", icon="stop", color="error", variant="outlined", visible=False)
        self.again = pmui.Button(
            label="Predict", icon="refresh", color="primary", variant="outlined", visible=False
        )
        self.stop.on_click(lambda _event: self.cancel())
        self.again.on_click(lambda _event: on_again())
        self.head = pmui.Column(self.state, self.bar, pmui.Row(self.stop, self.again), **_WIDE)
        self._masks: np.ndarray | None = None

    # -- figures, which are made when they are first needed: most pages show one run ------------------

    @cached_property
    def correlation(self) -> residual_figures.CorrelationFigure:
        """Predicted against true density."""
        return residual_figures.CorrelationFigure(self._on_choose)

    @cached_property
    def violins(self) -> residual_figures.ViolinFigure:
        """Residuals by density."""
        return residual_figures.ViolinFigure()

    @cached_property
    def errors(self) -> residual_figures.PatchErrors:
        """Error of each patch."""
        return residual_figures.PatchErrors(self._on_tap, colour=self._colour)

    @cached_property
    def maps(self) -> PatchMaps:
        """Maps of one patch."""
        return PatchMaps()

    @cached_property
    def panes(self) -> dict[str, Any]:
        """What shows the figures, by their names; "maps" is a list."""
        figures = {name: getattr(self, name).figure for name in ("correlation", "violins", "errors")}
        panes: dict[str, Any] = {name: pn.pane.Bokeh(one, **_WIDE) for name, one in figures.items()}
        return {**panes, "maps": [pn.pane.Bokeh(figure) for figure in self.maps.figures]}

    # -- the job -------------------------------------------------------------------------------------

    def begin(self, path: Path | None, open_run: Callable[[], Any], correction: str) -> None:
        """Predict the validation patches of a run in a thread, unless that is what was begun before."""
        if (path, correction) == self._begun:
            return
        if path != self.path:
            self.judged = None
        self.cancel()
        self._begun = (path, correction)
        self.path, self._error = path, ""
        self._job = None if path is None else JudgeJob(open_run, correction).start()

    def refuse(self, words: str) -> None:
        """Say why there is no run."""
        self.cancel()
        self.path, self._job, self.judged, self._error = None, None, None, words
        self._begun = None

    def forget(self) -> None:
        """Let :meth:`begin` predict again."""
        self._begun = None

    def cancel(self) -> None:
        """Ask the job to stop at its next batch."""
        if self._job is not None:
            self._job.cancel()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the job to end, at most so many seconds."""
        if self._job is not None:
            self._job.wait(seconds)

    def look(self) -> tuple[bool, bool]:
        """Look at job and folder and say how they stand; return whether there is a new result, and whether it works."""
        seen = Progress() if self._job is None else self._job.look()
        fresh = seen.status == "finished" and self.judged is not self._job.result
        if fresh:
            self.judged = self._job.result
        self._tell(seen)
        return fresh, seen.busy

    def _tell(self, seen: Progress) -> None:
        """Show how it stands, at every look: see :data:`widgets.shell.SETTLE_MS`; nothing is sent that is shown already."""
        gone = self.path is not None and not (self.path / "run.json").is_file()
        newer = (
            not seen.busy
            and not gone
            and self.judged is not None
            and stamp_of(self.path) != self.judged.stamp
        )
        words = residual_words.of_run(self.path, seen, self.judged, error=self._error, gone=gone, newer=newer)
        severity, title, text = words
        self.state.param.update(severity=severity, title=title, object=parts.plain(text))
        self.bar.param.update(
            visible=seen.busy, value=seen.percent, variant="determinate" if seen.done else "indeterminate"
        )
        self.stop.param.update(visible=seen.busy, disabled=seen.status == "stopping")
        self.again.visible = not gone and (newer or seen.status in ("stopped", "failed"))

    # -- the figures ---------------------------------------------------------------------------------

    def show(self, by: str, region: Region | None) -> None:
        """Draw what was found."""
        self.choose(region, draw=False)
        self.correlation.show(self.judged)
        self.correlation.mark(region)
        self.violins.show(self.judged, by)
        self.errors.show(self.judged, self.inside)

    def choose(self, region: Region | None, *, draw: bool = True) -> None:
        """Find the pixels of a region; with None there are none."""
        if region is None:
            self._masks = None
        else:
            low_x, high_x, low_y, high_y = (10.0**end for end in region)
            true, predicted = self.judged.target, self.judged.predicted.density
            self._masks = (true >= low_x) & (true <= high_x) & (predicted >= low_y) & (predicted <= high_y)
        if draw:
            self.correlation.mark(region)
            self.errors.count(self.inside)

    @property
    def inside(self) -> np.ndarray:
        """Pixels of each patch that lie in the region."""
        if self._masks is None:
            return np.zeros(len(self.judged), int)
        return self._masks.sum(axis=(1, 2))

    def chosen_residuals(self) -> np.ndarray:
        """Return the residuals of the pixels in the region [dex]."""
        if self._masks is None:
            return np.empty(0)
        return np.log10(self.judged.predicted.density[self._masks] / self.judged.target[self._masks])

    def show_patch(self, number: int) -> None:
        """Show the maps of one patch; the last one if there are fewer."""
        number = min(number, len(self.judged) - 1)
        self.maps.show(self.judged, number, None if self._masks is None else self._masks[number])

    def mark_patch(self, number: int) -> None:
        """Ring that patch among the errors of all."""
        self.errors.mark(min(number, len(self.judged) - 1))
