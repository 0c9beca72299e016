"""Reports: one HTML file that carries its figures and scripts, and opens anywhere with the network off.

The page holds only what BokehJS itself needs, inline; a content security policy in its head forbids the browser
to fetch anything else, so that "self-contained" is kept by the browser and not by our care.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import holoviews as hv

from polaris_lab.config import write_bytes
from widgets.axes import bokeh_options

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""What the browser may load: what stands in the file."""


DENSE = 10
"""Columns from which on a table is set smaller, and its last column may wrap."""


@dataclass(frozen=True)
class Figure:
    """A figure with its caption."""

    element: Any
    """A HoloViews element, overlay or layout."""
    caption: str
    """What it shows; read aloud in place of the picture."""


@dataclass(frozen=True)
class Picture:
    """A picture with its caption."""

    png: bytes
    """The file."""
    caption: str
    """What it shows; read aloud in place of the picture."""
    width: int = 520
    """Of the picture on the page [px]."""


@dataclass(frozen=True)
class Figures:
    """Figures and pictures side by side, as many in a row as the window has room for."""

    figures: Sequence[Figure | Picture]


@dataclass(frozen=True)
class Table:
    """A table of words and numbers, already written as they shall be read."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    numeric: bool = True
    """Whether the cells hold numbers (set to the right) or words."""


@dataclass(frozen=True)
class Code:
    """Lines to type, as they stand."""

    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph that stands out: the result, or a warning."""

    text: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it: paragraphs (str) and the parts of this module."""

    heading: str
    parts: Sequence[str | Figure | Picture | Figures | Table | Code | Note]


def write_report(path: str | Path, *, title: str, sections: Sequence[Section], summary: str = "") -> Path:
    """Write a self-contained HTML report, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file; an older one is replaced.
    title : str
        Head of the report.
    sections : sequence of Section
        Its content, listed in a table of contents.
    summary : str
        One or two sentences under the title.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError
        If a section holds something that cannot be shown.
    """
    from bokeh.embed import components

    figures: list[Any] = []
    body = "\n".join(_section(number, section, figures) for number, section in enumerate(sections, 1))
    bokeh_options()
    models = tuple(hv.render(figure.element, backend="bokeh") for figure in figures)
    script, divs = components(models) if models else ("", ())
    for number, (figure, div) in enumerate(zip(figures, divs, strict=True)):
        body = body.replace(_slot(number), _figure(figure, div))
    contents = "".join(
        f'<li><a href="#section-{number}">{html.escape(section.heading)}</a></li>'
        for number, section in enumerate(sections, 1)
    )
    page = _PAGE.format(
        policy=POLICY,
        title=html.escape(title),
        summary=html.escape(summary),
        contents=contents,
        body=body,
        library=_library() if models else "",
        script=script,
        style=_STYLE,
    )
    return write_bytes(path, page.encode())


def _section(number: int, section: Section, figures: list[Figure]) -> str:
    """Return a section as HTML, with a slot for each figure, which is added to the list."""
    parts = "\n".join(_part(part, figures) for part in section.parts)
    return (
        f'<section aria-labelledby="section-{number}"><h2 id="section-{number}">'
        f"{html.escape(section.heading)}</h2>\n{parts}\n</section>"
    )


def _part(part: Any, figures: list[Figure]) -> str:
    """Return one part of a section as HTML."""
    match part:
        case str():
            return f"<p>{_words(part)}</p>"
        case Note():
            return f'<p class="note">{_words(part.text)}</p>'
        case Code():
            return f'<pre tabindex="0"><code>{html.escape(part.text)}</code></pre>'
        case Table():
            return _table(part)
        case Figure():
            figures.append(part)
            return _slot(len(figures) - 1)
        case Picture():
            return _picture(part)
        case Figures():
            return f'<div class="row">{"".join(_part(figure, figures) for figure in part.figures)}</div>'
    raise TypeError(
        f"section: expected a paragraph (str), Figure, Picture, Figures, Table, Code or Note, got {type(part)}"
    )


def _words(text: str) -> str:
    """Return a paragraph as HTML that never parts a number from its per cent sign."""
    return html.escape(text).replace(" %", "&nbsp;%")


def _slot(number: int) -> str:
    """Return the mark of the place where a figure goes."""
    return f"<!--figure {number}-->"


def _figure(figure: Figure, div: str) -> str:
    """Return a figure with its caption."""
    caption = html.escape(figure.caption)
    return (
        f'<figure><div class="plot" role="img" aria-label="{caption}">{div}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _picture(picture: Picture) -> str:
    """Return a picture that the page carries itself, with its caption."""
    caption, data = html.escape(picture.caption), base64.b64encode(picture.png).decode("ascii")
    return (
        f'<figure><img class="picture" width="{picture.width}" src="data:image/png;base64,{data}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    """Return a table; its first column heads the rows."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>' + "".join(_cell(cell) for cell in rest) + "</tr>"
        for first, *rest in table.rows
    )
    kind = ("numbers" if table.numeric else "words") + (" dense" if len(table.head) >= DENSE else "")
    return (
        f'<div class="table"><table class="{kind}"><caption>{html.escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    """Return a cell; a number is never parted between two lines."""
    try:
        float(text)
    except ValueError:
        return f"<td>{html.escape(text)}</td>"
    return f'<td class="number">{html.escape(text)}</td>'


def _library() -> str:
    """Return BokehJS, inline: the core, without widgets, tables and formulas."""
    from bokeh.resources import Resources

    library = Resources(mode="inline", components=["bokeh"])
    return "\n".join(f"<script>{script}</script>" for script in library.js_raw)


_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1c1c1c; background: #fff;
       max-width: 1200px; margin: 0 auto; padding: 24px 28px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 8px 0 4px; }
h2 { font-size: 21px; margin: 44px 0 8px; padding-top: 10px; border-top: 1px solid #d0d0d0; }
p, li { max-width: 76ch; }
a { color: #0b5394; }
.summary { font-size: 18px; color: #444; }
.note { border-left: 4px solid #0b5394; background: #eef4fa; padding: 10px 14px; }
nav ol { padding-left: 22px; columns: 2; max-width: 76ch; }
.row { display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: flex-start; }
figure { margin: 12px 0; max-width: 100%; }
.plot { overflow-x: auto; }
.picture { max-width: 100%; height: auto; }
figcaption { font-size: 14px; color: #444; max-width: 60ch; width: 0; min-width: 100%; }
.table { overflow-x: auto; }
table { border-collapse: collapse; margin: 14px 0; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; font-size: 14px; color: #444; padding-top: 6px; }
th, td { padding: 6px 14px; border-bottom: 1px solid #d9d9d9; text-align: right; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
table.numbers td { white-space: nowrap; }
table.dense { font-size: 13.5px; }
table.dense th, table.dense td { padding: 4px 8px; }
table.dense td:last-child { white-space: normal; text-align: left; min-width: 14ch; }
table.words td { text-align: left; overflow-wrap: anywhere; }
table.words td.number { white-space: nowrap; overflow-wrap: normal; }
th:first-child { text-align: left; font-weight: 600; white-space: nowrap; }
table.words th { text-align: left; }
pre { background: #f4f4f4; border: 1px solid #ddd; border-radius: 4px; padding: 12px 14px; white-space: pre-wrap;
      overflow-wrap: anywhere; font-size: 14px; }
@media print { nav { display: none; } section { break-inside: avoid; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
{library}
</head>
<body>
<header><h1>{title}</h1><p class="summary">{summary}</p></header>
<nav aria-label="Contents"><ol>{contents}</ol></nav>
<noscript><p class="note">The figures need JavaScript; the tables and the text do not.</p></noscript>
<main>
{body}
</main>
{script}
</body>
</html>
"""
