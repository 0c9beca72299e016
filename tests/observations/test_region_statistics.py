from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

from polaris_lab.observations import Observation, Prediction
from polaris_lab.observations.footprint import add_tiles, read_tiles
from polaris_lab.observations.region_statistics import region_statistics
from polaris_lab.observations.regions import parse_regions, region_mask


@pytest.fixture
def pair():
    """Return a map of 1 pc pixels whose right half is ten times denser, and its prediction."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [20.5, 10.5], [50, 30]
    side = np.degrees(1 / 1000)
    wcs.wcs.cdelt = [-side, side]
    column = np.full((20, 40), 1e21)
    column[:, 20:] = 1e22
    column[0, :] = np.nan
    density = np.where(column > 5e21, 1e4, 100.0).astype(np.float32)
    density[0, :] = np.nan
    none = np.zeros(column.shape, np.int16)
    quality = none.copy()
    quality[:, 20:] = 8
    observation = Observation(column, wcs=wcs, distance=1000 * u.pc, species="H")
    low, high = density / 2, density * 2
    made = {"model": "by hand", "target": "density"}
    return observation, Prediction(density, quality, none, wcs, lower68=low, upper68=high, provenance=made)


def box(observation, columns, rows):
    """Return a box around whole pixels as DS9 writes it."""
    (x0, x1), (y0, y1) = columns, rows
    corners = observation.wcs.pixel_to_world(
        [x0 - 0.5, x1 + 0.5, x1 + 0.5, x0 - 0.5], [y0 - 0.5, y0 - 0.5, y1 + 0.5, y1 + 0.5]
    )
    numbers = ", ".join(f"{c.ra.deg:.8f}, {c.dec.deg:.8f}" for c in corners)
    return parse_regions(f"icrs; polygon({numbers})")


def test_a_box_by_hand(pair):
    observation, prediction = pair
    found = region_statistics(observation, prediction, box(observation, (18, 21), (5, 9)))
    assert (found.pixels, found.blank) == (20, 0)
    assert found.area_pc2 == pytest.approx(20, rel=1e-4)
    assert found.column_mean == pytest.approx(5.5e21)
    # N m_H 1.4 over a square parsec: 1e21 cm^-2 are 11.2 solar masses
    assert found.mass_msun == pytest.approx(11.2 * 55 * 2, rel=0.01)
    assert found.density_by_mass == pytest.approx((1e21 * 100 + 1e22 * 1e4) / 1.1e22)
    assert found.density_max == 1e4
    assert found.interval_dex == pytest.approx(np.log10(4), rel=1e-4)
    assert found.flagged == 0.5


def test_blank_pixels_are_counted_apart(pair):
    observation, prediction = pair
    found = region_statistics(observation, prediction, box(observation, (2, 5), (0, 3)))
    assert (found.pixels, found.blank) == (12, 4)
    with pytest.raises(ValueError, match="expected observed pixels inside"):
        region_statistics(observation, prediction, box(observation, (2, 5), (0, 0)))


def test_a_region_off_the_map_is_refused(pair):
    with pytest.raises(ValueError, match="one that covers pixels of the map"):
        region_statistics(*pair, parse_regions("icrs; circle(10, 10, 0.1)"))


def test_maps_of_two_shapes_are_refused(pair):
    observation, prediction = pair
    other = Prediction(
        prediction.density[:5], prediction.quality[:5], prediction.coverage[:5], observation.wcs
    )
    with pytest.raises(ValueError, match="expected the shape of the map"):
        region_statistics(observation, other, parse_regions("icrs; circle(50, 30, 0.1)"))


def test_the_rows_around_a_region_hold_all_of_it(pair):
    """The mask of a part of the map is that of the whole map, also at its edges and for what excludes."""
    from regions import PixCoord

    observation, _ = pair
    yy, xx = np.indices(observation.shape)
    for words in ("circle(50, 30, 0.2)", "ellipse(50.9, 30.2, 0.4, 0.1, 30)", "box(49, 29.5, 1, 0.5, 40)"):
        regions = parse_regions(f"icrs; {words}")
        whole = regions[0].to_pixel(observation.wcs).contains(PixCoord(xx, yy))
        assert (region_mask(observation, regions) == whole).all()
        assert whole.any()
    excluded = parse_regions("icrs; -circle(50, 30, 0.2)")
    assert (
        region_mask(observation, excluded) == excluded[0].to_pixel(observation.wcs).contains(PixCoord(xx, yy))
    ).all()


@pytest.mark.parametrize("words", ["", "circle of fire", "image; circle(3, 3, 2)"])
def test_words_that_are_no_region_are_refused(words):
    with pytest.raises(ValueError, match="region: expected"):
        parse_regions(words)


def test_outlines_of_tiles_are_kept_in_the_file(pair, tmp_path):
    _, prediction = pair
    path = prediction.write_fits(tmp_path / "a.fits")
    assert read_tiles(path) is None
    outlines = np.array([[-0.5, -0.5, 19.5, 19.5], [9.5, -0.5, 39.5, 19.5]])
    add_tiles(path, outlines)
    assert np.allclose(read_tiles(path), outlines)
    again = Prediction.open(path)  # a table more disturbs nobody
    assert np.array_equal(again.density, prediction.density, equal_nan=True)
