"""A line cube on the grid, the beam and the channels of a map."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

import polaris_lab as lab
from polaris_lab.observations import BlankPixelWarning

LINE = lab.Line.named("13CO", "1-0")
KMS = u.km / u.s


def sky(size: int, pixel_arcsec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [52.0, 31.0]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    wcs.wcs.cdelt = [-pixel_arcsec / 3600, pixel_arcsec / 3600]
    return wcs


def cube(size: int = 64, pixel: float = 20.0, centre: float = 5.0, peak: float = 4.0) -> lab.PPVCube:
    velocity = np.arange(0.0, 10.01, 0.1)
    spectrum = peak * np.exp(-((velocity - centre) ** 2) / (2 * 0.5**2))
    header = sky(size, pixel).to_header()
    header["BMAJ"] = header["BMIN"] = 46 / 3600
    data = np.broadcast_to(spectrum[:, None, None], (len(velocity), size, size)).copy()
    return lab.PPVCube(data, velocity, line=LINE, pixel_size=pixel * u.arcsec, header=header)


def observation(size: int = 16, pixel: float = 60.0, beam: float = 120.0) -> lab.Observation:
    return lab.Observation(
        np.full((size, size), 1e21),
        wcs=sky(size, pixel),
        distance=300 * u.pc,
        species="H",
        beam=beam * u.arcsec,
    )


def test_a_uniform_cloud_keeps_its_line_and_loses_its_v_lsr():
    seen = observation().with_line(cube(), efficiency=0.5)
    assert seen.line.velocity[np.argmax(seen.line.ppv_cube[:, 8, 8])] == pytest.approx(0.0, abs=0.06)
    maps = seen.line.inputs()
    assert maps["peak_temperature"][8, 8] == pytest.approx(8.0, rel=1e-3)  # T_A* / 0.5
    assert maps["integrated_intensity"][8, 8] == pytest.approx(8 * 0.5 * np.sqrt(2 * np.pi), rel=1e-3)
    assert maps["velocity_dispersion"][8, 8] == pytest.approx(0.5, rel=0.01)
    assert maps["centroid_velocity"][8, 8] == pytest.approx(0.0, abs=0.01)
    assert any("efficiency of 0.5" in note for note in seen.line.notes)


def test_a_source_is_spread_to_the_beam_of_the_map_and_keeps_its_flux():
    source = cube(size=96, peak=0.0)
    data = np.array(source.data)
    spectrum = np.exp(-((source.velocity - 5) ** 2) / 0.5)
    yy, xx = np.indices((96, 96)) - 47.5
    sigma = 46 / 20 / 2.3548
    data += spectrum[:, None, None] * np.exp(-(xx**2 + yy**2) / (2 * sigma**2))
    seen = observation(size=25, beam=150.0).with_line(source.with_data(data), v_lsr=5 * KMS)
    channel = seen.line.ppv_cube[np.argmin(np.abs(seen.line.velocity))]
    assert np.nansum(channel) * 60**2 == pytest.approx(2 * np.pi * (46 / 2.3548) ** 2, rel=0.02)
    assert np.nanmax(channel) == pytest.approx((46 / 150) ** 2, rel=0.1)


def test_channels_are_those_asked_for_and_integrals_are_kept():
    wanted = np.arange(-4.0, 4.01, 0.5)
    seen = observation().with_line(cube(), velocity=wanted * KMS)
    assert seen.line.velocity == pytest.approx(wanted)
    total = seen.line.ppv_cube[:, 8, 8].sum() * 0.5
    assert total == pytest.approx(4 * 0.5 * np.sqrt(2 * np.pi), rel=1e-3)


def test_channels_beyond_the_observed_are_empty_and_said():
    seen = observation().with_line(cube(), velocity=np.arange(-8.0, 8.01, 0.5) * KMS)
    assert (seen.line.ppv_cube[0] == 0).all()
    assert any("beyond the observed velocities" in note for note in seen.line.notes)


def test_where_the_cube_ends_the_line_is_unknown():
    seen = observation(size=40).with_line(cube(size=40))
    assert 0 < seen.line.observed.mean() < 0.5
    assert np.isnan(seen.line.inputs()["integrated_intensity"][0, 0])
    assert np.isfinite(seen.column_density).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda o, c: o.with_line(c, efficiency=0), "efficiency"),
        (lambda o, c: o.with_line(lab.PPVCube(c.data, c.velocity, header=c.header, pixel_size=c.pixel_size)), "line: expected"),
        (lambda o, c: o.with_line(c, cube_beam=300 * u.arcsec), "no wider than the map's"),
        (lambda o, c: o.with_line(c, velocity=np.arange(50, 60) * KMS), "is v_lsr right"),
        (lambda o, c: o.with_line(c.with_data(0 * c.data)), "v_lsr: expected a line"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call(observation(), cube())


def test_a_cube_elsewhere_and_unknown_beams_are_refused():
    source = cube()
    header = source.header.copy()
    header["CRVAL1"] = 80.0
    with pytest.raises(ValueError, match="elsewhere on the sky"):
        observation().with_line(source.with_data(source.data, header=header))
    del header["BMAJ"], header["BMIN"]
    with pytest.raises(ValueError, match=r"cube_beam=46 \* u\.arcsec"):
        observation().with_line(source.with_data(source.data, header=header))
    blunt = lab.Observation(np.full((16, 16), 1e21), wcs=sky(16, 60.0), distance=300 * u.pc, species="H")
    with pytest.raises(ValueError, match="beam is known"):
        blunt.with_line(source)


def test_l1448_lies_on_the_extinction_map_of_perseus(shared_data):
    """Both of the survey of Ridge et al. 2006: where the dust is, the line is."""
    with pytest.warns(BlankPixelWarning, match="5 of 67921"):
        dust = lab.Observation.from_fits(
            shared_data / "extinction" / "perseus_2mass_AV_galactic.fits",
            distance="Perseus",
            species="A_V",
            beam=5 * u.arcmin,
        )
    line = lab.PPVCube.open(shared_data / "ppv" / "perseus_l1448_13co10.fits")
    seen = dust.with_line(line, LINE, efficiency=0.5, cube_beam=46 * u.arcsec)
    inside = seen.line.observed & np.isfinite(dust.column_density)
    assert 100 < inside.sum() < 500
    bright = seen.line.inputs()["integrated_intensity"][inside]
    assert np.corrcoef(bright, dust.column_density[inside])[0, 1] > 0.4
    assert abs(seen.line.velocity[np.argmax(seen.line.ppv_cube[:, inside].mean(axis=1))]) < 0.5
