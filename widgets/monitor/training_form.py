"""A form that makes a new training run of a dataset and a preset: :class:`TrainingForm`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel_material_ui as pmui

from widgets import parts, workspace
from widgets.file_choice import files_in

logger = logging.getLogger(__name__)

FIRST = "unet"
"""The preset that stands in the form at first."""


class TrainingForm:
    """Choose a dataset, a preset and how to train it; make the run in a thread and hand it on.

    Parameters
    ----------
    workspace_folder : str or Path
        Where datasets are looked for and runs are made.
    on_made : callable
        Gets the path of a run that was made, from :meth:`look`.
    dataset : str
        The dataset to begin with, seen from the workspace folder.

    Attributes
    ----------
    view : panel Column
    """

    def __init__(
        self, workspace_folder: str | Path, *, on_made: Callable[[Path], Any], dataset: str = ""
    ) -> None:
        self._workspace = Path(workspace_folder).expanduser().resolve()
        self._on_made = on_made
        self._thread: threading.Thread | None = None
        self._result: Path | Exception | None = None
        self._make_fields()
        self.find(dataset)

    def _make_fields(self) -> None:
        from polaris_lab.models.presets.registry import preset_names

        wide = {"sizing_mode": "stretch_width"}
        names = list(preset_names())
        self.dataset = pmui.Select(label="Training set", options=[], **wide)
        self.preset = pmui.Select(
            label="Network", options=names, value=FIRST if FIRST in names else names[0], **wide
        )
        self.settings = pmui.TextInput(
            label="Settings of the network as JSON, {} for its defaults", value="{}", **wide
        )
        self.epochs = pmui.IntInput(label="Epochs", value=50, start=1, width=130)
        self.batch_size = pmui.IntInput(label="Batch [patches]", value=16, start=1, width=150)
        self.learning_rate = pmui.FloatInput(label="Learning rate", value=1e-3, start=0, step=1e-4, width=170)
        self.seed = pmui.IntInput(label="Seed", value=0, start=0, width=110)
        self.name = pmui.TextInput(label="Name inside the workspace", value="runs/first", **wide)
        self._make = pmui.Button(
            label="Make and start", icon="play_arrow", color="primary", variant="contained"
        )
        again = pmui.Button(label="Look again", icon="refresh", variant="text")
        self._make.on_click(lambda _event: self.make())
        again.on_click(lambda _event: self.find())
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, visible=False, **wide)
        self._lines = parts.CodeLines("")
        for field in (self.dataset, self.preset, self.settings, self.epochs, self.batch_size, self.learning_rate,
                      self.seed, self.name):  # fmt: skip
            field.param.watch(lambda _event: self._lines.show(self.code()), "value")
        self.view: Any = pmui.Column(
            pmui.Row(self.dataset, again, **wide),
            pmui.Row(self.preset, self.settings, **wide),
            pmui.FlexBox(self.epochs, self.batch_size, self.learning_rate, self.seed, **wide),
            pmui.Row(self.name, self._make, **wide),
            self._state,
            self._lines.view,
            **wide,
        )

    def find(self, wanted: str = "") -> None:
        """Look for datasets in the workspace folder."""
        from polaris_lab.datasets.growing import is_dataset

        names = [name for name in files_in(self._workspace, [".zarr"]) if is_dataset(self._workspace / name)]
        kept = next(
            (name for name in (wanted, self.dataset.value) if name in names), names[0] if names else None
        )
        self.dataset.param.update(options=names, value=kept)
        self._make.disabled = not names
        if not names:
            words = (
                "Build one with the training set inspector, or with polaris-lab demo; then press Look again."
            )
            self._say("info", "No training set in this workspace", words)
        elif self._state.title.startswith("No training set"):
            self._say("info", "", "")
        self._lines.show(self.code())

    def code(self) -> str:
        """Return the Python lines that make the run and train it."""
        place = self._workspace.as_posix()
        try:
            settings = "".join(f", {name}={value!r}" for name, value in self._settings().items())
        except ValueError:
            settings = ", ..."
        config = f"epochs={self.epochs.value}, batch_size={self.batch_size.value}, "
        config += f"learning_rate={self.learning_rate.value:g}, seed={self.seed.value}"
        return (
            "import polaris_lab as lab\n"
            f"dataset = lab.PatchDataset.open({f'{place}/{self.dataset.value}'!r})\n"
            f"blueprint = lab.Blueprint.preset({self.preset.value!r}{settings})\n"
            f"config = lab.TrainingConfig({config})\n"
            f"run = lab.Run.create({f'{place}/{self.name.value}'!r}, blueprint, dataset, config)\n"
            "# run.train()"
        )

    def _settings(self) -> dict[str, Any]:
        """Return the settings of the network that were typed."""
        try:
            settings = json.loads(self.settings.value or "{}")
        except ValueError as error:
            raise ValueError(
                f'settings: expected JSON such as {{"layers": 3, "base_filters": 16}}, got what cannot be read ({error})'
            ) from error
        if not isinstance(settings, dict):
            raise ValueError(f'settings: expected JSON such as {{"layers": 3}}, got {self.settings.value!r}')
        return settings

    def make(self) -> None:
        """Make the run in a thread; what is wrong is told under the button."""
        if self._thread is not None:
            return
        try:
            settings = self._settings()
            path = workspace.inside(self._workspace, self.name.value)
            dataset = workspace.inside(self._workspace, self.dataset.value or "")
        except ValueError as error:
            self._say("error", "Not made", str(error))
            return
        training = {
            "epochs": self.epochs.value,
            "batch_size": self.batch_size.value,
            "learning_rate": self.learning_rate.value,
            "seed": self.seed.value,
        }
        self._make.disabled = True
        self._say(
            "info", "Making the run", "Its constants are fitted to the training patches. The page stays free."
        )
        arguments = (path, self.preset.value, settings, dataset, training)
        self._thread = threading.Thread(
            target=self._run, args=arguments, name=f"make-{path.name}", daemon=True
        )
        self._thread.start()

    def _run(self, path: Path, preset: str, settings: dict, dataset: Path, training: dict) -> None:
        try:
            from polaris_lab.datasets import PatchDataset
            from polaris_lab.models import Blueprint
            from polaris_lab.training import Run, TrainingConfig

            blueprint = Blueprint.preset(preset, **settings)
            made = Run.create(path, blueprint, PatchDataset.open(dataset), TrainingConfig(**training))
            self._result = made.path
        except Exception as error:  # whatever it is, the page must say it
            logger.warning("%s: not made", path, exc_info=error)
            self._result = error

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the thread, and look."""
        if self._thread is not None:
            self._thread.join(seconds)
        self.look()

    def look(self) -> None:
        """See whether the run is made, and hand it on."""
        if self._thread is None or self._thread.is_alive():
            return
        result, self._thread, self._result = self._result, None, None
        self._make.disabled = False
        if isinstance(result, Path):
            self._say("success", "Made", f"{result.name} is made and starts; it is shown above.")
            self._on_made(result)
        else:
            self._say("error", "Not made", str(result) or type(result).__name__)

    def _say(self, severity: str, title: str, words: str) -> None:
        self._state.param.update(
            severity=severity, title=title, object=parts.plain(words), visible=bool(title)
        )
