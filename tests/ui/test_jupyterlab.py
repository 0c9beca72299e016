"""Two notebooks as a person meets them in JupyterLab: all cells run, and demonstrations, dashboards and the 3D view draw."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import time
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest
from PIL import Image

from widgets.volume.gl_probe import gl_problem

pytestmark = pytest.mark.browser

VIEWER = """
import polaris_lab as lab
from widgets import VolumeViewer
VolumeViewer(lab.synthetic_cloud(32, kind="fbm", seed=3), renderer="pyvista", picture="isosurfaces", level=0.4)
"""
"""A cell whose viewer has its frames drawn by the kernel."""

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def at_quick_scale(source: Path, place: Path) -> Path:
    """Write a notebook with the quick values of its parameters cell."""
    notebook = jupytext.read(source)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in cell.metadata["quick"].items())
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    jupytext.write(notebook, place / f"{source.stem}.ipynb")
    return place / f"{source.stem}.ipynb"


@pytest.fixture(scope="module")
def lab(start_shared_server, tmp_path_factory):
    """Start JupyterLab on a copy of the notebooks, with the settings of `make lab`; return its address."""
    folder = tmp_path_factory.mktemp("lab")
    work, settings = folder / "notebooks", folder / "settings"
    settings.mkdir(), work.mkdir()
    shutil.copy(NOTEBOOKS / "lab_settings.json", settings / "overrides.json")
    (work / "classroom").symlink_to(NOTEBOOKS / "classroom")
    for stem in ("03_how_networks_work", "10_the_laboratory"):
        at_quick_scale(NOTEBOOKS / f"{stem}.py", work)
    cell = nbformat.v4.new_code_cell(VIEWER)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), work / "viewer.ipynb"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as environment:
        for name in ("CONFIG", "DATA", "RUNTIME"):
            environment.setenv(f"JUPYTER_{name}_DIR", str(folder / name.lower()))
        environment.setenv("JUPYTERLAB_WORKSPACES_DIR", str(folder / "workspaces"))
        environment.setenv("OMP_NUM_THREADS", "1")
        start_shared_server(
            "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=",
            f"--ServerApp.root_dir={work}", f"--LabApp.app_settings_dir={settings}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        )  # fmt: skip
        yield f"http://127.0.0.1:{port}/lab"


def prompts(page) -> list[str]:
    texts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
    return [re.sub(r"[\s:]", "", text) for text in texts]


def run_all(page, address: str, name: str) -> None:
    """Open a notebook, run all of it through the menu, and wait until every cell has run."""
    page.goto(f"{address}/tree/{name}?reset", wait_until="commit")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    end = time.monotonic() + 240
    while not (seen := prompts(page)) or any(not text.strip("[]").isdigit() for text in seen):
        assert time.monotonic() < end, seen
        page.wait_for_timeout(300)
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def spread(locator) -> float:
    """Return how much the pixels of a part of the page differ, 0 where it is blank."""
    locator.scroll_into_view_if_needed()
    picture = Image.open(io.BytesIO(locator.screenshot()))
    return float(np.asarray(picture.convert("L"), float).std())


def test_demonstrations_in_jupyterlab(lab, visit):
    """Sliders of ipywidgets move their figures, and equations are set."""
    page = visit.page
    run_all(page, lab, "03_how_networks_work.ipynb")
    assert page.locator("mjx-container").count() > 5
    first = page.locator(".jp-CodeCell", has=page.locator(".widget-interact")).first
    figure = first.locator(".widget-output .bk-Canvas").first
    figure.scroll_into_view_if_needed()
    assert spread(figure) > 10, "the figure of a demonstration is blank"
    before = figure.screenshot()
    first.locator(".widget-readout").first.fill("-1.0")
    first.locator(".widget-readout").first.press("Enter")
    page.wait_for_timeout(300)
    end = time.monotonic() + 30
    while first.locator(".widget-output .bk-Canvas").first.screenshot() == before:
        assert time.monotonic() < end, "the slider moves nothing"
        page.wait_for_timeout(200)
    visit.screenshot("jupyterlab_demonstration")


def test_dashboards_in_jupyterlab(lab, visit):
    """The editor draws a network and answers a click, the volume viewer draws a cloud, figures between them draw too."""
    page = visit.page
    run_all(page, lab, "10_the_laboratory.ipynb")
    for words in ("figures.number_grids", "figures.loss_curves"):
        cell = page.locator(".jp-CodeCell", has_text=words)
        assert spread(cell.locator(".bk-Canvas").first) > 5, "a figure is blank"
    volume = page.locator(".volume-view canvas").first
    volume.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    assert spread(volume) > 10, "the volume is blank"
    visit.screenshot("jupyterlab_volume")
    node = page.locator("[data-id=contrast]").first
    node.scroll_into_view_if_needed()
    assert spread(page.locator(".react-flow").first) > 10, "the drawing of the network is blank"
    node.click()
    page.get_by_text("run: contrast").first.wait_for()
    page.wait_for_timeout(1000)
    visit.screenshot("jupyterlab_blueprint")
    icon = page.get_by_role("button", name="Arrange").locator(".material-icons").first
    assert "Material Icons" in icon.evaluate("icon => getComputedStyle(icon).fontFamily")
    assert icon.bounding_box()["width"] < 30, "the icon shows its name"
    fonts = page.evaluate("[...document.fonts].map(font => `${font.family} ${font.status}`)")
    assert any("Material Icons" in font and "loaded" in font.split() for font in fonts), fonts


def test_pyvista_in_jupyterlab(lab, visit):
    """The kernel draws the frames off screen, reduced while the mouse drags."""
    if problem := gl_problem():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
    page = visit.page
    run_all(page, lab, "viewer.ipynb")
    volume = page.locator(".volume-view")
    volume.scroll_into_view_if_needed()

    def wait_until(good) -> dict:
        end = time.monotonic() + 60
        while not good(seen := volume.evaluate("view => view.stats")):
            assert time.monotonic() < end, seen
            page.wait_for_timeout(50)
        return seen

    seen = wait_until(lambda seen: seen["full"] > 0)
    assert "drawn by the server: PyVista" in seen["corner"]
    page.wait_for_timeout(1000)
    before = volume.screenshot()
    assert spread(volume) > 5, "the volume is blank"
    box = volume.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(8):
        page.mouse.move(x + 10 * i, y + 4 * i)
        page.wait_for_timeout(100)
    wait_until(lambda seen: any("while it moves" in line for line in seen["corner"]))
    full = volume.evaluate("view => view.stats")["full"]
    page.mouse.up()
    wait_until(lambda seen: seen["full"] > full)
    assert volume.screenshot() != before
    visit.screenshot("jupyterlab_pyvista")
