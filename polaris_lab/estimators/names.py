"""Names of the estimators, without loading them: for the help of the command line."""

WITHOUT_TARGET = (
    "constrained_diffusion",
    "constrained_diffusion_3d",
    "aviator",
    "aviator_background",
    "inverse_modelling",
)
"""Those that have nothing to fit to a target."""

FITTED = (
    "thickness",
    "power_law",
    "power_law_2",
    "power_law_3",
    "multi_scale",
    "multi_scale_8",
    "turbulent_gravitational",
)
"""Those that need densities to be fitted to."""
