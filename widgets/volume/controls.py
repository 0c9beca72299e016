"""The side bar of the volume viewer."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from widgets.volume.camera import VIEWS
from widgets.volume.data import VolumeData
from widgets.volume.textures import COLOURS

WIDE = {"sizing_mode": "stretch_width"}

RENDERERS = {
    "in the browser (WebGL2)": "webgl",
    "on the server (torch)": "torch",
    "on the server (PyVista)": "pyvista",
}

PICTURES = {"volume": "volume", "isosurfaces": "isosurfaces", "slices": "slices"}


class Controls:
    """Widgets bound to the parameters of a viewer; :meth:`load` fits their ranges to another volume.

    Attributes
    ----------
    view : panel Column
    """

    def __init__(self, viewer: Any, *, opacity: Any):
        p = viewer.param
        self._viewer = viewer
        self.mode = pmui.RadioButtonGroup.from_param(
            p.mode, label="Mode", options=["composite", "maximum", "emission"], size="small", **WIDE
        )
        self._window = pmui.RangeSlider.from_param(
            p.window, label="Values", start=0, end=1, step=0.01, **WIDE
        )
        self._clips = [
            pmui.RangeSlider.from_param(p[name], label=name, start=0, end=1, step=0.001, **WIDE)
            for name in ("clip_depth", "clip_row", "clip_column")
        ]
        self._slices = [
            pmui.IntSlider.from_param(p[name], label=name, start=0, end=1, **WIDE)
            for name in ("depth", "row", "column")
        ]
        self._channel = pmui.FloatSlider.from_param(
            p.channel, label="Channel", start=-1, end=1, step=0.05, **WIDE
        )
        self._dispersion = pmui.FloatSlider.from_param(
            p.dispersion, label="Unresolved motion σ [km s⁻¹]", start=0, end=1, step=0.01, **WIDE
        )
        self._peak = pmui.FloatSlider.from_param(p.brightest, label="Brightest", start=0.01, end=1, **WIDE)
        self._line = pmui.Select.from_param(p.line, label="Line", **WIDE)
        self._emission = pmui.Column(self._line, self._channel, self._dispersion, self._peak, **WIDE)
        self._picture = pmui.Select.from_param(p.picture, label="PyVista shows", options=PICTURES, **WIDE)
        self._level = pmui.FloatSlider.from_param(
            p.level, label="Isosurface: part of the window", start=0.05, end=0.95, step=0.05, **WIDE
        )
        self.view = pmui.Column(
            self.mode,
            pmui.Select.from_param(p.colours, label="Colours", options=list(COLOURS), **WIDE),
            self._window,
            opacity,
            pmui.TextInput.from_param(
                p.opacity, label="Opacity points, position:opacity", margin=(18, 10, 10, 10), **WIDE
            ),
            pmui.FloatSlider.from_param(
                p.density, label="Optical depth of the box", start=1, end=200, step=1, **WIDE
            ),
            self._emission,
            pmui.Typography("Seen between", variant="body2"),
            *self._clips,
            pmui.Typography("Slices", variant="body2"),
            *self._slices,
            pmui.Typography("Camera", variant="body2"),
            self._views(),
            *self._camera(p),
            pmui.Checkbox.from_param(p.perspective, label="Perspective"),
            pmui.Checkbox.from_param(p.spin, label="Spin"),
            pmui.Checkbox.from_param(p.show_axes, label="Axes"),
            pmui.Checkbox.from_param(p.show_planes, label="Planes of the slices"),
            pmui.Checkbox.from_param(p.show_cores, label="Cores"),
            pmui.Select.from_param(p.renderer, label="Drawn", options=RENDERERS, **WIDE),
            self._picture,
            self._level,
            **WIDE,
        )
        self.refresh()

    def _camera(self, p: Any) -> list[Any]:
        return [
            pmui.FloatSlider.from_param(p.azimuth, label="Azimuth [°]", start=0, end=360, step=1, **WIDE),
            pmui.FloatSlider.from_param(
                p.elevation, label="Elevation [°]", start=-90, end=90, step=1, **WIDE
            ),
            pmui.FloatSlider.from_param(
                p.distance, label="Distance [sides of the box]", start=0.05, end=12, step=0.05, **WIDE
            ),
        ]

    def _views(self) -> Any:
        """Return buttons for the named views."""
        buttons = []
        for name, (azimuth, elevation) in VIEWS.items():
            button = pmui.Button(label=name, variant="outlined", size="small", margin=3)
            button.on_click(
                lambda _event, a=azimuth, e=elevation: self._viewer.param.update(
                    azimuth=a, elevation=e, distance=2.6, target=(0.0, 0.0, 0.0)
                )
            )
            buttons.append(button)
        self._buttons = dict(zip(VIEWS, buttons, strict=True))
        return pn.FlexBox(*buttons, **WIDE)

    def load(self, data: VolumeData, low: float, high: float) -> None:
        """Fit the ranges to a volume whose scale goes from `low` to `high`."""
        log = "log₁₀ " if data.logarithmic else ""
        step = (high - low) / 200
        self._window.param.update(label=f"{log}{data.label}", start=low, end=high, step=step)
        for slider, cut, axis in zip(self._clips, self._slices, data.axes, strict=True):
            start, end = sorted(axis.ends)
            slider.param.update(label=axis.label, start=start, end=end, step=abs(axis.step))
            cut.param.update(label=f"cell of {axis.name}", start=0, end=axis.cells - 1)
        for name, axis in zip(("along z", "along y", "along x"), data.axes, strict=True):
            self._buttons[name].label = f"along {axis.name}"

    def load_emission(self, *, line: bool, velocities: tuple[float, float], peak: float, label: str) -> None:
        """Fit the sliders of the emission."""
        for part in (self._line, self._channel, self._dispersion):
            part.visible = line
        low, high = velocities
        self._channel.param.update(
            label="Channel: velocity [km s⁻¹]", start=low, end=high, step=(high - low) / 100
        )
        self._peak.param.update(
            label=f"Brightest colour: {label}", start=peak / 100, end=peak * 1.5, step=peak / 100
        )

    def refresh(self) -> None:
        """Show what belongs to the mode and the renderer."""
        self._emission.visible = self._viewer.mode == "emission"
        self._picture.visible = self._viewer.renderer == "pyvista"
        self._level.visible = self._viewer.renderer == "pyvista" and self._viewer.picture == "isosurfaces"
