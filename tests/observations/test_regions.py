"""Parts of a map by sky coordinates, beams, mosaics."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from polaris_lab import Observation
from polaris_lab.observations import beams, regions
from polaris_lab.observations.places import Box

CENTRE = SkyCoord(60.0, 28.0, unit="deg")
RNG = np.random.default_rng(2)


def sky(
    shape, *, angle: float = 0.0, pixel: float = 0.005, centre: SkyCoord = CENTRE, galactic: bool = False
) -> WCS:
    wcs = WCS(naxis=2)
    at = centre.galactic if galactic else centre
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"] if galactic else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [at.l.deg, at.b.deg] if galactic else [at.ra.deg, at.dec.deg]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    turn = np.radians(angle)
    wcs.wcs.cd = pixel * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return wcs


def observe(shape=(100, 120), column=None, **choices) -> Observation:
    column = 1e21 * RNG.lognormal(0, 0.2, shape) if column is None else column
    where = {key: choices.pop(key) for key in ("angle", "pixel", "centre", "galactic") if key in choices}
    return Observation(
        column, wcs=sky(column.shape, **where), **{"distance": 140 * u.pc, "species": "H"} | choices
    )


@pytest.mark.parametrize("angle", [0.0, 37.0, 180.0])
def test_a_cut_out_keeps_values_and_places(angle):
    whole = observe(angle=angle, error=np.ones((100, 120)))
    centre = whole.wcs.pixel_to_world(70.0, 40.0)
    part = regions.cutout(whole, centre, (20 * 0.005 * u.deg, 30 * 0.005 * u.deg))
    assert part.shape == (20, 30)
    y, x = 7, 11
    at = part.wcs.pixel_to_world(x, y)
    x0, y0 = whole.wcs.world_to_pixel(at)
    assert part.column_density[y, x] == whole.column_density[round(float(y0)), round(float(x0))]
    assert part.pixel_size_arcsec == pytest.approx(whole.pixel_size_arcsec, rel=1e-4)
    assert part.error.shape == part.shape
    assert part.distance_pc == whole.distance_pc


def test_a_size_in_parsecs_goes_with_the_distance():
    whole = observe()
    part = regions.cutout(whole, CENTRE, 20 * whole.pixel_size_pc * u.pc)
    assert part.shape == (20, 20)


def test_the_edge_trims_refuses_or_is_blank():
    whole = observe()
    corner = whole.wcs.pixel_to_world(0.4, 0.4)  # pixels -9 to 10 of each axis
    size = 20 * 0.005 * u.deg
    assert regions.cutout(whole, corner, size).shape == (11, 11)
    partial = regions.cutout(whole, corner, size, mode="partial")
    assert partial.shape == (20, 20)
    assert np.isnan(partial.column_density).sum() == 20**2 - 11**2
    with pytest.raises(ValueError, match="across its edge"):
        regions.cutout(whole, corner, size, mode="strict")


@pytest.mark.parametrize("galactic", [False, True])
def test_a_box_lies_in_its_cut_out_in_any_frame(galactic):
    where = Box("mine", 60.0, 28.0, 0.1, 0.2, "icrs", "Taurus L1495")
    part = regions.cutout(observe((200, 200), galactic=galactic), where)
    mask = regions.region_mask(part, regions.box_region(where))
    assert mask.sum() == pytest.approx(20 * 40, rel=0.1)
    if not galactic:
        assert part.shape[0] / part.shape[1] == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda o: regions.cutout(o, "saxophone"), "lies outside"),
        (lambda o: regions.cutout(o, "saxofone"), "did you mean 'saxophone'"),
        (lambda o: regions.cutout(o, CENTRE), "size: expected the side"),
        (lambda o: regions.cutout(o, "L1495", 1 * u.deg), "expected none with the region"),
        (
            lambda o: regions.cutout(o, SkyCoord(200, -40, unit="deg"), 1 * u.deg),
            "expected a place on the map",
        ),
        (lambda o: regions.cutout(o, CENTRE, 1 * u.deg, mode="wrap"), '"trim", "strict"'),
        (lambda o: regions.cutout(o, (60, 28), 1 * u.deg), "one SkyCoord"),
        (lambda o: regions.cutout(o, CENTRE, -1 * u.deg), "positive"),
    ],
)
def test_places_that_make_no_sense_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call(observe())


def test_a_size_in_kelvin_is_refused():
    with pytest.raises(u.UnitsError, match="an angle or a length"):
        regions.cutout(observe(), CENTRE, 3 * u.K)


def test_ds9_regions_go_out_and_come_in(tmp_path):
    path = tmp_path / "box.reg"
    here = Box("mine", 60.0, 28.0, 0.1, 0.2, "icrs", "Taurus L1495")
    regions.write_regions(regions.box_region(here), path)
    found = regions.read_regions(path)
    whole = observe((200, 200), angle=20)
    assert np.array_equal(
        regions.region_mask(whole, found), regions.region_mask(whole, regions.box_region(here))
    )
    with pytest.raises(FileExistsError, match="overwrite"):
        regions.write_regions(found, path)
    path.write_text("# Region file format: DS9\nimage\ncircle(10,10,3)\n")
    with pytest.raises(ValueError, match="sky coordinates"):
        regions.read_regions(path)
    with pytest.raises(FileNotFoundError):
        regions.read_regions(tmp_path / "none.reg")
    with pytest.raises(ValueError, match="lies outside"):
        regions.region_mask(observe(), regions.box_region("saxophone"))


def test_smoothing_reaches_the_beam_and_keeps_the_mass():
    """A Gaussian source of the own beam becomes one of the wider beam with the same sum."""
    yy, xx = np.indices((101, 101)) - 50
    own, wide = 4.0, 9.0
    sigma = own / beams.FWHM_PER_SIGMA
    column = 1e20 + 1e23 * np.exp(-(xx**2 + yy**2) / (2 * sigma**2))
    whole = observe(column=column, beam=own * 18 * u.arcsec, spikes=False)
    smoothed = beams.smooth(whole, wide * 18 * u.arcsec)
    ratio = (smoothed.column_density[50, 50] - 1e20) / 1e23
    assert ratio == pytest.approx((own / wide) ** 2, rel=0.01)
    assert smoothed.column_density.sum() == pytest.approx(column.sum(), rel=1e-6)
    assert smoothed.beam_arcsec == pytest.approx(wide * 18)


def test_blank_pixels_do_not_spoil_their_neighbours():
    column = np.full((60, 60), 1e21)
    column[20:30, 20:30] = np.nan
    smoothed = beams.smooth(observe(column=column, beam=36 * u.arcsec), 120 * u.arcsec)
    assert np.isnan(smoothed.column_density[20:30, 20:30]).all()
    assert np.nanmax(np.abs(smoothed.column_density / 1e21 - 1)) < 1e-9


def test_noise_smooths_as_its_error_says():
    noise = 1e21 + 1e19 * RNG.standard_normal((300, 300))
    whole = observe(column=noise, beam=20 * u.arcsec, error=np.full((300, 300), 1e19))
    smoothed = beams.smooth(whole, 120 * u.arcsec)
    inner = slice(40, -40)
    measured = smoothed.column_density[inner, inner].std()
    assert measured == pytest.approx(smoothed.error[150, 150], rel=0.1)


def test_a_narrower_beam_cannot_be_reached():
    with pytest.raises(ValueError, match="cannot be put back"):
        beams.smooth(observe(beam=36 * u.arcsec), 18 * u.arcsec)
    with pytest.raises(ValueError, match="own beam is known"):
        beams.smooth(observe(), 60 * u.arcsec)


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_prepared_maps_have_the_pixel_the_beam_and_the_mass(angle):
    whole = observe((120, 120), beam=36 * u.arcsec, angle=angle)
    made = beams.prepare(whole, pixel_size=2.5 * whole.pixel_size_pc * u.pc, beam_pixels=3.0)
    assert made.pixel_size_pc == pytest.approx(2.5 * whole.pixel_size_pc, rel=1e-3)
    assert made.beam_arcsec / made.pixel_size_arcsec == pytest.approx(3.0, rel=1e-3)
    assert made.column_density.mean() == pytest.approx(whole.column_density.mean(), rel=2e-3)
    corner = made.wcs.pixel_to_world(-0.5, -0.5)
    assert corner.separation(whole.wcs.pixel_to_world(-0.5, -0.5)).arcsec < 1e-3
    with pytest.raises(ValueError, match="at least the map's pixel"):
        beams.prepare(whole, pixel_size=0.5 * whole.pixel_size_pc * u.pc)


def test_two_maps_join_to_one():
    left = observe(column=np.full((60, 60), 1e21), centre=SkyCoord(60.1, 28.0, unit="deg"))
    right = observe(column=np.full((60, 60), 1e21), centre=SkyCoord(59.9, 28.0, unit="deg"), angle=25.0)
    joined = beams.mosaic(left, right)
    valid = np.isfinite(joined.column_density)
    assert joined.column_density[valid] == pytest.approx(1e21, rel=1e-6)
    area = valid.sum() * joined.pixel_size_arcsec**2
    assert area < 2 * 60**2 * 18.0**2
    assert area > 1.2 * 60**2 * 18.0**2


def test_maps_that_disagree_are_joined_with_a_warning_and_others_refused():
    low = observe(column=np.full((40, 40), 1e21))
    with pytest.warns(beams.MosaicWarning, match=r"-0\.30 dex"):
        beams.mosaic(low, observe(column=np.full((40, 40), 2e21)))
    with pytest.raises(ValueError, match="one distance"):
        beams.mosaic(low, observe((40, 40), distance=300 * u.pc))
    with pytest.raises(ValueError, match="one beam"):
        beams.mosaic(observe((40, 40), beam=36 * u.arcsec), observe((40, 40), beam=60 * u.arcsec))
    with pytest.raises(ValueError, match="same cloud"):
        beams.mosaic(low, observe((40, 40), centre=SkyCoord(80.0, 28.0, unit="deg")))


def test_another_map_needs_its_own_coordinates():
    with pytest.raises(ValueError, match="a wcs of its own"):
        observe().with_map(np.ones((3, 3)))
