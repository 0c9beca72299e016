"""What networks are shown of line cubes: by hand, against the library's moments, and free of v_LSR."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from polaris_lab import PPVCube
from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.spectra import CentreSpectra, SpectralEncoder, SpectralMoments, SpectralProjection
from polaris_lab.radiative_transfer.moments import moments


def cubes(channels: int = 32, shift: float = 0.0, count: int = 2) -> Tensor:
    """Gaussian lines of 1.2 channels whose centres wander smoothly by 3 channels, shape (count, V, 20, 20)."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(count, 2, 36, 36, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool2d(noise, 17, 1)
    smooth = smooth / smooth.std()
    centre = (channels - 1) / 2 + shift + 1.5 * smooth[:, :1]
    velocity = torch.arange(channels)[:, None, None]
    return 4 * torch.exp(0.3 * smooth[:, 1:]) * torch.exp(-0.5 * ((velocity - centre) / 1.2) ** 2)


def test_moments_are_those_of_the_library():
    """The same maps as `moments` gives, with the centroid from the middle of the band; NaN at the same pixels."""
    x = cubes()[:1] + 0.3 * torch.randn(1, 32, 20, 20, generator=torch.Generator().manual_seed(0))
    velocity = 0.2 * np.arange(32) + 5.0
    expected = moments(PPVCube(x[0].numpy(), velocity))
    found = SpectralMoments(32, channel_width=0.2)(x)[0].numpy()
    middle = velocity.mean()
    for values, reference in zip(found, expected, strict=True):
        reference = reference - middle if reference is expected.centroid else reference
        assert np.allclose(values, reference, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_moments_of_two_channels_by_hand():
    """1 K at +0.5 channels and 3 K at -0.5: W = 4 K ch, mean -0.25, variance 3/16."""
    x = torch.tensor([3.0, 1.0]).reshape(1, 2, 1, 1)
    expected = torch.tensor([4.0 * 2, -0.25 * 2, 2 * (3 / 16) ** 0.5, 3.0])
    assert torch.allclose(SpectralMoments(2, channel_width=2.0)(x).flatten(), expected)
    assert torch.isnan(SpectralMoments(2)(torch.zeros(1, 2, 1, 1)).flatten()[1:3]).all()


@pytest.mark.parametrize("channels", [3, -4])
def test_spectra_do_not_know_v_lsr(channels):
    """Move all gas by whole channels: what the network is shown does not change."""
    block = CentreSpectra(32, scale=4.0)
    still, moving = block(cubes()), block(cubes(shift=channels))
    assert (still - moving).abs().max() < 2e-5 * still.max()  # float64 cubes: what leaves the band
    other = block(cubes(shift=0.5))
    assert (still - other).abs().max() < 0.1 * still.max()  # between channels: linear interpolation


def test_differences_of_velocity_stay():
    """Two halves of a map 4 channels apart are so still, and the mean is in the middle channel."""
    velocity = torch.arange(24.0)[:, None, None]
    centre = torch.where(torch.arange(20) < 10, 10.0, 14.0)
    x = torch.exp(-0.5 * ((velocity - centre) / 1.2) ** 2).expand(1, 24, 20, 20)
    wide = CentreSpectra(24, scale=100.0)
    y = wide(x)
    place = (y * velocity).sum(1) / y.sum(1)
    assert torch.allclose(place[..., 15] - place[..., 5], torch.tensor(4.0), atol=0.02)
    assert place.mean() == pytest.approx(11.5, abs=0.05)


def test_the_answer_does_not_depend_on_tiles():
    block = CentreSpectra(32, scale=3.0)
    x = cubes(count=1)
    whole = block(x)[..., 7:13]
    margin = block.receptive_margin
    part = block(x[..., 7 - margin : 13 + margin])[..., margin : margin + 6]
    assert torch.allclose(whole, part, atol=1e-6)


def test_an_unknown_spectrum_is_zero_and_spoils_no_other():
    block = CentreSpectra(32, scale=3.0)
    x = cubes()
    holed = x.clone()
    holed[0, 5, 3, 4] = torch.nan
    y = block(holed)
    assert torch.isfinite(y).all()
    assert (y[0, :, 3, 4] == 0).all()
    assert torch.equal(y[1], block(x)[1])
    assert (block(torch.full_like(x, torch.nan)) == 0).all()


@pytest.mark.parametrize("channels", [2, 3, 7, 24])
def test_features_of_each_spectrum_alone(channels):
    """A spectrum has the features that it has anywhere else: pixels do not mix."""
    x = torch.rand(1, channels, 4, 5)
    for block in (SpectralEncoder(channels, 16), SpectralProjection(channels, 3)):
        y = block(x)
        assert y.shape[2:] == (4, 5)
        assert torch.allclose(block(x[..., 2:3, 1:2]), y[..., 2:3, 1:2], atol=1e-6)


@pytest.mark.parametrize("line", ["spectra", "projection", "moments", "integrated"])
def test_networks_do_not_know_v_lsr(line, log_maps):
    """All four forms of a line cube, in evaluation: the same answer at another v_LSR."""
    settings = {"velocity_channels": 32, "line": line, "line_features": 4, "layers": 2, "base_filters": 4}
    blueprint = Blueprint.preset(
        "multi_input", inputs=("column_density", "ppv_cube"), reference_scale=4.0, **settings
    )
    model = build_model(blueprint).eval()
    with torch.no_grad():
        model.nodes["network"].last.weight.mul_(30)  # an answer of 0.1 dex and more
    log_maps = log_maps[:2, :, :20, :20]
    with torch.no_grad():
        still, moving, none = (
            model({"column_density": log_maps, "ppv_cube": cube.float()})
            for cube in (cubes(), cubes(shift=3.0), 0 * cubes())
        )
    assert (still - moving).abs().max() < 1e-3
    assert (still - none).abs().max() > 1e-2  # it does look at the line


def test_wrong_number_of_channels(log_maps):
    for block in (CentreSpectra(8), SpectralEncoder(8), SpectralProjection(8), SpectralMoments(8)):
        with pytest.raises(
            ValueError, match=r"needs 8 velocity channels .* got \(9, 4, 4\); set in_channels=9"
        ):
            block(torch.zeros(1, 9, 4, 4))
    settings = {"velocity_channels": 8, "layers": 2, "base_filters": 4}
    model = build_model(Blueprint.preset("multi_input", inputs=("column_density", "ppv_cube"), **settings))
    with pytest.raises(ValueError, match=r"input 'ppv_cube': expected the shape \(N, 8, H, W\)"):
        model({"column_density": log_maps, "ppv_cube": torch.zeros(6, 9, 48, 48)})
    for make, match in [
        (lambda: CentreSpectra(1), "at least 2 velocity channels"),
        (lambda: CentreSpectra(8, scale=0.0), "scale: expected a positive"),
        (lambda: SpectralMoments(8, channel_width=-1.0), "channel_width: expected a positive"),
        (lambda: SpectralEncoder(8, 0), "out_channels: expected"),
    ]:
        with pytest.raises(ValueError, match=match):
            make()
