"""What all dashboards are: something that a served page and a cell of a notebook can show."""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

from panel_material_ui.base import MaterialComponent  # icons are registered on import, before pn.extension

import panel as pn  # isort: skip

_SHARED = "window.polaris_lab_bundle"
"""Where a notebook's page keeps the address of the scripts of panel-material-ui."""

_LOOK_UP = f"export default (await importShim({_SHARED})).default"
"""What a part of a dashboard in a notebook brings along in place of all these scripts."""


class Dashboard(pn.viewable.Viewer):
    """A dashboard, on a page or as the last line of a cell in JupyterLab, where it loads what it needs by itself."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Return what a notebook shows, after the notebook was given Panel's scripts, once and without a network."""
        load_in_notebook()
        _share_bundle()
        return super()._repr_mimebundle_(include, exclude)


def load_in_notebook() -> None:
    """Give the notebook that this process serves the scripts of Panel, unless it has them; elsewhere do nothing."""
    if "ipykernel" not in sys.modules:
        return
    if not pn.extension._loaded:
        pn.extension(inline=True)
    _carry_styles()


@functools.cache
def _carry_styles() -> None:
    """Let parts and updates of a notebook carry their styles, as its first outputs do: Panel would link them from outside."""
    from bokeh.models import ImportedStyleSheet
    from panel.io.notebook import replace_inline_css
    from panel.reactive import Reactive

    original = Reactive._get_properties
    styles = MaterialComponent._bundle.with_suffix(".css").read_text(encoding="utf-8")
    icons = re.findall(r"\.material-icons[^}]*}", styles)

    def carry(sheet: Any) -> Any:
        return (
            getattr(replace_inline_css(sheet), "css", sheet)
            if isinstance(sheet, ImportedStyleSheet)
            else sheet
        )

    def properties(self: Any, doc: Any) -> dict[str, Any]:
        found = original(self, doc)
        sheets = [carry(sheet) for sheet in found.get("stylesheets", [])]
        return found | {"stylesheets": sheets + icons * isinstance(self, MaterialComponent)}

    Reactive._get_properties = properties


@functools.cache
def _share_bundle() -> None:
    """Give the notebook the scripts of panel-material-ui once; outside a notebook do nothing.

    Without a server Panel puts them into each button and field, 1.4 MB every time: a dashboard would weigh 100 MB.
    """
    if "ipykernel" not in sys.modules or not hasattr(MaterialComponent, "_render_esm"):
        return
    from IPython.display import Javascript, display

    original, bundle = MaterialComponent._render_esm.__func__, MaterialComponent._bundle

    def look_up(cls: type, compiled: Any = True, server: bool = False) -> Any:
        whole = compiled is True and not server and cls._esm_base and cls._esm_path() == bundle
        return _LOOK_UP if whole else original(cls, compiled, server=server)

    MaterialComponent._render_esm = classmethod(look_up)
    text = json.dumps(bundle.read_text(encoding="utf-8")).replace("</", "<\\/")
    keep = f'{_SHARED} = URL.createObjectURL(new Blob([{text}], {{type: "text/javascript"}}))'
    display(Javascript("\n".join([keep, *_icon_fonts(bundle.parent)])))


def _icon_fonts(folder: Path) -> list[str]:
    """Return the scripts that load the fonts of the icons; without them a button shows the name of its icon."""
    lines = []
    for path in sorted(folder.glob("material-icons-*.woff2")):
        family = "Material Icons" + (" Outlined" if "outlined" in path.name else "")
        data = base64.b64encode(path.read_bytes()).decode()
        url = f"url(data:font/woff2;base64,{data})"
        lines.append(f'new FontFace("{family}", "{url}").load().then(font => document.fonts.add(font))')
    return lines
