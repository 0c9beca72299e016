"""Kolmogorov-Arnold networks: learned curves on the edges in place of learned weights between fixed curves.

A convolution of this kind is a fixed expansion of each pixel into basis functions followed by one ordinary
convolution: that is how it is computed here. What it is good for is its interpretation: :mod:`.curves` gives the
curve N -> n that a pixel network has learned, :mod:`.pruning` removes the edges that it does without, and
:mod:`.symbolic` fits formulas to what is left; :mod:`.layers` does the same for the layers of K-Net and U-KAN.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["basis", "convolution", "curves", "layers", "library", "networks", "pruning", "symbolic"],
    submod_attrs={
        "convolution": ["KANConv"],
        "curves": ["LearnedCurve", "learned_curve"],
        "layers": ["LayerCurves", "LayerPruning", "kan_layers", "layer_curves", "prune_layers"],
        "networks": ["KANUNet", "PixelKAN"],
        "pruning": ["Pruning", "prune_kan"],
        "library": ["FORMULAS"],
        "symbolic": ["Formula", "edge_formulas", "fit_formula", "fit_formulas"],
    },
)
