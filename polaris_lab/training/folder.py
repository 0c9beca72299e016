"""The files of a run: its description, its history, and how they are brought together after a kill.

An epoch is committed in this order: ``last.ckpt`` (weights, optimizer and the whole history: the commit
itself), ``best.safetensors`` if the epoch is the best, a line of ``history.jsonl``; only then is it reported.
Each step is whole or not at all but the last, whose half-written line is thrown away. So whatever the moment
of a kill, the checkpoint knows all, and :func:`reconcile` makes the other two agree with it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polaris_lab.config import (
    SCHEMA,
    check_schema,
    fingerprint,
    from_dict,
    read_json,
    to_dict,
    write_bytes,
    write_json,
)
from polaris_lab.lock import InUseError
from polaris_lab.models.storage import ANOTHER_BLUEPRINT
from polaris_lab.training.checkpoints import (
    load_checkpoint,
    save_checkpoint,
    save_weights,
    weights_epoch,
)
from polaris_lab.training.lock import holder, lock
from polaris_lab.training.records import EpochRecord, best_record, is_finished
from polaris_lab.training.settings import TrainingConfig

logger = logging.getLogger(__name__)

_OF_ONE_VALUE = {"local_contrast", "unet", "equivariant_power_law", "power_law", "add_residual"}
"""Blocks of the networks with one value for an output that versions without errors in dex have trained."""

DESCRIPTION, HISTORY, CHECKPOINT, WEIGHTS = "run.json", "history.jsonl", "last.ckpt", "best.safetensors"
VALIDATION, FAILURE, STOP, OWN_DATASET = "validation.json", "failure.json", "stop", "dataset.zarr"
START, PAUSE = "start.safetensors", "pause"


@dataclasses.dataclass(frozen=True)
class DatasetReference:
    """The dataset of a run: where it lies, and enough of what it is to use the network without it."""

    path: str
    relative_path: str | None
    fingerprint: str
    pixel_size_pc: float
    patch_size: int
    training_patches: int
    validation_patches: int
    split: str


@dataclasses.dataclass(frozen=True)
class RunDescription:
    """What run.json holds beside the schema version."""

    blueprint: dict
    training: TrainingConfig
    dataset: DatasetReference
    parameters: int
    provenance: dict
    start_from: dict | None = None
    slips: tuple[str, ...] = ()


def begin_creation(path: Path) -> Path:
    """Make the folder in which the run at `path` is put together, in place of one of a creation that was cut off.

    Raises
    ------
    FileExistsError
        If something else has its name.
    """
    partial = path.with_name(path.name + ".partial")
    if partial.exists():
        ours = (DESCRIPTION, HISTORY, CHECKPOINT, OWN_DATASET, START)
        others = partial.is_file() or [
            entry.name for entry in partial.iterdir() if not entry.name.lstrip(".").startswith(ours)
        ]
        if others:
            raise FileExistsError(
                f"{partial}: expected nothing, or what a creation that was cut off left, got something else, which is "
                "left alone; choose another path for the run"
            )
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial


def refer_to(dataset: Any, dataset_path: Path, run_path: Path) -> DatasetReference:
    """Describe a dataset for the run in `run_path`; a dataset moved together with the run is found again."""
    try:
        relative = Path(os.path.relpath(dataset_path.resolve(), run_path.resolve())).as_posix()
    except ValueError:  # another drive
        relative = None
    return DatasetReference(
        path=str(dataset_path.resolve()),
        relative_path=relative,
        fingerprint=dataset.fingerprint,
        pixel_size_pc=dataset.pixel_size_pc,
        patch_size=dataset.patch_size,
        training_patches=len(dataset.indices("training")),
        validation_patches=len(dataset.indices("validation")),
        split=dataset.describe_split(),
    )


def find_dataset(reference: DatasetReference, run_path: Path) -> Path:
    """Return where the dataset is: as seen from the run, else where it was."""
    if reference.relative_path is not None:
        beside = Path(os.path.normpath(run_path.resolve() / reference.relative_path))
        if beside.exists():
            return beside
    return Path(reference.path)


def description_json(description: RunDescription) -> dict[str, Any]:
    """Return the content of run.json."""
    return {"schema": SCHEMA, **to_dict(description)}


def read_description(folder: Path) -> RunDescription:
    """Read run.json.

    Raises
    ------
    FileNotFoundError
        If there is no run in the folder.
    ValueError
        If the file is damaged, has an unknown key, or a newer version wrote it.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        raise FileNotFoundError(
            f"{folder}: expected the folder of a run, got {'one without ' + DESCRIPTION if folder.exists() else 'nothing there'}; "
            "make one with Run.create(path, blueprint, dataset, config)"
        )
    data = read_json(path)
    if not isinstance(data, Mapping):
        raise ValueError(f"{path}: expected an object with named values, got {type(data).__name__}")
    values = dict(data)
    check_schema(values.pop("schema", None), str(path))
    return from_dict(RunDescription, values, where=str(path))


def blueprint_fingerprint(folder: Path) -> str:
    """Return the fingerprint of the blueprint as run.json has it (later versions may add settings to it)."""
    return fingerprint(read_json(folder / DESCRIPTION)["blueprint"])


def check_blueprint(folder: Path, stored: str | None, where: Path) -> None:
    """Refuse weights of another blueprint, also where every tensor has the same name and shape.

    Raises
    ------
    ValueError
        If a fingerprint is stored in the file `where` and is not that of the run's blueprint.
    """
    expected = blueprint_fingerprint(folder)
    if stored is not None and stored != expected:
        raise ValueError(
            f"{where}: expected weights of the blueprint with fingerprint {expected}, got those of {stored}: "
            f"{ANOTHER_BLUEPRINT}"
        )


def read_history(folder: Path) -> list[EpochRecord]:
    """Return the records of the finished epochs; a last line without its end does not count.

    Versions before the errors in dex were recorded are completed where the loss is the mean square of one output.

    Raises
    ------
    ValueError
        If another line is damaged.
    """
    path = folder / HISTORY
    if not path.exists():
        return []
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(from_dict(EpochRecord, json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: expected one record of an epoch in line {number}, got {line[:60]!r} ({error}); "
                             f"remove the file: it is written again from {CHECKPOINT}") from error  # fmt: skip
    if any(record.validation_rmse_dex is None for record in records) and _loss_is_mean_square(folder):
        return [_with_errors(record) for record in records]
    return records


def _loss_is_mean_square(folder: Path) -> bool:
    """Whether the loss of a run is the mean square residual of its only output."""
    try:
        description = read_json(folder / DESCRIPTION)
        blocks = {node["block"] for node in description["blueprint"]["nodes"]}
        return description["training"]["loss"] in ("mse", "auto") and blocks <= _OF_ONE_VALUE
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _with_errors(record: EpochRecord) -> EpochRecord:
    if record.validation_rmse_dex is not None:
        return record
    errors = {
        f"{part}_rmse_dex": getattr(record, f"{part}_loss") ** 0.5 for part in ("training", "validation")
    }
    return dataclasses.replace(record, **errors)


def commit(folder: Path, checkpoint: Mapping[str, Any], weights: Mapping[str, Any] | None) -> None:
    """Commit a finished epoch: `weights` are given if it is the best one."""
    blueprint = blueprint_fingerprint(folder)
    save_checkpoint(folder / CHECKPOINT, {**checkpoint, "blueprint": blueprint})
    record = checkpoint["history"][-1]
    if weights is not None:
        (folder / VALIDATION).unlink(missing_ok=True)  # it describes other weights
        save_weights(folder / WEIGHTS, weights, epoch=record["epoch"], blueprint=blueprint)
    append_line(folder / HISTORY, _line(record))


def state_of(folder: Path, config: TrainingConfig, history: Callable[[], Sequence[EpochRecord]]) -> str:
    """Return what a run is doing: "new", "running", "stopped" (it can go on), "finished" or "failed".

    `history` is asked only where the answer depends on it.
    """
    if holder(folder) is not None:
        return "running"
    if (folder / FAILURE).exists():
        return "failed"
    records = history()
    if is_finished(config, records):
        return "finished"
    return "stopped" if records else "new"


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, on disk when this returns; if that fails (a full disk) the file is as it was."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        if path.exists():
            os.truncate(path, size)
        raise


def note_failure(folder: Path, error: BaseException) -> None:
    """Write down why a training ended, unless its run was deleted meanwhile (it is not to come back as a stub)."""
    if not (folder / DESCRIPTION).exists():
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        write_json(folder / FAILURE, {"message": f"{type(error).__name__}: {error}", "time": now})
    except OSError as full:  # the reason itself is raised to whoever trains
        logger.warning("%s: why the training ended cannot be written down (%s)", folder, full)


def reconcile(folder: Path, checkpoint: Mapping[str, Any] | None = None) -> None:
    """Make history and best weights agree with the checkpoint; the caller holds the lock.

    Raises
    ------
    ValueError
        If the best weights are not there and cannot be had from the checkpoint.
    """
    checkpoint = load_checkpoint(folder / CHECKPOINT) if checkpoint is None else checkpoint
    records = checkpoint["history"]
    text = "".join(_line(record) for record in records).encode()
    path = folder / HISTORY
    if not path.exists() or path.read_bytes() != text:
        write_bytes(path, text)
    best = best_record([from_dict(EpochRecord, record) for record in records])
    if best is None or weights_epoch(folder / WEIGHTS) == best.epoch:
        return
    if best.epoch != records[-1]["epoch"]:
        raise ValueError(
            f"{folder / WEIGHTS}: expected the weights of epoch {best.epoch}, the best one, got "
            f"{weights_epoch(folder / WEIGHTS)}; restore the file from a copy, or start the run again with "
            "Run.create(..., overwrite=True)"
        )
    (folder / VALIDATION).unlink(missing_ok=True)
    judged = (
        checkpoint["moving_average"]["weights"] if "moving_average" in checkpoint else checkpoint["model"]
    )
    weights = {name: value.contiguous() for name, value in judged.items()}
    blueprint = checkpoint.get("blueprint") or blueprint_fingerprint(folder)
    save_weights(folder / WEIGHTS, weights, epoch=best.epoch, blueprint=blueprint)


def needs_reconciling(folder: Path) -> bool:
    """Return whether a kill came between the checkpoint and the end of the history's line (cheap to ask)."""
    checkpoint, history = folder / CHECKPOINT, folder / HISTORY
    if not checkpoint.exists():
        return False
    if not history.exists():
        return True
    text = history.read_bytes()
    return (bool(text) and not text.endswith(b"\n")) or (
        checkpoint.stat().st_mtime_ns > history.stat().st_mtime_ns
    )


def is_reconciled(folder: Path, checkpoint: Mapping[str, Any]) -> bool:
    """Return whether history and best weights agree with the checkpoint, whatever the times of the files say."""
    records = checkpoint["history"]
    text = "".join(_line(record) for record in records).encode()
    if not (folder / HISTORY).exists() or (folder / HISTORY).read_bytes() != text:
        return False
    best = best_record([from_dict(EpochRecord, record) for record in records])
    return weights_epoch(folder / WEIGHTS) == (None if best is None else best.epoch)


def reconcile_if_killed(folder: Path) -> None:
    """Reconcile on opening, unless a training is under way (it does so itself) or the folder is read-only.

    A damaged checkpoint does not keep a run from being used; training it further will say what is wrong.
    """
    if not needs_reconciling(folder) or holder(folder) is not None:
        return
    try:
        checkpoint = load_checkpoint(folder / CHECKPOINT)
    except ValueError as error:
        logger.warning("%s", error)
        return
    if is_reconciled(folder, checkpoint):
        return
    try:
        with lock(folder):
            reconcile(folder)
    except InUseError:
        return
    except OSError as error:
        logger.warning("%s: a killed training left its files half updated (%s)", folder, error)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), allow_nan=False) + "\n"
