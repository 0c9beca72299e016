"""Figures of maps: on the sky, of errors, and pixel against pixel."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np

from widgets import style
from widgets.axes import block_mean, bokeh_options, common_options, label_log_axes, map_size, ticks_of_scale


def check_map(values: Any, name: str = "values") -> np.ndarray:
    """Return a map as a float array, shape (y, x), or raise ValueError."""
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{name}: expected a map with axes (y, x), got shape {array.shape}; give one map at a time"
        )
    return array.astype(np.float64) if array.dtype.kind in "biu" else array


def colour_limits(values: np.ndarray, log: bool, clim: tuple[float, float] | None) -> tuple[float, float]:
    """Return the colour limits: those given, else the 0.5 and 99.5 % quantiles of the valid pixels."""
    if clim is not None:
        low, high = (float(limit) for limit in clim)
        if not (np.isfinite([low, high]).all() and low < high) or (log and low <= 0):
            raise ValueError(f"clim: expected two growing numbers{' above 0' if log else ''}, got {clim}")
        return low, high
    valid = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not valid.size:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = (float(limit) for limit in np.quantile(valid, [0.005, 0.995]))
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return (low / 1.1, high * 1.1) if log else (low - 0.5, high + 0.5)
    return low, high


def sky_map(
    values: Any,
    *,
    label: str,
    pixel_size_pc: float | None = None,
    log: bool = True,
    clim: tuple[float, float] | None = None,
    title: str | None = None,
    width: int = 320,
    max_pixels: int = 1024,
) -> hv.Image:
    """Draw a map as it stands on the sky: first row at the bottom, square pixels, missing pixels grey.

    Parameters
    ----------
    values : array_like, shape (y, x)
        In physical units, not logarithms; NaN is missing. With `log`, so is what is not positive.
    label : str
        A name of :data:`widgets.style.QUANTITIES` ("column_density", …) or a text with its unit in brackets,
        for example ``"N_H [cm^-2]"``: the head of the colour bar.
    pixel_size_pc : float, optional
        Side of a pixel [pc]; the axes are in pc with it, in pixels without.
    log : bool
        Whether the colours follow the logarithm.
    clim : tuple of float, optional
        Colour limits in the unit of `values`; by default the 0.5 and 99.5 % quantiles.
    title : str, optional
        Head of the figure; the words for `label` by default.
    width : int
        Width of the frame on the screen [px].
    max_pixels : int
        A map with a longer side is drawn from block means, and its title says so.

    Raises
    ------
    ValueError
        If `values` is not a map, or the limits are not in order.

    Examples
    --------
    >>> import numpy as np
    >>> image = sky_map(np.full((4, 6), 1e21), label="column_density", pixel_size_pc=0.1)
    >>> image.get_dimension("value").label
    'N_H [cm⁻²]'
    """
    opts = bokeh_options()
    shown = style.quantity(label)
    array = check_map(values)
    array, factor = block_mean(array, max_pixels)
    if log:
        array = np.where(array > 0, array, np.nan)
    low, high = colour_limits(array, log, clim)
    step, unit = (factor * pixel_size_pc, "pc") if pixel_size_pc else (factor, "px")
    head = (title or shown.title) + (f" (at 1/{factor} resolution)" if factor > 1 else "")
    rows, columns = array.shape
    image = hv.Image(
        ((np.arange(columns) + 0.5) * step, (np.arange(rows) + 0.5) * step, array.astype(np.float32)),
        [hv.Dimension(name, label=f"{name} [{unit}]") for name in ("x", "y")],
        hv.Dimension("value", label=shown.label, range=(low, high)),
    )
    frame = map_size(rows, columns, width)
    return image.opts(
        opts.Image(
            backend="bokeh",
            **common_options(*frame, head),
            cmap=shown.colours,
            clim=(low, high),
            logz=log,
            data_aspect=1,
            clipping_colors={"NaN": style.MISSING},
            colorbar=True,
            colorbar_position="bottom",
            colorbar_opts=ticks_of_scale(low, high, log=log, width=frame[0])
            | {"title": shown.label, "height": 12},
            tools=["hover"],
            hover_tooltips=[(f"x, y [{unit}]", "@x{0.[000]}, @y{0.[000]}"), (shown.label, "@image{0.000e+0}")]
            if log
            else [(f"x, y [{unit}]", "@x{0.[000]}, @y{0.[000]}"), (shown.label, "@image{0.[000]}")],
        )
    )


def spatial_error(
    predicted: Any,
    target: Any,
    *,
    pixel_size_pc: float | None = None,
    limit: float | None = None,
    title: str = "Residual: red is over-estimated",
    width: int = 320,
    max_pixels: int = 1024,
) -> hv.Image:
    """Draw log10(predicted / target) [dex] as a map, blue below and red above zero (report, figures 12 and 13).

    Parameters
    ----------
    predicted, target : array_like, shape (y, x)
        Positive, in the same unit; a pixel that is missing in one is grey.
    pixel_size_pc : float, optional
        Side of a pixel [pc].
    limit : float, optional
        Colour limits are -limit and +limit [dex]; by default the 98 % quantile of the absolute residual,
        at least 0.3 dex.
    title, width, max_pixels
        As in :func:`sky_map`.

    Raises
    ------
    ValueError
        If the two maps differ in shape.
    """
    predicted, target = check_map(predicted, "predicted"), check_map(target, "target")
    if predicted.shape != target.shape:
        raise ValueError(
            f"target: expected the shape of predicted, {predicted.shape}, got {target.shape}; put both on one grid"
        )
    valid = (predicted > 0) & (target > 0)
    residual = np.full(predicted.shape, np.nan)
    np.log10(np.divide(predicted, target, where=valid, out=np.ones_like(residual)), where=valid, out=residual)
    if limit is None:
        limit = max(0.3, float(np.quantile(np.abs(residual[valid]), 0.98))) if valid.any() else 0.3
    return sky_map(
        residual,
        label="residual",
        pixel_size_pc=pixel_size_pc,
        log=False,
        clim=(-limit, limit),
        title=title,
        width=width,
        max_pixels=max_pixels,
    )


def correlation(
    abscissa: Any,
    ordinate: Any,
    *,
    x_label: str = "column_density",
    y_label: str = "mass_weighted_density",
    diagonal: bool = False,
    bins: int = 80,
    title: str | None = None,
    width: int = 320,
) -> hv.Overlay | hv.Image:
    """Count pixels in the plane of two quantities, both on logarithmic axes (report, figure 6).

    Parameters
    ----------
    abscissa, ordinate : array_like
        Positive values of equal shape; pairs with a missing or non-positive member are left out.
    x_label, y_label : str
        As `label` in :func:`sky_map`.
    diagonal : bool
        Whether to draw the line of equality (for predicted against true).
    bins : int
        Cells along each axis.
    title, width
        As in :func:`sky_map`.

    Raises
    ------
    ValueError
        If the shapes differ or no pair is positive.
    """
    opts = bokeh_options()
    abscissa, ordinate = np.asarray(abscissa, np.float64), np.asarray(ordinate, np.float64)
    if abscissa.shape != ordinate.shape:
        raise ValueError(f"ordinate: expected the shape of abscissa, {abscissa.shape}, got {ordinate.shape}")
    valid = np.isfinite(abscissa) & np.isfinite(ordinate) & (abscissa > 0) & (ordinate > 0)
    if not valid.any():
        raise ValueError("correlation: expected pairs of positive values, got none; check units and NaN")
    x, y = np.log10(abscissa[valid]), np.log10(ordinate[valid])
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=bins)
    shown_x, shown_y = style.quantity(x_label), style.quantity(y_label)
    title = title or f"{shown_y.title} against {shown_x.title[0].lower()}{shown_x.title[1:]}"
    options = common_options(width, width, title)
    spans = [tuple(10 ** edges[[0, -1]]) for edges in (x_edges, y_edges)]
    options["hooks"] = [*options["hooks"], label_log_axes(*spans, length=width)]
    mesh = hv.QuadMesh(
        (10**x_edges, 10**y_edges, np.where(counts > 0, counts, np.nan).T.astype(np.float32)),
        [hv.Dimension("x", label=shown_x.label), hv.Dimension("y", label=shown_y.label)],
        hv.Dimension("count", label="pixels"),
    ).opts(
        opts.QuadMesh(
            backend="bokeh",
            **options,
            cmap="viridis",
            logx=True,
            logy=True,
            logz=True,
            clim=(1, max(10.0, float(counts.max()))),
            colorbar=True,
            colorbar_position="bottom",
            colorbar_opts=ticks_of_scale(1, max(10.0, float(counts.max())), log=True, width=width)
            | {"title": "pixels", "height": 12},
            tools=[],
        )
    )
    if not diagonal:
        return mesh
    ends = (10 ** min(x_edges[0], y_edges[0]), 10 ** max(x_edges[-1], y_edges[-1]))
    line = hv.Curve((ends, ends)).opts(
        opts.Curve(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1.5)
    )
    return mesh * line
