"""Notebooks as web pages with all their outputs, to be read without Python and without a network.

``python -m widgets.notebook_pages`` runs every notebook of the folder ``notebooks`` and writes ``docs/notebooks/*.html``.
What a page needs stands in it: figures with the scripts that draw them, equations with KaTeX (which Panel brings along)
that sets them as MathML. What needs a running kernel is shown as it stood: a demonstration with sliders by the figure
at their first values, a dashboard by its name, its purpose and a picture of it.
"""

from __future__ import annotations

import argparse
import base64
import copy
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from widgets import application

ROOT = Path(__file__).resolve().parents[1]

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
FIGURE = "application/vnd.holoviews_exec.v0+json"

TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block footer_js -%}<style>math { font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", math; }</style><script>{{ resources.equations }}</script>{%- endblock -%}
"""

EQUATIONS = r"""
for (const part of document.querySelectorAll(".jp-RenderedMarkdown")) {
  const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT), texts = []
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest("code, pre")) texts.push(walker.currentNode)
  for (const text of texts) {
    const pieces = text.data.split(/(\$\$[^$]+\$\$|\$[^$]+\$)/)
    if (pieces.length < 2) continue
    const made = pieces.map((piece, number) => {
      if (number % 2 == 0) return document.createTextNode(piece)
      const display = piece.startsWith("$$"), place = document.createElement("span")
      katex.render(piece.slice(display ? 2 : 1, display ? -2 : -1), place, {displayMode: display, output: "mathml", throwOnError: false})
      return place
    })
    text.replaceWith(...made)
  }
}
"""


def write_page(source: str | Path, folder: str | Path, *, quick: bool = False, timeout: float = 3600) -> Path:
    """Run a notebook and write it as one HTML file that reads without a network.

    Parameters
    ----------
    source : path
        A notebook as a percent script (.py).
    folder : path
        Where the page goes; links between notebooks become links between pages.
    quick : bool
        Take the quick values of the parameters cell.
    timeout : float
        For one cell [s].

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    FileNotFoundError
        If the notebook, or KaTeX in the installation, is not there.
    """
    import jupytext
    import nbclient

    source, folder = Path(source), Path(folder)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: expected a notebook (.py), got nothing there; name another")
    notebook = jupytext.read(source)
    if quick:
        take_quick_values(notebook)
    place = {"metadata": {"path": str(source.resolve().parent)}}
    nbclient.NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=place).execute()
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{source.stem}.html"
    page.write_text(page_of(notebook, title=source.stem), encoding="utf-8")
    return page


def take_quick_values(notebook: Any) -> None:
    """Append the quick values of the parameters cell to it."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            values = cell.metadata.get("quick", {})
            cell.source += "".join(f"\n{name} = {value!r}  # quick" for name, value in values.items())


def page_of(notebook: Any, *, title: str = "notebook") -> str:
    """Return an executed notebook as the text of a page that needs nothing else; the notebook stays as it is."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    notebook = copy.deepcopy(notebook)
    models = notebook.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.html)", cell.source)
        elif cell.cell_type == "code":
            cell.outputs = [shown for output in cell.outputs for shown in still(output, models)]
    exporter = HTMLExporter(
        template_file="offline.html.j2", extra_loaders=[DictLoader({"offline.html.j2": TEMPLATE})]
    )
    resources = {"metadata": {"name": title}, "equations": f"{katex()}\n{EQUATIONS}"}
    text, _resources = exporter.from_notebook_node(notebook, resources=resources)
    return text


def katex() -> str:
    """Return the script that sets equations; Panel carries it for its own use."""
    import panel as pn

    places = Path(pn.__file__).parent.glob("dist/bundled/katex/katex@*/dist/katex.min.js")
    found = next(iter(sorted(places)), None)
    if found is None:
        raise FileNotFoundError(
            "panel: expected KaTeX in its folder dist/bundled, got nothing; install the version of constraints.txt"
        )
    return found.read_text(encoding="utf-8").replace("</script", "<\\/script")


def still(output: Any, models: Mapping[str, Any]) -> Iterator[Any]:
    """Give what a page shows in place of an output that needs a running kernel; others as they are."""
    data = output.get("data", {})
    if output.output_type == "display_data" and not data:
        return  # a place where a dashboard could print
    if VIEW in data:
        yield from _demonstration(data[VIEW]["model_id"], models)
        return
    name = re.match(r"\w*", "".join(data.get("text/plain", ""))).group()
    if FIGURE in data and name in DASHBOARDS:
        yield _html(_card(DASHBOARDS[name]))
    elif "window.polaris_lab_bundle" not in "".join(data.get("application/javascript", ""))[:100]:
        yield output


def _demonstration(model: str, models: Mapping[str, Any]) -> Iterator[Any]:
    """Give the figure of a demonstration, and the values of its sliders."""
    from nbformat import from_dict

    states = [models[name]["state"] for name in _below(model, models)]
    values = [
        f"{s['description']} = {_value(s)}" for s in states if s.get("description") and _value(s) is not None
    ]
    words = ", ".join(values)
    yield _html(f"<p><em>Here with {html.escape(words)}; the controls work in the running notebook.</em></p>")
    for state in states:
        for output in state.get("outputs", []):
            yield from still(from_dict(output), models)


def _below(model: str, models: Mapping[str, Any]) -> Iterator[str]:
    """Give a widget and the widgets in it."""
    yield model
    for child in models[model]["state"].get("children", []):
        yield from _below(child.removeprefix("IPY_MODEL_"), models)


def _value(state: Mapping[str, Any]) -> Any:
    """Return the value that a control stands at, None if it has none."""
    if "_options_labels" in state and state.get("index") is not None:
        return state["_options_labels"][state["index"]]
    return state.get("value")


def _card(dashboard: application.Dashboard) -> str:
    """Return what stands for a dashboard."""
    picture = ROOT / "docs" / "images" / f"{dashboard.module}.png"
    image = ""
    if picture.is_file():
        data = base64.b64encode(picture.read_bytes()).decode()
        image = f'<img alt="The page of this dashboard" style="max-width: 100%" src="data:image/png;base64,{data}">'
    words = f"<b>{html.escape(dashboard.title)}</b> — {html.escape(dashboard.purpose)}"
    style = "border: 1px solid #999; border-radius: 6px; padding: 10px 14px; margin: 6px 0"
    return f'<figure style="{style}">{words} <em>It works in the running notebook.</em>{image}</figure>'


def _html(text: str) -> Any:
    from nbformat.v4 import new_output

    return new_output("display_data", {"text/html": text})


DASHBOARDS = {
    "".join(word.title() for word in each.module.split("_")): each for each in application.DASHBOARDS.values()
}
"""Dashboards by the names of their classes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages; return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m widgets.notebook_pages", description=__doc__.split("\n")[0]
    )
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01 03 (default: all)")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", help="their folder")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "notebooks", help="folder of the pages"
    )
    parser.add_argument("--quick", action="store_true", help="small clouds and short trainings")
    chosen = parser.parse_args(arguments)
    sources = sorted(chosen.notebooks.glob("[0-9][0-9]_*.py"))
    if chosen.names:
        sources = [path for path in sources if path.name.startswith(tuple(chosen.names))]
    if not sources:
        parser.error(f"{chosen.notebooks}: expected notebooks named like 01_name.py, got none that begin so")
    for source in sources:
        page = write_page(source, chosen.output, quick=chosen.quick)
        print(f"{page}: {page.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
