"""Serve a dashboard in the browser, on this machine only.

training: live curves of a run, with start and cancel. inspector: the patches that a training set would hold, chosen
with sliders, and a button that builds it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.cli.line_options import parse_quantity

if TYPE_CHECKING:
    from polaris_lab.clouds import SimulationCube

SYNTHETIC = "synthetic"
"""Stands for a small cloud that is made on the spot."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "dashboard", nargs="?", choices=tuple(DASHBOARDS), default="training", help="default: training"
    )
    parser.add_argument(
        "path",
        nargs="?",
        help="training: run folder, or a folder of runs (default: demo); inspector: file or folder of a simulation, "
        f'or "{SYNTHETIC}" for a small cloud made on the spot (the default)',
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--open", action="store_true", help="open the browser")
    inspector = parser.add_argument_group("inspector")
    inspector.add_argument(
        "--workspace", type=Path, default=Path(), help="folder that datasets are built in (default: this one)"
    )
    inspector.add_argument("--patch-size", type=int, help="side of a patch [pixels]")
    inspector.add_argument("--cell-size", help='edge of a cell, for a file without it, for example "0.05 pc"')


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve until Ctrl-C."""
    from widgets import shell

    served, app = DASHBOARDS[arguments.dashboard](arguments)
    shell.serve({arguments.dashboard: app}, port=arguments.port, show=arguments.open)
    return {"served": served}


def _training(arguments: argparse.Namespace) -> tuple[str, Callable[[], Any]]:
    """Return what is served, and what makes a page of it."""
    from widgets import training_monitor

    path = Path(arguments.path or "demo").resolve()
    if not path.is_dir():
        raise FileNotFoundError(
            f"{arguments.path or path}: expected a run folder or a folder of runs, got no such folder; make one with "
            "polaris-lab demo, or name another"
        )
    return str(path), lambda: training_monitor.app(path)


def _inspector(arguments: argparse.Namespace) -> tuple[str, Callable[[], Any]]:
    """Return what is served, and what makes a page of it; the cloud is opened once, for all visitors."""
    from widgets import training_set_inspector

    cube, source = _cloud(arguments)
    workspace = arguments.workspace.resolve()
    if not workspace.is_dir():
        raise FileNotFoundError(
            f"{arguments.workspace}: expected a folder to build datasets in, got no such folder; make it, or name another"
        )
    choices = {"source": source, "workspace_folder": workspace, "patch_size": arguments.patch_size}
    return source, lambda: training_set_inspector.app(cube, **choices)


def _cloud(arguments: argparse.Namespace) -> tuple[SimulationCube, str]:
    """Return a cloud, and the Python that gives it."""
    import polaris_lab as lab

    name = arguments.path or SYNTHETIC
    path = Path(name)
    if name == SYNTHETIC and not path.exists():
        return lab.synthetic_cloud(128, kind="fbm"), 'lab.synthetic_cloud(128, kind="fbm")'
    if not path.exists():
        raise FileNotFoundError(
            f'{name}: expected a simulation cube, got no such file or folder; name another, or "{SYNTHETIC}" for a '
            "cloud made on the spot"
        )
    source = repr(path.resolve().as_posix())
    if arguments.cell_size is None:
        return lab.SimulationCube.open(path), f"lab.SimulationCube.open({source})"
    size = parse_quantity(arguments.cell_size, "pc", "--cell-size", "0.05 pc", positive=True)
    words = f"{source}, cell_size={float(size.to_value('pc'))!r} * u.pc"
    return lab.SimulationCube.open(path, cell_size=size), f"lab.SimulationCube.open({words})"


DASHBOARDS = {"training": _training, "inspector": _inspector}
"""What can be served, by its name."""
