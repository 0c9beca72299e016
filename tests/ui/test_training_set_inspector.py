"""The inspector of training sets as a person meets it, in a browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy import units as u
from playwright.sync_api import expect
from scipy import ndimage

from polaris_lab import PatchDataset, SimulationCube

pytestmark = pytest.mark.browser

MODELS = "Array.from(Bokeh.documents[0]._all_models.values())"
FIGURES = f"() => {MODELS}.filter(m => m.type == 'Figure').map(m => m.title.text)"
AXES = f"""() => {MODELS}.filter(m => m.type == 'Figure')
  .flatMap(f => [...f.below, ...f.left, ...f.right]).filter(m => m.type.endsWith('Axis') && m.visible)
  .map(axis => axis.axis_label)"""
WINDOWS = f"""() => {MODELS}.filter(m => m.type == 'ColumnDataSource' && m.data.diffuse !== undefined)
  .map(m => [...m.data.fate].filter(code => code == 5).length).join(' ')"""
MARK = """() => {
  const views = [...Bokeh.index.roots ?? Object.values(Bokeh.index)]
  const seek = view => [view, ...[...(view.child_views ?? [])].flatMap(seek)]
  const view = views.flatMap(seek).find(v => v.model.type == 'Figure' && v.model.title.text == 'Line of sight z')
  const scatter = view.model.renderers.filter(r => r.glyph.type == 'Scatter')[2]
  const data = scatter.data_source.data
  const frame = view.frame.bbox, box = view.canvas_view.el.getBoundingClientRect()
  const away = i => Math.min(...[...data.x].map((x, j) => i == j ? 99 : Math.hypot(x - data.x[i], data.y[j] - data.y[i])))
  const refused = [...data.fate.keys()].filter(i => data.fate[i] == 2)
  const row = refused.reduce((best, i) => away(i) > away(best) ? i : best)  // no other mark lies over it
  const x = view.frame.x_scale.compute(data.x[row]), y = view.frame.y_scale.compute(data.y[row])
  return {number: data.number[row], x: box.x + x, y: box.y + y}
}"""

KEPT = re.compile(r"^\d+ patches kept$")


@pytest.fixture
def cloud(tmp_path):
    """Return the file of a small cloud with structure, and an empty margin."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(64, 64, 64)).astype(np.float32), 1.5, mode="wrap")
    noise += 2 * ndimage.gaussian_filter(rng.normal(size=(64, 64, 64)).astype(np.float32), 5.0, mode="wrap")
    density = 300 * np.exp(1.5 * noise / noise.std())
    density[:, :, 48:] *= 0.02
    path = tmp_path / "fog.zarr"
    SimulationCube(density, cell_size=0.1 * u.pc, name="fog").save(path)
    return path


@pytest.fixture
def inspect(start_server, tmp_path):
    """Return a function that serves the inspector of a cloud and gives the page's address."""
    workspace = tmp_path / "work"
    workspace.mkdir()

    def start(path, *options):
        command = ("-m", "polaris_lab.cli", "serve", "inspector", str(path), "--workspace", str(workspace))
        return start_server(*command, *options)

    start.workspace = workspace
    return start


def kept(page) -> int:
    """Return the number of kept patches that the page tells."""
    return int(page.get_by_text(KEPT).inner_text().split()[0])


def ready(page) -> None:
    """Wait until the browser has built the page: a slider that it puts in place loses the keyboard."""
    page.get_by_role("button", name="Copy").wait_for()
    page.wait_for_function(f"({FIGURES})().includes('Line of sight z')")
    page.wait_for_timeout(1000)


def move(page, name: str, key: str) -> None:
    """Move a slider from the keyboard."""
    slider = page.get_by_role("slider", name=re.compile(f"^{re.escape(name)}"))
    before = slider.get_attribute("aria-valuenow")
    slider.focus()
    page.keyboard.press(key)
    expect(slider).not_to_have_attribute("aria-valuenow", before)


def drawn(page, fate: str) -> int:
    """Return how many windows of a fate the browser holds, on all faces."""
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=fate, exact=True))
    return int(row.get_by_role("cell").nth(1).inner_text())


def test_choose_with_sliders_look_build_cancel(visit, inspect, cloud):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 2500})
    page.goto(inspect(cloud), wait_until="commit")
    page.get_by_text(KEPT).wait_for()
    page.locator("canvas").first.wait_for()
    ready(page)  # the table follows the maps
    for words in ("overlaps", "too diffuse", "score refused", "jammed", "across the slab"):
        assert page.get_by_role("cell", name=words, exact=True).is_visible()
    shown = page.evaluate(FIGURES)
    assert "Line of sight y" in shown
    assert "Scores and acceptance f(s)" in shown
    assert any("16 × 16 pixels = 1.6 pc × 1.6 pc each" in title for title in shown)
    assert all(page.evaluate(AXES))  # every visible axis has words
    first, points = kept(page), page.evaluate(WINDOWS)
    page.wait_for_timeout(1000)
    visit.screenshot("training_set_inspector")

    move(page, "B:", "End")  # by keyboard: hardly any window passes
    page.get_by_text("No patch is kept").or_(page.get_by_text(KEPT)).wait_for()
    page.wait_for_function(f"({WINDOWS})() != '{points}'")
    move(page, "A:", "End")
    page.get_by_text("No patch is kept").wait_for()
    assert drawn(page, "kept") == 0
    assert page.get_by_text("Lower B").is_visible()
    visit.screenshot("training_set_inspector_empty")
    assert "offset=5" in page.url  # the state stands in the address
    move(page, "B:", "Home")
    page.get_by_text(KEPT).wait_for()
    assert kept(page) >= first

    number = page.get_by_label("Candidate number")
    number.fill("3")
    number.press("Enter")
    page.get_by_text(re.compile("^Candidate 3:")).wait_for()
    tapped = page.evaluate(MARK)  # where a mark of a refused window lies on the screen
    page.mouse.click(tapped["x"], tapped["y"])
    page.get_by_text(re.compile(rf"^Candidate {tapped['number']}: ")).wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("page 2 of").wait_for()
    page.get_by_role("checkbox", name="overlaps").uncheck()
    page.get_by_role("button", name="Copy").click()
    page.wait_for_timeout(300)
    copied = page.evaluate("navigator.clipboard.readText()")
    names = {}
    exec(copied.replace("TrainingSetInspector(proposals", "again = TrainingSetInspector(proposals"), names)
    assert len(names["proposals"]) == kept(page)
    assert names["again"].candidate == tapped["number"]
    page.wait_for_timeout(700)
    visit.screenshot("training_set_inspector_chosen")


SLOW = """
import sys, time
import polaris_lab as lab
from widgets import shell, training_set_inspector

build = lab.build_dataset

def slowly(*arguments, on_progress, **choices):
    def report(done, total):
        time.sleep(0.4)
        on_progress(done, total)
    return build(*arguments, on_progress=report, **choices)

lab.build_dataset = slowly
cube = lab.SimulationCube.open(sys.argv[1])
shell.serve({"inspector": lambda: training_set_inspector.app(cube=cube, workspace_folder=sys.argv[2])})
"""


def test_progress_and_cancel_while_the_page_stays_free(visit, start_server, cloud, tmp_path):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 2500})
    page.goto(start_server("-c", SLOW, str(cloud), str(tmp_path)), wait_until="commit")
    page.get_by_text(KEPT).wait_for()
    ready(page)
    page.get_by_role("button", name="Build dataset").click()
    page.get_by_text(re.compile(r"^Storing patches: [1-9]\d* of 24")).wait_for()
    assert page.get_by_role("button", name="Build dataset").is_disabled()
    number = page.get_by_label("Candidate number")
    number.fill("99999")  # a callback that raises, meanwhile
    number.press("Enter")
    page.get_by_text("expected a number from 0 to").wait_for()
    visit.screenshot("training_set_inspector_building")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Stopped. The patches stored so far are kept").wait_for()
    assert page.get_by_role("button", name="Cancel").is_disabled()
    assert not (tmp_path / "datasets" / "fog.zarr").exists()
    page.get_by_role("button", name="Build dataset").click()
    page.get_by_text("Built with 24 patches").wait_for()
    page.locator("header button").last.click()  # the dark side
    page.wait_for_timeout(3000)
    visit.screenshot("training_set_inspector_dark")


def test_build_refuse_and_open(visit, inspect, cloud):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 2500})
    page.goto(inspect(cloud, "--patch-size", "64"), wait_until="commit")
    page.get_by_text("These choices cannot be").wait_for()  # too large a patch; shown with a smaller one
    assert page.get_by_text("Shown with 16 pixels").is_visible()
    ready(page)
    visit.screenshot("training_set_inspector_no_room")
    move(page, "A:", "ArrowRight")
    page.get_by_text(KEPT).wait_for()

    name = page.get_by_label("Name inside the workspace")
    name.fill("../outside.zarr")
    name.press("Enter")
    build = page.get_by_role("button", name="Build dataset")
    build.click()
    page.get_by_text("expected a name inside the workspace folder").wait_for()
    visit.screenshot("training_set_inspector_refused")

    name.fill("sets/fog.zarr")
    name.press("Enter")
    page.get_by_text("Build dataset stores").wait_for()
    build.click()
    page.get_by_text("Built with").wait_for()
    assert len(PatchDataset.open(inspect.workspace / "sets" / "fog.zarr")) == kept(page)
    page.wait_for_timeout(500)
    build.click()
    page.get_by_text("expected a name that is free").wait_for()
    move(page, "A:", "ArrowRight")  # the page lives, and the address follows
    page.wait_for_url(re.compile(r"steepness=2\.2"))

    page.reload(wait_until="commit")
    page.get_by_text("Built with").wait_for()  # the address knows the name, the server the build
    slider = page.get_by_role("slider", name=re.compile("^A:"))
    assert float(slider.get_attribute("aria-valuenow")) == pytest.approx(2.2)
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload(wait_until="commit")
    page.get_by_text(KEPT).wait_for()
    page.get_by_role("button", name="Next").click()  # the side bar is out of the way
    page.get_by_text("page 2 of").wait_for()
    page.wait_for_timeout(500)
    visit.screenshot("training_set_inspector_telephone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not list(inspect.workspace.parent.glob("outside*"))
