"""The telescope conserves what it must and adds what it is told to."""

import numpy as np
import pytest
from astropy import units as u
from astropy.convolution import Gaussian2DKernel, convolve_fft
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from polaris_lab.radiative_transfer import PPVCube, instrument, integrated_intensity

KMS = u.km / u.s


def cube(shape=(40, 32, 48), pixel=0.05 * u.pc, data=None):
    if data is None:
        data = np.random.default_rng(0).uniform(0, 5, shape)
    return PPVCube(data, np.linspace(-2, 2, len(data)), pixel_size=pixel)


def point(shape=(3, 65, 65)):
    data = np.zeros(shape)
    data[:, shape[1] // 2, shape[2] // 2] = 1.0
    return cube(data=data)


def second_moment(image):
    y = np.arange(len(image)) - (len(image) - 1) / 2
    return np.sqrt((image.sum(1) * y**2).sum() / image.sum())


@pytest.mark.parametrize("pixels", [3.0, 6.0, 12.0])
def test_a_point_becomes_the_beam(pixels):
    seen = instrument.convolve_beam(point(), pixels * 0.05 * u.pc)
    assert seen.data[1].sum() == pytest.approx(1, rel=1e-3)
    assert second_moment(seen.data[1]) * 2.3548 == pytest.approx(pixels, rel=0.02)
    assert seen.provenance["beam_fwhm_pc"] == pytest.approx(pixels * 0.05)


def test_a_beam_may_be_an_angle():
    one = instrument.convolve_beam(point(), 46 * u.arcsec, distance=300 * u.pc)
    other = instrument.convolve_beam(point(), 46 / 206264.806 * 300 * u.pc)
    np.testing.assert_allclose(one.data, other.data, atol=1e-8)
    with pytest.raises(ValueError, match="give distance=140"):
        instrument.convolve_beam(point(), 46 * u.arcsec)
    with pytest.raises(ValueError, match="known pixel size"):
        instrument.convolve_beam(PPVCube(np.zeros((2, 8, 8)), [0, 1]), 46 * u.arcsec)


def test_a_uniform_map_stays_uniform_and_blanks_stay_blank():
    data = np.full((2, 30, 30), 3.0)
    data[:, 4:8, 20:24] = np.nan
    seen = instrument.convolve_beam(cube(data=data), 0.3 * u.pc)
    np.testing.assert_array_equal(np.isnan(seen.data), np.isnan(data))
    np.testing.assert_allclose(seen.data[np.isfinite(data)], 3.0, rtol=1e-6)


@pytest.mark.parametrize("shape", ["gaussian", "hanning"])
def test_channel_response_keeps_the_integral(shape):
    data = np.zeros((101, 2, 2))
    data[50] = 1.0
    seen = instrument.smooth_channels(cube(data=data), 0.2 * KMS, shape=shape)  # 5 channels of 0.04 km/s
    np.testing.assert_allclose(integrated_intensity(seen), integrated_intensity(cube(data=data)), rtol=1e-6)
    assert (seen.data[:, 0, 0] > 0.5 * seen.data.max()).sum() == 5
    with pytest.raises(ValueError, match='expected "gaussian" or "hanning"'):
        instrument.smooth_channels(cube(), 0.2 * KMS, shape="box")


def test_noise_has_the_rms_asked_for_and_a_seed():
    empty = cube(data=np.zeros((40, 64, 64)))
    noisy = instrument.add_noise(empty, 0.25 * u.K, seed=3)
    assert noisy.data.std() == pytest.approx(0.25, rel=0.01)
    np.testing.assert_array_equal(noisy.data, instrument.add_noise(empty, 0.25 * u.K, seed=3).data)
    assert (noisy.data != instrument.add_noise(empty, 0.25 * u.K, seed=4).data).any()
    smooth = instrument.add_noise(empty, 0.25 * u.K, seed=3, beam=0.2 * u.pc)
    assert smooth.data.std() == pytest.approx(0.25, rel=0.01)
    neighbours = np.mean(smooth.data[:, 1:] * smooth.data[:, :-1]) / smooth.data.var()
    assert neighbours > 0.5


def test_baseline():
    empty = cube(data=np.zeros((40, 16, 16)))
    np.testing.assert_allclose(instrument.add_baseline(empty, 0.1 * u.K).data, 0.1)
    wavy = instrument.add_baseline(empty, 0.1 * u.K, order=2, seed=0).data
    assert 0.05 < wavy.mean(axis=0).std() < 0.15
    curvature = np.diff(wavy, n=3, axis=0)
    assert np.abs(curvature).max() < 1e-9  # a parabola and no more
    with pytest.raises(ValueError, match="seed: expected one"):
        instrument.add_baseline(empty, 0.1 * u.K, order=1)


def test_new_channels_keep_the_integral():
    ppv = cube()
    line = np.exp(-0.5 * (ppv.velocity / 0.3) ** 2)[:, None, None] * ppv.data
    ppv = ppv.with_data(line)
    for width in (0.3, 0.07):
        new = instrument.resample_channels(ppv, np.arange(-1.8, 1.9, width) * KMS)
        np.testing.assert_allclose(integrated_intensity(new), integrated_intensity(ppv), rtol=1e-4)
    beyond = instrument.resample_channels(ppv, np.array([0.0, 0.5, 5.0, 5.5]) * KMS)
    assert np.isnan(beyond.data[2:]).all()
    assert np.isfinite(beyond.data[0]).all()


@pytest.mark.parametrize("factor", [2.0, 2.5, 0.5])
def test_new_pixels_keep_the_mean(factor):
    ppv = cube(shape=(4, 20, 40))
    seen = instrument.resample_pixels(ppv, factor * 0.05 * u.pc)
    assert seen.shape == (4, int(20 / factor), int(40 / factor))
    np.testing.assert_allclose(seen.data.mean(axis=(1, 2)), ppv.data.mean(axis=(1, 2)), rtol=1e-6)
    assert seen.pixel_size.to_value("pc") == pytest.approx(factor * 0.05)
    if factor == 2:
        np.testing.assert_allclose(seen.data[0, 3, 5], ppv.data[0, 6:8, 10:12].mean())
    with pytest.raises(ValueError, match="at most the size of the map"):
        instrument.resample_pixels(ppv, 5 * u.pc)


def test_coordinates_follow_the_pixels():
    """A pixel of the coarse map lies at the mean of its fine ones."""
    placed = instrument.place_on_sky(cube(), SkyCoord(68 * u.deg, 26 * u.deg), distance=140 * u.pc)
    coarse = instrument.resample_pixels(placed, 4 * placed.pixel_size)
    fine = placed.wcs.pixel_to_world(4 * 3 + 1.5, 4 * 2 + 1.5)
    assert coarse.wcs.pixel_to_world(3, 2).separation(fine) < 0.01 * u.arcsec


def test_a_simulation_goes_onto_a_map(tmp_path):
    """Placed on the sky and resampled to the pixels of another map, half as large and turned by 30 degrees."""
    y, x = np.indices((32, 48))
    bump = np.exp(-((y - 12.0) ** 2 + (x - 30.0) ** 2) / 40)
    ppv = instrument.convolve_beam(cube(data=np.array([bump, 2 * bump])), 0.1 * u.pc)
    placed = instrument.place_on_sky(ppv, SkyCoord(68 * u.deg, 26 * u.deg), distance=140 * u.pc)
    assert placed.header["BMAJ"] == pytest.approx(np.degrees(0.1 / 140), rel=1e-6)
    target = WCS(naxis=2)
    step = placed.pixel_size.to_value("deg") / 2
    angle = np.radians(30)
    target.wcs.ctype, target.wcs.crval, target.wcs.crpix = ("RA---TAN", "DEC--TAN"), (68, 26), (60, 60)
    target.wcs.cdelt = -step, step
    target.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    seen = instrument.resample_to(placed, target, (120, 120))
    row, column = np.unravel_index(np.nanargmax(seen.data[1]), (120, 120))
    truth = placed.wcs.pixel_to_world(30, 12)
    assert seen.wcs.pixel_to_world(column, row).separation(truth) < 2 * seen.pixel_size
    np.testing.assert_allclose(seen.data[1], 2 * seen.data[0], rtol=1e-5)
    with pytest.raises(ValueError, match="place_on_sky"):
        instrument.resample_to(ppv, target, (120, 120))
    back = PPVCube.open(seen.to_fits(tmp_path / "map.fits"))
    assert back.wcs.pixel_to_world(column, row).separation(truth) < 2 * seen.pixel_size


@pytest.mark.parametrize("sigma", [0.5, 2.5])
def test_rows_then_columns_are_the_square_kernel(sigma):
    """The round beam as a product of two lines, against astropy's convolution with the square."""
    data = np.random.default_rng(1).normal(size=(2, 24, 31))
    data[:, 3:6, 10:20] = np.nan
    data[1, 20, 4] = np.nan  # the channels miss different pixels
    seen = instrument.convolve_beam(cube(data=data), sigma * np.sqrt(8 * np.log(2)) * 0.05 * u.pc)
    kernel = Gaussian2DKernel(sigma, mode="oversample", factor=10) if sigma < 0.8 else Gaussian2DKernel(sigma)
    for ours, channel in zip(seen.data, data, strict=True):
        whole = convolve_fft(
            channel,
            kernel,
            boundary="fill",
            fill_value=np.nan,
            nan_treatment="interpolate",
            preserve_nan=True,
        )
        np.testing.assert_allclose(ours, whole, atol=1e-6)
