"""Public data by name: what there is, where it lies, and getting it here whole."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["content", "download", "listing", "store", "unpack"],
    submod_attrs={
        "content": ["ContentError"],
        "download": ["DownloadError"],
        "listing": ["Item", "item", "items"],
        "store": ["fetch", "fetch_local"],
    },
)
