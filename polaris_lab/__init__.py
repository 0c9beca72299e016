"""Infer the volume density of molecular clouds from column density maps, with deep learning.

``import polaris_lab as lab`` gives the names that the notebooks use; everything else is one dot away,
for example ``lab.datasets.scoring.smoothness_score``. Importing does nothing: a module (and torch) is
loaded when a name of it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "clouds",
        "config",
        "datasets",
        "estimators",
        "models",
        "observations",
        "parallel",
        "radiative_transfer",
        "training",
        "units",
    ],
    submod_attrs={
        "clouds": [
            "SimulationCube",
            "column_density",
            "mass_weighted_density",
            "max_density",
            "project",
            "sample_cloud",
            "synthetic_cloud",
            "volume_weighted_density",
        ],
        "datasets": ["PatchConfig", "PatchDataset", "Proposals", "build_dataset", "propose_patches"],
        "estimators": ["fit_power_law"],
        "models": ["Blueprint", "Node", "build_model", "register_block"],
        "radiative_transfer": ["Line", "PPVCube", "integrated_intensity", "synthesize_ppv"],
        "observations": ["Observation", "Prediction", "predict_density", "train_recipe"],
        "training": [
            "Run",
            "TrainingConfig",
            "accuracy",
            "complexity_map",
            "evaluate",
            "fit",
            "fit_baseline",
            "pretrained",
            "residuals_by_density",
        ],
        "training.benchmark": ["benchmark"],
    },
)
