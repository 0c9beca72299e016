"""Kolmogorov-Arnold layers: their basis, their start, their equality with the written sum, their reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import nn
from torch.nn import functional

from polaris_lab.models import Blueprint, parameter_count
from polaris_lab.models.kan import KANConv, KANUNet, PixelKAN
from polaris_lab.models.kan.basis import Basis, radial_basis, spline_basis

FORMS = [("full", "radial"), ("full", "spline"), ("bottleneck", "radial"), ("bottleneck", "spline")]


def count(block, **settings) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in block(**settings).parameters())


def test_splines_are_scipys():
    knots = np.linspace(-3.0, 4.0, 11)
    x = np.linspace(-4, 5, 301)
    got = spline_basis(torch.from_numpy(x), torch.from_numpy(knots), 3).numpy()
    assert got.shape == (301, 7)
    for i in range(7):
        element = BSpline.basis_element(knots[i : i + 5], extrapolate=False)
        np.testing.assert_allclose(got[:, i], np.nan_to_num(element(x)), atol=1e-12)


def test_splines_share_out_one_and_are_local():
    basis = Basis("spline", 4)
    x = torch.linspace(-1.999, 1.999, 200, dtype=torch.float64)
    values = basis.values(x)[:, :-1]  # (200, G + 3)
    torch.testing.assert_close(values.sum(dim=1), torch.ones(200, dtype=torch.float64), rtol=0, atol=1e-6)
    assert int((values > 0).sum(dim=1).max()) == 4
    assert not basis.values(torch.tensor([9.0, -9.0]))[:, :-1].any()


def test_gaussians_stand_evenly_and_are_local():
    basis = Basis("radial", 4)
    centres = torch.tensor(basis.centres, dtype=torch.float64)
    torch.testing.assert_close(centres, torch.tensor([-2, -2 / 3, 2 / 3, 2], dtype=torch.float64))
    values = radial_basis(centres, centres, basis.step)
    torch.testing.assert_close(values.diagonal(), torch.ones(4, dtype=torch.float64))
    assert float(values[0, 1]) == pytest.approx(math.exp(-1))
    assert float(values[0, 3]) == pytest.approx(math.exp(-9))


@pytest.mark.parametrize("kind", ["radial", "spline"])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_expansion_holds_every_function_of_every_channel(kind, memory):
    basis = Basis(kind, 5)
    x = 2 * torch.randn(2, 3, 5, 4).contiguous(memory_format=memory)
    expected = basis.values(x).permute(0, 4, 1, 2, 3).flatten(1, 2)  # (N, functions C, H, W)
    torch.testing.assert_close(basis(x), expected)
    torch.testing.assert_close(basis.curves(x), expected[:, :-3])


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_derivative_of_the_gaussians(memory):
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=memory).requires_grad_()
    assert torch.autograd.gradcheck(Basis("radial", 4), (x,))


@pytest.mark.parametrize("basis", ["radial", "spline"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_one_convolution_is_the_written_sum(basis, kernel_size):
    """y = sum_g W_g * phi_g(x) + W_b * SiLU(x), a convolution each."""
    layer = KANConv(4, 6, kernel_size, basis=basis).eval()
    layer.layer.normalization.running_mean.fill_(0.3)
    layer.layer.normalization.running_var.fill_(2.0)
    x = 2 * torch.randn(2, 4, 9, 11)
    seen = (x - 0.3) / math.sqrt(2.0 + 1e-5)
    seen = functional.pad(seen, (kernel_size // 2,) * 4, mode="reflect")
    weight = layer.layer.convolution.weight.view(6, -1, 4, kernel_size, kernel_size)
    functions = layer.layer.basis.values(seen).unbind(-1)
    naive = sum(functional.conv2d(f, weight[:, g]) for g, f in enumerate(functions))
    torch.testing.assert_close(layer(x), naive, rtol=1e-5, atol=1e-5)


def test_parameters_as_the_formula_says():
    """C_in C_out k^2 (G + 1) + C_out; the bottleneck has less than 1.3 times those of an ordinary convolution."""
    for channels, ordinary in ((32, 9_248), (64, 36_928)):
        full = count(KANConv, in_channels=channels, out_channels=channels)
        assert full == channels**2 * 9 * 5 + channels
        small = count(KANConv, in_channels=channels, out_channels=channels, form="bottleneck")
        assert ordinary < small < 1.3 * ordinary


@pytest.mark.parametrize(("form", "basis"), FORMS)
@pytest.mark.parametrize("channels", [16, 64, 512])
def test_start_keeps_the_variance_whatever_the_fan_in(form, basis, channels):
    """A fixed 0.1 gives a thousand channels a variance of hundreds."""
    squares = []
    for _ in range(4):
        layer = KANConv(channels, 64, 3 if channels < 512 else 1, form=form, basis=basis)
        squares.append(float(layer(torch.randn(2, channels, 8, 8)).detach().square().mean()))
    assert np.mean(squares) == pytest.approx(1, rel=0.3)


@pytest.mark.parametrize("form", ["full", "bottleneck"])
def test_input_far_from_the_grid_stays_alive(form):
    """Without the normalisation, x = 12 meets no Gaussian: their weights get no gradient and learn nothing."""
    x = 12 + torch.randn(4, 3, 8, 8)
    gradients = {}
    for normalize in (True, False):
        torch.manual_seed(0)
        layer = KANConv(3, 4, 3, form=form, normalize=normalize)
        if form == "full":
            curves, count = layer.layer.convolution.weight, 12  # 3 channels of 4 Gaussians, then SiLU
        else:
            nn.init.ones_(layer.layer.down.weight)
            curves, count = layer.layer.up.weight, 4
        layer(x).square().sum().backward()
        gradients[normalize] = float(curves.grad[:, :count].abs().max())
    assert gradients[True] > 1
    assert gradients[False] < 1e-6


@pytest.mark.parametrize(("form", "basis"), FORMS)
def test_gradient_reaches_every_parameter(form, basis):
    layer = KANConv(3, 5, form=form, basis=basis).eval()
    layer(torch.randn(4, 3, 9, 9)).square().sum().backward()
    assert [name for name, p in layer.named_parameters() if p.grad is None or not p.grad.any()] == []
    kan = PixelKAN(widths=(4, 4), basis=basis).eval()
    kan(torch.randn(4, 1, 9, 9)).square().sum().backward()
    assert [name for name, p in kan.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("basis", ["radial", "spline"])
def test_extrapolates_in_proportion_upwards_and_to_a_constant_downwards(basis):
    layer = KANConv(1, 1, 1, basis=basis).double().eval()
    far = torch.tensor([-40.0, -30.0, 30.0, 40.0, 50.0], dtype=torch.float64).reshape(1, 1, 1, 5)
    y = layer(far).flatten().detach()
    assert float(y[0] - y[1]) == pytest.approx(0, abs=1e-10)
    assert float((y[4] - y[3]) - (y[3] - y[2])) == pytest.approx(0, abs=1e-9)


def test_answer_does_not_depend_on_the_tile():
    layer = nn.Sequential(KANConv(1, 4), KANConv(4, 4, form="bottleneck"))
    layer(torch.randn(8, 1, 16, 16))  # statistics
    layer.eval()
    x = torch.randn(1, 1, 40, 40)
    torch.testing.assert_close(layer(x[..., 8:30, 8:30])[..., 2:-2, 2:-2], layer(x)[..., 10:28, 10:28])


@pytest.mark.parametrize("form", ["full", "bottleneck"])
def test_bf16_is_near(form):
    layer = KANConv(8, 8, form=form).eval().requires_grad_(False)
    x = torch.randn(2, 8, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        got = layer(x).float()
    assert float((got - layer(x)).square().mean().sqrt()) < 0.02


def test_the_reports_networks_have_the_reports_parameters():
    """The stated counts carry the 4 centres and a second offset, which change nothing: 326 - 4 - 1 for K-Net."""
    assert round(parameter_count(Blueprint.preset("ukan")) / 1e6) == 264
    plain = Blueprint.preset("unet", convolutions=2, layers=5, base_filters=64)
    assert round(parameter_count(plain) / 1e6) == 126
    assert count(KANConv, in_channels=64, out_channels=1, kernel_size=1) == 326 - 4 - 1
    with_curves = parameter_count(Blueprint.preset("knet", layers=4, base_filters=64))
    assert with_curves - parameter_count(Blueprint.preset("unet")) == 321 - 65
    edges = 10 + 100 + 100 + 10
    assert parameter_count(Blueprint.preset("just_kan")) == 5 * edges + 31


def test_deepest_levels_are_kan_and_the_others_are_not():
    unet = KANUNet(layers=3, base_filters=2, kan_levels=2).unet
    for blocks in (unet.encoder, unet.decoder):
        assert [any(isinstance(m, KANConv) for m in block.modules()) for block in blocks] == [
            False,
            True,
            True,
        ]
    assert any(isinstance(m, KANConv) for m in unet.bottleneck.modules())
    none = KANUNet(layers=3, base_filters=2, kan_levels=0)
    assert not any(isinstance(m, KANConv) for m in none.modules())


@pytest.mark.parametrize("kan_levels", [1, 2])
def test_gradient_is_zero_beyond_the_margin(kan_levels):
    net = KANUNet(layers=2, base_filters=4, kan_levels=kan_levels, kan_output=True).eval()
    x = torch.randn(1, 1, 96, 96, requires_grad=True)
    net(x)[0, 0, 41, 50].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert max((rows - 41).abs().max(), (columns - 50).abs().max()) <= net.receptive_margin
    assert len(rows) > 100


@pytest.mark.parametrize(
    ("block", "settings", "message"),
    [
        (KANConv, {"in_channels": 0}, "in_channels: expected a whole number of at least 1, got 0"),
        (KANConv, {"kernel_size": 2}, "kernel_size: expected an odd number, got 2"),
        (KANConv, {"form": "bottle"}, "form: unknown name 'bottle': did you mean 'bottleneck'"),
        (KANConv, {"basis": "splines"}, "basis: unknown name 'splines': did you mean 'spline'"),
        (KANConv, {"grid_size": 1}, "grid_size: expected a whole number of at least 2 for radial, got 1"),
        (KANConv, {"reduction": 0}, "reduction: expected a whole number of at least 1, got 0"),
        (PixelKAN, {"widths": (10, 0)}, "widths, out_channels: expected whole numbers of at least 1"),
        (KANUNet, {"kan_levels": 6, "layers": 5}, r"kan_levels: expected 0 to 5 \(the layers\), got 6"),
        (KANUNet, {"layers": 0, "kan_levels": 0}, "layers: expected a whole number of at least 1, got 0"),
        (KANUNet, {"form": "x", "kan_levels": 0, "layers": 2}, "form: unknown name 'x'"),
    ],
)
def test_bad_settings(block, settings, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        block(**settings)


@pytest.mark.parametrize("block", [KANConv, PixelKAN])
def test_wrong_channels(block):
    with pytest.raises(ValueError, match=r"needs 1 input channels, got \(2, 8, 8\)"):
        block()(torch.zeros(1, 2, 8, 8))


def test_a_kan_of_equal_layers():
    assert Blueprint.preset("just_kan", layers=2, base_filters=5) == Blueprint.preset(
        "just_kan", widths=(5, 5)
    )
    assert Blueprint.preset("just_kan", layers=4) == Blueprint.preset("just_kan", widths=(10, 10, 10, 10))
    with pytest.raises(ValueError, match="layers: expected a whole number from 1 up, got 0"):
        Blueprint.preset("just_kan", layers=0)
