"""Evaluate a run on patches it has not learned from: accuracy, errors, dense gas, structure, calibration.

Without DATASET it is the validation patches of the run's own dataset.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder with a finished epoch")
    parser.add_argument(
        "dataset", type=Path, nargs="?", metavar="DATASET", help="dataset to judge it on (by default its own)"
    )
    parser.add_argument(
        "--split",
        default="validation",
        choices=("validation", "training"),
        help="which patches (default: validation)",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, print the result, and return it."""
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training import Run

    judged = Run.open(arguments.run)
    dataset = judged.dataset() if arguments.dataset is None else PatchDataset.open(arguments.dataset)
    if abs(dataset.pixel_size_pc / judged.pixel_size_pc - 1) > 0.01:
        print(
            f"note: {judged.name} was trained on pixels of {judged.pixel_size_pc:.4g} pc, this dataset has pixels of "
            f"{dataset.pixel_size_pc:.4g} pc"
        )
    evaluation = _evaluate(judged, dataset, arguments.split)
    if not arguments.json:
        print(evaluation)
    return {"run": str(judged.path), "dataset": str(dataset.path), "split": arguments.split} | _plain(
        evaluation
    )


def _evaluate(judged: Any, dataset: Any, split: str) -> Any:
    from polaris_lab.training.evaluation import evaluate

    return evaluate(judged, dataset, split=split)


def _plain(evaluation: Any) -> dict[str, Any]:
    """Return an evaluation as JSON values."""
    from polaris_lab.config import to_dict

    if hasattr(evaluation, "to_dict"):
        return evaluation.to_dict()
    return to_dict(evaluation) if dataclasses.is_dataclass(evaluation) else dict(evaluation)
