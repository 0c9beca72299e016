"""Channels, several lines at once, and gas properties given cell by cell."""

import numpy as np
from astropy import units as u

from polaris_lab.radiative_transfer import Line, lte, synthesize_ppv

ABUNDANCE = 1.4e-6
KMS = u.km / u.s


def over_peak(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def rms(found, expected):
    return np.sqrt(np.mean((found - expected) ** 2.0) / np.mean(expected**2.0))


def test_an_averaged_channel_is_the_mean_of_fine_ones(line, turbulent_cloud):
    """Channels of many line widths, averaged, equal fine sampling; the centre alone does not."""
    cube = turbulent_cloud((16, 4, 4))
    coarse = np.arange(-5.5, 6, 1.0)
    fine = (coarse[:, None] + (np.arange(400) + 0.5) / 400 - 0.5).ravel()
    choices = {"abundance": ABUNDANCE, "turbulent_dispersion": 0.1 * KMS}
    truth = (
        synthesize_ppv(cube, line, velocity=fine * KMS, **choices).data.reshape(12, 400, 4, 4).mean(axis=1)
    )
    averaged = synthesize_ppv(cube, line, velocity=coarse * KMS, channel="average", **choices).data
    centre = synthesize_ppv(cube, line, velocity=coarse * KMS, **choices).data
    assert rms(averaged, truth) < 1e-3
    assert rms(centre, truth) > 0.05


def test_uneven_channels_are_sampled_where_they_are(line, turbulent_cloud):
    cube = turbulent_cloud()
    even = np.linspace(-5, 5, 201)
    chosen = np.sort(np.random.default_rng(0).choice(201, 40, replace=False))
    choices = {"abundance": ABUNDANCE, "turbulent_dispersion": 0.1 * KMS}
    everything = synthesize_ppv(cube, line, velocity=even * KMS, **choices).data
    part = synthesize_ppv(cube, line, velocity=even[chosen] * KMS, **choices).data
    assert over_peak(part, everything[chosen]) < 2e-5


def test_several_lines_in_one_pass_equal_each_alone(turbulent_cloud):
    cube = turbulent_cloud()
    lines = [Line.named("13CO", "1-0"), Line.named("C18O", "2-1"), Line.named("12CO", "3-2")]
    abundances = [1.4e-6, 2e-7, 1e-4]
    velocity = np.linspace(-5, 5, 64) * KMS
    together = synthesize_ppv(cube, lines, abundance=abundances, velocity=velocity)
    for line, abundance, ppv in zip(lines, abundances, together, strict=True):
        alone = synthesize_ppv(cube, line, abundance=abundance, velocity=velocity)
        np.testing.assert_array_equal(ppv.data, alone.data)
        assert ppv.line == line


def test_cubes_of_abundance_and_dispersion_equal_numbers(line, turbulent_cloud):
    cube = turbulent_cloud()
    velocity = np.linspace(-5, 5, 64) * KMS
    number = synthesize_ppv(
        cube, line, abundance=ABUNDANCE, velocity=velocity, turbulent_dispersion=0.2 * KMS
    )
    ones = np.ones(cube.shape)
    array = synthesize_ppv(
        cube, line, abundance=ABUNDANCE * ones, velocity=velocity, turbulent_dispersion=0.2 * ones * KMS
    )
    assert over_peak(array.data, number.data) < 1e-6


def test_default_channels_hold_the_line(line, caplog, turbulent_cloud):
    cube = turbulent_cloud()
    with caplog.at_level("INFO"):
        ppv = synthesize_ppv(cube, line, abundance=ABUNDANCE)
    assert "chosen from the cube" in caplog.text
    assert np.abs(ppv.data[[0, -1]]).max() < 1e-4 * ppv.data.max()
    assert 2 * ppv.channel_width < 1.7 * lte.line_width(line, float(cube.temperature.min()))
