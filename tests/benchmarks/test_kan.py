"""Kolmogorov-Arnold convolutions against an ordinary one, and against the same sum written function by function.

The aim: in its bottleneck form at most 1.8 times the time of an ordinary convolution, where the plain form of radial
basis functions takes 5 times. A layer is 3x3 with its activation, forward and backward, batch 4, channels last.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from polaris_lab.models.kan import KANConv

SIZES = [(32, 64), (64, 32), (64, 64)]
"""Channels and side [pixels]."""


class Naive(nn.Module):
    """The sum as it is written: a convolution for the functions, another for SiLU, and the expansion in single steps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.linspace(-2, 2, 4), requires_grad=False)
        self.curves = nn.Conv2d(4 * channels, channels, 3, padding=1)
        self.base = nn.Conv2d(channels, channels, 3, padding=1)
        self.normalization = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = self.normalization(x)
        basis = torch.exp(-(((x[..., None] - self.centres) / (4 / 3)) ** 2))  # (N, C, H, W, G)
        basis = basis.movedim(-1, 2).flatten(1, 2)  # (N, C G, H, W)
        return self.curves(basis) + self.base(functional.silu(x))


def ordinary(channels: int) -> nn.Module:
    convolution = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
    return nn.Sequential(convolution, nn.ReLU())


def step(module: nn.Module, channels: int, size: int):
    """Return the function that runs a layer forward and backward once."""
    torch.manual_seed(0)
    module.to(memory_format=torch.channels_last)
    x = torch.randn(4, channels, size, size).contiguous(memory_format=torch.channels_last).requires_grad_()

    def run():
        module.zero_grad()
        module(x).square().mean().backward()

    return run


@pytest.mark.parametrize(("channels", "size"), SIZES)
def test_bottleneck_against_an_ordinary_convolution(against, channels, size):
    ours = step(KANConv(channels, channels, form="bottleneck"), channels, size)
    plain = step(ordinary(channels), channels, size)
    ratio = against(f"bottleneck KAN of {channels} channels", ours, plain, rounds=25)
    assert 1 / ratio <= 1.8


@pytest.mark.parametrize(("channels", "size"), SIZES)
def test_naive_form_against_an_ordinary_convolution(against, channels, size):
    naive = step(Naive(channels), channels, size)
    plain = step(ordinary(channels), channels, size)
    against(f"naive KAN of {channels} channels", naive, plain, rounds=9)


@pytest.mark.parametrize(("channels", "size"), SIZES)
@pytest.mark.parametrize("form", ["full", "bottleneck"])
def test_forms_against_the_naive_one(against, channels, size, form):
    ours = step(KANConv(channels, channels, form=form), channels, size)
    ratio = against(
        f"{form} KAN of {channels} channels, reference naive",
        ours,
        step(Naive(channels), channels, size),
        rounds=9,
    )
    assert ratio > (1.0 if form == "full" else 2.0)
