from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from widgets.overlay.map_pyramid import MapPyramid
from widgets.overlay.sky_ticks import View, pixels_of, sky_grid, sky_of

VIEW = View(-0.5, 199.5, -0.5, 149.5)


def wcs_of(rotation: float, *, frame: str = "RA", declination: float = 31.0, mirrored: bool = False) -> WCS:
    names = {"RA": ["RA---TAN", "DEC--TAN"], "GLON": ["GLON-TAN", "GLAT-TAN"]}[frame]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = names, [0.05, declination], [100, 75]
    turn = np.radians(rotation)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = matrix @ np.diag([0.01 if mirrored else -0.01, 0.01])
    return wcs


def number(words: str) -> float:
    """Read a label back [deg]."""
    sign = -1 if words.startswith("−") else 1
    hours = "ʰ" in words
    if not hours and "°" not in words:
        return float(words.replace("−", "-"))
    for mark in "ʰᵐˢ°′″":
        words = words.replace(mark, " ")
    parts = [float(part) for part in words.replace("−", "").split()]
    return sign * sum(part / 60**i for i, part in enumerate(parts)) * (15 if hours else 1)


@pytest.mark.parametrize("rotation", [0, 20, 45, 90, 137, 180, 250])
@pytest.mark.parametrize("frame", ["RA", "GLON"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_each_tick_lies_where_its_label_says(rotation, frame, mirrored):
    wcs = wcs_of(rotation, frame=frame, mirrored=mirrored)
    grid = sky_grid(wcs, VIEW)
    for ticks, place in (
        (grid.bottom, lambda pixel: (pixel, VIEW.bottom)),
        (grid.left, lambda pixel: (VIEW.left, pixel)),
    ):
        assert 2 <= len(ticks.pixels) <= 8
        index = 0 if "longitude" in ticks.label or "Right" in ticks.label else 1
        for pixel, words in zip(ticks.pixels, ticks.words, strict=True):
            value = float(sky_of(wcs, *place(pixel))[index])
            apart = (value - number(words) + 180) % 360 - 180
            assert abs(apart) < 2e-4, (words, value)


def test_a_map_on_its_side_has_declination_along_the_bottom():
    assert "Right ascension" in sky_grid(wcs_of(10), VIEW).bottom.label
    assert "Declination" in sky_grid(wcs_of(90), VIEW).bottom.label
    assert "Right ascension" in sky_grid(wcs_of(90), VIEW).left.label


@pytest.mark.parametrize("rotation", [0, 33, 90])
def test_every_line_of_the_graticule_keeps_one_coordinate(rotation):
    wcs = wcs_of(rotation)
    grid = sky_grid(wcs, VIEW)
    assert len(grid.xs) >= 4
    for x, y in zip(grid.xs, grid.ys, strict=True):
        longitude, latitude = sky_of(wcs, x, y)
        longitude = (longitude + 180) % 360 - 180
        assert min(np.nanstd(longitude), np.nanstd(latitude)) < 1e-6


def test_a_pole_inside_the_map_is_no_trouble():
    grid = sky_grid(wcs_of(0, declination=89.9), VIEW)
    assert len(grid.xs) > 4
    assert grid.left.pixels
    for pixel, words in zip(grid.left.pixels, grid.left.words, strict=True):
        assert float(sky_of(wcs_of(0, declination=89.9), VIEW.left, pixel)[1]) == pytest.approx(
            number(words), abs=1e-3
        )


def test_pixels_and_sky_are_inverse_for_swapped_axes():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["DEC--TAN", "RA---TAN"], [0.01, -0.01]
    wcs.wcs.crval, wcs.wcs.crpix = [31, 52], [50, 50]
    longitude, latitude = sky_of(wcs, 20.0, 70.0)
    assert 51 < longitude < 53
    assert np.allclose(pixels_of(wcs, longitude, latitude), (20, 70))


def test_means_of_blocks_keep_the_total_and_leave_blanks_out():
    rng = np.random.default_rng(0)
    values = rng.random((64, 96)).astype(np.float32)
    part = MapPyramid(values).part((0, 64), (0, 96), most=24)
    assert part.factor == 4
    assert part.image.shape == (16, 24)
    assert part.image.mean() == pytest.approx(values.mean(), rel=1e-5)
    values[:32] = np.nan
    part = MapPyramid(values).part((0, 64), (0, 96), most=24)
    assert np.isnan(part.image[:8]).all()
    assert part.image[8:].mean() == pytest.approx(np.nanmean(values), rel=1e-5)


def test_a_part_says_where_it_lies():
    values = np.arange(101 * 51, dtype=float).reshape(101, 51)
    part = MapPyramid(values).part((33.2, 60), (-5, 20), most=1000)
    assert (part.x, part.y, part.factor) == (-0.5, 32.5, 1)
    assert part.image.shape == (27, 20)
    assert part.image[0, 0] == values[33, 0]
    coarse = MapPyramid(values).part((0, 101), (0, 51), most=20)
    assert coarse.factor == 8
    assert (coarse.width, coarse.height) == (56, 104)  # whole blocks; the last hangs over the edge
