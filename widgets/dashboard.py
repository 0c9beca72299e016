"""What all dashboards are: something that a served page and a cell of a notebook can show."""

from __future__ import annotations

import sys
from typing import Any

import panel_material_ui  # noqa: F401  its icons are registered on import, which has to come before pn.extension

import panel as pn  # isort: skip


class Dashboard(pn.viewable.Viewer):
    """A dashboard, on a page or as the last line of a cell in JupyterLab, where it loads what it needs by itself."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Return what a notebook shows, after the notebook was given Panel's scripts, once and without a network."""
        load_in_notebook()
        return super()._repr_mimebundle_(include, exclude)


def load_in_notebook() -> None:
    """Give the notebook that this process serves the scripts of Panel, unless it has them; elsewhere do nothing."""
    if "ipykernel" in sys.modules and not pn.extension._loaded:
        pn.extension(inline=True)
