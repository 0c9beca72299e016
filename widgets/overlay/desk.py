"""The desk of the overlay: open a map, choose a run, predict, take a catalogue."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path
from typing import Any

import panel_material_ui as pmui
import param

from polaris_lab.estimators import WITHOUT_TARGET
from widgets import file_choice, parts, timers, workspace
from widgets.dataset_job import Progress
from widgets.overlay import data as overlay_data
from widgets.overlay import prediction_job
from widgets.overlay import words as overlay_words
from widgets.overlay.controls import WIDE

ADDRESS = ("path", "distance", "species", "unit", "prediction", "catalogue")
"""Parameters that say what is open; they stand in the page's address."""

PERIOD_MS = 250
"""Time between two looks at a prediction [ms]."""


class Desk(param.Parameterized):
    """Fields and buttons that change which map an overlay shows.

    Parameters
    ----------
    overlay : PredictionOverlay

    Attributes
    ----------
    view : panel Column
    """

    path = param.String("", doc="The map, inside the workspace folder; empty: the one it was made with.")
    distance = param.String("", doc='Of the cloud: "300 pc" or the name of a known one.')
    species = param.Selector(default="H2", objects=list(overlay_data.SPECIES.values()))
    unit = param.String("", doc="Of the map, where the header does not say it or lies.")
    prediction = param.String("", doc="The file of the prediction, inside the workspace folder.")
    catalogue = param.String("", doc="The catalogue, inside the workspace folder.")
    run = param.String("", doc="Name of a run inside the workspace folder, or of an estimator.")
    overlapping = param.Boolean(False, doc="Whether a network reads overlapping tiles, as in the report.")

    def __init__(self, overlay: Any):
        super().__init__()
        self._overlay, self._folder = overlay, Path(overlay.workspace).expanduser().resolve()
        self._job: prediction_job.PredictionJob | None = None
        self._make_parts()
        self.find_runs()
        self.refresh()

    # -- what a visitor does -------------------------------------------------------------------------

    def restore(self) -> None:
        """Open what the parameters say; what cannot be is told over the maps."""
        for name, action in (
            ("path", self.open),
            ("prediction", self._open_prediction),
            ("catalogue", self._open_cores),
        ):
            if getattr(self, name) and not self._try(action):
                return

    def open(self) -> None:
        """Open the map, or ask for what its header does not say.

        Raises
        ------
        ValueError, TypeError, OSError
            If it cannot be opened.
        """
        path = self._inside(self.path)
        if overlay_data.is_prediction(path):
            name = self.path
            source = overlay_data.source_of(path, self._overlay.observation)
            if source is not None:  # the map that it was made of, which lies beside it and is not shown yet
                self.path = source.relative_to(self._folder).as_posix()
                self._hint()
                self.open()
            self.prediction = name
            self._open_prediction()
            return
        if not self.distance:  # of a link: what was chosen on the page has been asked already
            self._hint()
        observation, lines, warned = overlay_data.open_map(path, self.distance, self.species, unit=self.unit)
        sources = overlay_data.Sources(lines)
        self._overlay.show(observation, None, sources=sources, warned=warned)
        self._name.value = self._free_name()

    def predict(self) -> None:
        """Start the prediction in a process; a fault is told beside the button."""
        try:
            output = workspace.inside(self._folder, self._name.value or self._free_name())
            if output.suffix != ".fits":
                raise ValueError(f"name: expected one that ends in .fits, got {output.name!r}; add it")
            network = self.run not in WITHOUT_TARGET
            self._job = prediction_job.PredictionJob(
                self._overlay.observation,
                output,
                run=self._inside(self.run) if network else None,
                estimator=self.run,
                overlap=0.5 if self.overlapping and network else None,
            ).start()
        except (ValueError, OSError) as error:
            self._tell("error", "Not predicted", str(error))
            return
        self.refresh()
        self._watch()

    def cancel(self) -> None:
        """Stop the prediction."""
        if self._job is not None:
            self._job.cancel()
        self.refresh()

    def refresh(self) -> Progress:
        """Look at the prediction, show how it stands, and show what it gave; return what was seen."""
        seen = self._job.look() if self._job is not None else Progress()
        self._predict.disabled, self._cancel.disabled = seen.busy, not seen.busy
        waiting = seen.busy and not seen.total
        self._bar.param.update(
            value=seen.percent, visible=seen.status not in ("idle", "stopped"),
            variant="indeterminate" if waiting else "determinate",
        )  # fmt: skip
        self._tell(*overlay_words.of_job(seen))
        if seen.status == "finished":
            job, self._job = self._job, None
            self.prediction = job.output.relative_to(self._folder).as_posix()
            self._try(self._open_prediction)
        return seen

    def find_runs(self) -> None:
        """List the runs of the workspace as they are now."""
        runs = overlay_data.find_runs(self._folder)
        estimators = {f"no network: {name.replace('_', ' ')}": name for name in WITHOUT_TARGET}
        self._runs.options = runs | estimators
        if self.run not in self._runs.options.values():
            self.run = next(iter(self._runs.options.values()))

    def find_cores(self) -> None:
        """Take the leaves of the map's dendrogram as cores."""
        shown = self._overlay
        cores = overlay_data.find_cores(shown.observation)
        self.catalogue = ""
        self._show(cores=cores, lines={"cores": overlay_data.FIND_LINES})

    def refuse(self, values: dict[str, Any]) -> None:
        """Say that values of the page's address cannot be."""
        words = ", ".join(f"{name}={value}" for name, value in values.items())
        self._overlay.fail(
            f"address: expected values in the range of the controls, got {words}; correct the address"
        )

    # -- how it is done ------------------------------------------------------------------------------

    def _choose_map(self, path: Path) -> None:
        """Take a file of the list: open it, or ask for what it does not say."""
        self.path = path.relative_to(self._folder).as_posix()
        self.prediction = self.catalogue = ""
        if self._try(self._hint):
            self._try(self.open)

    def _hint(self) -> None:
        """Fill in what the header says."""
        distance, species = overlay_data.hints(self._inside(self.path))
        self.param.update(distance=distance or self.distance, species=species or self.species)

    def _choose_catalogue(self, path: Path) -> None:
        self.catalogue = path.relative_to(self._folder).as_posix()
        self._try(self._open_cores)

    def _open_prediction(self) -> None:
        path = self._inside(self.prediction)
        running = prediction_job.JOBS.get(path)
        if running is not None and running.look().busy:  # of a page that was closed meanwhile
            self._job = running
            self.refresh()
            self._watch()
            return
        found, tiles, call = overlay_data.open_prediction(path, self._overlay.observation)
        lines = {"prediction": f"prediction = {call}", "tiles": ""}
        if tiles is not None:
            lines["tiles"] = f"tiles = {call.replace('Prediction.open', 'footprint.read_tiles')}"
        self._show(prediction=found, tiles=tiles, lines=lines)
        self._name.value = self._free_name()

    def _open_cores(self) -> None:
        cores, lines = overlay_data.open_cores(self._inside(self.catalogue), self._overlay.observation)
        self._show(cores=cores, lines={"cores": lines})

    def _show(self, *, lines: dict[str, str], **new: Any) -> None:
        """Show the same map with something new, from where it is seen now."""
        shown = self._overlay
        keep = {name: value for name, value in shown.changes().items() if name != "core"}
        if "prediction" in new:
            keep.pop("density_limits", None)
        now = shown.given | new
        prediction = now.pop("prediction", shown.prediction)
        shown.show(
            shown.observation, prediction, sources=dataclasses.replace(shown.sources, **lines),
            warned=shown.warned, keep=keep, **now,
        )  # fmt: skip

    def _try(self, action: Any) -> bool:
        """Do something; say over the maps if it cannot be."""
        try:
            action()
        except (ValueError, TypeError, OSError, ImportError) as error:
            self._overlay.fail(str(error))
            return False
        return True

    def _inside(self, name: str) -> Path:
        path = workspace.inside(self._folder, name)
        if not path.exists():
            raise FileNotFoundError(
                f"{name}: expected a file or run inside the workspace folder, got nothing there; it may have been deleted: "
                "look again, and choose another"
            )
        return path

    def _free_name(self) -> str:
        """Return a name for the next prediction."""
        source = self._overlay.observation.name or "map"
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{source}_{Path(self.run).name}").strip("_")
        names = (f"predictions/{stem}{f'_{n}' if n > 1 else ''}.fits" for n in range(1, 10_000))
        return next(name for name in names if not (self._folder / name).exists())

    def _tell(self, severity: str, title: str, words: str) -> None:
        self._state.param.update(severity=severity, title=title, object=parts.plain(words))

    def _watch(self) -> None:
        """Look at the prediction until it ends; without an event loop the caller refreshes."""
        timers.watch(lambda: self.refresh().busy, PERIOD_MS)

    @param.depends("run", watch=True)
    def _rename(self) -> None:
        self._name.value = self._free_name()

    def _make_parts(self) -> None:
        """Make what is shown, once."""
        self._maps = file_choice.FileChoice(
            self._folder, overlay_data.MAPS, on_choose=self._choose_map, label="Map (or prediction) to open"
        )
        self._catalogues = file_choice.FileChoice(
            self._folder,
            overlay_data.CATALOGUES,
            on_choose=self._choose_catalogue,
            label="Catalogue of cores",
        )
        field = pmui.TextInput.from_param
        distance = field(self.param.distance, label="Distance", placeholder="300 pc, or Orion A", **WIDE)
        unit = field(
            self.param.unit, label="Unit, if the header lacks it", placeholder="cm-2, dex(cm-2)", **WIDE
        )
        species = pmui.Select.from_param(
            self.param.species, label="The map counts", options=overlay_data.SPECIES, **WIDE
        )
        self._runs = pmui.Select.from_param(self.param.run, label="Predict with", options=[""], **WIDE)
        self._name = pmui.TextInput(label="Name inside the workspace", value="", **WIDE)
        overlapping = pmui.Checkbox.from_param(self.param.overlapping, label="Tiles overlap by half (report)")
        again, opens, finds = (
            pmui.Button(label=label, icon=icon, variant=variant)
            for label, icon, variant in (
                ("Look for runs", "refresh", "text"),
                ("Open map", "folder_open", "outlined"),
                ("Find cores in this map", "search", "text"),
            )
        )
        again.on_click(lambda _event: self.find_runs())
        opens.on_click(lambda _event: self._try(self.open))
        finds.on_click(lambda _event: self._try(self.find_cores))
        self._predict = pmui.Button(label="Predict", icon="play_arrow", color="primary", variant="contained")
        self._cancel = pmui.Button(label="Cancel", icon="stop", color="error", variant="outlined")
        self._predict.on_click(lambda _event: self.predict())
        self._cancel.on_click(lambda _event: self.cancel())
        self._bar = pmui.LinearProgress(value=0, variant="determinate", visible=False, **WIDE)
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **WIDE)
        where = f'Workspace<br><span style="overflow-wrap: anywhere">{html.escape(str(self._folder))}</span>'
        heads = [pmui.Typography(words, variant="subtitle1") for words in ("Map", "Prediction", "Cores")]
        self.view = pmui.Column(
            heads[0], self._maps.view, distance, species, unit, opens,
            heads[1], self._runs, again, overlapping, self._name, pmui.Row(self._predict, self._cancel), self._bar,
            self._state,
            heads[2], self._catalogues.view, finds,
            pmui.Typography(where, variant="body2"),
            **WIDE,
        )  # fmt: skip
