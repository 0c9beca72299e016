"""What the overlay is made of on the page: its words, fields, buttons and downloads, made once."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from widgets import parts
from widgets.overlay import sky_export
from widgets.overlay import words as overlay_words
from widgets.overlay.controls import WIDE

FILES = (("png", "Figure (PNG)"), ("pdf", "Figure (PDF)"), ("fits", "Prediction (FITS)"))
"""Kind and words of what can be taken along."""

ZOOMS = (("Closer", "zoom_in", 1.5), ("Farther", "zoom_out", 1 / 1.5), ("Whole map", "zoom_out_map", 0.0))
"""Words, icon and factor of the buttons beside the maps."""


class OverlayView:
    """The parts of a :class:`~widgets.prediction_overlay.PredictionOverlay`.

    Parameters
    ----------
    overlay : PredictionOverlay
    figures : list of bokeh figures
        The two maps and the errors of the cores.

    Attributes
    ----------
    main : panel Column
        Everything but the controls.
    """

    def __init__(self, overlay: Any, figures: list[Any]):
        text = {"stylesheets": [parts.STYLE], **WIDE}
        self.state = pmui.Alert(title="", object="", severity="info", margin=10, **WIDE)
        self.pointed, self.marked = (pn.pane.HTML("", min_height=44, **text) for _ in range(2))
        self.pointed.object = "<p><b>Pointer:</b> move it over a map</p>"
        self.factor, self.layers = (pmui.Typography("", variant="caption", **WIDE) for _ in range(2))
        self.region, self.cores = (pn.pane.HTML("", **text) for _ in range(2))
        self.core_words = pmui.Typography("", variant="body2", **WIDE)
        self.core_choice = pmui.Select.from_param(
            overlay.param.core, label="Core", options={"none": None}, width=280
        )
        self.lines = parts.CodeLines("")
        self.go = pmui.TextInput(
            label="Go to", placeholder="03:47:40 +32:54:00, or 56.9 32.9", value="", width=280
        )
        self.go.param.watch(lambda event: event.new and overlay.go_to(event.new), "value")
        self._region_field = pmui.TextInput.from_param(
            overlay.param.region, label="Region: DS9 words, a name of the report, or a .reg file",
            placeholder="icrs; circle(56.9, 32.9, 0.1)", **WIDE,
        )  # fmt: skip
        self._zoom = [pmui.Button(label=words, icon=icon, variant="outlined") for words, icon, _ in ZOOMS]
        for button, (_, _, factor) in zip(self._zoom, ZOOMS, strict=True):
            button.on_click(lambda _event, factor=factor: overlay.zoom(factor))
        self.downloads = [_download(overlay, *choices) for choices in FILES]
        self.panes = [pn.pane.Bokeh(figure) for figure in figures]
        self.main = self._make_main()

    def _make_main(self) -> Any:
        first, second, errors = self.panes
        errors.sizing_mode = "stretch_width"
        boxes = [
            pn.Column(pane, styles={"overflow-x": "auto", "max-width": "100%", "flex": "0 1 auto"})
            for pane in (first, second)
        ]
        return pmui.Column(
            self.state,
            pn.FlexBox(*boxes, **WIDE),
            self.factor,
            self.layers,
            self.pointed,
            self.marked,
            pn.FlexBox(self.go, *self._zoom, align_items="center", **WIDE),
            pmui.Typography("Region", variant="h6"),
            self._region_field,
            self.region,
            pmui.Typography("Dense cores", variant="h6"),
            self.core_words,
            self.core_choice,
            self.cores,
            errors,
            pmui.Typography("Take it with you", variant="h6"),
            pn.FlexBox(*self.downloads, **WIDE),
            pmui.Typography("The same in Python", variant="body2"),
            self.lines.view,
            **WIDE,
        )


def figure_of(overlay: Any, cores: Any, outlines: Any) -> Any:
    """Return what an overlay shows as a matplotlib figure with WCSAxes."""
    ends = (overlay.column_limits, overlay.density_limits)
    return sky_export.sky_figure(
        overlay.observation,
        overlay.prediction,
        view=overlay.view(),
        limits=tuple((10.0**low, 10.0**high) for low, high in ends),
        stretches=(overlay.column_stretch, overlay.density_stretch),
        cores=(cores["x"], cores["y"]),
        outlines=list(zip(*outlines, strict=True)),
        warning=overlay_words.warning(overlay.prediction),
    )


def _download(overlay: Any, kind: str, label: str) -> Any:
    def make() -> Any:
        if kind != "fits":
            return sky_export.figure_bytes(overlay.figure(), kind)
        if not np.isfinite(overlay.prediction.density).any():
            raise ValueError(
                "prediction: expected one to save, got no prediction of this map; press Predict first"
            )
        return sky_export.fits_bytes(overlay.prediction)

    return pmui.FileDownload(callback=make, filename=f"prediction.{kind}", label=label, icon="download")
