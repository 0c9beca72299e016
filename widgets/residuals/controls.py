"""The side bar of the explorer of residuals, and the fields of the region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel_material_ui as pmui

from widgets import shell
from widgets.folder_choice import FolderChoice
from widgets.residuals.jobs import CORRECTIONS

REGION = (
    ("true_low", "True density from"),
    ("true_high", "True density to"),
    ("predicted_low", "Predicted from"),
    ("predicted_high", "Predicted to"),
)
"""Ends of the region, and their words; the unit is added."""

_WIDE = {"sizing_mode": "stretch_width"}


def make_controls(explorer: Any, workspace: str | Path | None) -> Any:
    """Return the column of choices; runs are listed where there is a workspace folder."""
    runs: list[Any] = []
    if workspace is not None:
        runs = [
            FolderChoice(explorer.param.run_path, workspace, "run.json", label="Run").view,
            FolderChoice(explorer.param.other_path, workspace, "run.json", label="Other run, beside it").view,
        ]
    return pmui.Column(
        *runs,
        pmui.RadioButtonGroup.from_param(
            explorer.param.page,
            label="Page",
            options={"Residuals": "residuals", "Calibration": "calibration"},
            **_WIDE,
        ),
        pmui.RadioButtonGroup.from_param(
            explorer.param.by,
            label="Residuals by",
            options={"true density": "target", "predicted": "predicted"},
            **_WIDE,
        ),
        shell.prompt(
            pmui.FloatSlider.from_param(
                explorer.param.tolerance_dex,
                label="Tolerance σ [dex]",
                start=0.02,
                end=1.0,
                step=0.01,
                **_WIDE,
            )
        ),
        pmui.Select.from_param(
            explorer.param.correction,
            label="Baseline correction",
            options={words: name for name, words in CORRECTIONS.items()},
            **_WIDE,
        ),
        **_WIDE,
    )


def region_fields(explorer: Any) -> list[Any]:
    """Return the fields of the four ends of the region [log10 of cm^-3]."""
    return [
        pmui.FloatInput.from_param(explorer.param[name], label=f"{words} [log₁₀ cm⁻³]", step=0.1, width=205)
        for name, words in REGION
    ]
