"""Cores keep their mass and their <n>_M on any grid: closed forms, sub-cell integrals, bad input."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import Core, add_cores
from polaris_lab.clouds.core_profiles import bonnor_ebert, cell_means
from polaris_lab.units import PARSEC


def fog(size=32, cell=0.05, density=30.0):
    return lab.SimulationCube(
        np.full((size,) * 3, density),
        cell_size=cell * u.pc,
        temperature=np.full((size,) * 3, 20.0),
        velocity={"z": np.ones((size,) * 3)},
        name="fog",
        provenance={"source": "test", "do_not_train": "a test"},
    )


# -- closed forms (science reference, section 1) ----------------------------------------------------


def test_a_plummer_core_through_its_axis():
    """p = 4: N = (pi/2) n_c R and <n>_M = 5 n_c/8; the edge at 10 R takes 1e-3 of the column."""
    core = Core((0, 0, 0), radius_pc=0.05, central_density_cm3=1e5)
    column, square = core.line_integrals(0.0)
    assert column == pytest.approx(np.pi / 2 * 1e5 * 0.05 * PARSEC, rel=1e-3)
    assert square / column == pytest.approx(5 / 8 * 1e5, rel=1e-3)
    x = 10.0  # exact for the cut profile
    exact = x / (1 + x**2) + np.arctan(x)
    assert column == pytest.approx(exact * 1e5 * 0.05 * PARSEC, rel=1e-10)


@pytest.mark.parametrize("impact", [0.5, 2.0])
def test_a_plummer_core_off_its_axis(impact):
    """Without edge: N = (pi/2) n_c R (1 + b^2)^(-3/2), integral n^2 = (5 pi/16) n_c^2 R (1 + b^2)^(-7/2)."""
    core = Core((0, 0, 0), radius_pc=0.02, central_density_cm3=1e4)
    column, square = core.line_integrals(impact * 0.02)
    length = 0.02 * PARSEC
    assert column == pytest.approx(np.pi / 2 * 1e4 * length * (1 + impact**2) ** -1.5, rel=6e-3)
    assert square == pytest.approx(5 * np.pi / 16 * 1e8 * length * (1 + impact**2) ** -3.5, rel=1e-4)


def test_the_mass_of_a_plummer_core():
    """Without edge pi^2 n_c R^3; the cut profile: 2 pi n_c R^3 (arctan x - x / (1 + x^2))."""
    core = Core((0, 0, 0), radius_pc=0.05, central_density_cm3=1e5)
    x = 10.0
    exact = 2 * np.pi * 1e5 * 0.05**3 * (np.arctan(x) - x / (1 + x**2))
    assert core.volume_integrals()[0] == pytest.approx(exact, rel=1e-9)


def test_the_bonnor_ebert_sphere_is_the_critical_one():
    """Edge contrast 14.04, mass 4 pi rho_c a^3 x 15.70 (the integral of x^2 exp(-psi))."""
    assert 1 / bonnor_ebert(6.451) == pytest.approx(14.04, rel=2e-3)
    assert float(bonnor_ebert(0.1)) == pytest.approx(1 - 0.1**2 / 6 + 0.1**4 / 45, rel=1e-8)
    core = Core((0, 0, 0), radius_pc=6.451, central_density_cm3=1.0, profile="bonnor-ebert")
    assert core.volume_integrals()[0] / (4 * np.pi) == pytest.approx(15.70, rel=2e-3)


def test_two_phases_on_a_line():
    """A core in fog: <n>_M of the sum is the mass-weighted mean of all gas on the line."""
    core = Core((0, 0, 0), radius_pc=0.05, central_density_cm3=1e5)
    z = np.linspace(-3.2, 3.2, 640001)
    total = 30.0 + core.density(abs(z))
    assert core.mass_weighted_density(0.0, 30.0, depth_pc=6.4) == pytest.approx(
        (total**2).sum() / total.sum(), rel=1e-4
    )
    assert core.mass_weighted_density(0.9, 30.0, depth_pc=6.4) == pytest.approx(30.0)


# -- on grids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["plummer", "bonnor-ebert"])
@pytest.mark.parametrize("radius", [0.01, 0.1])
def test_cell_means_are_integrals(profile, radius):
    """Against a fine midpoint sum in the cells around the centre, and in total."""
    core = Core((0.33, 0.28, 0.31), radius_pc=radius, central_density_cm3=1e5, profile=profile)
    cells, mean, square, maximum = cell_means(core, 0.05)
    whole = core.volume_integrals()
    assert mean.sum() * 0.05**3 == pytest.approx(whole[0], rel=1e-12)
    assert square.sum() * 0.05**3 == pytest.approx(whole[1], rel=1e-6)
    number = int(np.argmax(mean))
    sub = (np.arange(100) + 0.5) / 100
    points = np.stack(np.meshgrid(*[sub] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = (cells[number] + points) * 0.05 - np.array(core.position_pc)
    density = core.density(np.sqrt((points**2).sum(axis=1)))
    assert mean[number] == pytest.approx(density.mean(), rel=5e-3)
    assert square[number] == pytest.approx((density**2).mean(), rel=1e-2)
    assert maximum[number] == pytest.approx(1e5)
    assert (square >= mean**2).all()


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_core_smaller_than_a_cell_keeps_its_mass_weighted_density(axis):
    """Sum over the face of N <n>_M is the integral of n^2: core, fog and their product."""
    core = Core((0.81, 0.79, 0.83), radius_pc=0.01, central_density_cm3=1e6)
    cube = add_cores(fog(), [core])
    maps = lab.project(cube, axis=axis)
    pixel = (0.05 * PARSEC) ** 2
    mass, square = core.volume_integrals()
    volume = PARSEC**3
    gas = 30.0 * 1.6**3
    assert maps.column_density.sum() * pixel / volume == pytest.approx(gas + mass, rel=1e-6)
    found = (maps.column_density * maps.mass_weighted_density).sum() * pixel / volume
    assert found == pytest.approx(30.0 * gas + 2 * 30.0 * mass + square, rel=1e-5)
    assert maps.max_density.max() == pytest.approx(1e6 + 30, rel=1e-5)
    cells = lab.SimulationCube(cube.density, cell_size=cube.cell_size)
    lost = lab.mass_weighted_density(cells, axis=axis).max() / maps.mass_weighted_density.max()
    assert lost < 0.2  # what the cells alone would say


def test_a_resolved_core_has_its_analytic_mass_weighted_density():
    """Its map at the centre is the mean of the line integrals over the pixel."""
    core = Core((0.65, 0.65, 0.65), radius_pc=0.06, central_density_cm3=1e5)
    cube = add_cores(fog(size=65, cell=0.02), [core])
    found = lab.mass_weighted_density(cube)[32, 32]
    nodes, weights = np.polynomial.legendre.leggauss(5)
    mass = square = 0.0
    for y, wy in zip(nodes, weights, strict=True):
        for x, wx in zip(nodes, weights, strict=True):
            column, squared = core.line_integrals(0.01 * np.hypot(x, y))
            mass += wy * wx / 4 * column
            square += wy * wx / 4 * squared
    length = 1.3 * PARSEC
    expected = (square + 60.0 * mass + 900.0 * length) / (mass + 30.0 * length)
    assert found == pytest.approx(expected, rel=1e-3)
    assert found == pytest.approx(core.mass_weighted_density(0.0, 30.0, depth_pc=1.3), rel=0.05)


def test_mass_is_conserved_across_the_faces():
    core = Core((0.0, 0.01, 1.59), radius_pc=0.05, central_density_cm3=1e5)
    gained = add_cores(fog(), [core]).density.sum(dtype=np.float64) - fog().density.sum(dtype=np.float64)
    assert gained * 0.05**3 == pytest.approx(core.volume_integrals()[0], rel=1e-5)


def test_drawn_cores_keep_to_their_limits_and_places():
    cloud = lab.synthetic_cloud(32, 1)
    for where in ("diffuse", "dense"):
        cored = add_cores(cloud, 12, where=where, radius=(0.02 * u.pc, 0.05 * u.pc), seed=4)
        cores = [Core(**entry) for entry in cored.provenance["cores"]]
        assert len(cores) == 12
        column = lab.column_density(cloud)
        for core in cores:
            assert 0.02 <= core.radius_pc <= 0.05
            assert 1e4 <= core.central_density_cm3 <= 1e6
            _, y, x = (int(p / cloud.cell_size_pc) for p in core.position_pc)
            assert (column[y, x] < np.median(column)) == (where == "diffuse")
    again = add_cores(cloud, 12, where="dense", radius=(0.02 * u.pc, 0.05 * u.pc), seed=4)
    np.testing.assert_array_equal(again.density, cored.density)


def test_the_stamp_keeps_what_the_cloud_was():
    cube = add_cores(
        add_cores(fog(), 2, seed=1, radius=(0.01 * u.pc, 0.02 * u.pc)), 1, radius=(0.01 * u.pc,) * 2
    )
    stamp = cube.provenance
    assert stamp["source"] == "synthetic"
    assert stamp["do_not_train"] == "a test"
    assert stamp["cloud"] == {"source": "test", "do_not_train": "a test"}
    assert len(stamp["cores"]) == 3
    assert (cube.velocity["z"] == 1).all()
    assert 10 < cube.temperature.min() < cube.temperature.max() == 20.0


@pytest.mark.parametrize("suffix", [".fits", ".npy", ".npz", ".h5", ".zarr"])
def test_what_lies_within_cells_survives_a_file(tmp_path, suffix):
    cube = add_cores(fog(), 3, radius=(0.01 * u.pc, 0.05 * u.pc))
    again = lab.SimulationCube.open(cube.save(tmp_path / f"cored{suffix}"))
    for axis in "zyx":
        for one, two in zip(lab.project(cube, axis=axis), lab.project(again, axis=axis), strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_cloud_is_not_changed():
    cloud = fog()
    add_cores(cloud, 3, radius=(0.01 * u.pc, 0.05 * u.pc))
    assert (cloud.density == 30).all()
    assert not cloud.subcell


# -- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "choices", "message"),
    [
        (-1, {}, "cores: expected a number from 0 up, got -1"),
        (1, {"where": "thin"}, "where: expected"),
        (1, {"profile": "plumer"}, "profile: unknown core 'plumer'.*plummer"),
        (1, {"radius": (0.1 * u.pc, 0.01 * u.pc)}, "radius: expected two positive limits in rising order"),
        ([Core((2.0, 0.1, 0.1), 0.01, 1e5)], {}, "cores: expected a position within the box"),
        ([Core((0.5, 0.1, 0.1), 0.1, 1e5)], {}, "cores: expected a core smaller than the box"),
        (1, {"where": "diffuse"}, "where: expected cells that are diffuse along all three axes, got none"),
    ],
)
def test_bad_cores_are_refused(cores, choices, message):
    with pytest.raises(ValueError, match=message):
        add_cores(fog(), cores, **({"radius": (0.01 * u.pc, 0.02 * u.pc)} | choices))


def test_numbers_of_a_core_are_positive():
    with pytest.raises(ValueError, match="radius_pc: expected a positive number, got 0"):
        Core((0, 0, 0), 0.0, 1e5)
    with pytest.raises(TypeError, match="cores: expected a number or a sequence of Core, got tuple"):
        add_cores(fog(), [(0.1, 0.1, 0.1)])


def test_subcell_fields_are_checked():
    ones = np.ones((2, 2, 2))
    with pytest.raises(ValueError, match=r'subcell\["mean_square"\]: expected at least density\^2'):
        lab.SimulationCube(2 * ones, cell_size=u.pc * 1, subcell={"mean_square": ones})
    with pytest.raises(ValueError, match="subcell: unknown field 'peak'"):
        lab.SimulationCube(ones, cell_size=u.pc * 1, subcell={"peak": ones})
    with pytest.raises(ValueError, match="expected the shape of the density"):
        lab.SimulationCube(ones, cell_size=u.pc * 1, subcell={"maximum": np.ones((3, 2, 2))})
