"""Dashboards and figures over `polaris_lab`: ``from widgets import figures, TrainingMonitor``.

Importing does nothing; a module (and Panel, HoloViews or Bokeh) is loaded when a name of it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "emission_explorer",
        "figures",
        "plain_emission",
        "prediction_overlay",
        "application",
        "home",
        "blueprint_editor",
        "report",
        "complexity_explorer",
        "residual_explorer",
        "shell",
        "style",
        "training_monitor",
        "training_set_inspector",
        "scenes",
        "volume_viewer",
    ],
    submod_attrs={
        "emission_explorer": ["EmissionExplorer"],
        "plain_emission": ["PlainEmission"],
        "prediction_overlay": ["PredictionOverlay"],
        "home": ["Home"],
        "blueprint_editor": ["BlueprintEditor"],
        "complexity_explorer": ["ComplexityExplorer"],
        "report": ["demo_report", "write_report"],
        "residual_explorer": ["ResidualExplorer"],
        "shell": ["page", "serve"],
        "training_monitor": ["TrainingMonitor"],
        "training_set_inspector": ["TrainingSetInspector"],
        "volume_viewer": ["VolumeViewer"],
    },
)
