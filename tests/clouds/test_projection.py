"""The maps of a cube obey their definitions: closed forms, symmetries, inequalities, precision, memory."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.units import PARSEC

CELL = 0.05 * u.pc
MAPS = ("column_density", "volume_weighted_density", "mass_weighted_density", "max_density")
FUNCTIONS = [getattr(lab, name) for name in MAPS]
AXES = ("z", "y", "x")


def line(density, cell_size=CELL):
    """Return a cube of one line of sight along z with the profile `density`."""
    return lab.SimulationCube(np.reshape(density, (-1, 1, 1)), cell_size=cell_size)


def values(cube, axis="z"):
    return [float(image[0, 0]) for image in lab.project(cube, axis=axis)]


@pytest.mark.parametrize("axis", AXES)
def test_definitions_in_plain_numpy(box, axis):
    n, index = box.density.astype(np.float64), AXES.index(axis)
    maps = lab.project(box, axis=axis)
    np.testing.assert_allclose(maps.column_density, n.sum(index) * 0.064 * PARSEC, rtol=1e-13)
    np.testing.assert_allclose(maps.volume_weighted_density, n.mean(index), rtol=1e-13)
    np.testing.assert_allclose(maps.mass_weighted_density, (n**2).sum(index) / n.sum(index), rtol=1e-13)
    np.testing.assert_array_equal(maps.max_density, n.max(index))


@pytest.mark.parametrize(("name", "function"), list(zip(MAPS, FUNCTIONS, strict=True)))
@pytest.mark.parametrize("axis", AXES)
def test_single_functions_are_parts_of_the_one_pass(box, name, function, axis):
    image = function(box, axis=axis)
    assert image.dtype == np.float64
    np.testing.assert_array_equal(image, getattr(lab.project(box, axis=axis), name))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (3, 1, 5), (3, 5, 1), (2, 17, 3), (33, 2, 4099)])
def test_any_shape(shape):
    n = np.random.default_rng(0).lognormal(5, 1, shape)
    cube = lab.SimulationCube(n, cell_size=CELL)
    n = cube.density.astype(np.float64)
    for index, axis in enumerate(AXES):
        maps = lab.project(cube, axis=axis)
        np.testing.assert_allclose(maps.volume_weighted_density, n.mean(index), rtol=1e-13)
        np.testing.assert_allclose(maps.mass_weighted_density, (n**2).sum(index) / n.sum(index), rtol=1e-13)
        np.testing.assert_array_equal(maps.max_density, n.max(index))


# -- closed forms -----------------------------------------------------------------------------------


def test_uniform_slab():
    """N = n l and every mean density is n."""
    column, volume, mass, peak = values(line(np.full(40, 300.0)))
    assert column == pytest.approx(300.0 * 40 * 0.05 * PARSEC, rel=1e-14)
    assert (volume, mass, peak) == pytest.approx((300.0, 300.0, 300.0), rel=1e-14)


def test_gaussian_line():
    """<n>_M = n_max / sqrt(2) = N / (2 sqrt(pi) sigma)."""
    z = (np.arange(400) - 199.5) * 0.05
    column, _, mass, peak = values(line(1e4 * np.exp(-0.5 * z**2)))  # sigma = 1 pc, cut at 10 sigma
    assert mass == pytest.approx(1e4 / np.sqrt(2), rel=1e-6)
    assert mass == pytest.approx(column / (2 * np.sqrt(np.pi) * PARSEC), rel=1e-6)
    assert peak == pytest.approx(1e4, rel=1e-3)


@pytest.mark.parametrize(("power", "ratio", "width"), [(2, 0.5, np.pi), (4, 0.625, np.pi / 2)])
def test_plummer_line(power, ratio, width):
    """n_c (1 + r^2/R^2)^(-p/2): <n>_M = n_c/2, N = pi n_c R for p = 2; 5/8 n_c, (pi/2) n_c R for p = 4."""
    z = (np.arange(80_000) - 39_999.5) * 0.05
    column, _, mass, _ = values(line(1e4 * (1 + z**2) ** (-power / 2)))
    assert mass == pytest.approx(ratio * 1e4, rel=1e-3)
    assert column == pytest.approx(width * 1e4 * PARSEC, rel=1e-3)


def test_two_phases():
    """<n>_M = (L_D n_D^2 + L_c n_c^2) / (L_D n_D + L_c n_c)."""
    diffuse, core = np.full(96, 30.0), np.full(4, 5e4)
    _, volume, mass, peak = values(line(np.concatenate([diffuse[:50], core, diffuse[50:]])))
    assert mass == pytest.approx((96 * 30.0**2 + 4 * 5e4**2) / (96 * 30.0 + 4 * 5e4), rel=1e-14)
    assert volume == pytest.approx((96 * 30.0 + 4 * 5e4) / 100, rel=1e-14)
    assert peak == 5e4


def test_log_normal_line():
    """<n>_M = <n>_V exp(sigma^2) for a log-normal density of dispersion sigma in ln n."""
    from scipy.special import ndtri

    quantiles = (np.arange(200_000) + 0.5) / 200_000
    _, volume, mass, _ = values(line(100 * np.exp(0.8 * ndtri(quantiles))))
    assert mass / volume == pytest.approx(np.exp(0.64), rel=1e-3)


# -- inequalities and symmetries --------------------------------------------------------------------


@pytest.mark.parametrize("axis", AXES)
def test_the_mean_densities_are_in_order(cloud, axis):
    """N / L = <n>_V <= <n>_M <= n_max; the first sign is strict where the gas is not uniform."""
    column, volume, mass, peak = lab.project(cloud, axis=axis)
    depth = cloud.shape[AXES.index(axis)] * cloud.cell_size_cm
    np.testing.assert_allclose(column / depth, volume, rtol=1e-13)
    assert (mass > volume).all()
    assert (mass <= peak).all()


def test_equality_of_the_means_only_for_uniform_gas():
    uniform = lab.project(line(np.full(10, 70.0)))
    assert uniform.mass_weighted_density == pytest.approx(uniform.volume_weighted_density, rel=1e-15)
    almost = np.full(10, 70.0)
    almost[3] *= 1.001
    uneven = lab.project(line(almost))
    assert (uneven.mass_weighted_density > uneven.volume_weighted_density).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_turn_of_the_axes_turns_the_maps(box, function):
    """Projecting along y the cube with z and y swapped is projecting the cube along z."""
    swapped = lab.SimulationCube(box.density.transpose(1, 0, 2), cell_size=box.cell_size)
    np.testing.assert_allclose(function(swapped, axis="y"), function(box, axis="z"), rtol=1e-13)
    cyclic = lab.SimulationCube(box.density.transpose(1, 2, 0), cell_size=box.cell_size)  # (y, x, z)
    np.testing.assert_allclose(function(cyclic, axis="x"), function(box, axis="z"), rtol=1e-13)
    np.testing.assert_allclose(function(cyclic, axis="y"), function(box, axis="x").T, rtol=1e-13)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", AXES)
def test_the_order_along_the_line_of_sight_does_not_matter(box, function, axis):
    index = AXES.index(axis)
    mirrored = lab.SimulationCube(np.flip(box.density, index), cell_size=box.cell_size)
    np.testing.assert_allclose(function(mirrored, axis=axis), function(box, axis=axis), rtol=1e-13)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_scaling_the_density_scales_the_maps(box, function):
    scaled = lab.SimulationCube(box.density * np.float32(1024), cell_size=box.cell_size)  # exact in binary
    np.testing.assert_array_equal(function(scaled), 1024 * function(box))


def test_scaling_the_lengths_scales_only_the_column(box):
    stretched = lab.SimulationCube(box.density, cell_size=4 * box.cell_size)
    np.testing.assert_allclose(lab.column_density(stretched), 4 * lab.column_density(box), rtol=1e-15)
    np.testing.assert_array_equal(lab.mass_weighted_density(stretched), lab.mass_weighted_density(box))


def test_every_axis_sees_the_same_mass(cloud):
    masses = [lab.column_density(cloud, axis=axis).sum() for axis in AXES]
    np.testing.assert_allclose(masses, masses[0], rtol=1e-12)


# -- precision, files, errors -----------------------------------------------------------------------


@pytest.mark.parametrize("axis", AXES)
def test_sums_run_in_double_precision(axis):
    """One dense cell before many thin ones: a float32 sum would lose every thin cell."""
    density = np.full(2048, 0.5)
    density[0] = 2.0**24
    shape = [1, 1, 1]
    shape[AXES.index(axis)] = -1
    cube = lab.SimulationCube(density.reshape(shape), cell_size=CELL)
    expected = 2.0**24 + 2047 * 0.5
    assert values(cube, axis)[1] * 2048 == expected
    assert values(cube, axis)[2] == pytest.approx((2.0**48 + 2047 * 0.25) / expected, rel=1e-15)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".fits", ".h5", ".zarr"])
@pytest.mark.parametrize("axis", AXES)
def test_a_cube_in_a_file_gives_the_same_maps(box, tmp_path, suffix, axis):
    opened = lab.SimulationCube.open(box.save(tmp_path / f"cube{suffix}"))
    for image, expected in zip(lab.project(opened, axis=axis), lab.project(box, axis=axis), strict=True):
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("axis", AXES)
def test_a_memory_map_gives_the_same_maps_over_several_blocks(tmp_path, monkeypatch, axis, cloud):
    monkeypatch.setattr("polaris_lab.clouds.simulation.BLOCK_BYTES", 5 * 64 * 64 * 4)  # 5 layers, 64 in all
    np.save(tmp_path / "density.npy", cloud.density)
    mapped = lab.SimulationCube(np.load(tmp_path / "density.npy", mmap_mode="r"), cell_size=cloud.cell_size)
    assert len(list(mapped.blocks())) == 13
    monkeypatch.undo()
    whole = lab.project(cloud, axis=axis)
    monkeypatch.setattr("polaris_lab.clouds.simulation.BLOCK_BYTES", 5 * 64 * 64 * 4)
    for image, expected in zip(lab.project(mapped, axis=axis), whole, strict=True):
        np.testing.assert_allclose(image, expected, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf])
@pytest.mark.parametrize("axis", AXES)
def test_a_bad_cell_in_a_file_is_named(tmp_path, monkeypatch, value, axis):
    monkeypatch.setattr("polaris_lab.clouds.simulation.BLOCK_BYTES", 2 * 4 * 5 * 4)  # 2 layers
    density = np.full((6, 4, 5), 100.0, np.float32)
    density[5, 1, 3] = value
    np.save(tmp_path / "density.npy", density)
    cube = lab.SimulationCube.open(tmp_path / "density.npy", cell_size=CELL)
    with pytest.raises(ValueError, match=r"expected positive finite values .*\[z=5, y=1, x=3\]"):
        lab.project(cube, axis=axis)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_unknown_axis_is_refused(box, function):
    with pytest.raises(ValueError, match='axis: expected "z", "y" or "x", got 2'):
        function(box, axis=2)


def test_an_array_is_no_cube(box):
    with pytest.raises(TypeError, match=r"cube: expected a SimulationCube, got ndarray; make one"):
        lab.column_density(box.density)


def test_threads_may_project_at_once(box):
    with ThreadPoolExecutor(6) as pool:
        maps = list(pool.map(lambda axis: lab.mass_weighted_density(box, axis=axis), AXES * 20))
    for axis, image in zip(AXES * 20, maps, strict=True):
        np.testing.assert_array_equal(image, lab.mass_weighted_density(box, axis=axis))


PEAK = """
import re, sys
from pathlib import Path
import numpy as np
import polaris_lab as lab
from astropy import units as u


def peak():
    status = Path("/proc/self/status")
    if status.exists():  # getrusage of a child would count what its parent held when it forked
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text()).group(1)) * 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


size, path = int(sys.argv[1]), sys.argv[2]
with open(path, "wb") as file:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (size,) * 3}
    )
    for layer in range(size):
        file.write(np.full((size, size), 100.0 + layer, np.float32).data)
small = lab.SimulationCube(np.full((2, 2, 2), 1.0), cell_size=1 * u.pc)
for axis in "zyx":
    lab.project(small, axis=axis)  # compiled before measuring
before = peak()
cube = lab.SimulationCube.open(path, cell_size=0.05 * u.pc)
for axis in "zyx":
    maps = lab.project(cube, axis=axis)
    assert maps.max_density.max() == 99.0 + size
assert lab.column_density(cube).shape == (size, size)
print(before, peak())
"""


def peak_megabytes(size, path):
    """Return the peak memory of a process before and after it projects a cube along each axis."""
    pytest.importorskip("resource", reason="peak memory is read through the resource module (not on Windows)")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(size), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [int(number) / 2**20 for number in done.stdout.split()]


def test_memory_of_a_cube_on_disk(tmp_path):
    """384^3 (216 MB): only a block of 64 MB and the maps are in memory at a time."""
    before, after = peak_megabytes(384, tmp_path / "cube.npy")
    assert after - before < 150


@pytest.mark.slow
def test_memory_of_a_large_cube_on_disk(tmp_path):
    """512^3 (512 MB) stays under 1.5 GB, the program included."""
    before, after = peak_megabytes(512, tmp_path / "cube.npy")
    assert after < 1500
    assert after - before < 150
