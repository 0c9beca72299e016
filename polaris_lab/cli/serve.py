"""Serve the laboratory in the browser, on this machine only.

Without a name: the home page of a workspace folder, with its training sets, runs, maps and cubes, and links to the
dashboards that open them. With a name: that dashboard first (inspector, training, residuals, complexity, overlay,
volume, blueprint, emission), the others beside it. No page leaves the workspace folder.
"""

from __future__ import annotations

import argparse
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
        "dashboard",
        nargs="?",
        default="",
        metavar="NAME",
        help="dashboard to begin with (default: the home page)",
    )
    parser.add_argument(
        "path",
        nargs="?",
        help="what it opens, such as a run folder, a FITS map or a simulation cube (default: what is found in the "
        f'workspace, or a small cloud made on the spot; inspector: also "{SYNTHETIC}")',
    )
    parser.add_argument(
        "--workspace",
        type=Path,
        help="folder that the pages show and write in (default: this one, or that of PATH if it lies elsewhere)",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--open", action="store_true", help="open the browser")
    inspector = parser.add_argument_group("inspector")
    inspector.add_argument("--patch-size", type=int, help="side of a patch [pixels]")
    inspector.add_argument("--cell-size", help='edge of a cell, for a file without it, for example "0.05 pc"')


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve until Ctrl-C."""
    from widgets import application, shell

    name, options = arguments.dashboard, {}
    if name and name not in application.DASHBOARDS:
        from polaris_lab.config import did_you_mean

        raise ValueError(
            f"serve: unknown dashboard {name!r}: {did_you_mean(name, list(application.DASHBOARDS))}"
        )
    workspace, path = _places(arguments)
    if name == "inspector" and (arguments.path or arguments.cell_size):  # opened once, for all visitors
        options["cube"], options["source"] = _cloud(arguments)
        path = None
    if name == "inspector":
        options["patch_size"] = arguments.patch_size
    pages = application.pages(workspace, first=name, path=path, options={name: options})
    application.load()
    titles = {each: dashboard.title for each, dashboard in application.DASHBOARDS.items()}
    shell.serve(pages, port=arguments.port, show=arguments.open, warm=name, titles=titles)
    return {"served": str(path or workspace), "dashboard": name or "home"}


def _places(arguments: argparse.Namespace) -> tuple[Path, str | None]:
    """Return the workspace folder, and what is to be opened, seen from it."""
    workspace = (arguments.workspace or Path()).expanduser().resolve()
    if not workspace.is_dir():
        raise FileNotFoundError(
            f"{arguments.workspace}: expected a folder to show and to build in, got no such folder; make it, or name "
            "another with --workspace"
        )
    if arguments.path is None or (arguments.dashboard == "inspector" and arguments.path == SYNTHETIC):
        return workspace, None
    path = Path(arguments.path).expanduser()
    inside = [place for place in (path.resolve(), (workspace / path).resolve()) if place.exists()]
    if not inside:
        known = f'; "{SYNTHETIC}" is a cloud made on the spot' if arguments.dashboard == "inspector" else ""
        raise FileNotFoundError(
            f"{arguments.path}: expected a file or folder to open, got nothing there; name another{known}, or make "
            "one with polaris-lab demo"
        )
    place = inside[0]
    if place == workspace:
        return workspace, None
    if not place.is_relative_to(workspace):
        if arguments.workspace is not None and arguments.dashboard != "inspector":
            raise ValueError(
                f"{arguments.path}: expected something inside the workspace folder {workspace}, got a path outside it; "
                "name another --workspace, or none"
            )
        workspace = place.parent if arguments.workspace is None else workspace
    return workspace, str(place)


def _cloud(arguments: argparse.Namespace) -> tuple[SimulationCube, str]:
    """Return a cloud, and the Python that gives it."""
    import polaris_lab as lab
    from widgets.inspector import clouds as inspector_clouds

    if arguments.path in (None, SYNTHETIC):
        return inspector_clouds.synthetic()
    path = Path(arguments.path)
    source = repr(path.resolve().as_posix())
    if arguments.cell_size is None:
        return lab.SimulationCube.open(path), f"lab.SimulationCube.open({source})"
    size = parse_quantity(arguments.cell_size, "pc", "--cell-size", "0.05 pc", positive=True)
    words = f"{source}, cell_size={float(size.to_value('pc'))!r} * u.pc"
    return lab.SimulationCube.open(path, cell_size=size), f"lab.SimulationCube.open({words})"
