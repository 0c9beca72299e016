"""Adaptive grids: leaves, their maps and their cubes, from true RAMSES outputs and from trees made here."""

import h5py
import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import AmrCloud
from polaris_lab.clouds.amr_grid import project_leaves
from polaris_lab.clouds.readers import amr_outputs

PC = 3.0856775814913673e18
OUTPUTS = [
    ("ramses_hydro_2cpu", "output_00002", 70547, 334.74),
    ("ramses_mhd_1cpu", "output_00001", 35106, 334.61),
]


def tree(seed=0, levels=3, side=4):
    """Refine random cells of a box level by level: (corner, width) of the leaves in finest cells."""
    rng = np.random.default_rng(seed)
    size = 2**levels
    grid = np.stack(
        np.meshgrid(*[np.arange(n) * size for n in (side, side + 1, side + 2)], indexing="ij"), -1
    )
    corner, found = grid.reshape(-1, 3), []
    while size > 1:
        split = rng.random(len(corner)) < 0.4
        found.append((corner[~split], np.full((~split).sum(), size)))
        size //= 2
        octants = np.stack(np.meshgrid(*[[0, size]] * 3, indexing="ij"), -1).reshape(1, 8, 3)
        corner = (corner[split][:, None] + octants).reshape(-1, 3)
    found.append((corner, np.ones(len(corner), int)))
    shape = tuple(n * 2**levels for n in (side, side + 1, side + 2))
    return np.concatenate([c for c, _ in found]), np.concatenate([w for _, w in found]), shape


@pytest.fixture
def cloud():
    corner, width, shape = tree()
    rng = np.random.default_rng(9)
    return AmrCloud(
        corner,
        width,
        rng.lognormal(5, 1.5, len(width)),
        shape=shape,
        cell_size=0.01 * u.pc,
        temperature=rng.uniform(8, 40, len(width)),
        velocity={axis: rng.normal(size=len(width)) for axis in "zyx"},
        name="tree",
    )


def fill(cloud, values):
    """Paint leaves into an array of the finest cells: the slow way."""
    array = np.full(cloud.shape, np.nan)
    for (z, y, x), w, value in zip(cloud.corner, cloud.width, values, strict=True):
        array[z : z + w, y : y + w, x : x + w] = value
    return array


# -- maps from leaves -------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_maps_of_leaves_are_those_of_the_finest_cube(cloud, axis):
    uniform = lab.SimulationCube(fill(cloud, cloud.density), cell_size=cloud.cell_size)
    for found, expected in zip(lab.project(cloud, axis=axis), lab.project(uniform, axis=axis), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        lab.column_density(cloud, axis=axis), cloud.project(axis=axis).column_density
    )
    for function in (lab.mass_weighted_density, lab.volume_weighted_density, lab.max_density):
        assert function(cloud, axis=axis).shape == uniform.density.sum("zyx".index(axis)).shape


def test_a_coarser_pixel_weighs_by_mass(cloud):
    """m_k = n_k dV_k: N is the mean of the fine pixels, <n>_M their mean weighted by N."""
    fine = cloud.project(axis="y")
    coarse = project_leaves(cloud, axis="y", pixel_size=0.04 * u.pc)

    def blocks(values):
        return values.reshape(values.shape[0] // 4, 4, values.shape[1] // 4, 4)

    column = blocks(fine.column_density)
    np.testing.assert_allclose(coarse.column_density, column.mean((1, 3)), rtol=1e-12)
    np.testing.assert_allclose(
        coarse.mass_weighted_density,
        (column * blocks(fine.mass_weighted_density)).sum((1, 3)) / column.sum((1, 3)),
        rtol=1e-12,
    )
    np.testing.assert_array_equal(coarse.max_density, blocks(fine.max_density).max((1, 3)))


@pytest.mark.parametrize("pixel", [0.005, 0.015, 0.03])
def test_a_pixel_that_does_not_fit_is_refused(cloud, pixel):
    with pytest.raises(ValueError, match="pixel_size: expected"):
        cloud.project(pixel_size=pixel * u.pc)


# -- cubes from leaves ------------------------------------------------------------------------------


def test_a_cube_at_the_finest_resolution_is_exact(cloud):
    cube = cloud.to_cube()
    np.testing.assert_array_equal(cube.density, fill(cloud, cloud.density).astype(np.float32))
    np.testing.assert_allclose(cube.temperature, fill(cloud, cloud.temperature), rtol=1e-6)
    for axis in "zyx":
        np.testing.assert_allclose(
            cube.velocity[axis], fill(cloud, cloud.velocity[axis]), rtol=1e-5, atol=1e-6
        )
    assert cube.cell_size_pc == cloud.cell_size_pc


@pytest.mark.parametrize("resolution", [48, 12, 6, 30, 96])
def test_mass_and_momentum_are_conserved_at_any_resolution(cloud, resolution):
    cube = cloud.to_cube(resolution=resolution)
    volume = cloud.width.astype(float) ** 3
    density = cube.density.astype(np.float64)
    scale = (cube.cell_size_pc / cloud.cell_size_pc) ** 3
    assert density.sum() * scale == pytest.approx((cloud.density * volume).sum(), rel=1e-6)
    for axis in "zyx":
        momentum = (density * cube.velocity[axis]).sum() * scale
        expected = (cloud.density.astype(float) * volume * cloud.velocity[axis]).sum()
        assert momentum == pytest.approx(expected, rel=1e-4, abs=1e-6 * (cloud.density * volume).sum())


def test_finer_cells_are_averaged_not_overwritten():
    """A cell of eight leaves, one dense: the mean, and the velocity weighted by mass."""
    corner = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    density = np.array([8.0, 1, 1, 1, 1, 1, 1, 2])
    velocity = {"z": np.array([3.0, 0, 0, 0, 0, 0, 0, -1])}
    cloud = AmrCloud(corner, np.ones(8, int), density, shape=(2, 2, 2), cell_size=u.pc * 1, velocity=velocity)
    cube = cloud.to_cube(resolution=1, subcell=True)
    assert cube.density.item() == 2.0
    assert cube.velocity["z"].item() == pytest.approx((24 - 2) / 16)
    assert lab.mass_weighted_density(cube).item() == pytest.approx((64 + 6 + 4) / 16)
    assert lab.max_density(cube).item() == 8.0


def test_a_part_is_that_part_of_the_whole(cloud):
    whole = cloud.to_cube()
    part = cloud.to_cube(resolution=16, center=[0.12, 0.2, 0.3] * u.pc, width=0.16 * u.pc)
    np.testing.assert_allclose(part.density, whole.density[4:20, 12:28, 22:38], rtol=1e-6)
    flat = cloud.to_cube(
        resolution=(4, 8, 16), center=[0.12, 0.2, 0.3] * u.pc, width=[0.04, 0.08, 0.16] * u.pc
    )
    np.testing.assert_allclose(flat.density, whole.density[10:14, 16:24, 22:38], rtol=1e-6)


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"resolution": 0}, ValueError, "resolution: expected a positive whole number"),
        ({"resolution": (4, 4, 4)}, ValueError, "resolution: expected cubic cells"),
        ({"width": 9 * u.pc}, ValueError, r"center, width: expected a part of the box"),
        ({"center": [0, 0.2, 0.2] * u.pc, "width": 0.1 * u.pc}, ValueError, "expected a part of the box"),
        ({"center": [0.1, 0.2, 0.2]}, TypeError, "center: expected a Quantity"),
        ({"width": 3 * u.K}, u.UnitsError, "width: expected a unit that converts to pc"),
        ({"resolution": 48 * 2**9}, MemoryError, r"needs [\d.e+]+ GiB of [\d.]+ GiB available"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(cloud, choices, error, message):
    with pytest.raises(error, match=message):
        cloud.to_cube(**choices)


# -- leaves that are wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": [1, 1]}, r"corner: expected shape \(2, 3\)"),
        ({"corner": [[0, 0, 0]], "width": [2], "density": [1.0]}, "corner: expected leaves within the box"),
        (
            {"corner": [[0, 0, 0]], "width": [1], "shape": (1, 1, 2)},
            "fill the box of 2 finest cells exactly, got a volume of 1",
        ),
        ({"density": [-1.0]}, "density: expected positive finite values in cm.-3, got -1.0 in leaf 0"),
        ({"density": [np.nan]}, "got nan in leaf 0"),
        ({"corner": [[0.0, 0, 0]]}, "corner: expected whole numbers"),
        ({"temperature": [-3.0]}, "temperature: expected positive"),
        ({"velocity": {"w": [1.0]}}, "velocity: unknown axis"),
    ],
)
def test_wrong_leaves_are_refused(change, message):
    good = {"corner": [[0, 0, 0]], "width": [1], "density": [1.0], "shape": (1, 1, 1), "cell_size": 1 * u.pc}
    given = good | change
    with pytest.raises(ValueError, match=message):
        AmrCloud(given.pop("corner"), given.pop("width"), given.pop("density"), **given)


# -- RAMSES -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("yt_here")
@pytest.mark.parametrize(("run", "output", "leaves", "mass"), OUTPUTS)
def test_a_ramses_output_is_that_of_an_independent_reader(shared_data, run, output, leaves, mass):
    """Reference: osyris on 64^3. It takes m_H = 1.6735e-24 g, 2e-5 less than this package."""
    folder = shared_data / "simulations" / run
    with np.load(folder / "reference_64.npz") as file:
        reference = {name: file[name] for name in file.files}
    cloud = lab.clouds.open_amr(folder / output)
    assert len(cloud) == leaves
    solar = 1.4 * 1.6735328e-24 * PC**3 / 1.98841e33
    volume = cloud.width.astype(float) ** 3 * cloud.cell_size_pc**3
    assert (cloud.density * volume).sum() * solar == pytest.approx(mass, rel=3e-4)
    cube = lab.SimulationCube.open(folder / output, resolution=64)
    assert cube.cell_size_cm == pytest.approx(float(reference["cell_cm"]), rel=1e-8)
    assert cube.density.sum(dtype=np.float64) * cube.cell_size_pc**3 == pytest.approx(
        (cloud.density * volume).sum(), rel=1e-6
    )
    expected = reference["n_H"].transpose(2, 1, 0) * (1.6735 / 1.6735328)
    np.testing.assert_allclose(cube.density, expected, rtol=1e-6)
    for axis in "xyz":
        np.testing.assert_allclose(cube.velocity[axis], reference[f"v{axis}"].transpose(2, 1, 0), atol=1e-5)
    assert np.median(cube.temperature) == pytest.approx(10.0, rel=0.02)
    assert "yt ramses" in cube.provenance["read_through"]
    fine = lab.project(cloud, axis="x")
    assert fine.column_density.mean() == pytest.approx(lab.column_density(cube, axis="x").mean(), rel=1e-6)


def test_an_adaptive_grid_without_resolution_is_no_cube(output):
    with pytest.raises(ValueError, match=r"expected resolution=.*lab.clouds.open_amr"):
        lab.SimulationCube.open(output)


def test_a_missing_cpu_file_is_named(output):
    (output / "hydro_00002.out00002").unlink()
    with pytest.raises(FileNotFoundError, match=r"hydro_00002.out00002: .*each of the 2 processors"):
        lab.clouds.open_amr(output)


@pytest.mark.parametrize("name", ["amr_00002.out00001", "hydro_00002.out00002"])
def test_a_truncated_output_is_refused(output, name):
    data = (output / name).read_bytes()
    (output / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(
        ValueError, match=rf"{name}: expected whole records, got a file of {len(data) // 2} bytes"
    ):
        lab.clouds.open_amr(output)


def test_a_truncated_info_file_is_refused(output):
    info = output / "info_00002.txt"
    info.write_text(info.read_text()[:120])
    with pytest.raises(ValueError, match=r"info_00002.txt: expected the entries .*unit_l"):
        lab.clouds.open_amr(output)


def test_nothing_there_and_nothing_in_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the output of a simulation"):
        lab.clouds.open_amr(tmp_path / "output_00009")
    with pytest.raises(FileNotFoundError, match="RAMSES output with info"):
        lab.clouds.open_amr(tmp_path)


# -- Athena++ and others ----------------------------------------------------------------------------


@pytest.fixture
def athdf(tmp_path, yt_here):
    """One root block of 8^3 cells refined in one of its eight quarters: seven blocks of level 0, eight of level 1."""
    path = tmp_path / "cloud.out1.00003.athdf"
    rng = np.random.default_rng(2)
    blocks = [(0, (x, y, z)) for z in range(2) for y in range(2) for x in range(2) if (x, y, z) != (0, 0, 0)]
    blocks += [(1, (x, y, z)) for z in range(2) for y in range(2) for x in range(2)]
    edges = {axis: [] for axis in range(3)}
    for level, where in blocks:
        for axis in range(3):
            side = 0.5 / 2**level
            edges[axis].append(np.linspace(where[axis] * side, (where[axis] + 1) * side, 5))
    prim = rng.lognormal(0, 1, (4, len(blocks), 4, 4, 4))
    with h5py.File(path, "w") as file:
        for axis in range(3):
            file[f"x{axis + 1}f"] = np.array(edges[axis], "f4")
            file.attrs[f"RootGridX{axis + 1}"] = np.array([0.0, 1.0, 1.0])
        file["Levels"] = np.array([level for level, _ in blocks], "i4")
        file["LogicalLocations"] = np.array([where for _, where in blocks], "i8")
        file["prim"] = prim.astype("f4")
        file.attrs.update(
            NumMeshBlocks=len(blocks),
            MeshBlockSize=np.array([4, 4, 4], "i4"),
            RootGridSize=np.array([8, 8, 8], "i4"),
            MaxLevel=1,
            Time=0.25,
            NumCycles=7,
            Coordinates=np.bytes_("cartesian"),
            DatasetNames=np.array([b"prim"]),
            NumVariables=np.array([4], "i4"),
            VariableNames=np.array([b"rho", b"vel1", b"vel2", b"vel3"]),
        )
    return path, blocks, prim


UNITS = {"length_unit": (6.4, "pc"), "time_unit": (32.0, "pc/(km/s)"), "mass_unit": (1000.0, "Msun")}


def test_an_athena_output_with_refinement(athdf):
    path, blocks, prim = athdf
    cloud = lab.clouds.open_amr(path, units_override=UNITS)
    assert len(cloud) == 15 * 64
    assert cloud.side_pc == pytest.approx((6.4,) * 3, rel=1e-6)
    mass = sum(prim[0, k].sum() * (0.125 / 2**level) ** 3 for k, (level, _) in enumerate(blocks))
    solar = 1.4 * 1.6735328e-24 * PC**3 / 1.98841e33
    volume = cloud.width.astype(float) ** 3 * cloud.cell_size_pc**3
    assert (cloud.density * volume).sum() * solar == pytest.approx(1000 * mass, rel=1e-3)
    cube = lab.SimulationCube.open(path, resolution=16, units_override=UNITS)
    number = blocks.index((1, (1, 0, 1)))  # x, y, z of the refined block
    ratio = cube.density[4:8, 0:4, 4:8] / prim[0, number]
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(cube.velocity["x"][4:8, 0:4, 4:8], 0.2 * prim[1, number], rtol=1e-4)
    np.testing.assert_allclose(cube.velocity["z"][4:8, 0:4, 4:8], 0.2 * prim[3, number], rtol=1e-4)


def test_an_athena_output_without_units_asks(athdf):
    with pytest.raises(ValueError, match=r"expected the units of an Athena\+\+ output.*units_override="):
        lab.clouds.open_amr(athdf[0])


def test_a_file_that_yt_does_not_know_is_refused(tmp_path, yt_here):
    (tmp_path / "noise.dat").write_bytes(bytes(range(200)))
    with pytest.raises(ValueError, match="expected an output that yt reads"):
        lab.SimulationCube.open(tmp_path / "noise.dat", resolution=8)


def test_an_absent_field_is_named_among_those_at_hand(athdf):
    with h5py.File(athdf[0], "r+") as file:
        file.attrs["VariableNames"] = np.array([b"ionisation", b"vel1", b"vel2", b"vel3"])
    with pytest.raises(
        ValueError, match=r'expected the field "density", got none of that name among: .*ionisation'
    ):
        lab.clouds.open_amr(athdf[0], units_override=UNITS)


def test_what_is_not_tested_says_so(output, monkeypatch):
    monkeypatch.setattr(amr_outputs, "TESTED", ("athena_pp",))
    with pytest.warns(UserWarning, match="read through yt as 'ramses', which this package does not test"):
        lab.clouds.open_amr(output)


def test_particles_are_no_grid(tmp_path, yt_here):
    """A Gadget snapshot, which yt reads: it has no cells."""
    count = np.array([50, 0, 0, 0, 0, 0])
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "snap_000.hdf5", "w") as file:
        header = {"NumPart_ThisFile": count, "NumPart_Total": count, "NumPart_Total_HighWord": 0 * count}
        header |= {
            "MassTable": np.zeros(6),
            "Time": 0.1,
            "Redshift": 0.0,
            "BoxSize": 1.0,
            "NumFilesPerSnapshot": 1,
        }
        header |= {"Omega0": 0.0, "OmegaLambda": 0.0, "HubbleParam": 1.0, "Flag_Sfr": 0, "Flag_Cooling": 0}
        file.create_group("Header").attrs.update(
            {**header, "Flag_StellarAge": 0, "Flag_Metals": 0, "Flag_Feedback": 0}
        )
        gas = file.create_group("PartType0")
        for name in ("Coordinates", "Velocities"):
            gas[name] = rng.random((50, 3))
        for name in ("Masses", "Density", "InternalEnergy", "SmoothingLength"):
            gas[name] = np.full(50, 0.1)
        gas["ParticleIDs"] = np.arange(50)
    with pytest.raises(
        ValueError, match="expected gas in the cells of a grid, got an output of the kind 'gadget_hdf5'"
    ):
        lab.clouds.open_amr(tmp_path / "snap_000.hdf5")
