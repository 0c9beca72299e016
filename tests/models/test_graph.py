"""The graph of structures: regions, neighbours, messages, and the context that pixels get from them."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.graph import (
    GraphContext,
    MessagePassing,
    dendrogram_regions,
    region_graph,
    superpixels,
)
from polaris_lab.models.presets import tiny_settings
from polaris_lab.training import Patches, TrainingConfig, fit


@pytest.fixture
def block():
    return GraphContext(out_channels=5, size=4, rounds=2, width=6, iterations=1)


def test_adjacency_of_a_map_made_by_hand():
    """Regions 0 1 / 2 3 around a hole: 0 touches 1 along two pixels and 2 along one; 1 and 2 meet at a corner only."""
    labels = torch.tensor([[[0, 0, 1], [0, 0, 1], [2, -1, 3]]])
    graph = region_graph(labels, 4)
    table = torch.zeros(4, 4)
    table[graph.edges[0], graph.edges[1]] = graph.border
    assert table.tolist() == [[0, 2, 1, 0], [2, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]


def test_images_of_a_batch_have_no_edges_between_them():
    x = 21 + torch.randn(3, 16, 16)
    graph = region_graph(superpixels(x, size=4), 3 * 16)
    assert torch.equal(graph.edges[0] // 16, graph.edges[1] // 16)
    assert len(graph.edges[0]) > 100


def test_superpixels_follow_the_edge_of_a_structure():
    """A bright square that no cell fits: no superpixel has pixels on both sides."""
    x = torch.full((1, 24, 24), 21.0)
    x[:, 6:18, 6:18] = 22.0
    labels = superpixels(x, size=4, iterations=3, tolerance=0.1)
    inside, outside = set(labels[x > 21.5].tolist()), set(labels[x < 21.5].tolist())
    assert not inside & outside
    sizes = torch.bincount(labels.flatten())
    assert sizes.max() < 4 * 16


def test_superpixels_depend_on_contrast_only():
    x = torch.randn(2, 20, 24, dtype=torch.float64)
    assert torch.equal(superpixels(x, size=4), superpixels(x + 21.37, size=4))
    assert torch.equal(superpixels(x, size=4), superpixels(x, size=4))


def test_superpixels_leave_blanks_out():
    x = 21 + torch.randn(1, 16, 16)
    x[:, 3:9, 4:12] = torch.nan
    labels = superpixels(x, size=4)
    assert torch.equal(labels == -1, torch.isnan(x))
    assert (superpixels(torch.full((1, 8, 8), torch.nan), size=4) == -1).all()


def test_superpixels_stay_within_a_cell_of_their_own():
    labels = superpixels(torch.randn(1, 40, 40), size=5, iterations=4)[0]
    rows, columns = torch.meshgrid(torch.arange(40) // 5, torch.arange(40) // 5, indexing="ij")
    assert ((labels // 8 - rows).abs() <= 1).all()
    assert ((labels % 8 - columns).abs() <= 1).all()


def test_order_of_nodes_does_not_matter():
    torch.manual_seed(0)
    layer = MessagePassing(4, 2).double()
    nodes = torch.randn(7, 4, dtype=torch.float64)
    edges = torch.randint(0, 7, (2, 20))
    features = torch.randn(20, 2, dtype=torch.float64)
    order, edge_order = torch.randperm(7), torch.randperm(20)
    place = order.argsort()
    got = layer(nodes[order], place[edges[:, edge_order]], features[edge_order])
    torch.testing.assert_close(got, layer(nodes, edges, features)[order], rtol=0, atol=1e-12)


def test_separate_graphs_exchange_nothing():
    layer = MessagePassing(3, 1)
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    nodes = torch.randn(5, 3)
    before = layer(nodes, edges, torch.ones(4, 1))
    nodes = nodes.clone()
    nodes[2] += 1
    after = layer(nodes, edges, torch.ones(4, 1))
    assert torch.equal(before[[0, 1, 4]], after[[0, 1, 4]])
    assert not torch.equal(before[3], after[3])


def test_blanks_between_two_clouds_separate_them(block):
    """Each half of a map that a blank strip divides answers as if the other were not there."""
    x = 21 + torch.randn(1, 1, 24, 40)
    x[..., 16:20] = torch.nan
    other = x.clone()
    other[..., 20:] = 21 + torch.randn(1, 1, 24, 20)
    torch.testing.assert_close(block(x)[..., :16], block(other)[..., :16], rtol=0, atol=1e-5)
    assert not torch.allclose(block(x)[..., 20:], block(other)[..., 20:], atol=1e-3)


def test_pixels_of_a_structure_share_its_context(block):
    x = 21 + 0.3 * torch.randn(2, 1, 20, 24)
    context = block(x).movedim(1, -1)  # (N, H, W, C)
    labels = block.graph(x).labels
    for label in labels.unique()[:20]:
        pixels = context[labels == label]
        assert torch.equal(pixels, pixels[:1].expand_as(pixels))
    assert len(context.flatten(0, 2).unique(dim=0)) > 20


def test_blanks_get_no_context_and_spoil_nobody(block):
    x = 21 + torch.randn(1, 1, 20, 20)
    x[..., 4:9, 5:7] = torch.nan
    out = block(x)
    assert torch.isfinite(out).all()
    assert not out[0, :, 4:9, 5:7].any()
    assert torch.isfinite(block(torch.full((1, 1, 8, 8), torch.nan))).all()


def test_gradient_reaches_weights_and_map(block):
    x = (21 + torch.randn(2, 1, 24, 24)).requires_grad_()
    block(x).square().sum().backward()
    assert [name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert x.grad.abs().gt(0).float().mean() > 0.5


def test_brighter_map_same_context(block):
    block, x = block.double(), 21 + torch.randn(1, 1, 24, 24, dtype=torch.float64)
    torch.testing.assert_close(block(x + 1.234), block(x), rtol=0, atol=1e-9)
    assert not torch.allclose(block(2 * x), block(x), atol=1e-2)


@pytest.mark.parametrize("structures", ["superpixels", "dendrogram"])
def test_nothing_comes_from_beyond_the_margin(structures):
    """What changes far from a pixel does not reach it; a tile with the margin around it is enough."""
    block = GraphContext(
        size=3, rounds=1, iterations=1, structures=structures, window=12, tolerance=0.5
    ).double()
    margin, stride = block.receptive_margin, block.stride
    assert (margin, stride) == ((20, 3) if structures == "superpixels" else (23, 12))
    x = 21 + torch.randn(1, 1, 96, 96, dtype=torch.float64)
    whole = block(x)
    other = x.clone()
    other[..., 48 + margin + 1 :, :] += torch.randn(1, 1, 96 - 48 - margin - 1, 96, dtype=torch.float64)
    # The block subtracts the mean of all pixels, rounded, which leaves rounding behind and nothing else.
    torch.testing.assert_close(block(other)[..., :49, :], whole[..., :49, :], rtol=0, atol=1e-9)
    assert not torch.allclose(block(other)[..., 60:, :], whole[..., 60:, :], atol=1e-3)
    tile = block(x[..., 24:84, 24:84])[..., 24:36, 24:36]
    torch.testing.assert_close(tile, whole[..., 48:60, 48:60], rtol=0, atol=1e-9)


def test_dendrogram_finds_two_peaks():
    """Two hills on a slope: a structure each, and what is around them another; the level does not matter."""
    y, x = np.mgrid[:32, :32]
    hills = sum(np.exp(-((y - 16) ** 2 + (x - c) ** 2) / 20) for c in (9, 23))
    image = torch.from_numpy(21 + 0.01 * x + hills)[None]
    labels, nodes = dendrogram_regions(image, min_height=0.2, min_pixels=5)
    left, right, corner = (int(labels[0, row, column]) for row, column in ((16, 9), (16, 23), (0, 0)))
    assert len({left, right, corner}) == 3
    assert nodes > max(left, right, corner)
    shifted, _ = dendrogram_regions(image + 0.7, min_height=0.2, min_pixels=5)
    assert torch.equal(shifted, labels)
    image[0, 3, 4] = torch.nan
    assert dendrogram_regions(image)[0][0, 3, 4] == -1


def test_without_astrodendro_the_error_names_the_way_out(monkeypatch):
    found = builtins.__import__

    def without(name, *rest, **more):
        if name == "astrodendro":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match='pip install astrodendro, or use structures="superpixels"'):
        dendrogram_regions(torch.zeros(1, 8, 8))


def test_meta_device_gives_the_shape():
    with torch.device("meta"):
        assert GraphContext(out_channels=7)(torch.empty(2, 1, 30, 41)).shape == (2, 7, 30, 41)


@pytest.mark.parametrize("structures", ["superpixels", "dendrogram"])
@pytest.mark.parametrize("head", ["point", "gaussian"])
def test_preset_learns(structures, head, learns):
    model = learns(
        Blueprint.preset(
            "graph_unet", **tiny_settings("graph_unet"), structures=structures, window=48, head=head
        )
    )
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if "structures" in name] == []


@pytest.mark.parametrize("name", ["graph_unet", "just_kan", "knet", "ukan", "unet_and_kan"])
def test_the_training_loop_takes_it(name, log_maps, log_target):
    """With symmetries, channels-last images and a validation set."""
    maps, target = 10 ** log_maps[:, 0].double().numpy(), 10 ** log_target[:, 0].double().numpy()
    patches = [Patches.from_arrays({"column_density": maps[s]}, target[s]) for s in (slice(4), slice(4, 6))]
    model = build_model(Blueprint.preset(name, **tiny_settings(name)))
    model.fit_constants(patches[0].inputs, patches[0].target)
    config = TrainingConfig(epochs=2, batch_size=2, device="cpu")
    records = list(fit(model, *patches, config=config))
    assert len(records) == 2
    assert np.isfinite([record.validation_loss for record in records]).all()


def test_preset_is_scale_equivariant_and_free_of_the_tile(log_maps, log_target):
    settings = tiny_settings("graph_unet") | {"layers": 1, "rounds": 0, "reference_scale": 2.0}
    model = build_model(Blueprint.preset("graph_unet", **settings))
    model = model.fit_constants({"column_density": log_maps}, log_target).double().eval()
    x = torch.cat([log_maps.double().reshape(1, 1, 288, 48)] * 3, dim=-1)  # (1, 1, 288, 144)
    x[..., 100:104, 60:90] = torch.nan
    whole = model({"column_density": x})
    brighter = model({"column_density": x + 1.234})
    torch.testing.assert_close(brighter - whole, 0 * whole + 1.234, rtol=0, atol=1e-9, equal_nan=True)
    margin, stride = model.receptive_margin, model.stride
    assert stride == 4
    top, left = (80 - margin) // stride * stride, (64 - margin) // stride * stride
    tile = model({"column_density": x[..., top : 120 + margin, left : 84 + margin]})
    got = tile[..., 80 - top : 120 - top, 64 - left : 84 - left]
    torch.testing.assert_close(got, whole[..., 80:120, 64:84], rtol=0, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 1}, "size: expected at least 2 pixels, got 1"),
        ({"rounds": -1}, "rounds: expected a whole number of at least 0, got -1"),
        ({"out_channels": 0}, "out_channels: expected a whole number of at least 1, got 0"),
        ({"iterations": 0}, "iterations: expected a whole number of at least 1, got 0"),
        ({"window": 0}, "window: expected a whole number of at least 1, got 0"),
        ({"tolerance": 0.0}, "tolerance: expected a positive difference in dex, got 0.0"),
        ({"structures": "dendogram"}, "structures: unknown name 'dendogram': did you mean 'dendrogram'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        GraphContext(**settings)


def test_bad_presets_name_the_node():
    with pytest.raises(ValueError, match="node 'structures': size: expected at least 2 pixels, got 0"):
        Blueprint.preset("graph_unet", size=0)
    with pytest.raises(TypeError, match=r"node 'structures'\.rounds: expected int, got 1\.5"):
        Blueprint.preset("graph_unet", rounds=1.5)
    with pytest.raises(ValueError, match=r"graph_context needs 1 input channels, got \(2, 8, 8\)"):
        GraphContext()(torch.zeros(1, 2, 8, 8))
