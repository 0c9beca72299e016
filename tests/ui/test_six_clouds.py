"""The figure of six clouds, three made, two simulated, one RAMSES, on one colour scale, as a person sees it."""

from __future__ import annotations

import os

import numpy as np
import pytest

import polaris_lab as lab
from widgets import figures
from widgets.html_report import Figure, Section, write_report

pytestmark = pytest.mark.browser

SIZE = int(os.environ.get("POLARIS_LAB_SIX_CLOUDS", "32"))
"""Cells of the clouds that are made here; 128 gives the picture to look at."""


def six_clouds(shared_data) -> dict:
    """Return column density map and pixel size [pc] of each cloud."""
    output = shared_data / "simulations" / "ramses_hydro_2cpu" / "output_00002"
    clouds = {
        "burgers (generator)": lab.synthetic_cloud(SIZE, 1),
        "fbm (generator)": lab.synthetic_cloud(SIZE, 1, kind="fbm"),
        "cascade (generator)": lab.synthetic_cloud(SIZE, 1, kind="cascade"),
        "simulate(): hydrodynamics": lab.clouds.simulate(SIZE, 1, progress=False),
        "sample_cloud(): MHD": lab.sample_cloud(),
        "RAMSES (adaptive grid)": lab.clouds.open_amr(output),
    }
    return {name: (lab.column_density(cloud, axis="z"), cloud.cell_size_pc) for name, cloud in clouds.items()}


def test_six_clouds_on_one_scale(visit, shared_data, tmp_path):
    pytest.importorskip("yt", reason="yt (extra amr) is not installed")
    maps = six_clouds(shared_data)
    for name, (column, _) in maps.items():  # all stand for clouds of some 1e22 cm^-2
        assert 3e20 < np.median(column) < 3e22, name
    figure = figures.map_grid(
        {name: column for name, (column, _) in maps.items()},
        pixel_size_pc={name: size for name, (_, size) in maps.items()},
    )
    section = Section("Six clouds", [Figure(figure, "Column density of six clouds in the same colours")])
    page = write_report(tmp_path / "six.html", title="Six clouds", sections=[section])
    visit.page.goto(page.as_uri())
    visit.page.wait_for_function(
        """() => {
          let count = 0
          const walk = (root) => root.querySelectorAll("*").forEach((element) => {
            if (element.tagName === "CANVAS" && element.width > 100) count += 1
            if (element.shadowRoot) walk(element.shadowRoot)
          })
          walk(document)
          return count >= 6
        }"""
    )
    visit.page.wait_for_timeout(500)
    visit.screenshot("six_clouds")
