"""Two processes with gloo: the numbers of one, and what happens when one of them ends."""

import dataclasses
import logging

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, Node, build_model
from polaris_lab.training import DivergedError, Run, TrainingConfig, TrainingState
from polaris_lab.training.distributed import batch_statistics_note, process_rank, train_together

CONFIG = TrainingConfig(epochs=3, batch_size=2, learning_rate=5e-3, device="cpu", devices=2)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(22, 16, 16)))
    dataset = PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.2, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 17 + ["validation"] * 5,
        path=tmp_path_factory.mktemp("together") / "data.zarr",
    )
    nodes = (
        Node("standardized", "standardize", {}, ("column_density",)),
        Node("features", "convolution", {"out_channels": 4}, ("standardized",)),
        Node("correction", "convolution", {"in_channels": 4}, ("features",)),
        Node("mass_weighted_density", "destandardize", {}, ("correction",)),
    )
    return Blueprint(("column_density",), nodes, "mass_weighted_density", "plain"), dataset


def test_two_processes_give_the_losses_of_the_doubled_batch(parts, tmp_path):
    """17 patches are no multiple of anything: shares differ, every patch counts once."""
    together = Run.create(tmp_path / "two", *parts, CONFIG).train(progress=False)
    alone = Run.create(tmp_path / "one", *parts, dataclasses.replace(CONFIG, batch_size=4, devices=1))
    alone.train(progress=False)
    assert together.state == "finished"
    for ours, theirs in zip(together.history(), alone.history(), strict=True):
        assert ours.training_loss == pytest.approx(theirs.training_loss, abs=1e-5)
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, abs=1e-5)
        assert ours.validation_accuracy == pytest.approx(theirs.validation_accuracy, abs=1e-5)
        assert ours.learning_rate == theirs.learning_rate
    together.validate()


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on(parts, tmp_path):
    run = Run.create(tmp_path / "run", *parts, dataclasses.replace(CONFIG, epochs=40))
    loop = run.epochs()
    next(loop)
    assert run.state == "running"
    loop.close()
    assert run.state == "stopped"
    assert not (run.path / "stop").exists()
    done = len(run.history())
    loop = Run.open(run.path).epochs()
    assert next(loop).epoch == done
    loop.close()


def test_with_batch_statistics_it_says_what_differs(parts):
    network = build_model(Blueprint.unet(layers=1, base_filters=4, reference_scale=2.0))
    note = batch_statistics_note(network, CONFIG)
    assert "batches of 2 patches each, not over the 4 of a step" in note
    assert "those of process 0" in note
    assert batch_statistics_note(build_model(parts[0]), CONFIG) is None
    assert batch_statistics_note(network, dataclasses.replace(CONFIG, devices=1)) is None
    assert "process" not in batch_statistics_note(
        network, dataclasses.replace(CONFIG, devices=1, accumulate=2)
    )


@pytest.mark.slow
def test_a_network_with_batch_statistics_trains_in_two_processes(parts, tmp_path):
    blueprint = Blueprint.unet(layers=1, base_filters=4, reference_scale=2.0, attention=False)
    run = Run.create(tmp_path / "run", blueprint, parts[1], dataclasses.replace(CONFIG, epochs=2, ema=0.9))
    history = run.train(progress=False).history()
    assert history[-1].validation_loss < 2 * history[0].validation_loss
    assert run.state == "finished"
    assert run.model() is not None


@pytest.mark.slow
def test_an_error_in_the_processes_reaches_the_caller(parts, tmp_path):
    run = Run.create(tmp_path / "run", *parts, CONFIG)
    (run.path / "last.ckpt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"last\.ckpt: expected a checkpoint, got a damaged file"):
        run.train(progress=False)
    assert run.state == "failed"


@pytest.mark.slow
def test_a_divergence_in_the_processes_names_its_patches(parts, tmp_path):
    wild = dataclasses.replace(CONFIG, learning_rate=1e30, schedule="constant", gradient_clip=None)
    run = Run.create(tmp_path / "run", *parts, wild)
    with pytest.raises(DivergedError, match=r"expected a finite .*the batch held the patches \[") as caught:
        run.train(progress=False)
    assert 0 < len(caught.value.patches) <= 4
    assert run.state == "failed"


def test_several_machines_need_a_launcher(parts, tmp_path):
    run = Run.create(tmp_path / "run", *parts, dataclasses.replace(CONFIG, num_nodes=2))
    with pytest.raises(ValueError, match=r"num_nodes: .*torchrun --nnodes=2 --nproc-per-node=2 .* train"):
        next(train_together(run))
    with pytest.raises(ValueError, match=r"expected 2 processes started together, got this one alone"):
        TrainingState(build_model(parts[0]), CONFIG)


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({"RANK": "3", "LOCAL_RANK": "1"}, 3),
        ({"SLURM_PROCID": "2"}, 2),
        ({"NODE_RANK": "1", "LOCAL_RANK": "1"}, 3),
    ],
)
def test_the_launcher_says_which_process_this_is(monkeypatch, variables, rank):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert process_rank(dataclasses.replace(CONFIG, num_nodes=2)) == rank
    assert (
        process_rank(dataclasses.replace(CONFIG, devices=1)) == 0
    )  # a run of its own inside a cluster's job


def test_accumulation_with_batch_statistics_is_said_once(parts, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    blueprint = Blueprint.unet(layers=1, base_filters=4, reference_scale=2.0)
    config = dataclasses.replace(CONFIG, devices=1, accumulate=2, epochs=1)
    Run.create(tmp_path / "run", blueprint, parts[1], config).train(progress=False)
    assert caplog.text.count("batch normalisation") == 1
