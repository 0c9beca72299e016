"""Every notebook runs at quick scale, and its .ipynb is what its .py says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def names(path: Path) -> str:
    return path.stem


@pytest.fixture(params=SOURCES, ids=names)
def source(request) -> Path:
    return request.param


def parameters_cell(notebook) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


def with_quick_values(code: str, values: dict) -> str:
    """Replace the assigned values of a parameters cell by its `quick` values; a knob that is not there is an error."""
    for name, value in values.items():
        code, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value!r}  ", code)
        assert count == 1, f"the parameters cell has no knob {name!r}"
    return code


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
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    drawn = [
        output for output in outputs if "application/vnd.holoviews_exec.v0+json" in output.get("data", {})
    ]
    assert len(drawn) >= 3, "the figures did not draw"
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]


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
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(notebook.cells) <= 25
    assert notebook.cells[0].source.startswith("# ")
    assert len(prose) > sum(map(len, code)), "more prose than code"
    assert "what would break it" in prose.lower()
    assert parameters_cell(notebook)
    for text in code:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, f"{node.name} belongs in the library"


def test_first_code_cell_imports_the_laboratory(source):
    first = next(cell for cell in jupytext.read(source).cells if cell.cell_type == "code")
    assert "import polaris_lab as lab" in first.source
