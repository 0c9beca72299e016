"""The U-Net of several inputs: merges by name, FiLM, tiles, and its reach."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polaris_lab.models import register_block
from polaris_lab.models.film import FiLM, ScalarEmbedding
from polaris_lab.models.merge import make_merge
from polaris_lab.models.multi_unet import MultiUNet, margin
from polaris_lab.models.unet import UNet, receptive_margin


@register_block("halved_mix")
class HalvedMix(nn.Module):
    """A merge of one's own."""

    def __init__(self, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__()
        self.mix = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        """Return half of the mix."""
        return self.mix(x) / 2


@pytest.mark.parametrize("merge", ["concatenate", "sum", "convolution", "double_convolution", "halved_mix"])
@pytest.mark.parametrize("branch_filters", [None, 3])
def test_all_merges(merge, branch_filters):
    """Every parameter gets a gradient, and every input reaches the answer."""
    network = MultiUNet((1, 2, 3), 2, layers=2, base_filters=4, branch_filters=branch_filters, merge=merge)
    images = [torch.randn(2, channels, 20, 24, requires_grad=True) for channels in (1, 2, 3)]
    answer = network(*images)
    assert answer.shape == (2, 2, 20, 24)
    answer.square().sum().backward()
    assert all(image.grad.abs().max() > 0 for image in images)
    assert all(p.grad is not None for p in network.parameters())
    assert sum(float(p.grad.abs().sum()) > 0 for p in network.parameters()) > 0.6 * len(
        list(network.parameters())
    )  # biases before a batch normalisation have none


def test_merges_by_hand():
    x, y = torch.full((1, 2, 3, 3), 2.0), torch.full((1, 2, 3, 3), 5.0)
    assert (make_merge("sum", [2, 2], 2)(x, y) == 7).all()
    mix = make_merge("halved_mix", [2, 2], 1)
    with torch.no_grad():
        mix.mix.mix.weight.fill_(1.0)
        mix.mix.mix.bias.zero_()
    assert (mix(x, y) == (2 * 2 + 2 * 5) / 2).all()


def test_one_input_is_the_plain_u_net():
    """The same widths, so the same number of parameters; and its reach."""
    for convolutions in (1, 2):
        plain = UNet(layers=3, base_filters=8, convolutions=convolutions)
        network = MultiUNet((1,), layers=3, base_filters=8, convolutions=convolutions)
        assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters())
        assert network.receptive_margin == receptive_margin(3, convolutions)


@pytest.mark.parametrize("merge", ["concatenate", "sum"])
def test_the_reach_is_what_it_says(merge, disturb):
    """Change pixels beyond the margin: not a bit changes; within it something does."""
    network = disturb(MultiUNet((1, 1), layers=2, base_filters=4, merge=merge, attention=False))
    images = [torch.randn(1, 1, 160, 8) for _ in range(2)]
    reach = network.receptive_margin
    assert reach == margin(2, 2 if merge == "concatenate" else 1, 1)
    for number in (0, 1):
        other = [image.clone() for image in images]
        other[number][..., 80 + 1 + reach :, :] += 1.0
        same = network(*images)[..., 80, :] - network(*other)[..., 80, :]
        assert same.abs().max() == 0
        assert (network(*images)[..., 80 + reach :, :] != network(*other)[..., 80 + reach :, :]).any()


def test_tiles_give_the_whole(disturb):
    """With one condition for all tiles, a tile with its margin gives what the whole map gives."""
    network = disturb(MultiUNet((1, 2), layers=2, base_filters=4, condition_channels=3))
    images, condition = [torch.randn(1, 1, 128, 16), torch.randn(1, 2, 128, 16)], torch.randn(1, 3, 1, 1)
    margin_ = -(-network.receptive_margin // 4) * 4
    whole = network(*images, condition)[..., 48:80, :]
    tile = network(*(x[..., 48 - margin_ : 80 + margin_, :] for x in images), condition)
    assert torch.allclose(tile[..., margin_ : margin_ + 32, :], whole, atol=1e-5)


def test_film_by_hand():
    """Scale 1 + 0.5 c and shift -c, for c = 2: 3 becomes 3 * 2 - 2 = 4."""
    film = FiLM(1, 1)
    with torch.no_grad():
        film.linear.weight.copy_(torch.tensor([[0.5], [-1.0]]))
    assert film(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 2.0)).item() == 4.0


def test_a_condition_changes_every_level():
    network = MultiUNet((1,), layers=3, base_filters=4, condition_channels=2).eval()
    x = torch.randn(1, 1, 16, 16)
    low, high = (network(x, torch.full((1, 2, 1, 1), value)) for value in (-3.0, 3.0))
    assert (low - high).abs().max() > 1e-5
    assert len(network.modulations) == 4


def test_an_unknown_number_is_its_own_condition():
    """NaN is neither 0 nor the centre, gives a finite condition, and has weights that learn."""
    block = ScalarEmbedding(8, centre=0.5, width=2.0)
    x = torch.tensor([0.5, float("nan"), 2.5, 0.5]).reshape(4, 1, 1, 1)
    y = block(x)
    assert torch.isfinite(y).all()
    assert torch.equal(y[0], y[3])
    assert (y[0] != y[1]).any()
    block(x[1:2]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in block.parameters())


def test_bad_input():
    network = MultiUNet((1, 2), layers=2, base_filters=4, condition_channels=3)
    x, y, condition = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 1, 1)
    for make, match in [
        (lambda: network(x, y), "needs 2 images and a condition, got 2 inputs"),
        (lambda: network(x, x, condition), r"needs image 1 of shape \(2, 8, 8\), got \(1, 8, 8\)"),
        (lambda: network(x, y[..., :4], condition), r"got \(2, 8, 4\)"),
        (lambda: network(x, y, condition[:, :2]), r"needs a condition of 3 channels \(C, 1, 1\), got \(2, 1, 1\)"),
        (lambda: MultiUNet(()), "in_channels: expected the channels of one image"),
        (lambda: MultiUNet((1,), layers=11), "layers: expected at most 10"),
        (lambda: MultiUNet((1, 1), branch_filters=0), "branch_filters: expected"),
        (lambda: MultiUNet((1,), convolutions=3), "convolutions: expected 1 or 2"),
        (lambda: make_merge("concatinate", [1, 1], 1), "merge: unknown name 'concatinate'.*concatenate"),
        (lambda: make_merge("known", [1, 1], 1), "merge 'known'.*in_channels"),
        (lambda: FiLM(0, 1), "in_channels: expected"),
        (lambda: FiLM(2, 1)(x, condition[:, :1]), "film needs 2 channels of features"),
        (lambda: ScalarEmbedding(2, width=0.0), "width: expected"),
        (lambda: ScalarEmbedding(2)(x), "needs one number an image"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            make()
