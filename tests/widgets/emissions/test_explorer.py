"""The emission explorer without a browser: what is solved and seen."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.radiative_transfer import instrument, moments
from tests.widgets.emissions.conftest import KMS, close, make_gas, make_line
from widgets import EmissionExplorer
from widgets.emissions import files as emission_files
from widgets.emissions.lines import ray_of


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


def test_a_cell_of_a_notebook_holds_controls_and_figures(explorer):
    from bokeh.models import Plot

    root = explorer.__panel__().get_root()
    titles = {model.title.text for model in root.references() if isinstance(model, Plot)}
    assert {"Spectrum at the cursor", "Its velocity (dotted: the channel)"} <= titles
    labels = [axis.axis_label for model in root.references() if isinstance(model, Plot)
              for axis in [*model.below, *model.left] if axis.visible and hasattr(axis, "axis_label")]  # fmt: skip
    assert all(labels)


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
