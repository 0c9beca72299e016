"""Logarithms and the symmetries of the square."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polaris_lab.datasets.normalize import LogNormalizer, inverse_symmetry, symmetry


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(2, 3, 5, 5))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_logarithm_and_back(kind):
    values = kind(np.geomspace(1e-3, 1e24, 30))
    logs = LogNormalizer().forward(values)
    assert np.allclose(np.asarray(logs), np.linspace(-3, 24, 30))
    assert np.allclose(np.asarray(LogNormalizer().backward(logs)), np.asarray(values))


@pytest.mark.parametrize("value", [0.0, -3.0, np.inf])
def test_no_logarithm_of_zero(value):
    with pytest.raises(ValueError, match="expected positive finite numbers"):
        LogNormalizer().forward(np.array([1.0, value]))
    assert np.isnan(LogNormalizer().forward(np.array([np.nan]))).all()


def test_eight_different_symmetries(image):
    turned = [symmetry(image, number) for number in range(8)]
    assert len({part.tobytes() for part in turned}) == 8
    assert np.array_equal(turned[0], image)
    assert np.array_equal(turned[4], image[..., ::-1])
    assert all(np.array_equal(np.sort(part, axis=None), np.sort(image, axis=None)) for part in turned)


@pytest.mark.parametrize("number", range(8))
def test_inverse(image, number):
    assert np.array_equal(symmetry(symmetry(image, number), inverse_symmetry(number)), image)


def test_they_form_a_group(image):
    """Any two in a row are one of the eight."""
    known = {symmetry(image, number).tobytes() for number in range(8)}
    for first in range(8):
        seen = {symmetry(symmetry(image, first), second).tobytes() for second in range(8)}
        assert seen == known


@pytest.mark.parametrize("number", range(8))
def test_tensors_turn_like_arrays(image, number):
    assert np.array_equal(symmetry(torch.as_tensor(image), number).numpy(), symmetry(image, number))


@pytest.mark.parametrize("number", [-1, 8, 1.5, True])
def test_unknown_symmetry(image, number):
    with pytest.raises(ValueError, match="expected a symmetry from 0 to 7"):
        symmetry(image, number)


def test_only_squares_turn():
    with pytest.raises(ValueError, match="expected square maps"):
        symmetry(np.zeros((3, 4)), 1)
