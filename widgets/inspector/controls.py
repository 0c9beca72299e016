"""The sliders of the inspector of training sets."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import panel_material_ui as pmui

from polaris_lab.datasets import PatchConfig
from widgets import shell

PATCH_SIZES = (128, 64, 48, 32, 24, 16, 8)
"""Sides of patches on offer [pixels]."""

SETTINGS = (
    "steepness",
    "offset",
    "weight_column",
    "weight_density",
    "weight_difference",
    "min_separation",
    "low_density_fraction",
    "low_column_density",
    "score_scale",
    "patch_size",
)
"""Parameters that decide on the patches; they stand in the page's address."""

SLIDERS = (
    ("weight_column", "Weight of s_Λ(N_H)", 0.0, 10.0, 0.1),
    ("weight_density", "Weight of s_Λ(⟨n_H⟩_M)", 0.0, 10.0, 0.1),
    ("weight_difference", "Weight of s_res", 0.0, 20.0, 0.1),
    ("min_separation", "Minimum distance [patch sides]", 0.25, 2.0, 0.05),
    ("low_density_fraction", "Low-density cut: largest share of very diffuse pixels", 0.0, 1.0, 0.01),
    ("low_column_density", "Very diffuse: N_H below this share of the mean", 0.0, 1.0, 0.01),
)
"""Parameter, words, first and last value, step."""


def make_controls(inspector: Any) -> tuple[Any, Any]:
    """Return the column of sliders, and the one for B, whose range depends on the scale of the scores.

    A slider reaches as far as the value that it begins with, whatever its custom range.
    """
    offset = _slider(inspector, "offset", "B: score taken every second time", 0.0, 5.0, 0.05)
    controls = pmui.Column(
        _slider(inspector, "steepness", "A: steepness of the filter", 0.0, 20.0, 0.1),
        offset,
        pmui.RadioButtonGroup.from_param(
            inspector.param.score_scale,
            label="A and B refer to",
            options={"the score": "absolute", "its quantile": "quantile"},
            sizing_mode="stretch_width",
        ),
        *(_slider(inspector, *choices) for choices in SLIDERS),
        pmui.Select.from_param(
            inspector.param.patch_size,
            label="Side of a patch [pixels]",
            options=sorted({*PATCH_SIZES, inspector.patch_size}),
            sizing_mode="stretch_width",
        ),
        sizing_mode="stretch_width",
    )
    return controls, offset


def offset_range(scale: str, value: float) -> dict[str, float]:
    """Return the ends of the slider for B.

    Examples
    --------
    >>> offset_range("quantile", 0.5), offset_range("absolute", 9.0)
    ({'start': 0.0, 'end': 1.0}, {'start': 0.0, 'end': 9.0})
    """
    return {"start": min(0.0, value), "end": max(1.0 if scale == "quantile" else 5.0, value)}


def _slider(inspector: Any, name: str, label: str, start: float, end: float, step: float) -> Any:
    value = getattr(inspector, name)
    slider = pmui.FloatSlider.from_param(
        inspector.param[name],
        label=label,
        start=min(start, value),
        end=max(end, value),
        step=step,
        sizing_mode="stretch_width",
    )
    return shell.prompt(slider)


def settings_of(config: PatchConfig) -> dict[str, Any]:
    """Return the choices of a configuration by the names of the sliders.

    Examples
    --------
    >>> settings_of(PatchConfig())["weight_difference"]
    5.0
    """
    names = ("weight_column", "weight_density", "weight_difference")
    values = dict(zip(names, config.weights, strict=True))
    return values | {
        field.name: getattr(config, field.name) for field in fields(config) if field.name in SETTINGS
    }
