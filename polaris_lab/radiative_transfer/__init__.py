"""What a telescope would see of a cloud: line cubes in LTE, their products, and the telescope itself."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["lines", "lte"],
    submod_attrs={
        "lines": ["Line"],
        "lte": [
            "equivalent_temperature",
            "integrated_optical_depth",
            "level_populations",
            "line_width",
            "partition_function",
        ],
    },
)
