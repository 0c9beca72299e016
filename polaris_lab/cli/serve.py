"""Serve a dashboard in the browser, on this machine only.

training: live curves of a run, with start and cancel.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DASHBOARDS = ("training",)
"""Names that can be served."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "dashboard", nargs="?", choices=DASHBOARDS, default="training", help="default: training"
    )
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=Path("demo"),
        help="run folder, or a folder of runs (default: demo)",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--open", action="store_true", help="open the browser")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve until Ctrl-C."""
    from widgets import shell, training_monitor

    path = arguments.path.resolve()
    if not path.is_dir():
        raise FileNotFoundError(
            f"{arguments.path}: expected a run folder or a folder of runs, got no such folder; make one with "
            "polaris-lab demo, or name another"
        )
    shell.serve({"training": lambda: training_monitor.app(path)}, port=arguments.port, show=arguments.open)
    return {"served": str(path)}
