"""The emission explorer without a browser: what is solved, seen, said and refused."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from polaris_lab.radiative_transfer import instrument, moments
from widgets import EmissionExplorer, emission_explorer
from widgets.emissions import files as emission_files
from widgets.emissions import job as emission_job
from widgets.emissions.lines import ray_of

KMS = u.km / u.s


def make_gas(shape=(12, 10, 14), *, temperature=True, axes=("z", "y", "x"), seed=0, name="fog"):
    rng = np.random.default_rng(seed)
    density = 500 * np.exp(rng.normal(size=shape))
    still = np.zeros(shape)
    velocity = {axis: rng.normal(0, 0.7, shape) for axis in axes}
    return lab.SimulationCube(
        density,
        cell_size=0.1 * u.pc,
        temperature=still + 12.0 if temperature else None,
        velocity=velocity,
        name=name,
    )


def make_line(shape=(20, 8, 6), pixel=30 * u.arcsec, centre=4.0):
    """A Gaussian line that drifts along the rows."""
    velocity = centre + np.linspace(-2, 2, shape[0])
    drift = centre + np.linspace(-1, 1, shape[1])[:, None]
    data = 5 * np.exp(-((velocity[:, None, None] - drift) ** 2) / 0.2) * np.ones(shape)
    return lab.PPVCube(data.astype(np.float32), velocity, pixel_size=pixel)


def close(one, other):
    """Equal to the rounding of float32: blocks of other sizes are summed in another order."""
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def gas():
    return make_gas()


@pytest.fixture
def explorer(gas):
    made = EmissionExplorer(gas, source="gas", channel_width=0.2)
    assert made.wait().status == "finished"
    return made


def test_a_newcomer_sees_the_sample_cloud():
    assert emission_files.sample().is_gas
    assert emission_files.sample().code == "lab.sample_cloud()"


def test_the_line_is_that_of_the_library(explorer, gas):
    direct = lab.synthesize_ppv(
        gas,
        lab.Line.named("13CO"),
        abundance=explorer.abundance,
        velocity=explorer.ppv.velocity * KMS,
        channel="average",
    )
    close(explorer.ppv.data, direct.data)
    assert explorer.state.title == "13CO 1-0 of fog"
    assert explorer.ppv.velocity[0] < min(v.min() for v in [gas.velocity["z"]]) - 0.4


def test_maps_show_the_channel_and_the_moment(explorer):
    side = explorer.view.sides["synthetic"]
    explorer.velocity = 0.41
    number = int(np.abs(explorer.ppv.velocity - 0.41).argmin())
    np.testing.assert_allclose(side.channel.image, explorer.ppv.data[number], rtol=1e-6)
    assert explorer.channel == number
    assert "0.40 km/s" in side.channel.figure.title.text
    for name in ("centroid", "peak", "dispersion", "integrated_intensity"):
        explorer.moment = name
        expected = getattr(moments.moments(explorer.ppv), name).astype(np.float32)
        np.testing.assert_array_equal(side.moment.image, expected)
        assert "[K" in side.moment._bar.title or "[km" in side.moment._bar.title


def test_a_tap_moves_cursor_spectrum_and_ray(explorer):
    explorer.look_at(0.32, -0.18)  # 14 x 10 pixels of 0.1 pc about the centre
    assert explorer.view.pixel("synthetic") == (3, 10)
    velocity, temperature = explorer.view.spectrum.curve("synthetic")
    np.testing.assert_array_equal(temperature, explorer.ppv.spectrum(row=3, column=10))
    np.testing.assert_array_equal(velocity, explorer.ppv.velocity)
    assert "row 3, column 10" in explorer.cursor.object
    gas = explorer._gas
    np.testing.assert_array_equal(explorer.view.rays.drawn["density"], gas.density[:, 3, 10])
    np.testing.assert_array_equal(explorer.view.rays.drawn["velocity"], gas.velocity["z"][:, 3, 10])
    assert (explorer.fields["x"].value, explorer.fields["y"].value) == (0.32, -0.18)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_light_of_the_first_cell_is_the_spectrum(gas, axis):
    """What leaves the cell next to the observer is what the observer sees, whichever way one looks."""
    ppv = lab.synthesize_ppv(
        gas,
        lab.Line.named("12CO"),
        abundance=1e-4,
        axis=axis,
        velocity=np.arange(-3, 3, 0.2) * KMS,
        channel="average",
    )
    ray = ray_of(gas, ppv, row=2, column=3, abundance=1e-4)
    np.testing.assert_allclose(ray.light[0], ppv.spectrum(row=2, column=3), atol=2e-4 * ppv.data.max())
    assert len(ray.depth) == gas.shape["zyx".index(axis)]
    assert (ray.light[-1] < ray.light.max()).any()


def test_beam_and_noise_act_on_the_cube_that_is_there(explorer, gas):
    before, job = explorer.ppv, explorer._job
    explorer.param.update(beam=150.0, noise=0.3, systemic=2.0)
    expected = instrument.convolve_beam(before, 150 * u.arcsec, distance=300 * u.pc)
    expected = instrument.add_noise(expected, 0.3 * u.K, seed=0)
    np.testing.assert_array_equal(explorer.ppv.data, expected.data)
    np.testing.assert_allclose(explorer.ppv.velocity, before.velocity + 2)
    assert explorer._job is job  # nothing was solved anew
    explorer.param.update(beam=0.0, noise=0.0, systemic=0.0)
    np.testing.assert_array_equal(explorer.ppv.data, before.data)


def test_another_line_is_solved_anew_with_its_usual_abundance(explorer):
    before = explorer.ppv
    explorer.line = "12CO 2-1"
    assert explorer.wait().status == "finished"
    assert explorer.ppv.line.name == "12CO 2-1"
    assert explorer.abundance == 1e-4
    assert explorer.ppv.data.mean() > before.data.mean()
    explorer.param.update(line="C18O 1-0", abundance=3e-7)
    explorer.wait()
    assert (explorer.ppv.line.name, explorer.abundance) == ("C18O 1-0", 3e-7)
    explorer.axis = "x"
    explorer.wait()
    assert explorer.ppv.axis == "x"
    assert explorer.ppv.shape[1:] == (12, 10)


def test_progress_cancel_and_begin_anew(gas):
    gate, seen = threading.Event(), []

    def slowly(*arguments, on_progress, **choices):
        def report(done, total):
            seen.append((done, total))
            if done:
                gate.wait(30)
            on_progress(done, total)

        return lab.synthesize_ppv(*arguments, on_progress=report, **choices)

    explorer = EmissionExplorer(gas, synthesize=slowly)
    end = time.monotonic() + 30
    while len(seen) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    explorer.refresh()
    assert explorer.bar.visible
    assert explorer.start_button.disabled
    assert not explorer.cancel_button.disabled
    explorer.cancel()
    assert explorer.refresh().status == "stopping"
    gate.set()
    assert explorer.wait().status == "stopped"
    assert explorer.job_state.title == "Stopped"
    assert explorer.ppv is None
    assert len(seen) < 10  # far from all blocks
    explorer.solve()
    assert explorer.wait().status == "finished"
    assert explorer.ppv is not None
    assert not explorer.job_state.visible


def test_the_last_choice_wins(gas):
    explorer = EmissionExplorer(gas, channel_width=0.5)
    for line in ("12CO 1-0", "13CO 2-1", "C18O 1-0"):
        explorer.line = line
    assert explorer.wait().status == "finished"
    assert explorer.ppv.line.name == "C18O 1-0"


def test_the_lines_of_python_give_what_is_seen(gas):
    seen = make_line()
    explorer = EmissionExplorer(
        gas,
        source="gas",
        observed=seen,
        observed_source="seen",
        line="13CO 2-1",
        axis="y",
        beam=120.0,
        noise=0.2,
    )
    explorer.wait()
    explorer.param.update(moment="centroid", velocity=4.1)
    names = {"gas": gas, "seen": seen}
    exec(explorer.code(), names)
    close(names["ppv"].data, explorer.ppv.data)
    np.testing.assert_array_equal(names["ppv"].velocity, explorer.ppv.velocity)
    side = explorer.view.sides["synthetic"]
    np.testing.assert_allclose(names["channel"], side.channel.image, atol=1e-5)
    shown = explorer.view.sides["observed"].moment.image
    np.testing.assert_array_equal(names["moment"].astype(np.float32), shown)
    assert explorer.lines._pane.tags == [explorer.code()]


def test_the_lines_of_python_of_reduced_gas_without_a_temperature(tmp_path):
    gas = make_gas((8, 8, 8), temperature=False)
    gas.save(tmp_path / "cold.npz")
    explorer = EmissionExplorer(workspace_folder=tmp_path, path="cold.npz", reduction=2, temperature=15.0)
    assert explorer.wait().status == "finished"
    assert explorer.ppv.shape[1:] == (4, 4)
    assert "blocks of 2" in explorer.state.object
    names = {}
    exec(explorer.code(), names)
    close(names["ppv"].data, explorer.ppv.data)


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


# -- bad input -----------------------------------------------------------------------------------------


def state_of(explorer) -> str:
    return f"{explorer.state.severity}: {explorer.state.title}: {explorer.state.object}"


@pytest.fixture
def workspace(tmp_path, gas):
    gas.save(tmp_path / "gas.zarr")
    make_line().to_fits(tmp_path / "line.fits")
    return tmp_path


def test_files_of_the_workspace(workspace):
    explorer = EmissionExplorer(workspace_folder=workspace, path="gas.zarr", observed_path="line.fits")
    assert explorer.wait().status == "finished"
    assert explorer.observed.shape == (20, 8, 6)
    assert "lab.SimulationCube.open" in explorer.code()
    assert "observed = lab.PPVCube.open" in explorer.code()
    explorer.path = "line.fits"
    assert explorer.ppv.shape == (20, 8, 6)
    explorer.observed_path = ""
    assert explorer.observed is None
    assert not explorer.beside.visible


@pytest.mark.parametrize("name", ["../line.fits", "/etc/passwd", "a/../../x.fits", "link/line.fits"])
def test_a_path_outside_the_workspace_is_refused(workspace, name, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(workspace / "line.fits", other / "line.fits")
    (workspace / "link").symlink_to(other)
    explorer = EmissionExplorer(workspace_folder=workspace, path="line.fits")
    shown = explorer.ppv
    for which in ("path", "observed_path"):
        setattr(explorer, which, name)
        assert "inside the workspace folder" in state_of(explorer)
        assert explorer.ppv is shown
        assert explorer.observed is None


@pytest.mark.parametrize("which", ["path", "observed_path"])
@pytest.mark.parametrize("damage", ["empty", "cut", "half", "noise", "map", "gone"])
def test_a_file_that_is_no_cube_is_said(workspace, which, damage):
    bad = workspace / "bad.fits"
    whole = (workspace / "line.fits").read_bytes()
    if damage == "map":
        fits.PrimaryHDU(np.ones((4, 4))).writeto(bad)
    elif damage != "gone":
        bad.write_bytes(
            {"empty": b"", "cut": whole[:3000], "half": whole[:7000], "noise": b"\x00\xff" * 4000}[damage]
        )
    explorer = EmissionExplorer(workspace_folder=workspace, path="line.fits")
    shown = explorer.ppv
    setattr(explorer, which, "bad.fits")
    assert explorer.state.severity == "error", damage
    assert "expected" in explorer.state.object
    assert explorer.ppv is shown
    setattr(explorer, which, "line.fits")
    assert explorer.state.severity == "success"


def test_gas_without_a_velocity_says_which_are_there():
    explorer = EmissionExplorer(make_gas(axes=("x",)))
    assert explorer.wait().status == "failed"
    assert "carries &quot;x&quot;" in explorer.job_state.object or '"x"' in explorer.job_state.object
    assert explorer.job_state.severity == "error"
    explorer.axis = "x"
    assert explorer.wait().status == "finished"


def test_gas_without_a_temperature_takes_the_one_of_the_field():
    explorer = EmissionExplorer(make_gas(temperature=False), temperature=0.0)
    assert explorer.wait().status == "failed"
    assert "expected a temperature" in explorer.job_state.object
    explorer.temperature = 10.0
    assert explorer.wait().status == "finished"
    assert float(explorer._gas.temperature.max()) == 10.0


class Lazy:
    """An array of a file that is far too large to be read."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape):
        self.shape = shape

    def __getitem__(self, _key):
        raise AssertionError("a cube that is too large was read")


def test_a_cube_of_1024_is_said_and_not_begun():
    shape = (1024,) * 3
    gas = lab.SimulationCube(Lazy(shape), cell_size=0.01 * u.pc, velocity={"z": Lazy(shape)})
    explorer = EmissionExplorer(gas)
    assert explorer._job is None
    assert "Too large for a page" in state_of(explorer)
    assert "&#39;Reduce by&#39; 2" in explorer.state.object or "'Reduce by' 2" in explorer.state.object


def test_a_too_large_line_cube_is_said(workspace, monkeypatch):
    monkeypatch.setattr(emission_files, "MOST_BYTES", 1000)
    explorer = EmissionExplorer(workspace_folder=workspace, path="line.fits")
    assert "which a page would read whole" in explorer.state.object


def test_too_many_channels_are_refused_before_they_are_solved(monkeypatch, gas):
    monkeypatch.setattr(emission_job, "MOST_BYTES", 1000)
    explorer = EmissionExplorer(gas)
    assert explorer.wait().status == "failed"
    assert "choose wider channels" in explorer.job_state.object


def test_a_file_deleted_while_it_is_shown(workspace):
    explorer = EmissionExplorer(workspace_folder=workspace, path="gas.zarr")
    explorer.wait()
    shutil.rmtree(workspace / "gas.zarr")
    explorer.look_at(0.1, 0.1)  # the line cube is still there
    assert explorer.view.spectrum.curve("synthetic")[1].size
    explorer.line = "12CO 1-0"
    assert explorer.wait().status == "failed"
    assert explorer.job_state.object
    assert explorer.ppv.line.name == "13CO 1-0"


def test_a_beam_without_a_pixel_size_is_said():
    explorer = EmissionExplorer(make_line(pixel=None))
    assert explorer.view.sides["synthetic"].channel.figure.xaxis[0].axis_label == "x offset [px]"
    explorer.beam = 30.0
    assert "known pixel size" in explorer.state.object
    explorer.beam = 0.0
    assert explorer.state.severity == "success"


def test_an_abundance_that_is_no_number_is_said(explorer):
    field = explorer.gas_widgets[1]
    with pytest.raises(ValueError, match=r"such as 1\.4e-6, got 'soup'"):
        field.value = "soup"
    assert field.value == f"{explorer.abundance:.3g}"
    field.value = "2e-6"
    assert explorer.abundance == 2e-6
    explorer.wait()


def test_a_map_without_any_value():
    cube = make_line()
    explorer = EmissionExplorer(cube.with_data(np.full(cube.shape, np.nan, np.float32)))
    assert explorer.ppv is not None
    assert "no value" in explorer.cursor.object


@pytest.mark.parametrize("cube", [np.ones((4, 4, 4)), "cube.fits"])
def test_what_is_no_cube_is_refused(cube):
    with pytest.raises(TypeError, match="expected a SimulationCube or a PPVCube"):
        EmissionExplorer(cube)


def test_two_explorers_share_nothing(gas):
    one, other = EmissionExplorer(gas), EmissionExplorer(gas)
    one.wait(), other.wait()
    before = other.ppv.data.copy(), other.velocity, other.state.object
    one.param.update(noise=1.0, velocity=0.5, moment="peak")
    np.testing.assert_array_equal(other.ppv.data, before[0])
    assert (other.velocity, other.state.object) == before[1:]
    assert one.view.figures["channel"] is not other.view.figures["channel"]


def test_what_was_made_is_kept_and_cannot_be_changed(workspace):
    one = EmissionExplorer(workspace_folder=workspace, path="gas.zarr")
    one.wait()
    other = EmissionExplorer(workspace_folder=workspace, path="gas.zarr")
    assert other.ppv is not None  # at once: from the store
    assert other._base is one._base
    with pytest.raises(ValueError, match="read-only"):
        other._base.data[0, 0, 0] = 1.0


def test_an_address_with_nonsense_is_said(explorer):
    explorer.refuse({"beam": "soup"})
    assert "beam=soup" in explorer.state.object


def test_a_page_says_what_is_wrong_with_its_path(workspace):
    page = emission_explorer.app("nothing.fits", workspace_folder=workspace)
    assert page.title == "Emission explorer"
    explorer_state = page.main[-1][0]
    assert "choose one from the list" in explorer_state.object


def test_a_cell_of_a_notebook_holds_controls_and_figures(explorer):
    from bokeh.models import Plot

    root = explorer.__panel__().get_root()
    titles = {model.title.text for model in root.references() if isinstance(model, Plot)}
    assert {"Spectrum at the cursor", "Its velocity; dotted: the channel"} <= titles
    labels = [axis.axis_label for model in root.references() if isinstance(model, Plot)
              for axis in [*model.below, *model.left] if axis.visible and hasattr(axis, "axis_label")]  # fmt: skip
    assert all(labels)


def test_the_real_cube_of_perseus_beside_a_small_cloud(shared_data, gas, tmp_path):
    shutil.copy(shared_data / "ppv" / "perseus_l1448_13co10.fits", tmp_path / "l1448.fits")
    explorer = EmissionExplorer(gas, workspace_folder=tmp_path, observed_path="l1448.fits")
    explorer.wait()
    assert explorer.observed.shape == (53, 105, 105)
    assert explorer.systemic == pytest.approx(4.4, abs=0.3)  # L1448 lies near 4.4 km/s
    explorer.look_at(0.0, 0.0)
    assert "03h2" in explorer.cursor.object  # right ascension of the middle of the map
    assert explorer.view.sides["observed"].half("arcsec", 300.0) == pytest.approx(105 * 23 / 2, rel=0.01)


def test_a_slider_of_the_telescope_is_fast():
    """A beam or noise step costs less than a few convolutions of the same cube, timed in the same run."""
    line = make_line((80, 128, 128))
    explorer = EmissionExplorer(line)

    def cpu(function):
        begin = time.process_time()
        function()
        return time.process_time() - begin

    reference = min(cpu(lambda: instrument.convolve_beam(line, 90 * u.arcsec).data) for _ in range(3))
    steps = [cpu(lambda value=value: explorer.param.update(beam=value)) for value in (60.0, 80.0, 100.0)]
    print(f"beam slider, 80 x 128^2: {1e3 * min(steps):.0f} ms CPU; one convolution {1e3 * reference:.0f} ms")
    assert min(steps) < 6 * reference + 0.1
