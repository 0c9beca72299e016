"""Open, save and train what is drawn: the half of the editor of blueprints that has to do with files."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from polaris_lab.models import Blueprint
from polaris_lab.models.draft import Draft
from polaris_lab.training import Run
from widgets import run_watcher, workspace
from widgets.blueprint import canvas as blueprint_canvas
from widgets.blueprint import training as blueprint_training

REFUSALS = (ValueError, TypeError, OSError)
"""What is told on the page when it comes of something that a person did."""


def opened(blueprint: Blueprint | Draft | Run | None) -> tuple[Draft, Run | None]:
    """Return the drawing of what was given, and its run."""
    if blueprint is None:
        return Draft(inputs=("column_density",)), None
    if isinstance(blueprint, Draft):
        return blueprint, None
    if isinstance(blueprint, Run):
        return Draft.of(blueprint.blueprint), blueprint
    if not isinstance(blueprint, Blueprint):
        raise TypeError(
            f"BlueprintEditor: expected a Blueprint, a Draft or a Run, got {type(blueprint).__name__}"
        )
    return Draft.of(blueprint), None


class Opening:
    """Opens presets, files and runs, saves, and starts trainings; only for :class:`widgets.BlueprintEditor`."""

    def open(self, blueprint: Blueprint | Draft | Run) -> None:
        """Draw something else; undo brings the drawing of before back."""
        self._saved, run = opened(blueprint)
        self.inside.open(run)
        draft = self._saved
        self._change(lambda _draft: draft, blueprint_canvas.layered(draft), always=True)
        self._link()
        self._parts.fit()

    def preset(self, name: str, **settings: Any) -> None:
        """Open a preset."""
        blueprint = self._try(lambda: Blueprint.preset(name, **settings))
        if not settings:
            self._preset = (name, Draft.of(blueprint))
        self.open(blueprint)
        self._link(preset=name)

    def load(self, name: str | Path) -> None:
        """Open a blueprint (.json) or a run (its folder, or run.json) of the workspace."""

        def read() -> tuple[Blueprint | Run, Path]:
            path = workspace.inside(self._workspace, str(name))
            blueprint, run = self._file.read(path)
            return run or blueprint, path

        found, path = self._try(read)
        self.open(found)
        self._link(path=path.relative_to(self._workspace).as_posix())

    def save(self, name: str, *, overwrite: bool = False) -> Path:
        """Write the blueprint as JSON into the workspace; another file is replaced only with `overwrite`."""
        path = self._try(
            lambda: self._file.save(
                workspace.inside(self._workspace, name), self.blueprint, overwrite=overwrite
            )
        )
        self._saved = self.draft
        self._link(path=path.relative_to(self._workspace).as_posix())
        self._show()
        return path

    def _link(self, **opened: str) -> None:
        """Let the page's address name what is drawn, so that a reload or a shared link finds it."""
        if self.address is not None:
            kept = {k: v for k, v in self.address.query_params.items() if k not in ("path", "preset")}
            self.address.search = f"?{urlencode(kept | opened)}" if kept | opened else ""

    def exists(self, name: str) -> bool:
        """Whether a file of this name stands in the workspace."""
        try:
            return workspace.inside(self._workspace, name).is_file()
        except ValueError:
            return False

    def train(self, dataset: str, path: str, *, epochs: int = 50, start: bool = True) -> Run:
        """Make a run of the drawing, and start a worker process that trains it.

        Parameters
        ----------
        dataset, path : str
            Training set and new run folder, inside the workspace.
        epochs : int
        start : bool
            Whether the worker is started.
        """
        run = self._try(lambda: blueprint_training.make_run(*self.training.plan(dataset, path, epochs)))
        if start:
            run_watcher.start_worker(run.path)
            self.training.started(run)
        return run
