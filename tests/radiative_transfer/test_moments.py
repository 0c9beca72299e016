"""Moments of lines that are known, masks and noise."""

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.radiative_transfer import PPVCube, instrument, moments

KMS = u.km / u.s
VELOCITY = np.arange(-10, 10, 0.1)


@pytest.fixture
def gaussian():
    """Gaussian lines: 5 K, sigma 0.8 km/s, centres from -2 to 2 km/s along the columns."""
    centre = np.linspace(-2, 2, 6)
    data = 5 * np.exp(-0.5 * ((VELOCITY[:, None, None] - centre) / 0.8) ** 2) * np.ones((1, 4, 1))
    return PPVCube(data, VELOCITY), centre


def test_a_gaussian_line(gaussian):
    ppv, centre = gaussian
    found = moments.moments(ppv)
    np.testing.assert_allclose(found.integrated_intensity, 5 * 0.8 * np.sqrt(2 * np.pi), rtol=1e-9)
    np.testing.assert_allclose(found.centroid, np.broadcast_to(centre, (4, 6)), atol=1e-9)
    np.testing.assert_allclose(found.dispersion, 0.8, rtol=1e-9)
    np.testing.assert_allclose(found.peak, 5, rtol=2e-3)
    np.testing.assert_array_equal(moments.centroid_velocity(ppv), found.centroid)
    np.testing.assert_array_equal(moments.velocity_dispersion(ppv), found.dispersion)
    np.testing.assert_array_equal(moments.peak_temperature(ppv), found.peak)


def test_the_velocity_origin_does_not_matter(gaussian):
    ppv, _ = gaussian
    far = PPVCube(ppv.data, ppv.velocity + 5000)
    np.testing.assert_allclose(moments.velocity_dispersion(far), 0.8, rtol=1e-9)
    np.testing.assert_allclose(
        moments.centroid_velocity(far) - 5000, moments.centroid_velocity(ppv), atol=1e-9
    )


def test_uneven_channels_are_weighted_by_their_width(gaussian):
    ppv, _ = gaussian
    chosen = np.sort(np.concatenate([np.arange(0, 60, 2), np.arange(60, 140), np.arange(140, 200, 2)]))
    uneven = PPVCube(ppv.data[chosen], ppv.velocity[chosen])
    np.testing.assert_allclose(
        moments.integrated_intensity(uneven), moments.integrated_intensity(ppv), rtol=1e-3
    )


def test_range_and_mask_choose_what_counts(gaussian):
    ppv, _ = gaussian
    half = moments.integrated_intensity(ppv, velocity_range=(-20 * KMS, 0 * KMS))
    mask = np.broadcast_to((ppv.velocity <= 0)[:, None, None], ppv.shape)
    np.testing.assert_allclose(half, moments.integrated_intensity(ppv, mask=mask))
    assert half[0, 0] > 0.95 * 10.03 > half[0, -1]
    with pytest.raises(ValueError, match="velocity_range: expected channels between"):
        moments.integrated_intensity(ppv, velocity_range=(50 * KMS, 60 * KMS))
    with pytest.raises(ValueError, match="mask: expected booleans of shape"):
        moments.moments(ppv, mask=np.ones(ppv.shape))


def test_noise_and_signal_are_told_apart(gaussian):
    ppv, centre = gaussian
    noisy = instrument.add_noise(PPVCube(np.repeat(ppv.data, 8, axis=1), VELOCITY), 0.3 * u.K, seed=1)
    np.testing.assert_allclose(np.median(moments.noise_map(noisy)), 0.3, rtol=0.05)
    free = moments.noise_map(noisy, velocity_range=(5 * KMS, 10 * KMS))
    np.testing.assert_allclose(np.median(free), 0.3, rtol=0.1)
    mask = moments.signal_mask(noisy)
    assert mask[np.abs(VELOCITY) > 6].mean() < 1e-3
    masked, plain = moments.moments(noisy, mask=mask), moments.moments(noisy)
    truth = np.broadcast_to(centre, masked.centroid.shape)
    assert np.nanstd(masked.centroid - truth) < 0.5 * np.nanstd(plain.centroid - truth)
    assert np.nanmedian(masked.dispersion) == pytest.approx(0.8, rel=0.1)


def test_spectrum_over_an_aperture(gaussian):
    ppv, _ = gaussian
    np.testing.assert_array_equal(moments.spectrum(ppv, row=1, column=2), ppv.data[:, 1, 2])
    inner = ppv.data[:, [1, 1, 1, 0, 2], [1, 2, 3, 2, 2]].mean(axis=1)
    np.testing.assert_allclose(moments.spectrum(ppv, row=1, column=2, radius=1), inner)


def test_channel_maps_cover_the_line(gaussian):
    ppv, _ = gaussian
    velocity, maps = moments.channel_maps(ppv, channels=6)
    assert maps.shape == (6, 4, 6)
    assert -5 < velocity[0] < velocity[-1] < 5
    assert moments.channel_maps(ppv, channels=400)[1].shape[0] < 200  # never more than there are channels
