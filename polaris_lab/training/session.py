"""What happens in a run's folder: its making, and one session of training after another."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.config import Provenance, to_dict, write_json
from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, build_model, parameter_count
from polaris_lab.training import folder as files
from polaris_lab.training.batches import Patches
from polaris_lab.training.checkpoints import load_checkpoint, load_weights, save_checkpoint
from polaris_lab.training.lock import lock
from polaris_lab.training.loop import TrainingState, check_batch_size, fit
from polaris_lab.training.losses import objective
from polaris_lab.training.settings import EpochRecord, TrainingConfig, is_finished

if TYPE_CHECKING:
    from polaris_lab.training.run import Run


logger = logging.getLogger(__name__)


class _StopRequested(Exception):
    """Somebody asked the training to end."""


def check_kinds(blueprint: object, dataset: object, config: object) -> None:
    """Refuse what is no blueprint, dataset or training configuration, with what would make one of it."""
    for name, value, kind, remedy in (
        ("blueprint", blueprint, Blueprint, "make one with Blueprint.unet() or Blueprint.from_json(text)"),
        ("dataset", dataset, PatchDataset, "open one with PatchDataset.open(path)"),
        ("config", config, TrainingConfig, "make one with TrainingConfig(epochs=...)"),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}; {remedy}")


def prepare(
    folder: Path, final: Path, blueprint: Blueprint, dataset: PatchDataset, config: TrainingConfig
) -> None:
    """Write the files of a new run into `folder`, which will be renamed to `final`."""
    patches = [Patches.load(dataset, split, **_names(blueprint)) for split in ("training", "validation")]
    check_batch_size(config, patches[0])
    model = build_model(blueprint, seed=config.seed)
    objective(config.loss, model)  # refuses a loss that does not fit the network
    model.fit_constants(patches[0].inputs, patches[0].targets)
    dataset_path = dataset.path
    if dataset_path is None or final.resolve() in Path(dataset_path).resolve().parents:
        dataset.save(folder / files.OWN_DATASET)
        dataset_path = final / files.OWN_DATASET
    description = files.RunDescription(
        blueprint=blueprint.to_dict(),
        training=config,
        dataset=files.refer_to(dataset, Path(dataset_path), final),
        parameters=parameter_count(blueprint),
        provenance=to_dict(Provenance.now(seed=config.seed)),
    )
    write_json(folder / files.DESCRIPTION, files.description_json(description))
    save_checkpoint(
        folder / files.CHECKPOINT, {"model": model.state_dict(), "optimizer": None, "history": []}
    )
    (folder / files.HISTORY).touch()


def start(
    run: Run, before_batch: Callable[[int], object] | None = None
) -> Generator[EpochRecord, None, None]:
    """Train a run, holding its lock; note a failure, end on request."""
    stop = run.path / files.STOP

    def check(count: int) -> None:
        if stop.exists():
            raise _StopRequested
        if before_batch is not None:
            before_batch(count)

    with lock(run.path):
        for stale in (stop, run.path / files.FAILURE):
            stale.unlink(missing_ok=True)
        try:
            yield from _loop(run, check)
        except _StopRequested:
            logger.info("%s: stopped on request after %d epochs", run.path, len(run.history()))
        except Exception as error:
            if (
                run.path / files.DESCRIPTION
            ).exists():  # a run deleted meanwhile is not to come back as a stub
                now = datetime.now(UTC).isoformat(timespec="seconds")
                message = f"{type(error).__name__}: {error}"
                write_json(run.path / files.FAILURE, {"message": message, "time": now})
            raise
        finally:
            stop.unlink(missing_ok=True)


def train_with_bar(run: Run, *, visible: bool) -> None:
    """Train a run to its end, or until it is asked to stop, behind a progress bar."""
    from tqdm.auto import tqdm

    done, epochs = len(run.history()), run.config.epochs
    patches = run.description.dataset.training_patches
    with tqdm(
        total=epochs * patches,
        initial=done * patches,
        desc=f"{run.name}: epoch {done} of {epochs}",
        unit=" images",
        unit_scale=True,
        disable=not visible,
    ) as bar:
        loop = start(run, bar.update)
        try:
            for record in loop:
                bar.set_description(f"{run.name}: epoch {record.epoch + 1} of {epochs}", refresh=False)
                bar.set_postfix_str(
                    f"loss {record.training_loss:.4f}, validation {record.validation_loss:.4f}, "
                    f"within 0.3 dex {record.validation_accuracy:.1%}"
                )
        except KeyboardInterrupt:
            loop.close()
            raise KeyboardInterrupt(_where_it_stopped(run)) from None
        if run.state == "stopped":
            bar.write(_where_it_stopped(run), file=sys.stderr)


def _where_it_stopped(run: Run) -> str:
    done, epochs = len(run.history()), run.config.epochs
    kept = f"{done} finished epochs of {epochs} are kept" if done else "no epoch was finished yet"
    return f"{run.path}: training stopped; {kept}; Run.open({str(run.path)!r}).train() goes on from there"


def _loop(run: Run, before_batch: Callable[[int], None]) -> Generator[EpochRecord, None, None]:
    """Go on with the training of a run from its last checkpoint, committing every epoch."""
    checkpoint = load_checkpoint(run.path / files.CHECKPOINT)
    files.check_blueprint(run.path, checkpoint.get("blueprint"), run.path / files.CHECKPOINT)
    files.reconcile(run.path, checkpoint)
    if is_finished(run.config, run.history()):
        return
    names, dataset = _names(run.blueprint), run.dataset()
    training, validation = (Patches.load(dataset, split, **names) for split in ("training", "validation"))
    model = build_model(run.blueprint, seed=run.config.seed)
    state = TrainingState(model, run.config, checkpoint)
    if state.history:
        state.best_weights = load_weights(run.path / files.WEIGHTS)
    for record in fit(model, training, validation, config=run.config, state=state, before_batch=before_batch):
        files.commit(run.path, state.checkpoint(), state.best_weights if record.best else None)
        yield record


def _names(blueprint: Blueprint) -> dict[str, Any]:
    """Return what a blueprint reads of a dataset, as keywords of :meth:`Patches.load`."""
    return {
        "inputs": blueprint.inputs,
        "target": blueprint.output,
        "extra_targets": blueprint.extra_outputs,
    }
