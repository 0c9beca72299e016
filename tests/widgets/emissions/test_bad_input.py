"""What the emission explorer refuses, and how it says so."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from tests.widgets.emissions.conftest import make_gas, make_line, state_of
from widgets import EmissionExplorer, emission_explorer
from widgets.emissions import files as emission_files
from widgets.emissions import job as emission_job


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


def test_an_address_with_nonsense_is_said(explorer):
    explorer.refuse({"beam": "soup"})
    assert "beam=soup" in explorer.state.object


def test_a_page_says_what_is_wrong_with_its_path(workspace):
    page = emission_explorer.app("nothing.fits", workspace_folder=workspace)
    assert page.title == "Emission explorer"
    explorer_state = page.main[-1][0]
    assert "choose one from the list" in explorer_state.object
