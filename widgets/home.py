"""The first page: what lies in the workspace folder, and which dashboards open it: :class:`Home`."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from widgets import application, contents, parts, shell
from widgets.dashboard import Dashboard

TITLE = "Polaris Lab"

PURPOSE = "From column density maps to volume densities: everything in the workspace folder, and the pages that open it."

HELP = """
**Reading the list.** Training sets, runs, maps and cubes are found in the workspace folder and the folders in it,
down to four levels. The links on the right open one in a dashboard.

**Cannot be opened** means that a file is damaged, or does not say what it must (the size of a cell, the name of a
field); the reason says what is missing.

**Refresh** looks again. **polaris-lab serve --workspace FOLDER** shows another folder.
"""

EMPTY = (
    "There is nothing here yet. **polaris-lab demo** makes a training set and trains a first network in this folder; "
    "**polaris-lab fetch** downloads observed maps; or put a simulation cube or a FITS map here and press Refresh. The "
    "dashboards below also work without files: they begin with a small cloud made on the spot."
)

_STYLE = """
:host { font-family: inherit; }
h2 { font-size: 17px; margin: 18px 0 4px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid rgba(128, 128, 128, 0.35);
         vertical-align: top; overflow-wrap: anywhere; }
td:first-child { width: 26%; } td:last-child, th:last-child { width: 24%; overflow-wrap: normal; }
td:nth-child(2) { width: 40%; }
a { color: inherit; margin-right: 12px; display: inline-block; }
.problem { font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 10px; margin-top: 6px; }
.cards a { display: block; margin: 0; padding: 10px 12px; border: 1px solid rgba(128, 128, 128, 0.5);
           border-radius: 6px; text-decoration: none; font-size: 14px; }
.cards a:hover, .cards a:focus-visible { border-color: currentColor; }
.cards b { display: block; margin-bottom: 3px; font-size: 15px; }
@media (max-width: 600px) { th { display: none; } td { display: block; width: auto !important; padding: 3px 0; }
  td:not(:last-child) { border-bottom: none; } }
"""

_ONE = {head: {"study": "Study"}.get(kind, head.removesuffix("s")) for kind, head in contents.KINDS.items()}
"""The heads of the tables, for a single thing."""


class Home(Dashboard):
    """What lies in a workspace folder, with links to the dashboards that open it.

    Parameters
    ----------
    workspace_folder : str or Path

    Examples
    --------
    >>> Home("/nowhere").found.entries
    ()
    """

    def __init__(self, workspace_folder: str | Path = ".", **params: Any):
        super().__init__(**params)
        self._workspace = Path(workspace_folder).expanduser().resolve()
        self.found = contents.Contents(())
        wide = {"sizing_mode": "stretch_width"}
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **wide)
        self._refresh = pmui.Button(label="Refresh", icon="refresh", variant="outlined")
        self._refresh.on_click(lambda _event: self.refresh())
        self._list = pn.pane.HTML("", stylesheets=[_STYLE], **wide)
        self._lines = parts.CodeLines(self.code())
        cards = pn.pane.HTML(_cards(), stylesheets=[_STYLE], **wide)
        self.controls = pmui.Column(_where(self._workspace), self._refresh, **wide)
        self.main = pmui.Column(
            self._state,
            self._list,
            cards,
            pmui.Typography("The same in Python", variant="body2"),
            self._lines.view,
            **wide,
        )
        self._view = pmui.Column(self.controls, self.main, **wide)
        self.refresh()

    def code(self) -> str:
        """Return the Python lines that give this view in a notebook, and the list as objects."""
        folder = self._workspace.as_posix()
        return f"from widgets import Home\nhome = Home({folder!r})\nhome.found.entries"

    def refresh(self) -> contents.Contents:
        """Look through the folder again and show it; return what was found."""
        self.found = contents.look(self._workspace)
        self._state.param.update(**_summary(self._workspace, self.found))
        self._list.object = listing(self.found)
        return self.found

    def __panel__(self) -> Any:
        return self._view


def listing(found: contents.Contents) -> str:
    """Return everything that was found as tables in HTML, one for each kind."""
    tables = []
    for kind, head in contents.KINDS.items():
        rows = "".join(_row(entry) for entry in found.of(kind))
        if rows:
            tables.append(
                f"<h2>{head}</h2><table><tr><th>name</th><th>what it is</th><th>state</th><th>open in</th></tr>"
                f"{rows}</table>"
            )
    return "".join(tables)


def _row(entry: contents.Entry) -> str:
    links = "".join(
        f'<a href="{html.escape(address)}">{html.escape(title)}</a>'
        for title, address in application.links_for(entry.kind, entry.path).items()
        if not entry.problem and entry.state != "unfinished"
    )
    words = html.escape(entry.words)
    state = html.escape(entry.state)
    if entry.problem:
        words, state = html.escape(entry.problem), '<span class="problem">cannot be opened</span>'
    return f"<tr><td>{html.escape(entry.path)}</td><td>{words}</td><td>{state}</td><td>{links}</td></tr>"


def _cards() -> str:
    """Return the dashboards as links with a sentence each."""
    cards = "".join(
        f'<a href="{application.address(name)}"><b>{html.escape(dashboard.title)}</b>{html.escape(dashboard.purpose)}</a>'
        for name, dashboard in application.DASHBOARDS.items()
    )
    return f'<h2>Dashboards</h2><div class="cards">{cards}</div>'


def _summary(folder: Path, found: contents.Contents) -> dict[str, str]:
    """Return severity, title and words of the line over the list."""
    if not folder.is_dir():
        words = f"{folder}: expected a folder, got none; make it, or serve another with --workspace"
        return {"severity": "error", "title": "No such folder", "object": parts.plain(words)}
    if not found.entries:
        return {"severity": "info", "title": "An empty workspace", "object": EMPTY}
    counts = {head: len(found.of(kind)) for kind, head in contents.KINDS.items()}
    words = ", ".join(
        f"{count} {(head if count > 1 else _ONE[head]).lower()}" for head, count in counts.items() if count
    )
    broken = sum(1 for entry in found.entries if entry.problem)
    more = f"; {broken} cannot be opened: the list says why" if broken else ""
    if not found.complete:
        more += (
            f". The list ends after {contents.MOST} entries: serve a folder below this one to see the rest"
        )
    return {
        "severity": "warning" if broken or not found.complete else "success",
        "title": f"{len(found.entries)} found",
        "object": parts.plain(f"{words}{more}."),
    }


def _where(folder: Path) -> Any:
    words = f'Workspace<br><span style="overflow-wrap: anywhere">{html.escape(str(folder))}</span>'
    return pmui.Typography(words, variant="body2")


def app(path: str | None = None, *, workspace_folder: str | Path = ".") -> Any:
    """Return the page of one visitor; `path` names a folder inside the workspace to list alone."""
    from widgets import workspace

    folder = Path(workspace_folder).expanduser().resolve()
    try:
        home = Home(workspace.inside(folder, path) if path else folder)
    except ValueError as error:
        alert = pmui.Alert(title="Not shown", object=parts.plain(str(error)), severity="error", margin=10)
        return shell.page(TITLE, [pmui.Markdown(HELP)], [alert], purpose=PURPOSE)
    return shell.page(TITLE, [home.controls, pmui.Markdown(HELP)], [home.main], purpose=PURPOSE)
