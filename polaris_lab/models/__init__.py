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
        "node",
        "presets",
        "reference",
        "registry",
        "summary",
        "unet",
    ],
    submod_attrs={
        "blueprint": ["Blueprint"],
        "build": ["BlueprintModel", "build_model", "check_shapes", "parameter_count"],
        "node": ["Node"],
        "registry": ["block_names", "register_block"],
    },
)
