"""The networks with a time: sizes, locality, what reaches what, and the parameters of the paper's."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models.generative.ddpm_unet import DDPMUNet
from polaris_lab.models.generative.time_unet import TimeUNet


@pytest.mark.parametrize("size", [(32, 32), (21, 37), (3, 5), (1, 1)])
def test_any_size_goes_through(size):
    time = torch.tensor([0.1, 0.9])
    for network in (TimeUNet(2, 3, layers=2, base_filters=4), DDPMUNet(2, 3, 8, (1, 2), 1, (1,))):
        out = network(torch.randn(2, 2, *size), time)
        assert out.shape == (2, 3, *size)
        assert torch.isfinite(out).all()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_pixel_reaches_as_far_as_is_said_and_no_further(layers):
    network = TimeUNet(1, 1, layers=layers, base_filters=8).double()
    margin, size = network.receptive_margin, 2 * network.receptive_margin + 3 * 2**layers
    reached = 0
    for row in range(size // 2, size // 2 + 2**layers):
        x = (
            torch.randn(1, 1, 8, size, dtype=torch.float64)
            .repeat_interleave(2**layers, dim=2)
            .requires_grad_()
        )
        network(x, torch.tensor([0.4]))[0, 0, :, row].sum().backward()
        touched = (x.grad[0, 0].abs().sum(dim=0) > 0).nonzero()[:, 0]
        reached = max(reached, int((touched - row).abs().max()))
    assert reached == margin


def test_an_answer_does_not_depend_on_the_rest_of_the_image():
    """Normalisation over channels only: a crop with the margin gives the same numbers as the whole."""
    network = TimeUNet(1, 1, layers=2, base_filters=8).double()
    x, time = torch.randn(1, 1, 128, 128, dtype=torch.float64), torch.tensor([0.7])
    pad = -(-network.receptive_margin // 4) * 4
    crop = network(x[..., 32 - pad : 64 + pad, 40 - pad : 72 + pad], time)[..., pad:-pad, pad:-pad]
    torch.testing.assert_close(crop, network(x, time)[..., 32:64, 40:72], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["time", "ddpm"])
def test_time_and_every_parameter_matter(kind):
    network = TimeUNet(2, 1, 2, 8) if kind == "time" else DDPMUNet(2, 1, 8, (1, 2), 1, (1,))
    x = torch.randn(2, 2, 16, 16)
    early, late = (network(x, torch.full((2,), time)) for time in (0.05, 0.95))
    assert float((early - late).detach().abs().max()) > 1e-4
    (early**2).sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a key's offset adds the same number to all scores of a query: softmax does not see it
    assert [name for name in still if not name.endswith("attention.key.bias")] == []


def test_the_papers_network_has_the_papers_parameters():
    """Xu et al. 2023: 128 channels times 1, 2, 3, 4, two blocks a level, attention at 16^2 of 128^2: 85.3 million."""
    with torch.device("meta"):
        network = DDPMUNet(in_channels=2, out_channels=1)
        count = sum(p.numel() for p in network.parameters())
        assert network(torch.empty(1, 2, 128, 128), torch.empty(1)).shape == (1, 1, 128, 128)
    assert count == 85_253_121
    assert round(count / 1e6, 1) == 85.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TimeUNet(0), "in_channels: expected a whole number of at least 1, got 0"),
        (lambda: TimeUNet(layers=11), "layers: expected at most 10"),
        (
            lambda: TimeUNet(2)(torch.zeros(1, 3, 8, 8), torch.zeros(1)),
            r"needs 2 input channels, got \(3, 8, 8\)",
        ),
        (lambda: DDPMUNet(base_filters=7), "expected an even base_filters"),
        (lambda: DDPMUNet(attention_levels=(4,)), "attention_levels: expected levels from 0 to 3"),
        (lambda: DDPMUNet(dropout=1.0), "dropout: expected a probability"),
        (
            lambda: DDPMUNet(2, 1, 8, (1,), 1, ())(torch.zeros(1, 1, 8, 8), torch.zeros(1)),
            "needs 2 input channels",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
