"""Fitted blocks: closed forms, the masked local mean against scipy, scale equivariance, blanks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from polaris_lab.estimators import fit_power_law
from polaris_lab.models import reference
from polaris_lab.models.reference import (
    AddResidual,
    Destandardize,
    EquivariantPowerLaw,
    LocalContrast,
    Offset,
    PowerLawBaseline,
    Standardize,
    line,
    mean_and_deviation,
)


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


def test_standardize(log_maps, log_target):
    block = Standardize()
    block.fit(log_maps, target=log_target)
    z = block(log_maps)
    assert float(z.mean()) == pytest.approx(0, abs=1e-4)
    assert float(z.std(correction=0)) == pytest.approx(1, rel=1e-5)
    assert float(block(torch.tensor([[[[torch.nan]]]]))) == 0


def test_destandardize_gives_the_target_its_level_and_spread(log_maps, log_target):
    block = Destandardize()
    block.fit(target=log_target)
    values = block(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)).flatten().double()
    assert float(values[0]) == pytest.approx(float(log_target.double().mean()), rel=1e-6)
    assert float(values[1] - values[0]) == pytest.approx(
        float(log_target.double().std(correction=0)), rel=1e-5
    )


def test_power_law_is_the_estimators(log_maps, log_target):
    """The same line as the classical estimator fits, and the residual's scale is its scatter."""
    block, residual = PowerLawBaseline(), AddResidual()
    block.fit(log_maps, target=log_target)
    residual.fit(block(log_maps), target=log_target)
    law = fit_power_law(10 ** log_maps.double().numpy(), 10 ** log_target.double().numpy())
    assert float(block.slope) == pytest.approx(law.slope, rel=1e-6)
    assert float(block.value - block.slope * block.centre) == pytest.approx(law.intercept, rel=1e-5)
    assert float(residual.scale) == pytest.approx(law.rms_dex, rel=1e-4)


def test_equivariant_power_law_recovers_its_constants(log_maps):
    contrast = LocalContrast(scale=6.0)(log_maps)
    block = EquivariantPowerLaw()
    block.fit(log_maps, contrast, target=log_maps.double() - 18.5 + 0.7 * contrast.double())
    assert float(block.offset) == pytest.approx(-18.5, rel=1e-6)
    assert float(block.slope) == pytest.approx(0.7, rel=1e-5)


def test_offset_is_the_mean_ratio(log_maps):
    block = Offset()
    block.fit(log_maps, target=log_maps - 18)
    assert float(block.offset) == pytest.approx(-18, abs=1e-5)


def test_baselines_leave_blanks_blank():
    x = torch.tensor([21.0, torch.nan]).reshape(1, 1, 1, 2)
    zero = torch.zeros_like(x)
    for value in (PowerLawBaseline()(x), EquivariantPowerLaw()(x, zero), Offset()(x), AddResidual()(x, zero)):
        assert torch.isnan(value).flatten().tolist() == [False, True]


def test_perfect_baseline_needs_no_correction(log_target):
    block = AddResidual()
    block.fit(log_target, target=log_target)
    assert float(block.scale) == 1


def test_sums_over_chunks_are_sums_over_all(log_maps, log_target, monkeypatch):
    expected = (*mean_and_deviation(log_maps), *line(log_maps, log_target))
    monkeypatch.setattr(reference, "CHUNK", 2)
    assert (*mean_and_deviation(log_maps), *line(log_maps, log_target)) == pytest.approx(expected, rel=1e-12)


def test_statistics_run_in_float64():
    """float32 sums of values near 21 would lose a spread of 1e-3."""
    x = 21 + 1e-3 * torch.randn(40, 1, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    single = x.float()
    assert mean_and_deviation(single) == pytest.approx(
        (float(single.double().mean()), float(single.double().std(correction=0))), rel=1e-10
    )


def test_constants_are_saved(log_maps, log_target):
    block = PowerLawBaseline()
    block.fit(log_maps, target=log_target)
    copy = PowerLawBaseline()
    copy.load_state_dict(block.state_dict())
    assert torch.equal(copy(log_maps), block(log_maps))
    assert list(LocalContrast().state_dict()) == ["deviation"]


@pytest.mark.parametrize("block", [Standardize(), LocalContrast(scale=2.0), PowerLawBaseline()])
def test_constant_maps_teach_nothing(block):
    x = torch.full((2, 1, 8, 8), 21.5)
    with pytest.raises(ValueError, match="expected values that differ, got the same"):
        block.fit(x, target=torch.randn(2, 1, 8, 8))


def test_blank_maps_teach_nothing():
    blank = torch.full((2, 1, 8, 8), torch.nan)
    with pytest.raises(ValueError, match="expected finite log10 values, got none"):
        Standardize().fit(blank, target=blank)
    with pytest.raises(ValueError, match="at least 2 pixels finite in input and target, got 0"):
        PowerLawBaseline().fit(blank, target=torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match="scale: expected a positive number of pixels"):
        LocalContrast(scale=scale)


@pytest.mark.parametrize("truncation", [0.5, 6.0, float("nan")])
def test_bad_truncation(truncation):
    with pytest.raises(ValueError, match="truncation: expected a radius of 1 to 5 times the scale"):
        LocalContrast(truncation=truncation)


def test_residual_needs_equal_shapes():
    with pytest.raises(ValueError, match=r"add_residual needs equal shapes, got \(1, 4, 4\) and \(8, 4, 4\)"):
        AddResidual()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 8, 4, 4))
