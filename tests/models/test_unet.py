"""The U-Net: parameter counts, sizes, edges, symmetry, the reach of a pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polaris_lab.models import Blueprint, Node, build_model
from polaris_lab.models.convolutions import (
    CHANNELS_TO_CONTINUE_AGAIN,
    AttentionGate,
    NormalizedConvolution,
    ResidualBlock,
    reflected_convolution,
)
from polaris_lab.models.unet import UNet, pad_to_multiple, receptive_margin
from polaris_lab.models.unet_cubes import SpectralUNet


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
        ({"dimensions": 4}, "dimensions: expected 1 .*, 2 .* or 3 .*, got 4"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet(**settings)


def test_wrong_channels():
    with pytest.raises(ValueError, match=r"unet needs 2 input channels, got \(1, 8, 8\)"):
        UNet(in_channels=2, layers=1, base_filters=2)(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"layers": 5, "base_filters": 64, "convolutions": 1}, 62_900_000),
        ({"layers": 5, "base_filters": 64, "convolutions": 2}, 125_800_000),
    ],
)
def test_five_layers_have_the_parameters_of_the_reference(settings, parameters):
    """63 M with single and 126 M with double convolutions (science.md, section 5), to the million."""
    assert round(count(**settings) / 1e6) == round(parameters / 1e6)


def test_residual_blocks_add_their_shortcuts():
    """A 1x1 convolution with an offset beside each block, and nothing else."""
    widths = [8, 16, 32]
    shortcuts = [(1, 8), (8, 16), (16, 32), (32, 16), (16, 8)]
    plain = {"layers": 2, "base_filters": widths[0], "convolutions": 2}
    assert count(**plain, residual_blocks=True) - count(**plain) == sum(a * b + b for a, b in shortcuts)


def test_a_residual_block_without_its_convolutions_is_its_shortcut(disturb):
    block = disturb(ResidualBlock(2, 3, convolutions=2, dropout=0.0))
    with torch.no_grad():
        block.steps[1].normalization.weight.zero_()
        block.steps[1].normalization.bias.zero_()
    x = torch.randn(2, 2, 6, 7)
    torch.testing.assert_close(block(x), torch.relu(block.shortcut(x)))


@pytest.mark.parametrize("residual_blocks", [True, False])
@pytest.mark.parametrize(("dimensions", "size"), [(1, (37,)), (2, (9, 20)), (3, (5, 12, 9))])
def test_one_two_and_three_dimensions(dimensions, size, residual_blocks):
    unet = UNet(
        2, 3, layers=2, base_filters=2, convolutions=2, residual_blocks=residual_blocks, dimensions=dimensions
    )
    out = unet(torch.randn(2, 2, *size))
    assert out.shape == (2, 3, *size)
    out.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in unet.parameters())


@pytest.mark.parametrize("dimensions", [1, 3])
def test_edges_carry_no_bias_in_other_dimensions(dimensions):
    unet = UNet(layers=1, base_filters=2, attention=True, dimensions=dimensions).double().eval()
    with torch.no_grad():
        for module in unet.modules():
            if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose3d):
                module.weight.copy_(module.weight.mean(dim=tuple(range(2, module.weight.ndim)), keepdim=True))
    out = unet(torch.full((1, 1, *[9] * dimensions), 0.7, dtype=torch.float64)).detach()
    torch.testing.assert_close(out, out.flatten()[:1].reshape(1, 1, *[1] * dimensions).expand_as(out))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("channels", [3, CHANNELS_TO_CONTINUE_AGAIN])
def test_reflected_convolution_and_its_gradients(dimensions, channels):
    """Wide kernels continue the image again in the backward pass: the same numbers as padding before."""
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    x, weight, bias = draw(2, 2, *[5] * dimensions), draw(channels, 2, *[3] * dimensions), draw(channels)
    convolve = [nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d][dimensions - 1]
    padded = nn.functional.pad(x, (1, 1) * dimensions, mode="reflect")
    expected, got = convolve(padded, weight, bias), reflected_convolution(x, weight, bias)
    torch.testing.assert_close(got, expected)
    pull = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(got, (x, weight, bias), pull),
        torch.autograd.grad(expected, (x, weight, bias), pull),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_wide_networks_train_in_mixed_precision():
    """Gradients come back in the precision of what they belong to."""
    unet = UNet(layers=1, base_filters=CHANNELS_TO_CONTINUE_AGAIN, attention=False)
    with torch.autocast("cpu", torch.bfloat16):
        unet(torch.randn(1, 1, 8, 8)).float().square().mean().backward()
    assert {p.grad.dtype for p in unet.parameters()} == {torch.float32}
    assert all(torch.isfinite(p.grad).all() for p in unet.parameters())


def test_a_size_that_must_not_be_padded():
    unet = UNet(layers=2, base_filters=2, pad=False)
    assert unet(torch.zeros(1, 1, 8, 12)).shape == (1, 1, 8, 12)
    for size in ((8, 10), (4, 8)):
        with pytest.raises(
            ValueError, match=r"multiples of 4 pixels .*at least 8, got .* to \(8, .*or set pad=True"
        ):
            unet(torch.zeros(1, 1, *size))


def test_spectra_know_no_neighbours():
    cube = torch.randn(1, 12, 4, 5)
    block = SpectralUNet(layers=1, base_filters=2).eval()
    torch.testing.assert_close(block(cube)[..., 2:3, 3:4], block(cube[..., 2:3, 3:4]))


def test_cubes_go_through_a_blueprint():
    nodes = (
        Node("denoised", "spectral_unet", {"layers": 1, "base_filters": 2}, ("ppv_cube",)),
        Node("structures", "volume_unet", {"layers": 1, "base_filters": 2}, ("denoised",)),
        Node("n", "convolution", {"in_channels": 16}, ("structures",)),
    )
    model = build_model(Blueprint(("ppv_cube",), nodes, "n"))
    cube = {"ppv_cube": torch.randn(1, 16, 6, 7)}
    assert model(cube).shape == (1, 1, 6, 7)
    assert model.stride == 2
