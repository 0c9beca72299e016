"""The inspector of training sets as a person meets it, in a browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

from polaris_lab import PatchDataset, SimulationCube

pytestmark = pytest.mark.browser

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


def move(page, name: str, key: str, times: int = 1) -> None:
    """Move a slider from the keyboard."""
    slider = page.get_by_role("slider", name=re.compile(f"^{re.escape(name)}"))
    slider.focus()
    for _ in range(times):
        page.keyboard.press(key)


def test_choose_with_sliders_look_build_cancel(visit, inspect, cloud):
    page = visit.page
    page.goto(inspect(cloud), wait_until="commit")
    page.get_by_text(KEPT).wait_for()
    page.locator("canvas").first.wait_for()
    for words in ("overlaps", "too diffuse", "score refused", "jammed", "across the slab"):
        assert page.get_by_role("cell", name=words, exact=True).is_visible()
    page.wait_for_timeout(1500)
    visit.screenshot("training_set_inspector")
    visit.screenshot("training_set_inspector")


def test_no_room(visit, inspect, cloud):
    page = visit.page
    page.goto(inspect(cloud, "--patch-size", "64"), wait_until="commit")
    page.get_by_text("No room for a patch").wait_for()
    page.wait_for_timeout(500)
    visit.screenshot("training_set_inspector_no_room")
