"""Maps of the sky: opening them, predicting the density behind them, and simulating them from cubes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "archive",
        "beams",
        "blanks",
        "cores",
        "coverage",
        "errors",
        "features",
        "gas",
        "headers",
        "line_data",
        "literature",
        "map_files",
        "maps",
        "opening",
        "places",
        "predict",
        "prediction",
        "quality",
        "regions",
        "resample",
        "simulate",
        "species",
        "training_set",
    ],
    submod_attrs={
        "blanks": ["BlankPixelWarning"],
        "coverage": ["Coverage"],
        "headers": ["HeaderWarning"],
        "maps": ["Observation"],
        "predict": ["predict_density"],
        "prediction": ["Prediction", "Quality"],
        "simulate": ["observe_cube"],
        "training_set": ["training_features"],
    },
)
