"""Studies: many runs that differ in known settings, as a folder that can be gone on with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "cells",
        "derived",
        "ledger",
        "resume",
        "runner",
        "scale",
        "searching",
        "size",
        "sweeps",
        "tables",
        "trials",
        "variants",
        "work",
    ],
    submod_attrs={
        "ledger": ["StudyInUseError"],
        "resume": ["finish_study"],
        "scale": ["working_scale"],
        "searching": ["search"],
        "size": ["training_set_size"],
        "sweeps": ["complexity_map", "convolutions_study", "sweep"],
        "tables": ["Study"],
        "variants": ["kan_variants"],
    },
)
