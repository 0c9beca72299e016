"""Recipes of pretrained networks: from seeds to clouds, patches, weights and the figures that they claim."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["choices", "gas", "patches", "shipping", "work"],
    submod_attrs={
        "choices": ["Recipe", "load_recipe", "recipe_names"],
        "shipping": ["pretrained", "ship"],
        "work": ["train_run"],
    },
)
