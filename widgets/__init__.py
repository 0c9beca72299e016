"""Dashboards and figures over `polaris_lab`: ``from widgets import figures, TrainingMonitor``.

Importing does nothing; a module (and Panel, HoloViews or Bokeh) is loaded when a name of it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "figures",
        "report",
        "shell",
        "scenes",
        "style",
        "training_monitor",
        "training_set_inspector",
        "volume_viewer",
    ],
    submod_attrs={
        "report": ["demo_report", "write_report"],
        "shell": ["page", "serve"],
        "training_monitor": ["TrainingMonitor"],
        "training_set_inspector": ["TrainingSetInspector"],
        "volume_viewer": ["VolumeViewer"],
    },
)
