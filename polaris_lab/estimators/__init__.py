"""Classical estimators of the density, without a network: what every network is compared with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "aviator",
        "broken_power_law",
        "constrained_diffusion",
        "inscribed",
        "inverse_modelling",
        "maps",
        "multi_scale",
        "names",
        "power_law",
        "registry",
        "slices",
        "smoothing",
        "thickness",
        "turbulent_gravitational",
    ],
    submod_attrs={
        "aviator": ["Aviator"],
        "broken_power_law": ["BrokenPowerLaw", "fit_broken_power_law"],
        "constrained_diffusion": ["ConstrainedDiffusion", "ConstrainedDiffusion3D", "decompose"],
        "inverse_modelling": ["InverseModelling"],
        "maps": ["Estimator"],
        "multi_scale": ["MultiScale", "fit_multi_scale"],
        "power_law": ["PowerLaw", "fit_power_law"],
        "registry": ["ESTIMATORS", "WITHOUT_TARGET", "estimate_density", "fit_estimator"],
        "thickness": ["Thickness", "fit_thickness"],
        "turbulent_gravitational": ["TurbulentGravitational", "fit_turbulent_gravitational"],
    },
)
