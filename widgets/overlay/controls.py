"""The sliders and fields beside the maps of the overlay."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui

from widgets import shell
from widgets.overlay.sky_panel import STRETCHES

WIDE = {"sizing_mode": "stretch_width"}

SETTINGS = (
    "centre",
    "width",
    "column_limits",
    "column_stretch",
    "density_limits",
    "density_stretch",
    "uncertainty",
    "coverage",
    "outside",
    "graticule",
    "show_tiles",
    "place",
    "region",
    "core",
)
"""Parameters that say what is seen; they stand in the page's address."""

LAYERS = (
    ("uncertainty", "Width of the 68 % interval: opacity"),
    ("coverage", "Predictions per pixel: opacity"),
    ("outside", "Outside the training set: opacity"),
)


def make_controls(overlay: Any) -> tuple[Any, dict[str, Any]]:
    """Return the column of controls, and the two sliders for limits by name."""
    limits = {name: _limits(overlay, name, label) for name, label in _LIMITS}
    stretches = {word: name for name, (_, word) in STRETCHES.items()}
    parts: list[Any] = []
    for quantity, label in (("column", "N_H: stretch"), ("density", "n_H: stretch")):
        parts += [
            limits[f"{quantity}_limits"],
            pmui.Select.from_param(
                overlay.param[f"{quantity}_stretch"], label=label, options=stretches, size="small", **WIDE
            ),
        ]
    sliders = [
        shell.prompt(
            pmui.FloatSlider.from_param(overlay.param[name], label=label, start=0, end=1, step=0.05, **WIDE)
        )
        for name, label in LAYERS
    ]
    boxes = [
        pmui.Checkbox.from_param(overlay.param.graticule, label="Graticule"),
        pmui.Checkbox.from_param(overlay.param.show_tiles, label="Outlines of the tiles that were read"),
    ]
    column = pmui.Column(
        pmui.Typography("Colours", variant="subtitle1"),
        *parts,
        pmui.Typography("Layers on the prediction", variant="subtitle1"),
        *sliders,
        *boxes,
        **WIDE,
    )
    return column, limits


_LIMITS = (
    ("column_limits", "N_H: colours from, to [log₁₀ cm⁻²]"),
    ("density_limits", "n_H: colours from, to [log₁₀ cm⁻³]"),
)


def _limits(overlay: Any, name: str, label: str) -> Any:
    low, high = getattr(overlay, name)
    slider = pmui.RangeSlider.from_param(
        overlay.param[name], label=label, start=low - 1, end=high + 1, step=0.01, **WIDE
    )
    return shell.prompt(slider)


def reach(sliders: dict[str, Any], usual: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Let the sliders for limits reach around those of another map, before it is shown."""
    for name, slider in sliders.items():
        low, high = min(usual[name][0], wanted[name][0]), max(usual[name][1], wanted[name][1])
        slider.param.update(start=round(low - 1.5, 2), end=round(high + 1.5, 2))
