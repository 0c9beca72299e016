"""Placing patches on a face: tests, jams and layouts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polaris_lab.datasets.placement import Ground, _room, best_layout, place


def ground(shape=(385, 385), *, separation=128, probability=1.0):
    return Ground(np.full(shape, probability), np.zeros(shape, bool), np.zeros(shape, bool), separation)


def put(face, *, seed=0, candidates=800, attempts=50, wanted=None, packing=True):
    rng = np.random.default_rng(seed)
    return place(face, candidates=candidates, attempts=attempts, wanted=wanted, packing=packing, rng=rng)


def distances(origin):
    return [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in itertools.combinations(origin.tolist(), 2)]


@pytest.mark.parametrize("seed", range(5))
def test_random_placement_jams_and_packing_fills(seed):
    """A face of 512 holds 16 patches of 128; random placement finds about 8."""
    random = put(ground(), seed=seed, packing=False)
    found = (random.fate == "accepted").sum()
    assert 5 <= found <= 12
    assert "jammed" in random.note
    packed = put(ground(), seed=seed)
    kept = packed.origin[packed.fate == "accepted"]
    assert len(kept) == 16
    assert f"jammed at {found} of 16" in packed.note
    assert "packed anew with 16" in packed.note
    assert (packed.fate == "repacked").sum() == found
    assert min(distances(kept)) >= 128
    assert kept.min() >= 0
    assert kept.max() < 385


@pytest.mark.parametrize("separation", [32, 48, 64, 90])
def test_accepted_patches_keep_their_distance(separation):
    for packing in (False, True):
        placement = put(ground((200, 130), separation=separation, probability=0.5), packing=packing)
        kept = placement.origin[placement.fate == "accepted"]
        assert min(distances(kept)) >= separation


def test_too_close_means_too_close():
    """Every candidate that failed at distance is nearer than allowed to one accepted before it, no other is."""
    placement = put(ground((200, 200), separation=40), packing=False)
    taken = []
    for origin, fate in zip(placement.origin.tolist(), placement.fate.tolist(), strict=True):
        near = any(max(abs(origin[0] - a[0]), abs(origin[1] - a[1])) < 40 for a in taken)
        assert near == (fate == "too close")
        if fate == "accepted":
            taken.append(origin)


def test_wanted_patches_are_enough():
    placement = put(ground(), wanted=3)
    assert (placement.fate == "accepted").sum() == 3
    assert placement.fate[-1] == "accepted"  # no candidate is drawn after the last
    assert placement.note == ""


def test_wanted_patches_are_found_by_packing_when_random_placement_jams():
    placement = put(ground(), wanted=14)
    assert (placement.fate == "accepted").sum() == 14


def test_order_of_the_tests():
    face = ground((100, 100), separation=10, probability=0.0)
    face.diffuse[:50] = True
    face.across[:, :50] = True
    placement = put(face)
    for (row, column), fate in zip(placement.origin.tolist(), placement.fate.tolist(), strict=True):
        assert fate == ("too diffuse" if row < 50 else "across the slab" if column < 50 else "score")


def test_the_score_is_passed_with_its_probability():
    face = ground((1000, 1000), separation=1, probability=0.3)
    placement = put(face, candidates=4000, packing=False)
    share = (placement.fate == "accepted").mean()
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 4000))


def test_packing_meets_the_score_test_too():
    """A place of a layout is drawn `attempts` times: 1 - (1 - f)^attempts of them are taken."""
    face = ground((1000, 1000), separation=25, probability=0.02)
    placement = put(face, candidates=1, attempts=20)
    packed = placement.fate[placement.stage == "packing"]
    assert len(packed) == 1600
    expected = 1 - 0.98**20
    assert (packed == "accepted").mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 1600))


@pytest.mark.parametrize(
    ("shape", "separation"), [((385, 385), 128), ((7, 50), 8), ((64, 33), 11), ((1, 1), 5)]
)
def test_room_on_an_open_face_is_that_of_the_best_layout(shape, separation):
    """Counted without a search, it must be what the search finds."""
    face = ground(shape, separation=separation)
    assert _room(face) == len(best_layout(np.ones(shape), face))
    face.across[0, 0] = True
    assert _room(face) == len(best_layout(np.ones(shape), face))


def test_impossible_scores_place_nothing():
    placement = put(ground(probability=0.0))
    assert not (placement.fate == "accepted").any()


def test_a_layout_avoids_what_is_closed():
    face = ground((385, 385))
    face.across[:, 60:250] = True
    layout = best_layout(np.ones((385, 385)), face)
    assert not face.across[tuple(layout.T)].any()
    assert len(layout) == 4 * 3  # columns from 0..59 and from 250..384 hold one and two
    assert min(distances(layout)) >= 128


def test_the_best_layout_is_the_best():
    """Against every choice of columns, for one row of patches."""
    rng = np.random.default_rng(2)
    face = ground((1, 14), separation=4)
    value = rng.uniform(size=(1, 14))
    best = max(
        sum(value[0, list(chosen)])
        for count in range(1, 5)
        for chosen in itertools.combinations(range(14), count)
        if all(b - a >= 4 for a, b in itertools.pairwise(chosen))
    )
    layout = best_layout(value, face)
    assert value[tuple(layout.T)].sum() == pytest.approx(best)


def test_the_same_seed_gives_the_same():
    first, second, other = (put(ground(probability=0.4), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.origin, second.origin)
    assert np.array_equal(first.fate, second.fate)
    assert not np.array_equal(first.origin[:5], other.origin[:5])
