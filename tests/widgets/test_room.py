"""The fences around the generic name `widgets`."""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import widgets

ROOM = Path(__file__).resolve().parents[2] / "widgets"
FILES = sorted(ROOM.rglob("*.py"))
MODULES = [
    ".".join(file.relative_to(ROOM).with_suffix("").parts) for file in FILES if file.stem != "__init__"
]


@functools.cache
def installed() -> frozenset[str]:
    """Return the modules that packages have installed; looking through them takes seconds."""
    return frozenset(metadata.packages_distributions())


def python(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_the_name_means_this_folder():
    assert Path(widgets.__file__).resolve() == ROOM / "__init__.py"


@pytest.mark.parametrize("name", MODULES)
def test_no_file_hides_an_installed_module(name):
    """`panel serve` puts the folder of a script first on sys.path."""
    name = name.split(".")[0]
    assert name not in sys.stdlib_module_names
    assert name not in installed()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_are_absolute(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}, line {node.lineno}"


@pytest.mark.parametrize("name", ["style", *MODULES])
def test_the_examples_in_docstrings_run(name):
    result = doctest.testmod(
        importlib.import_module(f"widgets.{name}"),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert result.failed == 0


def test_importing_the_room_loads_nothing_heavy():
    heavy = python(
        "import sys, widgets; print([m for m in ('panel', 'holoviews', 'bokeh', 'torch') if m in sys.modules])"
    )
    assert heavy == "[]"


def test_figures_load_their_backend_only_when_one_is_drawn():
    before, after = python(
        "import numpy as np, holoviews as hv; from widgets import figures; print('bokeh' in hv.Store.renderers);"
        "figures.sky_map(np.ones((2, 2)), label='density'); print('bokeh' in hv.Store.renderers)"
    ).split()
    assert (before, after) == ("False", "True")


def test_names_of_the_readme_are_offered():
    from widgets import TrainingMonitor, figures, page, serve, write_report

    assert callable(figures.sky_map)
    assert all(callable(name) for name in (TrainingMonitor, page, serve, write_report))
