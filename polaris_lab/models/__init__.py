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
        "bounds",
        "build",
        "context",
        "contrast",
        "convolutions",
        "draft",
        "draft_shapes",
        "encoders",
        "film",
        "fitting",
        "graph",
        "generative",
        "heads",
        "inputs",
        "inspect",
        "kan",
        "merge",
        "multi_unet",
        "node",
        "precision",
        "presets",
        "reference",
        "registry",
        "residuals",
        "schema",
        "source",
        "storage",
        "summary",
        "unet",
        "unet_cubes",
        "spectra",
        "volume",
    ],
    submod_attrs={
        "blueprint": ["Blueprint"],
        "build": ["BlueprintModel", "build_model", "check_shapes", "parameter_count"],
        "draft": ["Draft"],
        "generative": ["Generative"],
        "heads": ["GaussianHead", "Head", "PointHead", "QuantileHead"],
        "node": ["Node"],
        "presets": ["preset_names", "register_preset"],
        "precision": ["best_precision"],
        "registry": ["block_names", "register_block"],
        "source": ["to_python"],
        "storage": ["load_model", "save_model"],
    },
)
