"""The explorer of residuals as a person meets it, in a browser."""

from __future__ import annotations

import re
import shutil
import time

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.training import Run

pytestmark = pytest.mark.browser

SERVE = """
import sys
from widgets import residual_explorer, shell
shell.serve({"residuals": lambda: residual_explorer.app(workspace_folder=sys.argv[1])})
"""
MODELS = "Array.from(Bokeh.documents[0]._all_models.values())"
AXES = f"""() => {MODELS}.filter(m => m.type == 'Figure')
  .flatMap(f => [...f.below, ...f.left]).filter(m => m.type.endsWith('Axis') && m.visible).map(axis => axis.axis_label)"""
PATCH = re.compile(r"^Patch \d+ of \d+ .*RMSE")
FRAME = """() => {
  const views = [...Bokeh.index.roots ?? Object.values(Bokeh.index)]
  const seek = view => [view, ...[...(view.child_views ?? [])].flatMap(seek)]
  const view = views.flatMap(seek).find(v => v.model.type == 'Figure' && v.model.title.text.startsWith('plain: RMSE'))
  const frame = view.frame.bbox, box = view.canvas_view.el.getBoundingClientRect()
  return {x: box.x + frame.left, y: box.y + frame.top, width: frame.width, height: frame.height}
}"""
READY = re.compile(r"validation patches, [\d,]+ pixels: RMSE")


@pytest.fixture
def workspace(tmp_path):
    """Return a folder with a run that states its error and one that does not."""
    rng = np.random.default_rng(0)
    column = 21.5 + 0.4 * rng.normal(size=(24, 32, 32)).cumsum(axis=1) / 4
    dataset = lab.PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10 ** (column - 18.5 + 0.15 * rng.normal(size=column.shape))},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12 + ["validation"] * 12,
        cloud=np.repeat(list("abcdefgh"), 3).tolist(),
        path=tmp_path / "work" / "data.zarr",
    )
    for name, head, loss in (("plain", "point", "mse"), ("stated", "gaussian", "nll")):
        blueprint = lab.Blueprint.unet(
            layers=1, base_filters=4, attention=False, reference_scale=2.0, head=head
        )
        config = lab.TrainingConfig(epochs=2, batch_size=4, seed=1, device="cpu", loss=loss)
        Run.create(tmp_path / "work" / name, blueprint, dataset, config).train(progress=False)
    return tmp_path / "work"


def test_look_choose_compare_and_lose_a_run(visit, start_server, workspace, capsys):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 3000})
    url = start_server("-c", SERVE, str(workspace))
    begin = time.monotonic()
    page.goto(url + "?other=stated", wait_until="commit")
    page.get_by_text(READY).nth(1).wait_for()  # of both runs
    first = time.monotonic() - begin
    page.get_by_text(PATCH).wait_for()
    assert all(page.evaluate(AXES))  # every axis has words
    page.wait_for_timeout(1500)
    visit.screenshot("residual_explorer")

    frame = page.evaluate(FRAME)  # a box drawn by the mouse
    page.mouse.move(frame["x"] + 0.3 * frame["width"], frame["y"] + 0.3 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.7 * frame["width"], frame["y"] + 0.7 * frame["height"], steps=4)
    page.mouse.up()
    page.get_by_text(re.compile(r"[\d,]+ pixels \(.* in \d+ patches, most in patch")).first.wait_for()
    page.wait_for_url(re.compile("true_low="))
    page.get_by_role("button", name="Next patch with such pixels").click()
    page.wait_for_timeout(1000)
    visit.screenshot("residual_explorer_region")
    for name, value in (("True density from", "9"), ("True density to", "9.5")):  # from the keyboard
        page.get_by_label(name).fill(value)
        page.get_by_label(name).press("Enter")
    page.get_by_text("no pixel in this region").first.wait_for()
    page.wait_for_url(re.compile("true_high=9.5"))  # both fields have arrived
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Draw a box on the correlation, or fill in").wait_for()

    slider = page.get_by_role("slider", name=re.compile("^Patch"))
    slider.focus()
    page.keyboard.press("Home")  # the region's patch may be the last one
    page.wait_for_timeout(1000)
    spent = []
    for _ in range(3):
        before, begin = page.get_by_text(PATCH).inner_text(), time.monotonic()
        page.keyboard.press("ArrowRight")
        page.get_by_text(before, exact=True).wait_for(state="detached")
        spent.append(time.monotonic() - begin)
    with capsys.disabled():
        print(
            f"\n  first picture {first:.1f} s, slider to picture {1e3 * sorted(spent)[1]:.0f} ms (median of 3)"
        )
    assert first < 60
    assert sorted(spent)[1] < 10

    page.get_by_label("Toggle theme").click()
    page.wait_for_timeout(1500)
    visit.screenshot("residual_explorer_dark")
    page.get_by_role("button", name="Calibration").click()
    page.get_by_text(re.compile(r"stated: the 68 % intervals hold [\d.]+ % of the pixels")).wait_for()
    page.wait_for_timeout(1500)
    visit.screenshot("residual_explorer_calibration")

    shutil.move(workspace / "plain", workspace.parent / "elsewhere")
    page.get_by_text("plain: missing").wait_for()
    assert page.get_by_text("What is seen was computed before").is_visible()
    page.set_viewport_size({"width": 420, "height": 2000})
    page.goto(url + "?path=stated&correction=isotonic", wait_until="commit")
    page.get_by_text("Before and after the correction").wait_for()
    page.get_by_text(READY).first.wait_for()
    page.wait_for_timeout(1500)
    visit.screenshot("residual_explorer_telephone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
