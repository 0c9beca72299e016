"""A line cube beside another, and what is read on both."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.radiative_transfer import instrument, moments
from tests.widgets.emissions.conftest import make_line
from widgets import EmissionExplorer


def test_an_observed_cube_lies_beside_on_the_same_axes(gas):
    explorer = EmissionExplorer(gas, observed=make_line())
    explorer.wait()
    own, other = explorer.view.sides.values()
    assert own.channel.figure.x_range is other.channel.figure.x_range is other.moment.figure.x_range
    pixel = (30 * u.arcsec).to_value(u.rad) * 300  # pc
    assert other.channel._source.data["dh"] == [pytest.approx(8 * pixel)]
    assert explorer.view.half == pytest.approx(max(0.7, 4 * pixel))
    assert explorer.systemic == pytest.approx(
        other.mean_velocity - own.mean_velocity + explorer.systemic, abs=0.02
    )
    assert explorer.beside.visible
    before = explorer.view.pixel("observed"), explorer.view.pixel("synthetic")
    explorer.unit = "arcsec"
    assert (explorer.view.pixel("observed"), explorer.view.pixel("synthetic")) == before
    assert other.channel._source.data["dh"] == [pytest.approx(240.0)]
    assert own.channel._source.data["dw"] == [pytest.approx(np.degrees(1.4 / 300) * 3600)]
    assert own.channel.figure.xaxis[0].axis_label == "x offset [arcsec]"


def test_beyond_its_channels_an_observed_cube_is_blank(gas):
    explorer = EmissionExplorer(gas, observed=make_line(), systemic=1.0)
    explorer.wait()
    explorer.velocity = 0.0
    other = explorer.view.sides["observed"]
    assert np.isnan(other.channel.image).all()
    assert other.channel.figure.title.text == "Observed: no channel at 0.00 km/s"


def test_match_takes_noise_and_velocity(gas):
    noisy = instrument.add_noise(make_line((60, 20, 20)), 0.25 * u.K, seed=1)
    explorer = EmissionExplorer(gas, observed=noisy)
    explorer.wait()
    explorer.match()
    assert explorer.noise == pytest.approx(0.25, rel=0.15)
    assert explorer.view.sides["synthetic"].mean_velocity == pytest.approx(4.0, abs=0.2)
    with pytest.raises(ValueError, match="expected an observed cube to match"):
        EmissionExplorer(make_line()).match()


def test_same_colours_on_both_sides(gas):
    explorer = EmissionExplorer(gas, observed=make_line(), same_colours=True)
    explorer.wait()
    own, other = explorer.view.sides.values()
    for name in ("channel", "moment"):
        a, b = getattr(own, name).mapper, getattr(other, name).mapper
        assert (a.low, a.high) == (b.low, b.high)


def test_playing_steps_through_the_channels(explorer):
    for channel in (3, 4, 5):
        explorer.player.value = channel
        assert explorer.velocity == pytest.approx(explorer.ppv.velocity[channel], abs=1e-4)
    assert explorer.player.end == len(explorer.ppv.velocity) - 1


def test_a_tap_on_a_small_map_or_the_spectrum_chooses_the_velocity(explorer):
    strip = explorer.view.strip
    strip._tapped(1.5, 1.5, explorer.tune)  # second map of the upper row
    assert explorer.velocity == pytest.approx(strip.velocities[1], abs=1e-4)
    strip._tapped(-1.0, 0.5, explorer.tune)  # beside them
    assert explorer.velocity == pytest.approx(strip.velocities[1], abs=1e-4)


def test_a_line_cube_is_shown_as_it_is():
    line = make_line()
    explorer = EmissionExplorer(line, source="line")
    assert explorer.ppv is line
    assert all(widget.disabled for widget in explorer.gas_widgets)
    assert not explorer.rays_box.visible
    assert "line and abundance are its own" in explorer.state.object
    names = {"line": line}
    exec(explorer.code(), names)
    np.testing.assert_array_equal(names["moment"], moments.moments(line).integrated_intensity)


def test_a_large_map_is_drawn_from_means_and_says_so():
    data = np.random.default_rng(0).uniform(0, 1, (3, 600, 520)).astype(np.float32)
    explorer = EmissionExplorer(lab.PPVCube(data, [0.0, 1.0, 2.0], pixel_size=1 * u.arcsec))
    channel = explorer.view.sides["synthetic"].channel
    assert channel.image.shape == (200, 174)
    assert channel.figure.title.text.endswith("(at 1/3 resolution)")
    assert channel._source.data["dw"] == [pytest.approx(174 * 3 / 206264.806 * 300)]


def test_the_real_cube_of_perseus_beside_a_small_cloud(shared_data, gas, tmp_path):
    shutil.copy(shared_data / "ppv" / "perseus_l1448_13co10.fits", tmp_path / "l1448.fits")
    explorer = EmissionExplorer(gas, workspace_folder=tmp_path, observed_path="l1448.fits")
    explorer.wait()
    assert explorer.observed.shape == (53, 105, 105)
    assert explorer.systemic == pytest.approx(4.4, abs=0.3)  # L1448 lies near 4.4 km/s
    explorer.look_at(0.0, 0.0)
    assert "03h2" in explorer.cursor.object  # right ascension of the middle of the map
    assert explorer.view.sides["observed"].half("arcsec", 300.0) == pytest.approx(105 * 23 / 2, rel=0.01)
