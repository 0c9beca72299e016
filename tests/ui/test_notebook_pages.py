"""A notebook as a page: equations, figures, demonstrations and dashboards stand in one file that fetches nothing."""

from __future__ import annotations

import io

import jupytext
import nbformat
import numpy as np
import pytest
from PIL import Image

from widgets import notebook_pages

SOURCE = r"""# %% [markdown]
# # 01 · A page
# The mean is $\langle n\rangle_M$ and $$\frac{\sum n^2}{\sum n} < x$$; `$not$` is code. On to [the next](02_next.ipynb).

# %%
from ipywidgets import interact
import polaris_lab as lab
from widgets import VolumeViewer, figures

# %% quick={"size": 16} tags=["parameters"]
size = 4096

# %%
cube = lab.synthetic_cloud(size=size, kind="fbm")
VolumeViewer(cube)

# %%
N_H = lab.column_density(cube, axis="z")
interact(lambda power: figures.sky_map(N_H**power, label="x [cm]"), power=(1.0, 2.0))
figures.sky_map(N_H, label="column_density", pixel_size_pc=0.1)
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "01_a_page.py").write_text(SOURCE, encoding="utf-8")
    arguments = ["--notebooks", str(folder), "--output", str(folder / "pages"), "--quick", "01"]
    assert notebook_pages.main(arguments) == 0
    return folder / "pages" / "01_a_page.html"


@pytest.mark.browser
def test_reads_without_a_network(visit, page):
    """The fixture fails if the page asks for any second file or raises an error."""
    visit.page.goto(page.as_uri())
    visit.page.locator(".bk-Canvas").nth(1).wait_for()
    visit.page.wait_for_timeout(500)
    assert visit.page.locator("math").count() == 2
    assert visit.page.locator("math[display=block] mfrac").count() == 1
    assert visit.page.locator("code", has_text="$not$").count() == 1
    assert "$" not in visit.page.locator("h1 + p").inner_text().replace("$not$", "")
    assert visit.page.get_by_role("link", name="the next").get_attribute("href") == "02_next.html"
    for number in range(2):
        shown = visit.page.locator(".bk-Canvas").nth(number)
        picture = Image.open(io.BytesIO(shown.screenshot())).convert("L")
        assert np.asarray(picture, float).std() > 10, "a figure is blank"
    assert visit.page.get_by_text("power = 1.5").count() == 1
    assert visit.page.get_by_text("Turn a density cube").count() == 1
    visit.screenshot("notebook_page")


def test_other_outputs_stay_and_the_notebook_too():
    cell = nbformat.v4.new_code_cell("1 + 1")
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("[x](01_a.ipynb)"), cell])
    text = notebook_pages.page_of(notebook)
    assert "<pre>2</pre>" in text
    assert "01_a.html" in text
    assert notebook.cells[0].source == "[x](01_a.ipynb)"


def test_every_dashboard_is_known():
    import widgets

    assert len(notebook_pages.DASHBOARDS) == 8
    assert all(hasattr(widgets, name) for name in notebook_pages.DASHBOARDS)


def test_a_missing_notebook_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a notebook"):
        notebook_pages.write_page(tmp_path / "01_no.py", tmp_path)


def test_a_name_that_fits_nothing_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        notebook_pages.main(["77", "--notebooks", str(tmp_path)])
    assert "expected notebooks named like" in capsys.readouterr().err


def test_quick_values_come_last():
    notebook = jupytext.reads(SOURCE, fmt="py:percent")
    notebook_pages.take_quick_values(notebook)
    assert notebook.cells[2].source.splitlines()[-1] == "size = 16  # quick"
