"""The volume viewer without a browser: data, view, emission, and frames of the server."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from tests.widgets.volume.conftest import SHAPE, asked, said
from widgets import VolumeViewer, volume_viewer
from widgets.volume import data as volume_data
from widgets.volume import gl_probe
from widgets.volume.camera import Camera
from widgets.volume.projector import picture
from widgets.volume.scene import emission_of, markers_of
from widgets.volume.textures import colour_table, parse_points


def test_the_texture_is_the_logarithm_between_the_limits(viewer, cloud):
    canvas = viewer._picture.canvas
    sent = np.frombuffer(canvas.texture, np.uint8).reshape(canvas.shapes["values"])
    grid = viewer._grid
    back = grid.low + sent / 255 * (grid.high - grid.low)
    assert sent.shape == SHAPE  # z slowest, x fastest: as a 3D texture is filled
    assert back == pytest.approx(np.log10(cloud.density), abs=(grid.high - grid.low) / 509)


def test_a_reduced_volume_holds_means_and_maxima_and_says_its_factor(cloud, monkeypatch):
    monkeypatch.setattr(volume_data, "MOST_CELLS", 10)
    viewer = VolumeViewer(cloud)
    assert viewer._grid.factor == 3
    first = np.asarray(cloud.density, np.float64)[:3, :3, :3]
    last = np.asarray(cloud.density, np.float64)[18:, 21:, 15:]  # thinner: 2 x 3 x 1 cells
    assert viewer._grid.mean[0, 0, 0] == pytest.approx(first.mean(), rel=1e-6)
    assert viewer._grid.mean[-1, -1, -1] == pytest.approx(last.mean(), rel=1e-6)
    assert viewer._grid.peak[0, 0, 0] == pytest.approx(first.max(), rel=1e-6)
    scene = viewer._picture.canvas.scene
    assert "reduced 3×: each cell shown is the mean of 3³" in scene["corner"][0]
    assert scene["fill"] == pytest.approx([16 / 18, 24 / 24, 20 / 21])
    before = viewer._picture.canvas.texture
    viewer.mode = "maximum"
    assert "maximum of 3³" in viewer._picture.canvas.scene["corner"][0]
    assert viewer._picture.canvas.texture != before


def test_a_cube_that_is_whole_says_so(viewer):
    assert viewer._picture.canvas.scene["corner"][0] == "fog: 20 × 24 × 16 cells, every cell is shown"


def test_nothing_of_a_huge_cube_is_read_before_it_is_asked_for(tmp_path):
    path = tmp_path / "huge.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (1024, 1024, 1024)}
    with path.open("wb") as file:  # sparse: 4 GB that take no room
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * 1024**3)
    viewer = VolumeViewer(workspace_folder=tmp_path)
    viewer.open("huge.npy")
    assert "1024 × 1024 × 1024 cells, 4.3 GB" in said(viewer)
    assert viewer._reading.button.visible
    assert viewer._reading.button.label == "Read it, reduced 4×"
    assert viewer._data is None


def test_a_large_cube_is_reduced_on_request(cloud, monkeypatch):
    monkeypatch.setattr(volume_data, "LARGE", 1000)
    monkeypatch.setattr(volume_data, "MOST_CELLS", 12)
    viewer = VolumeViewer(cloud)
    assert viewer._data is None
    viewer._reading.button.clicks += 1
    assert viewer._grid.mean.shape == (10, 12, 8)
    assert not viewer._reading.button.visible
    assert "reduced 2×" in viewer._picture.canvas.scene["corner"][0]


def test_axes_are_in_parsecs_and_kilometres_a_second(viewer, ppv):
    axes = viewer._picture.canvas.scene["axes"]  # x, y, z
    assert [axis["label"] for axis in axes] == ["x [pc]", "y [pc]", "z [pc]"]
    assert np.array([axis["ends"] for axis in axes]) == pytest.approx(
        np.array([[0, 1.6], [0, 2.4], [0, 2.0]])
    )
    axes = VolumeViewer(ppv)._picture.canvas.scene["axes"]
    assert axes[2]["label"] == "v [km s⁻¹]"
    assert axes[2]["ends"] == pytest.approx([-1.25, 1.75])


def test_a_line_cube_of_axis_y_and_an_observed_one_are_not_mirrored():
    """Their columns stand as the observer sees them; the box turns them, because its axes are right-handed."""
    values = np.zeros((2, 3, 4), np.float32)
    values[:, 0, 3] = 1.0
    for axis, turned in (("z", False), ("x", False), ("y", True)):
        data = volume_data.volume_data(lab.PPVCube(values, [0.0, 1.0], axis=axis, pixel_size=1 * u.pc))
        assert data.turned is turned
        assert data.layers(0, 1)[0, 0].argmax() == (0 if turned else 3)
        place = data.axes[2].at(0 if turned else 3)
        assert place == pytest.approx(3.5)  # the axis still says where the gas is
        assert data.value(0, 0, 0 if turned else 3) == 1.0
    header = fits.Header(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.01, "CDELT2": 0.01, "CRVAL1": 50.0}
    )
    header.update({"CUNIT1": "deg", "CUNIT2": "deg", "CRPIX1": 1, "CRPIX2": 1, "CRVAL2": 30.0})
    sky = lab.PPVCube(values, [0.0, 1.0], header=header, pixel_size=36 * u.arcsec)
    assert volume_data.volume_data(sky).turned


def test_a_predicted_cube_is_a_cloud():
    import torch

    from polaris_lab.models.volume import predicted_cube

    blueprint = lab.Blueprint.preset("volume", depth_cells=8, layers=2, base_filters=4, cell_size_pc=0.2)
    model = lab.build_model(blueprint).eval()
    with torch.no_grad():
        inputs = {"column_density": torch.full((1, 1, 16, 16), 21.5) + 0.1 * torch.rand(1, 1, 16, 16)}
        cube = predicted_cube(model, inputs, pixel_size_pc=0.1)
    viewer = VolumeViewer(cube)
    assert viewer._grid.mean.shape == (16, 16, 16)
    assert viewer._picture.canvas.scene["corner"][0].startswith("predicted: 16 × 16 × 16 cells")
    viewer.mode = "emission"
    corner = " ".join(viewer._picture.canvas.scene["corner"])
    assert "assumed: gas of 10 K" in corner
    assert "assumed: gas at rest along z, y, x" in corner


@pytest.mark.parametrize(
    ("cube", "words"),
    [
        (np.ones((3, 4)), "three axes"),
        ([1, 2], "expected a SimulationCube"),
        (np.full((2, 2, 2), np.nan), "NaN or inf"),
    ],
)
def test_what_is_no_volume_is_refused(cube, words):
    with pytest.raises((ValueError, TypeError), match=words):
        VolumeViewer(cube)


def test_other_quantities_of_a_cloud(cloud):
    viewer = VolumeViewer(cloud, quantity="velocity_x")
    assert viewer._grid.low == pytest.approx(cloud.velocity["x"].min())
    assert "quantity='velocity_x'" in viewer.code()
    with pytest.raises(ValueError, match="expected one of density, velocity_z"):
        VolumeViewer(cloud, quantity="temperature")


def test_the_lines_of_python_give_the_same_view(tmp_path, cloud):
    path = cloud.save(tmp_path / "fog.npy")
    viewer = VolumeViewer(workspace_folder=tmp_path)
    viewer.open("fog.npy")
    viewer.param.update(
        mode="maximum", azimuth=80.0, colours="viridis", opacity="0:0, 1:0.5", target=(0.1, 0.0, 0.2)
    )
    viewer.param.update(depth=3, clip_row=(0.4, 1.6), window=(2.0, 3.0), perspective=False)
    code = viewer.code()
    assert str(path) in code
    names: dict = {}
    exec(code.replace("VolumeViewer(cube", "again = VolumeViewer(cube"), names)
    again = names["again"]
    for name in volume_viewer.STATE:
        assert getattr(again, name) == getattr(viewer, name), name
    sizes = {"width": 40, "height": 30}
    assert np.array_equal(
        picture(again.scene(), again.camera(), **sizes), picture(viewer.scene(), viewer.camera(), **sizes)
    )


def test_the_camera_of_the_browser_is_that_of_the_sliders(viewer):
    viewer.azimuth = 123.0
    assert viewer._picture.canvas.view["azimuth"] == 123.0
    viewer._picture.canvas.view = Camera(10.0, -20.0, 1.5, (0.1, 0.2, 0.3), False).to_view()
    assert (viewer.azimuth, viewer.elevation, viewer.distance) == (10.0, -20.0, 1.5)
    assert viewer.target == (0.1, 0.2, 0.3)
    assert not viewer.perspective


def test_clipping_planes_are_in_the_units_of_the_axes(viewer):
    viewer.clip_depth = (0.5, 1.5)  # of 2 pc; the box is 24 cells long
    scene = viewer._picture.canvas.scene
    assert scene["clip_low"][2] == pytest.approx(-0.25 * 20 / 24)
    assert scene["clip_high"][2] == pytest.approx(0.25 * 20 / 24)
    assert scene["clip_high"][:2] == pytest.approx([8 / 24, 0.5])


def test_colours_begin_at_the_window_and_opacity_at_its_points():
    table = colour_table("gray", (0.5, 1.0), parse_points("0:0, 0.5:1, 1:0"))
    assert not table[0, :127].any()
    assert table[0, 255, :3].tolist() == [255, 255, 255]
    assert table[0, 191, 3] == pytest.approx(254, abs=2)
    assert table[1, 64, 0] == 64


@pytest.mark.parametrize("text", ["", "0:0", "0:0, 1:2", "a:b, 1:1", "0:0, 1", ", ".join(["0:0"] * 13)])
def test_opacity_that_cannot_be_is_said_and_changes_nothing(viewer, text):
    before = viewer._picture.canvas.lut
    viewer.opacity = text
    assert "expected 2 to 12 pairs" in said(viewer)
    assert viewer._picture.canvas.lut == before
    viewer.opacity = "0:0, 1:1"
    assert not viewer._state.visible


def test_points_dragged_on_the_curve_become_the_opacity(viewer):
    low, high = viewer.window
    viewer._opacity._points.data = {"x": [high, low], "y": [1.2, 0.0]}
    assert viewer.opacity == "0:0, 1:1"
    assert np.frombuffer(viewer._picture.canvas.lut, np.uint8).reshape(2, 256, 4)[0, 255, 3] == 255


def test_slices_are_linked(viewer, cloud):
    viewer._slices[0]._on_tap([None, 5.2, 7.4])
    assert (viewer.depth, viewer.row, viewer.column) == (10, 5, 7)
    shown = viewer._slices[1]._source.data["image"][0]
    assert shown == pytest.approx(np.log10(cloud.density[:, 5]))
    assert viewer._slices[2].figure.title.text == "x = 0.75 pc"
    assert [line.location for line in viewer._slices[0]._lines] == pytest.approx([0.55, 0.75])
    assert f"{cloud.density[10, 5, 7]:.4g} cm" in viewer._value.object
    z, y, x = (figure.figure.x_range for figure in viewer._slices)
    assert (z.start > z.end, y.start > y.end, x.start > x.end) == (
        True,
        False,
        True,
    )  # as the observer sees them


def test_cores_lie_where_their_places_say(cloud, ppv):
    viewer = VolumeViewer(cloud, cores={"z": [0.05], "y": [2.4], "x": [0.8], "name": ["B1"]})
    (marker,) = viewer._picture.canvas.scene["markers"]
    assert marker["name"] == "B1"
    assert marker["place"] == pytest.approx([0.0, 0.5, 20 / 48 * (2 * 0.5 / 20 - 1)])
    viewer.show_cores = False
    assert viewer._picture.canvas.scene["markers"] == []
    data = volume_data.volume_data(ppv)
    assert len(markers_of([(0.5, 0.3, 0.3, "a"), (99.0, 0, 0)], data)) == 1  # v, y, x; the other lies outside
    with pytest.raises(ValueError, match="none called z"):
        markers_of({"y": [1], "x": [1]}, volume_data.volume_data(cloud))
    with pytest.raises(ValueError, match="finite places"):
        markers_of([(np.nan, 1, 1)], data)


def test_two_viewers_share_nothing(cloud):
    one, two = VolumeViewer(cloud), VolumeViewer(cloud)
    one.param.update(azimuth=10.0, mode="maximum", depth=1)
    assert (two.azimuth, two.mode, two.depth) == (225.0, "composite", 10)
    assert two._picture.canvas.scene["mode"] == "composite"


def test_the_channel_changes_only_numbers(viewer):
    viewer.mode = "emission"
    canvas = viewer._picture.canvas
    gas = canvas.gas
    assert len(gas) == 8 * np.prod(SHAPE)
    viewer.channel = 0.7
    assert canvas.gas is gas
    assert canvas.scene["channel"] == 0.7
    assert "13CO 1-0 at 0.70 km s⁻¹" in canvas.scene["corner"][1]
    viewer.line = "C18O 1-0"
    assert canvas.gas is not gas


def test_a_line_cube_adds_up_to_its_integrated_intensity(ppv):
    viewer = VolumeViewer(ppv, mode="emission", perspective=False)
    made = emission_of(viewer._data, viewer._grid, viewer.line)
    expected = lab.integrated_intensity(ppv)
    assert made.peak == pytest.approx(float(expected.max()), rel=1e-5)
    assert made.label == "∫ dv [K km s⁻¹]"


def test_without_webgl_the_server_draws_and_says_so(viewer):
    canvas = viewer._picture.canvas
    canvas.status = "no WebGL2 in this browser"
    assert canvas.renderer == "torch"
    assert "The server draws instead" in said(viewer)
    assert "drawn by the server: torch" in canvas.scene["corner"]
    shown = asked(viewer)
    expected = picture(viewer.scene(), viewer.camera(), width=60, height=40)
    assert np.array_equal(shown, expected)
    assert expected.std() > 5
    moving = asked(viewer, width=600, height=400, moving=True)
    assert moving.shape == (110, 165, 3)


def test_a_frame_that_fails_is_answered_all_the_same(viewer, monkeypatch):
    viewer.renderer = "torch"
    monkeypatch.setattr(viewer._picture._server, "frame", lambda *_a, **_k: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # on a page the exception handler tells the user
        asked(viewer)
    assert viewer._picture.canvas.answered == 1


def test_pyvista_without_gl_is_said_with_the_remedy(viewer, monkeypatch):
    monkeypatch.setattr(gl_probe, "gl_problem", lambda: f"PyVista cannot draw here. {gl_probe.REMEDY}")
    viewer.renderer = "pyvista"
    assert "install libegl1" in said(viewer).replace("&#45;", "-")
    assert viewer._picture.canvas.renderer == "torch"
    assert asked(viewer).std() > 5
