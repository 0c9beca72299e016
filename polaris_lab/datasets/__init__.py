"""Training sets: patches of cloud maps, how they are chosen, stored and cut."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "build",
        "channels",
        "emission",
        "emission_config",
        "normalize",
        "patch_config",
        "patches",
        "placement",
        "proposals",
        "propose",
        "recipe",
        "scoring",
        "split",
        "store",
        "windows",
    ],
    submod_attrs={
        "build": ["build_dataset"],
        "emission_config": ["EmissionConfig"],
        "normalize": ["LogNormalizer", "symmetry", "symmetry_of"],
        "patches": ["apply_tiled", "plan_overlapping", "plan_tiles"],
        "patch_config": ["PatchConfig"],
        "proposals": ["Proposals"],
        "propose": ["propose_patches"],
        "scoring": ["acceptance_probability", "difference_score", "smoothness_score"],
        "store": ["PatchDataset"],
    },
)
