"""How good is a predicted density: pure functions of pairs of maps in physical units.

Unless it says otherwise a function takes `predicted` and `target`, densities [cm^-3] of shape (images, y, x) or (y, x),
positive; pixels that are NaN in either are ignored. Residuals are log10(predicted / target) [dex], so that a positive
one is an over-estimate. Every logarithm is base 10, but for the slope of a PDF, which needs none.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "accuracies",
        "calibration_scores",
        "dense_gas",
        "distribution",
        "regions",
        "residuals",
        "shared",
        "spatial",
        "structure",
        "summary",
        "volume",
    ],
    submod_attrs={
        "accuracies": ["AccuracyCurve", "TOLERANCES_DEX", "accuracy", "accuracy_curve"],
        "calibration_scores": [
            "SpreadSkill",
            "coverage",
            "crps_gaussian",
            "crps_quantiles",
            "crps_samples",
            "pit_gaussian",
            "pit_quantiles",
            "pit_samples",
            "spread_skill",
        ],
        "dense_gas": ["Detection", "dense_mass_fraction", "densest", "detection"],
        "distribution": ["tail_slope", "wasserstein_dex", "width_dex"],
        "regions": ["PdfBand", "RegionScores", "blocks", "pdf_band", "region_means"],
        "residuals": [
            "MapScores",
            "ResidualsByDensity",
            "bias_dex",
            "correlation",
            "in_map_rmse_dex",
            "map_scores",
            "residual",
            "residuals_by_density",
            "rmse_dex",
            "robust_scatter_dex",
        ],
        "shared": ["BIN_WIDTH_DEX"],
        "spatial": ["SpatialError", "spatial_error"],
        "structure": ["SpectrumComparison", "compare_spectra"],
        "summary": ["scores"],
        "volume": ["VolumeScores", "volume_scores"],
    },
)
