"""Datasets in memory and on disk."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import xarray
import zarr
from astropy import units as u

from polaris_lab import PatchDataset
from polaris_lab.datasets.growing import GrowingDataset, partial_path
from polaris_lab.lock import InUseError

PIXEL = 0.05 * u.pc


@pytest.fixture
def dataset(images):
    split = ["training"] * 6 + ["validation"] * 3 + ["dropped"]
    return PatchDataset.from_arrays(
        *images, pixel_size=PIXEL, split=split, cloud=[f"c{i}" for i in range(10)]
    )


def test_it_holds_what_was_given(dataset, images):
    assert len(dataset) == 10
    assert (dataset.inputs, dataset.targets) == (("column_density",), ("mass_weighted_density",))
    assert dataset.pixel_size_pc == 0.05
    assert dataset.patch_size == 16
    assert dataset.split_rule == "given"
    assert dataset.indices("training").tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.indices("dropped").tolist() == [9]
    assert np.array_equal(dataset.read("column_density"), images[0]["column_density"].astype(np.float32))
    assert dataset.read("mass_weighted_density", [7, 2]).dtype == np.float32
    assert np.array_equal(dataset.read("column_density", [7, 2]), dataset.read("column_density")[[7, 2]])
    assert dataset.table["cloud"].tolist() == [f"c{i}" for i in range(10)]


def test_what_is_read_is_a_copy(dataset):
    dataset.read("column_density")[:] = 0
    assert dataset.read("column_density").min() > 0
    with pytest.raises(ValueError, match="read-only"):
        dataset.table["split"][0] = "validation"


def test_saved_and_opened_it_is_the_same(dataset, tmp_path):
    path = tmp_path / "set.zarr"
    saved = dataset.save(path)
    opened = PatchDataset.open(path)
    for other in (saved, opened):
        assert other.path == path
        assert other.fingerprint == dataset.fingerprint
        assert other.describe_split() == dataset.describe_split()
        for name in ("column_density", "mass_weighted_density"):
            assert np.array_equal(other.read(name), dataset.read(name))
            assert np.array_equal(other.read(name, [8, 0, 8]), dataset.read(name)[[8, 0, 8]])
        for column, values in dataset.table.items():
            assert np.array_equal(other.table[column], values, equal_nan=values.dtype.kind == "f")
    assert not partial_path(path).exists()


def test_xarray_opens_it_with_names_and_units(dataset, tmp_path):
    path = dataset.save(tmp_path / "set.zarr").path
    with xarray.open_zarr(path) as opened:
        assert opened["column_density"].dims == ("patch", "y", "x")
        assert opened["column_density"].attrs["units"] == "cm-2"
        assert opened["mass_weighted_density"].attrs["units"] == "cm-3"
        assert opened.attrs["fingerprint"] == dataset.fingerprint
        assert np.array_equal(opened["column_density"].values, dataset.read("column_density"))
    with xarray.open_zarr(path, group="patch") as rows:
        assert rows["split"].values.tolist() == dataset.table["split"].tolist()
        assert rows["origin"].dims == ("patch", "row_column")
    assert zarr.open_group(path, mode="r")["column_density"].chunks == (1, 16, 16)


def test_one_chunk_a_patch(dataset, tmp_path):
    path = dataset.save(tmp_path / "set.zarr").path
    assert len(list((path / "column_density" / "c").iterdir())) == len(dataset)


def test_the_fingerprint_names_the_content(images):
    def made(scale=1.0, **changes):
        inputs = {"column_density": images[0]["column_density"] * scale}
        choices = {"pixel_size": PIXEL, "split": 0.2, **changes}
        return PatchDataset.from_arrays(inputs, images[1], **choices).fingerprint

    assert made() == made()
    assert len({made(), made(scale=1.01), made(split=0.3), made(seed=1), made(pixel_size=0.1 * u.pc)}) == 5


@pytest.mark.parametrize(("count", "fraction", "expected"), [(10, 0.2, 2), (10, 0.01, 1), (3, 0.99, 2)])
def test_a_fraction_is_drawn_at_random_and_said_to_be(images, count, fraction, expected):
    inputs, targets = ({name: values[:count] for name, values in part.items()} for part in images)
    dataset = PatchDataset.from_arrays(inputs, targets, pixel_size=PIXEL, split=fraction, seed=3)
    assert len(dataset.indices("validation")) == expected
    assert len(dataset.indices("training")) == count - expected
    assert dataset.split_rule == "shuffle"
    assert "the same gas may be on both sides" in dataset.describe_split()


def test_quantities_are_converted(images):
    inputs = {"column_density": images[0]["column_density"] * 1e4 * u.Unit("m-2")}
    dataset = PatchDataset.from_arrays(inputs, images[1], pixel_size=50 * u.mpc, split=0.2)
    assert np.allclose(dataset.read("column_density"), images[0]["column_density"], rtol=1e-6)
    assert dataset.pixel_size_pc == pytest.approx(0.05)


def test_another_quantity_brings_its_unit(images):
    inputs = {**images[0], "dust_temperature": np.full((10, 16, 16), 15.0) * u.K}
    dataset = PatchDataset.from_arrays(inputs, images[1], pixel_size=PIXEL, split=0.2)
    assert dataset.inputs == ("column_density", "dust_temperature")
    assert dataset.unit("dust_temperature") == "K"


@pytest.mark.parametrize("saved", [False, True])
def test_a_dropped_patch_keeps_its_number(dataset, tmp_path, saved):
    if saved:
        dataset = dataset.save(tmp_path / "set.zarr")
    before = dataset.fingerprint
    third = dataset.read("column_density", [3])
    dataset.drop([1])
    assert dataset.indices("training").tolist() == [0, 2, 3, 4, 5]
    assert np.array_equal(dataset.read("column_density", [3]), third)
    assert dataset.fingerprint != before
    if saved:
        again = PatchDataset.open(dataset.path)
        assert again.fingerprint == dataset.fingerprint
        assert again.indices("dropped").tolist() == [1, 9]


@pytest.mark.parametrize(
    ("numbers", "error"),
    [(np.arange(10) == 5, ValueError), ([1.7], ValueError), (3, ValueError), ([10], IndexError)],
)
def test_what_is_dropped_is_said_by_number(dataset, numbers, error):
    """A mask taken for numbers would drop patches 0 and 1."""
    before = dataset.table["split"].tolist()
    with pytest.raises(error, match="indices: expected"):
        dataset.drop(numbers)
    assert dataset.table["split"].tolist() == before


def test_masked_pixels_and_other_units_are_refused(images):
    masked = {"column_density": np.ma.masked_less(images[0]["column_density"], 1e30)}
    with pytest.raises(ValueError, match="column_density: expected a value in every pixel, got 2560 masked"):
        PatchDataset.from_arrays(masked, images[1], pixel_size=PIXEL, split=0.2)
    hot = {"column_density": images[0]["column_density"] * u.K}
    with pytest.raises(u.UnitsError, match="column_density: expected a unit that converts to cm-2, got K"):
        PatchDataset.from_arrays(hot, images[1], pixel_size=PIXEL, split=0.2)


def test_words(dataset):
    assert "10 patches of 16 x 16 pixels of 0.05 pc: 6 training, 3 validation, 1 dropped" in repr(dataset)
    assert "column_density -&gt; mass_weighted_density" in dataset._repr_html_()
    assert dataset.describe_split().startswith("The split was given with the images")


# -- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_values_must_be_positive_and_finite(images, value):
    images[1]["mass_weighted_density"][4, 3, 2] = value
    with pytest.raises(
        ValueError, match=r"mass_weighted_density: expected positive .* in image 4 at \[y=3, x=2\]"
    ):
        PatchDataset.from_arrays(*images, pixel_size=PIXEL, split=0.2)


def test_logarithms_and_other_units_are_found_out(images):
    column_density = images[0]["column_density"]
    for values, hint in ((np.log10(column_density), "log10"), (column_density / 3.0857e18, "pc cm")):
        with pytest.raises(ValueError, match=f"column_density: expected hydrogen nuclei per cm.2.*{hint}"):
            PatchDataset.from_arrays({"column_density": values}, images[1], pixel_size=PIXEL, split=0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:9], r"expected the shape of column_density \(10, 16, 16\), got \(9, 16, 16\)"),
        (lambda a: a[0], r"single image needs a first axis"),
        (lambda a: a[:, :8], r"expected square images, got 8 x 16"),
        (lambda a: a.astype(str), r"expected real numbers"),
    ],
)
def test_shapes(images, change, message):
    targets = {"mass_weighted_density": change(images[1]["mass_weighted_density"])}
    with pytest.raises((ValueError, TypeError), match="mass_weighted_density: .*" + message):
        PatchDataset.from_arrays(images[0], targets, pixel_size=PIXEL, split=0.2)


def test_names(images):
    with pytest.raises(ValueError, match="did you mean 'column_density'"):
        PatchDataset.from_arrays(
            {"columndensity": images[0]["column_density"]}, images[1], pixel_size=PIXEL, split=0.2
        )
    with pytest.raises(ValueError, match="inputs: expected images by name"):
        PatchDataset.from_arrays({}, images[1], pixel_size=PIXEL, split=0.2)
    with pytest.raises(ValueError, match="'column_density' in both"):
        PatchDataset.from_arrays(images[0], images[0], pixel_size=PIXEL, split=0.2)


def test_pixel_size_needs_a_unit(images):
    with pytest.raises(TypeError, match="pixel_size: expected a Quantity"):
        PatchDataset.from_arrays(*images, pixel_size=0.05, split=0.2)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (["training"] * 9, "one flag for each of the 10 images"),
        (["train"] * 10, "unknown flag 'train': did you mean 'training'"),
        (0.0, "between 0 and 1"),
        (1.2, "between 0 and 1"),
    ],
)
def test_bad_split(images, split, message):
    with pytest.raises(ValueError, match=message):
        PatchDataset.from_arrays(*images, pixel_size=PIXEL, split=split)


def test_unknown_names_in_reading(dataset):
    with pytest.raises(ValueError, match="unknown array 'colum_density': did you mean 'column_density'"):
        dataset.read("colum_density")
    with pytest.raises(ValueError, match="unknown split 'valid': did you mean 'validation'"):
        dataset.indices("valid")
    with pytest.raises(IndexError, match="expected numbers from 0 to 9"):
        dataset.read("column_density", [10])
    with pytest.raises(ValueError, match="whole numbers"):
        dataset.read("column_density", [0.5])


def test_a_path_that_exists_is_left_alone(dataset, tmp_path):
    path = tmp_path / "set.zarr"
    path.mkdir()
    (path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="expected a path that is free"):
        dataset.save(path)
    with pytest.raises(FileExistsError, match="left alone"):
        dataset.save(path, overwrite=True)
    assert (path / "mine.txt").read_text() == "keep"


def test_overwrite_replaces_a_dataset(dataset, images, tmp_path):
    path = dataset.save(tmp_path / "set.zarr").path
    other = PatchDataset.from_arrays(*images, pixel_size=0.1 * u.pc, split=0.2)
    with pytest.raises(FileExistsError, match=r"existing dataset; open it with PatchDataset.open"):
        other.save(path)
    assert other.save(path, overwrite=True).fingerprint == other.fingerprint
    assert PatchDataset.open(path).pixel_size_pc == 0.1
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.zarr"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="make one with build_dataset"):
        PatchDataset.open(tmp_path / "none.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="got another folder"):
        PatchDataset.open(tmp_path / "folder")


def test_a_damaged_patch_is_named(dataset, tmp_path):
    path = dataset.save(tmp_path / "set.zarr").path
    chunk = path / "mass_weighted_density" / "c" / "4" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[100] ^= 1
    chunk.write_bytes(data)
    opened = PatchDataset.open(path)
    opened.read("mass_weighted_density", [3, 5])
    with pytest.raises(ValueError, match="patch 4 of mass_weighted_density is damaged"):
        opened.read("mass_weighted_density")
    chunk.write_bytes(data[:50])
    with pytest.raises(ValueError, match="mass_weighted_density cannot be read"):
        opened.read("mass_weighted_density", [4])
    chunk.unlink()
    with pytest.raises(ValueError, match="patch 4 of mass_weighted_density is damaged"):
        opened.read("mass_weighted_density", [4])


def test_a_missing_array_is_named(dataset, tmp_path):
    path = dataset.save(tmp_path / "set.zarr").path
    shutil.rmtree(path / "column_density")
    with pytest.raises(ValueError, match=r"column_density.* is missing"):
        PatchDataset.open(path)


def test_a_newer_schema_is_refused(dataset, tmp_path):
    path = dataset.save(tmp_path / "set.zarr").path
    zarr.open_group(path, mode="r+", use_consolidated=False).attrs["schema"] = 99
    with pytest.raises(ValueError, match="newer polaris-lab"):
        PatchDataset.open(path)


# -- cut off while being written ---------------------------------------------------------------------


@pytest.fixture
def cut_off(dataset, tmp_path):
    """A partial dataset with four patches, the fourth torn in the log."""
    path = tmp_path / "set.zarr"
    names = ("column_density", "mass_weighted_density")
    manifest = {**dataset.manifest, "provenance": {}}
    with GrowingDataset.begin(path, manifest, {name: dataset.unit(name) for name in names}) as growing:
        for number in range(4):
            growing.append({name: dataset.read(name, [number])[0] for name in names}, {"number": number})
    log = partial_path(path) / "commits.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    return path


def test_a_partial_dataset_says_how_to_go_on(cut_off):
    for path in (cut_off, partial_path(cut_off)):
        with pytest.raises(FileNotFoundError, match=r"cut off .*resumes where it stopped"):
            PatchDataset.open(path)


def test_it_resumes_after_the_last_commit(cut_off, dataset, caplog):
    with caplog.at_level("INFO"):
        saved = dataset.save(cut_off)
    assert "resumed with 3 patches" in caplog.text
    assert np.array_equal(saved.read("column_density"), dataset.read("column_density"))
    assert not partial_path(cut_off).exists()


def test_a_damaged_committed_patch_is_written_again(cut_off, dataset, caplog):
    (partial_path(cut_off) / "column_density" / "c" / "1" / "0" / "0").write_bytes(b"half")
    saved = dataset.save(cut_off)
    assert "patch 1 is damaged" in caplog.text
    assert np.array_equal(saved.read("column_density"), dataset.read("column_density"))


def test_a_partial_of_another_recipe_is_refused(cut_off, images):
    other = PatchDataset.from_arrays(*images, pixel_size=0.1 * u.pc, split=0.2)
    with pytest.raises(FileExistsError, match="begun with other cubes or another configuration"):
        other.save(cut_off)
    assert other.save(cut_off, overwrite=True).pixel_size_pc == 0.1


def test_two_processes_do_not_build_one_dataset(dataset, tmp_path):
    path = tmp_path / "new" / "set.zarr"
    with (
        GrowingDataset.begin(path, dataset.manifest, {"column_density": "cm-2"}),
        pytest.raises(
            InUseError, match=rf"set\.zarr: expected a dataset that nobody .* process {os.getpid()}"
        ),
    ):
        dataset.save(path)
    dataset.save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["set.zarr"]


def test_killed_before_the_first_file_was_whole(dataset, tmp_path):
    partial = partial_path(tmp_path / "set.zarr")
    partial.mkdir()
    (partial / "zarr.1234.partial").write_text("{")
    assert len(dataset.save(tmp_path / "set.zarr")) == len(dataset)


def test_killed_just_before_the_rename(dataset, tmp_path, monkeypatch):
    """Everything is written but the name: the next call only renames."""
    path = tmp_path / "set.zarr"
    monkeypatch.setattr("polaris_lab.datasets.growing._rename", lambda *args, **choices: None)
    with pytest.raises(FileNotFoundError):
        dataset.save(path)
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(GrowingDataset, "append", None)  # nothing may be written again
        assert np.array_equal(dataset.save(path).read("column_density"), dataset.read("column_density"))
