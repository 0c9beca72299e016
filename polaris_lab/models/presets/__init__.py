"""Blueprints by name: the report's networks, and those that beat them, with the blocks that make them see physics.

One file a family; importing this package registers all of them.
"""

from polaris_lab.models.presets.context import context_unet
from polaris_lab.models.presets.generative import bridge, diffusion, diffusion_xu, flow_matching, invertible
from polaris_lab.models.presets.graph import graph_unet
from polaris_lab.models.presets.kan import just_kan, knet, ukan, unet_and_kan
from polaris_lab.models.presets.multi import multi_input
from polaris_lab.models.presets.registry import (
    preset,
    preset_function,
    preset_names,
    register_preset,
    tiny_settings,
)
from polaris_lab.models.presets.unet import unet
from polaris_lab.models.presets.volume import volume

__all__ = [
    "bridge",
    "context_unet",
    "diffusion",
    "diffusion_xu",
    "flow_matching",
    "graph_unet",
    "invertible",
    "just_kan",
    "knet",
    "multi_input",
    "preset",
    "preset_function",
    "preset_names",
    "register_preset",
    "tiny_settings",
    "ukan",
    "unet",
    "unet_and_kan",
    "volume",
]
