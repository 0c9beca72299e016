"""Training networks and judging them: metrics, losses, the loop, and the run as a folder on disk."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "batches",
        "calibration",
        "checkpoints",
        "describe",
        "folder",
        "generative",
        "lock",
        "loop",
        "losses",
        "metrics",
        "pairs",
        "run",
        "samples",
        "session",
        "settings",
        "validation",
    ],
    submod_attrs={
        "batches": ["Patches"],
        "calibration": ["calibration_table"],
        "generative": ["fit_generative"],
        "loop": ["DivergedError", "TrainingState", "fit"],
        "settings": ["EpochRecord", "TrainingConfig"],
        "lock": ["RunInUseError"],
        "losses": ["register_loss"],
        "metrics": [
            "AccuracyCurve",
            "ResidualsByDensity",
            "SpatialError",
            "accuracy",
            "accuracy_curve",
            "bias_dex",
            "correlation",
            "residual",
            "residuals_by_density",
            "rmse_dex",
            "scores",
            "spatial_error",
        ],
        "run": ["Run"],
    },
)
