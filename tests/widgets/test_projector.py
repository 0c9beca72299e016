"""The pictures of a volume against sums along axes, the project's own line cubes, and views from anywhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from scipy import ndimage

import polaris_lab as lab
from polaris_lab.clouds import project_from, sky_face
from polaris_lab.radiative_transfer import line_fields
from widgets.volume.camera import SLOPE, VIEWS, Camera
from widgets.volume.data import make_grid, volume_data
from widgets.volume.projector import Scene, _profile, march, picture
from widgets.volume.textures import gas_of, stack

SHAPE = (20, 24, 16)  # z, y, x all different: a mistaken order of axes cannot hide
GRAY = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 4, axis=2).repeat(2, axis=0)


def smooth(seed: int, shape=SHAPE, sigma=2.0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="nearest")
    return noise / noise.std()


@pytest.fixture(scope="module")
def cloud():
    return lab.SimulationCube(
        300 * np.exp(1.2 * smooth(0)),
        cell_size=0.1 * u.pc,
        temperature=12 + 2 * smooth(1),
        velocity={axis: 0.4 * smooth(2 + i, sigma=4.0) for i, axis in enumerate("zyx")},
    )


def scene_of(values: np.ndarray, mode: str, **changes) -> Scene:
    data = volume_data(values)
    grid = make_grid(data)
    box = tuple(data.half)
    scene = Scene(
        texture=grid.texture(mode),
        lut=GRAY,
        half=data.half,
        fill=(1.0, 1.0, 1.0),
        mode=mode,
        clip_low=tuple(-v for v in box),
        clip_high=box,
        stride=1 / max(data.shape),
        density=10.0,
    )
    return dataclasses.replace(scene, **changes)


def along(axis: str, shape=SHAPE) -> tuple[Camera, int, int]:
    """Return parallel rays through the centres of all cells of a face, and the size of the picture."""
    rows, columns = (n for name, n in zip("zyx", shape, strict=True) if name != axis)
    distance = rows / max(shape) / 2 / SLOPE
    return Camera(*VIEWS[f"along {axis}"], distance=distance, perspective=False), columns, rows


def face(values: np.ndarray, axis: str) -> np.ndarray:
    return sky_face(values, axis=axis)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_maximum_is_that_of_the_cells_of_each_ray(axis):
    values = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    camera, width, height = along(axis)
    seen = march(scene_of(values, "maximum"), camera, width=width, height=height)
    grid = make_grid(volume_data(values))
    expected = face(grid.scaled(values).max("zyx".index(axis)), axis)
    assert seen == pytest.approx(expected, abs=1.01 / 510)  # half a step of 8 bits


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_thin_emission_is_the_sum_along_the_axis(axis):
    values = np.random.default_rng(2).random(SHAPE).astype(np.float16)
    camera, width, height = along(axis)
    scene = scene_of(
        values.astype(np.float32), "emission", gas=values, thin=True, line={"thin_step": 1.0, "peak": 1.0}
    )
    seen = march(scene, camera, width=width, height=height)
    expected = face(values.astype(np.float64).sum("zyx".index(axis)) / max(SHAPE), axis)
    assert seen == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("abundance", [1e-8, 1.4e-6])
def test_emission_is_the_project_s_radiative_transfer(cloud, axis, abundance):
    """Optically thin and thick, each axis: with one step a cell the marcher is synthesize_ppv, but for its 16 bits."""
    line, channel, sigma = lab.Line.named("13CO"), 0.2, 0.15
    fields = line_fields(cloud, line, abundance=abundance)
    gas, kelvin, numbers = gas_of(fields, volume_data(cloud), dispersion=sigma, channel=channel)
    scene = scene_of(np.asarray(cloud.density), "emission", gas=gas, kelvin=kelvin, line=numbers)
    camera, width, height = along(axis)
    seen = march(scene, camera, width=width, height=height)
    ppv = lab.synthesize_ppv(
        cloud,
        line,
        abundance=abundance,
        axis=axis,
        velocity=[-5.0, channel, 5.0] * u.km / u.s,
        turbulent_dispersion=sigma * u.km / u.s,
        progress=False,
    )
    expected = face(np.asarray(ppv.data[1], np.float64), axis)
    assert expected.max() > 1e-3
    assert np.abs(seen - expected).max() < 4e-3 * expected.max()
    finer = march(dataclasses.replace(scene, stride=scene.stride / 1.5), camera, width=width, height=height)
    assert np.abs(finer - expected).mean() < 0.02 * expected.mean()  # as the page steps, between the cells


@pytest.mark.parametrize("direction", ["along z", "along y", "along x", "oblique"])
def test_the_sky_view_is_not_mirrored(cloud, direction):
    """The picture agrees with project_from, which states its handedness; its mirror image does not."""
    camera = Camera(*VIEWS[direction], distance=1 / SLOPE, perspective=False)
    towards, _right, up = (vector[::-1] for vector in camera.frame)
    view = project_from(cloud, towards, up=up)
    rows, columns = view.column_density.shape
    camera = dataclasses.replace(camera, distance=rows / max(SHAPE) / 2 / SLOPE)
    density = np.asarray(cloud.density)
    scene = scene_of(
        density,
        "emission",
        gas=density.astype(np.float16),
        thin=True,
        line={"thin_step": 24 * cloud.cell_size_cm, "peak": 1.0},
    )
    seen = np.nan_to_num(march(scene, camera, width=columns, height=rows))
    assert seen == pytest.approx(view.column_density, rel=0.15)
    agreement = np.corrcoef(seen.ravel(), view.column_density.ravel())[0, 1]
    mirrored = np.corrcoef(seen[:, ::-1].ravel(), view.column_density.ravel())[0, 1]
    assert agreement > 0.995
    assert mirrored < 0.9


def test_a_mark_at_one_corner_of_the_array_appears_where_a_right_handed_observer_sees_it():
    values = np.full(SHAPE, 0.1, np.float32)
    values[0, -1, 0] = 1.0  # near to the observer of z, at the top (y), and x grows to the left
    camera, width, height = along("z")
    seen = march(scene_of(values, "maximum"), camera, width=width, height=height)
    assert np.unravel_index(seen.argmax(), seen.shape) == (height - 1, width - 1)


def test_composite_of_uniform_gas_is_the_closed_form():
    """Colour c and opacity a everywhere: 1 - exp(-a kappa L) of it, L the path in the box."""
    values = np.full((8, 8, 8), 7.0, np.float32)
    lut = np.zeros((2, 256, 4), np.uint8)
    lut[:, :] = [200, 100, 50, 128]
    scene = scene_of(values, "composite", lut=lut, density=3.0)
    camera, width, height = along("z", (8, 8, 8))
    seen = march(scene, camera, width=width, height=height)
    expected = np.array([200, 100, 50]) / 255 * (1 - np.exp(-128 / 255 * 3.0))
    assert seen[4, 4] == pytest.approx(expected, rel=1e-4)


def test_clipping_leaves_what_lies_between_the_planes():
    values = np.random.default_rng(3).random(SHAPE).astype(np.float32)
    camera, width, height = along("z")
    whole = scene_of(values, "maximum")
    low, high = list(whole.clip_low), list(whole.clip_high)
    low[2] = whole.half[2] * (2 * 5 / 20 - 1)  # cells 5 .. 9 of z
    high[2] = whole.half[2] * (2 * 10 / 20 - 1)
    seen = march(
        dataclasses.replace(whole, clip_low=tuple(low), clip_high=tuple(high)),
        camera,
        width=width,
        height=height,
    )
    expected = face(make_grid(volume_data(values)).scaled(values)[5:10].max(0), "z")
    assert seen == pytest.approx(expected, abs=1.01 / 510)


def test_an_eye_inside_the_cloud_sees_only_what_lies_before_it():
    values = np.full((16, 16, 16), 1.0, np.float32)
    values[:8] = 9.0
    scene = scene_of(values, "maximum")
    inside = Camera(*VIEWS["along z"], distance=0.05, target=(0.0, 0.0, 0.15))
    assert np.nanmax(march(scene, inside, width=9, height=9)) == 0.0  # the bright half lies behind the eye
    behind = Camera(*VIEWS["along z"], distance=0.05, target=(0.0, 0.0, -0.3))
    assert np.nanmax(march(scene, behind, width=9, height=9)) == pytest.approx(1.0)


def test_the_mean_profile_of_a_steep_step_keeps_its_area():
    """Summed over channels it is sqrt(pi) a, however large the velocity step."""
    import torch

    channels = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    for step in (0.0, 0.03, 0.3, 3.0):
        values = _profile(-step / 2 - channels, step / 2 - channels, torch.tensor(1.0, dtype=torch.float64))
        assert float(torch.trapezoid(values, channels)) == pytest.approx(np.sqrt(np.pi), rel=2e-4)


def test_the_first_row_of_a_picture_is_the_upper_one():
    values = np.full((4, 8, 8), 1.0, np.float32)
    values[:, -1] = 2.0
    camera, width, height = along("z", (4, 8, 8))
    shown = picture(scene_of(values, "maximum"), camera, width=width, height=height)
    assert shown[0].min() == 255
    assert shown[-1].max() == 0


def test_a_picture_of_emission_without_gas_is_refused():
    with pytest.raises(ValueError, match="make it with a line"):
        march(scene_of(np.ones((4, 4, 4)), "emission"), Camera(), width=2, height=2)


def test_fields_stack_in_the_order_of_the_shader():
    velocity = np.arange(3.0)[:, None, None, None] * np.ones((1, 2, 2, 2))
    packed = stack(velocity, np.full((2, 2, 2), 9.0))
    assert packed.shape == (2, 2, 2, 4)
    assert packed[1, 1, 1].tolist() == [0, 1, 2, 9]
