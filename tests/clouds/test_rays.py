"""Views from any direction: equal to the faces on the axes, to closed forms elsewhere, and never mirrored."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import Core, add_cores, directions, project_from, shift, sky_face

PC = 3.0856775814913673e18


@pytest.fixture(scope="module")
def box():
    rng = np.random.default_rng(5)
    return lab.SimulationCube(rng.lognormal(6, 1.3, (10, 12, 14)), cell_size=0.05 * u.pc)


def gaussian(size=64, sigma=6.0):
    axis = np.arange(size) - (size - 1) / 2
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return lab.SimulationCube(1e4 * np.exp(-r2 / (2 * sigma**2)) + 1e-3, cell_size=0.05 * u.pc)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_along_an_axis_it_is_the_face(box, axis):
    """Of an observer: rows up, columns to the right."""
    view = project_from(box, axis)
    for found, expected in zip(view[:4], lab.project(box, axis=axis), strict=True):
        np.testing.assert_allclose(found, sky_face(expected, axis=axis), rtol=1e-9)
    np.testing.assert_allclose(view.depth_pc, box.side_pc["zyx".index(axis)])


@pytest.mark.parametrize("direction", [(1, 1, 1), (1, 0.3, 0), (0.2, -1, 0.4), (-0.5, 0.1, 0.8)])
def test_uniform_gas_has_the_column_of_its_depth(direction):
    cube = lab.SimulationCube(np.full((12, 12, 12), 300.0), cell_size=0.1 * u.pc)
    view = project_from(cube, direction)
    np.testing.assert_allclose(view.column_density, 300 * view.depth_pc * PC, rtol=1e-12)
    np.testing.assert_allclose(view.mass_weighted_density, 300, rtol=1e-12)
    assert view.depth_pc.min() >= 0.5 * view.depth_pc.max()
    unit = np.abs(np.array(direction) / np.linalg.norm(direction))
    fine = project_from(cube, direction, pixel_size=0.011 * u.pc)
    rows, columns = fine.depth_pc.shape
    assert fine.depth_pc[rows // 2, columns // 2] == pytest.approx(1.2 / unit.max(), rel=0.02)


@pytest.mark.parametrize("direction", [(1, 0, 0), (1, 1, 1), (0.3, -1, 0.5)])
def test_a_gaussian_looks_the_same_from_everywhere(direction):
    """N = sqrt(2 pi) sigma n_max and <n>_M = n_max / sqrt 2 through its centre."""
    view = project_from(gaussian(), direction)
    assert view.column_density.max() == pytest.approx(1e4 * np.sqrt(2 * np.pi) * 6 * 0.05 * PC, rel=0.01)
    centre = np.unravel_index(view.column_density.argmax(), view.column_density.shape)
    assert view.mass_weighted_density[centre] == pytest.approx(1e4 / np.sqrt(2), rel=0.01)


def test_a_rotation_commutes_with_projection(box):
    """Turning the cloud by a right angle about z and the view with it changes nothing."""
    turned = lab.SimulationCube(
        np.ascontiguousarray(np.rot90(box.density, axes=(1, 2))), cell_size=box.cell_size
    )
    # the array at (y, x) moves to (n_x - 1 - x, y): a vector (z, y, x) becomes (z, -x, y)
    for z, y, x in ((1, 0, 0), (0.5, 0.7, -0.2), (0.1, 1, 0.6)):
        one = project_from(box, (z, y, x), up=(0.3, -0.27, 1.0))
        two = project_from(turned, (z, -x, y), up=(0.3, -1.0, -0.27))
        for found, expected in zip(two[:5], one[:5], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_nothing_is_mirrored():
    """Right-handed x, y, z; the observer looks along +y with z up: x is to the right. Markers say where they are."""
    density = np.full((21, 21, 21), 1.0)
    density[10, 10, 16] = 1e4  # towards +x
    density[17, 10, 10] = 1e5  # towards +z
    density[10, 14, 10] = 1e6  # towards +y
    cube = lab.SimulationCube(density, cell_size=1 * u.pc)

    def place(view, value):
        found = (
            np.argwhere(np.isclose(view.max_density, value))[0] - (np.array(view.max_density.shape) - 1) / 2
        )
        return tuple(round(k) for k in found)  # rows up, columns right

    seen = project_from(cube, "y")
    assert place(seen, 1e4) == (0, 6)
    assert place(seen, 1e5) == (7, 0)
    seen = project_from(cube, "z")  # y up: x to the left
    assert place(seen, 1e4) == (0, -6)
    assert place(seen, 1e6) == (4, 0)
    seen = project_from(cube, "x")  # z up: y to the left
    assert place(seen, 1e6) == (0, -4)
    assert place(seen, 1e5) == (7, 0)
    behind = project_from(cube, (0, -1, 0))  # from the other side: left and right change places
    assert place(behind, 1e4) == (0, -6)
    assert place(behind, 1e5) == (7, 0)


def test_opposite_views_are_mirror_images(box):
    one, two = project_from(box, (0.4, 0.8, -0.3)), project_from(box, (-0.4, -0.8, 0.3))
    np.testing.assert_allclose(two.column_density, one.column_density[:, ::-1], rtol=1e-9)


def test_a_periodic_view_has_one_depth_and_does_not_care_for_shifts(box):
    view = project_from(box, (1, 0.5, 0.2), periodic=True)
    np.testing.assert_allclose(view.depth_pc, 0.5, rtol=1e-9)
    assert view.column_density.shape == (10, 10)
    cube = lab.synthetic_cloud(16, kind="fbm")
    straight = project_from(cube, "z", periodic=True)
    np.testing.assert_allclose(
        straight.column_density, sky_face(lab.column_density(cube), axis="z"), rtol=1e-6
    )
    moved = project_from(shift(cube, z=5), "z", periodic=True)
    np.testing.assert_allclose(moved.column_density, straight.column_density, rtol=1e-6)
    deep = project_from(cube, "z", periodic=True, depth=2 * 6.4 * u.pc)
    np.testing.assert_allclose(deep.column_density, 2 * straight.column_density, rtol=1e-6)


def test_mass_is_that_of_the_cloud_with_many_rays():
    """A blob inside the view: the integral of N over the sky is its mass, from any direction."""
    cube = gaussian(size=48, sigma=3.0)
    mass = cube.density.sum(dtype=np.float64) * 0.05**3
    for direction in directions(4, seed=3):
        view = project_from(cube, direction, rays=3)
        assert view.column_density.sum() * 0.05**2 / PC == pytest.approx(mass, rel=2e-3)


def test_cores_within_cells_are_seen_from_everywhere():
    fog = lab.SimulationCube(np.full((16, 16, 16), 30.0), cell_size=0.1 * u.pc)
    cored = add_cores(fog, [Core((0.85, 0.85, 0.85), 0.02, 1e5)])
    assert project_from(cored, (1, 1, 0.2)).max_density.max() > 1e5


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"direction": (0, 0, 0)}, "direction: expected three finite numbers"),
        ({"direction": "w"}, 'direction: expected "z", "y", "x"'),
        ({"direction": "z", "up": "z"}, "up: expected a direction that is not that of the view"),
        ({"direction": "z", "rays": 0}, "rays: expected a whole number"),
        ({"direction": "z", "depth": 1 * u.pc}, "depth: expected with periodic=True only"),
        ({"direction": "z", "pixel_size": 0 * u.pc}, "pixel_size: expected a positive"),
    ],
)
def test_bad_views_are_refused(box, choices, message):
    with pytest.raises(ValueError, match=message):
        project_from(box, **choices)
