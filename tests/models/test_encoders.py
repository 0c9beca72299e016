"""Blocks between inputs and encoders: what is unknown is neutral, surroundings are relative, and all are scaled."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models.context import ContextContrast, ContextEncoder
from polaris_lab.models.encoders import Known, ScaledInput, TakeChannels

NAN = float("nan")


def test_scaled_input_by_hand():
    """Mean 2, deviation 1 of {1, 3}; with arcsinh the deviation is about 0: sqrt(5)."""
    x = torch.tensor([[[[1.0, 3.0, NAN]]]])
    plain, compressed = ScaledInput(), ScaledInput(compression="arcsinh")
    for block in (plain, compressed):
        block.fit(x, target=x)
    assert plain(x).flatten().tolist() == [-1.0, 1.0, 0.0]
    assert compressed(x).flatten().tolist() == pytest.approx(
        [0.43351, 1.10359, 0.0], abs=1e-4
    )  # arcsinh(1 / sqrt 5) ...
    untouched = ScaledInput()
    untouched.fit(torch.full((1, 1, 2, 2), NAN), target=x)  # a line that nobody observed
    assert float(untouched.deviation) == 1.0
    constant = ScaledInput()
    constant.fit(torch.full((1, 1, 2, 2), 7.0), target=x)
    assert torch.equal(constant(torch.full((1, 1, 1, 1), 7.0)), torch.zeros(1, 1, 1, 1))


def test_known_needs_all_channels_of_all_inputs():
    cube = torch.zeros(1, 3, 1, 3)
    cube[0, 1, 0, 1] = NAN
    assert Known()(cube, torch.tensor([[[[0.0, 0.0, float("inf")]]]])).flatten().tolist() == [1.0, 0.0, 0.0]


def test_a_context_is_relative_to_its_mean():
    """N -> lambda N changes nothing; blank pixels are 0, take no part in the mean, and are marked."""
    x = torch.tensor([[[[21.0, 22.0], [NAN, 23.0]]]])
    block = ContextContrast()
    block.fit(x, target=x)
    y = block(x)
    deviation = (2 / 3) ** 0.5
    assert y[0, 0].flatten().tolist() == pytest.approx([-1 / deviation, 0.0, 0.0, 1 / deviation], abs=1e-6)
    assert y[0, 1].flatten().tolist() == [1.0, 1.0, 0.0, 1.0]
    assert torch.allclose(block(x + 0.75), y, atol=1e-5)
    assert (block(torch.full_like(x, NAN)) == 0).all()


def test_a_context_encoder_takes_small_and_large_maps():
    encoder = ContextEncoder(3, 5)
    for size in (4, 12, 64):
        condition = encoder(torch.randn(2, 2, size, size), torch.rand(2, 1, size, size))
        assert condition.shape == (2, 5, 1, 1)
    blank = encoder(torch.zeros(1, 2, 8, 8), torch.full((1, 1, 8, 8), NAN))
    assert torch.isfinite(blank).all()


def test_bad_input():
    x = torch.zeros(1, 2, 4, 4)
    for make, match in [
        (lambda: ScaledInput(compression="log"), "compression: expected one of"),
        (lambda: ScaledInput(in_channels=0), "in_channels: expected"),
        (lambda: ScaledInput(in_channels=3)(x), "needs 3 channels.*set in_channels=2"),
        (lambda: TakeChannels(1, 2)(x), "needs 3 channels or more, got 2"),
        (lambda: TakeChannels(-1), "first, count: expected"),
        (lambda: ContextEncoder(3)(x), "needs 3 channels, got 2"),
        (lambda: ContextEncoder(0), "in_channels: expected"),
    ]:
        with pytest.raises(ValueError, match=match):
            make()
