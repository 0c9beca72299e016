"""Training steps through the loop, against the same network in a bare PyTorch loop.

The loop adds the gather of the patches, their symmetries, the checks for finite numbers and the blocks with
physical constants around the U-Net; it gains by keeping images channels-last.
"""

import numpy as np
import pytest
import torch
from torch import nn

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.unet import UNet
from polaris_lab.training import Patches, TrainingConfig, fit

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
