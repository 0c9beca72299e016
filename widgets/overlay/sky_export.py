"""The two maps as a figure for a paper: PNG or PDF, with the axes of astropy's WCSAxes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import log_ticks, power_of_ten
from widgets.overlay.map_pyramid import MapPyramid
from widgets.overlay.sky_panel import STRETCHES
from widgets.overlay.sky_ticks import View, sky_names

MOST = 1600
"""Pixels a side that are drawn at most; larger maps are drawn from block means."""


def sky_figure(
    observation: Any,
    prediction: Any,
    *,
    view: View,
    limits: tuple[tuple[float, float], tuple[float, float]],
    stretches: tuple[str, str] = ("log", "log"),
    cores: tuple[Sequence[float], Sequence[float]] = ((), ()),
    outlines: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    warning: str = "",
) -> Any:
    """Draw column density and predicted density side by side.

    Parameters
    ----------
    observation, prediction
        On the same pixels.
    view : View
        The part that is drawn [pixels].
    limits : ((float, float), (float, float))
        Colours of N_H [cm^-2] and of n_H [cm^-3].
    stretches : (str, str)
        Of :data:`widgets.overlay.sky_panel.STRETCHES`.
    cores : (x, y)
        Places of cores [pixels].
    outlines : sequence of (x, y)
        Regions [pixels].
    warning : str
        Written over the prediction.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot: nothing is to be closed.
    """
    from matplotlib.figure import Figure

    shape = abs((view.top - view.bottom) / (view.right - view.left))
    figure = Figure(figsize=(11, float(np.clip(4.4 * shape + 1.6, 3.4, 9.0))), layout="constrained")
    maps = ((observation.column_density, "column_density"), (prediction.density, "density"))
    for number, (values, name) in enumerate(maps):
        axes = figure.add_subplot(1, 2, number + 1, projection=observation.wcs)
        _draw(axes, values, view, limits[number], stretches[number], name)
        _coordinates(axes, observation.wcs, inner=number == 1)
        if len(cores[0]):
            axes.scatter(*cores, s=28, facecolor="none", edgecolor="white", linewidth=0.9)
        for x, y in outlines:
            axes.plot(x, y, color="white", linewidth=1.2)
        axes.set_xlim(view.left, view.right)
        axes.set_ylim(view.bottom, view.top)
    if warning:
        axes.text(
            0.02, 0.02, warning, transform=axes.transAxes, color="white", fontsize=7, wrap=True, va="bottom",
            bbox={"facecolor": "#8A2300", "edgecolor": "white"},
        )  # fmt: skip
    title = f"{observation.name or 'map'}, {observation.distance_pc:.4g} pc"
    made = prediction.run_fingerprint or prediction.provenance.get("model", "")
    figure.suptitle(title + (f"; {made}" if made else ""), fontsize=11)
    return figure


def figure_bytes(figure: Any, kind: str) -> io.BytesIO:
    """Return a figure as a file, "png" or "pdf"."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=200)
    file.seek(0)
    return file


def fits_bytes(prediction: Any) -> io.BytesIO:
    """Return the FITS file of a prediction."""
    with tempfile.TemporaryDirectory() as folder:
        return io.BytesIO(prediction.write_fits(Path(folder) / "density.fits").read_bytes())


def _draw(
    axes: Any, values: np.ndarray, view: View, limits: tuple[float, float], stretch: str, name: str
) -> None:
    """Draw one map with its colour bar."""
    from matplotlib import colormaps, colors

    part = MapPyramid(values).part(
        (view.bottom + 0.5, view.top + 0.5), (view.left + 0.5, view.right + 0.5), most=MOST
    )
    norm = {
        "log": colors.LogNorm,
        "sqrt": lambda low, high: colors.PowerNorm(0.5, low, high),
        "linear": colors.Normalize,
    }[stretch](*limits)
    shown = style.quantity(name)
    image = axes.imshow(
        np.ma.masked_invalid(part.image), origin="lower", norm=norm, interpolation="nearest",
        cmap=colormaps[shown.colours].with_extremes(bad=style.MISSING),
        extent=(part.x, part.x + part.width, part.y, part.y + part.height),
    )  # fmt: skip
    label = f"{shown.title}: {shown.label}, {STRETCHES[stretch][1]}"
    bar = axes.figure.colorbar(image, ax=axes, label=label, orientation="horizontal", shrink=0.9, aspect=35)
    if stretch == "log":  # matplotlib's own labels overlap where the scale spans less than two decades
        ticks = log_ticks(*limits, most=6)
        bar.set_ticks(ticks, labels=[power_of_ten(tick) for tick in ticks])
        bar.minorticks_off()


def _coordinates(axes: Any, wcs: Any, *, inner: bool) -> None:
    """Name the axes, draw the graticule; the second panel repeats no words."""
    names = sky_names(wcs)
    longitude, latitude = axes.coords[wcs.wcs.lng], axes.coords[wcs.wcs.lat]
    for coordinate, label in ((longitude, names.longitude), (latitude, names.latitude)):
        coordinate.set_axislabel(label.split(" [")[0])
        coordinate.grid(color="white", alpha=0.5, linestyle="dashed", linewidth=0.6)
        coordinate.set_ticklabel(size=8, exclude_overlapping=True)
    if inner:
        latitude.set_axislabel(" ")
