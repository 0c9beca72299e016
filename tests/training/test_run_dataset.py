"""A run and its dataset: found again, checked, kept."""

import dataclasses
import shutil

import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Run


def test_the_model_needs_no_dataset(tmp_path, pairs, blueprint, config):
    dataset = PatchDataset.from_arrays(
        {"column_density": pairs[0]}, {"mass_weighted_density": pairs[1]}, pixel_size=1 * u.pc, split=0.3,
        path=tmp_path / "data.zarr",
    )  # fmt: skip
    run = Run.create(tmp_path / "run", blueprint, dataset, dataclasses.replace(config, epochs=1)).train(
        progress=False
    )
    shutil.rmtree(tmp_path / "data.zarr")
    run = Run.open(tmp_path / "run")
    assert not run.model().training
    with pytest.raises(
        FileNotFoundError, match=r"expected its dataset at .*data\.zarr.*Run\.open\(path, dataset=\.\.\.\)"
    ):
        run.validate()


def test_a_moved_dataset_is_found_beside_the_run_or_by_hand(tmp_path, pairs, blueprint, config):
    (tmp_path / "old").mkdir()
    dataset = PatchDataset.from_arrays(
        {"column_density": pairs[0]}, {"mass_weighted_density": pairs[1]}, pixel_size=1 * u.pc, split=0.3,
        path=tmp_path / "old" / "data.zarr",
    )  # fmt: skip
    Run.create(tmp_path / "old" / "run", blueprint, dataset, dataclasses.replace(config, epochs=1))
    (tmp_path / "old").rename(tmp_path / "new")
    assert len(Run.open(tmp_path / "new" / "run").train(progress=False).history()) == 1
    (tmp_path / "new" / "data.zarr").rename(tmp_path / "elsewhere.zarr")
    run = Run.open(tmp_path / "new" / "run", dataset=tmp_path / "elsewhere.zarr")
    assert run.validate()[0].shape[1:] == (32, 32)


def test_a_changed_dataset_is_refused(tmp_path, pairs, blueprint, config):
    arrays = {"column_density": pairs[0]}, {"mass_weighted_density": pairs[1]}
    dataset = PatchDataset.from_arrays(*arrays, pixel_size=1 * u.pc, split=0.3, path=tmp_path / "data.zarr")
    run = Run.create(tmp_path / "run", blueprint, dataset, config)
    dataset.drop([0])
    for changed in (run, Run.open(run.path)):
        with pytest.raises(
            ValueError, match=rf"expected the dataset with fingerprint {run.dataset_fingerprint}, got"
        ):
            next(changed.epochs())
    assert run.state == "failed"
    with pytest.raises(ValueError, match="expected the dataset with fingerprint"):
        Run.open(run.path, dataset=dataset)


def test_a_dataset_in_memory_is_kept_in_the_run(tmp_path, pairs, blueprint, config):
    dataset = PatchDataset.from_arrays(
        {"column_density": pairs[0]}, {"mass_weighted_density": pairs[1]}, pixel_size=1 * u.pc, split=0.3
    )
    run = Run.create(tmp_path / "run", blueprint, dataset, dataclasses.replace(config, epochs=1))
    assert run.dataset_path == tmp_path / "run" / "dataset.zarr"
    run.path.rename(tmp_path / "moved")
    moved = Run.open(tmp_path / "moved").train(progress=False)
    assert moved.dataset().fingerprint == dataset.fingerprint


@pytest.mark.parametrize("name", ["dataset.zarr", "mine.zarr"])
def test_a_run_replaced_does_not_take_its_dataset_along(tmp_path, pairs, blueprint, config, name):
    """Replacing a run deletes its folder: a dataset in there, given for the new run, must live on."""
    run = tmp_path / "run"
    dataset = PatchDataset.from_arrays(
        {"column_density": pairs[0]}, {"mass_weighted_density": pairs[1]}, pixel_size=1 * u.pc, split=0.3
    )
    config = dataclasses.replace(config, epochs=1)
    Run.create(run, blueprint, dataset, config)
    if name != "dataset.zarr":
        dataset.save(run / name)
    stored = PatchDataset.open(run / name)
    replaced = Run.create(run, blueprint, stored, config, overwrite=True)
    assert replaced.train(progress=False).state == "finished"
    assert Run.open(run).dataset().fingerprint == dataset.fingerprint


def test_a_dataset_without_validation_is_refused(tmp_path, pairs, blueprint, config):
    dataset = PatchDataset.from_arrays(
        {"column_density": pairs[0]}, {"mass_weighted_density": pairs[1]}, pixel_size=1 * u.pc, split=["training"] * 24
    )  # fmt: skip
    with pytest.raises(ValueError, match="expected patches for validation, got none of 24"):
        Run.create(tmp_path / "run", blueprint, dataset, config)
