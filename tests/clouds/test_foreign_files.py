"""Files from elsewhere: what they do not say must be said, and what is broken is named."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
import zarr
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from polaris_lab.clouds.readers import open_cube

CELL = 0.05 * u.pc
RHO = np.random.default_rng(1).lognormal(5, 1, (4, 5, 6)).astype(np.float32)
SUFFIXES = [".fits", ".npy", ".npz", ".h5", ".zarr"]


def write(path, name="density", values=RHO, unit="cm-3"):
    """Write a field as a stranger would: no cell size, no description."""
    match path.suffix:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, **{name: values})
        case ".fits":
            header = fits.Header({"EXTNAME": name.upper()} | ({"BUNIT": unit} if unit else {}))
            fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values, header)]).writeto(path)
        case ".h5":
            with h5py.File(path, "w") as file:
                file[name] = values
                if unit:
                    file[name].attrs["units"] = unit
        case ".zarr":
            group = zarr.create_group(path)
            group.create_array(name, data=values, attributes={"units": unit} if unit else {})
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_plain_density_opens_with_a_cell_size(tmp_path, suffix):
    cube = open_cube(write(tmp_path / f"sim{suffix}"), cell_size=CELL)
    np.testing.assert_array_equal(cube.density, RHO)
    assert cube.cell_size_pc == pytest.approx(0.05)
    assert cube.name == "sim"
    assert cube.provenance == {"source": "file", "file": f"sim{suffix}"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_cell_size_is_asked_for(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"expected the size of a cell.*cell_size=0\.05 \* u\.pc"):
        open_cube(write(tmp_path / f"sim{suffix}"))


@pytest.mark.parametrize("suffix", [".fits", ".h5", ".zarr"])
def test_a_missing_unit_is_asked_for_where_a_file_can_hold_it(tmp_path, suffix):
    path = write(tmp_path / f"sim{suffix}", unit=None)
    with pytest.raises(ValueError, match=r'expected the unit of "density".*units=\{"density": "cm-3"\}'):
        open_cube(path, cell_size=CELL)
    np.testing.assert_array_equal(open_cube(path, cell_size=CELL, units={"density": "cm-3"}).density, RHO)


@pytest.mark.parametrize("suffix", [".fits", ".h5", ".zarr"])
def test_units_are_converted(tmp_path, suffix):
    path = write(tmp_path / f"sim{suffix}", unit="m-3")
    np.testing.assert_allclose(open_cube(path, cell_size=CELL).density, RHO * 1e-6, rtol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_mass_density_becomes_hydrogen_nuclei(tmp_path, suffix):
    """rho = 1.4 m_H n_H."""
    path = write(tmp_path / f"sim{suffix}", values=RHO * np.float32(1.4 * 1.6735328e-24))
    cube = open_cube(path, cell_size=CELL, units={"density": "g cm-3"})
    np.testing.assert_allclose(cube.density, RHO, rtol=1e-5)
    np.testing.assert_allclose(lab.max_density(cube), RHO.max(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("unit", "error", "message"),
    [
        ("K", u.UnitsError, 'converts to "cm-3" or "g cm-3", got "K"'),
        ("cm-2", u.UnitsError, 'converts to "cm-3" or "g cm-3", got "1 / cm2"'),
        ("furlong", ValueError, "expected a unit such as \"cm-3\", got 'furlong'"),
    ],
)
def test_a_unit_that_is_no_density_is_refused(tmp_path, unit, error, message):
    with pytest.raises(error, match=message):
        open_cube(write(tmp_path / "sim.h5", unit=unit), cell_size=CELL)
    with pytest.raises(error, match=message):
        open_cube(write(tmp_path / "sim.npy"), cell_size=CELL, units={"density": unit})


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_another_name_is_found_by_a_mapping(tmp_path, suffix):
    path = write(tmp_path / f"sim{suffix}", name="densiti")
    with pytest.raises(ValueError, match=r"did you mean 'densiti'\?.*fields=\{\"density\""):
        open_cube(path, cell_size=CELL)
    cube = open_cube(path, cell_size=CELL, fields={"density": "densiti"}, units={"density": "cm-3"})
    np.testing.assert_array_equal(cube.density, RHO)


def test_hdf5_groups_and_double_precision(tmp_path):
    with h5py.File(tmp_path / "sim.h5", "w") as file:
        file["gas/rho"] = RHO.astype(">f8")
        file["gas/vx"] = RHO * 1e5
        file["gas/rho"].attrs["units"] = b"cm-3"
        file["gas/vx"].attrs["units"] = "cm/s"
    cube = open_cube(
        tmp_path / "sim.h5", cell_size=CELL, fields={"density": "gas/rho", "velocity_x": "gas/vx"}, name="gas"
    )
    assert cube.name == "gas"
    np.testing.assert_array_equal(cube.density, RHO)
    np.testing.assert_allclose(cube.velocity["x"], RHO, rtol=1e-6)


@pytest.mark.parametrize("argument", ["fields", "units"])
def test_an_unknown_field_is_refused(tmp_path, argument):
    with pytest.raises(ValueError, match=rf"{argument}: unknown field 'velocity': did you mean 'velocity_"):
        open_cube(write(tmp_path / "sim.npy"), cell_size=CELL, **{argument: {"velocity": "x"}})


@pytest.mark.parametrize("kind", ["int16", "scaled", "float64", "compressed"])
def test_kinds_of_fits_images(tmp_path, kind):
    values = np.arange(1, 121).reshape(4, 5, 6)
    header = fits.Header({"BUNIT": "cm-3"})
    if kind == "compressed":
        unit = fits.CompImageHDU(values.astype(np.int32), header)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(tmp_path / "sim.fits")
    else:
        image = fits.PrimaryHDU(values.astype({"float64": np.float64}.get(kind, np.int16)), header)
        if kind == "scaled":
            image.scale("int16", bzero=1000, bscale=0.5)
        image.writeto(tmp_path / "sim.fits")
    cube = open_cube(tmp_path / "sim.fits", cell_size=CELL)
    np.testing.assert_array_equal(cube.density, values)


def test_orders_and_compression_of_numpy_files(tmp_path):
    np.save(tmp_path / "fortran.npy", np.asfortranarray(RHO))
    np.testing.assert_array_equal(open_cube(tmp_path / "fortran.npy", cell_size=CELL).density, RHO)
    np.savez_compressed(tmp_path / "packed.npz", density=RHO.astype(">f8"))
    np.testing.assert_array_equal(open_cube(tmp_path / "packed.npz", cell_size=CELL).density, RHO)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_map_is_no_cube(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"sim.*expected a 3D array .*Observation\.from_fits"):
        open_cube(write(tmp_path / f"sim{suffix}", values=RHO[0]), cell_size=CELL)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_bad_values_are_named_when_they_are_read(tmp_path, suffix, value):
    values = RHO.copy()
    values[3, 2, 1] = value
    with pytest.raises(ValueError, match=r"positive finite values .*\[z=3, y=2, x=1\]"):
        lab.project(open_cube(write(tmp_path / f"sim{suffix}", values=values), cell_size=CELL))


def test_a_cell_size_that_contradicts_the_file_is_refused(box, tmp_path):
    path = box.save(tmp_path / "cube.fits")
    assert open_cube(path, cell_size=0.064 * u.pc).cell_size_pc == 0.064
    with pytest.raises(ValueError, match=r"that of the file, 0\.064 pc, got 0\.1 pc"):
        open_cube(path, cell_size=0.1 * u.pc)
    with pytest.raises(TypeError, match="cell_size: expected a Quantity"):
        open_cube(path, cell_size=0.064)


@pytest.mark.parametrize("name", ["cube", "cube.txt", "cube.fits.gz"])
def test_an_unknown_suffix_lists_the_known_ones(box, tmp_path, name):
    for call in (lambda: box.save(tmp_path / name), lambda: open_cube(tmp_path / name)):
        with pytest.raises(ValueError, match=r"expected one of the suffixes .fits, .fit, .npy, .npz"):
            call()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_path_with_nothing_there(tmp_path, suffix):
    with pytest.raises(FileNotFoundError, match="expected a simulation cube"):
        open_cube(tmp_path / f"cube{suffix}")


@pytest.mark.parametrize("suffix", [".fits", ".npy", ".npz", ".h5"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.8, 0.97])
def test_a_file_cut_off_anywhere_is_refused(cloud, tmp_path, suffix, share):
    path = cloud.save(tmp_path / f"cube{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"cube.*(expected|cut off)"):
        open_cube(path)


def test_a_zarr_folder_with_a_missing_chunk_or_description_is_refused(cloud, tmp_path):
    path = cloud.save(tmp_path / "cube.zarr")
    next(file for file in (path / "density" / "c").rglob("*") if file.is_file()).unlink()
    with pytest.raises(ValueError, match=r"density: expected 2 chunks, got 1"):
        open_cube(path)
    (path / "zarr.json").unlink()
    with pytest.raises(ValueError, match="expected a zarr group"):
        open_cube(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_that_are_no_such_file(tmp_path, suffix):
    path = tmp_path / f"cube{suffix}"
    path.write_bytes(b"not a cube at all" * 1000)
    with pytest.raises(ValueError, match=r"expected an? .*(FITS|npy|npz|HDF5|zarr)"):
        open_cube(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_a_newer_version_is_refused(box, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("polaris_lab.clouds.readers.stored.SCHEMA", 99)
    path = box.save(tmp_path / f"cube{suffix}")
    with pytest.raises(ValueError, match=r"schema version 1 or older, got 99.*install the newest version"):
        open_cube(path)


def test_a_description_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "cube.npz", density=RHO, description=np.array(json.dumps({"kind": "PatchDataset"})))
    with pytest.raises(ValueError, match="of the kind \"SimulationCube\", got 'PatchDataset'"):
        open_cube(tmp_path / "cube.npz")


def test_python_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "cube.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects, which are not loaded"):
        open_cube(tmp_path / "cube.npy", cell_size=CELL)


def test_the_shared_simulation_names_what_it_holds(shared_data):
    """Its density is a logarithm: not taken for a density."""
    with pytest.raises(ValueError, match=r'expected the field "density".*log10_nH'):
        open_cube(shared_data / "simulation" / "mhd_m8_128_late.npz", cell_size=CELL)


def test_named_images_of_a_fits_file_in_any_case(tmp_path):
    """One file, an image a field, each with its own name and unit."""
    rng = np.random.default_rng(0)
    density, speed = rng.lognormal(5, 1, (4, 6, 10)), rng.normal(size=(4, 6, 10))
    images = [fits.PrimaryHDU()]
    for name, values, unit in (
        ("RHO", density * 1.4 * 1.6735328e-24, "g cm-3"),
        ("Temp", np.full_like(density, 12), "K"),
        ("VZ", speed * 1e5, "cm/s"),
    ):
        images.append(fits.ImageHDU(values.astype("f4"), name=name))
        images[-1].header["BUNIT"] = unit
    fits.HDUList(images).writeto(tmp_path / "named.fits")
    for case in (str, str.lower, str.upper):
        names = {"density": case("RHO"), "temperature": case("Temp"), "velocity_z": case("VZ")}
        cube = lab.SimulationCube.open(tmp_path / "named.fits", cell_size=1 * u.pc, fields=names)
        np.testing.assert_allclose(cube.density[...], density, rtol=1e-5)
        np.testing.assert_allclose(cube.velocity["z"][...], speed, rtol=1e-5)
        assert cube.temperature[0, 0, 0] == 12


@pytest.mark.parametrize(
    "member", ["../../density.npy", "/tmp/density.npy", "a/../../b.npy", "C:\\density.npy"]
)
def test_an_archive_member_that_leaves_its_folder_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "cube.npz", "w") as archive:
        for name in ("density.npy", member):
            stream = io.BytesIO()
            np.save(stream, np.ones((4, 4, 4)))
            archive.writestr(name, stream.getvalue())
    with pytest.raises(ValueError, match="a member that leaves its folder"):
        lab.SimulationCube.open(tmp_path / "cube.npz", cell_size=1 * u.pc)
    assert [path.name for path in tmp_path.iterdir()] == ["cube.npz"]


def test_hdf5_data_in_another_file_are_refused(tmp_path):
    """A link to another file, and a dataset whose bytes lie in one."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["density"] = np.ones((4, 4, 4))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["gas/density"] = h5py.ExternalLink("other.h5", "density")
    (tmp_path / "raw.bin").write_bytes(np.ones(64, "f4").tobytes())
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        space = [(str(tmp_path / "raw.bin"), 0, 256)]
        file.create_dataset("density", (4, 4, 4), "f4", external=space)
    for name, where in (("link.h5", "other.h5"), ("raw.h5", "raw.bin")):
        with pytest.raises(ValueError, match=f"expected all data within the file, got .*density.*{where}"):
            lab.SimulationCube.open(tmp_path / name, cell_size=1 * u.pc)


def test_a_damaged_compressed_member_is_refused(tmp_path):
    path = tmp_path / "cube.npz"
    np.savez_compressed(path, density=np.random.default_rng(0).lognormal(size=(8, 8, 8)))
    data = bytearray(path.read_bytes())
    data[120:160] = b"\xff" * 40
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="expected an npz file, got one that is cut off or damaged"):
        lab.SimulationCube.open(path, cell_size=1 * u.pc)


def test_an_unknown_suffix_names_the_way_to_yt(tmp_path):
    with pytest.raises(
        ValueError, match="got 'none'; the output of a grid code that yt reads is opened with resolution="
    ):
        lab.SimulationCube.open(tmp_path / "plt00042")


@pytest.mark.parametrize("chunks", [0, -1, 2.5, (2, 2), (0, 2, 2), True])
def test_chunks_that_cannot_be_are_refused(tmp_path, chunks):
    np.save(tmp_path / "cube.npy", np.ones((4, 4, 4)))
    with pytest.raises(ValueError, match="chunks: expected a whole number of cells from 1 up, or three"):
        lab.SimulationCube.open(tmp_path / "cube.npy", cell_size=1 * u.pc, chunks=chunks)
