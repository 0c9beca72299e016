"""Training steps through the loop, against the same network in a bare PyTorch loop.

The loop adds the gather of the patches, their symmetries, the checks for finite numbers and the blocks with
physical constants around the U-Net; it gains by keeping images channels-last.
"""

import time

import numpy as np
import pytest
import torch
from astropy import units as u
from torch import nn

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.unet import UNet
from polaris_lab.training import Patches, TrainingConfig, TrainingState, fit, load_patches
from polaris_lab.training.loop import _Loop

BATCH, SIZE, BATCHES = 16, 128, 2


@pytest.mark.parametrize(("filters", "layers", "rounds"), [(16, 3, 5), (64, 4, 2)])
def test_training_steps(against, filters, layers, rounds):
    """The report's network (double convolution, attention), batch 16 of 128^2."""
    rng = np.random.default_rng(0)
    maps = 10 ** rng.normal(21.5, 0.3, (BATCH * BATCHES, SIZE, SIZE))
    training = Patches.from_arrays({"column_density": maps}, maps / 1e18)
    validation = Patches.from_arrays({"column_density": maps[:1]}, maps[:1] / 1e18)
    blueprint = Blueprint.unet(layers, filters, True, convolutions=2)
    model = build_model(blueprint).fit_constants(training.inputs, training.target)
    config = TrainingConfig(epochs=10_000, batch_size=BATCH, device="cpu")
    loop = fit(model, training, validation, config=config)

    network = UNet(layers=layers, base_filters=filters, convolutions=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    images, target = training.inputs["column_density"][:BATCH] - 21.5, training.target[:BATCH]

    def plain():
        network.train()
        for _ in range(BATCHES):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(images), target).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    ratio = against(
        f"{BATCHES} training steps of U-Net {filters} x {layers}",
        lambda: next(loop),
        plain,
        rounds=rounds,
        work=BATCH * BATCHES,
        unit="images/s",
    )
    loop.close()
    assert ratio > 0.9


def test_loop_overhead(capsys):
    """Processor time of a training epoch that is not forward, backward or optimizer step: below 5 % at 16 x 3."""
    rng = np.random.default_rng(0)
    maps = 10 ** rng.normal(21.5, 0.3, (BATCH * BATCHES, SIZE, SIZE))
    training = Patches.from_arrays({"column_density": maps}, maps / 1e18)
    model = build_model(Blueprint.unet(3, 16, True, convolutions=2))
    model.fit_constants(training.inputs, training.target)
    config = TrainingConfig(epochs=10, batch_size=BATCH, device="cpu", ema=None)
    state = TrainingState(model, config)
    loop = _Loop(training, training, config, state, lambda count: None)
    inside = 0.0

    def counted(function):
        def call(*arguments, **options):
            nonlocal inside
            start = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                inside += time.process_time() - start

        return call

    loop.forward = counted(loop.forward)
    state.fabric.backward = counted(state.fabric.backward)
    loop.optimizer.step = counted(loop.optimizer.step)
    loop.train(0, np.random.default_rng(0))
    inside, start = 0.0, time.process_time()
    loop.train(1, np.random.default_rng(1))
    whole = time.process_time() - start
    overhead = 1 - inside / whole
    with capsys.disabled():
        print(
            f"\n  loop overhead of U-Net 16 x 3, batch {BATCH} of {SIZE}^2: {overhead:.2%} of {whole:.2f} CPU-s"
        )
    assert overhead < 0.05


def test_reading_from_disk_costs_no_time(tmp_path, capsys):
    """A dataset read while the network is trained: the part of an epoch that the training waits for patches."""
    rng = np.random.default_rng(0)
    maps = 10 ** rng.normal(21.5, 0.3, (2 * BATCH, SIZE, SIZE)).astype(np.float32)
    dataset = PatchDataset.from_arrays(
        {"column_density": maps},
        {"mass_weighted_density": maps / 1e18},
        pixel_size=0.05 * u.pc,
        split=["training"] * (2 * BATCH - 1) + ["validation"],
        path=tmp_path / "data.zarr",
    )
    names = {"inputs": ("column_density",), "target": "mass_weighted_density"}
    streamed = load_patches(dataset, "training", workers=2, **names)
    model = build_model(Blueprint.unet(3, 16, True, convolutions=2))
    sample = streamed.sample()
    model.fit_constants(sample.inputs, sample.targets)
    config = TrainingConfig(epochs=2, batch_size=4, device="cpu")
    _, record = fit(model, streamed, load_patches(dataset, "validation", **names), config=config)
    waited = record.waited_seconds / record.seconds
    with capsys.disabled():
        print(f"\n  waiting for patches on disk: {waited:.2%} of an epoch of {record.seconds:.2f} s")
    assert waited < 0.2
