"""The editor of blueprints as a person meets it, in a browser."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from astropy import units as u
from playwright.sync_api import expect
from scipy import ndimage

import polaris_lab as lab
from polaris_lab.models.presets.registry import tiny_settings

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)

SERVE = """
import sys
from widgets import blueprint_editor, shell
shell.serve({"blueprint": lambda: blueprint_editor.app(workspace_folder=sys.argv[1])})
"""


@pytest.fixture
def workspace(tmp_path):
    """Return a folder with a training set, and a run that has been trained for one epoch."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(8, 32, 32)), (0, 2, 2), mode="wrap")
    column = 21.5 + 0.4 * field / field.std()
    patches = lab.PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10 ** (1.5 * column - 29)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 6 + ["validation"] * 2,
    ).save(tmp_path / "work" / "sets" / "fog.zarr")
    blueprint = lab.Blueprint.preset("unet_and_kan", **tiny_settings("unet_and_kan"))
    config = lab.TrainingConfig(epochs=1, batch_size=6, device="cpu")
    lab.Run.create(tmp_path / "work" / "runs" / "kan", blueprint, patches, config).train(progress=False)
    return tmp_path / "work"


@pytest.fixture
def address(start_server, workspace):
    return start_server("-c", SERVE, str(workspace))


def port(page, node: str, kind: str, name: str):
    """Return a port of a node: kind is "source" or "target"."""
    return page.locator(f'[data-id="{node}"] .react-flow__handle.{kind}[data-handleid="{name}"]')


def hold_wire(page, source, target, expected: str) -> None:
    """Pull a wire from one port to another, and keep the button down until the server has judged it."""
    for _ in range(5):  # the drawing may still be moving: bring it back into sight and take hold again
        page.locator(".react-flow__controls-fitview").click()
        page.wait_for_timeout(800)
        start = source.bounding_box()
        page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
        page.mouse.down()
        page.mouse.move(start["x"] + 20, start["y"] + 20, steps=2)
        page.wait_for_timeout(200)
        if page.locator(".react-flow__connection").count():
            break
        page.mouse.up()
    expect(target).to_have_class(re.compile(expected))
    for _ in range(40):  # the drawing may still be moving: follow the port
        end = target.bounding_box()
        page.mouse.move(end["x"] - 30, end["y"] - 10)
        page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=4)
        if expected == "rf-handle-invalid" or "connectingto" in target.get_attribute("class"):
            return  # a port that refuses the wire does not snap to it
        page.wait_for_timeout(250)
    raise AssertionError("the wire did not reach the port")


def arrange(page) -> None:
    """Press Arrange, and wait until the drawing has moved and is still."""
    view = page.locator(".react-flow__viewport")
    before = view.get_attribute("style")
    page.get_by_role("button", name="Arrange").click()
    expect(view).not_to_have_attribute("style", before)
    while before != (now := view.get_attribute("style")):
        before = now
        page.wait_for_timeout(500)


def pick(page, name: str):
    """Find a block in the palette."""
    page.get_by_label("Find a block or preset").fill(name)
    item = page.get_by_role("button").filter(has=page.get_by_text(name, exact=True)).first
    item.wait_for()
    return item


def test_draw_train_and_look_inside(visit, address, workspace, capsys):
    page = visit.page
    page.on("dialog", lambda dialog: dialog.accept())  # unsaved changes: the browser asks
    first = open_the_page(visit, address)
    draw_by_mouse(visit)
    change = change_undo_and_redo(page)
    save_and_reload(visit, workspace)
    look_inside_a_run(visit, address)
    train(page, workspace)
    open_a_bad_path(visit, address)
    with capsys.disabled():
        print(f"\nblueprint editor: first picture {first:.1f} s, a setting to the node {1e3 * change:.0f} ms")
    assert first < 60
    assert change < 10


def open_the_page(visit, address: str) -> float:
    """Open the page; return the seconds to the first picture."""
    page = visit.page
    begin = time.monotonic()
    page.goto(address, wait_until="commit")
    correction = page.locator('[data-id="correction"]')
    correction.wait_for()
    first = time.monotonic() - begin
    expect(correction).to_contain_text("15.7 M parameters")
    page.get_by_role("button", name="Copy").wait_for()
    page.wait_for_timeout(1000)
    visit.screenshot("blueprint_editor")
    return first


def draw_by_mouse(visit) -> None:
    """Add a block, wire it, and be refused a cycle."""
    page, offset = visit.page, visit.page.locator('[data-id="offset"]')
    pick(page, "offset").click()
    offset.wait_for()
    expect(offset).to_contain_text("needs a wire at x")
    arrange(page)
    hold_wire(
        page, port(page, "contrast", "source", "out"), port(page, "offset", "target", "x"), "rf-handle-valid"
    )
    page.mouse.up()
    expect(offset).to_contain_text("1 × 64 × 64")

    refused = port(page, "correction", "target", "x")
    hold_wire(page, port(page, "mass_weighted_density", "source", "out"), refused, "rf-handle-invalid")
    expect(refused).to_have_attribute("data-tooltip", re.compile("cycle"))
    page.wait_for_timeout(300)
    visit.screenshot("blueprint_editor_refused")
    page.mouse.up()
    assert page.locator(".react-flow__edge").count() == 7


def change_undo_and_redo(page) -> float:
    """Change a setting, back and again, and delete a node; return the seconds from a key to the node."""
    correction, offset = page.locator('[data-id="correction"]'), page.locator('[data-id="offset"]')
    correction.click()
    filters = page.get_by_label("base_filters")
    filters.wait_for()
    begin = time.monotonic()
    filters.fill("16")
    filters.press("Enter")
    expect(correction).to_contain_text("983 k parameters")
    change = time.monotonic() - begin
    page.locator(".react-flow__pane").click(position={"x": 20, "y": 20})
    page.keyboard.press("Control+z")
    expect(correction).to_contain_text("15.7 M parameters")
    page.keyboard.press("Control+Shift+Z")
    expect(correction).to_contain_text("983 k parameters")

    page.locator(".react-flow__controls-fitview").click()
    page.wait_for_timeout(800)
    offset.click()
    page.keyboard.press("Delete")
    expect(offset).to_have_count(0)
    page.get_by_text("complete", exact=False).first.wait_for()
    return change


def save_and_reload(visit, workspace) -> None:
    """Save, drag a block onto the drawing, and find what was saved after a reload."""
    page = visit.page
    name = page.get_by_label("Save as, inside the workspace")
    name.fill("nets/mine.json")
    name.press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved as").wait_for()
    saved = lab.Blueprint.from_json((workspace / "nets" / "mine.json").read_text())
    assert saved.node("correction").settings["base_filters"] == 16
    page.wait_for_url(re.compile("path=nets"))

    pick(page, "double_convolution").drag_to(
        page.locator(".react-flow__pane"), target_position={"x": 300, "y": 60}
    )
    page.locator('[data-id="double_convolution"]').wait_for()
    page.locator("header button").last.click()  # the dark side
    page.wait_for_timeout(2000)
    visit.screenshot("blueprint_editor_dark")
    page.reload(wait_until="commit")
    expect(page.locator('[data-id="correction"]')).to_contain_text("983 k parameters")
    page.locator("header button").last.click()  # the light side


def look_inside_a_run(visit, address: str) -> None:
    """Choose a node of a trained run: its weights, feature maps and curve are drawn."""
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 2100})
    page.goto(f"{address}?path=runs/kan", wait_until="commit")
    kan = page.locator('[data-id="kan"]')
    page.get_by_text("Choose a node of the drawing").wait_for()
    kan.click()
    page.get_by_text("The law that this node has learned").wait_for()
    expect(page.locator(".bk-Canvas")).to_have_count(3)
    page.wait_for_timeout(2000)
    visit.screenshot("blueprint_editor_inside")
    assert "node=kan" in page.url


def train(page, workspace) -> None:
    """Train what is drawn for one epoch, in a process of its own."""
    dataset = page.get_by_role("combobox", name="Training set (.zarr)")
    dataset.fill("sets/fog.zarr")
    dataset.press("Enter")
    page.get_by_text("fog.zarr is chosen").wait_for()
    page.get_by_label("Epochs").fill("1")
    page.get_by_label("Epochs").press("Enter")
    page.get_by_role("button", name="Train this").click()
    link = page.get_by_role("link", name="Open the training monitor of runs/drawn")
    link.wait_for()
    assert link.get_attribute("href") == "training?path=runs/drawn"
    end = time.monotonic() + 120
    while not (workspace / "runs" / "drawn" / "best.safetensors").exists():
        assert time.monotonic() < end, (workspace / "runs" / "drawn" / "worker.log").read_text()
        time.sleep(0.5)


def open_a_bad_path(visit, address: str) -> None:
    """Be told, on a telephone, that a path leads out of the workspace."""
    page = visit.page
    page.set_viewport_size({"width": 420, "height": 900})
    page.goto(f"{address}?path=../out.json", wait_until="commit")
    page.get_by_text("inside the workspace folder").first.wait_for()
    page.locator('[data-id="correction"]').wait_for()
    page.wait_for_timeout(1000)
    visit.screenshot("blueprint_editor_telephone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
