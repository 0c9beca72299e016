"""Small parts that pages share: lines of Python to copy, and words that nothing takes for markup."""

from __future__ import annotations

import html
from typing import Any

STYLE = """
:host { font-family: inherit; }
pre { margin: 0; padding: 8px 10px; border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 4px;
      white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid rgba(128, 128, 128, 0.35);
         vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { text-align: right; }
svg { vertical-align: middle; }
"""
"""Style of the HTML parts; colours come from the page, light or dark."""

_COPY = "navigator.clipboard.writeText(lines.tags[0])"

_MARKS = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\`*_[]#~|!"})


def plain(text: str) -> str:
    """Return a text in which neither Markdown nor HTML finds anything (a path, the words of an error).

    Examples
    --------
    >>> plain("a_b <c>")
    'a&#95;b &lt;c&gt;'
    """
    return html.escape(text, quote=False).translate(_MARKS)


class CodeLines:
    """Lines of Python with a button that copies them.

    Attributes
    ----------
    view : panel Row
    """

    def __init__(self, code: str):
        import panel as pn
        import panel_material_ui as pmui

        self._pane = pn.pane.HTML("", stylesheets=[STYLE], sizing_mode="stretch_width")
        copy = pmui.Button(label="Copy", icon="content_copy", variant="text", width=90)
        copy.js_on_click(args={"lines": self._pane}, code=_COPY)
        self.view: Any = pmui.Row(self._pane, copy, sizing_mode="stretch_width")
        self.show(code)

    def show(self, code: str) -> None:
        """Show other lines."""
        words = f'<pre tabindex="0" aria-label="Python code">{html.escape(code)}</pre>'
        self._pane.param.update(object=words, tags=[code])
