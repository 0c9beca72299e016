"""The training monitor as a person meets it, in a browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import Run, TrainingConfig
from widgets import TrainingMonitor

pytestmark = pytest.mark.browser

POINTS = """() => Object.values(Bokeh.documents[0]._all_models ? Object.fromEntries(Bokeh.documents[0]._all_models) : {})
  .filter(model => model.type === "ColumnDataSource" && model.data.training !== undefined)
  .map(model => model.data.epoch.length)[0] ?? -1"""


IDLE = "window.Bokeh?.documents?.length > 0 && Bokeh.documents[0].is_idle"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """Return a run of more epochs than the tests wait for."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(40, 32, 32)), (0, 2, 2), mode="wrap")
    column = 21.5 + 0.4 * noise / noise.std()
    dataset = PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10 ** (column - 18.5 + 0.1 * rng.normal(size=column.shape))},
        pixel_size=0.05 * u.pc,
        split=["training"] * 32 + ["validation"] * 8,
    )
    blueprint = Blueprint.unet(layers=2, base_filters=8, attention=False, reference_scale=2.0)
    config = TrainingConfig(epochs=400, batch_size=4, seed=1, device="cpu")
    path = tmp_path_factory.mktemp("untrained") / "unet_small"
    Run.create(path, blueprint, dataset, config)
    return path


@pytest.fixture(scope="module")
def server(start_shared_server, tmp_path_factory) -> tuple[str, Path]:
    """Return the address of a server, and the folder that it serves."""
    root = tmp_path_factory.mktemp("lab")
    return start_shared_server("-m", "polaris_lab.cli", "serve", "training", "--workspace", str(root)), root


@pytest.fixture
def workspace(server, untrained, request) -> Path:
    """Return a folder of this test's own with the run."""
    folder = server[1] / request.node.name
    shutil.copytree(untrained, folder / "unet_small")
    return folder


@pytest.fixture
def url(server, workspace) -> str:
    """Return the address of the page of that folder."""
    return f"{server[0]}?path={workspace.name}"


def epochs_shown(page) -> int:
    """Return the number of finished epochs that the page tells."""
    found = re.search(r"(\d+) of 400", page.locator("dl").inner_text())
    return int(found.group(1)) if found else 0


def wait_for_epochs(page, count: int) -> None:
    page.get_by_text(re.compile(rf"^({'|'.join(str(n) for n in range(count, 401))}) of 400$")).wait_for()


def test_start_watch_cancel_reload_resume(visit, url, workspace):
    page = visit.page
    began = time.monotonic()
    page.goto(url, wait_until="commit")
    start = page.get_by_role("button", name="Start", exact=True)
    start.wait_for()
    page.get_by_text("unet_small: ready").wait_for()
    assert page.get_by_role("button", name="Stop").is_disabled()
    page.get_by_text("The curves appear here").wait_for()
    page.wait_for_function(IDLE)
    print(f"training monitor, first picture: {time.monotonic() - began:.1f} s")
    visit.screenshot("training_monitor_ready")

    start.click()
    page.get_by_text("unet_small: running").wait_for()
    wait_for_epochs(page, 3)
    first = page.evaluate(POINTS)
    assert first >= 3
    wait_for_epochs(page, epochs_shown(page) + 2)
    page.wait_for_function(f"({POINTS})() > {first}")
    visit.screenshot("training_monitor_running")

    page.reload(
        wait_until="commit"
    )  # the state belongs to the folder: the training goes on, and is found again
    page.get_by_text("unet_small: running").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("unet_small: stopped").wait_for()
    kept = len(Run.open(workspace / "unet_small").history())
    wait_for_epochs(page, kept)  # words and numbers reach the browser one after the other
    assert epochs_shown(page) == kept >= first
    page.wait_for_timeout(700)  # the pictures of buttons fade slowly
    visit.screenshot("training_monitor_stopped")

    page.get_by_role("button", name="Resume").focus()
    page.keyboard.press("Enter")
    wait_for_epochs(page, kept + 1)
    page.get_by_text("Validation patches after epoch").wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("unet_small: paused").wait_for()
    assert page.get_by_role("button", name="Resume").is_enabled()


def test_choose_copy_lose_and_find_runs(visit, url, workspace):
    page = visit.page
    shutil.copytree(workspace / "unet_small", workspace / "unet_second")
    history = [
        {"epoch": i, "training_loss": 0.3 * 0.8**i + 0.02, "validation_loss": 0.3 * 0.8**i + 0.03,
         "validation_accuracy": 0.9 - 0.5 * 0.8**i, "learning_rate": 1e-3, "seconds": 1.0,
         "images_per_second": 120.0, "best": i < 15,
         "training_rmse_dex": (0.3 * 0.8**i + 0.02) ** 0.5, "validation_rmse_dex": (0.3 * 0.8**i + 0.03) ** 0.5}
        for i in range(20)
    ]  # fmt: skip
    lines = "".join(json.dumps(line) + "\n" for line in history)
    (workspace / "unet_second" / "history.jsonl").write_text(lines)

    page.goto(f"{url}&run=unet_small", wait_until="commit")
    page.get_by_text("unet_small: ready").wait_for()  # the run that the address names, not the newest
    page.get_by_role("combobox").first.click()
    page.get_by_role("menuitem", name="unet_second").click()
    page.get_by_text("unet_second: stopped").wait_for()
    page.wait_for_function(f"({POINTS})() == 20")
    assert re.search(r"[?&]run=unet_second\b", page.url)

    page.get_by_role("button", name="Copy").first.click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)")
    line, view = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert line == "from widgets import TrainingMonitor"
    assert eval(view, {"TrainingMonitor": TrainingMonitor}).snapshot.done == 20

    smoothing = page.get_by_role("slider", name=re.compile("^Smoothing"))
    smoothing.focus()
    page.keyboard.press("End")
    page.wait_for_url(re.compile(r"smoothing=0\.98"))
    page.goto(
        page.url + "&beside=%5B%22unet_small%22%5D", wait_until="commit"
    )  # the address gives the view again
    page.get_by_role("cell", name="training.learning_rate").or_(
        page.get_by_text("no setting differs")
    ).wait_for()
    assert page.get_by_role("cell", name="unet_small").first.is_visible()
    page.set_viewport_size({"width": 1280, "height": 2000})
    page.wait_for_timeout(1500)
    visit.screenshot("training_monitor_compare")
    page.get_by_label("Toggle theme").click()
    page.wait_for_timeout(1000)
    visit.screenshot("training_monitor_dark")

    shutil.move(workspace / "unet_second", workspace.parent.parent / "elsewhere")
    page.get_by_text("unet_second: missing").wait_for()
    assert page.get_by_text("moved or deleted").is_visible()
    shutil.move(workspace.parent.parent / "elsewhere", workspace / "unet_second")
    page.get_by_text("unet_second: stopped").wait_for()


def test_two_pages_of_one_run_and_a_telephone(visit, url):
    """Both pages tell the same; on a narrow one the side bar does not lie over the buttons."""
    page = visit.page
    page.goto(url, wait_until="commit")
    page.get_by_text("unet_small: ready").wait_for()
    small = page.context.new_page()
    small.set_viewport_size({"width": 390, "height": 844})
    small.goto(url, wait_until="commit")
    small.get_by_text("unet_small: ready").wait_for()
    small.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("unet_small: running").wait_for()
    wait_for_epochs(page, 1)
    assert small.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Stop").click()
    small.get_by_text("unet_small: stopped").wait_for()
    small.close()


def test_a_page_opened_too_early_follows_and_then_keeps_quiet(visit, url, workspace):
    """A change while the browser still builds the page is shown; without a change nothing is sent."""
    page, frames = visit.page, []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    run = workspace / "unet_small"
    aside = shutil.move(run, workspace.parent.parent / "aside")
    page.goto(url, wait_until="commit")
    page.get_by_text(f"{workspace.name}: no run yet").wait_for()
    assert page.get_by_text("polaris-lab demo").is_visible()
    visit.screenshot("training_monitor_empty")
    shutil.move(aside, run)
    page.get_by_text("unet_small: ready").wait_for()
    page.wait_for_timeout(3000)
    before = len(frames)
    page.wait_for_timeout(3000)
    assert len(frames) == before
