"""The emission explorer as a person meets it, in a browser."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from astropy import units as u
from playwright.sync_api import expect

import polaris_lab as lab

pytestmark = pytest.mark.browser

SERVE = """
import sys
from widgets import emission_explorer, shell
shell.serve({"emission": lambda: emission_explorer.app(sys.argv[2] or None, workspace_folder=sys.argv[1])})
"""

MODELS = "Array.from(Bokeh.documents[0]._all_models.values())"
TITLES = f"() => {MODELS}.filter(m => m.type == 'Figure').map(m => m.title.text)"
TAP = """title => {
  const views = [...Bokeh.index.roots ?? Object.values(Bokeh.index)]
  const seek = view => [view, ...[...(view.child_views ?? [])].flatMap(seek)]
  const view = views.flatMap(seek).find(v => v.model.type == 'Figure' && v.model.title.text.startsWith(title))
  view.el.scrollIntoView({block: 'center'})
  const frame = view.frame.bbox, box = view.canvas_view.el.getBoundingClientRect()
  return {x: box.x + frame.left, y: box.y + frame.top, width: frame.width, height: frame.height}
}"""


@pytest.fixture
def workspace(tmp_path):
    """Return a folder with a small cloud, a line cube seen elsewhere, and a file that is no cube."""
    folder = tmp_path / "work"
    folder.mkdir()
    lab.synthetic_cloud(32, seed=1).save(folder / "cloud.zarr")
    velocity = np.linspace(2, 6, 41)
    drift = 4 + np.linspace(-1, 1, 40)[:, None]
    data = 4 * np.exp(-((velocity[:, None, None] - drift) ** 2) / 0.2) * np.ones((1, 1, 40))
    data += np.random.default_rng(0).normal(0, 0.2, data.shape)
    lab.PPVCube(data.astype("f4"), velocity, pixel_size=23 * u.arcsec).to_fits(folder / "seen.fits")
    (folder / "broken.fits").write_bytes(b"SIMPLE  =" + b"\0" * 4000)
    return folder


def has(page, words: str) -> None:
    """Wait until a figure has a title that begins so."""
    page.wait_for_function(f"words => ({TITLES})().some(title => title.startsWith(words))", arg=words)


def test_look_tap_play_solve_and_compare(visit, start_server, workspace):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 2300})
    url = start_server("-c", SERVE, str(workspace), "cloud.zarr")
    begin = time.monotonic()
    page.goto(f"{url}?observed=seen.fits", wait_until="commit")
    page.get_by_text(re.compile("^13CO 1-0 of ")).wait_for()
    has(page, "Observed, ")
    print(f"emission explorer: first picture after {time.monotonic() - begin:.1f} s")
    page.get_by_role("button", name="Copy").wait_for()
    page.wait_for_timeout(1500)
    visit.screenshot("emission_explorer")

    velocity = page.get_by_label("Velocity [km/s]", exact=True)
    velocity.fill("4.0")
    velocity.press("Enter")  # from the keyboard
    has(page, "Observed, 4.00")
    place = page.evaluate(TAP, "Synthetic, ")
    page.mouse.click(place["x"] + 0.75 * place["width"], place["y"] + 0.25 * place["height"])
    page.get_by_text(re.compile("^Cursor at x = [0-9.]+ pc, y = [0-9.]+ pc")).wait_for()  # right and above
    slider = page.get_by_role("slider", name=re.compile("^Noise"))
    slider.focus()
    begin = time.monotonic()
    page.keyboard.press("ArrowRight")
    page.get_by_text("add_noise").wait_for()
    print(f"emission explorer: noise slider to picture {1e3 * (time.monotonic() - begin):.0f} ms")
    before = velocity.input_value()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(velocity).not_to_have_value(before)
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="ARCSEC").or_(page.get_by_role("button", name="arcsec")).first.click()
    page.get_by_text(re.compile("^Cursor at x = .* arcsec")).wait_for()
    page.get_by_role("button", name="X", exact=True).or_(
        page.get_by_role("button", name="x", exact=True)
    ).first.click()
    page.get_by_text("seen along x").wait_for()
    page.wait_for_url(re.compile("axis=x"))
    page.locator("header button").last.click()  # the dark side
    page.wait_for_timeout(2500)
    visit.screenshot("emission_explorer_dark")

    page.get_by_role("button", name="Copy").click()
    page.wait_for_timeout(300)
    names = {}
    exec(page.evaluate("navigator.clipboard.readText()"), names)
    assert names["ppv"].axis == "x"
    assert names["observed"].shape == (41, 40, 40)


def test_what_is_wrong_is_said_and_the_page_lives(visit, start_server, workspace):
    page = visit.page
    page.set_viewport_size({"width": 420, "height": 1200})
    url = start_server("-c", SERVE, str(workspace), "seen.fits")
    page.goto(f"{url}?path=../secret.fits", wait_until="commit")
    page.get_by_text("expected a name inside the workspace folder").wait_for()
    visit.screenshot("emission_explorer_refused")
    page.goto(f"{url}?path=broken.fits", wait_until="commit")
    page.get_by_text(re.compile("broken.fits: expected a whole file")).wait_for()
    page.goto(f"{url}?path=seen.fits&moment=peak", wait_until="commit")
    page.get_by_text("It is a line cube").wait_for()
    has(page, "Synthetic: peak temperature")
    page.wait_for_timeout(1500)
    visit.screenshot("emission_explorer_telephone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
