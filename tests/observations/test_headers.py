"""What a header says of the sky: pixel scale, projection, equinox, beam; and what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations import HeaderWarning, Observation
from tests.observations.conftest import sky_wcs, smooth_column

AT = {"distance": 140 * u.pc, "species": "H2"}


@pytest.mark.parametrize("rotation", [0.0, 14.0, 90.0, 213.0])
@pytest.mark.parametrize("flip", [1, -1])
def test_the_pixel_scale_does_not_depend_on_rotation_or_flips(rotation, flip):
    wcs = sky_wcs((30, 50), rotation=rotation)
    wcs.wcs.cd = wcs.wcs.cd * [flip, 1]
    observation = Observation(smooth_column((30, 50)), wcs=wcs, **AT)
    assert observation.pixel_size_arcsec == pytest.approx(20.0, rel=1e-4)
    assert observation.pixel_size_pc == pytest.approx(20 / 206264.806 * 140, rel=1e-4)


def test_plate_carree_pixels_shrink_towards_the_pole():
    """In CAR a pixel is cos(latitude) narrower than its CDELT says."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["GLON-CAR", "GLAT-CAR"], [-0.01, 0.01]
    wcs.wcs.crval, wcs.wcs.crpix = [170.0, 0.0], [25.0, -5984.5]
    observation = Observation(smooth_column((30, 50)), wcs=wcs, **AT)
    along_y, along_x = observation.pixel_sides_pc
    assert along_x / along_y == pytest.approx(0.5, rel=0.01)
    assert observation.pixel_size_pc == pytest.approx(np.sqrt(along_x * along_y))


@pytest.mark.parametrize("card", ["EQUINOX", "EPOCH"])
def test_equinox_zero_is_ignored_aloud(make_fits, card):
    path = make_fits(RADESYS=None, EQUINOX=None)
    fits.setval(path, card, value=0.0)
    with pytest.warns(HeaderWarning, match=f"{card} = 0.0 is no equinox"):
        observation = Observation.from_fits(path, **AT)
    sky = observation.wcs.pixel_to_world(19.5, 11.5).fk5
    assert sky.ra.deg == pytest.approx(65.0, abs=1e-4)
    assert sky.dec.deg == pytest.approx(27.0, abs=1e-4)


def test_axes_without_projection_are_refused(make_fits):
    with pytest.raises(ValueError, match="celestial WCS"):
        Observation.from_fits(make_fits(CTYPE1="X", CTYPE2="Y"), **AT)


def test_a_beam_in_the_wrong_unit_is_ignored_aloud(make_fits):
    with pytest.warns(HeaderWarning, match="BMAJ = 36"):
        assert Observation.from_fits(make_fits(BMAJ=3600.0), **AT).beam_arcsec is None


def test_a_wcs_without_pixel_size_is_not_taken_for_one_degree(make_fits):
    """FITS lets CDELT default to 1: a map whose header lost it would open at 3600 arcsec a pixel."""
    bare = {f"{card}{axis}": None for card in ("PC1_", "PC2_", "CDELT") for axis in (1, 2)}
    with pytest.raises(ValueError, match=r"expected the size of a pixel \(CDELT1"):
        Observation.from_fits(make_fits(**bare), **AT)


@pytest.mark.parametrize("cards", [{"CDELT1": -0.005, "CDELT2": 0.005}, {"CD1_1": -0.005, "CD2_2": 0.005}])
def test_either_way_to_write_the_pixel_size_will_do(make_fits, cards):
    bare = {f"{card}{axis}": None for card in ("PC1_", "PC2_", "CDELT") for axis in (1, 2)}
    assert Observation.from_fits(make_fits(**bare | cards), **AT).pixel_size_arcsec == pytest.approx(
        18, rel=1e-3
    )


@pytest.mark.parametrize("projection", ["GLS", "SFL"])
@pytest.mark.parametrize("rotation", [0.0, 14.0])
def test_gildas_headers_with_rotated_axes(tmp_path, projection, rotation):
    """GILDAS writes GLS (SFL under its old name), CROTA, and axes of one pixel; rows point CROTA2 west of north."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = f"RA---{projection}", f"DEC--{projection}"
    header["CRVAL1"], header["CRVAL2"] = 85.2483, -2.4583  # the Horsehead
    header["CRPIX1"], header["CRPIX2"] = 50.0, 40.0
    header["CDELT1"], header["CDELT2"] = -0.0025, 0.0025
    header["CROTA2"] = rotation
    header["CTYPE3"], header["CRVAL3"], header["CDELT3"], header["CRPIX3"] = "VELO-LSR", 1e4, 500.0, 1.0
    header["CTYPE4"], header["CRVAL4"], header["CDELT4"], header["CRPIX4"] = "STOKES", 1.0, 1.0, 1.0
    header["EQUINOX"], header["BUNIT"] = 2000.0, "cm-2"
    path = tmp_path / "horsehead.fits"
    fits.writeto(path, np.full((1, 1, 80, 100), 1e21), header)
    found = Observation.from_fits(path, distance="Orion B", species="H2")
    assert found.shape == (80, 100)
    assert found.pixel_size_arcsec == pytest.approx(9.0, rel=1e-6)
    centre, up = found.wcs.pixel_to_world(49, 39), found.wcs.pixel_to_world(49, 79)
    assert centre.ra.deg == pytest.approx(85.2483)
    assert centre.dec.deg == pytest.approx(-2.4583)
    assert centre.position_angle(up).wrap_at(180 * u.deg).deg == pytest.approx(-rotation, abs=1e-3)
    assert centre.separation(up).deg == pytest.approx(40 * 0.0025, rel=1e-4)
