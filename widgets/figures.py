"""Figures: arrays in physical units in, HoloViews elements out.

Every figure names its quantities and units, and takes its colours from :mod:`widgets.style`. The elements are
drawn by Bokeh, which is loaded when the first figure is made. Notebooks, dashboards and reports use the same
functions; elements add up as usual in HoloViews (``figures.sky_map(a, label="A [K]") + figures.sky_map(b, ...)``).
"""

from widgets.curves import (
    HISTORY_COLUMNS,
    accuracy_curve,
    history_table,
    learning_rate_curve,
    loss_curves,
)
from widgets.emission import centroid_map, channel_maps, integrated_map, line_of_sight, ray_tracing, spectrum
from widgets.evaluation import (
    accuracy_with_spread,
    coherence,
    coverage_curves,
    pit_histogram,
    power_ratio,
    residuals_before_after,
)
from widgets.kan_curves import layer_curves, learned_curves
from widgets.lines import lines
from widgets.map_grids import map_grid
from widgets.maps import correlation, sky_map, spatial_error
from widgets.network_figures import network_diagram, number_grids, unet_diagram
from widgets.observation_figures import (
    column_relation,
    core_errors,
    core_markers,
    core_mass_function,
    coverage_plane,
    density_pdfs,
)
from widgets.performance import accuracy_by_tolerance, residual_bands, residual_violins
from widgets.studies import complexity_map, training_set_size

__all__ = [
    "HISTORY_COLUMNS",
    "accuracy_by_tolerance",
    "accuracy_curve",
    "accuracy_with_spread",
    "centroid_map",
    "channel_maps",
    "coherence",
    "column_relation",
    "complexity_map",
    "core_errors",
    "core_markers",
    "core_mass_function",
    "correlation",
    "coverage_curves",
    "coverage_plane",
    "density_pdfs",
    "history_table",
    "integrated_map",
    "layer_curves",
    "learned_curves",
    "learning_rate_curve",
    "line_of_sight",
    "lines",
    "loss_curves",
    "map_grid",
    "network_diagram",
    "number_grids",
    "pit_histogram",
    "power_ratio",
    "ray_tracing",
    "residual_bands",
    "residual_violins",
    "residuals_before_after",
    "sky_map",
    "spatial_error",
    "spectrum",
    "training_set_size",
    "unet_diagram",
]
