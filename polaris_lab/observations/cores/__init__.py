"""Dense cores: catalogues, the density of a core behind a mass-weighted mean, errors, mass functions, our own cores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["catalogue", "dendrogram", "density", "errors", "hgbs", "mass_function", "on_map", "opening"],
    submod_attrs={
        "catalogue": ["CatalogueWarning", "at_distance", "read_catalogue", "read_vizier", "select"],
        "dendrogram": ["find_cores"],
        "density": [
            "cloud_length",
            "core_density_from_background",
            "core_density_from_depth",
            "core_density_from_diffuse",
        ],
        "errors": ["CoreErrors", "core_errors"],
        "hgbs": ["read_hgbs"],
        "mass_function": ["CoreMassFunction", "core_mass_function"],
        "on_map": ["CoresOnMap", "cores_on_map"],
        "opening": ["open_catalogue"],
    },
)
