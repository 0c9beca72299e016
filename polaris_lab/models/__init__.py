"""Networks as blueprints: named blocks wired by name, stored as JSON, built as PyTorch modules.

Extension: a block of your own (an ``nn.Module`` whose constructor takes JSON keywords) becomes known to
blueprints with :func:`register_block`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "blocks",
        "blueprint",
        "build",
        "contrast",
        "fitting",
        "heads",
        "inputs",
        "node",
        "presets",
        "reference",
        "registry",
        "residuals",
        "summary",
        "unet",
    ],
    submod_attrs={
        "blueprint": ["Blueprint"],
        "build": ["BlueprintModel", "build_model", "check_shapes", "parameter_count"],
        "heads": ["GaussianHead", "Head", "PointHead", "QuantileHead"],
        "node": ["Node"],
        "presets": ["preset_names", "register_preset"],
        "registry": ["block_names", "register_block"],
    },
)
