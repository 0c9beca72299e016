"""Slabs, clouds held out, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from polaris_lab import PatchConfig
from polaris_lab.datasets.split import Slab, choose_slab, face_axes, held_out_clouds, sentence, sides


def test_a_slab_has_its_share_of_the_mass_and_wastes_no_room():
    mass = np.ones(100)
    mass[60:] = 4.0  # the far end is dense
    slab = choose_slab(100, PatchConfig(patch_size=20), mass)
    assert slab.stop - slab.start == 20
    assert slab.start // 20 + (100 - slab.stop) // 20 == 4
    share = mass[slab.start : slab.stop].sum() / mass.sum()
    assert share in (pytest.approx(20 / 220), pytest.approx(80 / 220))  # of 0, 20, 40, 60, 80
    uneven = choose_slab(110, PatchConfig(patch_size=20), np.linspace(1, 3, 110))
    assert uneven.start // 20 + (110 - uneven.stop) // 20 == 4


@pytest.mark.parametrize(("position", "start"), [(0.0, 0), (1.0, 80), (0.5, 40)])
def test_a_slab_goes_where_it_is_told(position, start):
    slab = choose_slab(100, PatchConfig(patch_size=20, slab_position=position), np.ones(100))
    assert (slab.start, slab.stop) == (start, start + 20)


def test_a_slab_thinner_than_a_patch_is_refused_with_the_numbers():
    with pytest.raises(
        ValueError,
        match=r"one patch, 64 cells, got 0.2 of 128 cells along 'x' = 26; take validation_f.* >= 0.5",
    ):
        choose_slab(128, PatchConfig(patch_size=64), np.ones(128))
    with pytest.raises(ValueError, match=r"along 'x' = 0; take validation_fraction >= 0\.2, or split_by"):
        choose_slab(100, PatchConfig(patch_size=20, validation_fraction=1e-9), np.ones(100))
    with pytest.raises(ValueError, match="two patches of 64 cells side by side, got a box of 100 cells"):
        choose_slab(100, PatchConfig(patch_size=64), np.ones(100))
    with pytest.raises(ValueError, match="which leaves 10; take a smaller fraction"):
        choose_slab(100, PatchConfig(patch_size=20, validation_fraction=0.9), np.ones(100))
    config = PatchConfig(patch_size=40, validation_fraction=0.4, slab_position=0.5)
    with pytest.raises(ValueError, match="slab_position: expected 40 cells on one side"):
        choose_slab(100, config, np.ones(100))


@pytest.mark.parametrize(("axis", "along"), [("z", 1), ("y", 1)])
def test_sides_of_windows(axis, along):
    side = sides((60, 50), axis, Slab("x", 20, 32), 10)
    assert side.shape == (51, 41)
    assert face_axes(axis)[along] == "x"
    row = side[7]
    assert (row[20:23] == 1).all()  # 20..29 to 22..31 lie inside
    assert (row[:11] == 0).all()  # up to 10..19
    assert (row[32:] == 0).all()
    assert (row[11:20] == -1).all()
    assert (row[23:32] == -1).all()


def test_sides_along_rows():
    side = sides((60, 50), "y", Slab("z", 0, 12), 10)
    assert (side[:3] == 1).all()
    assert (side[3:12] == -1).all()
    assert (side[12:] == 0).all()


def test_clouds_are_held_out_by_seed_or_by_name():
    names = ["a", "b", "c", "d", "e"]
    config = PatchConfig(split_by="cloud", validation_fraction=0.4)
    assert len(held_out_clouds(names, config)) == 2
    assert held_out_clouds(names, config) == held_out_clouds(names, config)
    draws = {held_out_clouds(names, PatchConfig(split_by="cloud", seed=seed)) for seed in range(20)}
    assert len(draws) > 2
    named = PatchConfig(split_by="cloud", validation_clouds=("d", "b"))
    assert held_out_clouds(names, named) == ("b", "d")


def test_clouds_that_cannot_be_held_out():
    config = PatchConfig(split_by="cloud")
    with pytest.raises(ValueError, match="at least 2 clouds, got 1"):
        held_out_clouds(["a"], config)
    with pytest.raises(ValueError, match="unknown cloud 'orion': did you mean 'orion_b'"):
        held_out_clouds(["orion_b", "taurus"], PatchConfig(split_by="cloud", validation_clouds=("orion",)))
    with pytest.raises(ValueError, match="at least one cloud left for training"):
        held_out_clouds(["a", "b"], PatchConfig(split_by="cloud", validation_clouds=("a", "b")))


def test_what_reports_say():
    slab = sentence(PatchConfig(), 0.05, {"fog": Slab("x", 0, 26)}, ())
    assert "fog: x = 0 .. 1.3 pc" in slab
    assert "lines of sight along x are dropped" in slab
    assert "held out for validation: b" in sentence(PatchConfig(split_by="cloud"), 0.05, {}, ("b",))
    assert "same gas is seen on both sides" in sentence(PatchConfig(split_by="shuffle"), 0.05, {}, ())
