"""Every dashboard shows itself in a cell of a notebook."""

from __future__ import annotations

import nbclient
import nbformat

DASHBOARDS = """
import polaris_lab as lab
import widgets
cube = lab.synthetic_cloud(16, kind="fbm")
viewer = widgets.VolumeViewer(cube)
editor = widgets.BlueprintEditor(lab.Blueprint.preset("unet", layers=1, base_filters=2))
"""


FIGURE = "widgets.figures.sky_map(lab.column_density(cube, axis='z'), label='column_density')"


def test_a_cell_loads_what_a_dashboard_needs_and_shows_it():
    """The first one brings Panel's scripts along, also where no figure was drawn before."""
    sources = ["import warnings; warnings.simplefilter('error')", DASHBOARDS, "viewer", "editor", FIGURE]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    first, second, third = (cell.outputs for cell in notebook.cells[2:])
    scripts = [o for o in first if "application/vnd.holoviews_load.v0+json" in o.get("data", {})]
    assert scripts
    for outputs in (first, second, third):
        assert "application/vnd.holoviews_exec.v0+json" in outputs[-1].data
        assert not [output for output in outputs if output.output_type == "stream"]
    for outputs in (second, third):
        page = outputs[-1].data["text/html"]
        assert len(page) < 3e6, "a part of a dashboard brings scripts of its own"
        assert "https://cdn.holoviz.org/panel/" not in page, "a style sheet is linked from outside"
