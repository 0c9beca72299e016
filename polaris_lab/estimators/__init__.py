"""Classical estimators of the density, without a network: what every network is compared with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "broken_power_law",
        "constrained_diffusion",
        "maps",
        "multi_scale",
        "power_law",
        "registry",
        "smoothing",
        "thickness",
    ],
    submod_attrs={
        "broken_power_law": ["BrokenPowerLaw", "fit_broken_power_law"],
        "constrained_diffusion": ["ConstrainedDiffusion", "ConstrainedDiffusion3D", "decompose"],
        "maps": ["Estimator"],
        "multi_scale": ["MultiScale", "fit_multi_scale"],
        "power_law": ["PowerLaw", "fit_power_law"],
        "registry": ["ESTIMATORS", "WITHOUT_TARGET", "fit_estimator"],
        "thickness": ["Thickness", "fit_thickness"],
    },
)
