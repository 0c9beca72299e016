"""Small blocks: arithmetic, shapes, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models.blocks import Add, Concatenate, Convolution, DoubleConvolution, Multiply
from polaris_lab.models.kan import KANConv


@pytest.fixture
def images() -> list[torch.Tensor]:
    return [torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def test_arithmetic(images):
    a, b, c = images
    torch.testing.assert_close(Add()(a, b, c), a + b + c)
    torch.testing.assert_close(Multiply()(a, b), a * b)
    assert torch.equal(Concatenate()(a, b, c)[:, 3:6], b)


def test_concatenation_takes_different_channels(images):
    assert Concatenate()(images[0], images[1][:, :1]).shape == (2, 4, 5, 7)


def test_convolution_is_padded_by_reflection():
    """A mean over 3x3 of a uniform image is that image, edges too."""
    block = Convolution(kernel_size=3)
    with torch.no_grad():
        block.convolution.weight.fill_(1 / 9)
        block.convolution.bias.zero_()
    torch.testing.assert_close(block(torch.ones(1, 1, 4, 6)), torch.ones(1, 1, 4, 6))


@pytest.mark.parametrize("block", [Convolution(kernel_size=5), DoubleConvolution(out_channels=1)])
def test_reach_is_exact(block):
    x = torch.zeros(1, 1, 15, 15)
    x[..., 7, 7] = torch.nan
    rows = torch.isnan(block.eval()(x))[0, 0].any(dim=1).nonzero()
    assert int((rows - 7).abs().max()) == block.receptive_margin == 2


def test_channels_come_out_as_asked():
    assert DoubleConvolution(2, 6)(torch.randn(1, 2, 8, 8)).shape == (1, 6, 8, 8)


@pytest.mark.parametrize("block", [Add(), Multiply()])
def test_unequal_shapes(block):
    name = type(block).__name__.lower()
    with pytest.raises(ValueError, match=rf"{name} needs equal shapes, got \(8, 4, 4\) and \(1, 4, 4\)"):
        block(torch.zeros(1, 8, 4, 4), torch.zeros(1, 1, 4, 4))


def test_unequal_sizes():
    with pytest.raises(
        ValueError, match=r"concatenate needs equal heights and widths, got \[\(4, 4\), \(4, 5\)\]"
    ):
        Concatenate()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))


@pytest.mark.parametrize("block", [Convolution(in_channels=2), DoubleConvolution(in_channels=2)])
def test_wrong_channels(block):
    with pytest.raises(ValueError, match=r"needs 2 input channels, got \(3, 4, 4\).*set in_channels=3"):
        block(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Convolution, {"kernel_size": 4}, "kernel_size: expected an odd number, got 4"),
        (Convolution, {"in_channels": 0}, "in_channels: expected a whole number of at least 1, got 0"),
        (
            DoubleConvolution,
            {"out_channels": 0},
            "out_channels: expected a whole number of at least 1, got 0",
        ),
        (DoubleConvolution, {"dropout": 1.5}, "dropout: expected a probability"),
    ],
)
def test_bad_settings(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize("block", [Convolution(kernel_size=5), DoubleConvolution(), KANConv(1, 2)])
def test_an_image_that_reflection_cannot_continue(block):
    """A side of one pixel has nothing to reflect."""
    with pytest.raises(
        ValueError, match=r"expected an image of at least \d pixels a side.* got 1 x 8; give a larger"
    ):
        block(torch.zeros(1, 1, 1, 8))
