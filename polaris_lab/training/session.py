"""What happens in a run's folder: one session of training after another."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from polaris_lab.config import from_dict
from polaris_lab.models import build_model
from polaris_lab.training import folder as files
from polaris_lab.training.checkpoints import load_checkpoint, load_weights
from polaris_lab.training.creation import names_of
from polaris_lab.training.devices import is_launched
from polaris_lab.training.distributed import batch_statistics_note, process_rank, train_together
from polaris_lab.training.examples import ExampleWriter
from polaris_lab.training.generative import GenerativeState, fit_generative
from polaris_lab.training.lock import RunInUseError, lock
from polaris_lab.training.loop import StopRequested, TrainingState, fit
from polaris_lab.training.records import EpochRecord, is_finished
from polaris_lab.training.streaming import load_patches

if TYPE_CHECKING:
    from polaris_lab.training.run import Run


logger = logging.getLogger(__name__)


def start(
    run: Run, before_batch: Callable[[int], object] | None = None
) -> Generator[EpochRecord, None, None]:
    """Train a run, holding its lock; note a failure, end on request.

    With several devices the processes that train are started here, unless this is one of them; the first of them
    holds the lock and commits.
    """
    try:
        if run.config.processes > 1 and not is_launched():
            yield from train_together(run, before_batch)
        else:
            yield from _session(run, before_batch)
    except RunInUseError:
        raise
    except Exception as error:
        files.note_failure(run.path, error)
        raise


def _session(run: Run, before_batch: Callable[[int], object] | None) -> Generator[EpochRecord, None, None]:
    """Train a run in this process."""
    stop, first = run.path / files.STOP, process_rank(run.config) == 0

    def check(count: int) -> None:
        if first and stop.exists():
            raise StopRequested
        if before_batch is not None:
            before_batch(count)

    with lock(run.path) if first else nullcontext():
        if first:
            for stale in (stop, run.path / files.PAUSE, run.path / files.FAILURE):
                stale.unlink(missing_ok=True)
        try:
            yield from _loop(run, check, first=first)
        except StopRequested:
            logger.info("%s: stopped on request after %d epochs", run.path, len(run.history()))
        finally:
            if first:
                stop.unlink(missing_ok=True)


def train_with_bar(run: Run, *, visible: bool, log: Callable[[EpochRecord], object] | None = None) -> None:
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
                if log is not None:
                    log(record)
                bar.set_description(f"{run.name}: epoch {record.epoch + 1} of {epochs}", refresh=False)
                bar.set_postfix_str(
                    f"loss {record.training_loss:.4f}, validation {record.validation_loss:.4f} ({record.validation_rmse_dex:.3f} dex), "
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


def _loop(
    run: Run, before_batch: Callable[[int], None], *, first: bool
) -> Generator[EpochRecord, None, None]:
    """Go on with the training of a run from its last checkpoint; the first process commits every epoch."""
    checkpoint = load_checkpoint(run.path / files.CHECKPOINT)
    files.check_blueprint(run.path, checkpoint.get("blueprint"), run.path / files.CHECKPOINT)
    if first:
        files.reconcile(run.path, checkpoint)
    if is_finished(run.config, [from_dict(EpochRecord, record) for record in checkpoint["history"]]):
        return
    names, dataset = {**names_of(run.blueprint), "workers": run.config.workers}, run.dataset()
    training, validation = (load_patches(dataset, split, **names) for split in ("training", "validation"))
    model = build_model(run.blueprint, seed=run.config.seed)
    kind, train = (GenerativeState, fit_generative) if model.is_generative else (TrainingState, fit)
    state = kind(model, run.config, checkpoint)
    if state.history:
        state.best_weights = load_weights(run.path / files.WEIGHTS)
    examples = ExampleWriter(run.path, validation) if first else None
    note = batch_statistics_note(model, run.config)
    if first and note is not None:
        logger.warning("%s: %s", run.path, note)
    for record in train(
        model, training, validation, config=run.config, state=state, before_batch=before_batch
    ):
        if first:
            files.commit(run.path, state.checkpoint(), state.best_weights if record.best else None)
            examples.write(record.epoch, state.judged)
        yield record
        if first and (run.path / files.PAUSE).exists():
            (run.path / files.STOP).touch()  # all processes see it together, before their next batch
