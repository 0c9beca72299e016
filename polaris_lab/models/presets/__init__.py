"""Blueprints by name: the report's networks, and those that beat them, with the blocks that make them see physics.

One file a family; importing this package registers all of them.
"""

from polaris_lab.models.presets.registry import (
    preset,
    preset_function,
    preset_names,
    register_preset,
    tiny_settings,
)
from polaris_lab.models.presets.unet import unet

__all__ = ["preset", "preset_function", "preset_names", "register_preset", "tiny_settings", "unet"]
