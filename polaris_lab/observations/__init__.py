"""Maps of the sky: opening them, predicting the density behind them, and simulating them from cubes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "archive",
        "beams",
        "blanks",
        "cores",
        "errors",
        "gas",
        "headers",
        "line_data",
        "literature",
        "map_files",
        "maps",
        "opening",
        "places",
        "posterior",
        "predict",
        "prediction",
        "quality",
        "regions",
        "resample",
        "sampling",
        "simulate",
        "species",
    ],
    submod_attrs={
        "blanks": ["BlankPixelWarning"],
        "headers": ["HeaderWarning"],
        "maps": ["Observation"],
        "posterior": ["sample_density"],
        "predict": ["predict_density"],
        "prediction": ["Prediction", "Quality"],
        "sampling": ["sample_map"],
        "simulate": ["observe_cube"],
    },
)
