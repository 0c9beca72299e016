"""A line cube in an exported file, as a person without a kernel meets it."""

from __future__ import annotations

import nbformat
import numpy as np
import pytest
from astropy import units as u

from polaris_lab.radiative_transfer import Line, PPVCube
from widgets.plain_emission import PlainEmission

pytestmark = pytest.mark.browser

SHOWN = "[...document.querySelectorAll('.plain-emission .only > .shown svg')].map(s => s.getAttribute('aria-label'))"


@pytest.fixture
def explorer():
    velocity = np.linspace(-2, 2, 41)
    drift = np.linspace(-1, 1, 48)
    bump = np.exp(-((np.linspace(-1, 1, 40)[:, None] - 0.3) ** 2) / 0.1)
    data = 6 * np.exp(-((velocity[:, None, None] - drift) ** 2) / 0.15) * bump
    return PlainEmission(
        PPVCube(data, velocity, line=Line.named("13CO"), pixel_size=0.05 * u.pc), frames=10, places=5
    )


def story(visit, explorer) -> None:
    """Drag, choose, play: all of it without a kernel."""
    page = visit.page
    page.wait_for_load_state("domcontentloaded")
    page.get_by_role("button", name="Play").wait_for()
    channel, place = page.evaluate(SHOWN)
    assert f"{explorer.velocities[0]:.2f}".replace("-", "−") in channel
    slider = page.get_by_role("slider", name="Channel")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert f"{explorer.velocities[2]:.2f}".replace("-", "−") in page.evaluate(SHOWN)[0]
    page.get_by_role("combobox", name="Spectrum at").select_option(index=3)
    assert page.evaluate(SHOWN)[1] == page.locator(".only").nth(1).locator("svg").nth(3).get_attribute(
        "aria-label"
    )
    assert page.evaluate(SHOWN)[1] != place
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"!({SHOWN})[0].includes('{explorer.velocities[2]:.2f}'.replace('-', '−'))")
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause").click()
    assert page.locator("svg").count() == 15
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_one_file_needs_no_kernel_and_no_network(visit, explorer, tmp_path):
    path = explorer.to_html(tmp_path / "cube.html")
    visit.page.goto(path.as_uri())
    story(visit, explorer)
    visit.page.set_viewport_size({"width": 800, "height": 900})
    visit.screenshot("plain_emission")
    visit.page.emulate_media(color_scheme="dark")
    visit.screenshot("plain_emission_dark")
    visit.page.set_viewport_size({"width": 420, "height": 800})
    visit.screenshot("plain_emission_narrow")
    print(f"plain explorer: {path.stat().st_size / 1024:.0f} kB")


def test_an_exported_notebook_needs_no_kernel_and_no_network(visit, explorer, tmp_path):
    from nbconvert import HTMLExporter

    output = nbformat.v4.new_output("execute_result", {"text/html": explorer.html().data}, execution_count=1)
    cell = nbformat.v4.new_code_cell("explorer.html()", outputs=[output])
    # the templates of nbconvert would fetch require.js, MathJax and Mermaid from outside: none is needed here
    exporter = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="", mermaid_js_url="")
    page, _resources = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    path = tmp_path / "notebook.html"
    path.write_text(page, encoding="utf-8")
    visit.page.goto(path.as_uri(), wait_until="commit")
    story(visit, explorer)
    visit.page.set_viewport_size({"width": 900, "height": 900})
    visit.screenshot("plain_emission_notebook")
