"""Presets by name."""

from __future__ import annotations

import pytest

from polaris_lab.models import Blueprint, preset_names, register_preset
from polaris_lab.models.presets import tiny_settings


def test_a_preset_is_found_by_its_name():
    assert "unet" in preset_names()
    assert Blueprint.preset("unet", layers=2, base_filters=4) == Blueprint.unet(2, 4)


def test_unknown_presets_and_settings_are_met_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'unet'"):
        Blueprint.preset("u_net")
    with pytest.raises(ValueError, match="preset 'unet': unknown setting 'lairs': did you mean 'layers'"):
        Blueprint.preset("unet", lairs=3)


def test_a_name_belongs_to_one_preset():
    with pytest.raises(ValueError, match="taken"):
        register_preset("unet")(lambda: Blueprint.unet(2, 4))
    with pytest.raises(ValueError, match="expected a name"):
        register_preset("my net")


def test_every_preset_has_settings_that_make_it_small():
    for name in preset_names():
        assert Blueprint.preset(name, **tiny_settings(name)).outputs
