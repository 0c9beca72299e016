"""Datasets built from clouds, also when the building is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray
from astropy import units as u

from polaris_lab import PatchConfig, PatchDataset, SimulationCube, build_dataset, propose_patches
from polaris_lab.config import from_dict
from polaris_lab.datasets.growing import partial_path
from polaris_lab.datasets.recipe import density_sha256

CONFIG = PatchConfig(patch_size=16)
NAMES = ("column_density", "mass_weighted_density")


def build(cubes, path, config=CONFIG, **choices):
    return build_dataset(cubes, config, path, progress=False, **choices)


def same(first: PatchDataset, second: PatchDataset) -> bool:
    """Whether two datasets hold the same, bit by bit."""
    return (
        first.fingerprint == second.fingerprint
        and all(np.array_equal(first.read(name), second.read(name)) for name in first.inputs + first.targets)
        and all(np.array_equal(values, second.table[name]) for name, values in first.table.items())
    )


@pytest.fixture(scope="module")
def clouds(make_cube):
    return [make_cube(seed, (48, 48, 48), name) for seed, name in enumerate(("a", "b", "c", "d", "e"))]


def test_it_holds_what_was_proposed(cube, tmp_path):
    dataset = build(cube, tmp_path / "fog.zarr")
    proposals = propose_patches(cube, CONFIG)
    rows = proposals.accepted
    assert len(dataset) == len(proposals) > 50
    for name in NAMES:
        assert np.array_equal(dataset.read(name), proposals.patches(name))
    for column in ("line_of_sight", "origin", "split"):
        assert np.array_equal(dataset.table[column], rows[column])
    assert np.allclose(dataset.table["score"], rows["score"], rtol=1e-8)
    assert set(dataset.table["cloud"]) == {"fog"}
    assert dataset.path == tmp_path / "fog.zarr"
    assert len(dataset.indices("training")) + len(dataset.indices("validation")) == len(dataset)


def test_the_manifest_says_where_it_comes_from(cube, tmp_path):
    dataset = build(cube, tmp_path / "fog.zarr")
    manifest = dataset.manifest
    assert from_dict(PatchConfig, manifest["config"]) == CONFIG
    assert manifest["sources"][0]["name"] == "fog"
    assert manifest["sources"][0]["sha256"] == density_sha256(cube)
    assert manifest["units"] == {"column_density": "cm-2", "mass_weighted_density": "cm-3"}
    assert manifest["provenance"]["seed"] == 0
    assert manifest["selection"]["fog"]["counts"]["accepted"] == len(dataset)
    assert "packed anew" in " ".join(manifest["selection"]["fog"]["notes"])
    assert len(manifest["selection"]["fog"]["score_quantiles"]) == 101
    assert (dataset.pixel_size_pc, dataset.patch_size, dataset.split_rule) == (0.05, 16, "slab")
    assert "fog: x = " in dataset.describe_split()


def test_one_line_says_how_the_patches_were_found(clouds, tmp_path, caplog):
    """The faces that were packed are counted; each of them is told of at debug level only."""
    with caplog.at_level("INFO", "polaris_lab.datasets"):
        dataset = build(clouds, tmp_path / "set.zarr", replace(CONFIG, split_by="cloud"))
    (line,) = [record.getMessage() for record in caplog.records]
    selection = dataset.manifest["selection"].values()
    failed = sum(cloud["counts"]["too close"] for cloud in selection)
    packed = sum(len(cloud["packed_faces"]) for cloud in selection)
    assert packed > 0
    assert f"{len(dataset)} patches on 15 faces of 5 clouds" in line
    assert f"too close {failed}" in line
    assert f"jammed on {packed} faces" in line


def test_xarray_reads_it(cube, tmp_path):
    dataset = build(cube, tmp_path / "fog.zarr")
    with xarray.open_zarr(dataset.path) as opened:
        assert opened["mass_weighted_density"].dims == ("patch", "y", "x")
        assert np.array_equal(opened["column_density"].values, dataset.read("column_density"))


def test_several_targets(cube, tmp_path):
    quantities = ("column_density", "mass_weighted_density", "volume_weighted_density", "max_density")
    dataset = build(cube, tmp_path / "all.zarr", PatchConfig(patch_size=16, quantities=quantities))
    assert dataset.targets == quantities[1:]
    depth = dataset.read("column_density") / dataset.read("volume_weighted_density")
    assert depth == pytest.approx(96 * cube.cell_size_cm, rel=1e-5)
    assert (dataset.read("max_density") >= dataset.read("mass_weighted_density") * (1 - 1e-6)).all()


def test_whole_clouds_are_held_out(clouds, tmp_path):
    dataset = build(clouds, tmp_path / "clouds.zarr", PatchConfig(patch_size=16, split_by="cloud"))
    held_out = set(dataset.table["cloud"][dataset.indices("validation")])
    assert len(held_out) == 1
    assert not held_out & set(dataset.table["cloud"][dataset.indices("training")])
    assert f"held out for validation: {held_out.pop()}" in dataset.describe_split()
    assert set(dataset.table["line_of_sight"]) == {"x", "y", "z"}


def test_each_cloud_has_its_slab(clouds, tmp_path):
    config = PatchConfig(patch_size=16, validation_fraction=0.34)
    dataset = build(clouds[:2], tmp_path / "slabs.zarr", config)
    for name in ("a", "b"):
        of_cloud = dataset.table["cloud"] == name
        assert {"training", "validation"} == set(dataset.table["split"][of_cloud])


def test_shuffle_is_labelled(clouds, tmp_path):
    dataset = build(clouds[:2], tmp_path / "mixed.zarr", PatchConfig(patch_size=16, split_by="shuffle"))
    assert len(dataset.indices("validation")) == round(0.2 * len(dataset))
    assert dataset.split_rule == "shuffle"
    assert "same gas is seen on both sides" in dataset.describe_split()


def test_the_fingerprint_names_clouds_and_choices(cube, make_cube, tmp_path):
    first = build(cube, tmp_path / "1.zarr")
    again = build(cube, tmp_path / "2.zarr")
    assert same(first, again)
    reseeded = build(cube, tmp_path / "3.zarr", PatchConfig(patch_size=16, seed=1))
    other = build(make_cube(seed=5, name="fog"), tmp_path / "4.zarr")
    assert len({part.fingerprint for part in (first, reseeded, other)}) == 3


def test_files_of_cubes_are_opened(clouds, tmp_path):
    path = clouds[0].save(tmp_path / "cloud.npz")
    dataset = build(path, tmp_path / "set.zarr", PatchConfig(patch_size=16, split_by="shuffle"))
    assert len(dataset) > 10


class Cluster:
    """What a Dask client is to this package: futures of a mapped function."""

    def __init__(self):
        self.tasks = 0

    def map(self, function, items, pure):
        self.tasks += len(items)
        return [SimpleNamespace(result=lambda item=item: function(item)) for item in items]

    def cancel(self, futures):
        pass


def test_a_cluster_gives_the_same(clouds, tmp_path):
    config = PatchConfig(patch_size=16, split_by="cloud")
    cluster = Cluster()
    far = build(clouds[:2], tmp_path / "far.zarr", config, client=cluster)
    assert cluster.tasks == 2
    assert same(far, build(clouds[:2], tmp_path / "near.zarr", config))


def test_unnamed_clouds_are_numbered(make_cube, tmp_path):
    cubes = [make_cube(seed, (32, 32, 32)) for seed in (0, 1)]
    dataset = build(cubes, tmp_path / "set.zarr", PatchConfig(patch_size=8, split_by="cloud"))
    assert set(dataset.table["cloud"]) == {"cloud 0", "cloud 1"}


# -- killed and resumed ------------------------------------------------------------------------------

SLOW_BUILD = """
import sys, time
from pathlib import Path
import numpy as np
from astropy import units as u
from polaris_lab import PatchConfig, SimulationCube, build_dataset
from polaris_lab.datasets.growing import GrowingDataset

append = GrowingDataset.append
def slowly(self, arrays, row):
    append(self, arrays, row)
    print(len(self.records), flush=True)  # reported as done
    time.sleep(0.01)
GrowingDataset.append = slowly
cube = SimulationCube(np.load(sys.argv[1]), cell_size=0.05 * u.pc, name="fog")
build_dataset(cube, PatchConfig(patch_size=16), sys.argv[2], progress=False)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("reported", [1, 23])
def test_a_killed_build_resumes(cube, tmp_path, reported, monkeypatch):
    """kill -9 in the middle: what was reported as done is kept, and the end is the same as without."""
    density, path = tmp_path / "density.npy", tmp_path / "fog.zarr"
    np.save(density, cube.density)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(density), str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        while int(process.stdout.readline()) < reported:
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="cut off"):
        PatchDataset.open(path)
    records = (partial_path(path) / "commits.jsonl").read_text().splitlines()
    assert len(records) >= reported
    kept = partial_path(path) / "column_density" / "c" / "0" / "0" / "0"
    written = kept.stat().st_mtime_ns
    resumed = build(cube, path)
    assert (path / kept.relative_to(partial_path(path))).stat().st_mtime_ns == written  # not written again
    assert same(resumed, build(cube, tmp_path / "whole.zarr"))
    assert not partial_path(path).exists()


def interrupted(cube, path, monkeypatch, after=7, config=CONFIG):
    """Leave a partial dataset behind, as Ctrl-C does."""
    from polaris_lab.datasets.growing import GrowingDataset

    append = GrowingDataset.append

    def stop(self, arrays, row):
        if len(self.records) == after:
            raise KeyboardInterrupt
        append(self, arrays, row)

    with monkeypatch.context() as patch:
        patch.setattr(GrowingDataset, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            build(cube, path, config)


def test_ctrl_c_leaves_a_partial_that_resumes(cube, tmp_path, monkeypatch):
    path = tmp_path / "fog.zarr"
    interrupted(cube, path, monkeypatch)
    assert not path.exists()
    assert len((partial_path(path) / "commits.jsonl").read_text().splitlines()) == 7
    assert len(build(cube, path)) > 50


def test_a_caller_follows_stops_and_takes_up_the_build(clouds, tmp_path):
    config, path, seen = replace(CONFIG, split_by="shuffle"), tmp_path / "two.zarr", []

    def follow(done, total):
        seen.append((done, total))
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(clouds[:2], path, config, on_progress=follow)
    assert [done for done, _ in seen] == [0, 1, 2, 3, 4]
    assert not path.exists()
    dataset = build(clouds[:2], path, config, on_progress=follow)
    later = seen[5:]
    assert later[-1] == (len(dataset), len(dataset))
    assert later == sorted(later)
    assert same(dataset, build(clouds[:2], tmp_path / "again.zarr", config))


def test_a_partial_of_other_choices_is_refused(cube, tmp_path, monkeypatch):
    path = tmp_path / "fog.zarr"
    interrupted(cube, path, monkeypatch)
    other = PatchConfig(patch_size=16, seed=9)
    with pytest.raises(FileExistsError, match=r"other cubes or another configuration.*overwrite=True"):
        build(cube, path, other)
    assert partial_path(path).exists()
    assert build(cube, path, other, overwrite=True).manifest["config"]["seed"] == 9


# -- bad input ---------------------------------------------------------------------------------------


def test_a_path_that_exists(cube, tmp_path):
    path = tmp_path / "fog.zarr"
    before = build(cube, path)
    with pytest.raises(
        FileExistsError, match=r"open it with PatchDataset.open, choose another path, or replace"
    ):
        build(cube, path)
    assert same(before, PatchDataset.open(path))
    file = tmp_path / "notes.txt"
    file.write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            build(cube, file, overwrite=overwrite)
    assert file.read_text() == "keep"
    assert build(cube, path, PatchConfig(patch_size=18), overwrite=True).patch_size == 18


def test_cubes_that_do_not_go_together(make_cube, tmp_path):
    first = make_cube(0, (32, 32, 32), "a")
    config = PatchConfig(patch_size=8, split_by="cloud")
    coarse = SimulationCube(make_cube(1, (32, 32, 32)).density, cell_size=0.1 * u.pc, name="b")
    with pytest.raises(ValueError, match=r"one cell size, got 0.05 pc \(a\) and 0.1 pc \(b\)"):
        build([first, coarse], tmp_path / "set.zarr", config)
    with pytest.raises(ValueError, match="different names, got 'a' twice"):
        build([first, make_cube(1, (32, 32, 32), "a")], tmp_path / "set.zarr", config)
    with pytest.raises(ValueError, match="same density as 'a' and 'b'"):
        build([first, make_cube(0, (32, 32, 32), "b")], tmp_path / "set.zarr", config)
    with pytest.raises(ValueError, match='use split_by="slab"'):
        build([first], tmp_path / "set.zarr", config)
    with pytest.raises(ValueError, match="at least one cloud, got none"):
        build([], tmp_path / "set.zarr", config)
    with pytest.raises(TypeError, match="expected SimulationCubes or paths to them, got ndarray"):
        build([np.ones((8, 8, 8))], tmp_path / "set.zarr", config)
    assert list(tmp_path.iterdir()) == []


def test_no_patch_accepted(cube, tmp_path):
    config = PatchConfig(patch_size=16, offset=100.0, steepness=100.0)
    with pytest.raises(
        ValueError, match=r"at least one patch for training, got none of 0 accepted .*'score': "
    ):
        build(cube, tmp_path / "set.zarr", config)
    assert list(tmp_path.iterdir()) == []


def test_a_patch_larger_than_the_cube_leaves_nothing_behind(cube, tmp_path):
    with pytest.raises(ValueError, match="got 128 pixels on a face of 96 x 96"):
        build(cube, tmp_path / "set.zarr", PatchConfig(patch_size=128, split_by="shuffle"))
    assert list(tmp_path.iterdir()) == []


def test_a_bad_cell_in_a_file_is_found(make_cube, tmp_path):
    density = np.array(make_cube(0, (32, 32, 32)).density)
    density[3, 4, 5] = np.nan
    np.save(tmp_path / "bad.npy", density)
    lazy = SimulationCube(np.load(tmp_path / "bad.npy", mmap_mode="r"), cell_size=0.05 * u.pc)
    with pytest.raises(ValueError, match=r"\[z=3, y=4, x=5\]"):
        build(lazy, tmp_path / "set.zarr", PatchConfig(patch_size=8, split_by="shuffle"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.npy"]


# -- real turbulence ---------------------------------------------------------------------------------


def test_the_report_s_filter_gives_a_usable_set_of_mhd_turbulence(shared_data, tmp_path):
    data = np.load(shared_data / "simulation" / "mhd_m8_128_late.npz")
    cube = SimulationCube(10.0 ** data["log10_nH"].astype(np.float32), cell_size=0.05 * u.pc, name="mhd")
    dataset = build(cube, tmp_path / "mhd.zarr", PatchConfig(patch_size=32, validation_fraction=0.25))
    assert len(dataset) >= 28  # 16 places on each of two faces
    assert len(dataset.indices("validation")) >= 6
    median = np.median(dataset.read("column_density"))
    assert 1e21 < median < 2e22
    slope = np.polyfit(
        np.log10(dataset.read("column_density")).ravel(),
        np.log10(dataset.read("mass_weighted_density")).ravel(),
        1,
    )[0]
    assert 1.0 < slope < 1.6


def test_a_cloud_reserved_for_tests_needs_an_explicit_word(make_cube, tmp_path):
    """The stamp of sample_cloud survives a file; the refusal leaves nothing behind."""
    fog = make_cube(7, (96, 96, 96), "fog")
    stamped = SimulationCube(
        fog.density, cell_size=fog.cell_size, name="fog", provenance={"do_not_train": "it is the test"}
    )
    path = stamped.save(tmp_path / "fog.h5")
    for cubes in (stamped, path, [make_cube(8, (96, 96, 96), "other"), stamped]):
        with pytest.raises(ValueError, match=r"'fog', which is stamped do_not_train: it is the test; say"):
            build(cubes, tmp_path / "fog.zarr")
    assert [entry.name for entry in tmp_path.iterdir()] == ["fog.h5"]
    dataset = build(stamped, tmp_path / "fog.zarr", train_on_reserved=True)
    assert dataset.manifest["sources"][0]["provenance"]["do_not_train"] == "it is the test"
