"""Train a run, or go on with one that was stopped.

The folder was made by Run.create; Ctrl-C ends after keeping the last finished epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, made by lab.Run.create")
    parser.add_argument("--validate", action="store_true", help="validate when the training has finished")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train to the end, and say where it stands."""
    from polaris_lab.training import Run

    trained = Run.open(arguments.run)
    trained.train(progress=not arguments.quiet)
    if arguments.validate and trained.state == "finished":
        trained.validate()
    history = trained.history()
    answer = {"run": str(trained.path), "state": trained.state, "epochs": len(history)}
    if not arguments.json:
        print(f"{trained} is {trained.state} after {len(history)} epochs")
    return answer
