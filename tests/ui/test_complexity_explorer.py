"""The explorer of studies as a person meets it, in a browser."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.training import Study

pytestmark = pytest.mark.browser

SERVE = """
import sys
from widgets import complexity_explorer, residual_explorer, shell
shell.serve({
    "complexity": lambda: complexity_explorer.app(workspace_folder=sys.argv[1]),
    "residuals": lambda: residual_explorer.app(workspace_folder=sys.argv[1]),
})
"""
MODELS = "Array.from(Bokeh.documents[0]._all_models.values())"
TEXTS = f"""() => {MODELS}.filter(m => m.type == 'ColumnDataSource' && m.data.ink !== undefined)
  .flatMap(m => Array.from(m.data.text))"""


@pytest.fixture
def workspace(tmp_path):
    """Return a folder with a study of two by two cells and two seeds, half of which is done."""
    rng = np.random.default_rng(0)
    column = 21.5 + 0.3 * rng.normal(size=(8, 16, 16))
    dataset = lab.PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10 ** (column - 18.5 + 0.1 * rng.normal(size=column.shape))},
        pixel_size=0.1 * u.pc,
        split=["training"] * 4 + ["validation"] * 4,
        path=tmp_path / "data.zarr",
    )
    runs = lab.complexity_map(
        dataset, lab.TrainingConfig(epochs=2, batch_size=2, device="cpu"), path=tmp_path / "studies" / "map",
        layers=(1, 2), base_filters=(2, 4), seeds=(0, 1), settings={"attention": False, "reference_scale": 2.0},
    )  # fmt: skip
    for _ in range(5):
        next(runs)
    runs.close()
    return tmp_path


def test_look_choose_launch_and_open_a_run(visit, start_server, workspace, capsys):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 1500})
    url = start_server("-c", SERVE, str(workspace))
    begin = time.monotonic()
    page.goto(url, wait_until="commit")
    page.get_by_text("5 of 8 cells and seeds done").wait_for()
    page.wait_for_function(f"({TEXTS})().length == 4")
    with capsys.disabled():
        print(f"\n  first picture {time.monotonic() - begin:.1f} s")
    texts = page.evaluate(TEXTS)
    assert texts[3] == "not run"
    assert "±" in texts[0]
    page.wait_for_timeout(1500)
    visit.screenshot("complexity_explorer")

    page.get_by_role("combobox", name="Cell").click()
    page.get_by_role("option", name="layers = 1, base_filters = 4").or_(
        page.get_by_role("menuitem", name="layers = 1, base_filters = 4")
    ).click()
    page.get_by_text(re.compile(r"^layers = 1, base_filters = 4$")).last.wait_for()
    page.wait_for_url(re.compile("cell=1"))

    page.get_by_role("button", name="Launch missing cells").focus()  # without the mouse
    page.keyboard.press("Enter")
    page.get_by_text("8 of 8 cells and seeds done").wait_for(timeout=180_000)
    page.get_by_text("map: finished").wait_for()
    page.wait_for_function(f"({TEXTS})()[3] != 'not run'")
    assert Study.open(workspace / "studies" / "map").state == "finished"
    page.get_by_label("Toggle theme").click()
    page.wait_for_timeout(1500)
    visit.screenshot("complexity_explorer_dark")

    page.set_viewport_size({"width": 420, "height": 1500})
    page.reload(wait_until="commit")
    page.get_by_text("8 of 8 cells and seeds done").wait_for()
    page.wait_for_timeout(1500)
    visit.screenshot("complexity_explorer_telephone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="residuals").first.click()
    page.get_by_text(re.compile(r"4 validation patches, [\d,]+ pixels: RMSE")).wait_for()
    page.wait_for_url(re.compile("path=studies"))
