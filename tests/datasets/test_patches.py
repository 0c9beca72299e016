"""Cutting a map into tiles and putting it together again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from polaris_lab.datasets.patches import (
    apply_tiled,
    blend_window,
    plan_overlapping,
    plan_tiles,
    read_window,
    reflect_index,
    tile_origins,
)

SHAPES = [(300, 300), (64, 64), (65, 63), (17, 400), (1, 1), (5, 128)]


@pytest.fixture
def image():
    return np.random.default_rng(3).normal(size=(211, 173)).astype(np.float32)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize("pad", [0, 1, 6, 20])
def test_reflection_is_that_of_numpy(length, pad):
    expected = np.pad(np.arange(length), pad, mode="reflect")
    assert np.array_equal(reflect_index(np.arange(-pad, length + pad), length), expected)


def test_a_window_inside_is_a_copy(image):
    window = read_window(image, (10, 20), (5, 7))
    assert np.array_equal(window, image[10:15, 20:27])
    window[:] = 0
    assert image[10, 20] != 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("tile", "margin", "multiple"), [(96, 20, 8), (64, 0, 16), (33, 16, 1)])
def test_cores_cover_every_pixel_exactly_once(shape, tile, margin, multiple):
    count = np.zeros(shape, int)
    plan = plan_tiles(shape, tile=tile, margin=margin, multiple=multiple)
    for part in plan:
        count[part.core] += 1
        assert all(start % multiple == 0 for start in part.origin)
        assert all(side % multiple == 0 and side <= tile for side in part.shape)
        assert part.shape == plan.tile_shape
        for core, inside, origin, side in zip(part.core, part.inside, part.origin, part.shape, strict=True):
            assert origin + inside.start == core.start  # the same pixels in both frames
            assert inside.start >= margin
            assert side - inside.stop >= margin
    assert (count == 1).all()


@pytest.mark.parametrize("shape", [*SHAPES, (331, 1000)])
@pytest.mark.parametrize(("tile", "margin", "multiple"), [(96, 20, 8), (64, 0, 16), (33, 16, 1)])
def test_tiles_within_the_map(shape, tile, margin, multiple):
    """Each pixel once, with the margin towards every other tile, and no more read beyond the map than the multiple."""
    count = np.zeros(shape, int)
    plan = plan_tiles(shape, tile=tile, margin=margin, multiple=multiple, within=True)
    for part in plan:
        count[part.core] += 1
        assert all(start % multiple == 0 and start >= 0 for start in part.origin)
        assert all(side % multiple == 0 and side <= tile for side in part.shape)
        assert part.shape == plan.tile_shape
        for core, inside, origin, side, length in zip(
            part.core, part.inside, part.origin, part.shape, shape, strict=True
        ):
            assert origin + inside.start == core.start
            assert inside.start >= margin or core.start == 0
            assert side - inside.stop >= margin or core.stop == length
            assert origin + side < length + multiple
    assert (count == 1).all()


def test_tiles_within_the_map_read_less_and_see_what_the_whole_shows(image):
    """The border of the map is the border of the network, as in one pass over the whole."""

    def network(part):
        return ndimage.uniform_filter(part[0], 9, mode="nearest")

    plan = plan_tiles(image.shape, tile=64, margin=4, within=True)
    values, _ = apply_tiled(network, image, plan)
    assert np.abs(values - network(image[None])).max() < 1e-6
    assert len(plan_tiles((64, 64), tile=64, margin=8, within=True)) == 1
    read = {
        within: sum(
            math.prod(part.shape) for part in plan_tiles((2048, 2048), tile=1024, margin=56, within=within)
        )
        for within in (True, False)
    }
    assert read[True] <= 2048**2 / 0.8 < read[False]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("tile", "overlap", "multiple"), [(64, 0.5, 16), (32, 0.0, 8), (48, 0.7, 1)])
def test_blend_weights_add_up_to_one_everywhere(shape, tile, overlap, multiple):
    """The identity network gives the identical map back, right and bottom remainders included."""
    image = np.random.default_rng(1).lognormal(size=shape).astype(np.float32)
    plan = plan_overlapping(shape, tile=tile, overlap=overlap, multiple=multiple)
    values, coverage = apply_tiled(lambda part: part[0], image, plan)
    assert np.array_equal(values, image)
    assert coverage.min() >= 1
    assert all(start % multiple == 0 for part in plan for start in part.origin)


def test_the_identity_network_returns_a_map_of_300_pixels_whole():
    """The earlier code covered 72.8 % of it."""
    image = np.random.default_rng(1).lognormal(size=(300, 300)).astype(np.float32)
    for plan in (
        plan_overlapping(image.shape, tile=128, overlap=0.5),
        plan_tiles(image.shape, tile=128, margin=20),
    ):
        values, coverage = apply_tiled(lambda part: part[0], image, plan)
        assert np.array_equal(values, image)
        assert (coverage > 0).all()


@pytest.mark.parametrize(("tile", "multiple"), [(40, 1), (64, 8), (200, 4), (1000, 1)])
def test_a_convolution_does_not_see_where_tiles_begin(image, tile, multiple):
    """Two layers of 5 x 5 with a nonlinearity reach 4 pixels; a margin of 4 hides every border."""
    kernels = np.random.default_rng(5).normal(size=(2, 5, 5)).astype(np.float32)

    def network(part):
        hidden = np.tanh(ndimage.convolve(part[0], kernels[0], mode="constant"))
        return ndimage.convolve(hidden, kernels[1], mode="constant")

    padded = np.pad(image, 12, mode="reflect")
    whole = network(padded[None])[12:-12, 12:-12]
    values, coverage = apply_tiled(
        network, image, plan_tiles(image.shape, tile=tile, margin=4, multiple=multiple)
    )
    assert np.abs(values - whole).max() < 1e-6 * np.abs(whole).max()
    assert (coverage == 1).all()


def test_a_margin_below_the_reach_shows_seams(image):
    """The test above can fail: with a margin of 2 the same network does see the borders."""
    kernel = np.ones((9, 9), np.float32)
    wide = [
        apply_tiled(
            lambda part: ndimage.convolve(part[0], kernel, mode="constant"),
            image,
            plan_tiles(image.shape, tile=tile, margin=2),
        )[0]
        for tile in (40, 64)
    ]
    assert np.abs(wide[0] - wide[1]).max() > 0.1


def test_a_strided_network_keeps_its_grid(image):
    """Average pooling by 8 and nearest upsampling is the same for every tiling with origins at multiples of 8."""

    def network(part):
        rows, columns = part.shape[1] // 8, part.shape[2] // 8
        pooled = part[0].astype(float).reshape(rows, 8, columns, 8).mean(axis=(1, 3))
        return pooled.repeat(8, axis=0).repeat(8, axis=1)

    results = [
        apply_tiled(network, image, plan_tiles(image.shape, tile=tile, margin=8, multiple=8))[0]
        for tile in (32, 72, 400)
    ]
    assert np.allclose(results[0], results[1], rtol=0, atol=1e-12)
    assert np.allclose(results[0], results[2], rtol=0, atol=1e-12)


def test_nan_of_one_tile_leaves_the_pixel_to_the_others():
    image = np.ones((64, 64))

    def network(part):
        result = part[0].copy()
        result[-3:] = np.nan  # a tile that does not trust its last rows
        return result

    values, coverage = apply_tiled(network, image, plan_overlapping((64, 64), tile=32, overlap=0.5))
    assert np.isnan(values[-3:]).all()
    assert (coverage[-3:] == 0).all()
    assert np.array_equal(values[:-3], image[:-3])


def test_several_channels_and_several_results():
    image = np.random.default_rng(0).normal(size=(2, 50, 70))
    plan = plan_tiles((50, 70), tile=40, margin=4)
    values, _ = apply_tiled(lambda part: np.stack([part[0] + part[1], part[0], -part[1]]), image, plan)
    assert np.array_equal(values, np.stack([image[0] + image[1], image[0], -image[1]]))


def test_weights_fall_smoothly_to_the_tile_border():
    window = blend_window(64)
    assert window.min() > 0
    assert np.allclose(window, window[::-1], rtol=1e-12)
    assert (np.diff(window[:32]) > 0).all()


def test_margin_larger_than_the_tile_is_refused_with_the_size_needed():
    with pytest.raises(ValueError, match=r"expected at least 144 pixels.*got 100; enlarge the tile"):
        plan_tiles((300, 300), tile=100, margin=60, multiple=16)


@pytest.mark.parametrize("overlap", [1.0, -0.1, 1.5, float("nan"), "half"])
def test_overlap_out_of_range(overlap):
    with pytest.raises(ValueError, match="overlap: expected a fraction"):
        plan_overlapping((300, 300), tile=64, overlap=overlap)


def test_overlapping_tile_must_fit_the_stride():
    with pytest.raises(ValueError, match=r"multiple of 16 pixels.*got 60; take 64"):
        plan_overlapping((300, 300), tile=60, multiple=16)


def test_bad_numbers_and_shapes():
    with pytest.raises(ValueError, match="multiple: expected a whole number of at least 1, got 0"):
        tile_origins(100, tile=10, multiple=0)
    with pytest.raises(ValueError, match="expected \\(rows, columns\\)"):
        plan_tiles((3, 100, 100), tile=10, margin=0)
    with pytest.raises(ValueError, match="expected shape \\(C, 20, 20\\) as planned"):
        apply_tiled(lambda part: part[0], np.zeros((20, 21)), plan_tiles((20, 20), tile=10, margin=0))
    with pytest.raises(ValueError, match="expected a result of shape"):
        apply_tiled(lambda part: part[0, 1:], np.zeros((20, 20)), plan_tiles((20, 20), tile=10, margin=0))
