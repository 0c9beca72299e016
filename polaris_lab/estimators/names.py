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

_XU = "Xu et al. 2023 (ApJ 950, 146), the form compared with there"
_LI = "Li 2022 (ApJS 259, 59); Li & Zhao 2025 (arXiv 2509.17369)"
_AVIATOR = "Hasenberger & Alves 2020 (A&A 633, A132)"

PAPERS = {
    "power_law": _XU,
    "power_law_2": _XU,
    "power_law_3": _XU,
    "constrained_diffusion": f"{_LI}; Zhao et al. 2025 (arXiv 2508.01130)",
    "constrained_diffusion_3d": _LI,
    "aviator": _AVIATOR,
    "aviator_background": _AVIATOR,
    "turbulent_gravitational": "after the idea of Gaches & Grudic 2025 (A&A 696, A20)",
    "inverse_modelling": "after the idea of Orkisz & Kainulainen 2025 (A&A 697, A20)",
}
"""What to cite for an estimator; those that are not here are ours."""
