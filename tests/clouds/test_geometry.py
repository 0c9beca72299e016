"""Parts, coarser versions, unions and shifts conserve what they must, and keep every field and stamp."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import add_cores, crop, directions, downsample, join, shift, sky_face
from polaris_lab.clouds.geometry import _fields


@pytest.fixture
def box():
    rng = np.random.default_rng(5)
    shape = (8, 12, 16)
    density = rng.lognormal(6, 1.3, shape)
    return lab.SimulationCube(
        density,
        cell_size=0.064 * u.pc,
        temperature=rng.uniform(8, 40, shape),
        velocity={axis: rng.normal(0, 1, shape) for axis in "zyx"},
        subcell={"mean_square": density**2 * rng.uniform(1.1, 3, shape), "maximum": density * 3},
        name="a box",
        provenance={"source": "test", "do_not_train": "a test"},
    )


def test_a_part_holds_every_field(box):
    part = crop(box, z=(2, 6), x=(0, 5))
    for name, values in _fields(box).items():
        np.testing.assert_array_equal(_fields(part)[name], values[2:6, :, :5])
    assert part.cell_size_pc == box.cell_size_pc
    assert part.provenance["do_not_train"] == "a test"
    assert part.provenance["changes"] == [{"crop": {"z": [2, 6], "y": [0, 12], "x": [0, 5]}}]
    assert "changes" not in box.provenance


def test_a_part_of_a_file_reads_that_part(box, tmp_path):
    opened = lab.SimulationCube.open(box.save(tmp_path / "box.h5"))
    part = crop(opened, y=(3, 9))
    np.testing.assert_array_equal(part.density, box.density[:, 3:9])
    assert isinstance(part.density, np.ndarray)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_shift_moves_the_map_and_keeps_the_mass(box, axis):
    moved = shift(box, z=3, y=-2, x=5)
    steps = [s for s, a in zip((3, -2, 5), "zyx", strict=True) if a != axis]
    for one, two in zip(lab.project(moved, axis=axis), lab.project(box, axis=axis), strict=True):
        np.testing.assert_allclose(one, np.roll(two, steps, (0, 1)), rtol=1e-12)
    back = shift(moved, z=-3, y=2, x=-5)
    np.testing.assert_array_equal(back.velocity["y"], box.velocity["y"])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_downsampling_conserves_mass_momentum_and_heat(box, factor):
    coarse = downsample(box, factor)
    assert coarse.shape == tuple(n // factor for n in box.shape)
    assert coarse.side_pc == pytest.approx(box.side_pc)
    for weight in (1.0, "temperature", "z", "y", "x"):
        sums = []
        for cube in (box, coarse):
            density = cube.density.astype(np.float64)
            value = (
                1.0
                if weight == 1.0
                else cube.temperature
                if weight == "temperature"
                else cube.velocity[weight]
            )
            sums.append((density * value).sum() * cube.cell_size_pc**3)
        assert sums[1] == pytest.approx(
            sums[0], rel=1e-6, abs=float(1e-6 * box.density.sum() * box.cell_size_pc**3)
        )


def test_downsampling_keeps_the_mass_weighted_density_when_asked(box):
    plain = lab.SimulationCube(box.density, cell_size=box.cell_size)
    fine, coarse = lab.project(plain), lab.project(downsample(plain, 2, subcell=True))

    def blocks(values):
        return values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2)

    column = blocks(fine.column_density)
    np.testing.assert_allclose(coarse.column_density, column.mean((1, 3)), rtol=1e-6)
    np.testing.assert_allclose(
        coarse.mass_weighted_density,
        (column * blocks(fine.mass_weighted_density)).sum((1, 3)) / column.sum((1, 3)),
        rtol=1e-6,
    )
    np.testing.assert_allclose(coarse.max_density, blocks(fine.max_density).max((1, 3)), rtol=1e-6)
    lost = lab.mass_weighted_density(downsample(plain, 2))
    assert (lost < coarse.mass_weighted_density).all()


def test_tiles_make_the_whole_again(box):
    tiles = {
        (z, y, x): crop(box, z=(z, z + 4), y=(y, y + 6), x=(x, x + 8))
        for z in (0, 4)
        for y in (0, 6)
        for x in (0, 8)
    }
    whole = join(tiles)
    for name, values in _fields(box).items():
        np.testing.assert_array_equal(_fields(whole)[name], values)
    assert whole.provenance["do_not_train"] == "a test"
    assert len(whole.provenance["tiles"]) == 8


def test_tiles_that_do_not_fit_are_refused(box):
    low, high = crop(box, z=(0, 4)), crop(box, z=(4, 8))
    with pytest.raises(ValueError, match="overlaps another"):
        join({(0, 0, 0): low, (3, 0, 0): high})
    with pytest.raises(ValueError, match=r"got a gap at \(4, 0, 0\)"):
        join({(0, 0, 0): low, (5, 0, 0): high})
    with pytest.raises(ValueError, match=r"expected the fields .* got density at"):
        join({(0, 0, 0): low, (4, 0, 0): lab.SimulationCube(high.density, cell_size=high.cell_size)})
    with pytest.raises(ValueError, match="expected one cell size"):
        join({(0, 0, 0): low, (4, 0, 0): downsample(high, 2)})
    with pytest.raises(ValueError, match="at least one"):
        join({})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda cube: crop(cube, z=(3, 3)), ValueError, "z: expected 0 <= start < stop <= 8"),
        (lambda cube: crop(cube, x=(0, 17)), ValueError, "x: expected 0 <= start < stop <= 16"),
        (lambda cube: crop(cube, w=(0, 1)), ValueError, "axis: expected"),
        (lambda cube: shift(cube, z=1.5), TypeError, "z: expected a whole number of cells, got 1.5"),
        (
            lambda cube: downsample(cube, 3),
            ValueError,
            r"factor: expected a divisor of the sides \(8, 12, 16\), got 3",
        ),
        (lambda cube: downsample(cube, 0), ValueError, "factor: expected a whole number"),
    ],
)
def test_bad_choices_are_refused(box, call, error, message):
    with pytest.raises(error, match=message):
        call(box)


def test_cores_survive_a_shift():
    fog = lab.SimulationCube(np.full((16, 16, 16), 30.0), cell_size=0.1 * u.pc)
    cored = add_cores(fog, 1, radius=(0.02 * u.pc, 0.02 * u.pc))
    moved = shift(cored, y=8)
    assert lab.mass_weighted_density(moved).max() == pytest.approx(lab.mass_weighted_density(cored).max())


def test_directions_are_spread_over_half_a_sphere():
    found = directions(200)
    np.testing.assert_allclose((found**2).sum(axis=1), 1)
    assert (found[:, 0] > 0).all()
    np.testing.assert_allclose((found**2).mean(axis=0), 1 / 3, atol=0.01)
    assert not np.allclose(directions(5, seed=1), directions(5))


def test_faces_as_seen_are_turned_once():
    values = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(sky_face(values, axis="y"), values)
    for axis in "zx":
        np.testing.assert_array_equal(sky_face(values, axis=axis), values[:, ::-1])


def test_a_cube_of_dask_arrays_goes_through_all_of_it(box, tmp_path):
    """Parts, shifts, tiles, views and files of a Dask-backed cube are those of the cube in memory."""
    pytest.importorskip("dask", reason="dask (extra cluster) is not installed")
    lazy = lab.SimulationCube.open(box.save(tmp_path / "box.zarr"), chunks=(2, 3, 4))
    parts = {(0, 0, 0): crop(lazy, z=(0, 2)), (2, 0, 0): crop(lazy, z=(2, 8))}
    for made, expected in (
        (crop(lazy, y=(1, 4)), crop(box, y=(1, 4))),
        (shift(lazy, x=3, z=-2), shift(box, x=3, z=-2)),
        (join(parts), box),
        (lab.SimulationCube.open(lazy.save(tmp_path / "copy.h5")), box),
    ):
        np.testing.assert_allclose(made.density, expected.density, rtol=1e-6)
        np.testing.assert_allclose(made.temperature, expected.temperature, rtol=1e-6)
        for axis in "zyx":
            np.testing.assert_allclose(made.velocity[axis], expected.velocity[axis], rtol=1e-6)
    views = [lab.clouds.project_from(cube, (1, 0.3, 0.2)).column_density for cube in (lazy, box)]
    np.testing.assert_allclose(*views, rtol=1e-6)
