"""The fields and sliders of the emission explorer."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui

from polaris_lab.radiative_transfer.molecules import MOLECULES
from widgets.emissions.maps import MOMENTS

LINES = [
    f"{name} {upper + 1}-{upper}"
    for name, molecule in MOLECULES.items()
    for upper in range(len(molecule.frequencies_ghz))
]
"""Lines on offer."""

CHANNEL_WIDTHS = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
"""[km/s]"""

GAS = ("line", "abundance", "axis", "channel_width", "temperature", "reduction")
"""Parameters that a line is solved anew for."""

TELESCOPE = ("beam", "noise", "seed", "distance", "systemic")
"""Parameters that act on the cube that is there."""

VIEW = ("velocity", "x", "y", "unit", "moment", "same_colours")
"""Parameters of what is looked at."""

ADDRESS = {name: name for name in (*GAS, *TELESCOPE, *VIEW, "path")} | {"observed_path": "observed"}
"""Parameters that stand in the page's address, and their names there."""


def make_controls(explorer: Any) -> Any:
    """Return the column of controls; files are chosen above it."""
    wide = {"sizing_mode": "stretch_width"}
    p = explorer.param
    gas = [
        pmui.Select.from_param(p.line, label="Line", options=LINES, **wide),
        _abundance(explorer),
        pmui.RadioButtonGroup.from_param(p.axis, label="Line of sight", options=["z", "y", "x"], **wide),
        pmui.Select.from_param(p.channel_width, label="Channel width [km/s]", options=CHANNEL_WIDTHS, **wide),
        pmui.FloatInput.from_param(
            p.temperature, label="Temperature where the file has none [K]", start=0.0, step=1.0, **wide
        ),
        pmui.Select.from_param(
            p.reduction, label="Reduce by (cells to a side)", options=[1, 2, 4, 8, 16], **wide
        ),
    ]
    explorer.gas_widgets = gas
    return pmui.Column(
        *gas,
        _slider(explorer, "beam", "Beam FWHM [arcsec]", 0.0, 300.0, 1.0),
        _slider(explorer, "noise", "Noise in a channel [K rms]", 0.0, 2.0, 0.02),
        pmui.FloatInput.from_param(p.distance, label="Distance [pc]", start=1.0, step=10.0, **wide),
        pmui.FloatInput.from_param(p.systemic, label="Velocity of the whole cloud [km/s]", step=0.1, **wide),
        pmui.RadioButtonGroup.from_param(
            p.unit, label="Axes in", options={"pc": "pc", "arcsec": "arcsec"}, **wide
        ),
        pmui.Select.from_param(
            p.moment,
            label="Map over all velocities",
            options={words: name for name, words in MOMENTS.items()},
            **wide,
        ),
        pmui.Checkbox.from_param(p.same_colours, label="Both cubes in the same colours"),
        **wide,
    )


def _slider(explorer: Any, name: str, label: str, start: float, end: float, step: float) -> Any:
    value = getattr(explorer, name)
    return pmui.FloatSlider.from_param(
        explorer.param[name],
        label=label,
        start=start,
        end=max(end, value),
        step=step,
        sizing_mode="stretch_width",
    )


def _abundance(explorer: Any) -> Any:
    """Return a field for a number that is written with a power of ten."""
    field = pmui.TextInput(
        label="Abundance [molecules per H nucleus]",
        value=f"{explorer.abundance:.3g}",
        sizing_mode="stretch_width",
    )

    def read(event: Any) -> None:
        if event.new == f"{explorer.abundance:.3g}":
            return
        try:
            explorer.abundance = float(event.new)
        except ValueError as error:
            field.value = f"{explorer.abundance:.3g}"
            raise ValueError(
                f"abundance: expected zero or more molecules per hydrogen nucleus, such as 1.4e-6, got {event.new!r}"
            ) from error

    field.param.watch(read, "value")
    explorer.param.watch(lambda event: field.param.update(value=f"{event.new:.3g}"), "abundance")
    return field
