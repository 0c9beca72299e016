"""Train what is drawn: a choice of dataset, a run folder, and a worker process that trains it."""

from __future__ import annotations

import asyncio
import dataclasses
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Run, TrainingConfig
from widgets import parts, run_watcher, workspace
from widgets.file_choice import FileChoice

WIDE = {"sizing_mode": "stretch_width"}


def make_run(blueprint: Any, dataset: Path, path: Path, epochs: int) -> Run:
    """Make the folder of a run; its constants are fitted, which can take a while.

    A batch is that of :class:`~polaris_lab.training.TrainingConfig`, or all training patches where there are fewer.

    Raises
    ------
    ValueError, OSError, TypeError
        As :meth:`polaris_lab.Run.create`, and if there is no dataset.
    """
    patches = PatchDataset.open(dataset)
    config = TrainingConfig(epochs=epochs)
    batch = max(1, min(config.batch_size, len(patches.indices("training"))))
    return Run.create(path, blueprint, patches, dataclasses.replace(config, batch_size=batch))


def monitor_link(name: str) -> str:
    """Return the link to the training monitor of a run, in HTML.

    Examples
    --------
    >>> monitor_link("runs/a b")
    '<a href="training?path=runs/a%20b">Open the training monitor of runs/a b</a>'
    """
    return f'<a href="training?path={quote(name)}">Open the training monitor of {html.escape(name)}</a>'


class TrainPanel:
    """Fields and button that train the drawing.

    Parameters
    ----------
    workspace_folder : Path
    blueprint : callable
        Gives the finished blueprint, or raises what is missing.

    Attributes
    ----------
    view : panel Column
    dataset : str
        Chosen dataset, relative to the workspace.
    """

    def __init__(self, workspace_folder: str | Path, blueprint: Callable[[], Any]):
        self._workspace, self._blueprint = Path(workspace_folder), blueprint
        self.choice = FileChoice(
            workspace_folder, (".zarr",), on_choose=self._choose, label="Training set (.zarr)"
        )
        self.epochs = pmui.IntInput(label="Epochs", value=50, start=1, width=110)
        self.path = pmui.TextInput(label="Run folder inside the workspace", value="runs/drawn", **WIDE)
        self.button = pmui.Button(
            label="Train this", icon="model_training", color="primary", variant="contained"
        )
        self.button.on_click(self._train)
        self._state = pmui.Alert(
            title="", object="Choose a training set; Train this makes a run and trains it.", severity="info",
            margin=10, **WIDE,
        )  # fmt: skip
        self._link = pn.pane.HTML("", stylesheets=[parts.STYLE], visible=False, **WIDE)
        self.view: Any = pmui.Column(
            pmui.Typography("Train this network", variant="h6"),
            self.choice.view,
            pmui.Row(self.path, self.epochs, self.button, **WIDE),
            self._state,
            self._link,
            **WIDE,
        )

    def plan(self, dataset: str, path: str, epochs: int) -> tuple[Any, Path, Path, int]:
        """Return what :func:`make_run` takes; errors say what is missing."""
        if not dataset:
            raise ValueError("training set: expected one of the list, got none; build one with the inspector")
        inside = workspace.inside(self._workspace, dataset), workspace.inside(self._workspace, path)
        return self._blueprint(), *inside, epochs

    def started(self, run: Run) -> None:
        """Say that a run is being trained, and where to watch it."""
        name = run.path.resolve().relative_to(self._workspace.resolve()).as_posix()
        self._say(
            "success",
            "Training",
            f"{name} is trained by a process of its own; closing this page does not stop it.",
        )
        self._link.param.update(object=monitor_link(name), visible=True)

    def refused(self, error: Exception) -> None:
        """Say why nothing is trained."""
        self._say("error", "Not trained", str(error))

    def _choose(self, path: Path) -> None:
        self._say("info", "", f"{path.name} is chosen; Train this makes a run and trains it.")

    async def _train(self, _event: Any) -> None:
        """Make the run in a thread (the page lives on), then start its worker."""
        self.button.disabled = True
        try:
            plan = self.plan(self.choice.field.value or "", self.path.value, self.epochs.value)
            self._say(
                "info", "Making the run", "The constants of the network are fitted to the training set."
            )
            run = await asyncio.to_thread(make_run, *plan)
            run_watcher.start_worker(run.path)
            self.started(run)
        except (ValueError, TypeError, OSError) as error:
            self.refused(error)
        finally:
            self.button.disabled = False

    def _say(self, severity: str, title: str, words: str) -> None:
        self._state.param.update(severity=severity, title=title, object=parts.plain(words))
