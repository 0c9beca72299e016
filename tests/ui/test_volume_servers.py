"""The volume viewer whose frames the server draws: PyVista and torch, a machine without OpenGL, spin and movie."""

from __future__ import annotations

import base64
import io
import os
import re
import statistics

import numpy as np
import pytest
from PIL import Image

import polaris_lab as lab
from tests.ui.volume_pages import stats, wait_until
from widgets.volume import gl_probe, movie

pytestmark = pytest.mark.browser

SERVE = """
import sys
from widgets import shell, volume_viewer
from widgets.volume import gl_probe
if "bare" in sys.argv[2:]:  # as on a machine without graphics libraries: whoever draws is ended by the system
    gl_probe._PROBE = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
shell.serve({"volume": lambda: volume_viewer.app(workspace_folder=sys.argv[1])})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a small cloud."""
    path = tmp_path_factory.mktemp("work")
    lab.synthetic_cloud(48, kind="fbm", seed=3).save(path / "fog.npy")
    return path


@pytest.fixture(scope="module")
def url(start_shared_server, folder) -> str:
    return f"{start_shared_server('-c', SERVE, str(folder))}?path=fog.npy"


@pytest.fixture
def gl():
    if problem := gl_probe.gl_problem():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)


def wait_until_still(page) -> np.ndarray:
    """Return the picture when no further frame comes, (height, width, 3)."""
    while True:
        before = wait_until(page, lambda seen: seen["full"] > 0)
        page.wait_for_timeout(1200)
        if (seen := stats(page)) == before and "while it moves" not in " ".join(seen["corner"]):
            return picture(page)


def picture(page) -> np.ndarray:
    """Return the picture without what is written over it."""
    uri = page.locator(".volume-view canvas").first.evaluate("canvas => canvas.toDataURL('image/png')")
    return pixels_of(page, uri)


def pixels_of(page, uri: str) -> np.ndarray:
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)


def drag(page, by: tuple[int, int] = (8, 3)) -> list[list[str]]:
    """Drag the mouse over the picture; return what the corner said on the way."""
    box = page.locator(".volume-view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    said = []
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(20):
        page.mouse.move(x + by[0] * i, y + by[1] * i)
        page.wait_for_timeout(60)
        said.append(stats(page)["corner"])
    page.mouse.up()
    return said


def test_pyvista_follows_the_mouse_and_says_how_much_it_reduces(visit, url, gl):
    page = visit.page
    page.goto(f"{url}&renderer=pyvista", wait_until="commit")
    page.locator(".volume-view").wait_for()
    before = wait_until_still(page)
    assert before.std() > 3
    assert "drawn by the server: PyVista" in stats(page)["corner"]
    assert not any("reduced" in line for line in stats(page)["corner"]), "a whole picture at rest"
    visit.screenshot("volume_pyvista")

    said = drag(page)
    assert any("the picture is reduced 2.5× while it moves" in lines for lines in said)
    after = wait_until_still(page)
    page.wait_for_url(re.compile("azimuth="))
    assert np.abs(after - before).mean() > 1, "the drag turned nothing"
    assert not any("reduced" in line for line in stats(page)["corner"])
    moving = stats(page)["moving"]
    print(f"\nPyVista 48^3: frames while dragging {statistics.median(moving):.0f} ms")
    assert len(moving) >= 3

    page.get_by_label("PyVista shows").click()
    page.get_by_role("menuitem", name="isosurfaces").click()
    page.get_by_role("slider", name=re.compile("^Isosurface")).wait_for()
    surfaces = wait_until_still(page)
    assert np.abs(surfaces - after).mean() > 1
    visit.screenshot("volume_pyvista_isosurfaces")
    page.get_by_label("PyVista shows").click()
    page.get_by_role("menuitem", name="slices").click()
    slices = wait_until_still(page)
    assert np.abs(slices - surfaces).mean() > 1
    visit.screenshot("volume_pyvista_slices")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save picture").click()
    assert np.asarray(Image.open(saved.value.path()).convert("L")).std() > 5


def test_a_movie_is_made_while_the_page_lives(visit, url, gl):
    page = visit.page
    page.goto(f"{url}&renderer=pyvista&picture=isosurfaces", wait_until="commit")
    page.locator(".volume-view").wait_for()
    wait_until_still(page)
    page.get_by_role("button", name="Save movie").click()
    page.get_by_role("button", name=re.compile("Stop the movie")).click()  # and another time to its end
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save movie").click()
        page.get_by_role(
            "button", name=re.compile(rf"Stop the movie \([1-9]\d? of {movie.FRAMES}\)")
        ).wait_for()
        page.get_by_role("checkbox", name="Planes of the slices").click()  # answered meanwhile
        page.wait_for_url(re.compile("show_planes=true"))
    with Image.open(saved.value.path()) as film:
        assert film.n_frames > movie.FRAMES / 2  # equal frames are one
        assert film.size == movie.SIZE
        first = np.asarray(film.convert("RGB"), int)
        film.seek(film.n_frames // 2)
        assert np.abs(np.asarray(film.convert("RGB"), int) - first).mean() > 1
    page.get_by_role("button", name="Save movie").wait_for()


def test_without_gl_the_page_says_what_to_install_and_torch_draws(visit, start_server, folder):
    page = visit.page
    page.goto(f"{start_server('-c', SERVE, str(folder), 'bare')}?path=fog.npy&renderer=pyvista")
    page.get_by_text("install libegl1").wait_for()
    assert page.get_by_text("a trial ended with -11").is_visible()
    assert wait_until_still(page).std() > 3
    corner = stats(page)["corner"]
    assert "drawn by the server: torch" in corner
    assert any(re.fullmatch(r"the picture is reduced \d\.\d×", line) for line in corner)
    visit.screenshot("volume_pyvista_without_gl")


def test_spin_turns_until_it_is_switched_off(visit, url):
    page = visit.page
    page.goto(url, wait_until="commit")
    page.locator(".volume-view").wait_for()
    wait_until_still(page)
    assert any("every cell is shown" in line for line in stats(page)["corner"])
    page.get_by_role("checkbox", name="Spin").click()
    seen = [page.locator(".volume-view").screenshot()]
    for _ in range(3):
        frames = stats(page)["frames"]
        wait_until(page, lambda now, frames=frames: now["frames"] > frames + 2)
        assert any("while it moves" in line for line in stats(page)["corner"])
        seen.append(page.locator(".volume-view").screenshot())
    assert len(set(seen)) == len(seen), "the picture stands still"
    page.locator(".volume-view").focus()
    page.keyboard.press(" ")
    page.wait_for_function("!document.location.search.includes('spin=true')")
    assert not page.get_by_role("checkbox", name="Spin").is_checked()
    still = wait_until_still(page)
    page.wait_for_timeout(1000)
    assert np.array_equal(picture(page), still)
    page.wait_for_url(re.compile("azimuth="))
