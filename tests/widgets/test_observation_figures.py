"""Figures of observed clouds say what they show, with units, and hold the numbers they were given."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

from polaris_lab.datasets import PatchDataset
from polaris_lab.observations import Observation, cores, coverage, gas
from polaris_lab.observations.cores import CoreErrors
from widgets import figures

RNG = np.random.default_rng(0)
DENSITY = 10 ** RNG.normal(3, 0.5, (80, 80))
COLUMN = 1e20 * DENSITY**0.5
TANGENT = WCS(naxis=2)
TANGENT.wcs.ctype, TANGENT.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.02, 0.02]


def some_errors(count: int = 25) -> CoreErrors:
    log_column = RNG.uniform(21, 22.5, count)
    error = RNG.normal(-1, 0.3, count)
    names = np.array([f"core {i}" for i in range(count)])
    return CoreErrors(
        names, log_column, log_column, log_column, 10 ** (5 + error), np.full(count, 1e5), error, "test"
    )


def elements(overlay: hv.Overlay, kind: type) -> list:
    return [element for element in overlay if type(element) is kind]


def rendered(element: object):
    return hv.renderer("bokeh").get_plot(element).state


def test_every_core_is_drawn_and_the_mean_follows():
    found = some_errors()
    overlay = figures.core_errors({"mine": found})
    (points,) = elements(overlay, hv.Scatter)
    np.testing.assert_allclose(points["error"], found.error_dex)
    (mean,) = elements(overlay, hv.Curve)
    assert len(mean) == len(found) - 9
    plot = rendered(overlay)
    assert "dex" in plot.yaxis[0].axis_label
    assert "cm⁻²" in plot.xaxis[0].axis_label
    assert plot.y_range.start < 0 < plot.y_range.end


def test_few_cores_have_a_shorter_mean_and_none_is_refused():
    (mean,) = elements(figures.core_errors({"mine": some_errors(4)}), hv.Curve)
    assert mean.label == "mine, mean of 4"
    with pytest.raises(ValueError, match="at least one"):
        figures.core_errors({})


def test_the_relation_shows_pixels_contours_and_median():
    relation = gas.column_relation(COLUMN, DENSITY * 10 ** RNG.normal(0, 0.2, DENSITY.shape), bins=30)
    overlay = figures.column_relation(relation)
    (image,) = elements(overlay, hv.QuadMesh)
    assert np.nansum(image.dimension_values("pixels")) == DENSITY.size
    assert any("95 %" in curve.label for curve in elements(overlay, hv.Curve))
    assert "cm⁻³" in rendered(overlay).yaxis[0].axis_label


def test_the_mass_function_and_the_pdf_have_units():
    found = cores.core_mass_function(10 ** RNG.normal(0, 0.5, 300), bins=8)
    assert "M☉" in rendered(figures.core_mass_function({"mine": found})).xaxis[0].axis_label
    pdf = gas.density_pdf(DENSITY, samples=DENSITY * 10 ** RNG.normal(0, 0.1, (5, 1, 1)))
    overlay = figures.density_pdfs({"mine": pdf})
    assert len(elements(overlay, hv.Area)) == 1
    assert "cm⁻³" in rendered(overlay).xaxis[0].axis_label


def test_cores_are_marked_on_a_map():
    overlay = figures.sky_map(COLUMN, label="column_density") * figures.core_markers(
        np.array([3.0, 40.0]), np.array([5.0, 60.0]), np.array(["a", "b"])
    )
    (points,) = elements(overlay, hv.Points)
    assert list(points["core"]) == ["a", "b"]
    assert rendered(overlay) is not None


def test_the_plane_of_coverage_holds_every_window_and_patch():
    observation = Observation(COLUMN, wcs=TANGENT, distance=140 * u.pc, species="H", name="noise")
    patches = COLUMN[:64, :64].reshape(4, 16, 4, 16).swapaxes(1, 2).reshape(16, 16, 16)
    training = PatchDataset.from_arrays(
        {"column_density": 3 * patches},
        {"mass_weighted_density": patches / 1e18},
        pixel_size=observation.pixel_size_pc * u.pc,
        split=["training"] * 16,
    )
    found = coverage.compare(training, observation)
    overlay = figures.coverage_plane(found)
    learnt, seen = elements(overlay, hv.Scatter)
    np.testing.assert_allclose(learnt["mean"], np.log10(3 * patches).mean(axis=(1, 2)), atol=1e-4)
    assert len(seen) == len(found.mean)
    assert learnt["mean"].mean() - seen["mean"].mean() == pytest.approx(np.log10(3), abs=0.05)
    assert all("dex" in axis.axis_label for axis in (*rendered(overlay).xaxis, *rendered(overlay).yaxis))


def test_the_moving_median_is_drawn_where_it_is_wanted():
    found = some_errors()
    (line,) = elements(figures.core_errors({"mine": found}, middle="median"), hv.Curve)
    assert line.label == "mine, median of 10"
    np.testing.assert_allclose(line["error"], found.moving_median(10)[1])
    with pytest.raises(ValueError, match='expected "mean" or "median"'):
        figures.core_errors({"mine": found}, middle="mode")
