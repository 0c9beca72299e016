"""Choose a folder of the workspace that holds a certain file: a run by its run.json, a study by its study.json."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import panel_material_ui as pmui

from widgets.file_choice import files_in


def folders_with(workspace: str | Path, name: str) -> list[str]:
    """Return the folders inside a workspace that hold a file of some name, relative to it, in alphabetical order.

    Examples
    --------
    >>> folders_with("no such folder", "run.json")
    []
    """
    found = [PurePosixPath(file) for file in files_in(workspace, [name])]
    return [file.parent.as_posix() for file in found if file.name == name]


class FolderChoice:
    """A field that lists such folders, bound to a parameter, which a typed name reaches too.

    Parameters
    ----------
    parameter : param.Parameter
        A text: the name of the folder relative to the workspace.
    workspace : str or Path
    name : str
        File that a folder must hold.
    label : str
        Over the field.

    Attributes
    ----------
    view : panel Row
    """

    def __init__(self, parameter: Any, workspace: str | Path, name: str, *, label: str):
        self._workspace, self._name = workspace, name
        self.field = pmui.AutocompleteInput.from_param(
            parameter,
            label=label,
            options=[],
            restrict=False,
            search_strategy="includes",
            min_characters=0,
            case_sensitive=False,
            sizing_mode="stretch_width",
        )
        again = pmui.IconButton(label="Look again", icon="refresh", description="Look again")
        again.on_click(lambda _event: self.look())
        self.view: Any = pmui.Row(self.field, again, sizing_mode="stretch_width")
        self.look()

    def look(self) -> None:
        """List the folders as they are now."""
        self.field.options = folders_with(self._workspace, self._name)
