"""Choices: defaults, JSON, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polaris_lab import PatchConfig
from polaris_lab.config import from_dict, to_dict


def test_the_defaults_are_those_of_the_report_s_code():
    config = PatchConfig()
    assert (config.steepness, config.offset, config.weights) == (2.0, 1.0, (1.0, 0.5, 5.0))
    assert (config.patch_size, config.min_separation, config.split_by) == (64, 1.0, "slab")


def test_through_json_and_back():
    config = PatchConfig.by_quantile(
        patch_size=32, validation_clouds=("a",), split_by="cloud", slab_position=0.5
    )
    assert from_dict(PatchConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_numpy_numbers_are_numbers():
    config = PatchConfig(patch_size=np.int64(32), steepness=np.float32(3), weights=tuple(np.ones(3)))
    assert to_dict(config) == to_dict(PatchConfig(patch_size=32, steepness=3.0, weights=(1.0, 1.0, 1.0)))


def test_an_unknown_key_is_named():
    with pytest.raises(ValueError, match="did you mean 'patch_size'"):
        from_dict(PatchConfig, {"patchsize": 64})


def test_quantiles_have_the_sigmoid_of_figure_46():
    config = PatchConfig.by_quantile()
    assert (config.score_scale, config.steepness, config.offset) == ("quantile", 7.0, 0.5)


def test_separation_in_pixels():
    assert PatchConfig(patch_size=64).separation_pixels == 64
    assert PatchConfig(patch_size=10, min_separation=0.75).separation_pixels == 8
    assert PatchConfig(patch_size=100, min_separation=1.1).separation_pixels == 110


def test_the_normal_of_the_slab_gives_no_patches():
    assert PatchConfig(slab_axis="y").used_lines_of_sight == ("z", "x")
    assert PatchConfig(split_by="shuffle").used_lines_of_sight == ("z", "y", "x")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"patch_size": 3}, "patch_size: expected at least 4, got 3"),
        ({"patch_size": 64.0}, "patch_size: expected a whole number, got 64.0"),
        ({"patches_per_face": 0}, "patches_per_face: expected at least 1, got 0; None takes"),
        ({"attempts": 0}, "attempts: expected at least 1"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"packing": 1}, "packing: expected True or False, got 1"),
        ({"min_separation": 0}, "min_separation: expected a finite number above 0, got 0"),
        ({"low_column_density": -0.1}, "low_column_density: expected a finite number from 0"),
        ({"low_density_fraction": 1.1}, "low_density_fraction: expected a number from 0 to 1, got 1.1"),
        ({"steepness": -2}, "steepness: expected a finite number from 0, got -2"),
        ({"steepness": "2"}, "steepness: expected a number, got '2'"),
        ({"offset": float("nan")}, "offset: expected a finite number, got nan"),
        ({"validation_fraction": 0}, "validation_fraction: expected"),
        ({"validation_fraction": 1.0}, "validation_fraction: expected"),
        ({"slab_position": 2.0}, "slab_position: expected a number from 0 to 1, got 2.0"),
        ({"weights": (1, 2)}, "weights: expected three"),
        ({"weights": (1, 2, -1)}, "weights: expected a finite number from 0, got -1"),
        ({"weights": 1}, "weights: expected a tuple, got 1"),
        ({"split_by": "slabs"}, "split_by: unknown 'slabs': did you mean 'slab'"),
        ({"score_scale": "quantiles"}, "did you mean 'quantile'"),
        ({"slab_axis": 2}, "slab_axis: unknown 2"),
        ({"lines_of_sight": ("z", "z")}, "lines_of_sight: expected different names"),
        ({"lines_of_sight": "zyx"}, "lines_of_sight: expected a tuple"),
        ({"lines_of_sight": ("x",)}, "expected one other than the slab's normal 'x'"),
        ({"quantities": ("column_density",)}, "at least one density to learn"),
        ({"quantities": ("column_density", "mass_weighted")}, "did you mean 'mass_weighted_density'"),
    ],
)
def test_bad_choices(choices, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PatchConfig(**choices)
