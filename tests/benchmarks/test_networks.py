"""The report's networks against plain PyTorch: images a second, memory, tiles, bfloat16.

The plain reference is written here: the same layers as anyone would write them down, float32, with the same padding by
reflection, in PyTorch's default layout. A second line of the first benchmark tells the ratio to a reference padded by
zeros, which is another network and cheaper.
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from polaris_lab.datasets.patches import apply_tiled, plan_tiles
from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.precision import has_fast_bfloat16
from polaris_lab.models.unet import UNet
from polaris_lab.observations.predict_network import MapNetwork
from polaris_lab.training import Patches, TrainingConfig, fit

SIZE = 128
NETWORKS = [(16, 3, 8, 5, 1.2), (64, 4, 4, 3, 1.05)]
"""Base filters, layers, images a step, rounds, and the ratio to reach."""


def double_convolution(before: int, after: int, padding: str) -> nn.Sequential:
    """Twice (convolution, batch normalisation, ReLU)."""
    steps: list[nn.Module] = []
    for channels in (before, after):
        steps += [
            nn.Conv2d(channels, after, 3, padding=1, padding_mode=padding),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*steps)


class PlainGate(nn.Module):
    """The attention gate, layer by layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.gate = nn.Sequential(nn.Conv2d(channels, half, 1), nn.BatchNorm2d(half))
        self.skip = nn.Sequential(nn.Conv2d(channels, half, 1), nn.BatchNorm2d(half))
        self.weight = nn.Sequential(nn.Conv2d(half, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, gate, skip):
        return skip * self.weight(torch.relu(self.gate(gate) + self.skip(skip)))


class PlainUNet(nn.Module):
    """The report's U-Net, layer by layer."""

    def __init__(self, filters: int, layers: int, padding: str = "reflect") -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(layers + 1)]
        pairs = zip([1, *widths], widths[:-1], strict=False)
        self.encoder = nn.ModuleList(double_convolution(a, b, padding) for a, b in pairs)
        self.bottleneck = double_convolution(widths[-2], widths[-1], padding)
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[:-1])
        self.gates = nn.ModuleList(PlainGate(w) for w in widths[:-1])
        self.decoder = nn.ModuleList(double_convolution(2 * w, w, padding) for w in widths[:-1])
        self.last = nn.Conv2d(filters, 1, 1)

    def forward(self, x):
        skips = []
        for block in self.encoder:
            skips.append(block(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottleneck(x)
        for level in reversed(range(len(skips))):
            x = self.upsample[level](x)
            x = self.decoder[level](torch.cat([self.gates[level](x, skips[level]), x], dim=1))
        return self.last(x)


def ours(filters: int, layers: int) -> UNet:
    return UNet(layers=layers, base_filters=filters, convolutions=2).to(memory_format=torch.channels_last)


def steps_of(network: nn.Module, images: torch.Tensor, precision: str = "32-true"):
    """Return a function that takes one optimisation step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            answer = network(images)
        answer.float().square().mean().backward()
        optimizer.step()

    return step


@pytest.mark.parametrize(("filters", "layers", "batch", "rounds", "goal"), NETWORKS)
def test_training_in_float32(against, filters, layers, batch, rounds, goal):
    images = torch.randn(batch, 1, SIZE, SIZE)
    name = f"training step of U-Net {filters} x {layers}, float32"
    plain, network = PlainUNet(filters, layers), ours(filters, layers)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in network.parameters())
    ratio = against(
        name, steps_of(network, images), steps_of(plain, images), rounds=rounds, work=batch, unit="images/s"
    )
    assert ratio >= goal


@pytest.mark.parametrize(("filters", "layers", "batch", "rounds", "goal"), NETWORKS)
def test_training_in_float32_against_padding_by_zeros(against, filters, layers, batch, rounds, goal):
    """Another network, whose edges are biased: told, not demanded."""
    images = torch.randn(batch, 1, SIZE, SIZE)
    against(
        f"the same, reference padded by zeros ({filters} x {layers})",
        steps_of(ours(filters, layers), images),
        steps_of(PlainUNet(filters, layers, "zeros"), images),
        rounds=rounds, work=batch, unit="images/s",
    )  # fmt: skip


@pytest.mark.parametrize(("filters", "layers", "batch", "rounds", "goal"), NETWORKS)
def test_inference_in_float32(against, filters, layers, batch, rounds, goal):
    images = torch.randn(batch, 1, SIZE, SIZE)
    network, plain = ours(filters, layers).eval(), PlainUNet(filters, layers).eval()

    def run(model):
        with torch.inference_mode():
            model(images)

    name = f"inference of U-Net {filters} x {layers}, float32"
    ratio = against(
        name, lambda: run(network), lambda: run(plain), rounds=rounds, work=batch, unit="images/s"
    )
    assert ratio >= goal


@pytest.mark.parametrize(("filters", "layers", "batch", "rounds", "goal"), NETWORKS)
def test_training_in_bfloat16(against, filters, layers, batch, rounds, goal):
    fast, why = has_fast_bfloat16(torch.device("cpu"))
    if not fast:
        pytest.skip(f"no bfloat16 here ({why}): training stays in float32, as best_precision says")
    images = torch.randn(batch, 1, SIZE, SIZE)
    ratio = against(
        f"training step of U-Net {filters} x {layers}, bfloat16",
        steps_of(ours(filters, layers), images, "bf16-mixed"),
        steps_of(PlainUNet(filters, layers), images),
        rounds=rounds, work=batch, unit="images/s",
    )  # fmt: skip
    assert ratio >= 2.2


def test_bfloat16_is_as_accurate(capsys):
    """The same seeds, the same data: mean validation loss of three trainings within 1 %."""
    rng = np.random.default_rng(0)
    smooth = functional.avg_pool2d(torch.from_numpy(rng.normal(size=(64, 1, 40, 40))), 9, stride=1)[
        :, 0
    ].numpy()
    column = 10 ** (21.5 + 0.4 * smooth / smooth.std())  # (64, 32, 32)
    around = functional.avg_pool2d(
        torch.from_numpy(np.log10(column))[:, None], 5, 1, 2, count_include_pad=False
    )[:, 0].numpy()
    density = 10 ** (1.4 * np.log10(column) - 27 + 0.8 * (np.log10(column) - around))
    training = Patches.from_arrays({"column_density": column[:48]}, density[:48])
    validation = Patches.from_arrays({"column_density": column[48:]}, density[48:])
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        losses[precision] = []
        for seed in range(3):
            blueprint = Blueprint.unet(2, 8, reference_scale=4.0)
            model = build_model(blueprint, seed=seed).fit_constants(training.inputs, training.target)
            config = TrainingConfig(epochs=12, batch_size=8, seed=seed, precision=precision, device="cpu")
            records = list(fit(model, training, validation, config=config))
            losses[precision].append(records[-1].validation_loss)
    mean = {precision: float(np.mean(values)) for precision, values in losses.items()}
    error = {precision: math.sqrt(value) for precision, value in mean.items()}
    with capsys.disabled():
        print(f"\n  validation error: float32 {error['32-true']:.5f}, bfloat16 {error['bf16-mixed']:.5f} dex")
    assert error["bf16-mixed"] <= 1.01 * error["32-true"]


MEMORY = """
import resource, torch
from polaris_lab.models import Blueprint, build_model
torch.set_num_threads(1)
model = build_model(Blueprint.unet(layers=4, base_filters=64, convolutions=2)).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(model.parameters())
column = 21.5 + 0.3 * torch.randn(16, 1, 128, 128)
for _ in range(2):
    optimizer.zero_grad()
    (model.train()({"column_density": column}) - column + 18).square().mean().backward()
    optimizer.step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_of_training(capsys):
    """64 x 4, batch 16 of 128^2, float32, two steps of AdamW in a process of its own."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    peak = int(done.stdout) / 1e9
    with capsys.disabled():
        print(f"\n  peak memory of training U-Net 64 x 4, batch 16 of 128^2: {peak:.2f} GB")
    assert peak < 3


@pytest.mark.parametrize("convolutions", [1, 2])
def test_tiles_of_a_whole_map(against, convolutions):
    """2048^2 in tiles of 1024, margins included, against the pixels that one bare tile of 1024^2 takes."""
    network = (
        UNet(layers=3, base_filters=16, convolutions=convolutions)
        .to(memory_format=torch.channels_last)
        .eval()
    )
    image = np.random.default_rng(0).normal(size=(2048, 2048)).astype(np.float32)
    plan = plan_tiles(
        image.shape, tile=1024, margin=network.receptive_margin, multiple=network.stride, within=True
    )

    def answer(tile: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(tile[None]))[0, 0].numpy()

    def bare() -> None:
        for _ in range(4):
            answer(image[None, :1024, :1024])

    ratio = against(
        f"2048^2 in tiles of 1024, U-Net 16 x 3, {convolutions} convolution(s) a block; reference: its raw rate",
        lambda: apply_tiled(answer, image, plan), bare, rounds=3, work=4 * 1024**2 / 1e6, unit="Mpx/s",
    )  # fmt: skip
    assert ratio >= 0.8


def test_tiles_of_a_network_with_contrast(against):
    """The same for the whole model, whose local contrast looks further than the U-Net behind it."""
    model = build_model(Blueprint.unet(3, 16, convolutions=2))
    network = MapNetwork((model,))
    image = (21 + 0.3 * np.random.default_rng(0).normal(size=(2048, 2048))).astype(np.float32)
    plan = plan_tiles(image.shape, tile=1024, margin=network.margin, multiple=network.stride, within=True)
    one = torch.from_numpy(image[None, None, :1024, :1024])

    def tiles() -> None:
        kept = iter([tile.inside for tile in plan])
        apply_tiled(lambda tile: network(tile, next(kept)), image, plan)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(4):
                model({"column_density": one})

    ratio = against(
        "2048^2 in tiles of 1024, U-Net 16 x 3 with local contrast; reference: its raw rate",
        tiles, bare, rounds=3, work=4 * 1024**2 / 1e6, unit="Mpx/s",
    )  # fmt: skip
    assert ratio >= 0.8
