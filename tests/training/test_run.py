"""A run: made, trained, validated, used, and its errors."""

import dataclasses
import re
import shutil
import threading

import numpy as np
import pytest
import torch

from polaris_lab.estimators import fit_power_law
from polaris_lab.models import Blueprint
from polaris_lab.training import DivergedError, Run, RunInUseError, metrics
from polaris_lab.training.losses import LOSSES, mean_square


def test_a_new_run_knows_what_it_is(run, blueprint, dataset, config):
    assert run.state == "new"
    assert run.history() == []
    assert run.best is None
    opened = Run.open(run.path)
    assert (opened.blueprint, opened.config, opened.fingerprint) == (blueprint, config, run.fingerprint)
    assert opened.target == "mass_weighted_density"
    assert opened.pixel_size_pc == pytest.approx(0.05)
    assert opened.dataset_fingerprint == dataset.fingerprint
    assert opened.dataset().path.samefile(dataset.path)
    assert opened.description.dataset.split == dataset.describe_split()


def test_the_fingerprint_names_blueprint_configuration_and_data(run, tmp_path, dataset, blueprint, config):
    same = Run.create(tmp_path / "same", blueprint, dataset, config)
    other = Run.create(tmp_path / "other", blueprint, dataset, dataclasses.replace(config, seed=4))
    assert same.fingerprint == run.fingerprint != other.fingerprint


def test_a_finished_run_says_so(trained, config):
    history = trained.history()
    assert [record.epoch for record in history] == list(range(config.epochs))
    assert trained.state == "finished"
    assert trained.best.validation_loss == min(record.validation_loss for record in history)
    assert sorted(p.name for p in trained.path.iterdir() if p.name != "validation.json") == [
        "best.safetensors",
        "examples.npz",
        "history.jsonl",
        "last.ckpt",
        "run.json",
    ]
    assert list(Run.open(trained.path).epochs()) == []


def test_words(trained, run):
    line = repr(trained)
    assert "\n" not in line
    assert line.startswith("Run('trained': U-Net 4 x 2, 3,693 parameters, epoch 6 of 6, accuracy 1.000")
    assert line.endswith("within 0.3 dex, finished)")
    assert "no accuracy yet, new" in repr(run)
    assert trained.fingerprint in trained._repr_html_()


def test_a_small_network_beats_the_power_law(tmp_path, blueprint, dataset, config):
    """The density depends on the surroundings too: half the error of the power law within seconds."""
    run = Run.create(tmp_path / "run", blueprint, dataset, dataclasses.replace(config, epochs=12)).train(
        progress=False
    )
    run.validate()
    report = run.validation()
    assert report["metrics"]["rmse_dex"] < 0.5 * report["power_law"]["rmse_dex"]
    assert report["metrics"]["accuracy_0.1"] > report["power_law"]["accuracy_0.1"] + 0.2


def test_validation_is_what_it_claims(trained, dataset):
    predicted, target = trained.validate()
    rows = dataset.indices("validation")
    assert predicted.shape == target.shape == (7, 32, 32)
    assert np.array_equal(target, dataset.read("mass_weighted_density", rows))
    with torch.no_grad():  # patch by patch, by the model as anybody would call it
        log_column = torch.from_numpy(np.log10(dataset.read("column_density", rows)))[:, None]
        alone = torch.cat([trained.model()({"column_density": x[None]}) for x in log_column])[:, 0]
    assert np.log10(predicted) == pytest.approx(alone.numpy(), abs=1e-4)
    report = trained.validation()
    assert report["metrics"] == pytest.approx(metrics.scores(predicted, target))
    assert report["epoch"] == trained.best.epoch
    assert report["metrics"]["rmse_dex"] ** 2 == pytest.approx(trained.best.validation_loss, rel=1e-3)
    assert report["metrics"]["accuracy_0.3"] == pytest.approx(trained.best.validation_accuracy, abs=1e-3)
    assert report["split"] == dataset.describe_split()
    assert sum(report["calibration"]["count"]) == target.size
    assert list(report["calibration"]) == ["log_density", "q02.5", "q16", "q50", "q84", "q97.5", "count"]


def test_the_power_law_is_fitted_on_training_and_scored_on_validation(trained, dataset):
    _, target = trained.validate()
    training, validation = dataset.indices("training"), dataset.indices("validation")
    law = fit_power_law(
        dataset.read("column_density", training), dataset.read("mass_weighted_density", training)
    )
    report = trained.validation()
    assert report["power_law"] == pytest.approx(
        metrics.scores(law(dataset.read("column_density", validation)), target)
    )
    assert report["power_law"].keys() == report["metrics"].keys()
    assert report["power_law_fit"]["slope"] == pytest.approx(law.slope)


def test_a_validation_of_other_weights_is_not_kept(run):
    loop = run.epochs()
    next(loop)
    run.validate()
    assert run.validation()["epoch"] == 0
    assert any(record.best for record in loop)
    with pytest.raises(FileNotFoundError, match=r"call validate\(\) first"):
        run.validation()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blueprint", r"blueprint: expected a Blueprint, got dict; make one with"),
        ("dataset", r"dataset: expected a PatchDataset, got dict; open one with PatchDataset\.open"),
        ("config", r"config: expected a TrainingConfig, got dict; make one with"),
    ],
)
def test_what_a_run_is_made_of(tmp_path, blueprint, dataset, config, name, message):
    parts = {"blueprint": blueprint, "dataset": dataset, "config": config, name: {}}
    with pytest.raises(TypeError, match=message):
        Run.create(tmp_path / "run", **parts)
    assert list(tmp_path.iterdir()) == []


def test_what_stands_in_the_way_is_not_overwritten(run, tmp_path, blueprint, dataset, config):
    with pytest.raises(FileExistsError, match=r"got a run; go on with Run\.open.*overwrite=True"):
        Run.create(run.path, blueprint, dataset, config)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(FileExistsError, match="not a run"):
        Run.create(tmp_path / "thesis", blueprint, dataset, config, overwrite=True)
    loop = run.epochs()
    next(loop)
    with pytest.raises(RunInUseError, match="stop it first"):
        Run.create(run.path, blueprint, dataset, config, overwrite=True)
    loop.close()
    assert Run.create(run.path, blueprint, dataset, config, overwrite=True).state == "new"


def test_only_what_a_cut_off_creation_left_is_cleared_away(tmp_path, blueprint, dataset, config):
    partial = tmp_path / "run.partial"
    partial.mkdir()
    for name in ("run.json", ".last.ckpt.1234.tmp", "dataset.zarr.partial"):
        (partial / name).touch()
    assert Run.create(tmp_path / "run", blueprint, dataset, config).state == "new"
    assert not partial.exists()
    partial.mkdir()
    (partial / "chapter.tex").touch()
    with pytest.raises(FileExistsError, match=r"run\.partial: expected nothing, .*left alone"):
        Run.create(tmp_path / "run", blueprint, dataset, config, overwrite=True)
    assert (partial / "chapter.tex").exists()


def test_a_creation_that_fails_leaves_nothing(tmp_path, dataset, blueprint, config, monkeypatch):
    with pytest.raises(ValueError, match=r"batch_size: expected at most the 17"):
        Run.create(tmp_path / "run", blueprint, dataset, dataclasses.replace(config, batch_size=18))
    with pytest.raises(ValueError, match=r"needs 'dust'"):
        Run.create(tmp_path / "run", Blueprint.unet(2, 4, inputs=("dust",)), dataset, config)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("polaris_lab.training.creation.save_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        Run.create(tmp_path / "run", blueprint, dataset, config)
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_training_keeps_the_last_good_epoch(run, monkeypatch):
    calls = []

    def breaking(predicted, target):
        calls.append(1)
        return mean_square(predicted, target) * (float("nan") if len(calls) == 18 else 1.0)

    monkeypatch.setitem(LOSSES, "mse", breaking)  # an epoch is 5 + 2 batches: this is epoch 2, batch 3
    with pytest.raises(DivergedError, match=r"epoch 2, batch 3.*the last finished epoch is kept"):
        run.train(progress=False)
    assert run.state == "failed"
    assert "DivergedError: epoch 2, batch 3" in run.failure
    assert len(run.history()) == 2
    monkeypatch.undo()
    assert Run.open(run.path).train(progress=False).state == "finished"
    assert run.failure is None


def test_a_run_deleted_while_it_trains_does_not_come_back_as_a_stub(run):
    epochs = run.epochs()
    next(epochs)
    shutil.rmtree(run.path)
    with pytest.raises(OSError, match=re.escape(run.path.name)):
        list(epochs)
    assert not (run.path / "failure.json").exists()


def test_early_stopping_ends_the_run_at_its_best(tmp_path, blueprint, dataset, config, monkeypatch):
    calls = []

    def rising(predicted, target):
        """From the second epoch on, every loss is worse."""
        calls.append(1)
        return mean_square(predicted, target) + max(0, (len(calls) - 1) // 7 - 1)

    monkeypatch.setitem(LOSSES, "mse", rising)
    config = dataclasses.replace(config, epochs=50, early_stopping=2)
    run = Run.create(tmp_path / "run", blueprint, dataset, config)
    weights = []
    for _ in run.epochs():
        weights.append(run.model().state_dict())
    assert len(run.history()) == run.best.epoch + 3 < 50
    assert run.state == "finished"
    final = run.model().state_dict()
    assert all(torch.equal(final[name], weights[run.best.epoch][name]) for name in final)


def test_a_second_loop_is_refused_with_the_reason(run):
    """Another thread stands for another process here; tests/training/test_lock.py has the others."""
    loops = []
    thread = threading.Thread(target=lambda: (loops.append(run.epochs()), next(loops[0])))
    thread.start()
    thread.join()
    assert run.state == "running"
    with pytest.raises(RunInUseError, match="in training by this process"):
        next(Run.open(run.path).epochs())
    loops[0].close()
    assert run.state == "stopped"


def test_an_error_in_the_body_of_the_loop_frees_the_run(run):
    def watch():
        for _ in run.epochs():
            raise RuntimeError("plot")

    with pytest.raises(RuntimeError, match="plot"):
        watch()
    assert run.state == "stopped"
    assert next(Run.open(run.path).epochs()).epoch == 1
