"""A compact conservative solver of turbulent, self-gravitating isothermal gas; PyTorch is loaded when it runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["checkpoints", "cloud", "compiled", "flow", "forces", "hydro", "settings"],
    submod_attrs={
        "cloud": ["simulate"],
        "flow": ["Simulation"],
        "settings": ["SimulationConfig", "SimulationRecord"],
    },
)
