"""Line cubes in training sets: cut like the maps, along one velocity axis, bit for bit what the whole face gives."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray
import zarr
from astropy import units as u

from polaris_lab import (
    Line,
    PatchConfig,
    PatchDataset,
    PPVCube,
    SimulationCube,
    build_dataset,
    integrated_intensity,
    synthesize_ppv,
)
from polaris_lab.config import from_dict
from polaris_lab.datasets import EmissionConfig, emission
from polaris_lab.datasets.growing import GrowingDataset, partial_path
from polaris_lab.datasets.normalize import symmetry
from polaris_lab.radiative_transfer import equivalent_temperature, integrated_optical_depth
from polaris_lab.radiative_transfer.moments import moments

KMS = u.km / u.s
LINE = EmissionConfig(abundance=1.4e-6, velocity_min_km_s=-2.4, velocity_max_km_s=2.4, channel_width_km_s=0.1)
QUANTITIES = ("column_density", "mass_weighted_density", "ppv_cube")
CONFIG = PatchConfig(patch_size=12, validation_fraction=0.3, quantities=QUANTITIES, emission=LINE)
PRODUCTS = ("integrated_intensity", "centroid_velocity", "velocity_dispersion", "peak_temperature")


def build(cubes, path, config=CONFIG, **choices):
    return build_dataset(cubes, config, path, progress=False, **choices)


@pytest.fixture(scope="module")
def dataset(gas, tmp_path_factory):
    """Return a dataset with line cubes; leave it as it is."""
    return build(gas, tmp_path_factory.mktemp("lines") / "gas.zarr")


def whole_face(cube, axis, velocity, **choices):
    """The line cube of a face, straight from the solver."""
    choices = {"abundance": 1.4e-6, "axis": axis, "velocity": velocity * KMS, "progress": False} | choices
    return synthesize_ppv(cube, Line.named("13CO"), **choices)


def same(first: PatchDataset, second: PatchDataset) -> bool:
    names = first.inputs + first.targets
    return (
        first.fingerprint == second.fingerprint
        and all(np.array_equal(first.read(name), second.read(name)) for name in names)
        and all(np.array_equal(values, second.table[name]) for name, values in first.table.items())
        and np.array_equal(first.velocity, second.velocity)
    )


# -- what is stored ----------------------------------------------------------------------------------


def test_a_patch_is_the_crop_of_the_whole_face(gas, dataset):
    """Cut with the same window as the maps, not resampled, not turned; all faces."""
    assert (dataset.inputs, dataset.targets) == (("column_density", "ppv_cube"), ("mass_weighted_density",))
    patches = dataset.read("ppv_cube")
    assert patches.dtype == np.float32
    assert patches.shape == (len(dataset), 49, 12, 12)
    assert set(dataset.table["line_of_sight"]) == {"z", "y"}
    for axis in ("z", "y"):
        face = whole_face(gas, axis, dataset.velocity)
        for number in np.flatnonzero(dataset.table["line_of_sight"] == axis):
            row, column = dataset.table["origin"][number]
            window = face.data[:, row : row + 12, column : column + 12]
            assert np.array_equal(patches[number], window)
            assert window.max() > 1  # there is a line to be compared


def test_column_density_and_line_see_the_same_gas(gas, tmp_path):
    """In the thin limit without a sky the integral is f(T) times the column, pixel by pixel (T uniform)."""
    thin = replace(LINE, abundance=1e-12, background_K=0.0, channel="average")
    uniform = np.full(gas.shape, 12.0)
    cube = SimulationCube(
        gas.density, cell_size=gas.cell_size, temperature=uniform, velocity=gas.velocity, name="gas"
    )
    dataset = build(cube, tmp_path / "thin.zarr", replace(CONFIG, emission=thin))
    column = dataset.read("column_density").astype(np.float64)
    w = np.stack(
        [integrated_intensity(PPVCube(values, dataset.velocity)) for values in dataset.read("ppv_cube")]
    )
    ratio = w / column
    assert np.ptp(ratio) / ratio.mean() < 2e-4
    line = Line.named("13CO")
    expected = 1e-12 * integrated_optical_depth(line, 12.0) * equivalent_temperature(line, 12.0)
    assert ratio.mean() == pytest.approx(float(expected), rel=1e-4)


def test_products_are_the_moments_of_the_cube(gas, tmp_path):
    config = replace(CONFIG, quantities=(*QUANTITIES, *PRODUCTS))
    dataset = build(gas, tmp_path / "products.zarr", config)
    assert dataset.inputs == ("column_density", "ppv_cube", *PRODUCTS)
    assert [dataset.unit(name) for name in PRODUCTS] == ["K km s-1", "km s-1", "km s-1", "K"]
    face = whole_face(gas, "y", dataset.velocity)
    expected = moments(face)
    number = int(np.flatnonzero(dataset.table["line_of_sight"] == "y")[1])
    row, column = dataset.table["origin"][number]
    for name, values in zip(PRODUCTS, expected, strict=True):
        window = values[row : row + 12, column : column + 12]
        assert np.allclose(dataset.read(name, [number])[0], window, rtol=1e-6, atol=1e-7)
    assert np.array_equal(dataset.read("integrated_intensity", [number])[0],
                          integrated_intensity(face).astype(np.float32)[row : row + 12, column : column + 12])  # fmt: skip


def test_products_without_the_cube(gas, dataset, tmp_path):
    config = replace(CONFIG, quantities=("column_density", "mass_weighted_density", "integrated_intensity"))
    maps = build(gas, tmp_path / "maps.zarr", config)
    assert maps.inputs == ("column_density", "integrated_intensity")
    expected = integrated_intensity(PPVCube(dataset.read("ppv_cube", [3])[0], dataset.velocity))
    assert np.allclose(maps.read("integrated_intensity", [3])[0], expected, rtol=1e-6)


@pytest.mark.parametrize("number", range(8))
def test_symmetries_turn_the_sky_and_leave_the_velocities(gas, dataset, number):
    """A cloud turned about the line of sight gives the turned line cube: space axes only (never x with v)."""

    def turned(values):
        return np.ascontiguousarray(symmetry(np.asarray(values), number))

    other = SimulationCube(
        turned(gas.density),
        cell_size=gas.cell_size,
        temperature=turned(gas.temperature),
        velocity={"z": turned(gas.velocity["z"])},
    )
    face = whole_face(gas, "z", dataset.velocity).data
    rotated = whole_face(other, "z", dataset.velocity).data
    assert np.abs(symmetry(face, number) - rotated).max() < 1e-4 * face.max()
    if number:
        assert np.abs(face - rotated).max() > 0.1 * face.max()


def test_training_turns_map_and_cube_alike(dataset):
    import torch

    from polaris_lab.training.batches import augment

    numbers = np.arange(8)
    column = torch.from_numpy(dataset.read("column_density", numbers))[:, None]
    ppv = torch.from_numpy(dataset.read("ppv_cube", numbers))
    inputs, target = augment({"column_density": column, "ppv_cube": ppv}, column, numbers)
    for number in numbers:
        given = dataset.read("ppv_cube", [number])[0]
        for channel in (20, 24, 28):  # each channel map is turned as a map is, and stays in its place
            assert np.array_equal(inputs["ppv_cube"][number, channel], symmetry(given[channel], int(number)))
    assert torch.equal(inputs["column_density"], target)


def test_no_line_crosses_the_slab(gas, dataset, tmp_path):
    """Motion of the training gas changes nothing on the side of validation."""
    slab = dataset.manifest["selection"]["gas"]["slab"]
    velocity = {axis: values.copy() for axis, values in gas.velocity.items()}
    outside = np.ones(gas.shape[2], bool)
    outside[slab["start"] : slab["stop"]] = False
    for values in velocity.values():
        values[:, :, outside] *= -1
    moved = SimulationCube(
        gas.density, cell_size=gas.cell_size, temperature=gas.temperature, velocity=velocity, name="gas"
    )
    other = build(moved, tmp_path / "moved.zarr")
    assert np.array_equal(other.table["split"], dataset.table["split"])
    for split, changed in (("validation", False), ("training", True)):
        rows = dataset.indices(split)
        difference = np.abs(other.read("ppv_cube", rows) - dataset.read("ppv_cube", rows)).max(axis=(1, 2, 3))
        assert (difference > 0.5).all() if changed else (difference < 1e-4).all()


# -- the velocity axis -------------------------------------------------------------------------------


def test_xarray_reads_it_with_its_velocity_axis(dataset):
    with xarray.open_zarr(dataset.path) as opened:
        cube = opened["ppv_cube"]
        assert cube.dims == ("patch", "v", "y", "x")
        assert cube.attrs["units"] == "K"
        assert cube.coords["velocity"].dims == ("v",)
        assert cube.coords["velocity"].attrs["units"] == "km s-1"
        assert np.array_equal(opened["velocity"].values, dataset.velocity)
        assert np.array_equal(cube[5].values, dataset.read("ppv_cube", [5])[0])
    assert dataset.velocity == pytest.approx(np.linspace(-2.4, 2.4, 49))


def test_all_clouds_share_an_axis_that_covers_them(make_gas, tmp_path, caplog):
    """Chosen from the slowest and fastest gas of every cloud and face, and said."""
    slow, fast = make_gas(0, name="slow"), make_gas(1, name="fast")
    fast = SimulationCube(
        fast.density,
        cell_size=fast.cell_size,
        temperature=fast.temperature,
        name="fast",
        velocity={axis: values + 3 * (axis == "y") for axis, values in fast.velocity.items()},
    )
    config = replace(
        CONFIG, split_by="cloud", patch_size=20, emission=EmissionConfig(channel_width_km_s=0.25)
    )
    with caplog.at_level("INFO", "polaris_lab.datasets.build"):
        dataset = build([slow, fast], tmp_path / "set.zarr", config)
    assert np.diff(dataset.velocity) == pytest.approx(0.25)
    for cube in (slow, fast):
        for values in cube.velocity.values():
            assert dataset.velocity[0] < values.min() < values.max() < dataset.velocity[-1]
    assert dataset.velocity[-1] < fast.velocity["y"].max() + 2
    words = f"{len(dataset.velocity)} channels of 0.25 km/s from {dataset.velocity[0]:g} to"
    assert words in dataset.manifest["emission"]["channels"]
    assert any(words in message and "chosen from the clouds" in message for message in caplog.messages)
    assert dataset.manifest["emission"]["abundance_per_hydrogen"] == pytest.approx(1e-4 / 70)


def test_the_default_axis_of_one_face_is_that_of_the_solver(gas):
    chosen, _ = emission.velocity_axis([gas], EmissionConfig(), ["z"])
    alone = synthesize_ppv(gas, Line.named("13CO"), abundance=1e-6, progress=False)
    assert np.allclose(chosen, alone.velocity, atol=1e-9)


def test_channels_that_miss_the_gas_are_said(gas, tmp_path):
    from polaris_lab.radiative_transfer import ChannelRangeWarning

    narrow = replace(LINE, velocity_min_km_s=0.5)
    with pytest.warns(ChannelRangeWarning, match="the gas needs -"):
        build(gas, tmp_path / "narrow.zarr", replace(CONFIG, lines_of_sight=("z",), emission=narrow))


# -- at rest -----------------------------------------------------------------------------------------


def test_it_is_compressed_without_loss(dataset):
    array = zarr.open_group(dataset.path, mode="r")["ppv_cube"]
    assert array.chunks == (1, 49, 12, 12)
    assert array.nbytes_stored() < 0.7 * array.nbytes


def test_the_fingerprint_names_gas_and_line(gas, dataset, tmp_path):
    hot = SimulationCube(
        gas.density,
        cell_size=gas.cell_size,
        temperature=2 * gas.temperature,
        velocity=gas.velocity,
        name="gas",
    )
    swapped = {"z": gas.velocity["y"], "y": gas.velocity["z"], "x": gas.velocity["x"]}
    other = SimulationCube(
        gas.density, cell_size=gas.cell_size, temperature=gas.temperature, velocity=swapped, name="gas"
    )
    made = [dataset.fingerprint, build(gas, tmp_path / "again.zarr").fingerprint]
    assert made[0] == made[1]
    for number, (cube, line) in enumerate(
        [
            (hot, LINE),
            (other, LINE),
            (gas, replace(LINE, abundance=2e-6)),
            (gas, replace(LINE, channel="average")),
        ]
    ):
        made.append(build(cube, tmp_path / f"{number}.zarr", replace(CONFIG, emission=line)).fingerprint)
    assert len(set(made)) == 5
    assert from_dict(PatchConfig, dataset.manifest["config"]) == CONFIG


def test_large_faces_wait_on_disk(gas, dataset, tmp_path, monkeypatch):
    """The same cubes, and nothing is left of the faces."""
    monkeypatch.setattr(emission, "FACE_BYTES", 1000)
    large = build(gas, tmp_path / "large.zarr", replace(CONFIG, quantities=(*QUANTITIES, "peak_temperature")))
    assert np.array_equal(large.read("ppv_cube"), dataset.read("ppv_cube"))
    assert not list(tmp_path.rglob("*scratch*")) + list(tmp_path.rglob("*face*"))


def test_quantities_may_come_in_any_order(gas, dataset, tmp_path):
    mixed = build(gas, tmp_path / "mixed.zarr", replace(CONFIG, quantities=QUANTITIES[::-1]))
    assert mixed.inputs == ("ppv_cube", "column_density")
    for name in QUANTITIES:
        assert np.array_equal(mixed.read(name), dataset.read(name))


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_cube_is_found(dataset, tmp_path, damage):
    copy = tmp_path / "copy.zarr"
    shutil.copytree(dataset.path, copy)
    chunk = copy / "ppv_cube" / "c" / "4" / "0" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    if damage == "flip":
        data[-5] ^= 255
    chunk.write_bytes(bytes(data if damage == "flip" else data[: len(data) // 2]))
    with pytest.raises(ValueError, match=r"ppv_cube.*build the dataset again"):
        PatchDataset.open(copy).read("ppv_cube", [4])
    assert PatchDataset.open(copy).read("ppv_cube", [3]).shape == (1, 49, 12, 12)


SLOW_BUILD = """
import sys, time
from polaris_lab import SimulationCube, PatchConfig, build_dataset
from polaris_lab.config import from_dict, read_json
from polaris_lab.datasets.growing import GrowingDataset

append = GrowingDataset.append
def slowly(self, arrays, row):
    append(self, arrays, row)
    print(len(self.records), flush=True)  # reported as done
    time.sleep(0.01)
GrowingDataset.append = slowly
config = from_dict(PatchConfig, read_json(sys.argv[2]))
build_dataset(SimulationCube.open(sys.argv[1]), config, sys.argv[3], progress=False)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.slow
def test_a_killed_build_resumes(gas, dataset, tmp_path):
    """kill -9 in the middle: what was reported as done is kept, and the end is the same as without."""
    from polaris_lab.config import write_json

    path = tmp_path / "gas.zarr"
    cube = gas.save(tmp_path / "gas.npz")
    write_json(tmp_path / "config.json", CONFIG)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(cube), str(tmp_path / "config.json"), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while int(process.stdout.readline()) < 7:
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    chunk = partial_path(path) / "ppv_cube" / "c" / "2" / "0" / "0" / "0"
    written = chunk.stat().st_mtime_ns
    broken = partial_path(path) / "ppv_cube" / "c" / "5" / "0" / "0" / "0"
    broken.write_bytes(broken.read_bytes()[:40])  # as a failing disk leaves it
    (partial_path(path) / "scratch" / "face.zarr.partial").mkdir(parents=True)
    resumed = build(SimulationCube.open(cube), path)
    assert (path / chunk.relative_to(partial_path(path))).stat().st_mtime_ns == written  # not written again
    assert same(resumed, build(SimulationCube.open(cube), tmp_path / "whole.zarr"))
    assert np.array_equal(resumed.read("ppv_cube"), dataset.read("ppv_cube"))
    assert sorted(entry.name for entry in path.iterdir()) == sorted(
        [*QUANTITIES, "velocity", "patch", "zarr.json"]
    )


def test_a_resumed_build_computes_only_the_faces_it_lacks(gas, tmp_path, monkeypatch):
    path, faces = tmp_path / "gas.zarr", []
    solve, append = emission.synthesize_ppv, GrowingDataset.append

    def counted(cube, line, *, axis, **choices):
        faces.append(axis)
        return solve(cube, line, axis=axis, **choices)

    def stop(self, arrays, row):
        if row["line_of_sight"] == "y":
            raise KeyboardInterrupt
        append(self, arrays, row)

    monkeypatch.setattr(emission, "synthesize_ppv", counted)
    with monkeypatch.context() as patch:
        patch.setattr(GrowingDataset, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            build(gas, path)
    assert faces == ["z", "y"]
    build(gas, path)
    assert faces == ["z", "y", "y"]


def test_networks_of_column_density_train_on_it(dataset, tmp_path):
    """They read nothing but the arrays they name, and their answer does not change."""
    from polaris_lab.models import Blueprint
    from polaris_lab.training import Run, TrainingConfig

    plain = tmp_path / "with_broken_cubes.zarr"
    shutil.copytree(dataset.path, plain)
    shutil.rmtree(plain / "ppv_cube" / "c")  # whoever reads them sees it
    blueprint = Blueprint.unet(layers=1, base_filters=2, attention=False, reference_scale=2.0)
    config = TrainingConfig(epochs=2, batch_size=8, seed=3, device="cpu")
    histories = [
        Run.create(tmp_path / name, blueprint, PatchDataset.open(path), config)
        .train(progress=False)
        .history()
        for name, path in (("one", dataset.path), ("two", plain))
    ]
    losses = [[record.training_loss for record in history] for history in histories]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2
