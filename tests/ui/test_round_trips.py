"""From the hand on a slider to the picture, beside the way of a click that changes nothing but a word."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

CLASSROOM = Path(__file__).parents[2] / "notebooks" / "classroom"

SERVE = """
import sys
import panel as pn
import panel_material_ui as pmui
import polaris_lab as lab
from widgets import ResidualExplorer, TrainingSetInspector, shell

cube = lab.synthetic_cloud(128, kind="fbm")
proposals = lab.propose_patches(cube, lab.PatchConfig(patch_size=32, validation_fraction=0.25))

def page(make):
    words = pmui.Typography("idle 0")
    count = iter(range(1, 1000))
    button = pmui.Button(label="Ping")
    button.on_click(lambda _event: words.param.update(object=f"idle {next(count)}"))
    one = make()
    return shell.page("Ways", [button, words, one.controls], [one.main])

shell.serve({
    "inspector": lambda: page(lambda: TrainingSetInspector(proposals, cube=cube)),
    "residuals": lambda: page(lambda: ResidualExplorer(sys.argv[1], wait=True)),
})
"""

SERIAL = """name => {
  const sources = [...Bokeh.documents[0]._all_models.values()].filter(each => each.type == "ColumnDataSource")
  if (!window.changes) {
    window.changes = {count: 0}
    for (const source of sources) source.properties.data.change.connect(() => window.changes.count++)
  }
  return window.changes.count
}"""
"""How often the data of a figure have changed since this was first asked."""


@pytest.mark.parametrize(("name", "slider"), [("inspector", "B: score"), ("residuals", "Patch")])
def test_a_slider_is_as_fast_as_the_page_answers(
    visit, start_shared_server, tmp_path, capsys, in_time, name, slider
):
    page = visit.page
    run = shutil.copytree(CLASSROOM / "way", tmp_path / "way") / "run"
    url = start_shared_server("-c", SERVE, str(run)).rsplit("/", 1)[0]
    page.goto(f"{url}/{name}", wait_until="commit")
    handle = page.get_by_role("slider", name=slider)
    handle.wait_for()
    page.wait_for_timeout(4000)
    page.evaluate(SERIAL)
    idle, moved = [], []
    for number in range(1, 16):  # by turns: the machine is shared
        began = time.perf_counter()
        page.get_by_role("button", name="Ping").click()
        page.get_by_text(f"idle {number}", exact=True).wait_for()
        idle.append(1000 * (time.perf_counter() - began))
        handle.focus()
        before = page.evaluate(SERIAL)
        began = time.perf_counter()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"({SERIAL})() > {before}")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        moved.append(1000 * (time.perf_counter() - began))
        page.wait_for_timeout(300)
    there, here = statistics.median(moved), statistics.median(idle)
    with capsys.disabled():
        print(
            f"\n  {name}: idle round trip {here:.0f} ms, slider to picture {there:.0f} ms (medians)", end=""
        )
    assert there < in_time(here)
