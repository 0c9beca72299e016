"""Clouds in three dimensions: cubes, where they come from, and the maps they cast on the sky."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "amr",
        "amr_grid",
        "core_profiles",
        "cores",
        "geometry",
        "projection",
        "rays",
        "readers",
        "recipes",
        "sample",
        "simulation",
        "suite",
        "synthetic",
    ],
    submod_attrs={
        "amr": ["AmrCloud"],
        "core_profiles": ["Core"],
        "cores": ["add_cores"],
        "geometry": ["crop", "directions", "downsample", "join", "shift", "sky_face"],
        "projection": [
            "Projection",
            "column_density",
            "mass_weighted_density",
            "max_density",
            "project",
            "volume_weighted_density",
        ],
        "rays": ["View", "project_from"],
        "readers": ["open_cube", "save_cube"],
        "readers.amr_outputs": ["open_amr"],
        "sample": ["sample_cloud"],
        "simulation": ["SimulationCube"],
        "suite": ["ensemble"],
        "synthetic": ["synthetic_cloud"],
    },
)
