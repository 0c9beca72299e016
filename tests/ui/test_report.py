"""A report opened from a file with the network off: the figures really draw."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.training import Run, TrainingConfig
from widgets.report import demo_report

pytestmark = pytest.mark.browser

DRAWN = """() => {
  const found = []
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.tagName === "CANVAS" && element.width > 100) {
        const pixels = element.getContext("2d")?.getImageData(0, 0, element.width, element.height).data
        if (pixels) {
          const colours = new Set()
          for (let i = 0; i < pixels.length; i += 404) {
            if (pixels[i + 3] > 0) colours.add((pixels[i] << 16) + (pixels[i + 1] << 8) + pixels[i + 2])
          }
          found.push(colours.size)
        }
      }
      if (element.shadowRoot) walk(element.shadowRoot)
    }
  }
  walk(document)
  return found
}"""
"""Numbers of colours on each canvas, found through the shadow roots."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the report of a small run."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(24, 32, 32)), (0, 2, 2), mode="wrap")
    column = 21.5 + 0.4 * noise / noise.std()
    density = column - 18.5 + 1.2 * (column - ndimage.uniform_filter(column, (0, 9, 9), mode="reflect"))
    folder = tmp_path_factory.mktemp("report")
    dataset = PatchDataset.from_arrays(
        {"column_density": 10**column},
        {"mass_weighted_density": 10**density},
        pixel_size=0.05 * u.pc,
        split=["training"] * 18 + ["validation"] * 6,
    )
    blueprint = Blueprint.unet(layers=2, base_filters=4, attention=False, reference_scale=2.0)
    config = TrainingConfig(epochs=4, batch_size=6, seed=1, device="cpu")
    run = Run.create(folder / "run", blueprint, dataset, config).train(progress=False)
    predicted, target = run.validate()
    truth = ndimage.zoom(np.log10(target[0]), (6, 9), order=1)
    seen = 10 ** (truth + 18.5)
    seen[:40, :60] = np.nan
    value = np.where(np.isfinite(seen), 10 ** (truth + 0.1 * rng.normal(size=truth.shape)), np.nan)
    half = 10 ** (0.08 + 0.03 * truth)
    return demo_report(
        folder / "report.html",
        run=run,
        dataset=run.dataset(),
        predicted=predicted,
        target=target,
        observation=SimpleNamespace(column_density=seen, pixel_size_pc=0.05, distance_pc=300.0),
        prediction=SimpleNamespace(
            density=value, lower68=value / half, upper68=value * half, run_fingerprint=run.fingerprint
        ),
        truth=10**truth,
        seed=0,
    )


def wait_for_figures(page, count: int, *, colours: int = 1) -> None:
    """Wait until so many figures are drawn (asked from outside: the page's policy allows no eval)."""
    end = time.monotonic() + 60
    while sum(found >= colours for found in page.evaluate(DRAWN)) != count:
        assert time.monotonic() < end, f"colours of the figures: {page.evaluate(DRAWN)}"
        page.wait_for_timeout(200)


def test_every_figure_draws_with_the_network_off(visit, report):
    page = visit.page
    page.context.set_offline(True)
    console = []
    page.on("console", lambda message: console.append(message.text) if message.type == "error" else None)
    page.goto(report.as_uri())
    wait_for_figures(page, 11, colours=5)
    assert page.locator("figure").count() == 11
    assert console == [], "a content policy or a script complained"
    visit.screenshot("report")


def test_a_narrow_window_does_not_overflow(visit, report):
    page = visit.page
    page.set_viewport_size({"width": 420, "height": 800})
    page.goto(report.as_uri())
    wait_for_figures(page, 11)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
