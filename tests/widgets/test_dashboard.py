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


def test_a_cell_loads_what_a_dashboard_needs_and_shows_it():
    """The first one brings Panel's scripts along, also where no figure was drawn before."""
    sources = ["import warnings; warnings.simplefilter('error')", DASHBOARDS, "viewer", "editor"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    first, second = (cell.outputs for cell in notebook.cells[2:])
    scripts = [o for o in first if "application/vnd.holoviews_load.v0+json" in o.get("data", {})]
    assert scripts
    for outputs in (first, second):
        assert "application/vnd.holoviews_exec.v0+json" in outputs[-1].data
        assert not [output for output in outputs if output.output_type == "stream"]
