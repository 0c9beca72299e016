"""The local contrast: the masked mean against scipy, its reach, symmetry, digits and blanks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from polaris_lab.models.contrast import LocalContrast


def scipy_contrast(x: np.ndarray, scale: float, truncation: float) -> np.ndarray:
    """Normalised convolution: the Gaussian mean of valid pixels."""
    valid = np.isfinite(x)
    choices = {"sigma": scale, "truncate": truncation, "mode": "constant"}
    total = ndimage.gaussian_filter(np.where(valid, x, 0.0), **choices)
    weight = ndimage.gaussian_filter(valid.astype(float), **choices)
    return np.where(valid, x, 0.0) - np.divide(total, weight, out=np.zeros_like(x), where=valid)


@pytest.mark.parametrize(("scale", "truncation"), [(1.0, 2.0), (4.0, 3.0), (16.0, 2.0)])
@pytest.mark.parametrize("shape", [(70, 45), (5, 90), (1, 1)])
def test_local_mean_is_the_masked_gaussian_mean(scale, truncation, shape):
    x = np.random.default_rng(0).normal(21.5, 0.5, shape)
    x[: shape[0] // 3, : shape[1] // 2] = np.nan
    contrast = LocalContrast(scale=scale, truncation=truncation)
    got = contrast(torch.from_numpy(x)[None, None])[0, 0].numpy()
    # The window is stored in float32: 1e-7 of the contrast.
    np.testing.assert_allclose(got, scipy_contrast(x, scale, truncation), atol=3e-7)


def test_contrast_in_float32_keeps_its_digits(log_maps):
    contrast = LocalContrast()
    difference = contrast(log_maps) - contrast(log_maps.double())
    assert difference.abs().max() < 3e-6  # the spacing of float32 at 21 is 2e-6


def test_contrast_keeps_its_digits_under_autocast(log_maps):
    contrast = LocalContrast()
    expected = contrast(log_maps)
    with torch.autocast("cpu", torch.bfloat16):
        got = contrast(log_maps)
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


def test_contrast_has_no_level(log_maps):
    contrast = LocalContrast()
    torch.testing.assert_close(contrast(log_maps + 1.37), contrast(log_maps), rtol=0, atol=8e-6)


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-2, -1)])
def test_contrast_has_no_direction(log_maps, turn):
    contrast = LocalContrast(scale=5.0)
    x = log_maps[..., :40, :].double()
    torch.testing.assert_close(contrast(turn(x)), turn(contrast(x)), rtol=0, atol=1e-12)


def test_contrast_reaches_as_far_as_stated():
    contrast = LocalContrast(scale=3.0, truncation=2.5)
    assert contrast.receptive_margin == 8
    x = torch.randn(1, 1, 60, 60, requires_grad=True)
    contrast(x)[0, 0, 30, 25].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert (int((rows - 30).abs().max()), int((columns - 25).abs().max())) == (8, 8)


def test_blanks_spoil_no_neighbour(log_maps):
    """A blank has no weight in the mean of its neighbours, and is itself 0: the mean."""
    x = log_maps[:1].clone()
    x[..., 10:20, 12:15] = torch.nan
    x[..., 0, 0] = -torch.inf
    got = LocalContrast(scale=2.0)(x)
    assert torch.isfinite(got).all()
    assert (got[..., 10:20, 12:15] == 0).all()
    far = LocalContrast(scale=2.0)(log_maps[:1])
    assert torch.equal(got[..., 30:, 30:], far[..., 30:, 30:])


def test_all_blank_gives_zero():
    assert (LocalContrast()(torch.full((1, 1, 8, 8), torch.nan)) == 0).all()


def test_fitted_contrast_has_unit_deviation(log_maps, log_target):
    contrast = LocalContrast(scale=6.0)
    contrast.fit(log_maps, target=log_target)
    assert float(contrast(log_maps).std(correction=0)) == pytest.approx(1, rel=1e-5)
    again = float(contrast.deviation)
    contrast.fit(log_maps, target=log_target)
    assert float(contrast.deviation) == again


def test_fit_of_the_contrast_leaves_blanks_out(log_maps, log_target):
    contrast = LocalContrast(scale=2.0)
    x = log_maps.clone()
    x[3:] = torch.nan
    contrast.fit(x, target=log_target)
    expected = LocalContrast(scale=2.0)
    expected.fit(log_maps[:3], target=log_target[:3])
    assert float(contrast.deviation) == pytest.approx(float(expected.deviation), rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match="scale: expected a positive number of pixels"):
        LocalContrast(scale=scale)


@pytest.mark.parametrize("truncation", [0.5, 6.0, float("nan")])
def test_bad_truncation(truncation):
    with pytest.raises(ValueError, match="truncation: expected a radius of 1 to 5 times the scale"):
        LocalContrast(truncation=truncation)
