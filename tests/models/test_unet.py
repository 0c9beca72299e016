"""The U-Net: parameter counts, sizes, edges, symmetry, the reach of a pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polaris_lab.models.unet import (
    AttentionGate,
    NormalizedConvolution,
    UNet,
    pad_to_multiple,
    receptive_margin,
)


def count(**settings) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(**settings).parameters())


def symmetrized(unet: UNet) -> UNet:
    """Replace each kernel by its mean over the 8 symmetries of the square."""
    with torch.no_grad():
        for module in unet.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                turned = [torch.rot90(module.weight, k, (-2, -1)) for k in range(4)]
                module.weight.copy_(sum(t + t.transpose(-2, -1) for t in turned) / 8)
    return unet


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"layers": 3, "base_filters": 16, "convolutions": 2}, 488_930),
        ({"layers": 4, "base_filters": 64, "convolutions": 2}, 31_393_901),
        ({"layers": 4, "base_filters": 64, "convolutions": 1}, 15_681_005),
    ],
)
def test_the_reports_networks_have_the_reports_parameters(settings, parameters):
    assert count(**settings) == parameters


def test_attention_gates_have_the_stated_parameters():
    """Two 1x1 convolutions C -> C/2, one C/2 -> 1, a normalisation each, on every level."""
    widths = [8, 16, 32]
    gates = sum(2 * (c * c // 2 + c // 2 + c) + (c // 2 + 1 + 2) for c in widths)
    plain = {"layers": 3, "base_filters": 8}
    assert count(**plain, attention=True) - count(**plain, attention=False) == gates


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (17, 130), (3, 5), (1, 1), (1, 40)])
@pytest.mark.parametrize("attention", [True, False])
def test_any_size_goes_through(size, attention):
    unet = UNet(layers=3, base_filters=2, attention=attention).eval()
    out = unet(torch.randn(2, 1, *size))
    assert out.shape == (2, 1, *size)
    assert torch.isfinite(out).all()


def test_size_grows_by_reflection_only():
    """Padding to a multiple of the stride does not touch the image, and mirrors it without its edge."""
    x = torch.arange(10.0).reshape(1, 1, 1, 10)
    padded = pad_to_multiple(x, 8)[0, 0]
    assert padded.shape == (16, 16)
    assert padded[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3]
    fits = torch.randn(1, 1, 16, 24)
    assert pad_to_multiple(fits, 8) is fits


def test_edges_carry_no_bias(disturb):
    """A uniform map gives a uniform answer: padding by zeros would not."""
    unet = symmetrized(disturb(UNet(layers=2, base_filters=4, convolutions=2)).double())
    out = unet(torch.full((1, 1, 24, 20), 0.7, dtype=torch.float64)).detach()
    assert abs(float(out[0, 0, 0, 0])) > 1e-6
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out), rtol=0, atol=1e-12)


def test_folded_normalisation_equals_the_two_steps(disturb):
    convolution = disturb(NormalizedConvolution(3, 5, 3)).double()
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    expected = convolution.normalization(convolution.convolution(padded))
    torch.testing.assert_close(convolution(x), expected, rtol=0, atol=1e-12)


def test_attention_weighs_between_zero_and_one(disturb):
    gate = disturb(AttentionGate(6))
    skip = torch.rand(2, 6, 5, 5) + 0.1
    ratio = gate(torch.randn(2, 6, 5, 5), skip) / skip  # (N, C, H, W)
    assert ((ratio > 0) & (ratio < 1)).all()
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))  # one weight for all channels of a pixel


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-2, -1)])
def test_symmetric_kernels_make_a_symmetric_network(disturb, turn):
    """Pooling, padding, gates and skips have no preferred direction: only the kernels have."""
    unet = symmetrized(disturb(UNet(layers=2, base_filters=3, convolutions=2)).double())
    x = torch.randn(1, 1, 16, 24, dtype=torch.float64)
    torch.testing.assert_close(unet(turn(x)), turn(unet(x)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(("layers", "convolutions"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)])
def test_receptive_margin_is_exact(layers, convolutions, attention):
    """NaN in one pixel marks all that depend on it: the furthest is as far as stated, for some position."""
    unet = UNet(layers=layers, base_filters=1, convolutions=convolutions, attention=attention).eval()
    margin, size = unet.receptive_margin, 2 ** (layers + 5)
    reached = 0
    for pixel in range(size // 2, size // 2 + unet.stride):
        x = torch.zeros(1, 1, size, size)
        x[..., pixel, pixel] = torch.nan
        rows = torch.isnan(unet(x))[0, 0].any(dim=1).nonzero()
        reached = max(reached, int((rows - pixel).abs().max()))
    assert reached == margin < size // 2


def test_gradient_is_exactly_zero_beyond_the_margin(disturb):
    unet = disturb(UNet(layers=2, base_filters=4, convolutions=2))
    x = torch.randn(1, 1, 96, 96, requires_grad=True)
    unet(x)[0, 0, 41, 50].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert max((rows - 41).abs().max(), (columns - 50).abs().max()) <= unet.receptive_margin
    assert len(rows) > 100


def test_margin_grows_with_depth_and_convolutions():
    assert [receptive_margin(layers, 1) for layers in (1, 2, 3, 4)] == [5, 13, 29, 61]
    assert [receptive_margin(layers, 2) for layers in (1, 2, 3, 4)] == [9, 23, 51, 107]


def test_gradient_reaches_every_parameter(disturb):
    """In evaluation: in training a normalisation cancels the offset of the convolution before it."""
    torch.manual_seed(1)
    unet = disturb(UNet(layers=2, base_filters=8, convolutions=2))
    unet(torch.randn(4, 1, 32, 32)).square().sum().backward()
    silent = [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_evaluation_is_deterministic_and_training_drops():
    unet = UNet(layers=2, base_filters=4, dropout=0.5)
    x = torch.randn(2, 1, 16, 16)
    assert not torch.equal(unet(x), unet(x))
    unet.eval()
    assert torch.equal(unet(x), unet(x))


def test_channels_last_changes_nothing(disturb):
    unet = disturb(UNet(layers=2, base_filters=4))
    x = torch.randn(2, 1, 20, 28)
    expected = unet(x)
    torch.testing.assert_close(unet.to(memory_format=torch.channels_last)(x), expected, rtol=1e-4, atol=1e-5)


def test_several_channels():
    assert (
        UNet(in_channels=3, out_channels=2, layers=1, base_filters=2)(torch.randn(1, 3, 8, 8)).shape[1] == 2
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers: expected a whole number of at least 1, got 0"),
        ({"layers": 11}, "layers: expected at most 10 .* got 11"),
        ({"base_filters": 0}, "base_filters: expected a whole number of at least 1, got 0"),
        ({"in_channels": 0}, "in_channels: expected a whole number of at least 1, got 0"),
        ({"out_channels": -1}, "out_channels: expected a whole number of at least 1, got -1"),
        ({"convolutions": 3}, "convolutions: expected 1 or 2 per block, got 3"),
        ({"dropout": 1.0}, "dropout: expected a probability from 0 to below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout: expected a probability"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet(**settings)


def test_wrong_channels():
    with pytest.raises(ValueError, match=r"unet needs 2 input channels, got \(1, 8, 8\)"):
        UNet(in_channels=2, layers=1, base_filters=2)(torch.zeros(1, 1, 8, 8))
