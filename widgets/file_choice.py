"""Choose a file inside the workspace folder: a field that lists what is there, and takes a typed name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import panel_material_ui as pmui

from widgets import workspace as workspaces

MOST = 500
"""A field lists no more files than this; others are typed."""

DEPTH = 5
"""Folders below the workspace that are looked into."""


def files_in(workspace: str | Path, endings: Sequence[str], *, most: int = MOST) -> list[str]:
    """Return the names of files inside a workspace folder that end in one of some endings.

    Parameters
    ----------
    workspace : str or Path
        Folder that is looked through, :data:`DEPTH` folders deep; hidden folders, and links, are left out.
    endings : sequence of str
        For example ``(".fits", ".fits.gz")``; upper and lower case count alike. A folder with such an ending
        (``fog.zarr``) counts as a file.
    most : int
        No more names than this.

    Returns
    -------
    list of str
        Relative to the workspace, in the order of the alphabet. Empty if the folder does not exist.

    Examples
    --------
    >>> files_in("no such folder", [".fits"])
    []
    """
    root = Path(workspace).expanduser().resolve()
    wanted = tuple(ending.lower() for ending in endings)
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        place = Path(folder).relative_to(root)
        shown = [
            name for name in folders if not name.startswith(".") and not (Path(folder) / name).is_symlink()
        ]
        stores = [name for name in shown if name.lower().endswith(wanted)]
        names = [
            name for name in files if name.lower().endswith(wanted) and not (Path(folder) / name).is_symlink()
        ]
        found += [(place / name).as_posix() for name in [*stores, *names] if not name.startswith(".")]
        deeper = len(place.parts) + 1 < DEPTH
        folders[:] = sorted(
            name for name in shown if deeper and name not in stores and not name.endswith(".zarr")
        )
        if len(found) >= most:
            break
    return sorted(found)[:most]


class FileChoice:
    """A field with the files of some kinds inside the workspace folder.

    Parameters
    ----------
    workspace : str or Path
        The folder that a choice cannot leave.
    endings : sequence of str
        What is listed, for example ``(".fits", ".fits.gz")``.
    on_choose : callable
        Gets the path of a chosen file. What it raises reaches the user as any error of a page.
    label : str
        Over the field.

    Attributes
    ----------
    view : panel Column
    field : pmui.AutocompleteInput
        Its ``value`` is the chosen name, relative to the workspace.

    Examples
    --------
    >>> choice = FileChoice(".", [".no such ending"], on_choose=print)
    >>> choice.field.options
    []
    """

    def __init__(
        self,
        workspace: str | Path,
        endings: Sequence[str],
        *,
        on_choose: Callable[[Path], Any],
        label: str = "File in the workspace",
    ):
        self._workspace, self._endings, self._on_choose = workspace, tuple(endings), on_choose
        self.field = pmui.AutocompleteInput(
            label=label,
            options=[],
            value="",
            restrict=False,
            search_strategy="includes",
            min_characters=0,
            case_sensitive=False,
            sizing_mode="stretch_width",
        )
        again = pmui.Button(label="Look again", icon="refresh", variant="text")
        again.on_click(lambda _event: self.look())
        self.field.param.watch(lambda event: self.choose(event.new), "value")
        self._words = pmui.Typography("", variant="caption", sizing_mode="stretch_width")
        self.view: Any = pmui.Column(self.field, pmui.Row(again), self._words, sizing_mode="stretch_width")
        self.look()

    def look(self) -> None:
        """List the files as they are now."""
        self.field.options = files_in(self._workspace, self._endings)
        kinds = ", ".join(self._endings)
        many = len(self.field.options)
        count = f"{many} files" if 1 < many < MOST else "1 file" if many == 1 else f"The first {MOST} files"
        self._words.object = (
            f"{count} ({kinds}) in the workspace folder."
            if many
            else f"No file with {kinds} in the workspace folder: copy one into it, then look again."
        )

    def choose(self, name: str | None) -> None:
        """Take a file by its name; nothing happens with an empty one.

        Raises
        ------
        ValueError
            If the name leads out of the workspace folder.
        FileNotFoundError
            If there is nothing of that name.
        """
        if not name:
            return
        path = workspaces.inside(self._workspace, name)
        if not path.exists():
            raise FileNotFoundError(
                f"file: expected one inside the workspace folder, got {name!r}, which is not there; "
                "choose one of the list, or look again"
            )
        self._on_choose(path)
