"""Classical estimators of the density, without a network: what every network is compared with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["power_law"],
    submod_attrs={"power_law": ["PowerLaw", "fit_power_law"]},
)
