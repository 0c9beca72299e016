"""`Run`: the training of one blueprint on one dataset, as a folder on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polaris_lab.config import SCHEMA, fingerprint, read_json, write_json
from polaris_lab.training import folder as files
from polaris_lab.training.describe import describe, html_table
from polaris_lab.training.lock import holder
from polaris_lab.training.records import EpochRecord, best_record
from polaris_lab.training.settings import TrainingConfig, decisive

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import Blueprint, BlueprintModel
    from polaris_lab.training.comparison import RunComparison


class Run:
    """A blueprint, a training configuration, a dataset, and what has come of them so far.

    Made by :meth:`create` or :meth:`open`. The folder is the run: it can be trained in one process, watched
    in another, killed at any moment and trained further; what was reported as done is never lost.

    Attributes
    ----------
    path : Path
        Its folder.
    blueprint : Blueprint
        The network.
    config : TrainingConfig
        How it is trained.
    description : RunDescription
        The rest of run.json: dataset, parameters, provenance.
    """

    def __init__(
        self, path: Path, description: files.RunDescription, dataset: PatchDataset | None = None
    ) -> None:
        from polaris_lab.models import Blueprint

        self.path = path
        self.description = description
        self.blueprint: Blueprint = Blueprint.from_dict(
            description.blueprint, where=f"{path / files.DESCRIPTION}.blueprint"
        )
        self.config: TrainingConfig = description.training
        self._dataset = dataset

    # -- where it comes from -------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        blueprint: Blueprint,
        dataset: PatchDataset,
        config: TrainingConfig | None = None,
        *,
        start_from: Run | str | Path | None = None,
        overwrite: bool = False,
    ) -> Run:
        """Make the folder of a new run: its description, and the network with fresh weights.

        The constants of the network (standardisation, power law ...) are fitted to the training patches. A
        dataset that exists only in memory, or in the folder of a run that is replaced, is saved in the folder, as
        ``dataset.zarr``, so that the run can be resumed and repeated.

        Parameters
        ----------
        path : path
            The new folder.
        blueprint : Blueprint
        dataset : PatchDataset
            With patches for training and for validation.
        config : TrainingConfig, optional
        start_from : Run or path, optional
            Begin with the best weights (and the constants) of another run in place of fresh ones. They are copied into
            the folder, and run.json says whose they are.
        overwrite : bool
            Replace a run that stands there. What is not a run is never replaced.

        Raises
        ------
        FileExistsError
            If something stands at `path`.
        RunInUseError
            If the run to be replaced is in training.
        TypeError, ValueError
            If blueprint, dataset or config is something else; if the dataset lacks an input or target of the
            blueprint, or patches for training or validation, or the batch is larger than the training set; if the
            weights to start from do not fit in every tensor.
        """
        from polaris_lab.training import creation

        path, config = Path(path), TrainingConfig() if config is None else config
        start = None if start_from is None else creation.Start.of(start_from)
        creation.create(path, blueprint, dataset, config, start=start, overwrite=overwrite)
        lost = dataset.path is not None and not dataset.path.exists()  # it stood in the run replaced
        return cls(path, files.read_description(path), None if lost else dataset)

    @classmethod
    def open(cls, path: str | Path, *, dataset: PatchDataset | str | Path | None = None) -> Run:
        """Open the folder of a run.

        Parameters
        ----------
        path : path
        dataset : PatchDataset or path, optional
            Its dataset, where that has moved. It is needed to train and to validate, not to predict.

        Raises
        ------
        FileNotFoundError
            If there is no run.
        ValueError
            If run.json is damaged, has an unknown key or was written by a newer version.
        """
        path = Path(path)
        run = cls(path, files.read_description(path))
        if dataset is not None:
            run._dataset = run._checked(dataset)
        files.reconcile_if_killed(path)
        return run

    @classmethod
    def pretrained(cls, name: str = "default") -> Run:
        """Open a network that is shipped: see :func:`polaris_lab.training.recipes.pretrained`."""
        from polaris_lab.training.recipes import pretrained

        return pretrained(name)

    # -- what it is ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with blueprint, configuration, dataset and the weights it started from."""
        parts = {
            "blueprint": self.blueprint.to_dict(),
            "training": decisive(self.config),
            "dataset": self.dataset_fingerprint,
        }
        start = self.description.start_from
        return fingerprint(parts if start is None else {**parts, "start_from": start["sha256"]})

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return self.description.parameters

    @property
    def target(self) -> str:
        """Name of the quantity it predicts, such as "mass_weighted_density"."""
        return self.blueprint.output

    @property
    def pixel_size_pc(self) -> float:
        """Side of the pixels it was trained on [pc]."""
        return self.description.dataset.pixel_size_pc

    @property
    def dataset_path(self) -> Path:
        """Where its dataset is, or was."""
        return files.find_dataset(self.description.dataset, self.path)

    @property
    def dataset_fingerprint(self) -> str:
        """Fingerprint of its dataset."""
        return self.description.dataset.fingerprint

    def dataset(self) -> PatchDataset:
        """Open its dataset.

        Raises
        ------
        FileNotFoundError
            If it is not where it was.
        ValueError
            If it has changed since the run was created.
        """
        if self._dataset is None:
            if not self.dataset_path.exists():
                raise FileNotFoundError(
                    f"{self.path}: expected its dataset at {self.dataset_path}, got nothing there; "
                    "say where it is now with Run.open(path, dataset=...)"
                )
            self._dataset = self._checked(self.dataset_path)
        elif self._dataset.fingerprint != self.dataset_fingerprint:  # patches dropped meanwhile
            self._checked(self._dataset)
        return self._dataset

    def _checked(self, dataset: PatchDataset | str | Path) -> PatchDataset:
        from polaris_lab.datasets import PatchDataset

        if not isinstance(dataset, PatchDataset):
            dataset = PatchDataset.open(dataset)
        if dataset.fingerprint != self.dataset_fingerprint:
            raise ValueError(
                f"{self.path}: expected the dataset with fingerprint {self.dataset_fingerprint}, got "
                f"{dataset.fingerprint} at {dataset.path or 'no path'}: it is another one, or was changed; "
                "restore it, or train a new run on it with Run.create"
            )
        return dataset

    # -- how far it is -------------------------------------------------------------------------------

    def history(self) -> list[EpochRecord]:
        """Return the records of the finished epochs, read from disk: another process may be training."""
        return files.read_history(self.path)

    @property
    def best(self) -> EpochRecord | None:
        """Record of the epoch whose weights :meth:`model` returns, None before the first epoch."""
        return best_record(self.history())

    @property
    def state(self) -> str:
        """What the run is doing: "new", "running", "stopped" (it can go on), "finished" or "failed"."""
        return files.state_of(self.path, self.config, self.history)

    @property
    def failure(self) -> str | None:
        """Why the training failed, None if it did not."""
        path = self.path / files.FAILURE
        return read_json(path)["message"] if path.exists() else None

    def compare(self, other: Run) -> RunComparison:
        """Say in which settings another run differs, and what came of both: printable, with ``differences``."""
        from polaris_lab.training.comparison import compare_runs

        return compare_runs(self, other)

    # -- training ------------------------------------------------------------------------------------

    def repeat(self, path: str | Path, *, overwrite: bool = False) -> Run:
        """Make a new run of the same blueprint, dataset, configuration and first weights; errors as for :meth:`create`.

        Trained on the same machine with as many threads (``description.provenance["threads"]``) it gives the same
        metrics to the last digit.
        """
        from polaris_lab.training import creation

        path, start = Path(path), creation.Start.again(self)
        creation.create(path, self.blueprint, self.dataset(), self.config, start=start, overwrite=overwrite)
        return type(self).open(path)

    def epochs(self) -> Iterator[EpochRecord]:
        """Train, yielding after each epoch, when everything of it is on disk.

        Break out of the loop to stop; call it again to go on, here or in another process. Until it is
        exhausted or left, no other process can train the run.

        Yields
        ------
        EpochRecord

        Raises
        ------
        RunInUseError
            If another process trains it.
        DivergedError
            If the loss is no longer finite. The last finished epoch is kept, also when the disk is full (OSError).
        FileNotFoundError, ValueError
            If the dataset is gone or was changed, or a file of the run is damaged.
        """
        from polaris_lab.training.session import start

        return start(self)

    def train(self, *, progress: bool = True, log: Callable[[EpochRecord], object] | None = None) -> Run:
        """Train to the end, or until :meth:`request_stop`, with a bar of losses and the time left; return the run itself.

        Ctrl-C ends it cleanly: the last finished epoch is kept, and the KeyboardInterrupt says so.

        Parameters
        ----------
        progress : bool
            Show the bar.
        log : callable, optional
            Called with each record (:class:`polaris_lab.training.tensorboard.TensorBoardLog`).

        Raises
        ------
        RunInUseError, DivergedError, FileNotFoundError, ValueError
            As :meth:`epochs`.
        """
        from polaris_lab.training.session import train_with_bar

        train_with_bar(self, visible=progress, log=log)
        return self

    def request_stop(self, *, after_epoch: bool = False) -> bool:
        """Ask a training, in whatever process, to end at its next batch; the unfinished epoch is dropped.

        With `after_epoch` it ends when its epoch is finished and kept. Return whether one was there to be asked.
        """
        if holder(self.path) is None:
            return False
        (self.path / (files.PAUSE if after_epoch else files.STOP)).touch()
        return True

    # -- using what it has learned -------------------------------------------------------------------

    def model(self) -> BlueprintModel:
        """Return the network with the weights of its best epoch, on the CPU, in evaluation mode; no dataset is needed.

        Raises
        ------
        ValueError
            If no epoch is finished, or the weights do not match the blueprint: the error names the tensor.
        """
        from polaris_lab.training.loading import best_model

        return best_model(self)

    def validate(self) -> tuple[np.ndarray, np.ndarray]:
        """Predict every validation patch once with the best weights, and write validation.json.

        The value of a generative run is the mean of 16 samples in log10, and the report says how their spread compares
        with the errors (``samples``).

        Returns
        -------
        predicted, target : ndarray (patches, y, x), float32
            Densities [cm^-3].

        Raises
        ------
        ValueError, FileNotFoundError
            As :meth:`model` and :meth:`dataset`.
        """
        from polaris_lab.training.validation import validate_run

        predicted, target, report = validate_run(self)
        write_json(self.path / files.VALIDATION, {"schema": SCHEMA, **report})
        return predicted, target

    def sample(
        self,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        samples: int = 8,
        steps: int | None = None,
        seed: int = 0,
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Draw densities from a generative run: (samples, patches, y, x) [cm^-3], float32; several outputs by name.

        `inputs` are in physical units, by name (patches, y, x); the validation patches by default. The rest is as for
        :meth:`polaris_lab.models.build.BlueprintModel.sample`; see :mod:`polaris_lab.training.samples`.

        Raises
        ------
        ValueError
            If the run is not generative, an input is missing, or a count is no whole number of at least 1.
        """
        from polaris_lab.training.samples import sample_run

        return sample_run(self, inputs, samples=samples, steps=steps, seed=seed)

    def validation(self) -> dict[str, Any]:
        """Return what :meth:`validate` wrote: ``metrics``, ``power_law``, ``calibration``, ``training_ranges``, ``split`` ...

        Raises
        ------
        FileNotFoundError
            If these weights have not been validated.
        """
        path = self.path / files.VALIDATION
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: expected the validation of the best weights, got nothing there; call validate() first"
            )
        return read_json(path)

    def __repr__(self) -> str:
        """Say name, parameters, epochs and accuracy, in one line."""
        return f"Run({self.name!r}: " + ", ".join(text for _, text in describe(self)[:4]) + ")"

    def _repr_html_(self) -> str:
        return html_table("Run", self.name, describe(self))
