"""Fitted blocks: closed forms, agreement with the classical estimator, blanks, state."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.estimators import fit_power_law
from polaris_lab.models import fitting
from polaris_lab.models.contrast import LocalContrast
from polaris_lab.models.fitting import line, mean_and_deviation
from polaris_lab.models.reference import (
    AddResidual,
    Destandardize,
    EquivariantPowerLaw,
    Offset,
    PowerLawBaseline,
    Standardize,
)


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
    monkeypatch.setattr(fitting, "CHUNK", 2)
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


def test_residual_needs_equal_shapes():
    with pytest.raises(ValueError, match=r"add_residual needs equal shapes, got \(1, 4, 4\) and \(8, 4, 4\)"):
        AddResidual()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 8, 4, 4))
