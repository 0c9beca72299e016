"""What a network need not look at for a part of the answer changes nothing of that part, and costs nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polaris_lab.datasets.patches import apply_tiled, plan_tiles
from polaris_lab.models import Blueprint, build_model
from polaris_lab.observations.predict_network import MapNetwork

KEPT = (slice(0, 40), slice(72, 120))


def trained(blueprint):
    """Return a network whose last layer is not zero."""
    model = build_model(blueprint).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def column(shape, seed=0):
    rough = np.random.default_rng(seed).normal(size=shape)
    x = 21 + 0.02 * np.cumsum(np.cumsum(rough, 0), 1)
    x[50:55, 60:70] = np.nan
    return x.astype(np.float32)


@pytest.mark.parametrize("head", ["point", "gaussian"])
def test_the_part_that_is_kept_is_that_of_the_whole_answer(head):
    model = trained(Blueprint.preset("unet", layers=2, base_filters=4, reference_scale=8.0, head=head))
    x = torch.from_numpy(column((160, 192)))[None, None]
    with torch.inference_mode():
        whole = model({"column_density": x})
        part = model({"column_density": x}, kept=KEPT)
    assert part.shape == whole.shape
    torch.testing.assert_close(part[..., *KEPT], whole[..., *KEPT], rtol=0, atol=5e-6, equal_nan=True)
    assert part[..., 150:, :].isnan().all()  # it was left out


def test_the_network_sees_less():
    model = trained(Blueprint.unet(layers=2, base_filters=4, reference_scale=8.0))
    assert model.front == ("contrast",)
    assert model.receptive_margin - model.inner_margin == 16
    shapes = []
    model.nodes["correction"].register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape[2:]))
    with torch.inference_mode():
        model({"column_density": torch.full((1, 1, 160, 192), 21.0)}, kept=KEPT)
    assert shapes[0][0] <= 40 + model.inner_margin + model.stride
    assert shapes[0][1] <= 48 + 2 * model.inner_margin + 2 * model.stride


@pytest.mark.parametrize(
    "blueprint",
    [
        Blueprint.unet(layers=2, base_filters=4, scale_equivariant=False),
        Blueprint.preset("context_unet", layers=2, base_filters=4),
    ],
    ids=["without contrast", "with a context"],
)
def test_others_see_all(blueprint):
    model = build_model(blueprint)
    assert model.front == ()
    assert model.inner_margin == model.receptive_margin


@pytest.mark.parametrize("symmetries", [False, True])
def test_a_map_in_tiles_is_the_map_at_once(symmetries):
    model = trained(Blueprint.unet(layers=2, base_filters=4, reference_scale=8.0))
    network = MapNetwork((model,), symmetries=symmetries)
    image = column((200, 260))
    whole = network(image[None])
    plan = plan_tiles(image.shape, tile=128, margin=network.margin, multiple=network.stride, within=True)
    kept = iter([tile.inside for tile in plan])
    values, coverage = apply_tiled(lambda tile: network(tile, next(kept)), image, plan)
    np.testing.assert_allclose(values, whole, atol=5e-6)
    assert (coverage[np.isfinite(image)] == 1).all()
    assert network.spared == 16
