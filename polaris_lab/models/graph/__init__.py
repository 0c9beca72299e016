"""Graphs of structures: superpixels of a map or structures of its dendrogram, and messages between neighbours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["context", "dendrogram", "messages", "regions"],
    submod_attrs={
        "context": ["GraphContext"],
        "dendrogram": ["dendrogram_regions"],
        "messages": ["MessagePassing"],
        "regions": ["RegionGraph", "region_graph", "superpixels"],
    },
)
