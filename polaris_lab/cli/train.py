"""Train: a new run from a file of choices, a run that was stopped, an earlier run once more, or the shipped network.

A file of choices is JSON:

  {"preset": {"name": "unet", "layers": 3, "base_filters": 16},
   "dataset": "demo/dataset.zarr", "training": {"epochs": 50, "seed": 1}, "output": "runs/first"}

In place of "preset" there may be "blueprint", as Blueprint.to_json() writes it; "training" holds any field of
TrainingConfig; "start_from" names a run whose weights to start from; "validate": true validates at the end.
Paths are seen from the file. "--recipe default" makes the network that is shipped again, from seeds: clouds, patches
and weights, about an hour on two cores. Ctrl-C ends after keeping the last finished epoch; the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polaris_lab.models import Blueprint
    from polaris_lab.training import Run


@dataclasses.dataclass(frozen=True)
class TrainingFile:
    """What a file of choices holds; exactly one of `blueprint` and `preset`."""

    dataset: str
    output: str
    blueprint: dict | None = None
    preset: dict | None = None
    training: dict | None = None
    start_from: str | None = None
    validate: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN|CONFIG.json",
        help="run folder to go on with, or file of choices for a new one",
    )
    parser.add_argument(
        "--repeat", type=Path, metavar="RUN", help="train a finished run again, in a new folder, and compare"
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME|RECIPE.json",
        help="make a pretrained network from its recipe, for example default",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the new folder, for CONFIG.json, --repeat (by default RUN_repeated) and --recipe (runs/recipe)",
    )
    parser.add_argument("--validate", action="store_true", help="validate when the training has finished")
    parser.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="write the records for TensorBoard too (needs tensorboard)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train to the end, and say where it stands."""
    if arguments.recipe is not None:
        return _recipe(arguments)
    if (arguments.run is None) == (arguments.repeat is None):
        raise ValueError(
            "train: expected a run folder, a CONFIG.json or --repeat RUN, got "
            + ("none of them" if arguments.run is None else "two of them")
        )
    if arguments.repeat is not None:
        return _repeat(arguments)
    trained, validate = _run(arguments)
    _train(trained, arguments)
    if validate and trained.state == "finished":
        trained.validate()
    answer = _answer(trained)
    if not arguments.json:
        print(f"{trained} is {trained.state} after {answer['epochs']} epochs")
        for slip in trained.description.slips:
            print(f"  reproduces a slip of the report's code: {slip}")
    return answer


def _recipe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make a pretrained network, or go on with it."""
    import sys

    import torch

    from polaris_lab.observations.pretraining import train_recipe

    for name in ("run", "repeat", "tensorboard"):
        if getattr(arguments, name) is not None:
            raise ValueError(
                f"{name}: expected none with --recipe, which names its own choices; leave it out"
            )
    torch.set_num_threads(1)  # sums depend on it, in the last digit: the shipped weights were made so

    def say(line: str) -> None:
        if not arguments.quiet:
            print(line, file=sys.stderr, flush=True)

    output = arguments.output or Path("runs") / "recipe"
    trained = train_recipe(arguments.recipe, output, progress=not arguments.quiet, say=say)
    answer = _answer(trained)
    if not arguments.json:
        print(f"{trained} is {trained.state} after {answer['epochs']} epochs")
    return answer


def _answer(trained: Run) -> dict[str, Any]:
    best = trained.best
    return {
        "run": str(trained.path),
        "state": trained.state,
        "epochs": len(trained.history()),
        "validation_loss": None if best is None else best.validation_loss,
        "validation_accuracy": None if best is None else best.validation_accuracy,
        "slips": list(trained.description.slips),
    }


def _run(arguments: argparse.Namespace) -> tuple[Run, bool]:
    """Open the run that is meant, or make it; say whether it is to be validated."""
    from polaris_lab.training import Run

    if arguments.run.is_file():
        trained, validate = from_file(arguments.run, arguments.output)
        return trained, validate or arguments.validate
    if arguments.output is not None:
        raise ValueError(
            "--output: expected a CONFIG.json or --repeat with it, got a run folder, which is trained where it is"
        )
    return Run.open(arguments.run), arguments.validate


def _train(trained: Run, arguments: argparse.Namespace) -> None:
    if arguments.tensorboard is None:
        trained.train(progress=not arguments.quiet)
        return
    from polaris_lab.training.tensorboard import TensorBoardLog

    with TensorBoardLog(arguments.tensorboard / trained.name) as log:
        trained.train(progress=not arguments.quiet, log=log)


def from_file(path: Path, output: Path | None = None) -> tuple[Run, bool]:
    """Make the run of a file of choices, or open it where the same choices have made it before.

    Parameters
    ----------
    path : Path
        The file; the module says what it holds.
    output : Path, optional
        The folder of the run, in place of the one that the file names.

    Returns
    -------
    run : Run
    validate : bool
        Whether the file asks for a validation.

    Raises
    ------
    FileExistsError
        If another run stands at the output.
    FileNotFoundError, TypeError, ValueError
        If the file, its dataset or a value in it is wrong: the error names the key.
    """
    from polaris_lab.config import from_dict, read_json
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training import Run, TrainingConfig

    data = read_json(path)
    if isinstance(data, dict) and output is not None:
        data.setdefault("output", str(output))
    choices = from_dict(TrainingFile, data, where=str(path))
    blueprint = _blueprint(choices, path)
    config = from_dict(TrainingConfig, choices.training or {}, where=f"{path}.training")
    dataset = PatchDataset.open(path.parent / choices.dataset)
    start = None if choices.start_from is None else path.parent / choices.start_from
    folder = path.parent / choices.output if output is None else output
    if (folder / "run.json").exists():
        found = Run.open(folder, dataset=dataset if dataset.path else None)
        if found.blueprint == blueprint and _same(found.config, config) and (start is None) == (
            found.description.start_from is None
        ):  # fmt: skip
            return found, choices.validate
        raise FileExistsError(
            f"{folder}: expected no run, or the one of {path.name}, got a run of other choices; name another output"
        )
    return Run.create(folder, blueprint, dataset, config, start_from=start), choices.validate


def _same(found: Any, wanted: Any) -> bool:
    """Whether two configurations agree; a run has written down what "auto" stood for."""
    if wanted.precision == "auto":
        wanted = dataclasses.replace(wanted, precision=found.precision)
    return found == wanted


def _blueprint(choices: TrainingFile, path: Path) -> Blueprint:
    from polaris_lab.models import Blueprint

    if (choices.blueprint is None) == (choices.preset is None):
        raise ValueError(
            f"{path}: expected one of the keys 'blueprint' and 'preset', got "
            + ("neither" if choices.preset is None else "both")
        )
    if choices.blueprint is not None:
        return Blueprint.from_dict(choices.blueprint, where=f"{path}.blueprint")
    settings = dict(choices.preset)
    if not isinstance(settings.get("name"), str):
        raise ValueError(f"{path}.preset: expected the key 'name', such as \"unet\", got {sorted(settings)}")
    try:
        return Blueprint.preset(settings.pop("name"), **settings)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}.preset: {error}") from error


def _repeat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a run again and say whether every number is the same."""
    import torch

    from polaris_lab.training import Run

    first = Run.open(arguments.repeat)
    if first.best is None:
        raise ValueError(
            f"--repeat: expected a run with a finished epoch, got {first.path}, which is {first.state}; train it first"
        )
    output = arguments.output or first.path.with_name(first.path.resolve().name + "_repeated")
    threads = first.description.provenance.get("threads")
    if threads is not None:
        torch.set_num_threads(int(threads))  # sums depend on it, in the last digit
    second = Run.open(output) if _is_repetition(output, first) else first.repeat(output)
    _train(second, arguments)
    if first.state == "finished" and second.state == "finished" and (
        arguments.validate or (first.path / "validation.json").exists()
    ):  # fmt: skip
        second.validate()
    different = first_difference(first, second)
    answer = {
        **_answer(second),
        "repeats": str(first.path),
        "same": different is None,
        "difference": different,
    }
    if not arguments.json:
        count = min(len(first.history()), len(second.history()))
        print(
            f"{second.path}: the metrics of all {count} epochs are those of {first.path}, to the last digit"
            if different is None
            else f"{second.path}: not the same as {first.path}: {different}"
        )
    return {**answer, "status": 0 if different is None else 1}


def _is_repetition(output: Path, first: Run) -> bool:
    """Whether a repetition of the run stands there, to be gone on with."""
    from polaris_lab.training import Run

    return (output / "run.json").exists() and Run.open(output).fingerprint == first.fingerprint


CLOCK = ("seconds", "images_per_second", "memory_mib", "waited_seconds")
"""Fields of a record that tell of the machine, not of the training."""


def first_difference(first: Run, second: Run) -> str | None:
    """Say where the metrics of two runs differ first, None if they are equal to the last digit."""
    for ours, theirs in zip(first.history(), second.history(), strict=False):
        for field in dataclasses.fields(ours):
            values = getattr(ours, field.name), getattr(theirs, field.name)
            if field.name not in CLOCK and values[0] != values[1]:
                return f"{field.name} of epoch {ours.epoch} is {values[1]}, not {values[0]}"
    counts = len(first.history()), len(second.history())
    if counts[1] < counts[0]:
        return f"{counts[1]} epochs, not {counts[0]}"
    if all((run.path / "validation.json").exists() for run in (first, second)):
        ours, theirs = first.validation(), second.validation()
        if ours["metrics"] != theirs["metrics"]:
            return f"the validation gives {theirs['metrics']}, not {ours['metrics']}"
    return None
