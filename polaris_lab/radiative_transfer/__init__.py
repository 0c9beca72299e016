"""What a telescope would see of a cloud: line cubes in LTE, their products, and the telescope itself."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "abundance",
        "column",
        "components",
        "emissivity",
        "instrument",
        "lines",
        "lte",
        "moments",
        "ppv",
        "torch_backend",
        "transfer",
    ],
    submod_attrs={
        "abundance": ["freeze_out", "photodissociate", "shielding_extinction"],
        "column": ["excitation_temperature", "lte_column"],
        "components": ["component_number", "gaussian_components"],
        "emissivity": ["LineFields", "line_fields"],
        "lines": ["Line"],
        "lte": [
            "equivalent_temperature",
            "integrated_optical_depth",
            "level_populations",
            "line_width",
            "partition_function",
        ],
        "moments": [
            "Moments",
            "centroid_velocity",
            "channel_maps",
            "integrated_intensity",
            "noise_map",
            "peak_temperature",
            "signal_mask",
            "spectrum",
            "velocity_dispersion",
        ],
        "ppv": ["PPVCube"],
        "transfer": ["ChannelRangeWarning", "VelocityStepWarning", "optical_depth", "synthesize_ppv"],
    },
)
