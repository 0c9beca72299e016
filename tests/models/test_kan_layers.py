"""The curves of the layers of K-Net and U-KAN: what they add up to, what pruning removes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.kan import fit_formula, kan_layers, layer_curves, prune_layers
from polaris_lab.models.presets import tiny_settings

NAMES = ("knet", "ukan", "just_kan", "unet_and_kan")


@pytest.fixture
def network(log_maps, log_target):
    """Networks whose features have the statistics of some maps, and whose curves do something."""

    def network(name: str, **settings):
        model = build_model(Blueprint.preset(name, **tiny_settings(name), **settings))
        model.fit_constants({"column_density": log_maps}, log_target)
        with torch.no_grad():
            list(kan_layers(model).values())[-1].convolution.weight.mul_(10)
            model.train()({"column_density": log_maps})
        return model.eval()

    return network


@pytest.mark.parametrize("basis", ["radial", "spline"])
@pytest.mark.parametrize("name", ["knet", "ukan"])
def test_curves_add_up_to_the_layer(name, basis, network):
    """On uniform features the layer answers with the sum of its curves, and its offset."""
    model = network(name, basis=basis)
    for path, layer in kan_layers(model).items():
        curves = layer_curves(model, path, points=25)
        norm = layer.normalization
        rng = np.random.default_rng(1)
        places = rng.integers(25, size=curves.y.shape[2])  # another value of each feature
        seen = torch.from_numpy(curves.x[places]).float()  # (in,)
        image = norm.running_mean + seen * (norm.running_var + 1e-5).sqrt()
        with torch.no_grad():
            answer = layer(image[None, :, None, None].expand(1, -1, 5, 5))[0, :, 2, 2]
        added = curves.y[places, :, np.arange(len(places))].sum(axis=0)  # (out,)
        expected = torch.from_numpy(added).float() + layer.convolution.bias.detach()
        torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_pruning_says_what_it_changes(name, network, log_maps):
    model = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    inputs = {"column_density": log_maps[:2]}
    _, nothing = prune_layers(model, inputs, threshold=0.0)
    assert nothing.max_error == 0
    reports = [prune_layers(model, inputs, threshold=threshold) for threshold in (0.1, 0.4)]
    (pruned, report), (_, harder) = reports
    left, all_of_them = report.curves
    assert harder.curves[0] < left <= all_of_them == nothing.curves[0]
    with torch.no_grad():
        error = (pruned(inputs) - model(inputs)).numpy()
    assert report.rms_error == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-3, abs=1e-9)
    assert report.max_error == pytest.approx(np.abs(error).max(), rel=1e-3, abs=1e-9)
    for path, kept in harder.kept.items():
        assert layer_curves(reports[1][0], path).spread[~kept] == pytest.approx(0, abs=1e-12)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_curve_without_effect_is_removed_without_error(network, log_maps):
    model = network("knet")
    layer = kan_layers(model)["correction.unet.last.layer"]
    with torch.no_grad():
        layer.convolution.weight.view(1, 5, 4)[:, :, 2] = 0
    _, report = prune_layers(model, {"column_density": log_maps[:1]}, threshold=1e-6)
    assert report.kept["correction.unet.last.layer"].tolist() == [[True, True, False, True]]
    assert report.max_error < 1e-6


def test_the_strongest_curve_has_a_formula(network):
    """A curve that is set to SiLU's own is found, and followed to its error."""
    model = network("knet")
    with torch.no_grad():
        weight = kan_layers(model)["correction.unet.last.layer"].convolution.weight.view(1, 5, 4)
        weight.mul_(0.01)
        weight[0, -1, 1] = 3.0
    curves = layer_curves(model)
    assert curves.strongest(1) == [(0, 1)]
    formula = fit_formula(curves.x, curves.y[:, 0, 1], tolerance=0.3)
    assert formula.rms < 0.3
    difference = formula(curves.x) - curves.y[:, 0, 1]
    assert formula.rms == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-6)


def test_where_there_are_no_curves(network, log_maps):
    for name, settings in (("unet", {}), ("ukan", {"form": "bottleneck"})):
        model = build_model(Blueprint.preset(name, **tiny_settings(name), **settings))
        for call in (
            lambda model=model: layer_curves(model),
            lambda model=model: prune_layers(model, {"column_density": log_maps}),
        ):
            with pytest.raises(ValueError, match=r"a layer of curves, got .* knet, ukan"):
                call()
    model = network("knet")
    with pytest.raises(
        ValueError, match=r"layer: unknown path 'correction.last'.*correction.unet.last.layer"
    ):
        layer_curves(model, "correction.last")
    with pytest.raises(ValueError, match="points: expected at least 8, got 2"):
        layer_curves(model, points=2)
    with pytest.raises(ValueError, match="threshold: expected a share from 0 to below 1, got 1"):
        prune_layers(model, {"column_density": log_maps}, threshold=1)
