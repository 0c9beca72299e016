"""Run a study: many trainings that differ in known settings, from a file of choices; again to go on.

A file of choices is JSON:

  {"study": "complexity_map", "dataset": "demo/dataset.zarr", "output": "studies/map",
   "choices": {"layers": [2, 3], "base_filters": [8, 16], "preset": "unet", "settings": {"attention": false}},
   "training": {"epochs": 30}, "seeds": [0, 1, 2], "workers": 2, "threads": 1}

"study" is complexity_map, training_set_size, working_scale, convolutions_study, kan_variants, sweep or search;
"choices" are the arguments of that function of polaris_lab.training (for search: "space", "trials" ...).
Paths are seen from the file. In place of the file the folder of a study can be given: it is shown, and with --finish
its planned cells that are not finished are run. Ctrl-C ends after keeping what is finished; the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polaris_lab.training import Run, Study

STUDIES = (
    "complexity_map",
    "training_set_size",
    "working_scale",
    "convolutions_study",
    "kan_variants",
    "sweep",
    "search",
)
GIVEN = (
    "dataset",
    "training",
    "path",
    "seeds",
    "workers",
    "threads",
    "client",
    "retry_failed",
    "kind",
    "how",
)


@dataclasses.dataclass(frozen=True)
class StudyFile:
    """What a file of choices holds."""

    study: str
    dataset: str
    output: str
    choices: dict | None = None
    training: dict | None = None
    seeds: tuple[int, ...] | None = None
    workers: int = 1
    threads: int = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.json|STUDY", help="file of choices, or a study to show"
    )
    parser.add_argument(
        "--output", type=Path, help="folder of the study, in place of the one that the file names"
    )
    parser.add_argument("--workers", type=int, help="local processes, in place of what the file says")
    parser.add_argument("--metric", default="rmse_dex", help="column of the table that is printed (rmse_dex)")
    parser.add_argument(
        "--finish", action="store_true", help="with a folder: run its planned cells that are not finished"
    )
    parser.add_argument("--dataset", type=Path, help="with --finish: the dataset, where it has moved")
    parser.add_argument("--retry-failed", action="store_true", help="run cells again that failed")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what is not finished, and show the table."""
    from polaris_lab.training import Study, finish_study

    if arguments.config.is_dir() and arguments.finish:
        runs = finish_study(arguments.config, arguments.dataset, retry_failed=arguments.retry_failed)
        new = _follow(arguments.config, runs, visible=not arguments.quiet)
        return _answer(Study.open(arguments.config), arguments, new=new)
    if arguments.config.is_dir():
        return _answer(Study.open(arguments.config), arguments, new=0)
    path, runs = from_file(
        arguments.config,
        output=arguments.output,
        workers=arguments.workers,
        retry_failed=arguments.retry_failed,
    )
    new = _follow(path, runs, visible=not arguments.quiet)
    return _answer(Study.open(path), arguments, new=new)


def from_file(
    path: Path, *, output: Path | None = None, workers: int | None = None, retry_failed: bool = False
) -> tuple[Path, Iterator[Run]]:
    """Return the folder of the study of a file, and the generator of its runs.

    Raises
    ------
    FileExistsError, FileNotFoundError, TypeError, ValueError
        If the file, its dataset or a value in it is wrong: the error names the key.
    """
    from polaris_lab import training as room
    from polaris_lab.config import did_you_mean, from_dict, read_json
    from polaris_lab.datasets import PatchDataset

    data = read_json(path)
    if isinstance(data, dict) and output is not None:
        data["output"] = str(output)
    file = from_dict(StudyFile, data, where=str(path))
    if file.study not in STUDIES:
        raise ValueError(f"{path}.study: unknown name {file.study!r}: {did_you_mean(file.study, STUDIES)}")
    function = getattr(room, file.study)
    choices = dict(file.choices or {})
    known = _names(function)
    for name in choices:
        if name not in known:
            raise ValueError(f"{path}.choices: unknown key {name!r}: {did_you_mean(name, known)}")
    config = from_dict(room.TrainingConfig, file.training or {}, where=f"{path}.training")
    folder = output if output is not None else path.parent / file.output
    how: dict[str, Any] = {"seeds": file.seeds, "workers": file.workers if workers is None else workers,
                           "threads": file.threads}  # fmt: skip
    if file.study != "search":
        how["retry_failed"] = retry_failed
    dataset = PatchDataset.open(path.parent / file.dataset)
    try:
        return folder, function(dataset, config, path=folder, **choices, **how)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def _names(function: Any) -> list[str]:
    """Return the names of a study's own arguments."""
    from polaris_lab.training import sweep

    names = list(inspect.signature(function).parameters)
    if "how" in names:
        names += [name for name in inspect.signature(sweep).parameters if name != "varied"]
    return [name for name in dict.fromkeys(names) if name not in GIVEN]


def _follow(path: Path, runs: Iterator[Run], *, visible: bool) -> int:
    """Go through the runs behind a bar; return how many were finished."""
    from contextlib import closing

    from tqdm.auto import tqdm

    from polaris_lab.training import Study

    new = 0
    with tqdm(desc=str(path), unit=" runs", disable=not visible) as bar, closing(runs):
        try:
            for run in runs:
                new += 1
                if bar.total is None:
                    table = Study.open(path).table()
                    bar.total = None if Study.open(path).kind == "search" else table["run"].nunique()
                    bar.update(int(table["run"][table["state"] != "not run"].nunique()) - 1)
                bar.update(1)
                bar.set_postfix_str(str(run)[:80])
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{path}: stopped; what was finished is kept, the same command goes on"
            ) from None
    return new


def _answer(study: Study, arguments: argparse.Namespace, *, new: int) -> dict[str, Any]:
    table = study.table()
    counts = {str(state): int(count) for state, count in table["state"].value_counts().items()}
    summary = study.summary(arguments.metric) if counts.get("finished") else None
    if not arguments.json:
        print(study)
        if summary is not None:
            print(f"\n{arguments.metric}, mean and scatter over the seeds:\n")
            print(summary.to_string(index=False, float_format="%.4g", na_rep="-"))
        for row in table[table["state"] == "failed"].to_dict("records"):
            print(f"failed: {row['run']}: {row['message']}")
    rows = [] if summary is None else summary.to_dict("records")
    return {"study": str(study.path), "state": study.state, "new_runs": new, "cells": counts,
            "metric": arguments.metric, "summary": rows}  # fmt: skip
