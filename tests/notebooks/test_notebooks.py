"""Every notebook runs at quick scale, and its .ipynb is what its .py says."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
LESSONS = [path for path in SOURCES if path.stem != "00_start_here"]  # 00 is a map of the others, no lesson
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
SPENT: dict[str, float] = {}
"""CPU seconds of the notebooks that have run."""
FIGURE = "application/vnd.holoviews_exec.v0+json"


def names(path: Path) -> str:
    return path.stem


@pytest.fixture(params=SOURCES, ids=names)
def source(request) -> Path:
    return request.param


@pytest.fixture(params=LESSONS, ids=names)
def lesson(request) -> Path:
    return request.param


def prose(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def captured(notebook) -> list[list[dict]]:
    """Return the outputs that each ``interact`` has drawn; errors of its function hide there."""
    models = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {}).values()
    return [model["state"]["outputs"] for model in models if model["model_name"] == "OutputModel"]


def parameters_cell(notebook) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


def with_quick_values(code: str, values: dict) -> str:
    """Replace the assigned values of a parameters cell by its `quick` values; a knob that is not there is an error."""
    for name, value in values.items():
        code, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value!r}  ", code)
        assert count == 1, f"the parameters cell has no knob {name!r}"
    return code


def cpu_seconds_of_children() -> float:
    """Return the processor time of all processes that this one has started and seen end."""
    used = os.times()
    return used.children_user + used.children_system


def test_there_are_notebooks():
    assert SOURCES


def test_runs_at_quick_scale_without_a_warning(source):
    notebook = jupytext.read(source)
    cell = parameters_cell(notebook)
    cell.source = with_quick_values(cell.source, cell.metadata["quick"])
    strict = nbformat.v4.new_code_cell("import warnings; warnings.simplefilter('error')")
    notebook.cells.insert(0, strict)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    before = cpu_seconds_of_children()
    client.execute()
    SPENT[source.stem] = cpu_seconds_of_children() - before
    shown = [cell.get("outputs", []) for cell in notebook.cells]
    drawn = [output for outputs in shown for output in outputs if FIGURE in output.get("data", {})]
    assert len(drawn) >= 3 or source not in LESSONS, "the figures did not draw"
    for output in [output for outputs in shown + captured(notebook) for output in outputs]:
        assert output["output_type"] != "error", output
        assert output["output_type"] != "stream" or output["name"] != "stderr", output
    calls = sum(len(re.findall(r"^interact\(", cell.source, re.MULTILINE)) for cell in notebook.cells)
    assert len(captured(notebook)) == calls
    for outputs in captured(notebook):
        assert any(FIGURE in output.get("data", {}) for output in outputs), (
            "a live demonstration did not draw"
        )


def test_all_take_less_than_six_minutes_together():
    """At quick scale, in processor time: a busy machine makes none of them slower."""
    if len(SPENT) < len(SOURCES):
        pytest.skip("not all notebooks have run before")
    assert min(SPENT.values()) > 1
    assert sum(SPENT.values()) < 360


def test_ipynb_is_generated_from_the_source(source):
    """Same cells, no outputs, a kernel named: `make notebooks` writes it."""
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    expected = jupytext.read(source)
    assert [(c.cell_type, c.source) for c in stored.cells] == [
        (c.cell_type, c.source) for c in expected.cells
    ]
    assert stored.metadata.kernelspec.name == "python3"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in stored.cells)
    nbformat.validate(stored)


def test_keeps_the_form_of_all_notebooks(source):
    notebook = jupytext.read(source)
    words = "\n".join(prose(notebook))
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(notebook.cells) <= 25
    assert notebook.cells[0].source.startswith(f"# {source.stem[:2]} · ")
    assert len(words) > sum(map(len, code)), "more prose than code"
    assert parameters_cell(notebook)
    for text in code:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, f"{node.name} belongs in the library"


def test_first_cell_says_what_a_reader_gets_and_gives(lesson):
    """The question, what one learns and needs, minutes: before the first line of code."""
    first, second = jupytext.read(lesson).cells[:2]
    assert second.cell_type == "code"
    for heading in ("The question.", "You will learn", "You need"):
        assert f"**{heading}**" in first.source
    assert re.search(r"\bminutes?\b", first.source, re.IGNORECASE)
    assert re.search(r"report|section", first.source)


def test_teaches(lesson):
    """A prediction before the figure, an exercise with a folded solution and a self-check, words for the instructor."""
    notebook = jupytext.read(lesson)
    words = "\n".join(prose(notebook))
    place = next(i for i, cell in enumerate(notebook.cells) if "**Predict before you run:**" in cell.source)
    assert any(cell.cell_type == "code" for cell in notebook.cells[place + 1 :])
    assert re.search(r"\*\*Exercise.*?<details><summary>Solution</summary>.+?</details>", words, re.DOTALL)
    assert re.search("self-check", "\n".join(cell.source for cell in notebook.cells), re.IGNORECASE)
    (instructor,) = re.findall(
        r"<details><summary>For the instructor</summary>(.+?)</details>", words, re.DOTALL
    )
    assert re.search("minutes", instructor)
    assert re.search("misconception", instructor, re.IGNORECASE)
    assert words.count("<details>") == words.count("</details>")


def test_figures_have_captions(lesson):
    """Beside every cell that ends in a figure, or in a row of such cells, stands a cell with words in italics."""
    cells = jupytext.read(lesson).cells
    for number, cell in enumerate(cells):
        last = cell.source.rstrip().splitlines()[-1:] or [""]
        if cell.cell_type == "code" and re.match(r"\(?figures\.", last[0]):
            before = next(other for other in reversed(cells[:number]) if other.cell_type == "markdown")
            after = next(other for other in cells[number:] if other.cell_type == "markdown")
            assert re.search(r"(?<!\*)\*[^*\s][^*]{8,}\*(?!\*)", before.source + after.source), cell.source


def test_closes_with_what_was_learned_and_references(lesson):
    last = jupytext.read(lesson).cells[-1].source
    assert "## What we learned, and what would break it" in last
    assert re.search(r"what would break it:?\*", last, re.IGNORECASE)
    _words, references = last.split("**References.**")
    assert re.search(r"\[doi:(10\.\S+)\]\(https://doi\.org/\1\)", references)
    assert not re.search(r"arxiv\.org/abs", references), "a DOI (10.48550/arXiv....) lasts longer"


def test_first_code_cell_imports_the_laboratory(source):
    first = next(cell for cell in jupytext.read(source).cells if cell.cell_type == "code")
    assert "import polaris_lab as lab" in first.source
