"""Galactica folders, The Well, legacy VTK: what other people's codes deliver opens as it is."""

import json

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab

RNG = np.random.default_rng(3)
RHO = RNG.lognormal(5, 1, (6, 6, 6)).astype(np.float32)
VELOCITY = {axis: RNG.normal(size=(6, 6, 6)).astype(np.float32) for axis in "xyz"}
BOX = 66.0948 * u.pc


# -- Galactica --------------------------------------------------------------------------------------


@pytest.fixture
def galactica(tmp_path):
    folder = tmp_path / "orionMHD_lowB_0.39_512"
    folder.mkdir()
    fits.writeto(folder / "datacube.fits", RHO)
    fits.writeto(folder / "datacube_temp.fits", RHO / 10)
    for axis, values in VELOCITY.items():
        fits.writeto(folder / f"datacube_vel{axis}.fits", values)
    write_config(folder, size=0.39, nres=6, xcenter=0.5, ycenter=0.55, zcenter=0.5)
    return folder


def write_config(folder, **parameters):
    (folder / "processing_config.json").write_text(json.dumps({"run_parameters": parameters}))


def test_a_galactica_folder_opens_with_the_global_box_size(galactica):
    cube = lab.SimulationCube.open(galactica, box_size=BOX)
    np.testing.assert_array_equal(cube.density, RHO)
    np.testing.assert_array_equal(cube.temperature, RHO / 10)
    for axis in "xyz":
        np.testing.assert_array_equal(cube.velocity[axis], VELOCITY[axis])
    assert cube.side_pc == pytest.approx((25.776972,) * 3)
    assert cube.name == galactica.name.removesuffix(".39_512") or cube.name
    assert cube.provenance["part_of_run"]["ycenter"] == 0.55
    again = lab.SimulationCube.open(galactica / "processing_config.json", box_size=BOX)
    assert again.cell_size_pc == cube.cell_size_pc


def test_a_box_without_a_size_is_refused(galactica):
    with pytest.raises(
        ValueError, match=r"expected the size of the whole run's box.*box_size=66\.0948 \* u\.pc"
    ):
        lab.SimulationCube.open(galactica)


def test_a_config_of_another_cube_is_refused(galactica):
    write_config(galactica, size=0.39, nres=512)
    with pytest.raises(ValueError, match="expected nres as the cube's 6 cells, got 512"):
        lab.SimulationCube.open(galactica, box_size=BOX)
    write_config(galactica, size=39)
    with pytest.raises(ValueError, match=r"fraction of the box, above 0 up to 1, got 39"):
        lab.SimulationCube.open(galactica, box_size=BOX)
    (galactica / "processing_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"processing_config.json: expected .*got a fault"):
        lab.SimulationCube.open(galactica, box_size=BOX)
    (galactica / "processing_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="which part of the run"):
        lab.SimulationCube.open(galactica, box_size=BOX)


def test_fields_of_different_shapes_are_refused(galactica):
    fits.writeto(galactica / "datacube_temp.fits", RHO[:4], overwrite=True)
    with pytest.raises(
        ValueError, match=r"temperature: expected the shape of the density \(6, 6, 6\), got \(4, 6, 6\)"
    ):
        lab.SimulationCube.open(galactica, box_size=BOX)


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.0])
def test_bad_cells_are_named_when_they_are_used(galactica, value):
    bad = RHO.copy()
    bad[1, 2, 3] = value
    fits.writeto(galactica / "datacube.fits", bad, overwrite=True)
    with pytest.raises(ValueError, match=r"density: expected positive finite values .* \[z=1, y=2, x=3\]"):
        lab.column_density(lab.SimulationCube.open(galactica, box_size=BOX))


# -- The Well ---------------------------------------------------------------------------------------


@pytest.fixture
def well(tmp_path):
    path = tmp_path / "MHD_Ma_0.7_Ms_2.hdf5"
    rng = np.random.default_rng(8)
    with h5py.File(path, "w") as file:
        file.attrs["n_trajectories"], file.attrs["n_spatial_dims"] = 2, 3
        file["t0_fields/density"] = rng.lognormal(0, 1, (2, 3, 4, 5, 6)).astype("f4")
        file["t1_fields/velocity"] = rng.normal(size=(2, 3, 4, 5, 6, 3)).astype("f4")
        file["t1_fields/magnetic_field"] = np.zeros((2, 3, 4, 5, 6, 3), "f4")
    return path


def test_a_snapshot_of_the_well_is_turned_to_z_y_x(well):
    units = {"density": "470 cm-3"} | {f"velocity_{axis}": "0.2 km/s" for axis in "xyz"}
    cube = lab.SimulationCube.open(well, snapshot=(1, 2), box_size=4 * u.pc, units=units | {})
    assert cube.shape == (6, 5, 4)
    assert cube.cell_size_pc == pytest.approx(1.0)
    with h5py.File(well) as file:
        rho, v = file["t0_fields/density"][1, 2], file["t1_fields/velocity"][1, 2]
    np.testing.assert_allclose(cube.density[...], 470 * rho.transpose(2, 1, 0), rtol=1e-6)
    np.testing.assert_allclose(
        cube.velocity["y"][2:4, 1], 0.2 * v[..., 1].transpose(2, 1, 0)[2:4, 1], rtol=1e-5
    )
    np.testing.assert_allclose(
        lab.column_density(cube, axis="x"), 470 * rho.sum(axis=0).T * cube.cell_size_cm, rtol=1e-5
    )


def test_the_well_needs_a_choice_and_units(well):
    with pytest.raises(ValueError, match=r"2 trajectories of 3 steps; say for example snapshot=\(0, 2\)"):
        lab.SimulationCube.open(well, box_size=4 * u.pc)
    with pytest.raises(
        ValueError, match=r"snapshot: expected \(trajectory below 2, step below 3\), got \(2, 0\)"
    ):
        lab.SimulationCube.open(well, snapshot=(2, 0), box_size=4 * u.pc)
    with pytest.raises(ValueError, match='expected the unit of "density"'):
        lab.SimulationCube.open(well, snapshot=(0, 0), box_size=4 * u.pc)
    np.save(well.with_suffix(".npy"), RHO)
    with pytest.raises(TypeError, match="snapshot: expected for HDF5 files of The Well only"):
        lab.SimulationCube.open(well.with_suffix(".npy"), snapshot=(0, 0), cell_size=u.pc * 1)


# -- legacy VTK -------------------------------------------------------------------------------------


def write_idefix(path, rho, velocity, step=0.25):
    """Write what IDEFIX writes: a binary rectilinear grid with field data before its coordinates."""
    nz, ny, nx = rho.shape
    with open(path, "wb") as file:
        file.write(b"# vtk DataFile Version 2.0\nIdefix 2.1 VTK Data\nBINARY\nDATASET RECTILINEAR_GRID\n")
        file.write(b"FIELD FieldData 3\nTIME 1 1 float\n" + np.array(1.5, ">f4").tobytes() + b"\n")
        file.write(b"GEOMETRY 1 1 int\n" + np.array(0, ">i4").tobytes() + b"\n")
        file.write(b"PERIODICITY 1 3 int\n" + np.ones(3, ">i4").tobytes() + b"\n")
        file.write(f"DIMENSIONS {nx + 1} {ny + 1} {nz + 1}\n".encode())
        for name, n in zip("XYZ", (nx, ny, nz), strict=True):
            file.write(f"{name}_COORDINATES {n + 1} float\n".encode())
            file.write((np.arange(n + 1) * step).astype(">f4").tobytes() + b"\n")
        file.write(f"CELL_DATA {rho.size}\n".encode())
        fields = {"RHO": rho} | {f"VX{k}": velocity[axis] for k, axis in enumerate("xyz", start=1)}
        for name, values in fields.items():
            file.write(f"SCALARS {name} float\nLOOKUP_TABLE default\n".encode())
            file.write(values.astype(">f4").tobytes() + b"\n")
    return path


def test_an_idefix_output_with_its_units(tmp_path):
    path = write_idefix(tmp_path / "data.0010.vtk", RHO, VELOCITY)
    (tmp_path / "idefix.ini").write_text(
        "[Grid]\nX1-grid 1 0.0 64 u 1.0\n[Units]\nlength    3.0857e18\ndensity 2.3429e-24\nvelocity 2.0e4\n[Output]\nvtk 1.0\n"
    )
    cube = lab.SimulationCube.open(path)
    assert cube.cell_size_pc == pytest.approx(0.25, rel=1e-4)
    np.testing.assert_allclose(cube.density[...], RHO * 2.3429e-24 / (1.4 * 1.6735328e-24), rtol=1e-5)
    for axis in "xyz":
        np.testing.assert_allclose(cube.velocity[axis][...], 0.2 * VELOCITY[axis], rtol=1e-5)
    heavier = lab.SimulationCube.open(path, mass_per_hydrogen=1.36)
    np.testing.assert_allclose(heavier.density[...] / cube.density[...], 1.4 / 1.36, rtol=1e-5)


def test_an_idefix_output_without_units_asks(tmp_path):
    path = write_idefix(tmp_path / "data.vtk", RHO, VELOCITY)
    with pytest.raises(ValueError, match='expected the unit of "density"'):
        lab.SimulationCube.open(path, box_size=6 * u.pc)
    units = {"density": "cm-3"} | {f"velocity_{axis}": "km/s" for axis in "xyz"}
    cube = lab.SimulationCube.open(path, box_size=6 * u.pc, units=units)
    np.testing.assert_array_equal(cube.density[2:4], RHO[2:4])
    assert cube.cell_size_pc == 1.0


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("where", ["cell_data", "point_data"])
def test_what_the_vtk_library_writes(tmp_path, binary, where):
    """An unequal box, so that swapped axes show; scalars and a vector."""
    pyvista = pytest.importorskip("pyvista")
    rho = RNG.lognormal(5, 1, (3, 4, 5)).astype(np.float32)
    v = RNG.normal(size=(3, 4, 5, 3)).astype(np.float32)
    more = 1 if where == "cell_data" else 0
    grid = pyvista.ImageData(dimensions=(5 + more, 4 + more, 3 + more), spacing=(0.5, 0.5, 0.5))
    getattr(grid, where)["rho"] = rho.ravel()
    getattr(grid, where)["velocity"] = v.reshape(-1, 3)
    path = tmp_path / "cloud.vtk"
    grid.save(path, binary=binary)
    units = {"density": "cm-3"} | {f"velocity_{axis}": "km/s" for axis in "xyz"}
    cube = lab.SimulationCube.open(path, cell_size=0.5 * u.pc, units=units)
    assert cube.shape == (3, 4, 5)
    np.testing.assert_allclose(cube.density[...], rho, rtol=1e-5)
    for number, axis in enumerate("xyz"):
        np.testing.assert_allclose(cube.velocity[axis][...], v[..., number], rtol=1e-4, atol=1e-6)


def test_a_cut_off_vtk_file_is_refused(tmp_path):
    path = write_idefix(tmp_path / "data.vtk", RHO, VELOCITY)
    whole = path.read_bytes()
    for keep in (len(whole) - 500, 200, 40):
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match=r"cut off|expected"):
            lab.SimulationCube.open(path, box_size=1 * u.pc, units={"density": "cm-3"})


def test_an_uneven_grid_is_refused(tmp_path):
    path = write_idefix(tmp_path / "data.vtk", RHO, VELOCITY)
    data = path.read_bytes()
    even = (np.arange(7) * 0.25).astype(">f4").tobytes()
    path.write_bytes(data.replace(even, (np.arange(7) ** 2 * 0.04).astype(">f4").tobytes(), 1))
    with pytest.raises(ValueError, match="expected cubic cells, got steps from"):
        lab.SimulationCube.open(path, box_size=1 * u.pc, units={"density": "cm-3"})


def test_nothing_is_written_as_vtk(tmp_path):
    cube = lab.SimulationCube(RHO, cell_size=1 * u.pc)
    with pytest.raises(ValueError, match=r"expected one of the suffixes .fits"):
        cube.save(tmp_path / "cube.vtk")


def test_a_box_size_is_a_cell_size(tmp_path):
    np.save(tmp_path / "rho.npy", RHO)
    assert lab.SimulationCube.open(tmp_path / "rho.npy", box_size=3 * u.pc).cell_size_pc == pytest.approx(0.5)
    with pytest.raises(ValueError, match="cell_size, box_size: expected one of them"):
        lab.SimulationCube.open(tmp_path / "rho.npy", box_size=3 * u.pc, cell_size=0.5 * u.pc)
    with pytest.raises(TypeError, match="center: expected for outputs of adaptive grids only"):
        lab.SimulationCube.open(tmp_path / "rho.npy", center=[1, 1, 1] * u.pc, box_size=3 * u.pc)


def test_fields_are_dask_arrays_when_asked(tmp_path):
    array = pytest.importorskip("dask.array")
    path = lab.SimulationCube(RHO, cell_size=1 * u.pc, velocity=VELOCITY).save(tmp_path / "cube.h5")
    cube = lab.SimulationCube.open(path, chunks=(2, 6, 6))
    assert isinstance(cube.density, array.Array)
    assert cube.density.numblocks == (3, 1, 1)
    assert float(cube.density.mean().compute()) == pytest.approx(RHO.mean(), rel=1e-5)
    for axis in "zyx":
        np.testing.assert_array_equal(
            lab.column_density(cube, axis=axis), lab.column_density(lab.SimulationCube.open(path), axis=axis)
        )
    assert "n_H" in repr(cube)
