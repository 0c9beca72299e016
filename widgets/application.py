"""The one application: which dashboards there are, what each opens, and the pages of a workspace folder.

A page is made for each visitor by ``app(path, workspace_folder=...)`` of the dashboard's module, which is loaded
when it is first needed. What a page shows stands in its address (``residuals?path=runs/unet_64``), so that a link
from one page to another is a relative address.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

HOME = ""
"""Name, and address, of the page that lists the workspace."""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, as the home page, the command line and the bar between pages know it."""

    module: str
    """Module of this package with `app`."""
    title: str
    """What it is called."""
    purpose: str
    """What it is for, in a sentence."""
    opens: tuple[str, ...] = ()
    """Kinds of :data:`widgets.contents.KINDS` that it can be given."""


DASHBOARDS = {
    "inspector": Dashboard(
        "training_set_inspector",
        "Training set inspector",
        "Choose the patches of a cloud that a network learns from, and build the training set.",
        ("cube",),
    ),
    "training": Dashboard(
        "training_monitor",
        "Training monitor",
        "Start trainings, watch them live, pause, resume and compare them.",
        ("dataset", "run"),
    ),
    "residuals": Dashboard(
        "residual_explorer",
        "Residual explorer",
        "See where and by how much a trained network errs.",
        ("run",),
    ),
    "complexity": Dashboard(
        "complexity_explorer",
        "Complexity explorer",
        "Compare the networks of a study by size and error.",
        ("study",),
    ),
    "overlay": Dashboard(
        "prediction_overlay",
        "Prediction overlay",
        "Lay the predicted density of an observed map beside it, in sky coordinates.",
        ("observation", "prediction"),
    ),
    "volume": Dashboard(
        "volume_viewer",
        "Volume viewer",
        "Turn a density cube or a line cube in three dimensions and fly through it.",
        ("cube", "line cube"),
    ),
    "blueprint": Dashboard(
        "blueprint_editor",
        "Blueprint editor",
        "Draw a network from blocks, or look into a trained one.",
        ("run",),
    ),
    "emission": Dashboard(
        "emission_explorer",
        "Emission explorer",
        "Synthesise line emission of a cloud, and hold it beside an observed cube.",
        ("cube", "line cube"),
    ),
}
"""Every dashboard by its name, which is its address and its word on the command line."""


def address(name: str, path: str | None = None) -> str:
    """Return the relative address of a dashboard, with what it is to open.

    Examples
    --------
    >>> address("residuals", "runs/first try"), address(HOME)
    ('residuals?path=runs/first%20try', './')
    """
    return (name or "./") + (f"?path={quote(path)}" if path else "")


def links_for(kind: str, path: str) -> dict[str, str]:
    """Return the addresses of the dashboards that open a thing of this kind, by their titles."""
    return {d.title: address(name, path) for name, d in DASHBOARDS.items() if kind in d.opens}


def pages(
    workspace_folder: str | Path,
    *,
    first: str = HOME,
    path: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Callable[[], Any]]:
    """Return what makes each page of the application for one visitor, the page to begin with in front.

    Parameters
    ----------
    workspace_folder : str or Path
        The folder that the pages show and may not leave.
    first : str
        Name of the page to begin with; "" is the home page.
    path : str, optional
        What that page opens when its address names nothing.
    options : mapping of name to mapping, optional
        Further choices for `app` of a dashboard.

    Raises
    ------
    ValueError
        If there is no dashboard of this name.
    """
    names = [HOME, *DASHBOARDS]
    if first not in names:
        from polaris_lab.config import did_you_mean

        raise ValueError(f"dashboard: unknown name {first!r}: {did_you_mean(first, names[1:])}")
    names.sort(key=lambda name: name != first)
    more = options or {}
    return {
        name: _maker(name, Path(workspace_folder), path if name == first else None, more.get(name, {}))
        for name in names
    }


def load() -> None:
    """Load the modules of all dashboards, and let them prepare what takes long, so that no visitor waits for it."""
    modules = [importlib.import_module(f"{__package__}.{d.module}") for d in DASHBOARDS.values()]
    for module in modules:
        getattr(module, "prepare", lambda: None)()


def _maker(name: str, workspace: Path, path: str | None, options: Mapping[str, Any]) -> Callable[[], Any]:
    """Return what makes the page of one visitor."""

    def make() -> Any:
        from widgets import shell

        module = DASHBOARDS[name].module if name else "home"
        bar = [("Home", address(HOME), name == HOME)]
        bar += [(d.title, address(other), other == name) for other, d in DASHBOARDS.items()]
        with shell.beside(bar):
            app = importlib.import_module(f"{__package__}.{module}").app
            return app(asked() or path, workspace_folder=workspace, **options)

    return make


def asked(key: str = "path") -> str | None:
    """Return what the address of this visitor's page says (``?path=...``), None if it says nothing."""
    import panel as pn

    values = pn.state.session_args.get(key) or []
    return values[0].decode("utf-8", errors="replace") or None if values else None
