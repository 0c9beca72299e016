"""Figures of observed clouds: cores and their errors, density against column density, mass function, PDF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np

from widgets import style
from widgets.axes import bokeh_options, curve_options, label_log_axes

_COLUMN = hv.Dimension("column", label="N_H [cm⁻²]")
_DENSITY = hv.Dimension("density", label=style.QUANTITIES["mass_weighted_density"].label)
_ERROR = hv.Dimension("error", label="log₁₀(map / catalogue) [dex]")
_MASS = hv.Dimension("mass", label="core mass [M☉]")


def core_errors(
    errors: Mapping[str, Any],
    *,
    window: int = 10,
    middle: str = "mean",
    title: str = "Density of cores: map against catalogue",
    width: int = 460,
    height: int = 320,
) -> hv.Overlay:
    """Draw the error at each core against its column density, with a moving mean (report, figure 35).

    Parameters
    ----------
    errors : mapping of str to CoreErrors
        By the name in the legend (:func:`polaris_lab.observations.cores.core_errors`).
    window : int
        Cores in the moving mean; fewer where there are not so many.
    middle : {"mean", "median"}
        Which of the two moves, with its scatter.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If there is nothing to draw, or `middle` is neither.
    """
    if not errors:
        raise ValueError("errors: expected at least one set of cores, got none")
    if middle not in ("mean", "median"):
        raise ValueError(f'middle: expected "mean" or "median", got {middle!r}')
    opts = bokeh_options()
    layers: list[Any] = [
        hv.HLine(0).opts(opts.HLine(backend="bokeh", color=style.NEUTRAL, line_width=1, line_dash="dashed"))
    ]
    for i, (name, found) in enumerate(errors.items()):
        colour = style.SERIES[i % len(style.SERIES)]
        points = hv.Scatter((10**found.log_column, found.error_dex), _COLUMN, _ERROR, label=name)
        layers.append(points.opts(opts.Scatter(backend="bokeh", color=colour, size=5, alpha=0.45)))
        moving = found.moving_mean if middle == "mean" else found.moving_median
        log_column, mean, scatter = moving(min(window, len(found)))
        band = hv.Area((10**log_column, mean - scatter, mean + scatter), [_COLUMN], [_ERROR, "upper"])
        layers.append(band.opts(opts.Area(backend="bokeh", color=colour, fill_alpha=0.15, line_alpha=0)))
        line = hv.Curve(
            (10**log_column, mean), _COLUMN, _ERROR, label=f"{name}, {middle} of {min(window, len(found))}"
        )
        dash = style.DASHES[i % len(style.DASHES)]
        layers.append(line.opts(opts.Curve(backend="bokeh", color=colour, line_width=3, line_dash=dash)))
    columns = np.concatenate([10**found.log_column for found in errors.values()])
    span = float(columns.min()) / 1.1, float(columns.max()) * 1.1
    options = curve_options(
        title,
        width,
        height,
        xlabel=_COLUMN.label,
        ylabel=_ERROR.label,
        logx=True,
        xlim=span,
        ylim=_around_zero(np.concatenate([found.error_dex for found in errors.values()])),
    )
    return hv.Overlay(layers).opts(options).opts(hooks=[_log_x(span, width)], legend_position="bottom_right")


def column_relation(
    relation: Any, *, title: str = "Density against column density", width: int = 420, height: int = 360
) -> hv.Overlay:
    """Draw how density goes with column density over a map: pixels, enclosing contours, median (figures 26, 34).

    Parameters
    ----------
    relation : ColumnRelation
        Of :func:`polaris_lab.observations.gas.column_relation`.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    x, y = np.log10(relation.column_edges), np.log10(relation.density_edges)
    pixels = np.where(relation.histogram > 0, relation.histogram, np.nan)
    image = hv.QuadMesh(
        (relation.column_edges, relation.density_edges, pixels), [_COLUMN, _DENSITY], hv.Dimension("pixels")
    ).opts(
        opts.QuadMesh(
            backend="bokeh", cmap="cividis", logz=True, colorbar=True, clabel="pixels", line_alpha=0
        )
    )
    layers: list[Any] = [image]
    for i, (fraction, level) in enumerate(sorted(relation.levels.items())):
        for path in _contours(relation.histogram, level, x, y):
            layers.append(
                hv.Curve(10**path, _COLUMN, _DENSITY, label=f"{100 * fraction:.0f} % of pixels").opts(
                    opts.Curve(
                        backend="bokeh",
                        color=style.VERMILION,
                        line_width=1.5,
                        line_dash=style.DASHES[i % len(style.DASHES)],
                    )
                )
            )
    centres = 10 ** (0.5 * (x[1:] + x[:-1]))
    known = np.isfinite(relation.median)
    median = hv.Curve((centres[known], relation.median[known]), _COLUMN, _DENSITY, label="median")
    layers.append(median.opts(opts.Curve(backend="bokeh", color="black", line_width=2.5)))
    spans = (tuple(relation.column_edges[[0, -1]]), tuple(relation.density_edges[[0, -1]]))
    options = curve_options(
        title,
        width,
        height,
        xlabel=_COLUMN.label,
        ylabel=_DENSITY.label,
        logx=True,
        logy=True,
        xlim=spans[0],
        ylim=spans[1],
    )
    overlay = hv.Overlay(layers).opts(options)
    return overlay.opts(
        hooks=[*_clean(), label_log_axes(*spans, length=min(width, height))], legend_position="top_left"
    )


def core_mass_function(
    functions: Mapping[str, Any], *, title: str = "Core mass function", width: int = 420, height: int = 320
) -> hv.Overlay:
    """Draw the number of cores per dex of mass, with the 68 % range of repeated draws.

    Parameters
    ----------
    functions : mapping of str to CoreMassFunction
        By the name in the legend.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    number = hv.Dimension("number", label="dN / dlog M")
    layers: list[Any] = []
    for i, (name, found) in enumerate(functions.items()):
        colour = style.SERIES[i % len(style.SERIES)]
        known = np.isfinite(found.dn_dlogm) & (found.dn_dlogm > 0)
        low = np.clip(found.lower[known], 0.3, None)
        bars = hv.Segments(
            (found.centres[known], low, found.centres[known], found.upper[known]),
            [_MASS, number, "mass_1", "number_1"],
        )
        layers.append(bars.opts(opts.Segments(backend="bokeh", color=colour, line_width=1.5)))
        layers.append(
            hv.Curve((found.centres[known], found.dn_dlogm[known]), _MASS, number, label=name).opts(
                opts.Curve(backend="bokeh", color=colour, interpolation="steps-mid", line_width=2)
            )
        )
    edges = np.concatenate([found.edges for found in functions.values()])
    span = float(edges.min()), float(edges.max())
    options = curve_options(
        title, width, height, xlabel=_MASS.label, ylabel=number.label, logx=True, logy=True, xlim=span
    )
    return hv.Overlay(layers).opts(options).opts(hooks=[_log_x(span, width)])


def density_pdfs(
    pdfs: Mapping[str, Any],
    *,
    title: str = "Distribution of the density",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the share of area or mass per dex of density, with the range over samples where there are any.

    Parameters
    ----------
    pdfs : mapping of str to DensityPDF
        Of :func:`polaris_lab.observations.gas.density_pdf`, by the name in the legend.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    share = hv.Dimension("share", label="share per dex")
    layers: list[Any] = []
    for i, (name, found) in enumerate(pdfs.items()):
        colour = style.SERIES[i % len(style.SERIES)]
        known = found.pdf > 0
        if np.isfinite(found.lower).all():
            area = hv.Area((found.centres, found.lower, found.upper), [_DENSITY], [share, "upper"])
            layers.append(area.opts(opts.Area(backend="bokeh", color=colour, fill_alpha=0.2, line_alpha=0)))
        curve = hv.Curve(
            (found.centres[known], found.pdf[known]), _DENSITY, share, label=f"{name}, by {found.weight}"
        )
        dash = style.DASHES[i % len(style.DASHES)]
        layers.append(curve.opts(opts.Curve(backend="bokeh", color=colour, line_width=2.5, line_dash=dash)))
    edges = np.concatenate([found.edges for found in pdfs.values()])
    span = float(edges.min()), float(edges.max())
    options = curve_options(
        title, width, height, xlabel=_DENSITY.label, ylabel=share.label, logx=True, xlim=span
    )
    return hv.Overlay(layers).opts(options).opts(hooks=[_log_x(span, width)])


def coverage_plane(
    coverage: Any,
    *,
    title: str = "Patches of the map among those of the training set",
    width: int = 420,
    height: int = 320,
) -> hv.Overlay:
    """Draw mean and spread of log N_H in windows of a map and in training patches (report, figure 36).

    Parameters
    ----------
    coverage : Coverage
        Of :func:`polaris_lab.observations.coverage.compare`.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    mean = hv.Dimension("mean", label="mean of log₁₀ N_H [dex of cm⁻²]")
    spread = hv.Dimension("spread", label="spread of log₁₀ N_H [dex]")
    clouds = {
        "training patches": (coverage.training_mean, coverage.training_spread, style.NEUTRAL, 5),
        "windows of the map": (coverage.mean, coverage.spread, style.VERMILION, 7),
    }
    layers = [
        hv.Scatter((x, y), mean, spread, label=name).opts(
            opts.Scatter(backend="bokeh", color=colour, size=size, alpha=0.6)
        )
        for name, (x, y, colour, size) in clouds.items()
    ]
    options = curve_options(title, width, height, xlabel=mean.label, ylabel=spread.label)
    return hv.Overlay(layers).opts(options).opts(hooks=_clean(), legend_position="top_right")


def core_markers(
    x: np.ndarray, y: np.ndarray, name: np.ndarray | None = None, *, size: float = 7.0
) -> hv.Points:
    """Mark cores on a map: overlay it on :func:`widgets.figures.sky_map`.

    Parameters
    ----------
    x, y : ndarray
        Positions [pixels of the map].
    name : ndarray of str, optional
        Shown under the pointer.
    size : float
        Of a marker [px].
    """
    opts = bokeh_options()
    names = np.asarray([""] * len(x) if name is None else name, str)
    return hv.Points((np.asarray(x), np.asarray(y), names), ["x", "y"], ["core"]).opts(
        opts.Points(
            backend="bokeh",
            size=size,
            fill_alpha=0.0,
            color="white",
            line_color="white",
            line_width=1.5,
            tools=["hover"],
        )
    )


def _around_zero(values: np.ndarray) -> tuple[float, float]:
    """Return limits that hold all values and zero, with some room."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    room = 0.05 * (high - low) + 0.05
    return low - room, high + room


def _contours(histogram: np.ndarray, level: float, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Return the closed lines (log N, log n) around the bins that hold at least `level` pixels."""
    from skimage.measure import find_contours

    padded = np.pad(histogram, 1)
    step_x, step_y = x[1] - x[0], y[1] - y[0]
    return [
        np.column_stack([x[0] + (path[:, 1] - 0.5) * step_x, y[0] + (path[:, 0] - 0.5) * step_y])
        for path in find_contours(padded, level - 0.5)
        if len(path) > 12
    ]


def _clean() -> list[Any]:
    from widgets.axes import clean_plot

    return [clean_plot]


def _log_x(span: tuple[float, float], width: int) -> Any:
    """Return a hook that labels a logarithmic x axis."""
    from widgets.axes import clean_plot, ticks_of_scale

    def hook(plot: Any, element: Any) -> None:
        clean_plot(plot, element)
        plot.state.xaxis.update(**ticks_of_scale(*span, log=True, width=int(0.7 * width)))

    return hook
