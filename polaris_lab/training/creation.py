"""The making of a run's folder."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from polaris_lab.config import Provenance, to_dict, write_json
from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, build_model, parameter_count
from polaris_lab.models.storage import misfits
from polaris_lab.training import folder as files
from polaris_lab.training.checkpoints import (
    load_weights,
    save_checkpoint,
    save_weights,
    weights_digest,
)
from polaris_lab.training.devices import device_named, resolved_precision
from polaris_lab.training.generative import check_generative
from polaris_lab.training.lock import RunInUseError, holder
from polaris_lab.training.loop import check_batch_size
from polaris_lab.training.losses import objective
from polaris_lab.training.settings import TrainingConfig
from polaris_lab.training.streaming import load_patches

if TYPE_CHECKING:
    from torch import Tensor, nn

    from polaris_lab.training.run import Run


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights of another run that a new one starts from.

    Attributes
    ----------
    weights : mapping of str to Tensor
        With the constants of the network.
    record : dict
        Where they come from: ``path``, ``fingerprint`` and ``epoch`` of the run, ``sha256`` of the weights.
    """

    weights: dict[str, Tensor]
    record: dict[str, Any]

    @classmethod
    def of(cls, run: Run | str | Path) -> Start:
        """Take the weights of the best epoch of a run.

        Raises
        ------
        TypeError, FileNotFoundError, ValueError
            If it is no run, or has no finished epoch.
        """
        from polaris_lab.training.run import Run

        if not isinstance(run, Run | str | Path):
            raise TypeError(f"start_from: expected a Run or its path, got {type(run).__name__}")
        run = run if isinstance(run, Run) else Run.open(run)
        if run.best is None:
            raise ValueError(
                f"start_from: expected a run with a finished epoch, got {run.path}, which is {run.state}; train it first"
            )
        weights = load_weights(run.path / files.WEIGHTS)
        record = {
            "path": str(run.path.resolve()),
            "fingerprint": run.fingerprint,
            "epoch": run.best.epoch,
            "sha256": weights_digest(weights),
        }
        return cls(weights, record)

    @classmethod
    def again(cls, run: Run) -> Start | None:
        """Take the weights that a run itself started from, from its folder; None if it started afresh."""
        record = run.description.start_from
        return None if record is None else cls(load_weights(run.path / files.START), record)

    def put(self, model: nn.Module) -> None:
        """Load the weights, all or none.

        Raises
        ------
        ValueError
            If a tensor is missing, unknown, or of another shape: the error names them.
        """
        wrong = misfits(model, self.weights)
        if wrong:
            fitting = len(model.state_dict()) - len(wrong)
            raise ValueError(
                f"start_from: expected weights for every tensor of the network, got {self.record['path']}, of which "
                f"{max(fitting, 0)} fit and {len(wrong)} do not: {'; '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}. "
                "None is taken; start from a run of a blueprint with the same nodes and settings"
            )
        model.load_state_dict(self.weights, strict=True)


def create(
    path: Path,
    blueprint: Blueprint,
    dataset: PatchDataset,
    config: TrainingConfig,
    *,
    start: Start | None,
    overwrite: bool,
) -> None:
    """Make the folder of a run; :meth:`polaris_lab.training.Run.create` says how."""
    check_kinds(blueprint, dataset, config)
    check_free(path, overwrite=overwrite)
    partial = files.begin_creation(path)
    try:
        prepare(partial, path, blueprint, dataset, config, start)
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_kinds(blueprint: object, dataset: object, config: object) -> None:
    """Refuse what is no blueprint, dataset or training configuration, with what would make one of it."""
    for name, value, kind, remedy in (
        ("blueprint", blueprint, Blueprint, "make one with Blueprint.unet() or Blueprint.from_json(text)"),
        ("dataset", dataset, PatchDataset, "open one with PatchDataset.open(path)"),
        ("config", config, TrainingConfig, "make one with TrainingConfig(epochs=...)"),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}; {remedy}")


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse to write where something stands, but for a run that may be replaced."""
    if not path.exists():
        return
    if not (path / files.DESCRIPTION).is_file():
        raise FileExistsError(
            f"{path}: expected a free path, got something that is not a run; choose another"
        )
    if not overwrite:
        raise FileExistsError(
            f"{path}: expected a free path, got a run; go on with Run.open({str(path)!r}), or replace it with "
            "overwrite=True"
        )
    if holder(path) is not None:
        raise RunInUseError(f"{path}: expected a run that nobody trains, got one in training; stop it first")


def prepare(
    folder: Path,
    final: Path,
    blueprint: Blueprint,
    dataset: PatchDataset,
    config: TrainingConfig,
    start: Start | None = None,
) -> None:
    """Write the files of a new run into `folder`, which will be renamed to `final`."""
    names = {**names_of(blueprint), "workers": config.workers}
    patches = [load_patches(dataset, split, **names) for split in ("training", "validation")]
    check_batch_size(config, patches[0])
    model = build_model(blueprint, seed=config.seed)
    if model.is_generative:
        check_generative(model, config)
    else:
        objective(config.loss, model)  # refuses a loss that does not fit the network
    if start is None:
        sample = patches[0].sample()
        model.fit_constants(sample.inputs, sample.targets)
    else:
        start.put(model)
    dataset_path = dataset.path
    if dataset_path is None or final.resolve() in Path(dataset_path).resolve().parents:
        dataset.save(folder / files.OWN_DATASET)
        dataset_path = final / files.OWN_DATASET
    precision = resolved_precision(config.precision, device_named(config.device))
    description = files.RunDescription(
        blueprint=blueprint.to_dict(),
        training=dataclasses.replace(config, precision=precision),
        dataset=files.refer_to(dataset, Path(dataset_path), final),
        parameters=parameter_count(blueprint),
        provenance={**to_dict(Provenance.now(seed=config.seed)), "threads": torch.get_num_threads()},
        start_from=None if start is None else start.record,
        slips=config.slips,
    )
    write_json(folder / files.DESCRIPTION, files.description_json(description))
    if start is not None:
        blueprint_name = files.blueprint_fingerprint(folder)
        epoch = start.record["epoch"]
        save_weights(folder / files.START, start.weights, epoch=epoch, blueprint=blueprint_name)
    content = {"model": model.state_dict(), "optimizer": None, "history": []}
    save_checkpoint(folder / files.CHECKPOINT, content)
    (folder / files.HISTORY).touch()


def names_of(blueprint: Blueprint) -> dict[str, Any]:
    """Return what a blueprint reads of a dataset, as keywords of :func:`load_patches`."""
    return {
        "inputs": blueprint.inputs,
        "target": blueprint.output,
        "extra_targets": blueprint.extra_outputs,
    }
