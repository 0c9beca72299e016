"""What is written comes back bit for bit, is read only when used, and is written whole or not at all."""

import json
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from polaris_lab.clouds import simulation
from polaris_lab.clouds.readers import FORMATS
from polaris_lab.clouds.readers.stored import LazyField

SUFFIXES = sorted(set(FORMATS) - {".fit", ".hdf5"})


def assert_same(found, cube):
    assert found.shape == cube.shape
    assert found.cell_size_pc == cube.cell_size_pc
    assert found.name == cube.name
    assert found.provenance == cube.provenance
    assert list(found.velocity) == list(cube.velocity)
    assert found.density.dtype == np.float32
    np.testing.assert_array_equal(found.density, cube.density)
    assert (found.temperature is None) == (cube.temperature is None)
    if cube.temperature is not None:
        np.testing.assert_array_equal(found.temperature, cube.temperature)
    for axis, values in cube.velocity.items():
        np.testing.assert_array_equal(found.velocity[axis], values)


@pytest.mark.parametrize("suffix", [*sorted(FORMATS), ".FITS"])
def test_everything_comes_back(box, tmp_path, suffix):
    path = tmp_path / "folder" / f"cube{suffix}"
    assert box.save(path) == path
    assert_same(lab.SimulationCube.open(path), box)
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # no temporary file stays


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("axes", ["", "x", "zx"])
def test_a_cube_may_carry_less(box, tmp_path, suffix, axes):
    part = lab.SimulationCube(
        box.density, cell_size=box.cell_size, velocity={axis: box.velocity[axis] for axis in axes}
    )
    assert_same(lab.SimulationCube.open(part.save(tmp_path / f"cube{suffix}")), part)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["it's  ρ Oph  & 'x' ", "", "a" * 200, "\\ \" ' \n", " " * 130, "'" * 99])
def test_any_name_comes_back(box, tmp_path, suffix, name):
    box.name = name
    assert lab.SimulationCube.open(box.save(tmp_path / f"cube{suffix}")).name == name


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cell_size", [6.4 / 100, 1 / 3, 1e-7, 123.456])
def test_the_cell_size_comes_back_to_the_last_bit(tmp_path, suffix, cell_size):
    cube = lab.SimulationCube(np.full((2, 2, 2), 1.0), cell_size=cell_size * u.pc)
    assert lab.SimulationCube.open(cube.save(tmp_path / f"c{suffix}")).cell_size_pc == cube.cell_size_pc


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_opening_reads_no_data(box, tmp_path, suffix, monkeypatch):
    path = box.save(tmp_path / f"cube{suffix}")

    def read(*_):
        raise AssertionError("data were read")

    monkeypatch.setattr(LazyField, "__getitem__", read)
    cube = lab.SimulationCube.open(path)
    assert isinstance(cube.density, LazyField)
    with pytest.raises(AssertionError, match="data were read"):
        lab.column_density(cube)


def test_words_give_the_ranges_of_a_cube_in_a_file(box, tmp_path, monkeypatch):
    cube = lab.SimulationCube.open(box.save(tmp_path / "cube.npy"))
    low, high = box.density.min(), box.density.max()
    assert f"n_H {low:.3g} .. {high:.3g} cm^-3 (on disk)" in repr(cube)
    monkeypatch.setattr(simulation, "SHOWN_BYTES", box.density.nbytes - 1)
    assert "n_H on disk [cm^-3]" in repr(cube)
    monkeypatch.undo()
    (tmp_path / "cube.npy").unlink()
    assert "n_H no longer readable [cm^-3]" in repr(cube)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        (1, 2, 3),
        slice(1, 3),
        slice(None, None, -1),
        (..., 2),
        ([0, 2], 1),
        (slice(0, 5, 2), slice(2, 2)),
    ],
)
def test_a_lazy_field_is_indexed_as_an_array(box, tmp_path, suffix, index):
    field = lab.SimulationCube.open(box.save(tmp_path / f"cube{suffix}")).density
    np.testing.assert_array_equal(field[index], box.density[index])
    assert np.asarray(field[index]).dtype == np.float32


def test_a_lazy_field_takes_part_in_arithmetic_and_travels(box, tmp_path):
    cube = lab.SimulationCube.open(box.save(tmp_path / "cube.h5"))
    np.testing.assert_array_equal(np.log10(cube.density), np.log10(box.density))
    np.testing.assert_array_equal(2 * cube.density, 2 * box.density)
    assert (len(cube.density), cube.density.ndim, cube.density.size) == (5, 3, 315)
    assert cube.density.nbytes == box.density.nbytes
    assert_same(pickle.loads(pickle.dumps(cube)), box)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".fits"])
def test_a_file_cannot_be_changed_through_its_cube(box, tmp_path, suffix):
    path = box.save(tmp_path / f"cube{suffix}")
    before = path.read_bytes()
    lab.SimulationCube.open(path).density[0][:] = -1
    assert path.read_bytes() == before
    assert_same(lab.SimulationCube.open(path), box)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cube_is_converted_from_file_to_file(box, tmp_path, suffix):
    opened = lab.SimulationCube.open(box.save(tmp_path / "cube.fits"))
    assert_same(lab.SimulationCube.open(opened.save(tmp_path / f"other{suffix}")), box)


# -- other tools open what is written --------------------------------------------------------------


def test_fits_is_what_the_standard_says(box, tmp_path):
    path = box.save(tmp_path / "cube.fits")
    with fits.open(path, checksum=True) as units:
        units.verify("exception")
        assert [unit.name for unit in units] == [
            "DENSITY",
            "TEMPERATURE",
            "VELOCITY_Z",
            "VELOCITY_Y",
            "VELOCITY_X",
        ]
        assert [u.Unit(unit.header["BUNIT"]) for unit in units] == [u.cm**-3, u.K, *[u.km / u.s] * 3]
        assert units[0].header["CELLSIZE"] == 0.064
        assert "[pc]" in units[0].header.comments["CELLSIZE"]
        assert units[0].header["OBJECT"] == "a box"
        np.testing.assert_array_equal(units["DENSITY"].data, box.density)
    assert path.stat().st_size % 2880 == 0


def test_numpy_loads_the_density_of_an_npy_file(box, tmp_path):
    np.testing.assert_array_equal(np.load(box.save(tmp_path / "cube.npy")), box.density)
    np.testing.assert_array_equal(np.load(tmp_path / "cube.npy", mmap_mode="r"), box.density)


def test_numpy_loads_the_fields_of_an_npz_file(box, tmp_path):
    with np.load(box.save(tmp_path / "cube.npz")) as file:
        np.testing.assert_array_equal(file["velocity_x"], box.velocity["x"])
        assert json.loads(str(file["description"]))["units"]["velocity_x"] == "km s-1"


def test_xarray_opens_a_zarr_cube_with_names_and_units(box, tmp_path):
    xarray = pytest.importorskip("xarray")
    with xarray.open_zarr(box.save(tmp_path / "cube.zarr"), consolidated=False, chunks=None) as data:
        assert data.density.dims == ("z", "y", "x")
        assert data.temperature.attrs["units"] == "K"
        np.testing.assert_array_equal(data.density, box.density)


# -- whole or not at all ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_path_is_kept_unless_told(box, tmp_path, suffix):
    path = box.save(tmp_path / f"cube{suffix}")
    other = lab.SimulationCube(np.full((2, 3, 4), 7.0), cell_size=1 * u.pc)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        other.save(path)
    assert_same(lab.SimulationCube.open(path), box)
    other.save(path, overwrite=True)
    assert_same(lab.SimulationCube.open(path), other)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_bad_cell_on_the_way_leaves_nothing_and_the_old_file(box, tmp_path, suffix):
    bad = box.density.copy()
    bad[4, 0, 0] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    cube = lab.SimulationCube.open(tmp_path / "bad.npy", cell_size=1 * u.pc)
    with pytest.raises(ValueError, match=r"\[z=4, y=0, x=0\]"):
        cube.save(tmp_path / f"cube{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.npy"]
    path = box.save(tmp_path / f"cube{suffix}")
    with pytest.raises(ValueError, match=r"\[z=4, y=0, x=0\]"):
        cube.save(path, overwrite=True)
    assert_same(lab.SimulationCube.open(path), box)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cube_may_replace_the_file_it_is_read_from(box, tmp_path, suffix):
    path = box.save(tmp_path / f"cube{suffix}")
    lab.SimulationCube.open(path).save(path, overwrite=True)
    assert_same(lab.SimulationCube.open(path), box)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_changed_is_not_mixed_in(box, tmp_path, suffix):
    path = box.save(tmp_path / f"cube{suffix}")
    cube = lab.SimulationCube.open(path)
    lab.SimulationCube(np.full((9, 9, 9), 7.0), cell_size=1 * u.pc).save(path, overwrite=True)
    with pytest.raises(ValueError, match="changed since it was opened"):
        lab.column_density(cube)


def test_a_folder_of_other_things_is_not_replaced(box, tmp_path):
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "cube.zarr" / "thesis.tex").write_text("all my work")
    with pytest.raises(FileExistsError, match="got another folder"):
        box.save(tmp_path / "cube.zarr", overwrite=True)
    assert (tmp_path / "cube.zarr" / "thesis.tex").exists()


def test_a_provenance_that_is_no_json_is_refused_before_writing(box, tmp_path):
    box.provenance["array"] = np.ones(3)
    with pytest.raises(TypeError, match="provenance: expected JSON values"):
        box.save(tmp_path / "cube.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cube_in_many_blocks_comes_back(cloud, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("polaris_lab.clouds.simulation.BLOCK_BYTES", 7 * 64 * 64 * 4)
    assert_same(lab.SimulationCube.open(cloud.save(tmp_path / f"cube{suffix}")), cloud)
